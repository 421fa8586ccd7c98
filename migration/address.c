// SPDX-License-Identifier: MIT
// Where a guest is sent to: parsing, and connecting.
#include "migration/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "migration/address_impl.h"
#include "util/clock.h"
#include "util/io.h"

#define MAX_ADDRESSES    8U
#define UNIX_RETRY_MS    20
#define ADDRESS_EXAMPLES "write tcp:HOST:PORT, tcp:[V6]:PORT or unix:PATH"

/* --- parsing --- */

static int parse_port(struct address *a, const char *text, const char *whole, struct err *e)
{
	unsigned long port;
	char *end;

	if (!isdigit((unsigned char)*text))
		return err_set(e, -EINVAL, "'%s' has no port: " ADDRESS_EXAMPLES, whole);
	errno = 0;
	port = strtoul(text, &end, 10);
	if (*end || errno || port > UINT16_MAX)
		return err_set(e, -EINVAL, "'%s': '%s' is not a port", whole, text);
	a->port = (uint16_t)port;
	return 0;
}

/* "HOST:PORT" or "[V6]:PORT" */
static int parse_tcp(struct address *a, const char *text, const char *whole, struct err *e)
{
	const char *host = text, *end;

	if (*text == '[') {
		host = text + 1;
		end = strchr(host, ']');
		if (!end || end[1] != ':')
			return err_set(e, -EINVAL, "'%s': " ADDRESS_EXAMPLES, whole);
		text = end + 2;
	} else {
		end = strchr(host, ':');
		if (!end)
			return err_set(e, -EINVAL, "'%s' has no port: " ADDRESS_EXAMPLES, whole);
		if (strchr(end + 1, ':'))
			return err_set(e, -EINVAL,
				       "'%s': an IPv6 address stands in brackets: tcp:[V6]:PORT",
				       whole);
		text = end + 1;
	}
	if (end == host || (size_t)(end - host) >= sizeof(a->host) ||
	    strcspn(host, "[]") < (size_t)(end - host))
		return err_set(e, -EINVAL, "'%s' has no host: " ADDRESS_EXAMPLES, whole);
	(void)snprintf(a->host, sizeof(a->host), "%.*s", (int)(end - host), host);
	return parse_port(a, text, whole, e);
}

int address_parse(struct address *ret, const char *text, struct err *e)
{
	struct address a = { 0 };
	int rc;

	if (!strncmp(text, "unix:", 5)) {
		a.kind = ADDRESS_UNIX;
		if (!text[5] || strlen(text + 5) >= sizeof(a.path))
			return err_set(e, -EINVAL, "'%s': a socket's path has 1 to %zu characters",
				       text, sizeof(a.path) - 1);
		(void)snprintf(a.path, sizeof(a.path), "%s", text + 5);
	} else if (!strncmp(text, "tcp:", 4)) {
		rc = parse_tcp(&a, text + 4, text, e);
		if (rc < 0)
			return rc;
	} else {
		return err_set(e, -EINVAL, "'%s' is not an address: " ADDRESS_EXAMPLES, text);
	}
	*ret = a;
	return 0;
}

void address_show(const struct address *a, char *buf, size_t len)
{
	if (a->kind == ADDRESS_UNIX)
		(void)snprintf(buf, len, "unix:%s", a->path);
	else
		(void)snprintf(buf, len, strchr(a->host, ':') ? "tcp:[%s]:%u" : "tcp:%s:%u",
			       a->host, a->port);
}

void address_show_sockaddr(const struct sockaddr_storage *ss, char *buf, size_t len)
{
	char host[INET6_ADDRSTRLEN];
	struct sockaddr_in6 in6;
	struct sockaddr_in in;

	memcpy(&in6, ss, sizeof(in6));
	memcpy(&in, ss, sizeof(in));
	if (ss->ss_family == AF_INET) {
		(void)inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host));
		(void)snprintf(buf, len, "%s:%u", host, ntohs(in.sin_port));
	} else if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		(void)inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], host, sizeof(host));
		(void)snprintf(buf, len, "%s:%u", host, ntohs(in6.sin6_port));
	} else {
		(void)inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
		(void)snprintf(buf, len, "[%s]:%u", host, ntohs(in6.sin6_port));
	}
}

void address_of_peer(int fd, char *buf, size_t len)
{
	struct sockaddr_storage ss = { 0 };
	const struct sockaddr_un *un = (const void *)&ss;
	socklen_t ss_len = sizeof(ss);
	char shown[128];

	if (getpeername(fd, (struct sockaddr *)&ss, &ss_len) < 0) {
		(void)snprintf(buf, len, "nobody");
	} else if (ss.ss_family == AF_UNIX) {
		(void)snprintf(buf, len, "unix%s%.*s", *un->sun_path ? " " : "",
			       (int)sizeof(un->sun_path), un->sun_path);
	} else {
		address_show_sockaddr(&ss, shown, sizeof(shown));
		(void)snprintf(buf, len, "tcp %s", shown);
	}
}

/* --- looking up --- */

int address_look_up(const char *host, uint16_t port, bool to_listen, struct addrinfo **ret,
		    struct err *e)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | (to_listen ? AI_PASSIVE : 0),
	};
	char service[16];
	int rc;

	(void)snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, ret);
	if (rc == 0)
		return 0;
	return err_set(e, -EHOSTUNREACH, "host '%s': %s", host,
		       rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
}

int address_resolve(const struct address *a, char *buf, size_t len, struct err *e)
{
	char number[INET6_ADDRSTRLEN + IF_NAMESIZE];
	struct addrinfo *list;
	size_t at = 0;
	int rc;

	*buf = '\0';
	if (a->kind == ADDRESS_UNIX)
		return 0;
	rc = address_look_up(a->host, a->port, false, &list, e);
	if (rc < 0)
		return rc;
	for (const struct addrinfo *ai = list; ai && at < len; ai = ai->ai_next) {
		if (getnameinfo(ai->ai_addr, ai->ai_addrlen, number, sizeof(number), NULL, 0,
				NI_NUMERICHOST) != 0 ||
		    at + strlen(number) + 2 > len)
			break;
		at += (size_t)snprintf(buf + at, len - at, "%s%s", at ? "," : "", number);
	}
	freeaddrinfo(list);
	return 0;
}

int address_set_numbers(struct address *a, const char *numbers, struct err *e)
{
	if (a->kind == ADDRESS_UNIX)
		return 0;
	if (!*numbers || strlen(numbers) >= sizeof(a->numbers))
		return err_set(e, -EINVAL, "host '%s': no list of addresses", a->host);
	(void)snprintf(a->numbers, sizeof(a->numbers), "%s", numbers);
	return 0;
}

/* Without the resolver, which reads files. */
static int take_number(const char *number, uint16_t port, struct addrinfo **ret, struct err *e)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST,
	};
	char service[16];

	(void)snprintf(service, sizeof(service), "%u", port);
	return getaddrinfo(number, service, &hints, ret) == 0
		       ? 0
		       : err_set(e, -EHOSTUNREACH,
				 "host '%s': a guest's process looks no names up, give an address",
				 number);
}

/* --- connecting --- */

static int left_ms(uint64_t deadline_ns)
{
	uint64_t now = clock_now_ns();

	return deadline_ns > now ? (int)((deadline_ns - now) / NSEC_PER_MSEC) + 1 : 0;
}

/* Wait until @fd (-1: nothing) is writable. 0, -ETIMEDOUT, -ECANCELED or -errno. */
static int wait_for(int fd, int cancel_fd, int timeout_ms)
{
	struct pollfd fds[] = {
		{ .fd = fd, .events = POLLOUT },
		{ .fd = cancel_fd, .events = POLLIN },
	};
	int rc;

	do {
		rc = poll(fds, ARRAY_SIZE(fds), timeout_ms);
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	if (fds[1].revents)
		return -ECANCELED;
	return rc == 0 ? -ETIMEDOUT : 0;
}

static int connect_tcp(const struct addrinfo *ai, uint64_t deadline_ns, int cancel_fd)
{
	_cleanup_close_ int fd =
		socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
	socklen_t len = sizeof(int);
	int error = 0;
	int rc;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
		return take_fd(&fd);
	if (errno != EINPROGRESS)
		return -errno;
	rc = wait_for(fd, cancel_fd, left_ms(deadline_ns));
	if (rc < 0)
		return rc;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return error ? -error : take_fd(&fd);
}

/* Each address gets its share of the time, so that a dead one does not use up all. */
static int connect_any(const struct addrinfo *list, unsigned timeout_ms, int cancel_fd)
{
	uint64_t end_ns = clock_now_ns() + timeout_ms * NSEC_PER_MSEC;
	unsigned nr = 0;
	int rc = -EHOSTUNREACH;

	for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
		nr++;
	nr = MIN(nr, MAX_ADDRESSES);
	for (const struct addrinfo *ai = list; ai && nr; ai = ai->ai_next, nr--) {
		uint64_t now = clock_now_ns();
		uint64_t share_ns = end_ns > now ? (end_ns - now) / nr : 0;

		rc = connect_tcp(ai, now + share_ns, cancel_fd);
		if (rc >= 0 || rc == -ECANCELED)
			break;
	}
	return rc;
}

/* Each number gets its share of the time, too. */
static int connect_numbers(const struct address *a, unsigned timeout_ms, int cancel_fd,
			   struct err *e)
{
	char numbers[sizeof(a->numbers)], *at = numbers, *number;
	unsigned nr = 1;
	int rc = -EHOSTUNREACH;

	memcpy(numbers, a->numbers, sizeof(numbers));
	for (const char *c = numbers; (c = strchr(c, ',')); c++)
		nr++;
	while (rc < 0 && rc != -ECANCELED && (number = strsep(&at, ","))) {
		struct addrinfo *list;

		rc = take_number(number, a->port, &list, e);
		if (rc < 0)
			return rc;
		rc = connect_any(list, timeout_ms / nr, cancel_fd);
		freeaddrinfo(list);
	}
	return rc;
}

/* A listener whose queue is full says EAGAIN: nothing tells when it has room. */
static int connect_unix(const char *path, unsigned timeout_ms, int cancel_fd)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	uint64_t end_ns = clock_now_ns() + timeout_ms * NSEC_PER_MSEC;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int rc;

	if (fd < 0)
		return -errno;
	(void)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	for (;;) {
		if (connect(fd, (const struct sockaddr *)&sun, sizeof(sun)) == 0)
			return take_fd(&fd);
		if (errno != EAGAIN)
			return -errno;
		if (!left_ms(end_ns))
			return -ETIMEDOUT;
		rc = wait_for(-1, cancel_fd, UNIX_RETRY_MS);
		if (rc < 0 && rc != -ETIMEDOUT)
			return rc;
	}
}

/* Why it may have failed, for those errors whose own text does not tell. */
static const char *hint(int rc, const struct address *a)
{
	if (rc == -ECONNREFUSED || rc == -ENOENT)
		return a->kind == ADDRESS_UNIX ? ": does 'ferry receive' run there?"
					       : ": does 'ferry receive' listen there?";
	return rc == -ETIMEDOUT ? ": the host does not answer" : "";
}

int address_connect(const struct address *a, unsigned timeout_ms, int cancel_fd, struct err *e)
{
	struct addrinfo *list;
	char shown[300];
	int rc;

	if (a->kind == ADDRESS_UNIX) {
		rc = connect_unix(a->path, timeout_ms, cancel_fd);
	} else if (*a->numbers) {
		(void)err_set(e, 0, "%s", "");
		rc = connect_numbers(a, timeout_ms, cancel_fd, e);
		if (rc == -EHOSTUNREACH && e->code == rc)
			return rc;
	} else {
		rc = address_look_up(a->host, a->port, false, &list, e);
		if (rc < 0)
			return rc;
		rc = connect_any(list, timeout_ms, cancel_fd);
		freeaddrinfo(list);
	}
	address_show(a, shown, sizeof(shown));
	return rc < 0 ? err_set(e, rc, "cannot connect to %s: %s%s", shown, strerror(-rc),
				hint(rc, a))
		      : rc;
}
