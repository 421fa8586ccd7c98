// SPDX-License-Identifier: MIT
// virtio-net: copies of its frames for those who watch.
#include "virtio/net_capture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/io.h"

/* One message: the longest frame there is, behind its record. */
struct message {
	struct capture_record record;
	uint8_t frame[NETDEV_FRAME_MAX];
};

/* Copy up to @max bytes of what is seen. Returns how many. */
static size_t copy(const struct net_sight *s, size_t max, uint8_t *to)
{
	size_t skip = s->skip, left = MIN(MIN(s->bytes, max), (size_t)NETDEV_FRAME_MAX), done = 0;

	for (unsigned i = 0; i < s->nr_iov && left; i++) {
		size_t skipped = MIN(skip, s->iov[i].iov_len);
		size_t n = MIN(left, s->iov[i].iov_len - skipped);

		memcpy(to + done, (const uint8_t *)s->iov[i].iov_base + skipped, n);
		skip -= skipped;
		done += n;
		left -= n;
	}
	return done;
}

/* 0 or -errno; never waits. */
static int send_message(int fd, const void *message, size_t len)
{
	ssize_t n;

	do {
		n = send(fd, message, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static int send_record(struct net_capture *one, enum capture_kind kind)
{
	const struct capture_record record = {
		.kind = kind,
		.time_ns = clock_wall_ns(),
		.seen = one->seen,
		.dropped = one->dropped,
	};

	return send_message(one->watch.fd, &record, sizeof(record));
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
	struct message *m = one->all->message;
	size_t bytes = copy(s, one->snaplen, m->frame);
	int rc;

	m->record = (struct capture_record){
		.kind = s->kind,
		.frame_bytes = (uint32_t)s->bytes,
		.time_ns = now_ns,
		.seen = ++one->seen,
		.dropped = one->dropped,
	};
	rc = send_message(one->watch.fd, m, sizeof(m->record) + bytes);
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
	int rc;

	if (events & LOOP_HANGUP) {
		close_slot(one);
		return;
	}
	/* What it asked with stays unread: its next recv() says so, once (ECONNRESET). */
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
	free(c->message);
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
	if (!c->message)
		c->message = malloc(sizeof(*c->message));
	if (!c->message)
		return -ENOMEM;
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
