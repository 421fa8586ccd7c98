// SPDX-License-Identifier: MIT
// virtio-console: output to and input from the guest's console.
#include "virtio/console.h"

#include <errno.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>

#include "virtio/virtio.h"
#include "vmm/console.h"

#define QUEUE_SIZE 64

enum { RX, TX, NR_QUEUES }; /* 5.3.2: port 0 */

struct vcon {
	struct virtio_dev dev;
	struct console *con; /* const */
	struct console_input input;
	struct loop_work input_work;  /* posted by the main loop */
	struct iovec iov[QUEUE_SIZE]; /* loop thread only */
};

static struct vcon *to_vcon(struct virtio_dev *dev)
{
	return container_of(dev, struct vcon, dev);
}

/* Print what the driver has; one ringful at most. */
static int send_output(struct vcon *v, struct virtio_queue *q)
{
	struct vq_chain chain = { .iov = v->iov, .max_iov = QUEUE_SIZE };

	for (unsigned n = 0; n < QUEUE_SIZE; n++) {
		int rc = vq_pop(&q->ring, &chain);

		if (rc <= 0)
			return rc;
		if (chain.nr_in)
			return -EPROTO;
		for (unsigned i = 0; i < chain.nr_out; i++)
			console_write(v->con, chain.iov[i].iov_base, chain.iov[i].iov_len);
		vq_push(&q->ring, &chain, 0);
	}
	return 0;
}

static uint32_t read_input(struct vcon *v, const struct vq_chain *chain)
{
	uint32_t bytes = 0;

	for (unsigned i = 0; i < chain->nr_in; i++) {
		size_t n = console_read(v->con, chain->iov[i].iov_base, chain->iov[i].iov_len);

		bytes += (uint32_t)n;
		if (n < chain->iov[i].iov_len)
			break;
	}
	return bytes;
}

/* Fill the driver's buffers as long as there is input; the rest stays where it is. */
static int receive_input(struct vcon *v, struct virtio_queue *q)
{
	struct vq_chain chain = { .iov = v->iov, .max_iov = QUEUE_SIZE };

	for (;;) {
		int rc = vq_pop(&q->ring, &chain);
		uint32_t bytes;

		if (rc <= 0)
			return rc;
		if (chain.nr_out)
			return -EPROTO;
		bytes = read_input(v, &chain);
		if (bytes == 0) {
			vq_unpop(&q->ring, 1);
			return 0;
		}
		vq_push(&q->ring, &chain, bytes);
	}
}

static void vcon_run(struct virtio_queue *q)
{
	struct vcon *v = to_vcon(q->dev);
	int rc = q->index == TX ? send_output(v, q) : receive_input(v, q);

	if (rc < 0) {
		virtio_broken(q->dev, "malformed buffer in queue %u", q->index);
		return;
	}
	virtio_notify(q);
	/* Receive buffers that wait for input are no work. */
	if (vq_enable_kicks(&q->ring) && q->index == TX)
		virtio_run_again(q);
}

/* Main loop: hand over to the queue's. */
static void on_input(void *opaque)
{
	struct vcon *v = opaque;

	loop_post(v->dev.queues[RX].loop, &v->input_work);
}

static void input_arrived(void *opaque)
{
	struct vcon *v = opaque;
	struct virtio_queue *q = &v->dev.queues[RX];

	if (q->running && !atomic_load(&v->dev.broken))
		vcon_run(q);
}

static void do_nothing(void *opaque)
{
	(void)opaque;
}

static void vcon_free(struct virtio_dev *dev)
{
	struct vcon *v = to_vcon(dev);

	console_remove_input(v->con, &v->input);
	/* Work keeps its order: once this is done, input_work is, too. */
	loop_call_sync(dev->queues[RX].loop, do_nothing, NULL);
	virtio_dev_fini(dev);
	free(v);
}

static const struct virtio_class vcon_class = {
	.type = "virtio-console",
	.device_id = VIRTIO_ID_CONSOLE,
	.pci_class = 0x07, /* communication controller: other */
	.pci_subclass = 0x80,
	.run = vcon_run,
	.free = vcon_free,
};

int vcon_new(struct vm *vm, struct pci_host *pci, const char *id, struct loop *loop,
	     struct console *con)
{
	struct vcon *v = calloc(1, sizeof(*v));
	int rc;

	if (!v)
		return -ENOMEM;
	v->con = con;
	v->input_work = (struct loop_work){ .fn = input_arrived, .opaque = v };
	rc = virtio_dev_init(&v->dev, vm, &vcon_class, id,
			     &(struct virtio_layout){ .nr_queues = NR_QUEUES,
						      .queue_size = QUEUE_SIZE,
						      .loop = loop });
	if (rc < 0)
		goto err_free;
	rc = virtio_pci_attach(&v->dev, pci, 0);
	if (rc < 0)
		goto err_fini;
	v->input = (struct console_input){ .fn = on_input, .opaque = v };
	console_add_input(con, &v->input);
	return 0;

err_fini:
	virtio_dev_fini(&v->dev);
err_free:
	free(v);
	return rc;
}
