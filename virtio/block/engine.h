/* SPDX-License-Identifier: MIT */
/* Input and output on files, without waiting for it: io_uring, or threads. */
#ifndef FERRY_VIRTIO_BLOCK_ENGINE_H
#define FERRY_VIRTIO_BLOCK_ENGINE_H

#include <sys/uio.h>

#include "util/compiler.h"
#include "virtio/block/block.h"
#include "vmm/loop.h"

/* What a struct block_io can ask for. @file is an index into the engine's files. */
enum engine_kind {
	ENGINE_READ,      /* offset, iov, niov */
	ENGINE_WRITE,     /* the same; flags: RWF_DSYNC */
	ENGINE_SYNC,      /* fdatasync() */
	ENGINE_FALLOCATE, /* offset, bytes; flags: the mode */
};

#define ENGINE_MAX_FILES 2U

/* Larger single buffers are cut to this: the kernel counts in 32 bits. */
#define ENGINE_MAX_IO_BYTES GIB

struct engine;

/*
 * One per queue, on the queue's loop; all calls come from there. The result of
 * an io is what the system call would give: bytes, which may be fewer than
 * asked for, or -errno. io->done is never called from within submit or cancel.
 */
struct engine_ops {
	void (*submit)(struct engine *en, struct block_io *io);
	/* Ask for an early end: -ECANCELED unless it was too late. */
	void (*cancel)(struct engine *en, struct block_io *io);
	/* Nothing is under way. */
	void (*free)(struct engine *en);
};

struct engine {
	const struct engine_ops *ops;
};

struct engine_files {
	int fds[ENGINE_MAX_FILES];
	unsigned nr;
	/*
	 * The ring may have references of its own, which are faster to look up. The kernel drops
	 * them some time after the process's end.
	 */
	bool may_pin;
};

/*
 * Make the engine that @loop allows: on its ring, or threads where it has none. On the
 * loop's thread, or before it runs. The files stay open, and the caller's. 0 or -errno.
 */
__must_check int engine_new(struct loop *loop, const struct engine_files *files,
			    struct engine **ret);

/* The two kinds; engine_new() chooses. */
__must_check int engine_uring_new(struct loop *loop, const struct engine_files *files,
				  struct engine **ret);
__must_check int engine_threads_new(struct loop *loop, const struct engine_files *files,
				    struct engine **ret);

#endif
