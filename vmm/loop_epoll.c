// SPDX-License-Identifier: MIT
// Event loop poller on epoll, for hosts that refuse io_uring.
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/loop_impl.h"

#define TURN_MAX 64

static int epoll_init(struct loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->epoll_fd < 0 ? -errno : 0;
}

static void epoll_fini(struct loop *loop)
{
	close_fd(&loop->epoll_fd);
}

static int epoll_enter(struct loop *loop)
{
	(void)loop;
	return 0;
}

static int epoll_arm(struct loop *loop, unsigned slot)
{
	struct loop_slot *s = &loop->slots[slot];
	struct epoll_event ev = {
		.events = (s->w->events & LOOP_READ ? EPOLLIN : 0U) |
			  (s->w->events & LOOP_WRITE ? EPOLLOUT : 0U),
		.data.u64 = (uint64_t)s->gen << 32 | slot,
	};

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, s->w->fd, &ev) < 0)
		return -errno;
	s->armed = true;
	return 0;
}

static void epoll_disarm(struct loop *loop, unsigned slot)
{
	struct loop_slot *s = &loop->slots[slot];

	if (!s->armed)
		return;
	s->armed = false;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, s->w->fd, NULL);
}

/*
 * Take what is in the slot's eventfd. False: somebody was faster, maybe a drain
 * in an earlier callback of the same batch; reading would block.
 */
static bool take_eventfd(struct loop_slot *s)
{
	struct pollfd pfd = { .fd = s->w->fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && read(s->w->fd, &s->count, sizeof(s->count)) >= 0;
}

static void dispatch(struct loop *loop, const struct epoll_event *ev)
{
	unsigned slot = (unsigned)(ev->data.u64 & UINT32_MAX);
	uint32_t gen = (uint32_t)(ev->data.u64 >> 32);
	struct loop_slot *s = &loop->slots[slot];
	unsigned events = (ev->events & EPOLLIN ? LOOP_READ : 0U) |
			  (ev->events & EPOLLOUT ? LOOP_WRITE : 0U) |
			  (ev->events & (EPOLLERR | EPOLLHUP) ? LOOP_HANGUP : 0U);

	if (!s->w || s->gen != gen)
		return;
	if (s->is_eventfd && !take_eventfd(s))
		return;
	loop_dispatch_fd(loop, slot, gen, events);
}

static int epoll_wait_events(struct loop *loop, uint64_t timeout_ns)
{
	struct epoll_event ev[TURN_MAX];
	int timeout_ms = -1;
	int n;

	/* Rounded up: a timer must not spin through its last millisecond. */
	if (timeout_ns != UINT64_MAX)
		timeout_ms = (int)MIN((timeout_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 60000ULL);
	n = epoll_wait(loop->epoll_fd, ev, TURN_MAX, timeout_ms);
	if (n < 0 && errno != EINTR)
		return -errno;
	for (int i = 0; i < n; i++)
		dispatch(loop, &ev[i]);
	return 0;
}

const struct loop_poller loop_epoll_poller = {
	.init = epoll_init,
	.fini = epoll_fini,
	.enter = epoll_enter,
	.arm = epoll_arm,
	.disarm = epoll_disarm,
	.wait = epoll_wait_events,
};
