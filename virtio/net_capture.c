// SPDX-License-Identifier: MIT
// virtio-net: copies of its frames for those who watch.
#include "virtio/net_capture.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/io.h"

/* Pieces of a frame that are looked at: ten times what drivers make of the longest one. */
#define MAX_IOV 256U

/* --- one message --- */

/* Up to @max bytes of what is seen, behind iov[0]. Returns the number of pieces. */
static unsigned cut(const struct net_sight *s, size_t max, struct iovec *iov)
{
	size_t skip = s->skip, left = MIN(s->bytes, max);
	unsigned nr = 1;

	for (unsigned i = 0; i < s->nr_iov && left && nr < MAX_IOV; i++) {
		size_t skipped = MIN(skip, s->iov[i].iov_len);
		size_t n = MIN(left, s->iov[i].iov_len - skipped);

		skip -= skipped;
		left -= n;
		if (n)
			iov[nr++] = (struct iovec){ (char *)s->iov[i].iov_base + skipped, n };
	}
	return nr;
}

/* 0 or -errno; never waits. */
static int send_message(int fd, struct iovec *iov, unsigned nr)
{
	const struct msghdr msg = { .msg_iov = iov, .msg_iovlen = nr };
	ssize_t n;

	do {
		n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_record(struct net_capture *one, enum capture_kind kind)
{
	struct capture_record record = {
		.kind = kind,
		.time_ns = clock_wall_ns(),
		.seen = one->seen,
		.dropped = one->dropped,
	};

	return send_message(one->watch.fd, &(struct iovec){ &record, sizeof(record) }, 1);
}

static void set_active(struct net_capture *one, bool active)
{
	if (one->active != active)
		atomic_fetch_add_explicit(&one->all->nr_active, active ? 1U : -1U,
					  memory_order_relaxed);
	one->active = active;
}

/* With the lock held. */
static void show(struct net_capture *one, const struct net_sight *s, uint64_t now_ns)
{
	struct iovec iov[MAX_IOV];
	struct capture_record record = {
		.kind = s->kind,
		.frame_bytes = (uint32_t)s->bytes,
		.time_ns = now_ns,
		.seen = ++one->seen,
		.dropped = one->dropped,
	};
	int rc;

	iov[0] = (struct iovec){ &record, sizeof(record) };
	rc = send_message(one->watch.fd, iov, cut(s, one->snaplen, iov));
	if (rc < 0)
		one->dropped++;
	/* The reader has gone; the loop hears of that too, and cleans up. */
	if (rc == -EPIPE || rc == -ECONNRESET)
		set_active(one, false);
}

void net_captures_send(struct net_captures *c, const struct net_sight *sight)
{
	uint64_t now_ns = clock_wall_ns();

	mutex_lock(&c->lock);
	for (unsigned i = 0; i < NET_MAX_CAPTURES; i++) {
		if (c->slots[i].active)
			show(&c->slots[i], sight, now_ns);
	}
	mutex_unlock(&c->lock);
}

/* --- those who watch: on the loop --- */

static void close_slot(struct net_capture *one)
{
	loop_del_fd(one->all->loop, &one->watch);
	mutex_lock(&one->all->lock);
	set_active(one, false);
	close_fd(&one->watch.fd);
	mutex_unlock(&one->all->lock);
}

/* Asked to end: no more frames, and then, as soon as there is room for it, the sums. */
static void on_reader(void *opaque, unsigned events)
{
	struct net_capture *one = opaque;
	char request[16];
	int rc;

	if (events & LOOP_HANGUP) {
		close_slot(one);
		return;
	}
	/* What is left unread when we close would be an error for the reader. */
	(void)!recv(one->watch.fd, request, sizeof(request), MSG_DONTWAIT);
	mutex_lock(&one->all->lock);
	set_active(one, false);
	rc = send_record(one, CAPTURE_END);
	mutex_unlock(&one->all->lock);
	if (rc == -EAGAIN)
		loop_mod_fd(one->all->loop, &one->watch, LOOP_WRITE);
	else
		close_slot(one);
}

void net_captures_init(struct net_captures *c, struct loop *loop)
{
	mutex_init(&c->lock);
	c->loop = loop;
	for (unsigned i = 0; i < NET_MAX_CAPTURES; i++) {
		struct net_capture *one = &c->slots[i];

		one->all = c;
		one->watch = (struct loop_fd){
			.fn = on_reader, .opaque = one, .fd = -1, .events = LOOP_READ, .slot = -1
		};
	}
}

void net_captures_end(struct net_captures *c)
{
	if (!c->loop)
		return;
	for (unsigned i = 0; i < NET_MAX_CAPTURES; i++) {
		struct net_capture *one = &c->slots[i];

		if (one->watch.fd < 0)
			continue;
		mutex_lock(&c->lock);
		set_active(one, false);
		(void)send_record(one, CAPTURE_GONE);
		mutex_unlock(&c->lock);
		close_slot(one);
	}
	mutex_fini(&c->lock);
	c->loop = NULL;
}

int net_captures_add(struct net_captures *c, int fd, unsigned snaplen)
{
	struct net_capture *one = c->slots;
	int rc;

	while (one < c->slots + NET_MAX_CAPTURES && one->watch.fd >= 0)
		one++;
	if (one == c->slots + NET_MAX_CAPTURES)
		return -EBUSY;
	one->snaplen = snaplen;
	one->seen = one->dropped = 0;
	one->watch.fd = fd;
	one->watch.events = LOOP_READ;
	rc = loop_add_fd(c->loop, &one->watch);
	if (rc < 0) {
		one->watch.fd = -1;
		return rc;
	}
	mutex_lock(&c->lock);
	set_active(one, true);
	mutex_unlock(&c->lock);
	return 0;
}
