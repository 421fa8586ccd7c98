// SPDX-License-Identifier: MIT
// From bytes that nobody vouches for to a structure.
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

#include "migration/vstate_impl.h"

/* What was found of each field of a table. */
struct found {
	bool seen[VSTATE_MAX_FIELDS];
	uint32_t count[VSTATE_MAX_FIELDS];
};

static int decode_table(const struct vstate_table *table, struct vstate_span fields, uint8_t *state,
			unsigned depth, struct err *e);

static int check_values(const struct vstate_field *f, const struct vstate_wire *wire,
			uint32_t count, struct err *e)
{
	uint64_t max = f->kind == VSTATE_BOOL ? 1 : f->max;

	if (max == 0 || f->kind == VSTATE_BYTES)
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t value = vstate_load(wire->payload + (size_t)i * f->bytes, f->bytes);

		if (value > max)
			return err_set(e, -EINVAL, "%s: %" PRIu64 " is above %" PRIu64, f->name,
				       value, max);
	}
	return 0;
}

static int decode_numbers(const struct vstate_field *f, const struct vstate_wire *wire,
			  uint8_t *member, uint32_t *ret_count, struct err *e)
{
	uint64_t count = wire->bytes / f->bytes;
	int rc;

	if (wire->bytes % f->bytes || count > f->count || (!f->used_offset && count != f->count))
		return err_set(e, -EPROTO, "%s: has %u bytes, not %s%" PRIu64, f->name, wire->bytes,
			       f->used_offset ? "at most " : "", (uint64_t)f->count * f->bytes);
	rc = check_values(f, wire, (uint32_t)count, e);
	if (rc < 0)
		return rc;
	memcpy(member, wire->payload, wire->bytes);
	*ret_count = (uint32_t)count;
	return 0;
}

static int decode_structs(const struct vstate_field *f, const struct vstate_wire *wire,
			  uint8_t *member, unsigned depth, uint32_t *ret_count, struct err *e)
{
	struct vstate_span elements = { wire->payload, wire->payload + wire->bytes };
	struct vstate_span fields;
	uint32_t count = 0;
	int rc;

	while ((rc = vstate_next_element(&elements, &fields)) > 0) {
		if (count == f->count)
			return err_set(e, -EPROTO, "%s: has more than %u elements", f->name,
				       f->count);
		rc = decode_table(f->sub, fields, member + (size_t)count * f->bytes, depth + 1, e);
		if (rc < 0)
			return f->count > 1 ? err_prefix(e, "%s[%u]", f->name, count)
					    : err_prefix(e, "%s", f->name);
		count++;
	}
	if (rc < 0)
		return err_set(e, rc, "%s: an element does not fit", f->name);
	if (!f->used_offset && count != f->count)
		return err_set(e, -EPROTO, "%s: has %u elements, not %u", f->name, count, f->count);
	*ret_count = count;
	return 0;
}

static int decode_field(const struct vstate_field *f, const struct vstate_wire *wire,
			uint8_t *state, unsigned depth, uint32_t *ret_count, struct err *e)
{
	if (wire->kind != f->kind)
		return err_set(e, -EPROTO, "%s: is of kind %u, not %u", f->name, wire->kind,
			       f->kind);
	if (f->kind == VSTATE_STRUCT)
		return decode_structs(f, wire, state + f->offset, depth, ret_count, e);
	return decode_numbers(f, wire, state + f->offset, ret_count, e);
}

static int decode_fields(const struct vstate_table *table, struct vstate_span fields,
			 uint8_t *state, unsigned depth, struct found *found, struct err *e)
{
	struct vstate_wire wire;
	unsigned nr = 0;
	int rc;

	while ((rc = vstate_next_field(&fields, &wire)) > 0) {
		const struct vstate_field *f = vstate_find_field(table, wire.tag);
		size_t i = f ? (size_t)(f - table->fields) : 0;

		if (nr++ == VSTATE_MAX_WIRE_FIELDS)
			return err_set(e, -EPROTO, "more than %u fields", VSTATE_MAX_WIRE_FIELDS);
		if (!f && wire.tag & VSTATE_OPTIONAL)
			continue;
		if (!f)
			return err_set(e, -EPROTO,
				       "unknown field %u: it was saved by a newer version",
				       wire.tag);
		if (found->seen[i])
			return err_set(e, -EPROTO, "%s: is there twice", f->name);
		found->seen[i] = true;
		rc = decode_field(f, &wire, state, depth, &found->count[i], e);
		if (rc < 0)
			return rc;
	}
	return rc < 0 ? err_set(e, rc, "a field does not fit") : 0;
}

/*
 * How many elements count follows from how many came. Where arrays share a
 * count, they must agree.
 */
static int set_used_counts(const struct vstate_table *table, uint8_t *state,
			   const struct found *found, struct err *e)
{
	for (int verify = 0; verify < 2; verify++) {
		for (size_t i = 0; i < table->nr_fields; i++) {
			const struct vstate_field *f = &table->fields[i];
			uint8_t *used = state + f->used_offset;

			if (!f->used_offset || !found->seen[i])
				continue;
			if (!verify)
				memcpy(used, &found->count[i], sizeof(found->count[i]));
			else if (memcmp(used, &found->count[i], sizeof(found->count[i])))
				return err_set(e, -EPROTO, "%s: has %u elements, others more",
					       f->name, found->count[i]);
		}
	}
	return 0;
}

static int decode_table(const struct vstate_table *table, struct vstate_span fields, uint8_t *state,
			unsigned depth, struct err *e)
{
	struct found found = { 0 };
	int rc;

	assert(table->nr_fields <= VSTATE_MAX_FIELDS);
	if (depth > VSTATE_MAX_DEPTH)
		return err_set(e, -EPROTO, "structures are nested too deep");
	rc = decode_fields(table, fields, state, depth, &found, e);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < table->nr_fields; i++) {
		const struct vstate_field *f = &table->fields[i];

		if (!found.seen[i] && !(f->tag & VSTATE_OPTIONAL))
			return err_set(e, -EPROTO, "%s: is missing", f->name);
	}
	rc = set_used_counts(table, state, &found, e);
	if (rc < 0)
		return rc;
	return table->check ? table->check(state, e) : 0;
}

int vstate_decode(const struct vstate_table *table, struct vstate_span fields, void *state,
		  struct err *e)
{
	return decode_table(table, fields, state, 0, e);
}
