/* SPDX-License-Identifier: MIT */
/* Disk images in temporary directories, for tests. */
#ifndef FERRY_TESTS_UNIT_TMPDISK_H
#define FERRY_TESTS_UNIT_TMPDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A directory of its own, with one image in it. */
struct tmpdisk {
	char dir[256];
	char path[280];
	bool mounted;
};

/* Each sector of a new image starts with its number, and goes on with this. */
#define TMPDISK_FILL 0xd5

/* An image of @bytes in a new directory below $TMPDIR or /tmp. */
void tmpdisk_new(struct tmpdisk *t, size_t bytes);

/*
 * The same on a tmpfs of its own with room for @room bytes; the image is sparse.
 * False where the process may not mount.
 */
bool tmpdisk_new_small(struct tmpdisk *t, size_t bytes, size_t room);

void tmpdisk_free(struct tmpdisk *t);

/* Read the image as it is on the host. */
void tmpdisk_read(const struct tmpdisk *t, uint64_t offset, void *buf, size_t len);

/* Is the sector what tmpdisk_new() wrote there? */
bool tmpdisk_is_fresh(const uint8_t *sector, uint64_t number);

#endif
