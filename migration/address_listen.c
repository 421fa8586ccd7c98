// SPDX-License-Identifier: MIT
// Where guests arrive: sockets that listen.
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "migration/address.h"
#include "migration/address_impl.h"
#include "util/io.h"

#define BACKLOG 128

/* --- TCP --- */

static int listen_tcp_one(const struct addrinfo *ai)
{
	_cleanup_close_ int fd =
		socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	const int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

static int listen_tcp(struct address_listener *l, const struct address *a, struct err *e)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	struct addrinfo *list;
	char shown[200];
	int rc = address_look_up(a->host, a->port, true, &list, e);

	if (rc < 0)
		return rc;
	for (const struct addrinfo *ai = list; rc == 0 && ai && l->nr < ADDRESS_MAX_LISTEN;
	     ai = ai->ai_next) {
		int fd = listen_tcp_one(ai);

		if (fd >= 0)
			l->fds[l->nr++] = fd;
		else
			rc = fd;
		/* The kernel would choose another port for a second address. */
		if (a->port == 0)
			break;
	}
	freeaddrinfo(list);
	if (rc == 0 && getsockname(l->fds[0], (struct sockaddr *)&ss, &len) < 0)
		rc = -errno;
	if (rc < 0)
		return err_set(e, rc, "cannot listen on tcp:%s:%u: %s", a->host, a->port,
			       rc == -EADDRNOTAVAIL ? "this host does not have that address"
						    : strerror(-rc));
	address_show_sockaddr(&ss, shown, sizeof(shown));
	(void)snprintf(l->shown, sizeof(l->shown), "tcp:%s", shown);
	return 0;
}

/* --- UNIX --- */

/*
 * Whoever replaces a dead process' socket must be alone: between its look at the
 * file and the removal somebody else might have put a living one there.
 */
static int lock_folder(const char *path, struct err *e)
{
	char folder[sizeof(((struct address *)0)->path)];
	_cleanup_close_ int fd = -1;
	char *slash;

	(void)snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(e, -errno, "cannot listen on unix:%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -errno, "cannot listen on unix:%s: %s", path,
			       errno == EWOULDBLOCK ? "somebody else locks its folder"
						    : strerror(errno));
	return take_fd(&fd);
}

/* Remove the socket of a process that has ended. 0, or -EADDRINUSE: it is none. */
static int remove_stale(const struct sockaddr_un *sun)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (lstat(sun->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid())
		return -EADDRINUSE;
	if (connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0 || errno != ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(sun->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(const struct sockaddr_un *sun)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* The file gets the mode of the descriptor, less the umask. */
	if (fd < 0 || fchmod(fd, 0600) < 0 ||
	    bind(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(&fd);
}

static int listen_unix(struct address_listener *l, const struct address *a, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	_cleanup_close_ int lock = lock_folder(a->path, e);
	struct stat st;
	int fd, rc;

	if (lock < 0)
		return lock;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", a->path);
	rc = remove_stale(&sun);
	fd = rc < 0 ? rc : bind_unix(&sun);
	if (fd < 0)
		return err_set(e, fd, "cannot listen on unix:%s: %s", a->path, strerror(-fd));
	l->fds[l->nr++] = fd;
	if (lstat(a->path, &st) == 0) {
		(void)snprintf(l->path, sizeof(l->path), "%s", a->path);
		l->dev = st.st_dev;
		l->ino = st.st_ino;
	}
	(void)snprintf(l->shown, sizeof(l->shown), "unix:%s", a->path);
	return 0;
}

/* --- both --- */

int address_listen(struct address_listener *ret, const struct address *a, struct err *e)
{
	int rc;

	*ret = (struct address_listener){ 0 };
	rc = a->kind == ADDRESS_UNIX ? listen_unix(ret, a, e) : listen_tcp(ret, a, e);
	if (rc < 0)
		address_unlisten(ret);
	return rc;
}

void address_unlisten(struct address_listener *l)
{
	struct stat st;

	if (*l->path && lstat(l->path, &st) == 0 && st.st_dev == l->dev && st.st_ino == l->ino)
		(void)unlink(l->path);
	for (unsigned i = 0; i < l->nr; i++)
		(void)close(l->fds[i]);
	*l = (struct address_listener){ 0 };
}
