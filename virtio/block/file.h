/* SPDX-License-Identifier: MIT */
/* A disk image on the host: opening it, its lock, and what it can do. */
#ifndef FERRY_VIRTIO_BLOCK_FILE_H
#define FERRY_VIRTIO_BLOCK_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/err.h"
#include "virtio/block/block.h"

/* All const after block_file_open(). */
struct block_file {
	int fd;
	uint64_t bytes; /* as found when opened */
	bool direct;    /* O_DIRECT: offsets, lengths and memory in whole sectors */
	bool is_device;
	bool can_punch; /* fallocate() can make holes */
};

/*
 * Open a regular file or block device, for reading alone if @cfg says readonly
 * or overlay.
 *
 * The image is locked, and stays so until the file is closed: a shared lock for
 * readers, an exclusive one for a writer. It is an open-file-description lock
 * over the whole file, and so belongs to the descriptor rather than to the
 * process: descriptor and lock together can be handed to another process
 * (SCM_RIGHTS), and a migration can give the lock up and take it again by
 * block_file_lock() while the file stays open. QEMU and its tools take locks of
 * the same kind and respect ours.
 *
 * 0, or -errno with the reason in @e; -EBUSY if somebody else holds the lock.
 */
__must_check int block_file_open(struct block_file *f, const struct block_image_config *cfg,
				 struct err *e);
void block_file_close(struct block_file *f);

/* Take the lock that a reader or a writer needs. As above. */
__must_check int block_file_lock(int fd, const char *path, bool writer, struct err *e);

#endif
