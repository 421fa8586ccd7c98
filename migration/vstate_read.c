// SPDX-License-Identifier: MIT
// The parts of a buffer, found by name.
#include <errno.h>
#include <stdlib.h>

#include "migration/vstate_impl.h"

struct part {
	struct vstate_part wire;
	bool read;
};

struct vstate_reader {
	unsigned nr_parts;
	struct part parts[];
};

static int count_parts(struct vstate_span s, unsigned *ret, struct err *e)
{
	const uint8_t *start = s.p;
	struct vstate_part part;
	unsigned nr = 0;
	int rc;

	while ((rc = vstate_next_part(&s, &part)) > 0) {
		if (nr++ == VSTATE_MAX_PARTS)
			return err_set(e, -EPROTO, "state has more than %u parts",
				       VSTATE_MAX_PARTS);
	}
	if (rc < 0)
		return err_set(e, rc, "state is damaged at byte %zu", (size_t)(s.p - start));
	*ret = nr;
	return 0;
}

static struct part *find(struct vstate_reader *r, const char *name, unsigned index)
{
	for (unsigned i = 0; i < r->nr_parts; i++) {
		if (r->parts[i].wire.index == index && !strcmp(r->parts[i].wire.name, name))
			return &r->parts[i];
	}
	return NULL;
}

static int read_parts(struct vstate_reader *r, struct vstate_span s, struct err *e)
{
	struct vstate_part part;

	while (vstate_next_part(&s, &part) > 0) {
		if (find(r, part.name, part.index))
			return err_set(e, -EPROTO, "%s[%u]: is there twice", part.name, part.index);
		r->parts[r->nr_parts++].wire = part;
	}
	return 0;
}

int vstate_reader_new(struct vstate_reader **ret, const void *data, size_t len, struct err *e)
{
	const uint8_t *start = data;
	struct vstate_span s = { start, start + len };
	struct vstate_reader *r;
	unsigned nr = 0;
	int rc;

	if (len > VSTATE_MAX_BYTES)
		return err_set(e, -EPROTO, "state has %zu bytes, more than %u", len,
			       VSTATE_MAX_BYTES);
	rc = count_parts(s, &nr, e);
	if (rc < 0)
		return rc;
	r = calloc(1, sizeof(*r) + nr * sizeof(r->parts[0]));
	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	rc = read_parts(r, s, e);
	if (rc < 0) {
		free(r);
		return rc;
	}
	*ret = r;
	return 0;
}

void vstate_reader_free(struct vstate_reader *r)
{
	free(r);
}

/* @part, which was looked for as @name, is there and (@flag) a blob or not. It counts as read. */
static int take(struct part *part, const char *name, unsigned index, unsigned flag, struct err *e)
{
	if (!part)
		return err_set(e, -ENOENT, "%s[%u]: is missing", name, index);
	part->read = true;
	if ((part->wire.flags & PART_BLOB) != flag)
		return err_set(e, -EPROTO, "%s[%u]: is %sa blob", name, index, flag ? "not " : "");
	return 0;
}

int vstate_get(struct vstate_reader *r, const struct vstate_table *table, unsigned index,
	       void *state, struct err *e)
{
	struct vstate_span fields;
	struct part *part = find(r, table->name, index);
	void *scratch;
	int rc = take(part, table->name, index, 0, e);

	if (!part || rc < 0)
		return rc;
	scratch = malloc(table->bytes);
	if (!scratch)
		return err_set(e, -ENOMEM, "out of memory");
	memcpy(scratch, state, table->bytes);
	fields.p = part->wire.payload;
	fields.end = fields.p + part->wire.bytes;
	rc = vstate_decode(table, fields, scratch, e);
	if (rc == 0)
		memcpy(state, scratch, table->bytes);
	else
		(void)err_prefix(e, "%s[%u]", table->name, index);
	free(scratch);
	return rc;
}

int vstate_get_blob(struct vstate_reader *r, const char *name, unsigned index, size_t max,
		    struct vstate_blob *ret, struct err *e)
{
	struct part *part = find(r, name, index);
	int rc = take(part, name, index, PART_BLOB, e);

	if (!part || rc < 0)
		return rc;
	if (part->wire.bytes > max)
		return err_set(e, -EPROTO, "%s[%u]: has %u bytes, more than %zu", name, index,
			       part->wire.bytes, max);
	*ret = (struct vstate_blob){ .data = part->wire.payload, .len = part->wire.bytes };
	return 0;
}

int vstate_reader_finish(struct vstate_reader *r, struct err *e)
{
	for (unsigned i = 0; i < r->nr_parts; i++) {
		const struct vstate_part *part = &r->parts[i].wire;

		if (!r->parts[i].read && !(part->flags & PART_OPTIONAL))
			return err_set(e, -EPROTO,
				       "%s[%u]: unknown, it was saved by a newer version",
				       part->name, part->index);
	}
	return 0;
}
