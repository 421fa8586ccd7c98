// SPDX-License-Identifier: MIT
// A byte stream to the peer of a teleport: the socket, its timeouts, and cancelling.
#include "migration/channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/tcp.h> /* glibc's struct tcp_info ends before tcpi_min_rtt */
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "migration/address.h"
#include "migration/channel_impl.h"
#include "util/clock.h"
#include "util/io.h"

/*
 * Theory of operation
 *
 * The socket does not block. A transfer tries, and where it cannot go on it polls
 * the socket together with an eventfd that channel_cancel() signals, for at most
 * the channel's timeout. The kernel is told the same timeout, so that data which
 * nobody acknowledges ends the connection too; where there is no timeout (a
 * teleport that was told to hold) keepalives still find a host that has gone.
 *
 * Buffers of TCP sockets are left to the kernel: it makes them as large as the
 * path needs, which is more than an unprivileged process may ask for. A UNIX
 * socket has what it is given.
 */
#define KEEPALIVE_IDLE_S     5
#define KEEPALIVE_INTERVAL_S 2
#define KEEPALIVE_COUNT      5
#define UNIX_BUFFER_BYTES    (1024 * 1024)
#define UNREAD_BYTES         (2 * 1024 * 1024) /* the kernel doubles it */

/* --- waiting --- */

/* Milliseconds that one wait may take now; -1: for ever, 0: it is too late. */
static int wait_ms(const struct channel *ch)
{
	unsigned timeout_ms = atomic_load_explicit(&ch->timeout_ms, memory_order_relaxed);
	uint64_t now = clock_now_ns();
	uint64_t left_ms;

	if (ch->deadline_ns) {
		left_ms = ch->deadline_ns > now ? (ch->deadline_ns - now) / NSEC_PER_MSEC + 1 : 0;
		if (!timeout_ms || left_ms < timeout_ms)
			timeout_ms = (unsigned)left_ms;
		return (int)timeout_ms;
	}
	return timeout_ms ? (int)MIN(timeout_ms, (unsigned)INT_MAX) : -1;
}

/* Wait until the socket is ready for @events, or has an error to tell. 0 or -errno. */
static int wait_socket(const struct channel *ch, short events)
{
	struct pollfd fds[] = {
		{ .fd = ch->fd, .events = events },
		{ .fd = ch->cancel_fd, .events = POLLIN },
	};
	int rc;

	do {
		rc = poll(fds, ARRAY_SIZE(fds), wait_ms(ch));
	} while (rc < 0 && errno == EINTR);
	if (rc < 0)
		return -errno;
	if (rc == 0)
		return -ETIMEDOUT;
	return fds[1].revents ? -ECANCELED : 0;
}

ssize_t channel_raw_sendv(struct channel *ch, const struct iovec *iov, unsigned nr_iov)
{
	/* sendmsg() does not write to the vector; its type does not say so. */
	const struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = MIN(nr_iov, (unsigned)IOV_MAX),
	};

	for (;;) {
		ssize_t n;
		int rc;

		if (atomic_load_explicit(&ch->cancelled, memory_order_relaxed))
			return -ECANCELED;
		n = sendmsg(ch->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		rc = wait_socket(ch, POLLOUT);
		if (rc < 0)
			return rc;
	}
}

ssize_t channel_raw_recvv(struct channel *ch, const struct iovec *iov, unsigned nr_iov)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = MIN(nr_iov, (unsigned)IOV_MAX),
	};

	for (;;) {
		ssize_t n;
		int rc;

		if (atomic_load_explicit(&ch->cancelled, memory_order_relaxed))
			return -ECANCELED;
		n = recvmsg(ch->fd, &msg, MSG_DONTWAIT);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		rc = wait_socket(ch, POLLIN);
		if (rc < 0)
			return rc;
	}
}

void channel_iov_advance(struct iovec **iov, unsigned *nr_iov, size_t done)
{
	while (*nr_iov && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*nr_iov)--;
	}
	if (done && *nr_iov) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

/* --- transfers --- */

static int plain_sendv(struct channel *ch, struct iovec *iov, unsigned nr_iov)
{
	channel_iov_advance(&iov, &nr_iov, 0);
	while (nr_iov) {
		ssize_t n = channel_raw_sendv(ch, iov, nr_iov);

		if (n < 0)
			return (int)n;
		channel_iov_advance(&iov, &nr_iov, (size_t)n);
	}
	return 0;
}

static int plain_recvv(struct channel *ch, struct iovec *iov, unsigned nr_iov)
{
	channel_iov_advance(&iov, &nr_iov, 0);
	while (nr_iov) {
		ssize_t n = channel_raw_recvv(ch, iov, nr_iov);

		if (n <= 0)
			return n < 0 ? (int)n : -ECONNRESET;
		channel_iov_advance(&iov, &nr_iov, (size_t)n);
	}
	return 0;
}

int channel_sendv(struct channel *ch, struct iovec *iov, unsigned nr_iov)
{
	return ch->tls ? channel_tls_sendv(ch->tls, iov, nr_iov) : plain_sendv(ch, iov, nr_iov);
}

int channel_recvv(struct channel *ch, struct iovec *iov, unsigned nr_iov)
{
	return ch->tls ? channel_tls_recvv(ch->tls, iov, nr_iov) : plain_recvv(ch, iov, nr_iov);
}

int channel_send(struct channel *ch, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return channel_sendv(ch, &iov, 1);
}

int channel_recv(struct channel *ch, void *buf, size_t len)
{
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	return channel_recvv(ch, &iov, 1);
}

void channel_cancel(struct channel *ch)
{
	atomic_store_explicit(&ch->cancelled, true, memory_order_relaxed);
	eventfd_signal(ch->cancel_fd);
}

void channel_hang_up(struct channel *ch)
{
	(void)shutdown(ch->fd, SHUT_RDWR);
}

uint64_t channel_rtt_ns(const struct channel *ch)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	if (getsockopt(ch->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	/* The smoothed one remembers for long that the first packet waited for ARP. */
	return (info.tcpi_min_rtt ? info.tcpi_min_rtt : info.tcpi_rtt) * NSEC_PER_USEC;
}

bool channel_same_peer(const struct channel *a, const struct channel *b)
{
	return !memcmp(a->peer_id, b->peer_id, sizeof(a->peer_id));
}

const char *channel_describe(const struct channel *ch)
{
	return ch->describe;
}

/* --- set-up --- */

static int set_int(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

void channel_limit_unread(struct channel *ch)
{
	(void)set_int(ch->fd, SOL_SOCKET, SO_RCVBUFFORCE, UNREAD_BYTES);
}

static bool is_tcp(int fd)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       (domain == AF_INET || domain == AF_INET6);
}

void channel_set_timeout(struct channel *ch, unsigned timeout_ms)
{
	atomic_store_explicit(&ch->timeout_ms, timeout_ms, memory_order_relaxed);
	if (is_tcp(ch->fd))
		(void)set_int(ch->fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
			      (int)MIN(timeout_ms, (unsigned)INT_MAX));
}

static int tune_tcp(int fd)
{
	static const struct {
		int level, option, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
		{ IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S },
		{ IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT },
	};
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < ARRAY_SIZE(options); i++)
		rc = set_int(fd, options[i].level, options[i].option, options[i].value);
	return rc;
}

/* More than the limit for everybody only where the process may have it. */
static void tune_unix(int fd)
{
	if (set_int(fd, SOL_SOCKET, SO_SNDBUFFORCE, UNIX_BUFFER_BYTES) < 0)
		(void)set_int(fd, SOL_SOCKET, SO_SNDBUF, UNIX_BUFFER_BYTES);
}

static int set_up(struct channel *ch)
{
	int flags = fcntl(ch->fd, F_GETFL);
	int rc = 0;

	if (flags < 0 || fcntl(ch->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (is_tcp(ch->fd))
		rc = tune_tcp(ch->fd);
	else
		tune_unix(ch->fd);
	if (rc < 0)
		return rc;
	channel_set_timeout(ch, CHANNEL_TIMEOUT_MS);
	address_of_peer(ch->fd, ch->describe, sizeof(ch->describe));
	return 0;
}

int channel_new(struct channel **ret, int fd, struct err *e)
{
	struct channel *ch = calloc(1, sizeof(*ch));
	int rc;

	if (!ch)
		return err_set(e, -ENOMEM, "out of memory");
	ch->fd = fd;
	ch->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	rc = ch->cancel_fd < 0 ? -errno : set_up(ch);
	if (rc < 0) {
		close_fd(&ch->cancel_fd);
		free(ch);
		return err_set(e, rc, "cannot set up the connection: %s", strerror(-rc));
	}
	*ret = ch;
	return 0;
}

void channel_free(struct channel *ch)
{
	if (!ch)
		return;
	channel_tls_free(ch->tls);
	close_fd(&ch->fd);
	close_fd(&ch->cancel_fd);
	free(ch);
}
