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

#define REMEDY                                                                                     \
	"start the guest by ferry@.service, or by 'systemd-run --scope -p "                        \
	"CPUAccounting=yes ferry run ...'"

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

int cgroup_find(const char *root, const char *membership, pid_t pid, char ret_dir[PATH_MAX],
		struct err *e)
{
	char path[PATH_MAX - 64], procs[64], only[16];

	if (!find_path(membership, path, sizeof(path)))
		return err_set(e, -ENOTSUP, "this host has no cgroups of version 2");
	(void)snprintf(ret_dir, PATH_MAX, "%s%s", root, strcmp(path, "/") != 0 ? path : "");
	if (read_file(ret_dir, "cpu.weight", procs, sizeof(procs)) < 0)
		return err_set(e, -ENOTSUP,
			       "cgroup %s has no cpu controller: where version 2 has it, " REMEDY,
			       path);
	(void)snprintf(only, sizeof(only), "%d\n", (int)pid);
	if (read_file(ret_dir, "cgroup.procs", procs, sizeof(procs)) < 0 ||
	    strcmp(procs, only) != 0)
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
