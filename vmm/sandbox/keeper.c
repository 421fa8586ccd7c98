// SPDX-License-Identifier: MIT
// The keeper: a process that removes the files of a guest's process which cannot any more.
#include "vmm/sandbox/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/fdpass.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/guest/config.h"
#include "vmm/guest/net_helper.h"
#include "vmm/guest/runtime.h"
#include "vmm/sandbox/sandbox_impl.h"

#define END_MS 10000
/* The keeper's end of the connection: what it inherits above it is closed. */
#define KEEPER_FD 3
/* The console's socket and gdb's. */
#define MAX_SOCKETS 2

enum keeper_kind { KEEPER_GUEST, KEEPER_SOCKET, KEEPER_SPAWN, KEEPER_SEAL };

/* Each is answered by an int: 0 or -errno. */
struct keeper_msg {
	uint32_t kind;
	char path[PATH_MAX]; /* the runtime directory, or the socket */
	char name[RUNTIME_NAME_MAX + 1];
};

/* In the guest's process. */
static struct {
	pid_t pid; /* 0: there is none */
	int sock;
	bool sealed;
} keeper;

/* In the keeper. */
struct kept {
	struct keeper_msg guest; /* path "": none */
	struct kept_socket {
		char path[PATH_MAX];
		dev_t dev; /* when all was open */
		ino_t ino; /* 0: not there yet */
	} sockets[MAX_SOCKETS];
	unsigned nr_sockets;
	pid_t helpers[CONFIG_MAX_NICS];
	unsigned nr_helpers;
};

/* --- the keeper --- */

/* Standard descriptors belong to whoever started the guest: he may wait for their end. */
static int leave_stdio(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = STDIN_FILENO; fd >= 0 && i <= STDERR_FILENO; i++) {
		if (dup2(fd, i) < 0)
			return -errno;
	}
	return fd < 0 ? -errno : 0;
}

static void note_sockets(struct kept *k)
{
	struct stat st;

	for (unsigned i = 0; i < k->nr_sockets; i++) {
		if (lstat(k->sockets[i].path, &st) == 0) {
			k->sockets[i].dev = st.st_dev;
			k->sockets[i].ino = st.st_ino;
		}
	}
}

static int spawn_helper(struct kept *k, int fd)
{
	struct err e;
	int rc = k->nr_helpers == CONFIG_MAX_NICS ? -E2BIG : 0;

	if (rc == 0)
		rc = net_helper_spawn(fd, &k->helpers[k->nr_helpers], &e);
	k->nr_helpers += rc == 0;
	return rc;
}

static int handle(struct kept *k, const struct keeper_msg *msg, int fd)
{
	switch ((enum keeper_kind)msg->kind) {
	case KEEPER_GUEST:
		k->guest = *msg;
		return 0;
	case KEEPER_SOCKET:
		if (k->nr_sockets == MAX_SOCKETS)
			return -E2BIG;
		memcpy(k->sockets[k->nr_sockets++].path, msg->path, sizeof(msg->path));
		return 0;
	case KEEPER_SPAWN:
		return spawn_helper(k, fd);
	case KEEPER_SEAL:
		note_sockets(k);
		return leave_stdio();
	}
	return -EINVAL;
}

/* What it is told, until it is sealed, or the guest's process has ended. */
static void listen_until_sealed(struct kept *k)
{
	struct keeper_msg msg = { .kind = KEEPER_GUEST };

	while (msg.kind != KEEPER_SEAL) {
		_cleanup_close_ int fd = -1;
		ssize_t n = fdpass_recv(KEEPER_FD, &msg, sizeof(msg), &fd, 0);
		int answer;

		if (n == -EINTR)
			continue;
		if (n != (ssize_t)sizeof(msg))
			return;
		answer = handle(k, &msg, fd);
		(void)!send(KEEPER_FD, &answer, sizeof(answer), MSG_NOSIGNAL);
	}
}

static void wait_for_end(void)
{
	struct keeper_msg ignored;
	ssize_t n;

	do {
		n = recv(KEEPER_FD, &ignored, sizeof(ignored), 0);
	} while (n > 0 || (n < 0 && errno == EINTR));
}

/* Not what somebody else has put in its place. */
static void remove_socket(const struct kept_socket *s)
{
	struct stat st;

	if (lstat(s->path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_dev == s->dev &&
	    st.st_ino == s->ino)
		(void)unlink(s->path);
}

/* It takes back what it did, and ends, as the guest's end is the end of its connection. */
static void wait_for_helper(pid_t pid)
{
	_cleanup_close_ int fd = pidfd_open(pid, 0);
	struct pollfd ended = { .fd = fd, .events = POLLIN };

	if (fd >= 0 && poll(&ended, 1, END_MS) == 1)
		(void)waitpid(pid, NULL, 0);
}

/* Nothing of the guest's process but the connection. */
static int settle_in(int sock)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setsid(); /* what a terminal sends is the guest's */
	(void)prctl(PR_SET_NAME, "ferry-keeper");
	if (sock != KEEPER_FD && dup2(sock, KEEPER_FD) < 0)
		return -errno;
	if (fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC) < 0 || close_range(KEEPER_FD + 1, ~0U, 0) < 0)
		return -errno;
	return 0;
}

static void keep(int sock)
{
	static struct kept kept;

	if (settle_in(sock) < 0)
		return;
	listen_until_sealed(&kept);
	wait_for_end();
	for (unsigned i = 0; i < kept.nr_sockets; i++)
		remove_socket(&kept.sockets[i]);
	if (*kept.guest.path)
		(void)runtime_remove_stale(kept.guest.path, kept.guest.name);
	for (unsigned i = 0; i < kept.nr_helpers; i++)
		wait_for_helper(kept.helpers[i]);
}

/* --- the guest's process --- */

int keeper_start(struct err *e)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, -errno, "socketpair: %s", strerror(errno));
	keeper.pid = fork();
	if (keeper.pid == 0) {
		keep(pair[1]);
		_exit(0);
	}
	(void)close(pair[1]);
	if (keeper.pid < 0) {
		keeper.pid = 0;
		(void)close(pair[0]);
		return err_set(e, -EAGAIN, "cannot make a process: %s", strerror(errno));
	}
	keeper.sock = pair[0];
	return 0;
}

bool keeper_exists(void)
{
	return keeper.pid != 0;
}

static int tell(enum keeper_kind kind, const char *path, const char *name, int fd)
{
	struct keeper_msg msg = { .kind = kind };
	ssize_t n;
	int answer;

	if (!keeper.pid)
		return 0;
	if (keeper.sealed) /* nobody would answer */
		return -EPERM;
	if (strlen(path) >= sizeof(msg.path) || strlen(name) >= sizeof(msg.name))
		return -ENAMETOOLONG;
	memcpy(msg.path, path, strlen(path));
	memcpy(msg.name, name, strlen(name));
	n = fdpass_send(keeper.sock, &msg, sizeof(msg), fd, 0);
	if (n < 0)
		return (int)n;
	do {
		n = recv(keeper.sock, &answer, sizeof(answer), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(answer) ? answer : -EPIPE;
}

int keeper_remove_guest(const char *dir, const char *name)
{
	return tell(KEEPER_GUEST, dir, name, -1);
}

int keeper_remove_socket(const char *path)
{
	return tell(KEEPER_SOCKET, path, "", -1);
}

int keeper_spawn(int fd, struct err *e)
{
	int rc = tell(KEEPER_SPAWN, "", "", fd);

	return rc < 0 ? err_set(e, rc, "cannot start ferry-net: %s", strerror(-rc)) : 0;
}

int keeper_seal(void)
{
	int rc = tell(KEEPER_SEAL, "", "", -1);

	keeper.sealed = rc == 0;
	return rc;
}

void keeper_end(void)
{
	struct pollfd ended = { .fd = keeper.sock, .events = POLLIN };
	int n;

	if (!keeper.pid)
		return;
	(void)shutdown(keeper.sock, SHUT_WR);
	do {
		n = poll(&ended, 1, END_MS);
	} while (n < 0 && errno == EINTR);
	while (n > 0 && waitpid(keeper.pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (n == 0)
		log_warn("the guest's sockets are still being removed");
	(void)close(keeper.sock);
	keeper.pid = 0;
}
