// SPDX-License-Identifier: MIT
// The framing of saved state: parts, fields, elements.
#include <errno.h>

#include "migration/vstate_impl.h"

unsigned vstate_kind_bytes(unsigned kind)
{
	static const uint8_t bytes[] = {
		[VSTATE_U8] = 1,  [VSTATE_U16] = 2,  [VSTATE_U32] = 4,
		[VSTATE_U64] = 8, [VSTATE_BOOL] = 1, [VSTATE_BYTES] = 1,
	};

	return kind < ARRAY_SIZE(bytes) ? bytes[kind] : 0;
}

static bool is_name(const uint8_t *name, unsigned len)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789._-";

	for (unsigned i = 0; i < len; i++) {
		if (!name[i] || !strchr(allowed, name[i]))
			return false;
	}
	return len > 0;
}

int vstate_next_part(struct vstate_span *s, struct vstate_part *ret)
{
	const uint8_t *p = s->p;
	unsigned name_bytes;
	uint32_t bytes;

	if (vstate_left(s) == 0)
		return 0;
	if (vstate_left(s) < PART_HEADER_BYTES)
		return -EPROTO;
	name_bytes = p[1];
	bytes = (uint32_t)vstate_load(p + 4, 4);
	if ((p[0] & ~(PART_BLOB | PART_OPTIONAL)) || name_bytes > VSTATE_MAX_NAME ||
	    vstate_left(s) - PART_HEADER_BYTES < name_bytes ||
	    vstate_left(s) - PART_HEADER_BYTES - name_bytes < bytes ||
	    !is_name(p + PART_HEADER_BYTES, name_bytes))
		return -EPROTO;
	*ret = (struct vstate_part){
		.flags = p[0],
		.index = (uint16_t)vstate_load(p + 2, 2),
		.bytes = bytes,
		.payload = p + PART_HEADER_BYTES + name_bytes,
		.start = p,
	};
	memcpy(ret->name, p + PART_HEADER_BYTES, name_bytes);
	s->p = ret->payload + bytes;
	return 1;
}

int vstate_next_field(struct vstate_span *s, struct vstate_wire *ret)
{
	const uint8_t *p = s->p;
	uint32_t bytes;

	if (vstate_left(s) == 0)
		return 0;
	if (vstate_left(s) < FIELD_HEADER_BYTES)
		return -EPROTO;
	bytes = (uint32_t)vstate_load(p + 4, 4);
	if (vstate_left(s) - FIELD_HEADER_BYTES < bytes)
		return -EPROTO;
	*ret = (struct vstate_wire){
		.tag = (uint16_t)vstate_load(p, 2),
		.kind = (uint16_t)vstate_load(p + 2, 2),
		.bytes = bytes,
		.payload = p + FIELD_HEADER_BYTES,
	};
	s->p = ret->payload + bytes;
	return 1;
}

int vstate_next_element(struct vstate_span *s, struct vstate_span *ret)
{
	uint32_t bytes;

	if (vstate_left(s) == 0)
		return 0;
	if (vstate_left(s) < sizeof(bytes))
		return -EPROTO;
	bytes = (uint32_t)vstate_load(s->p, sizeof(bytes));
	if (vstate_left(s) - sizeof(bytes) < bytes)
		return -EPROTO;
	ret->p = s->p + sizeof(bytes);
	ret->end = ret->p + bytes;
	s->p = ret->end;
	return 1;
}

const struct vstate_field *vstate_find_field(const struct vstate_table *table, uint16_t tag)
{
	for (size_t i = 0; i < table->nr_fields; i++) {
		if (table->fields[i].tag == tag)
			return &table->fields[i];
	}
	return NULL;
}
