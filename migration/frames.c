// SPDX-License-Identifier: MIT
// SECTION_FRAMES: frames in a payload.
#include "migration/frames.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

size_t frames_put(uint8_t *buf, size_t used, const void *frame, size_t bytes)
{
	uint32_t wire = htole32((uint32_t)bytes);

	if (bytes > FRAMES_MAX_BYTES - sizeof(wire) ||
	    used > FRAMES_MAX_BYTES - sizeof(wire) - bytes)
		return 0;
	memcpy(buf + used, &wire, sizeof(wire));
	memcpy(buf + used + sizeof(wire), frame, bytes);
	return used + sizeof(wire) + bytes;
}

int frames_get(const struct section *s, size_t *pos, struct iovec *ret, struct err *e)
{
	size_t left = s->bytes - *pos;
	uint32_t bytes;

	if (left == 0)
		return 0;
	if (left < sizeof(bytes))
		return err_set(e, -EPROTO, "FRAMES: half a frame");
	memcpy(&bytes, (uint8_t *)s->payload + *pos, sizeof(bytes));
	bytes = le32toh(bytes);
	if (bytes < FRAMES_MIN_FRAME || bytes > left - sizeof(bytes))
		return err_set(e, -EPROTO, "FRAMES: a frame of %u bytes", bytes);
	*ret = (struct iovec){ (uint8_t *)s->payload + *pos + sizeof(bytes), bytes };
	*pos += sizeof(bytes) + bytes;
	return 1;
}
