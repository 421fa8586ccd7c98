// SPDX-License-Identifier: MIT
// Section headers: sizes and checksums.
#include "migration/section.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <xxhash.h>

#include "migration/frames.h"
#include "migration/vstate.h"

#define CHECKED_BYTES 16U /* of the header, under the checksum */

struct wire_header {
	uint32_t type, id;
	uint64_t bytes;
	uint64_t checksum;
};

_Static_assert(sizeof(struct wire_header) == SECTION_HEADER_BYTES, "no padding");

/* What a skipped section may have: it is read all the same, for its checksum. */
#define OPTIONAL_MAX_BYTES (1 * MIB)

static const struct {
	uint32_t type;
	uint64_t max_bytes;
} limits[] = {
	{ SECTION_CONFIG, 1 * MIB },
	{ SECTION_CLOCK, 4 * KIB },
	{ SECTION_IRQCHIP, 64 * KIB },
	{ SECTION_VCPU, 256 * KIB },
	{ SECTION_DEVICE, VSTATE_MAX_BYTES + 2 + 255 + 255 },
	{ SECTION_END, 0 },
	{ SECTION_MACHINE, 4 * KIB },
	{ SECTION_RAM_INDEX, 16 * MIB },
	{ SECTION_HELLO, 64 * KIB },
	{ SECTION_REPLY, 64 * KIB },
	{ SECTION_MESSAGE, 64 * KIB },
	{ SECTION_RAM_SYNC, 64 * KIB },
	{ SECTION_BOOT, 1 * MIB },
	{ SECTION_FRAMES, FRAMES_MAX_BYTES },
};

bool section_is_known(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (limits[i].type == type)
			return true;
	}
	return false;
}

uint64_t section_max_bytes(uint32_t type)
{
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		if (limits[i].type == type)
			return limits[i].max_bytes;
	}
	return type & SECTION_OPTIONAL ? OPTIONAL_MAX_BYTES : 0;
}

static uint64_t checksum(const void *header, const void *payload, size_t bytes)
{
	return XXH3_64bits_withSeed(payload, bytes, XXH3_64bits(header, CHECKED_BYTES));
}

void section_seal(uint8_t header[SECTION_HEADER_BYTES], uint32_t type, uint32_t id,
		  const void *payload, size_t bytes)
{
	struct wire_header h = {
		.type = htole32(type),
		.id = htole32(id),
		.bytes = htole64(bytes),
	};

	h.checksum = htole64(checksum(&h, payload, bytes));
	memcpy(header, &h, sizeof(h));
}

int section_parse_header(const uint8_t header[SECTION_HEADER_BYTES], struct section *ret,
			 struct err *e)
{
	struct wire_header h;
	uint32_t type;
	uint64_t bytes;

	memcpy(&h, header, sizeof(h));
	type = le32toh(h.type);
	bytes = le64toh(h.bytes);
	if (!section_is_known(type) && !(type & SECTION_OPTIONAL))
		return err_set(e, -EPROTO,
			       "section of unknown type %u: damaged, or of a newer version", type);
	if (bytes > section_max_bytes(type))
		return err_set(e, -EPROTO,
			       "section of type %u has %llu bytes, at most %llu are allowed", type,
			       (unsigned long long)bytes,
			       (unsigned long long)section_max_bytes(type));
	*ret = (struct section){ .type = type, .id = le32toh(h.id), .bytes = bytes };
	return 0;
}

int section_verify(const uint8_t header[SECTION_HEADER_BYTES], const void *payload, struct err *e)
{
	struct wire_header h;

	memcpy(&h, header, sizeof(h));
	if (checksum(&h, payload, le64toh(h.bytes)) != le64toh(h.checksum))
		return err_set(e, -EBADMSG,
			       "section of type %u, id %u: wrong checksum, it is damaged",
			       le32toh(h.type), le32toh(h.id));
	return 0;
}
