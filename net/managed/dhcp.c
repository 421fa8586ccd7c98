// SPDX-License-Identifier: MIT
// dnsmasq's life: started with a file, found by its command line, ended by a signal.
#include "net/managed/dhcp.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "net/mac.h"
#include "util/io.h"

#define END_MS 5000

static const char *const files[] = { "conf", "pid", "leases" };

static int write_file(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	return io_write_full(fd, text, strlen(text));
}

static ssize_t read_some(const char *path, char *buf, size_t room)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, buf, room - 1);
	if (got < 0)
		return -errno;
	buf[got] = '\0';
	return got;
}

/* Is @pid a dnsmasq of @folder? Its arguments are separated by NULs. */
static bool is_ours(pid_t pid, const char *folder)
{
	char path[64], line[PATH_MAX + 64], want[PATH_MAX + 32];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	(void)snprintf(want, sizeof(want), "--conf-file=%s/conf", folder);
	len = read_some(path, line, sizeof(line));
	for (ssize_t i = 0; i < len; i += (ssize_t)strlen(line + i) + 1) {
		if (strcmp(line + i, want) == 0)
			return true;
	}
	return false;
}

/* A descriptor of the process, or -ESRCH. */
static int find(const char *folder)
{
	char path[PATH_MAX], text[16];
	pid_t pid;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/pid", folder);
	if (read_some(path, text, sizeof(text)) <= 0)
		return -ESRCH;
	pid = (pid_t)strtol(text, NULL, 10);
	if (pid <= 1)
		return -ESRCH;
	/* Opened before it is looked at: the number cannot change hands in between. */
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -ESRCH;
	if (!is_ours(pid, folder)) {
		(void)close(fd);
		return -ESRCH;
	}
	return fd;
}

bool dhcp_is_running(const char *folder)
{
	_cleanup_close_ int fd = find(folder);

	return fd >= 0;
}

static int send_signal(int pidfd, int sig)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

/* --- hosts --- */

static void host_path(const char *folder, const char *file, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/hosts.d/%s", folder, file);
}

int dhcp_add_host(const char *folder, const char *file, const char *mac, const char *what)
{
	char path[PATH_MAX], line[256];

	host_path(folder, file, path);
	(void)snprintf(line, sizeof(line), "%s,%s\n", mac, what);
	return write_file(path, line);
}

/* The value of "key=" in "conf". */
static int read_conf(const char *folder, const char *key, char *value, size_t room)
{
	char path[PATH_MAX], text[4096];
	const char *at;

	(void)snprintf(path, sizeof(path), "%s/conf", folder);
	if (read_some(path, text, sizeof(text)) < 0)
		return -ENOENT;
	at = strstr(text, key);
	if (!at)
		return -ENOENT;
	at += strlen(key);
	(void)snprintf(value, room, "%.*s", (int)strcspn(at, "\n"), at);
	return 0;
}

/* DHCPRELEASE: RFC 2131, 4.4.4 and table 5. */
struct release {
	uint8_t op, htype, hlen, hops;
	uint32_t xid;
	uint16_t secs, flags;
	struct in_addr ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16], sname[64], file[128];
	uint8_t options[4 + 3 + 6 + 1];
};

static bool fill_release(struct release *r, const char *mac, const char *what,
			 struct in_addr server)
{
	const uint8_t options[] = { 99, 130, 83, 99, 53, 1, 7, 54, 4 };
	char addr[INET_ADDRSTRLEN];

	*r = (struct release){ .op = 1, .htype = 1, .hlen = MAC_BYTES };
	(void)snprintf(addr, sizeof(addr), "%.*s", (int)strcspn(what, ","), what);
	if (mac_parse(mac, r->chaddr) < 0 || inet_pton(AF_INET, addr, &r->ciaddr) != 1)
		return false;
	memcpy(r->options, options, sizeof(options));
	memcpy(r->options + sizeof(options), &server, sizeof(server));
	r->options[sizeof(options) + sizeof(server)] = 255;
	return true;
}

/* As the guest itself would, had it been asked. A server that is not there needs none. */
static void send_release(const char *folder, const char *mac, const char *what)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(67) };
	char bridge[IF_NAMESIZE], server[INET_ADDRSTRLEN];
	struct release r;

	if (read_conf(folder, "\ninterface=", bridge, sizeof(bridge)) < 0 ||
	    read_conf(folder, "\n# host ", server, sizeof(server)) < 0 ||
	    inet_pton(AF_INET, server, &to.sin_addr) != 1 ||
	    !fill_release(&r, mac, what, to.sin_addr))
		return;
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, bridge, (socklen_t)strlen(bridge)) == 0)
		(void)!sendto(fd, &r, sizeof(r), MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
}

int dhcp_del_host(const char *folder, const char *file, const char *mac, const char *what)
{
	_cleanup_close_ int pidfd = find(folder);
	char path[PATH_MAX];

	host_path(folder, file, path);
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	if (pidfd < 0)
		return 0;
	send_release(folder, mac, what);
	/* It sees new files by itself, but not that one has gone. */
	(void)!send_signal(pidfd, SIGHUP);
	return 0;
}

/* Its lines are "EXPIRY MAC ADDRESS NAME CLIENT"; those of IPv6 have another number there. */
void dhcp_find_lease(const char *folder, const char *mac, char ret[DHCP_ADDR_BYTES])
{
	char path[PATH_MAX], line[512], owner[MAC_TEXT_BYTES], addr[DHCP_ADDR_BYTES];
	FILE *f;

	ret[0] = '\0';
	(void)snprintf(path, sizeof(path), "%s/leases", folder);
	f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %17s %15s", owner, addr) == 2 && strcmp(owner, mac) == 0)
			(void)snprintf(ret, DHCP_ADDR_BYTES, "%s", addr);
	}
	(void)fclose(f);
}

/* --- the server --- */

/* Run it until it has gone to the background; what it says goes to @said. */
static int run(char *const argv[], char *said, size_t room)
{
	_cleanup_close_ int from = -1;
	_cleanup_close_ int to = -1;
	posix_spawn_file_actions_t actions;
	int pipefd[2], status = 0, rc;
	size_t used = 0;
	ssize_t got;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	from = pipefd[0];
	to = pipefd[1];
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	(void)posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	(void)posix_spawn_file_actions_adddup2(&actions, to, STDERR_FILENO);
	rc = posix_spawnp(&pid, argv[0], &actions, NULL, argv, NULL);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc != 0)
		return -rc;
	close_fd(&to);
	while (used < room - 1 && (got = read(from, said + used, room - 1 - used)) > 0)
		used += (size_t)got;
	said[used] = '\0';
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int dhcp_start(const char *folder, const char *conf, struct err *e)
{
	char option[PATH_MAX + 32], path[PATH_MAX], said[256] = "";
	char program[] = "dnsmasq";
	char *argv[] = { program, option, NULL };
	int rc;

	if (mkdir(folder, 0755) < 0 && errno != EEXIST)
		return err_set(e, -errno, "%s: %s", folder, strerror(errno));
	(void)snprintf(path, sizeof(path), "%s/hosts.d", folder);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	(void)snprintf(path, sizeof(path), "%s/conf", folder);
	rc = write_file(path, conf);
	if (rc < 0)
		return err_set(e, rc, "%s: %s", path, strerror(-rc));
	(void)snprintf(option, sizeof(option), "--conf-file=%s", path);
	rc = run(argv, said, sizeof(said));
	if (rc == -ENOENT)
		return err_set(e, rc, "dnsmasq is not installed: install dnsmasq-base");
	said[strcspn(said, "\n")] = '\0';
	return rc < 0 ? err_set(e, rc, "%s", said[0] ? said : "dnsmasq does not start") : 0;
}

/* Its files are those of members; they went before, unless somebody was killed. */
static void remove_hosts(const char *folder)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(path, sizeof(path), "%s/hosts.d", folder);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir)))
		(void)unlinkat(dirfd(dir), entry->d_name, 0);
	(void)closedir(dir);
	(void)rmdir(path);
}

int dhcp_stop(const char *folder, struct err *e)
{
	_cleanup_close_ int pidfd = find(folder);
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	char path[PATH_MAX];

	if (pidfd >= 0 && send_signal(pidfd, SIGTERM) == 0 && poll(&ended, 1, END_MS) == 0) {
		(void)send_signal(pidfd, SIGKILL);
		if (poll(&ended, 1, END_MS) == 0)
			return err_set(e, -EBUSY, "%s: dnsmasq does not end", folder);
	}
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
		(void)unlink(path);
	}
	remove_hosts(folder);
	if (rmdir(folder) < 0 && errno != ENOENT)
		return err_set(e, -errno, "%s: %s", folder, strerror(errno));
	return 0;
}
