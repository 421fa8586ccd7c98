// SPDX-License-Identifier: MIT
// Event loop poller on io_uring: polls and eventfd reads are one-shot requests,
// armed again after their callback and submitted with everything else.
#include <errno.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/clock.h"
#include "vmm/loop_impl.h"

#define RING_ENTRIES 256

/* Completions handled in one turn, so that timers get their chance. */
#define TURN_MAX 512

/*
 * user_data: a loop_op's address (8-byte aligned, tag 0), or
 * generation << 32 | slot << 3 | TAG_SLOT, or TAG_IGNORE.
 */
#define TAG_MASK   7ULL
#define TAG_SLOT   1ULL
#define TAG_IGNORE 2ULL

static uint64_t slot_tag(const struct loop *loop, unsigned slot)
{
	return (uint64_t)loop->slots[slot].gen << 32 | (uint64_t)slot << 3 | TAG_SLOT;
}

/*
 * seccomp does not see what is asked for through a ring, so the ring itself says
 * what it takes: what this file and the disks' engine (engine_uring.c) prepare.
 */
static const uint8_t ring_ops[] = {
	IORING_OP_READ,     IORING_OP_WRITE, IORING_OP_READV,     IORING_OP_WRITEV,
	IORING_OP_POLL_ADD, IORING_OP_FSYNC, IORING_OP_FALLOCATE, IORING_OP_ASYNC_CANCEL,
};
static const uint8_t ring_calls[] = {
	IORING_REGISTER_ENABLE_RINGS,
	IORING_REGISTER_RING_FDS,
	IORING_UNREGISTER_RING_FDS,
};

static int restrict_ring(struct io_uring *ring)
{
	struct io_uring_restriction rules[ARRAY_SIZE(ring_ops) + ARRAY_SIZE(ring_calls) + 1] = {
		{ .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_FIXED_FILE },
	};
	unsigned nr = 1;

	for (unsigned i = 0; i < ARRAY_SIZE(ring_ops); i++)
		rules[nr++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP,
							     .sqe_op = ring_ops[i] };
	for (unsigned i = 0; i < ARRAY_SIZE(ring_calls); i++)
		rules[nr++] =
			(struct io_uring_restriction){ .opcode = IORING_RESTRICTION_REGISTER_OP,
						       .register_op = ring_calls[i] };
	/* As below: declared by liburing 2.3, but not exported. */
	return syscall(__NR_io_uring_register, ring->ring_fd, IORING_REGISTER_RESTRICTIONS, rules,
		       nr) < 0
		       ? -errno
		       : 0;
}

static int uring_init(struct loop *loop)
{
	/* The loop's thread is the only one that submits: cheaper, from Linux 6.1 on. */
	int rc = io_uring_queue_init(RING_ENTRIES, &loop->ring,
				     IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
					     IORING_SETUP_R_DISABLED);

	if (rc == -EINVAL)
		rc = io_uring_queue_init(RING_ENTRIES, &loop->ring, IORING_SETUP_R_DISABLED);
	if (rc < 0)
		return rc;
	if (!(loop->ring.features & IORING_FEAT_EXT_ARG)) {
		io_uring_queue_exit(&loop->ring);
		return -ENOSYS;
	}
	rc = restrict_ring(&loop->ring);
	if (rc < 0)
		io_uring_queue_exit(&loop->ring);
	return rc;
}

static void uring_fini(struct loop *loop)
{
	io_uring_queue_exit(&loop->ring);
}

static int uring_enter(struct loop *loop)
{
	/* liburing 2.3 declares io_uring_enable_rings(), but does not export it. */
	if (syscall(__NR_io_uring_register, loop->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL,
		    0) < 0)
		return -errno;
	loop->ring.flags &= ~IORING_SETUP_R_DISABLED;
	/* Saves a descriptor look-up a call; old kernels lack it. */
	(void)io_uring_register_ring_fd(&loop->ring);
	return 0;
}

static struct io_uring_sqe *get_sqe(struct loop *loop)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);

	if (!sqe && io_uring_submit(&loop->ring) > 0)
		sqe = io_uring_get_sqe(&loop->ring);
	return sqe;
}

static unsigned to_poll_mask(unsigned events)
{
	return (events & LOOP_READ ? POLLIN : 0U) | (events & LOOP_WRITE ? POLLOUT : 0U);
}

static unsigned from_poll_mask(unsigned mask)
{
	return (mask & POLLIN ? LOOP_READ : 0U) | (mask & POLLOUT ? LOOP_WRITE : 0U) |
	       (mask & (POLLERR | POLLHUP | POLLNVAL) ? LOOP_HANGUP : 0U);
}

static int uring_arm(struct loop *loop, unsigned slot)
{
	struct loop_slot *s = &loop->slots[slot];
	struct io_uring_sqe *sqe = get_sqe(loop);

	if (!sqe)
		return -EBUSY;
	if (s->is_eventfd)
		io_uring_prep_read(sqe, s->w->fd, &s->count, sizeof(s->count), 0);
	else
		io_uring_prep_poll_add(sqe, s->w->fd, to_poll_mask(s->w->events));
	io_uring_sqe_set_data64(sqe, slot_tag(loop, slot));
	s->armed = true;
	return 0;
}

static void uring_disarm(struct loop *loop, unsigned slot)
{
	struct loop_slot *s = &loop->slots[slot];
	struct io_uring_sqe *sqe;

	if (!s->armed)
		return;
	s->armed = false;
	sqe = get_sqe(loop);
	if (!sqe)
		return; /* the request stays behind; its generation makes it harmless */
	io_uring_prep_cancel64(sqe, slot_tag(loop, slot), 0);
	io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}

/*
 * A watcher was removed, but its read had already taken an event, or did before
 * its cancellation was submitted. Whoever watches the eventfd by now, in whichever
 * slot, would wait for ever: all are told, and find nothing new at worst.
 */
static void give_back_event(struct loop *loop)
{
	for (unsigned i = 0; i < loop->nr_slots; i++) {
		if (loop->slots[i].w && loop->slots[i].is_eventfd)
			loop_dispatch_fd(loop, i, loop->slots[i].gen, LOOP_READ);
	}
}

static void complete_slot(struct loop *loop, uint64_t tag, int res)
{
	unsigned slot = (unsigned)(tag & UINT32_MAX) >> 3;
	uint32_t gen = (uint32_t)(tag >> 32);
	struct loop_slot *s = &loop->slots[slot];

	if (!s->w || s->gen != gen) {
		/* Or the result of a poll: then it is as good as any spurious wake-up. */
		if (res == (int)sizeof(s->count))
			give_back_event(loop);
		return;
	}
	s->armed = false;
	/* Its event is taken already, and a callback that drains wants the next. */
	if (s->is_eventfd)
		loop_arm_slot(loop, slot);
	if (res >= 0)
		loop_dispatch_fd(loop, slot, gen,
				 s->is_eventfd ? LOOP_READ : from_poll_mask((unsigned)res));
	else if (res != -EAGAIN && res != -EINTR)
		loop_dispatch_fd(loop, slot, gen, LOOP_HANGUP);
	/* The callback may have removed or changed it, or armed it by a change. */
	if (s->w && s->gen == gen && !s->armed && s->w->events)
		loop_arm_slot(loop, slot);
}

static void complete(struct loop *loop, uint64_t tag, int res)
{
	if ((tag & TAG_MASK) == TAG_SLOT) {
		complete_slot(loop, tag, res);
	} else if ((tag & TAG_MASK) == 0) {
		struct loop_op *op = (struct loop_op *)(uintptr_t)tag;

		op->done(op, res);
	}
}

/* One at a time: a callback may drain, and so take completions itself. */
static void reap(struct loop *loop)
{
	struct io_uring_cqe *cqe;

	for (int i = 0; i < TURN_MAX && io_uring_peek_batch_cqe(&loop->ring, &cqe, 1) == 1; i++) {
		uint64_t tag = cqe->user_data;
		int res = cqe->res;

		io_uring_cq_advance(&loop->ring, 1);
		complete(loop, tag, res);
	}
}

static int uring_wait(struct loop *loop, uint64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (long long)(timeout_ns / NSEC_PER_SEC),
		.tv_nsec = (long long)(timeout_ns % NSEC_PER_SEC),
	};
	struct io_uring_cqe *cqe;
	int rc;

	/* Not a timeout of 0, for which the kernel would set a timer. */
	if (timeout_ns == 0)
		rc = io_uring_submit_and_get_events(&loop->ring);
	else
		rc = io_uring_submit_and_wait_timeout(&loop->ring, &cqe, 1,
						      timeout_ns == UINT64_MAX ? NULL : &ts, NULL);
	/* EBUSY and EAGAIN: completions must be reaped before more is accepted. */
	if (rc < 0 && rc != -ETIME && rc != -EINTR && rc != -EBUSY && rc != -EAGAIN)
		return rc;
	reap(loop);
	return 0;
}

const struct loop_poller loop_uring_poller = {
	.init = uring_init,
	.fini = uring_fini,
	.enter = uring_enter,
	.arm = uring_arm,
	.disarm = uring_disarm,
	.wait = uring_wait,
};

struct io_uring *loop_ring(struct loop *loop)
{
	return loop->poller == &loop_uring_poller ? &loop->ring : NULL;
}

struct io_uring_sqe *loop_get_sqe(struct loop *loop, struct loop_op *op)
{
	struct io_uring_sqe *sqe = NULL;

	if (loop->poller == &loop_uring_poller)
		sqe = get_sqe(loop);
	if (sqe)
		io_uring_sqe_set_data64(sqe, (uintptr_t)op);
	return sqe;
}

void loop_cancel(struct loop *loop, struct loop_op *op)
{
	struct io_uring_sqe *sqe = get_sqe(loop);

	if (!sqe)
		return;
	io_uring_prep_cancel64(sqe, (uintptr_t)op, 0);
	io_uring_sqe_set_data64(sqe, TAG_IGNORE);
}
