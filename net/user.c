// SPDX-License-Identifier: MIT
// Back end "user": a network inside this process, without any privilege.
#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#include "net/netdev_impl.h"
#include "net/user_fwd.h"
#include "net/user_limit.h"
#include "net/user_poll.h"
#include "net/user_state.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"

/*
 * Theory of operation
 *
 * libslirp plays the network: a router, a DHCP and a DNS server, and it turns
 * the guest's connections into sockets of this process. All of it runs on the
 * loop of the one queue pair, and only there once that loop runs.
 *
 * A frame of the guest goes to slirp_input() at once. What libslirp has for
 * the guest goes into a queue, from which the device pulls when the guest has
 * buffers. The queue is bounded twice: from FIFO_HIGH frames on nothing is
 * read from sockets any more, so that their senders feel it; at FIFO_MAX,
 * which only answers to the guest's own frames can reach, frames are dropped.
 *
 * The sockets are bounded, too: user_poll.h counts them, and at the limit the
 * guest's frames that might need another one are dropped.
 *
 * After whatever may have changed its mind, libslirp is asked anew what to
 * wait for. That is done once a turn, by a timer that is due at once ("settle").
 *
 * What the guest sends is parsed by libslirp in this process: see
 * docs/networking.md for what that means.
 */
#define FIFO_HIGH 256U
#define FIFO_MAX  1024U

#define SCRATCH_SLACK 256U

/* 10.0.2.0/24 and fec0::/64, as everywhere where libslirp is used. */
#define USER_NETWORK     0x0a000200U
#define USER_NETMASK     0xffffff00U
#define USER_ROUTER      0x0a000202U
#define USER_NAMESERVER  0x0a000203U
#define USER_FIRST_LEASE 0x0a00020fU
#define USER_PREFIX6     "fec0::"
#define USER_ROUTER6     "fec0::2"
#define USER_NAMESERVER6 "fec0::3"

struct user_frame {
	STAILQ_ENTRY(user_frame) link;
	size_t bytes;
	uint8_t data[];
};

/* libslirp's one timer, for router advertisements. */
struct user_timer {
	struct loop_timer timer; /* deadline_ns: when it is due, 0 for never */
	bool taken;
	SlirpTimerId id;
	void *cb_opaque;
};

struct user {
	struct netdev nd;
	struct Slirp *slirp;
	struct user_poll poll;

	struct loop *loop; /* NULL: not attached */
	struct netdev_client client;
	unsigned events; /* NETDEV_*: what the device waits for */
	struct loop_fd watch;
	struct loop_timer settle; /* due when libslirp is to be asked again */
	struct user_timer ra;

	STAILQ_HEAD(, user_frame) fifo;
	unsigned nr_frames;
	struct log_limit log;
	/* A frame of the guest, in one piece; longer than any, so that libslirp
	 * stays inside should it look for headers beyond the end of a short one. */
	uint8_t scratch[NETDEV_FRAME_MAX + SCRATCH_SLACK];
};

static struct user *to_user(struct netdev *nd)
{
	return container_of(nd, struct user, nd);
}

static void settle_at(struct user *u, uint64_t deadline_ns)
{
	if (u->loop)
		loop_arm(u->loop, &u->settle, deadline_ns);
}

static void settle_soon(struct user *u)
{
	if (!u->settle.armed || u->settle.deadline_ns != 0)
		settle_at(u, 0);
}

/* --- what libslirp calls ---------------------------------------------------- */

static ssize_t on_send_packet(const void *data, size_t bytes, void *opaque)
{
	struct user *u = opaque;
	struct user_frame *frame;

	if (u->nr_frames >= FIFO_MAX || bytes > NETDEV_FRAME_MAX)
		return (ssize_t)bytes; /* lost, as on any network */
	frame = malloc(sizeof(*frame) + bytes);
	if (!frame)
		return (ssize_t)bytes;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	STAILQ_INSERT_TAIL(&u->fifo, frame, link);
	u->nr_frames++;
	settle_soon(u);
	return (ssize_t)bytes;
}

static void on_guest_error(const char *msg, void *opaque)
{
	struct user *u = opaque;

	log_limited(&u->log, LOG_WARN, "user network: %s", msg);
}

static int64_t on_clock_get_ns(void *opaque)
{
	(void)opaque;
	return (int64_t)clock_now_ns();
}

static void ra_due(void *opaque)
{
	struct user *u = opaque;

	slirp_handle_timer(u->slirp, u->ra.id, u->ra.cb_opaque);
	settle_soon(u);
}

static void *on_timer_new(SlirpTimerId id, void *cb_opaque, void *opaque)
{
	struct user *u = opaque;

	if (u->ra.taken)
		return NULL;
	u->ra = (struct user_timer){
		.timer = { .fn = ra_due, .opaque = u },
		.taken = true,
		.id = id,
		.cb_opaque = cb_opaque,
	};
	return &u->ra;
}

static void on_timer_free(void *timer, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;

	if (t && u->loop)
		loop_disarm(u->loop, &t->timer);
}

/* Before there is a loop, user_attach() will arm it. */
static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
	struct user *u = opaque;
	struct user_timer *t = timer;

	if (!t)
		return;
	t->timer.deadline_ns = (uint64_t)expire_ms * NSEC_PER_MSEC;
	if (u->loop)
		loop_arm(u->loop, &t->timer, t->timer.deadline_ns);
}

static void on_register_poll_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	user_poll_opened(&u->poll, fd);
	settle_soon(u);
}

static void on_unregister_poll_fd(int fd, void *opaque)
{
	struct user *u = opaque;

	user_poll_forget(&u->poll, fd);
	settle_soon(u);
}

static void on_notify(void *opaque)
{
	settle_soon(opaque);
}

static const SlirpCb slirp_callbacks = {
	.send_packet = on_send_packet,
	.guest_error = on_guest_error,
	.clock_get_ns = on_clock_get_ns,
	.timer_free = on_timer_free,
	.timer_mod = on_timer_mod,
	.register_poll_fd = on_register_poll_fd,
	.unregister_poll_fd = on_unregister_poll_fd,
	.notify = on_notify,
	.timer_new_opaque = on_timer_new,
};

/* --- running ---------------------------------------------------------------- */

static bool has_frames_for_device(const struct user *u)
{
	return u->nr_frames && u->events & NETDEV_READABLE;
}

/* Sockets are ready, time has passed, or something was sent. */
static void settle(void *opaque)
{
	struct user *u = opaque;
	uint32_t timeout_ms = UINT32_MAX;

	/* Also without ready sockets: libslirp's timers and output run in here. */
	user_poll_dispatch(&u->poll, u->slirp);
	if (has_frames_for_device(u))
		u->client.readable(u->client.opaque);
	if (u->nr_frames >= FIFO_HIGH)
		user_poll_suspend(&u->poll);
	else
		timeout_ms = user_poll_prepare(&u->poll, u->slirp);
	if (has_frames_for_device(u)) /* it took its share of this turn */
		settle_at(u, clock_now_ns() + 1);
	else if (timeout_ms != UINT32_MAX)
		settle_at(u, clock_now_ns() + timeout_ms * NSEC_PER_MSEC);
	else
		loop_disarm(u->loop, &u->settle);
}

static void sockets_ready(void *opaque, unsigned events)
{
	(void)events;
	settle(opaque);
}

static int user_attach(struct netdev *nd, unsigned pair, struct loop *loop,
		       const struct netdev_client *client)
{
	struct user *u = to_user(nd);
	int rc;

	(void)pair;
	u->client = *client;
	u->watch = (struct loop_fd){
		.fn = sockets_ready,
		.opaque = u,
		.fd = u->poll.epoll_fd,
		.events = LOOP_READ,
		.slot = -1,
	};
	rc = loop_add_fd(loop, &u->watch);
	if (rc < 0)
		return rc;
	u->loop = loop;
	if (u->ra.timer.deadline_ns)
		loop_arm(loop, &u->ra.timer, u->ra.timer.deadline_ns);
	settle_soon(u);
	return 0;
}

static void user_detach(struct netdev *nd, unsigned pair)
{
	struct user *u = to_user(nd);

	(void)pair;
	if (!u->loop)
		return;
	/* Now, since its timer is armed in this loop. */
	slirp_cleanup(u->slirp);
	u->slirp = NULL;
	loop_del_fd(u->loop, &u->watch);
	loop_disarm(u->loop, &u->settle);
	u->loop = NULL;
}

static void user_watch(struct netdev *nd, unsigned pair, unsigned events)
{
	struct user *u = to_user(nd);

	(void)pair;
	/* Sending never fails for want of room, so nobody waits for that. */
	u->events = events;
	if (events & NETDEV_READABLE && u->nr_frames)
		settle_soon(u);
}

static ssize_t user_send(struct netdev *nd, unsigned pair, const struct iovec *iov, unsigned nr_iov)
{
	struct user *u = to_user(nd);
	size_t skip = NETDEV_HDR_BYTES, bytes = 0;

	(void)pair;
	for (unsigned i = 0; i < nr_iov; i++) {
		size_t skipped = MIN(skip, iov[i].iov_len), n = iov[i].iov_len - skipped;

		skip -= skipped;
		if (n > NETDEV_FRAME_MAX - bytes)
			return -EMSGSIZE;
		memcpy(u->scratch + bytes, (uint8_t *)iov[i].iov_base + skipped, n);
		bytes += n;
	}
	if (!user_may_open_socket(u->scratch, bytes) || user_poll_may_open(&u->poll))
		slirp_input(u->slirp, u->scratch, (int)bytes);
	else /* lost, as on any network; a driver that tries again may have more luck */
		log_limited(&u->log, LOG_WARN,
			    "user network: the guest has its %u sockets: no more",
			    u->poll.max_sockets);
	settle_soon(u);
	return (ssize_t)(bytes + NETDEV_HDR_BYTES);
}

/* Copy to the front of @iov, from @offset on; what does not fit is left out. */
static void scatter(const struct iovec *iov, unsigned nr_iov, size_t offset, const void *data,
		    size_t bytes)
{
	const uint8_t *at = data;

	for (unsigned i = 0; i < nr_iov && bytes; i++) {
		size_t skip = MIN(offset, iov[i].iov_len);
		size_t n = MIN(bytes, iov[i].iov_len - skip);

		memcpy((uint8_t *)iov[i].iov_base + skip, at, n);
		at += n;
		bytes -= n;
		offset -= skip;
	}
}

static ssize_t user_receive(struct netdev *nd, unsigned pair, const struct iovec *iov,
			    unsigned nr_iov)
{
	static const uint8_t header[NETDEV_HDR_BYTES]; /* no offloads */
	struct user *u = to_user(nd);
	struct user_frame *frame = STAILQ_FIRST(&u->fifo);
	ssize_t bytes;

	(void)pair;
	if (!frame)
		return -EAGAIN;
	scatter(iov, nr_iov, 0, header, sizeof(header));
	scatter(iov, nr_iov, sizeof(header), frame->data, frame->bytes);
	bytes = (ssize_t)(frame->bytes + sizeof(header));
	STAILQ_REMOVE_HEAD(&u->fifo, link);
	free(frame);
	if (u->nr_frames-- == FIFO_HIGH)
		settle_soon(u);
	return bytes;
}

static int user_set_offloads(struct netdev *nd, unsigned offloads)
{
	(void)nd;
	return offloads ? -EOPNOTSUPP : 0;
}

static void user_save(struct netdev *nd, struct vstate_writer *w)
{
	user_state_save(to_user(nd)->slirp, w);
}

static int user_load(struct netdev *nd, struct vstate_reader *r, struct err *e)
{
	return user_state_load(to_user(nd)->slirp, r, e);
}

static void user_close(struct netdev *nd)
{
	struct user *u = to_user(nd);
	struct user_frame *frame;

	if (u->slirp)
		slirp_cleanup(u->slirp);
	while ((frame = STAILQ_FIRST(&u->fifo))) {
		STAILQ_REMOVE_HEAD(&u->fifo, link);
		free(frame);
	}
	user_poll_fini(&u->poll);
	free(u);
}

static const struct netdev_ops user_ops = {
	.type = "user",
	.thread_class = THREAD_NET,
	.attach = user_attach,
	.detach = user_detach,
	.watch = user_watch,
	.send = user_send,
	.receive = user_receive,
	.set_offloads = user_set_offloads,
	.save = user_save,
	.load = user_load,
	.close = user_close,
};

/* --- set-up ----------------------------------------------------------------- */

static SlirpConfig slirp_config(const struct netdev_config *cfg)
{
	SlirpConfig sc = {
		.version = 4,
		.restricted = cfg->restricted,
		.in_enabled = true,
		.vnetwork.s_addr = htonl(USER_NETWORK),
		.vnetmask.s_addr = htonl(USER_NETMASK),
		.vhost.s_addr = htonl(USER_ROUTER),
		.in6_enabled = true,
		.vprefix_len = 64,
		.vdhcp_start.s_addr = htonl(USER_FIRST_LEASE),
		.vnameserver.s_addr = htonl(USER_NAMESERVER),
		.if_mtu = cfg->mtu ? cfg->mtu : NETDEV_DEFAULT_MTU,
		.if_mru = cfg->mtu ? cfg->mtu : NETDEV_DEFAULT_MTU,
	};

	(void)inet_pton(AF_INET6, USER_PREFIX6, &sc.vprefix_addr6);
	(void)inet_pton(AF_INET6, USER_ROUTER6, &sc.vhost6);
	(void)inet_pton(AF_INET6, USER_NAMESERVER6, &sc.vnameserver6);
	return sc;
}

static int add_forward(struct user *u, const char *text, struct err *e)
{
	struct user_fwd fwd;
	int rc = user_fwd_parse(text, &fwd, e);

	if (rc < 0)
		return rc;
	if (slirp_add_hostxfwd(u->slirp, &fwd.host.sa, user_addr_bytes(&fwd.host), &fwd.guest.sa,
			       user_addr_bytes(&fwd.guest), fwd.udp ? SLIRP_HOSTFWD_UDP : 0) < 0) {
		rc = errno ? -errno : -EINVAL;
		return err_set(e, rc, "hostfwd '%s': cannot listen there: %s", text, strerror(-rc));
	}
	return 0;
}

int netdev_open_user(struct netdev **ret, const struct netdev_config *cfg, struct err *e)
{
	SlirpConfig sc = slirp_config(cfg);
	struct user *u;
	int rc;

	if (cfg->nr_pairs != 1)
		return err_set(e, -EINVAL, "user network: has one queue pair, not %u: use a tap",
			       cfg->nr_pairs);
	u = calloc(1, sizeof(*u));
	if (!u)
		return err_set(e, -ENOMEM, "user network: no memory");
	STAILQ_INIT(&u->fifo);
	u->settle = (struct loop_timer){ .fn = settle, .opaque = u };
	u->nd = (struct netdev){ .ops = &user_ops, .nr_pairs = 1, .mtu = (unsigned)sc.if_mtu };
	rc = user_poll_init(&u->poll, cfg->max_sockets ? cfg->max_sockets : NETDEV_MAX_SOCKETS,
			    cfg->sockets);
	if (rc < 0) {
		free(u);
		return err_set(e, rc, "user network: %s", strerror(-rc));
	}
	u->slirp = slirp_new(&sc, &slirp_callbacks, u);
	if (!u->slirp)
		rc = err_set(e, -EINVAL, "user network: libslirp does not start");
	for (unsigned i = 0; i < cfg->nr_hostfwds && rc == 0; i++)
		rc = add_forward(u, cfg->hostfwds[i], e);
	if (rc < 0) {
		user_close(&u->nd);
		return rc;
	}
	*ret = &u->nd;
	return 0;
}
