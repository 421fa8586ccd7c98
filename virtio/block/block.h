/* SPDX-License-Identifier: MIT */
/* What a disk's back end offers to virtio-blk. */
#ifndef FERRY_VIRTIO_BLOCK_BLOCK_H
#define FERRY_VIRTIO_BLOCK_BLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/loop.h"

/*
 * Theory of operation
 *
 * A struct block is one disk; each of its users, the queues of a virtio-blk
 * device, has a struct block_queue on its own loop, and nothing is shared
 * between queues that needs a lock. A request is submitted on its queue's loop
 * and its callback comes on the same thread: later, or from within the
 * submission where nothing had to be waited for. There is no call that ends a
 * batch, because the loop submits all that a turn produced with one system
 * call.
 *
 * The caller owns the request and keeps it, its iovec array and the memory that
 * it points to, until the callback has come; it comes exactly once, cancelled
 * or not. Memory may change under a running request, since it is the guest's.
 */
#define BLOCK_SECTOR_BYTES 512ULL

enum block_op {
	BLOCK_READ,
	BLOCK_WRITE,
	BLOCK_FLUSH,
	BLOCK_DISCARD,      /* contents no longer matter */
	BLOCK_WRITE_ZEROES, /* reads give zeroes from now on */
	BLOCK_OP_MAX,
};

enum block_flags {
	BLOCK_FUA = 1 << 0,       /* stable before the callback (write-through) */
	BLOCK_MAY_UNMAP = 1 << 1, /* write zeroes: space may be given back */
};

/* O_DIRECT: does input and output bypass the host's page cache? */
enum block_direct {
	BLOCK_DIRECT_AUTO, /* if the file system can do it by whole sectors */
	BLOCK_DIRECT_ON,
	BLOCK_DIRECT_OFF,
};

/*
 * An image that somebody else has opened, and who may be hostile: what it is, and how it
 * may be used, is looked at. Its lock, if it has one, comes with it.
 */
struct block_given {
	int fd;         /* for writing only where the disk writes; taken over on success */
	int overlay_fd; /* an empty file for an overlay, the same; -1: none */
};

struct block;
struct vstate_reader;
struct vstate_writer;

/* A disk's context for one queue; back ends embed it. */
struct block_queue {
	struct block *block;
};

/* What a back end needs for a request under way; private to it. */
struct block_io {
	struct loop_op op;
	void (*done)(struct block_io *io, int res);
	unsigned kind, file;
	int flags;
	uint64_t offset, bytes;
	const struct iovec *iov;
	unsigned niov;
	int state;
	int res;
	STAILQ_ENTRY(block_io) link;
};

/*
 * One request. Offset and length are multiples of BLOCK_SECTOR_BYTES, not
 * empty and inside the disk; the iovecs add up to @bytes. Flushes have neither.
 */
struct block_request {
	/* the caller's; const from submit to done */
	enum block_op op;
	unsigned flags;
	uint64_t offset, bytes;
	struct iovec *iov;
	unsigned niov;
	/* 0, or -errno: -ENOSPC, -EIO (also for a file that has become too
	 * short), -ECANCELED. A failed write leaves its range undefined. */
	void (*done)(struct block_request *rq, int res);

	/* the back end's; nothing need be initialised */
	struct block_queue *queue;
	struct block_io io;
	struct iovec piece; /* what io transfers, where that is not all at once */
	uint64_t pos;       /* bytes done */
	void *bounce;
	const int *modes; /* of fallocate(), still to be tried */
	bool cancelled;
};

struct block_ops {
	/* "raw", "overlay" */
	const char *name;
	/* A context for one queue, on @loop: from its thread, or before it runs. 0 or -errno. */
	int (*attach)(struct block *b, struct loop *loop, struct block_queue **ret);
	/* Free a context that has no requests under way; as attach. */
	void (*detach)(struct block_queue *q);
	void (*submit)(struct block_queue *q, struct block_request *rq);
	/* Make @rq's callback come soon: -ECANCELED unless it was too late. */
	void (*cancel)(struct block_queue *q, struct block_request *rq);
	/* Close the disk; all contexts are detached. */
	void (*free)(struct block *b);

	/*
	 * Hand-over, while no request is under way; see block_take_lock() and
	 * block_release_lock() below.
	 */
	int (*take_lock)(struct block *b, struct err *e);
	int (*release_lock)(struct block *b, struct err *e);
	int (*resize)(struct block *b, uint64_t bytes, struct err *e);

	/*
	 * What must go with the guest of the disk's contents, as in struct
	 * device_ops; NULL: nothing. No request is under way at save and load.
	 */
	int (*can_save)(struct block *b, struct err *e);
	void (*save)(struct block *b, struct vstate_writer *w);
	int (*load)(struct block *b, struct vstate_reader *r, struct err *e);
};

/* A disk; all const after it was made, but for its size. */
struct block {
	const struct block_ops *ops;
	uint64_t bytes;             /* capacity: whole sectors; see block_resize() */
	bool readonly;              /* writes are refused, -EROFS */
	bool can_discard;           /* and write zeroes */
	bool direct;                /* O_DIRECT is in use */
	uint32_t physical_bytes;    /* best size and alignment of small writes */
	uint32_t discard_bytes;     /* granularity of space */
	uint64_t max_discard_bytes; /* most of one discard or write zeroes */
};

/* What block_image_new() needs to know of an image. */
struct block_image_config {
	const char *path;
	bool readonly, overlay;
	/* Its guest comes from elsewhere: neither locked nor used before block_take_lock(). */
	bool incoming;
	enum block_direct direct;
	uint64_t overlay_bytes;    /* of an overlay: its size; 0: the image's */
	struct block_given *given; /* @path is for messages then; NULL: it is opened here */
};

/*
 * Open a raw image or block device; see image.c. The image is locked until
 * the disk is freed or the lock released: many readers (@readonly or @overlay),
 * or one writer. 0, or -errno with the reason in @e.
 */
__must_check int block_image_new(struct block **ret, const struct block_image_config *cfg,
				 struct err *e);

/* The ops above, as calls. */
static inline __must_check int block_attach(struct block *b, struct loop *loop,
					    struct block_queue **ret)
{
	return b->ops->attach(b, loop, ret);
}

/*
 * Give the image up to another process, maybe on another host: all that the guest
 * wrote is on stable storage when it returns 0. From then on every request
 * fails, -ENOLCK, until the lock was taken back. On failure, -errno with the
 * reason in @e, the lock is still ours. Not held: no-op.
 */
static inline __must_check int block_release_lock(struct block *b, struct err *e)
{
	return b->ops->release_lock(b, e);
}

/*
 * Take the lock, of an incoming image or one that was released, and forget what
 * the host's page cache has of it: the other side may have written it since. 0,
 * or -errno with the reason in @e: -EBUSY where somebody has it, -ESTALE if the size
 * has changed. Held: no-op. Both: any thread, no request under way.
 */
static inline __must_check int block_take_lock(struct block *b, struct err *e)
{
	return b->ops->take_lock(b, e);
}

/*
 * Enlarge the disk to @bytes, whole sectors; 0: to what its image has by now. A file grows
 * as needed, of a device its size is looked up, and an overlay grows alone. No request is
 * under way. 0, or -errno with the reason in @e: -EINVAL where it would shrink, or not a
 * sector; -EROFS where the file of a read-only disk would have to grow. Any thread.
 */
static inline __must_check int block_resize(struct block *b, uint64_t bytes, struct err *e)
{
	return b->ops->resize(b, bytes, e);
}

static inline void block_free(struct block *b)
{
	if (b)
		b->ops->free(b);
}

#endif
