// SPDX-License-Identifier: MIT
// The descriptors of libslirp, watched as one.
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "net/user_poll.h"
#include "util/io.h"

#define EVENTS_MAX 64

struct user_pollfd {
	uint32_t round;  /* last named by libslirp */
	uint8_t wanted;  /* SLIRP_POLL_*; 0: not in the epoll */
	uint8_t pending; /* SLIRP_POLL_*: ready for */
	bool open;       /* counted in nr_open */
};

static const struct {
	unsigned slirp, epoll;
} event_table[] = {
	{ SLIRP_POLL_IN, EPOLLIN },   { SLIRP_POLL_OUT, EPOLLOUT }, { SLIRP_POLL_PRI, EPOLLPRI },
	{ SLIRP_POLL_ERR, EPOLLERR }, { SLIRP_POLL_HUP, EPOLLHUP },
};

static uint32_t to_epoll(unsigned events)
{
	uint32_t ret = 0;

	for (size_t i = 0; i < ARRAY_SIZE(event_table); i++)
		ret |= events & event_table[i].slirp ? event_table[i].epoll : 0U;
	return ret;
}

static uint8_t from_epoll(uint32_t events)
{
	unsigned ret = 0;

	for (size_t i = 0; i < ARRAY_SIZE(event_table); i++)
		ret |= events & event_table[i].epoll ? event_table[i].slirp : 0U;
	return (uint8_t)ret;
}

int user_poll_init(struct user_poll *up, unsigned max_sockets, struct netdev_sockets *shared)
{
	*up = (struct user_poll){
		.epoll_fd = epoll_create1(EPOLL_CLOEXEC),
		.max_sockets = max_sockets,
		.shared = shared,
		.highest = -1,
	};
	return up->epoll_fd < 0 ? -errno : 0;
}

/* --- what all networks together have --- */

/* One more, unless all are taken. */
static bool take_shared(struct netdev_sockets *s)
{
	if (!s || atomic_fetch_add_explicit(&s->nr, 1, memory_order_relaxed) < s->max)
		return true;
	atomic_fetch_sub_explicit(&s->nr, 1, memory_order_relaxed);
	return false;
}

static void add_shared(struct netdev_sockets *s, unsigned nr)
{
	if (s)
		atomic_fetch_add_explicit(&s->nr, nr, memory_order_relaxed);
}

static void drop_shared(struct netdev_sockets *s, unsigned nr)
{
	if (s)
		atomic_fetch_sub_explicit(&s->nr, nr, memory_order_relaxed);
}

static bool is_full(const struct user_poll *up)
{
	const struct netdev_sockets *s = up->shared;

	return up->nr_open >= up->max_sockets ||
	       (s && atomic_load_explicit(&s->nr, memory_order_relaxed) >= s->max);
}

void user_poll_fini(struct user_poll *up)
{
	drop_shared(up->shared, up->nr_open + up->nr_asked);
	close_fd(&up->epoll_fd);
	free(up->fds);
}

/* The entry of @fd; its number is bounded by RLIMIT_NOFILE. NULL: no memory. */
static struct user_pollfd *entry(struct user_poll *up, int fd)
{
	unsigned nr = up->nr_fds ? up->nr_fds : 64;
	struct user_pollfd *fds;

	if ((unsigned)fd < up->nr_fds)
		return &up->fds[fd];
	while (nr <= (unsigned)fd)
		nr *= 2;
	fds = reallocarray(up->fds, nr, sizeof(*fds));
	if (!fds)
		return NULL;
	memset(fds + up->nr_fds, 0, (nr - up->nr_fds) * sizeof(*fds));
	up->fds = fds;
	up->nr_fds = nr;
	return &fds[fd];
}

/* Where libslirp has closed @fd without a word, the kernel knows: ENOENT, EEXIST. */
static void watch(struct user_poll *up, int fd, uint8_t wanted)
{
	struct user_pollfd *pfd = &up->fds[fd];
	struct epoll_event ev = { .events = to_epoll(wanted), .data.fd = fd };
	int op = pfd->wanted ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (pfd->wanted == wanted)
		return;
	if (!wanted)
		op = EPOLL_CTL_DEL;
	if (epoll_ctl(up->epoll_fd, op, fd, &ev) < 0 && wanted) {
		op = op == EPOLL_CTL_ADD ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
		if (epoll_ctl(up->epoll_fd, op, fd, &ev) < 0)
			wanted = 0; /* asked again next time */
	}
	pfd->wanted = wanted;
}

static void count_open(struct user_poll *up, struct user_pollfd *pfd)
{
	if (pfd->open)
		return;
	pfd->open = true;
	up->nr_open++;
	add_shared(up->shared, 1);
}

void user_poll_opened(struct user_poll *up, int fd)
{
	struct user_pollfd *pfd = fd < 0 ? NULL : entry(up, fd);

	if (pfd)
		count_open(up, pfd);
}

bool user_poll_may_open(struct user_poll *up)
{
	if (up->nr_open + up->nr_asked >= up->max_sockets || !take_shared(up->shared))
		return false;
	up->nr_asked++;
	return true;
}

static bool is_listening(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) == 0 && listening;
}

static int add_poll(int fd, int events, void *opaque)
{
	struct user_poll *up = opaque;
	struct user_pollfd *pfd = entry(up, fd);

	if (!pfd)
		return fd;
	count_open(up, pfd);
	/* Whoever connects to a port forward waits in the backlog. */
	if (is_full(up) && is_listening(fd))
		return fd;
	pfd->round = up->round;
	pfd->pending = 0;
	up->highest = MAX(up->highest, fd);
	watch(up, fd, (uint8_t)events);
	return fd;
}

uint32_t user_poll_prepare(struct user_poll *up, struct Slirp *slirp)
{
	uint32_t timeout_ms = UINT32_MAX;
	int highest = -1;

	up->round++;
	slirp_pollfds_fill(slirp, &timeout_ms, add_poll, up);
	/* What was opened has been counted by now. */
	drop_shared(up->shared, up->nr_asked);
	up->nr_asked = 0;
	for (int fd = 0; fd <= up->highest; fd++) {
		if (up->fds[fd].wanted && up->fds[fd].round != up->round)
			watch(up, fd, 0);
		if (up->fds[fd].wanted)
			highest = fd;
	}
	up->highest = highest;
	return timeout_ms;
}

void user_poll_suspend(struct user_poll *up)
{
	for (int fd = 0; fd <= up->highest; fd++)
		watch(up, fd, 0);
	up->highest = -1;
}

static int get_revents(int fd, void *opaque)
{
	struct user_poll *up = opaque;

	return (unsigned)fd < up->nr_fds ? up->fds[fd].pending : 0;
}

void user_poll_dispatch(struct user_poll *up, struct Slirp *slirp)
{
	struct epoll_event events[EVENTS_MAX];
	int n = epoll_wait(up->epoll_fd, events, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
		up->fds[events[i].data.fd].pending = from_epoll(events[i].events);
	slirp_pollfds_poll(slirp, n < 0, get_revents, up);
	/* Said once: while suspended, nothing else would take it back, and
	 * libslirp blocks in, or asserts on, sockets that are not ready. */
	for (int i = 0; i < n; i++)
		up->fds[events[i].data.fd].pending = 0;
}

void user_poll_forget(struct user_poll *up, int fd)
{
	if (fd < 0 || (unsigned)fd >= up->nr_fds)
		return;
	up->nr_open -= up->fds[fd].open;
	drop_shared(up->shared, up->fds[fd].open);
	up->fds[fd] = (struct user_pollfd){ 0 };
}
