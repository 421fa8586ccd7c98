/* SPDX-License-Identifier: MIT */
/* Throwaway writes: a temporary file over a base, and a map of what is in it. */
#ifndef FERRY_VIRTIO_BLOCK_OVERLAY_H
#define FERRY_VIRTIO_BLOCK_OVERLAY_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * The temporary file is sparse, at least as large as the base, and each sector has
 * the same place in both; one bit per sector of the base says which of them holds
 * it, and what lies beyond the base is in the file. Requests
 * are whole sectors, so nothing is ever copied up from the base, and queues
 * need no lock against each other. The map costs 1/4096 of what was written:
 * its memory is touched as bits are set.
 *
 * The file is made by O_TMPFILE in $TMPDIR, or /var/tmp: it never has a name,
 * and its space is free again when ferry ends, whichever way.
 */
struct overlay {
	int fd;                /* const */
	uint64_t base_bytes;   /* const */
	uint64_t bytes;        /* const but for overlay_resize(): no less than the base has */
	_Atomic uint64_t *map; /* bit n: sector n of the base is in fd */
};

struct overlay_config {
	uint64_t base_bytes, bytes;
	/* An empty file that somebody else has opened, who may be hostile: taken over on
	 * success. NULL: it is made here. */
	int *given_fd;
};

/*
 * Make an empty overlay of cfg->bytes for a base of cfg->base_bytes, both in whole sectors; it
 * may be larger than its base, then with zeroes. 0, or -errno with the reason in @e.
 */
__must_check int overlay_new(struct overlay **ret, const struct overlay_config *cfg, struct err *e);

/* An empty file for it, which has no name. The descriptor, or -errno with the reason in @e. */
__must_check int overlay_open_file(struct err *e);

/*
 * Enlarge it to @bytes, whole sectors; what is new reads as zeroes. No request is under
 * way. 0, or -errno with the reason in @e: it is as it was.
 */
__must_check int overlay_resize(struct overlay *ov, uint64_t bytes, struct err *e);

/* Drop it and all that was written. NULL: no-op. */
void overlay_free(struct overlay *ov);

/*
 * How many of the @bytes at @offset are in the same file as the first one? No run goes
 * beyond the end of the base. *ret_written: that is the temporary one. Any thread.
 */
uint64_t overlay_run(const struct overlay *ov, uint64_t offset, uint64_t bytes, bool *ret_written);

struct vstate_reader;
struct vstate_writer;

/* So much of what a guest wrote goes with it; sectors of zeroes do not count. */
#define OVERLAY_MAX_SAVED_BYTES (64 * MIB)

/*
 * As in struct device_ops; no request is under way at save and load
 * (overlay_state.c). Load is for an overlay that is still empty.
 */
__must_check int overlay_can_save(const struct overlay *ov, struct err *e);
void overlay_save(const struct overlay *ov, struct vstate_writer *w);
__must_check int overlay_load(struct overlay *ov, struct vstate_reader *r, struct err *e);

/* From now on these whole sectors are read from the temporary file. Any thread. */
void overlay_mark(struct overlay *ov, uint64_t offset, uint64_t bytes);

#endif
