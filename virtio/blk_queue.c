// SPDX-License-Identifier: MIT
// virtio-blk: working a queue.
//
// Theory of operation
//
// A kick, a batch of completions and the end of a wait for the limit all pump:
// take every request that is there, as far as slots and limits allow. The loop
// submits them to the kernel with one call when its turn ends. Completions of a
// turn fill the used ring as they come; the work that the first one deferred to
// the end of the turn publishes them together, with one decision about an
// interrupt, and pumps again: what the driver has queued meanwhile needs no
// kick. Requests that end at once go the same way.
//
// Where the driver's next request tends to come at once, the queue looks out for
// it a short while before it asks for a kick: that spares both sides a switch.
// Where it looked in vain some times in a row it asks at once, and tries its luck
// again some idle times later.
//
// A request that the page cache has is done before the call that submits it
// returns. So where the last one was, the queue does not ask for a kick while
// requests are under way, but lets the loop submit them without waiting, and
// looks again: the driver is spared a kick for what we would see anyway. Where
// nothing was done at once, it asks for the kick then, and tries its luck again
// some requests later.
//
// What is throttled stays in the ring: whether the next request may go is known
// before it is looked at, since token buckets allow debt.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/counter.h"
#include "virtio/blk_impl.h"

#define LOOK_OUT_NS     (50 * NSEC_PER_USEC)
#define LOOK_OUT_PAUSES 20U
/* So many times in vain, in a row, and we do not look out so many times. */
#define LOOK_OUT_MISSES 4U
#define LOOK_OUT_REST   64U

/* Ends of the loop's turn until what was taken is with the kernel: a kick is in midst of one. */
#define SETTLE_TURNS 2U

/* Submissions that wait for a kick, after one of which nothing was done at once. */
#define PATIENT_TURNS 32U

static const char *const op_names[BLOCK_OP_MAX] = {
	[BLOCK_READ] = "read",
	[BLOCK_WRITE] = "write",
	[BLOCK_FLUSH] = "flush",
	[BLOCK_DISCARD] = "discard",
	[BLOCK_WRITE_ZEROES] = "write zeroes",
};

static bool is_broken(const struct blk_queue *q)
{
	return atomic_load_explicit(&q->vq->dev->broken, memory_order_relaxed);
}

static void put_slot(struct blk_slot *s)
{
	struct blk_queue *q = s->q;

	s->next_free = q->free;
	q->free = s;
	q->nr_free++;
	atomic_store_explicit(&q->counters.in_flight, q->nr_slots - q->nr_free,
			      memory_order_relaxed);
}

static struct blk_slot *get_slot(struct blk_queue *q)
{
	struct blk_slot *s = q->free;

	q->free = s->next_free;
	q->nr_free--;
	atomic_store_explicit(&q->counters.in_flight, q->nr_slots - q->nr_free,
			      memory_order_relaxed);
	return s;
}

static void complete(struct blk_slot *s, uint8_t status)
{
	struct blk_queue *q = s->q;
	const struct vq_chain *chain = &s->chain;

	*s->status = status;
	if (s->status_hidden)
		chain->iov[chain->nr_out + chain->nr_in - 1].iov_len++;
	/*
	 * Whatever became of the data: the status is the last byte, and a length
	 * that covers it covers all.
	 */
	if (!q->dropping && !is_broken(q))
		vq_fill(&q->vq->ring, chain, (uint32_t)MIN(chain->in_bytes, UINT32_MAX),
			q->filled++);
	else /* the driver hears no more of it, but it was written to all the same */
		vq_mark_dirty(&q->vq->ring, chain);
	put_slot(s);
	loop_defer(q->loop, &q->batch_end);
}

static void count(struct blk_slot *s, int res)
{
	struct blk_counters *c = &s->q->counters;
	enum block_op op = s->rq.op;
	uint64_t took_ns;

	if (!COUNTERS_KEPT)
		return;
	took_ns = clock_now_ns() - s->start_ns;
	counter_add(&c->ops[op], 1);
	counter_add(&c->bytes[op], s->rq.bytes);
	counter_add(&c->errors[op], res < 0);
	counter_add(&c->latency_ns[op], took_ns);
	counter_add(&c->latency[op][counter_bucket(took_ns)], 1);
}

/* What the host may have to move for it. */
static uint64_t bytes_to_move(const struct block_request *rq)
{
	return rq->op == BLOCK_FLUSH || rq->op == BLOCK_DISCARD ? 0 : rq->bytes;
}

static void request_done(struct block_request *rq, int res)
{
	struct blk_slot *s = container_of(rq, struct blk_slot, rq);
	struct blk *blk = s->q->blk;

	s->submitted = NULL;
	s->q->busy_bytes -= bytes_to_move(rq);
	count(s, res);
	if (res < 0 && res != -ECANCELED)
		log_limited(&blk->io_log, LOG_ERROR, "%s: %s of %llu bytes at byte %llu: %s",
			    blk->vdev.device.id, op_names[rq->op], (unsigned long long)rq->bytes,
			    (unsigned long long)rq->offset, strerror(-res));
	complete(s, res == 0             ? VIRTIO_BLK_S_OK
		    : res == -EOPNOTSUPP ? VIRTIO_BLK_S_UNSUPP
					 : VIRTIO_BLK_S_IOERR);
}

static void submit(struct blk_slot *s, uint64_t now_ns)
{
	struct blk_queue *q = s->q;

	token_bucket_charge(&q->blk->iops, 1, now_ns);
	if (s->rq.op == BLOCK_READ || s->rq.op == BLOCK_WRITE)
		token_bucket_charge(&q->blk->bps, s->rq.bytes, now_ns);
	q->busy_bytes += bytes_to_move(&s->rq);
	s->start_ns = now_ns;
	s->rq.done = request_done;
	blk_merge_add(s);
}

/* Take one request. 1, 0 if there is none, -EPROTO if the driver is beyond help. */
static int take(struct blk_queue *q, uint64_t now_ns)
{
	struct blk_slot *s = q->free;
	int rc = vq_pop(&q->vq->ring, &s->chain);

	if (rc <= 0)
		return rc;
	(void)get_slot(q);
	rc = blk_request_parse(s);
	if (rc < 0) {
		put_slot(s);
		return rc;
	}
	if (rc == BLK_SUBMIT)
		submit(s, now_ns);
	else
		complete(s, (uint8_t)rc);
	return 1;
}

/* Over its limits? Then the timer goes on. */
static bool wait_for_limit(struct blk_queue *q, uint64_t now_ns)
{
	uint64_t iops_ns = token_bucket_delay_ns(&q->blk->iops, now_ns);
	uint64_t bps_ns = token_bucket_delay_ns(&q->blk->bps, now_ns);

	if (iops_ns == 0 && bps_ns == 0)
		return false;
	if (!q->limit.armed && vq_has_work(&q->vq->ring))
		counter_add(&q->counters.throttled, 1);
	loop_arm(q->loop, &q->limit, now_ns + MAX(iops_ns, bps_ns));
	return true;
}

/* Does the driver bring more while we watch? */
static bool watch_ring(const struct blk_queue *q)
{
	uint64_t until_ns = clock_now_ns() + LOOK_OUT_NS;

	do {
		if (vq_has_work(&q->vq->ring))
			return true;
		/* Each look takes the line from the driver, who is about to write it. */
		for (unsigned i = 0; i < LOOK_OUT_PAUSES; i++)
			__builtin_ia32_pause();
	} while (clock_now_ns() < until_ns);
	return false;
}

static bool look_out(struct blk_queue *q)
{
	/* Completions are not seen meanwhile, so there must be none to come or to show. */
	if (q->nr_free < q->nr_slots || q->filled > 0)
		return false;
	if (q->look_out_rest > 0) {
		q->look_out_rest--;
		return false;
	}
	if (watch_ring(q)) {
		q->look_out_misses = 0;
		return true;
	}
	if (++q->look_out_misses >= LOOK_OUT_MISSES)
		q->look_out_rest = LOOK_OUT_REST;
	return false;
}

/* Put off asking for a kick, for as long as it takes to submit what was taken? */
static bool put_off_kicks(struct blk_queue *q)
{
	unsigned in_flight = q->nr_slots - q->nr_free;

	if (q->settling > 0 || in_flight == 0)
		return false;
	/* A driver that would halt for this one request is better off kicking meanwhile. */
	if (q->driver_sleeps && in_flight == 1)
		return false;
	if (q->patient_turns > 0) {
		q->patient_turns--;
		return false;
	}
	q->settling = SETTLE_TURNS;
	loop_defer(q->loop, &q->settle);
	return true;
}

static bool may_take(const struct blk_queue *q)
{
	return q->nr_free > 0 && q->busy_bytes < BLK_BUSY_BYTES;
}

/* Take what is there. True: there may be more. */
static bool drain_ring(struct blk_queue *q, uint64_t now_ns)
{
	struct vq *ring = &q->vq->ring;
	/* A ring full at a time: then others on this loop, a reset say, have their turn. */
	unsigned budget = ring->state.size;

	while (budget-- > 0 && may_take(q)) {
		int rc;

		if (wait_for_limit(q, now_ns))
			return false;
		rc = take(q, now_ns);
		if (rc < 0) {
			virtio_broken(q->vq->dev, "malformed request on queue %u", q->vq->index);
			return false;
		}
		if (rc == 0 && put_off_kicks(q))
			return false;
		if (rc == 0 && !look_out(q) && !vq_enable_kicks(ring))
			return false;
	}
	/* Otherwise the next completion comes back here. */
	return may_take(q);
}

static void pump(struct blk_queue *q)
{
	uint64_t now_ns = clock_now_ns();

	if (!q->active || is_broken(q))
		return;
	vq_disable_kicks(&q->vq->ring);
	if (drain_ring(q, now_ns))
		loop_defer(q->loop, &q->batch_end);
	blk_merge_submit(q);
}

static void publish(struct blk_queue *q)
{
	if (q->filled == 0)
		return;
	vq_publish(&q->vq->ring, q->filled);
	q->filled = 0;
	q->driver_sleeps = virtio_notify(q->vq);
}

static void end_batch(void *opaque)
{
	publish(opaque);
	pump(opaque);
}

/* Is anything done already of what was put off? Then end_batch() comes, too. */
static void settle(void *opaque)
{
	struct blk_queue *q = opaque;

	q->settling--;
	if (q->filled > 0) {
		q->settling = 0;
	} else if (q->settling > 0) {
		loop_defer(q->loop, &q->settle);
	} else {
		q->patient_turns = PATIENT_TURNS;
		pump(q);
	}
}

static void limit_reached(void *opaque)
{
	pump(opaque);
}

void blk_queue_run(struct virtio_queue *vq)
{
	struct blk_queue *q = vq->priv;

	q->active = true;
	pump(q);
}

static bool is_idle(void *opaque)
{
	const struct blk_queue *q = opaque;

	return q->nr_free == q->nr_slots;
}

void blk_queue_quiesce(struct virtio_queue *vq, bool cancel)
{
	struct blk_queue *q = vq->priv;

	q->active = false;
	q->dropping = cancel;
	loop_disarm(q->loop, &q->limit);
	for (unsigned i = 0; cancel && i < q->nr_slots; i++)
		if (q->slots[i].submitted)
			q->blk->block->ops->cancel(q->block, q->slots[i].submitted);
	loop_drain(q->loop, is_idle, q);
	if (cancel)
		q->filled = 0;
	publish(q);
	q->dropping = false;
}

static int make_slots(struct blk_queue *q, unsigned nr)
{
	/* Large, but touched only as far as it is used: slots are taken last in, first out. */
	q->slots = calloc(nr, sizeof(*q->slots));
	q->iovs = calloc((size_t)nr * nr, sizeof(*q->iovs));
	if (!q->slots || !q->iovs)
		return -ENOMEM;
	q->nr_slots = nr;
	while (nr-- > 0) {
		struct blk_slot *s = &q->slots[nr];

		s->q = q;
		s->chain.iov = &q->iovs[(size_t)nr * q->nr_slots];
		s->chain.max_iov = q->nr_slots;
		put_slot(s);
	}
	return 0;
}

struct attach_call {
	struct blk_queue *q;
	int rc;
};

static void attach_on_loop(void *opaque)
{
	struct attach_call *call = opaque;

	call->rc = block_attach(call->q->blk->block, call->q->loop, &call->q->block);
}

/* The transport has stopped the queue; nothing of it stays on the loop. */
static void leave_loop(void *opaque)
{
	struct blk_queue *q = opaque;

	loop_undefer(q->loop, &q->batch_end);
	loop_undefer(q->loop, &q->settle);
	loop_disarm(q->loop, &q->limit);
	if (q->block)
		q->blk->block->ops->detach(q->block);
}

int blk_queue_init(struct blk_queue *q, struct blk *blk, struct virtio_queue *vq)
{
	struct attach_call call = { .q = q };
	char name[48];
	int rc;

	q->blk = blk;
	q->vq = vq;
	q->batch_end = (struct loop_work){ .fn = end_batch, .opaque = q };
	q->settle = (struct loop_work){ .fn = settle, .opaque = q };
	q->limit = (struct loop_timer){ .fn = limit_reached, .opaque = q };
	vq->priv = q;
	vq->loop = q->loop;
	rc = make_slots(q, vq->max_size);
	if (rc < 0)
		return rc;
	loop_call_sync(q->loop, attach_on_loop, &call);
	if (call.rc < 0 || q->shares_loop)
		return call.rc;
	(void)snprintf(name, sizeof(name), "%s/%u", blk->vdev.device.id, vq->index);
	return loop_start(q->loop, THREAD_IO, name);
}

void blk_queue_fini(struct blk_queue *q)
{
	loop_call_sync(q->loop, leave_loop, q);
	if (!q->shares_loop)
		loop_free(q->loop);
	free(q->iovs);
	free(q->slots);
}
