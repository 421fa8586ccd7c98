// SPDX-License-Identifier: MIT
// virtio-rng: the entropy device.
#include "virtio/rng.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <sys/random.h>

#include "util/clock.h"
#include "virtio/virtio.h"
#include "virtio/vstate.h"

#define QUEUE_SIZE 64

struct rng_saved {
	uint32_t left_bytes; /* of the window's allowance */
};

struct rng {
	struct virtio_dev dev;
	struct loop *loop; /* const */

	/* loop thread only */
	uint64_t window_end_ns;
	uint32_t left_bytes; /* of this window's allowance */
	struct loop_timer timer;
	struct iovec iov[QUEUE_SIZE];
};

static struct rng *to_rng(struct virtio_dev *dev)
{
	return container_of(dev, struct rng, dev);
}

/* Bytes that may be given away now; 0: the timer is set for when there are some. */
static uint32_t get_allowance(struct rng *rng)
{
	uint64_t now = clock_now_ns();

	if (now >= rng->window_end_ns) {
		rng->window_end_ns = now + RNG_WINDOW_NS;
		rng->left_bytes = RNG_WINDOW_BYTES;
	}
	if (rng->left_bytes == 0)
		loop_arm(rng->loop, &rng->timer, rng->window_end_ns);
	return rng->left_bytes;
}

/* Fill a request as far as @max goes; 0 where the host's pool is not ready yet. */
static uint32_t fill(const struct vq_chain *chain, uint32_t max)
{
	uint32_t done = 0;

	for (unsigned i = 0; i < chain->nr_in && done < max; i++) {
		size_t want = MIN(chain->iov[i].iov_len, max - done);
		ssize_t got = getrandom(chain->iov[i].iov_base, want, GRND_NONBLOCK);

		if (got > 0)
			done += (uint32_t)got;
		if (got < (ssize_t)want)
			break;
	}
	return done;
}

/* Serve what is there, within the allowance. 0, or -EPROTO for a bad chain. */
static int serve(struct rng *rng, struct virtio_queue *q)
{
	struct vq_chain chain = { .iov = rng->iov, .max_iov = QUEUE_SIZE };
	uint32_t max, bytes;
	int rc;

	while ((max = get_allowance(rng)) > 0) {
		rc = vq_pop(&q->ring, &chain);
		if (rc <= 0)
			return rc;
		if (chain.nr_out) /* 5.4.6.1 */
			return -EPROTO;
		bytes = fill(&chain, max);
		if (bytes == 0) {
			vq_unpop(&q->ring, 1);
			rng->left_bytes = 0;
			continue;
		}
		vq_push(&q->ring, &chain, bytes);
		rng->left_bytes -= bytes;
	}
	return 0;
}

static void rng_run(struct virtio_queue *q)
{
	struct rng *rng = to_rng(q->dev);

	if (serve(rng, q) < 0) {
		virtio_broken(q->dev, "malformed request for random numbers");
		return;
	}
	virtio_notify(q);
	/* Out of allowance: the timer goes on, whatever the driver adds. */
	if (!rng->timer.armed && vq_enable_kicks(&q->ring))
		virtio_run_again(q);
}

static void rng_timeout(void *opaque)
{
	struct rng *rng = opaque;
	struct virtio_queue *q = &rng->dev.queues[0];

	if (!atomic_load(&rng->dev.broken))
		rng_run(q);
}

static void rng_quiesce(struct virtio_queue *q, bool cancel)
{
	struct rng *rng = to_rng(q->dev);

	(void)cancel; /* no request outlasts a run */
	loop_disarm(rng->loop, &rng->timer);
}

/* --- saved state ---------------------------------------------------------------- */

static const struct vstate_field rng_fields[] = {
	VS_U32_MAX(1, struct rng_saved, left_bytes, RNG_WINDOW_BYTES),
};

const struct vstate_table rng_vstate = {
	VSTATE_TABLE("virtio-rng", struct rng_saved, rng_fields),
};

/* The loop has nothing to do with it: the queue is quiet. */
static void rng_save(struct virtio_dev *dev, struct vstate_writer *w)
{
	const struct rng *rng = to_rng(dev);
	bool over = clock_now_ns() >= rng->window_end_ns;
	const struct rng_saved saved = { over ? RNG_WINDOW_BYTES : rng->left_bytes };

	vstate_put(w, &rng_vstate, 0, &saved);
}

/* How much of the window was left is forgotten: it starts again. */
static int rng_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e)
{
	struct rng *rng = to_rng(dev);
	struct rng_saved saved = { 0 };
	int rc = vstate_get(r, &rng_vstate, 0, &saved, e);

	if (rc < 0)
		return rc;
	rng->left_bytes = saved.left_bytes;
	rng->window_end_ns = clock_now_ns() + RNG_WINDOW_NS;
	return 0;
}

static void rng_free(struct virtio_dev *dev)
{
	virtio_dev_fini(dev);
	free(to_rng(dev));
}

static const struct virtio_class rng_class = {
	.type = "virtio-rng",
	.device_id = VIRTIO_ID_RNG,
	.pci_class = 0xff, /* no class fits: other */
	.run = rng_run,
	.quiesce = rng_quiesce,
	.save = rng_save,
	.load = rng_load,
	.free = rng_free,
};

int rng_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop)
{
	struct rng *rng = calloc(1, sizeof(*rng));
	int rc;

	if (!rng)
		return -ENOMEM;
	rng->loop = loop;
	rng->timer = (struct loop_timer){ .fn = rng_timeout, .opaque = rng };
	rc = virtio_dev_init(
		&rng->dev, vm, &rng_class, id,
		&(struct virtio_layout){ .nr_queues = 1, .queue_size = QUEUE_SIZE, .loop = loop });
	if (rc < 0)
		goto err_free;
	rc = virtio_pci_attach(&rng->dev, pci, 0);
	if (rc < 0)
		goto err_fini;
	return 0;

err_fini:
	virtio_dev_fini(&rng->dev);
err_free:
	free(rng);
	return rc;
}
