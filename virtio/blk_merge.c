// SPDX-License-Identifier: MIT
// virtio-blk: neighbouring requests become one.
//
// Theory of operation
//
// A driver that reads or writes a file from front to back queues requests each
// of which goes on where the one before ended. What costs the host is requests
// more than bytes, so while a queue is drained the last read or write is held
// back, and those that continue it join it. The run is submitted, as one
// request with the buffers of all, when one comes that does not fit, and at the
// end of the drain: nothing waits for a request that may not come.
//
// Its buffers are listed behind the first one's chain, in the array that is
// there for the longest chain. If a run fails, its requests are submitted
// again one by one, so that only those fail that have to.
#include <errno.h>
#include <string.h>

#include "virtio/blk_impl.h"

/* Beyond this, the host cuts a request again. */
#define RUN_MAX_BYTES (1 * MIB)

static void submit(struct blk_slot *s, struct block_request *rq)
{
	struct blk_queue *q = s->q;

	s->submitted = rq;
	q->blk->block->ops->submit(q->block, rq);
}

static void run_done(struct block_request *rq, int res)
{
	struct blk_slot *s = container_of(rq, struct blk_slot, run), *next;
	bool again = res < 0 && res != -ECANCELED && !s->q->dropping;

	s->submitted = NULL;
	for (; s; s = next) {
		next = s->next_in_run;
		s->next_in_run = NULL;
		if (again)
			submit(s, &s->rq);
		else
			s->rq.done(&s->rq, res);
	}
}

/* Put the buffers of @s at the end of the run's. False: no room. */
static bool add_buffers(struct blk_slot *first, const struct blk_slot *s)
{
	const struct vq_chain *chain = &first->chain;
	unsigned used = chain->nr_out + chain->nr_in + first->run.niov;

	if (s->rq.niov > chain->max_iov - used)
		return false;
	memcpy(chain->iov + used, s->rq.iov, s->rq.niov * sizeof(*s->rq.iov));
	first->run.niov += s->rq.niov;
	first->run.bytes += s->rq.bytes;
	return true;
}

/* The run of @first alone. */
static bool start_run(struct blk_slot *first)
{
	const struct vq_chain *chain = &first->chain;

	first->run.op = first->rq.op;
	first->run.flags = first->rq.flags;
	first->run.offset = first->rq.offset;
	first->run.bytes = 0;
	first->run.iov = chain->iov + chain->nr_out + chain->nr_in;
	first->run.niov = 0;
	first->run.done = run_done;
	return add_buffers(first, first);
}

static bool continues(const struct blk_run *run, const struct block_request *rq)
{
	const struct block_request *last = &run->last->rq;

	return rq->op == last->op && rq->flags == last->flags &&
	       rq->offset == last->offset + last->bytes && run->bytes + rq->bytes <= RUN_MAX_BYTES;
}

static bool join(struct blk_run *run, struct blk_slot *s)
{
	if (!run->first || !continues(run, &s->rq))
		return false;
	if (run->last == run->first && !start_run(run->first))
		return false;
	if (!add_buffers(run->first, s))
		return false;
	run->last->next_in_run = s;
	run->last = s;
	run->bytes += s->rq.bytes;
	return true;
}

void blk_merge_add(struct blk_slot *s)
{
	struct blk_run *run = &s->q->run;

	if (join(run, s))
		return;
	blk_merge_submit(s->q);
	if (s->rq.op == BLOCK_READ || s->rq.op == BLOCK_WRITE)
		*run = (struct blk_run){ .first = s, .last = s, .bytes = s->rq.bytes };
	else
		submit(s, &s->rq);
}

void blk_merge_submit(struct blk_queue *q)
{
	struct blk_slot *first = q->run.first;

	if (!first)
		return;
	q->run.first = NULL;
	submit(first, first->next_in_run ? &first->run : &first->rq);
}
