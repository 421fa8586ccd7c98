// SPDX-License-Identifier: MIT
// From structures to bytes.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "migration/vstate_impl.h"

struct vstate_writer {
	uint8_t *data;
	size_t len, room;
	int error; /* the first one; nothing is added after it */
};

int vstate_writer_new(struct vstate_writer **ret)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? 0 : -ENOMEM;
}

void vstate_writer_free(struct vstate_writer *w)
{
	if (!w)
		return;
	free(w->data);
	free(w);
}

static void fail(struct vstate_writer *w, int error)
{
	if (w->error == 0)
		w->error = error;
}

/* Room for @len more bytes, or NULL: the failure is kept. */
static uint8_t *extend(struct vstate_writer *w, size_t len)
{
	uint8_t *p;

	if (w->error == 0 && len > VSTATE_MAX_BYTES - w->len)
		fail(w, -E2BIG);
	if (w->error < 0)
		return NULL;
	if (len > w->room - w->len) {
		size_t room = MAX(MAX(2 * w->room, w->len + len), (size_t)4096);

		p = realloc(w->data, room);
		if (!p) {
			fail(w, -ENOMEM);
			return NULL;
		}
		w->data = p;
		w->room = room;
	}
	p = w->data + w->len;
	w->len += len;
	return p;
}

static void append(struct vstate_writer *w, const void *data, size_t len)
{
	uint8_t *p = extend(w, len);

	if (p && len > 0)
		memcpy(p, data, len);
}

/*
 * A size is written before that which it counts: put_size() leaves room for it
 * and patch_size() fills it in when all that follows is there.
 */
static size_t put_size(struct vstate_writer *w)
{
	append(w, &(uint32_t){ 0 }, sizeof(uint32_t));
	return w->len;
}

static void patch_size(struct vstate_writer *w, size_t start)
{
	uint32_t bytes = (uint32_t)(w->len - start);

	if (w->error == 0)
		memcpy(w->data + start - sizeof(bytes), &bytes, sizeof(bytes));
}

static void put_fields(struct vstate_writer *w, const struct vstate_table *table,
		       const uint8_t *state);

static void put_elements(struct vstate_writer *w, const struct vstate_field *f,
			 const uint8_t *member, uint32_t count)
{
	if (f->kind != VSTATE_STRUCT) {
		append(w, member, (size_t)count * f->bytes);
		return;
	}
	for (uint32_t i = 0; i < count; i++) {
		size_t start = put_size(w);

		put_fields(w, f->sub, member + (size_t)i * f->bytes);
		patch_size(w, start);
	}
}

static void put_field(struct vstate_writer *w, const struct vstate_field *f, const uint8_t *state)
{
	const uint16_t head[] = { f->tag, f->kind };
	uint32_t count = f->count;
	size_t start;

	if (f->used_offset)
		memcpy(&count, state + f->used_offset, sizeof(count));
	if (count > f->count) {
		fail(w, -EINVAL);
		return;
	}
	append(w, head, sizeof(head));
	start = put_size(w);
	put_elements(w, f, state + f->offset, count);
	patch_size(w, start);
}

static void put_fields(struct vstate_writer *w, const struct vstate_table *table,
		       const uint8_t *state)
{
	for (size_t i = 0; i < table->nr_fields; i++)
		put_field(w, &table->fields[i], state);
}

static size_t put_part(struct vstate_writer *w, const char *name, unsigned index, unsigned flags)
{
	size_t name_bytes = strlen(name);
	const uint8_t head[] = {
		(uint8_t)flags,
		(uint8_t)name_bytes,
		(uint8_t)index,
		(uint8_t)(index >> 8),
	};
	size_t start;

	assert(name_bytes > 0 && name_bytes <= VSTATE_MAX_NAME && index <= UINT16_MAX);
	append(w, head, sizeof(head));
	start = put_size(w);
	append(w, name, name_bytes);
	return start;
}

/* The size in the header is that of the payload, without the name. */
static void end_part(struct vstate_writer *w, size_t start, const char *name)
{
	uint32_t bytes = (uint32_t)(w->len - start - strlen(name));

	if (w->error == 0)
		memcpy(w->data + start - sizeof(bytes), &bytes, sizeof(bytes));
}

void vstate_put(struct vstate_writer *w, const struct vstate_table *table, unsigned index,
		const void *state)
{
	size_t start = put_part(w, table->name, index, table->optional ? PART_OPTIONAL : 0);

	put_fields(w, table, state);
	end_part(w, start, table->name);
}

void vstate_put_blob(struct vstate_writer *w, const char *name, unsigned index, const void *data,
		     size_t len)
{
	size_t start = put_part(w, name, index, PART_BLOB);

	append(w, data, len);
	end_part(w, start, name);
}

void vstate_put_error(struct vstate_writer *w, int error)
{
	fail(w, error);
}

int vstate_writer_finish(struct vstate_writer *w, const void **ret_data, size_t *ret_len)
{
	if (w->error < 0)
		return w->error;
	*ret_data = w->data;
	*ret_len = w->len;
	return 0;
}
