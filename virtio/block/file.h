/* SPDX-License-Identifier: MIT */
/* A disk image on the host: opening it, its lock, and what it can do. */
#ifndef FERRY_VIRTIO_BLOCK_FILE_H
#define FERRY_VIRTIO_BLOCK_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "virtio/block/block.h"

/* All const after block_file_open(), but for locked and bytes. */
struct block_file {
	int fd;
	char *path; /* for messages */
	bool writer;
	/* No request passes without it. Changed while none is under way, so relaxed. */
	_Atomic bool locked;
	uint64_t bytes; /* as found when opened, or as resized */
	bool direct;    /* O_DIRECT: offsets, lengths and memory in whole sectors */
	bool is_device;
	bool unclaimed; /* a device that is written to without its claim, see below */
	bool can_punch; /* fallocate() can make holes */
	/* fallocate() wants whole ones of these: a device's logical blocks, else sectors */
	uint32_t block_bytes;
};

/*
 * Open a regular file or block device, for reading alone if @cfg says readonly
 * or overlay; or take one over that somebody else has opened (cfg->given).
 *
 * The image is locked, and stays so until the file is closed: a shared lock for
 * readers, an exclusive one for a writer. It is an open-file-description lock
 * over the whole file, and so belongs to the descriptor rather than to the
 * process: descriptor and lock together can be handed to another process
 * (SCM_RIGHTS), and a migration can give the lock up and take it again while the
 * file stays open. QEMU and its tools take locks of the same kind and respect
 * ours.
 *
 * A block device that is written to is claimed as well (O_EXCL, open(2)): the lock is of one
 * node in one /dev, the claim of the device. With it nobody mounts the device, swaps to it
 * or makes another one of it or its partitions, and where somebody does that already it is
 * refused. It belongs to the descriptor, too. An incoming guest whose source is on the same
 * host goes without; readers do not claim anything.
 *
 * An incoming image is not locked yet: until block_file_take_lock() nothing
 * is written to it, and one sector read past the page cache to see if that works.
 *
 * 0, or -errno with the reason in @e; -EBUSY if somebody else holds the lock.
 */
__must_check int block_file_open(struct block_file *f, const struct block_image_config *cfg,
				 struct err *e);
void block_file_close(struct block_file *f);

/*
 * Let go of the descriptor, with its lock, which whoever gets it has: the file is closed
 * as far as @f goes. Returns the descriptor, the caller's.
 */
int block_file_give(struct block_file *f);

/* As block_take_lock() and block_release_lock(). */
__must_check int block_file_take_lock(struct block_file *f, struct err *e);
__must_check int block_file_release_lock(struct block_file *f, struct err *e);

/*
 * The size as it is by now, or @bytes after making a file larger; 0: only look. No request
 * is under way. 0, or -errno with the reason in @e.
 */
__must_check int block_file_resize(struct block_file *f, uint64_t bytes, struct err *e);

/* May requests pass? */
static inline bool block_file_is_locked(const struct block_file *f)
{
	return atomic_load_explicit(&f->locked, memory_order_relaxed);
}

#endif
