/* SPDX-License-Identifier: MIT */
/* Split virtqueues: the only code in ferry that touches a ring. */
#ifndef FERRY_VIRTIO_QUEUE_H
#define FERRY_VIRTIO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/compiler.h"
#include "vmm/gmem.h"

/*
 * The rings live in guest memory and change under us at any time (VIRTIO 1.2,
 * 2.7). Rules that keep this safe:
 * - each descriptor is copied once to a local, then checked, then used;
 * - addresses go through gmem_ptr(), lengths are summed in 64 bits;
 * - a chain has at most as many descriptors as the queue has entries, indirect
 *   ones included, so loops end;
 * - a descriptor of length zero is an error, though 2.7.5 does not forbid it: no
 *   driver sends one, and no device has a use for an empty buffer;
 * - what the driver got wrong is reported as -EPROTO: the device then asks for
 *   a reset (NEEDS_RESET), and the queue is not looked at again.
 * One thread, the queue's own, calls everything here between vq_start() and
 * the queue's stop; no locks.
 */
#define VQ_MAX_SIZE 1024U

/* What is saved of a queue. */
struct vq_state {
	uint64_t desc_gpa, avail_gpa, used_gpa;
	uint16_t size;       /* entries, a power of two */
	uint16_t vector;     /* MSI-X vector, or VIRTIO_MSI_NO_VECTOR */
	uint16_t last_avail; /* next entry of the available ring to look at */
	uint16_t used_idx;   /* what was last published */
	uint8_t enabled;
};

struct vq {
	struct gmem *gm; /* const */
	struct vq_state state;
	bool event_idx;         /* VIRTIO_F_EVENT_IDX negotiated */
	bool indirect;          /* VIRTIO_F_INDIRECT_DESC negotiated */
	uint16_t avail_idx;     /* the driver's index when last read */
	uint32_t nr_unsignaled; /* published since the last interrupt decision */
	/* Host addresses of the rings, looked up by vq_start(). */
	void *desc, *avail, *used;
};

/*
 * One request: a descriptor chain, resolved to host addresses. The caller
 * gives the iovec array; device-readable buffers come first in it.
 */
struct vq_chain {
	uint16_t head;
	struct iovec *iov; /* caller's array */
	unsigned max_iov;  /* its length */
	unsigned nr_out;   /* iov[0 .. nr_out): the driver wrote them, we read */
	unsigned nr_in;    /* iov[nr_out .. nr_out + nr_in): we write */
	uint64_t out_bytes, in_bytes;
};

/*
 * Look the rings up and check them (alignment, RAM, size). Called once before
 * use with q->state filled in. 0, or -EPROTO where the driver's set-up is bad.
 */
__must_check int vq_start(struct vq *q);

/*
 * Take the next available chain. 1: *chain is filled in; 0: none there;
 * -EPROTO: the driver broke the rules; -E2BIG never: a chain with more buffers
 * than chain->max_iov is a broken rule too, since devices announce their limits.
 */
__must_check int vq_pop(struct vq *q, struct vq_chain *chain);

/* Give the last @count chains back, as if they had not been popped. */
void vq_unpop(struct vq *q, unsigned count);

/* Are there chains to pop? Says so without taking one. */
bool vq_has_work(const struct vq *q);

/*
 * Put a finished chain into the used ring at position @ahead beyond what was
 * published, with @written bytes of its in-buffers filled. All of its
 * in-buffers are marked dirty: a request that failed may have written anywhere.
 * So nothing may be written to them afterwards.
 */
void vq_fill(struct vq *q, const struct vq_chain *chain, uint32_t written, unsigned ahead);

/*
 * What vq_fill() marks, for a chain that does not go back to the driver, or not
 * yet, though its buffers may have been written to.
 */
void vq_mark_dirty(struct vq *q, const struct vq_chain *chain);

/* Show the driver @count filled elements. */
void vq_publish(struct vq *q, unsigned count);

/* vq_fill(.., 0) and vq_publish(.., 1). */
void vq_push(struct vq *q, const struct vq_chain *chain, uint32_t written);

/*
 * After pushing: does the driver want an interrupt (2.7.7, 2.7.10)? To be
 * asked once per batch; with EVENT_IDX it covers all that was published since
 * the last question.
 */
bool vq_wants_interrupt(struct vq *q);

/*
 * Ask the driver for notifications, or for none while we poll (2.7.10).
 * Enable returns true if work came in between: then the caller goes on.
 */
bool vq_enable_kicks(struct vq *q);
void vq_disable_kicks(struct vq *q);

/* Copy between a linear buffer and a chain, from @offset; bytes copied. */
size_t vq_read_out(const struct vq_chain *chain, size_t offset, void *buf, size_t len);
size_t vq_write_in(const struct vq_chain *chain, size_t offset, const void *buf, size_t len);

#endif
