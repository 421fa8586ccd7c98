/* SPDX-License-Identifier: MIT */
/* Where a guest is sent to: tcp:HOST:PORT, tcp:[V6]:PORT, unix:PATH. */
#ifndef FERRY_MIGRATION_ADDRESS_H
#define FERRY_MIGRATION_ADDRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

enum address_kind { ADDRESS_TCP, ADDRESS_UNIX };

struct address {
	enum address_kind kind;
	char host[256]; /* a name or a number, without brackets */
	uint16_t port;  /* 0: the kernel chooses one to listen on */
	char path[108]; /* of a UNIX socket */
	/* What @host stands for: numbers with commas between. "": it is looked up. */
	char numbers[512];
};

/* Parse @text; nothing is looked up. 0, or -EINVAL with what is wrong with it. */
__must_check int address_parse(struct address *ret, const char *text, struct err *e);

/* Shows @a as it was written, into @buf. */
void address_show(const struct address *a, char *buf, size_t len);

/*
 * Look @a->host up, for a process that cannot: its numbers, with commas between, into
 * @buf. A UNIX socket's are empty. 0 or -errno.
 */
__must_check int address_resolve(const struct address *a, char *buf, size_t len, struct err *e);

/* Connecting to @a means @numbers (see address_resolve()) and no look-up. 0 or -EINVAL. */
__must_check int address_set_numbers(struct address *a, const char *numbers, struct err *e);

/*
 * Look up and connect, trying all addresses of a host, for @timeout_ms in all
 * (but looking up takes as long as the system's resolver allows). @cancel_fd
 * (-1: none) ends it with -ECANCELED once it is readable. A non-blocking
 * descriptor, or -errno. Blocking: not on a loop's thread.
 */
__must_check int address_connect(const struct address *a, unsigned timeout_ms, int cancel_fd,
				 struct err *e);

#define ADDRESS_MAX_LISTEN 8U

/* Sockets that listen: one for each address of a host name. */
struct address_listener {
	int fds[ADDRESS_MAX_LISTEN]; /* non-blocking */
	unsigned nr;
	char path[108]; /* of a UNIX socket; removed by address_unlisten() */
	dev_t dev;
	ino_t ino;
	char shown[256]; /* "tcp:10.0.0.2:8002", with the port that was chosen */
};

/*
 * Listen. A UNIX socket has mode 0600; one that is left over from a process that
 * has died is replaced, one of a living process, or any other file, is not.
 * 0 or -errno.
 */
__must_check int address_listen(struct address_listener *ret, const struct address *a,
				struct err *e);

/* Close, and remove the socket's file if it still is ours. Zeroed: no-op. */
void address_unlisten(struct address_listener *l);

/* Who is at the other end of @fd: "tcp 10.0.0.2:8002", "unix /path", "unix". */
void address_of_peer(int fd, char *buf, size_t len);

#endif
