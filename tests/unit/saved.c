// SPDX-License-Identifier: MIT
// Saved state of single devices, for tests: taken from one machine, given to another.
#include "tests/unit/saved.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "migration/vstate_impl.h"

static struct device *find(struct vm *vm, const char *id)
{
	struct device *dev = vm_find_device(vm, id);

	if (!dev)
		fail_msg("there is no device %s", id);
	return dev;
}

static void pause_device(struct device *dev)
{
	if (dev->ops->pause)
		dev->ops->pause(dev);
}

static struct saved save(struct device *dev)
{
	struct vstate_writer *w = NULL;
	struct saved s = { 0 };
	const void *data;

	assert_int_equal(vstate_writer_new(&w), 0);
	if (dev->ops->save)
		dev->ops->save(dev, w);
	assert_int_equal(vstate_writer_finish(w, &data, &s.len), 0);
	s.data = malloc(s.len + 1);
	assert_non_null(s.data);
	if (s.len > 0)
		memcpy(s.data, data, s.len);
	vstate_writer_free(w);
	return s;
}

struct saved saved_take(struct vm *vm, const char *id)
{
	struct device *dev = find(vm, id);
	struct err e = { 0 };

	if (dev->ops->can_save && dev->ops->can_save(dev, &e) < 0)
		fail_msg("%s", e.text);
	pause_device(dev);
	return save(dev);
}

void saved_free(struct saved *s)
{
	free(s->data);
	*s = (struct saved){ 0 };
}

static int load(struct device *dev, const struct saved *s, struct err *e)
{
	struct vstate_reader *r = NULL;
	int rc = vstate_reader_new(&r, s->data, s->len, e);

	if (rc < 0)
		return rc;
	if (dev->ops->load)
		rc = dev->ops->load(dev, r, e);
	if (rc == 0)
		rc = vstate_reader_finish(r, e);
	vstate_reader_free(r);
	return rc;
}

int saved_load(struct vm *vm, const char *id, const struct saved *s, struct err *e)
{
	struct device *dev = find(vm, id);

	pause_device(dev);
	return load(dev, s, e);
}

void saved_give(struct vm *vm, const char *id, const struct saved *s)
{
	struct err e = { 0 };
	struct saved again;

	if (saved_load(vm, id, s, &e) < 0)
		fail_msg("%s", e.text);
	again = save(find(vm, id));
	assert_int_equal(again.len, s->len);
	if (s->len > 0)
		assert_memory_equal(again.data, s->data, s->len);
	saved_free(&again);
}

void saved_resume(struct vm *vm, const char *id)
{
	struct device *dev = find(vm, id);

	if (dev->ops->resume)
		dev->ops->resume(dev);
}

void saved_copy_memory(struct vm *to, const struct vm *from)
{
	assert_int_equal(to->gmem.bytes, from->gmem.bytes);
	memcpy(to->gmem.base, from->gmem.base, from->gmem.bytes);
}

/* --- lies ---------------------------------------------------------------------- */

static bool find_part(struct vstate_span s, const char *name, unsigned index,
		      struct vstate_span *ret)
{
	struct vstate_part part;

	while (vstate_next_part(&s, &part) > 0) {
		if (part.index != index || strcmp(part.name, name) != 0)
			continue;
		*ret = (struct vstate_span){ part.payload, part.payload + part.bytes };
		return true;
	}
	return false;
}

/* The field with @tag, or in the first structure that it has; see SAVED_IN(). */
static bool find_field(struct vstate_span fields, unsigned tag, struct vstate_wire *ret)
{
	struct vstate_span inner;

	while (vstate_next_field(&fields, ret) > 0) {
		struct vstate_span elements = { ret->payload, ret->payload + ret->bytes };

		if (ret->tag != (tag & UINT16_MAX))
			continue;
		if (tag <= UINT16_MAX)
			return true;
		return vstate_next_element(&elements, &inner) > 0 &&
		       find_field(inner, tag >> 16, ret);
	}
	return false;
}

uint8_t *saved_field(struct saved *s, const char *name, unsigned index, unsigned tag,
		     size_t *ret_bytes)
{
	const struct vstate_span all = { s->data, s->data + s->len };
	struct vstate_span fields = { NULL, NULL };
	struct vstate_wire wire = { 0 };

	if (!find_part(all, name, index, &fields))
		fail_msg("there is no part %s[%u]", name, index);
	if (!find_field(fields, tag, &wire))
		fail_msg("%s[%u] has no field %u", name, index, tag);
	*ret_bytes = wire.bytes;
	return s->data + (wire.payload - s->data);
}

static struct saved copy_of(const struct saved *s)
{
	struct saved copy = { .data = malloc(s->len + 1), .len = s->len };

	assert_non_null(copy.data);
	memcpy(copy.data, s->data, s->len);
	return copy;
}

static void tell(struct vm *vm, const char *id, const struct saved *s, const struct saved_lie *lie)
{
	struct saved copy = copy_of(s);
	struct err e = { 0 };
	size_t bytes = 0;
	uint8_t *value = saved_field(&copy, lie->part, lie->index, lie->tag, &bytes);

	memcpy(value, &lie->value, MIN(bytes, sizeof(lie->value)));
	if (saved_load(vm, id, &copy, &e) >= 0)
		fail_msg("%s[%u], field %u: %#llx was believed", lie->part, lie->index, lie->tag,
			 (unsigned long long)lie->value);
	if (!strstr(e.text, lie->word))
		fail_msg("no '%s' in '%s'", lie->word, e.text);
	saved_free(&copy);
}

void saved_refuses(struct vm *vm, const char *id, const struct saved *s,
		   const struct saved_lie *lies, size_t nr)
{
	for (size_t i = 0; i < nr; i++)
		tell(vm, id, s, &lies[i]);
}

void saved_survives_damage(struct vm *vm, const char *id, const struct saved *s)
{
	struct saved copy;
	/* Long states a part at a time: framing and fields repeat. */
	size_t step = 1 + s->len / 2048;

	for (size_t len = 0; len < s->len; len += step) {
		struct err e = { 0 };

		copy = copy_of(s);
		copy.len = len;
		if (saved_load(vm, id, &copy, &e) >= 0)
			fail_msg("%zu of %zu bytes were enough", len, s->len);
		assert_true(e.text[0] != '\0');
		saved_free(&copy);
	}
	for (size_t i = 0; i < s->len; i += step) {
		copy = copy_of(s);
		copy.data[i] ^= (uint8_t)(1U << (i % 8));
		(void)saved_load(vm, id, &copy, NULL);
		saved_free(&copy);
	}
}
