// SPDX-License-Identifier: MIT
// Saved state for people: every part and field with its place, as JSON.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "migration/vstate_impl.h"

/* JSON takes far more memory than the bytes it shows: at most this many values. */
#define MAX_VALUES 262144U

struct walk {
	const uint8_t *start; /* of the buffer */
	uint64_t base;        /* its offset in the file */
	unsigned values;
};

static json_int_t offset_of(const struct walk *walk, const uint8_t *p)
{
	uint64_t offset = walk->base + (uint64_t)(p - walk->start);

	return (json_int_t)offset;
}

static json_t *hex(const uint8_t *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(2 * len + 1);
	json_t *value;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	text[2 * len] = '\0';
	value = json_string(text);
	free(text);
	return value;
}

/* 64-bit values are text: JSON readers lose the low bits of large numbers. */
static json_t *number(unsigned kind, uint64_t value)
{
	if (kind == VSTATE_BOOL && value <= 1)
		return json_boolean(value);
	if (kind == VSTATE_U64)
		return json_sprintf("0x%" PRIx64, value);
	return json_integer((json_int_t)value);
}

static json_t *fields_to_json(struct walk *walk, struct vstate_span fields,
			      const struct vstate_table *table, unsigned depth);

static json_t *numbers_to_json(struct walk *walk, const struct vstate_wire *wire)
{
	unsigned bytes = vstate_kind_bytes(wire->kind);
	json_t *list = json_array();

	for (uint32_t at = 0; list && at < wire->bytes; at += bytes) {
		json_t *value = NULL;

		if (walk->values++ < MAX_VALUES)
			value = number(wire->kind, vstate_load(wire->payload + at, bytes));
		if (json_array_append_new(list, value) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static json_t *structs_to_json(struct walk *walk, const struct vstate_wire *wire,
			       const struct vstate_table *table, unsigned depth)
{
	struct vstate_span elements = { wire->payload, wire->payload + wire->bytes };
	struct vstate_span fields;
	json_t *list = json_array();
	int rc;

	while ((rc = vstate_next_element(&elements, &fields)) > 0) {
		json_t *value = NULL;

		if (walk->values++ < MAX_VALUES)
			value = fields_to_json(walk, fields, table, depth + 1);
		if (json_array_append_new(list, value) < 0) {
			rc = -ENOMEM;
			break;
		}
	}
	if (rc < 0) {
		json_decref(list);
		return NULL;
	}
	return list;
}

/* As many elements as came; one alone stands for itself, unless it is an array's. */
static json_t *value_to_json(struct walk *walk, const struct vstate_wire *wire,
			     const struct vstate_field *f, unsigned depth)
{
	unsigned bytes = vstate_kind_bytes(wire->kind);
	bool is_array = f && f->count > 1;
	json_t *list, *first;

	if (wire->kind == VSTATE_STRUCT && depth < VSTATE_MAX_DEPTH)
		list = structs_to_json(walk, wire, f ? f->sub : NULL, depth);
	else if (wire->kind == VSTATE_BYTES || bytes == 0 || wire->bytes % bytes)
		return hex(wire->payload, wire->bytes);
	else
		list = numbers_to_json(walk, wire);
	if (is_array || json_array_size(list) != 1)
		return list;
	first = json_incref(json_array_get(list, 0));
	json_decref(list);
	return first;
}

static const char *kind_name(unsigned kind)
{
	static const char *const names[] = {
		[VSTATE_U8] = "u8",         [VSTATE_U16] = "u16",   [VSTATE_U32] = "u32",
		[VSTATE_U64] = "u64",       [VSTATE_BOOL] = "bool", [VSTATE_BYTES] = "bytes",
		[VSTATE_STRUCT] = "struct",
	};

	return kind < ARRAY_SIZE(names) && names[kind] ? names[kind] : "unknown";
}

static json_t *field_to_json(struct walk *walk, const struct vstate_wire *wire,
			     const struct vstate_table *table, unsigned depth)
{
	const struct vstate_field *f = table ? vstate_find_field(table, wire->tag) : NULL;
	const uint8_t *start = wire->payload - FIELD_HEADER_BYTES;
	json_t *value;

	/* A table that disagrees about the kind describes something else. */
	if (f && f->kind != wire->kind)
		f = NULL;
	value = value_to_json(walk, wire, f, depth);
	if (!value)
		return NULL;
	return json_pack("{s:s*, s:i, s:b, s:s, s:I, s:I, s:o}", "name", f ? f->name : NULL, "tag",
			 wire->tag & ~VSTATE_OPTIONAL, "optional", !!(wire->tag & VSTATE_OPTIONAL),
			 "kind", kind_name(wire->kind), "offset", offset_of(walk, start), "bytes",
			 (json_int_t)wire->bytes + FIELD_HEADER_BYTES, "value", value);
}

static json_t *fields_to_json(struct walk *walk, struct vstate_span fields,
			      const struct vstate_table *table, unsigned depth)
{
	json_t *list = json_array();
	struct vstate_wire wire;
	int rc;

	while (list && (rc = vstate_next_field(&fields, &wire)) != 0) {
		json_t *field = NULL;

		if (rc > 0 && walk->values++ < MAX_VALUES)
			field = field_to_json(walk, &wire, table, depth);
		if (json_array_append_new(list, field) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

/* Blobs have a meaning only to who made them: their checksum says whether two differ. */
static json_t *blob_to_json(const struct vstate_part *part)
{
	return json_sprintf("%016" PRIx64, (uint64_t)XXH3_64bits(part->payload, part->bytes));
}

static json_t *part_to_json(struct walk *walk, const struct vstate_part *part,
			    const struct vstate_table *table)
{
	const uint8_t *end = part->payload + part->bytes;
	bool blob = part->flags & PART_BLOB;
	json_t *content;

	if (blob)
		content = blob_to_json(part);
	else
		content =
			fields_to_json(walk, (struct vstate_span){ part->payload, end }, table, 0);
	if (!content)
		return NULL;
	return json_pack("{s:s, s:i, s:b, s:b, s:I, s:I, s:o}", "name", part->name, "index",
			 part->index, "known", blob || table, "optional",
			 !!(part->flags & PART_OPTIONAL), "offset", offset_of(walk, part->start),
			 "bytes", (json_int_t)(end - part->start), blob ? "xxh3" : "fields",
			 content);
}

json_t *vstate_to_json(const void *data, size_t len, uint64_t base,
		       const struct vstate_table *(*find)(const char *name))
{
	struct walk walk = { .start = data, .base = base };
	struct vstate_span s = { walk.start, walk.start + len };
	struct vstate_part part;
	json_t *list = json_array();
	unsigned nr = 0;
	int rc;

	while (list && (rc = vstate_next_part(&s, &part)) != 0) {
		json_t *object = NULL;

		if (rc > 0 && nr++ < VSTATE_MAX_PARTS)
			object = part_to_json(&walk, &part, find ? find(part.name) : NULL);
		if (json_array_append_new(list, object) < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}
