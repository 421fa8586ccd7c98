/* SPDX-License-Identifier: MIT */
/* SECTION_FRAMES: what came for a guest where it had just left. */
#ifndef FERRY_MIGRATION_FRAMES_H
#define FERRY_MIGRATION_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "migration/section.h"
#include "util/compiler.h"
#include "util/err.h"

/*
 * The section's id is the nic's place in the configuration. Its payload are frames, one
 * behind the other: u32 bytes, little-endian, then that many bytes: a virtio header and the
 * frame, as a back end gives them (net/netdev.h). What is in them is the device's to judge.
 */
#define FRAMES_MAX_BYTES (1 * MIB)

/* A virtio header and the least that Ethernet calls a frame. */
#define FRAMES_MIN_FRAME 26U

/*
 * Of one conversation, whatever the source says: a tap keeps 1000 frames. A section counts as
 * FRAMES_SECTION_COST at least, so that there are not too many of them either.
 */
#define FRAMES_MAX_TOTAL    (64 * MIB)
#define FRAMES_SECTION_COST (16 * KIB)

/* Append a frame at @used of @buf, which has FRAMES_MAX_BYTES. The new @used, or 0: no room. */
size_t frames_put(uint8_t *buf, size_t used, const void *frame, size_t bytes);

/*
 * The next frame of @s behind *@pos, which is 0 at first, in place. 1; 0: that was all;
 * -EPROTO: the payload is none; then the rest is not looked at.
 */
__must_check int frames_get(const struct section *s, size_t *pos, struct iovec *ret, struct err *e);

#endif
