// SPDX-License-Identifier: MIT
// The share of the host's CPUs that a process has: cgroup v2's cpu controller.
#include "vmm/cli/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/io.h"

#define PERIOD_US 100000U

/* systemd gives the controller to units that have such a setting; accounting needs none. */
#define REMEDY                                                                                     \
	"start the guest by ferry@.service, or by 'systemd-run --scope -p CPUWeight=100 "          \
	"ferry run ...'"

/* The guest's process has started the keeper, and that ferry-net. */
#define MAX_GENERATIONS 2
/* PF_KTHREAD of the kernel, among the flags in /proc/PID/stat; proc(5) */
#define KERNEL_THREAD 0x00200000UL

/* All of a small file, as text. 0 or -errno. */
static int read_file(const char *dir, const char *name, char *buf, size_t len)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX + 32];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, len - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return 0;
}

static int write_file(const char *dir, const char *name, const char *text, struct err *e)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX + 32];
	int rc;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	rc = fd < 0 ? -errno : io_write_full(fd, text, strlen(text));
	return rc < 0 ? err_set(e, rc, "%s: %s", path, strerror(-rc)) : 0;
}

/* "0::/path" is version 2's line. False: there is none. */
static bool find_path(const char *membership, char *path, size_t len)
{
	const char *line =
		strncmp(membership, "0::/", 4) == 0 ? membership : strstr(membership, "\n0::/");
	size_t path_len;

	if (!line)
		return false;
	line += strspn(line, "\n") + strlen("0::");
	path_len = strcspn(line, "\n");
	(void)snprintf(path, len, "%.*s", (int)path_len, line);
	return path_len < len;
}

struct process {
	pid_t parent;
	unsigned long flags;
};

/* From /proc/PID/stat. False: it has ended. */
static bool look_at(pid_t pid, struct process *ret)
{
	char dir[32], text[512];
	const char *end;
	int parent;

	(void)snprintf(dir, sizeof(dir), "/proc/%d", (int)pid);
	if (read_file(dir, "stat", text, sizeof(text)) < 0)
		return false;
	/* "PID (NAME) STATE PARENT GROUP SESSION TTY TTY-GROUP FLAGS"; a NAME may be anything. */
	end = strrchr(text, ')');
	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote the numbers */
	if (!end || sscanf(end, ") %*c %d %*d %*d %*d %*d %lu", &parent, &ret->flags) != 2)
		return false;
	ret->parent = parent;
	return true;
}

/*
 * Is @pid the guest's process, or one that this needs? KVM's own thread for a guest is, which
 * has no number (0) in a namespace of processes.
 */
static bool belongs_to(pid_t pid, pid_t guest)
{
	struct process p = { .parent = pid };

	for (unsigned i = 0; i <= MAX_GENERATIONS && p.parent != guest; i++) {
		if (p.parent == 0 && i == 0)
			return true;
		if (!look_at(p.parent, &p))
			return false;
		if (p.flags & KERNEL_THREAD)
			return i == 0;
	}
	return p.parent == guest;
}

/* Is the guest's process in there, and nobody else? */
static bool is_alone(const char *dir, pid_t guest)
{
	char text[512], *rest = text, *end;
	bool found = false;

	/* A text that fills the buffer has far more processes than a guest's. */
	if (read_file(dir, "cgroup.procs", text, sizeof(text)) < 0 ||
	    strlen(text) == sizeof(text) - 1)
		return false;
	for (pid_t pid; (pid = (pid_t)strtol(rest, &end, 10)), end != rest; rest = end) {
		if (!belongs_to(pid, guest))
			return false;
		found |= pid == guest;
	}
	return found;
}

int cgroup_find(const char *root, const char *membership, pid_t pid, char ret_dir[PATH_MAX],
		struct err *e)
{
	char path[PATH_MAX - 64], weight[64];

	if (!find_path(membership, path, sizeof(path)))
		return err_set(e, -ENOTSUP, "this host has no cgroups of version 2");
	(void)snprintf(ret_dir, PATH_MAX, "%s%s", root, strcmp(path, "/") != 0 ? path : "");
	if (read_file(ret_dir, "cpu.weight", weight, sizeof(weight)) < 0)
		return err_set(e, -ENOTSUP,
			       "cgroup %s has no cpu controller: where version 2 has it, " REMEDY,
			       path);
	if (!is_alone(ret_dir, pid))
		return err_set(e, -EBUSY, "cgroup %s has other processes in it: " REMEDY, path);
	return 0;
}

int cgroup_get_weight(const char *dir, unsigned *ret, struct err *e)
{
	char text[64];
	int rc = read_file(dir, "cpu.weight", text, sizeof(text));

	if (rc < 0)
		return err_set(e, rc, "cpu.weight: %s", strerror(-rc));
	*ret = (unsigned)strtoul(text, NULL, 10);
	return 0;
}

int cgroup_set_weight(const char *dir, unsigned weight, struct err *e)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", weight);
	return write_file(dir, "cpu.weight", text, e);
}

int cgroup_get_cap(const char *dir, unsigned *ret_percent, struct err *e)
{
	unsigned long long quota, period;
	char text[64], *rest;
	int rc = read_file(dir, "cpu.max", text, sizeof(text));

	if (rc < 0)
		return err_set(e, rc, "cpu.max: %s", strerror(-rc));
	quota = strtoull(text, &rest, 10); /* "max" is none */
	period = strtoull(rest, NULL, 10);
	*ret_percent = period ? (unsigned)(quota * 100 / period) : 0;
	return 0;
}

int cgroup_set_cap(const char *dir, unsigned percent, struct err *e)
{
	char text[48];

	if (percent)
		(void)snprintf(text, sizeof(text), "%llu %u",
			       (unsigned long long)percent * PERIOD_US / 100, PERIOD_US);
	else
		(void)snprintf(text, sizeof(text), "max %u", PERIOD_US);
	return write_file(dir, "cpu.max", text, e);
}
