/* SPDX-License-Identifier: MIT */
/* The bytes of saved state: what writer, reader and JSON have in common. */
#ifndef FERRY_MIGRATION_VSTATE_IMPL_H
#define FERRY_MIGRATION_VSTATE_IMPL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "migration/vstate.h"

/*
 * A buffer of state is a list of parts, little-endian, each
 *
 *	u8  flags        PART_*
 *	u8  bytes of the name
 *	u16 index
 *	u32 bytes of the payload
 *	name             [a-z0-9._-], not terminated
 *	payload          fields, or a blob's bytes
 *
 * and a field is { u16 tag, u16 kind, u32 bytes, payload }. The payload of numbers
 * and bytes is all elements one after the other. That of structures has before each
 * element the u32 number of its bytes, so that one can walk it without its table.
 */
#define PART_HEADER_BYTES  8U
#define FIELD_HEADER_BYTES 8U
#define PART_BLOB          0x01U
#define PART_OPTIONAL      0x80U

/* What a hostile buffer may cost. */
#define VSTATE_MAX_PARTS       1024U
#define VSTATE_MAX_NAME        31U
#define VSTATE_MAX_DEPTH       4U   /* of structures in each other */
#define VSTATE_MAX_WIRE_FIELDS 256U /* of one structure, unknown ones included */
#define VSTATE_MAX_FIELDS      128U /* of a table */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "members are copied as they are");

struct vstate_part {
	char name[VSTATE_MAX_NAME + 1];
	uint8_t flags;
	uint16_t index;
	uint32_t bytes;         /* of the payload */
	const uint8_t *payload; /* in the caller's buffer */
	const uint8_t *start;   /* of the part's header */
};

struct vstate_wire {
	uint16_t tag, kind;
	uint32_t bytes;
	const uint8_t *payload;
};

/* What is left to read. */
struct vstate_span {
	const uint8_t *p, *end;
};

static inline size_t vstate_left(const struct vstate_span *s)
{
	return (size_t)(s->end - s->p);
}

static inline uint64_t vstate_load(const uint8_t *p, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, p, bytes);
	return value;
}

/* Bytes of one element of a number or byte kind; 0: no such kind. */
unsigned vstate_kind_bytes(unsigned kind);

/*
 * Take the next part, field, or element of a structure array from @s. 1 with
 * @ret filled in, 0 at the end, -EPROTO where the framing is bad.
 */
__must_check int vstate_next_part(struct vstate_span *s, struct vstate_part *ret);
__must_check int vstate_next_field(struct vstate_span *s, struct vstate_wire *ret);
__must_check int vstate_next_element(struct vstate_span *s, struct vstate_span *ret);

/* The field of @table with that tag, or NULL. */
const struct vstate_field *vstate_find_field(const struct vstate_table *table, uint16_t tag);

/*
 * Decode fields into @state, which is scratch: on failure it holds anything.
 * 0, -EPROTO or -EINVAL with the field's name in @e.
 */
__must_check int vstate_decode(const struct vstate_table *table, struct vstate_span fields,
			       void *state, struct err *e);

#endif
