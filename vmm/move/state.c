// SPDX-License-Identifier: MIT
// A saved file as JSON.
#include "vmm/move/state.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "migration/file.h"
#include "migration/section.h"
#include "migration/section_list.h"
#include "migration/vstate.h"

/* What the payload of a section type is. */
enum content { PARTS, DEVICE, CONFIG, OTHER };

static const struct {
	uint32_t type;
	const char *name;
	enum content content;
} section_types[] = {
	{ SECTION_CONFIG, "CONFIG", CONFIG },  { SECTION_CLOCK, "CLOCK", PARTS },
	{ SECTION_IRQCHIP, "IRQCHIP", PARTS }, { SECTION_VCPU, "VCPU", PARTS },
	{ SECTION_DEVICE, "DEVICE", DEVICE },  { SECTION_END, "END", OTHER },
	{ SECTION_MACHINE, "MACHINE", PARTS }, { SECTION_RAM_INDEX, "RAM_INDEX", OTHER },
};

static json_t *file_part(const struct file_part *part)
{
	return json_pack("{s:I, s:I}", "offset", (json_int_t)part->offset, "bytes",
			 (json_int_t)part->bytes);
}

/* Put parts, or the reason why there are none. */
static int put_parts(json_t *section, const struct section *s, uint64_t offset, size_t skip)
{
	const uint8_t *data = s->payload;
	json_t *parts = vstate_to_json(data + skip, s->bytes - skip,
				       offset + SECTION_HEADER_BYTES + skip, state_find_table);

	if (!parts)
		return json_object_set_new(section, "error",
					   json_string("its parts make no sense"));
	return json_object_set_new(section, "parts", parts);
}

/* A length and that many bytes at *@at, as a string. NULL: there are not as many. */
static json_t *get_word(const struct section *s, size_t *at)
{
	const uint8_t *data = s->payload;
	size_t len, start = *at + 1;

	if (start > s->bytes)
		return NULL;
	len = data[start - 1];
	if (len > s->bytes - start)
		return NULL;
	*at = start + len;
	return json_stringn((const char *)data + start, len);
}

static int put_device(json_t *section, const struct section *s, uint64_t offset)
{
	size_t at = 0;

	if (json_object_set_new(section, "device", get_word(s, &at)) < 0 ||
	    json_object_set_new(section, "device-type", get_word(s, &at)) < 0)
		return json_object_set_new(section, "error",
					   json_string("its device's name makes no sense"));
	return put_parts(section, s, offset, at);
}

static int put_config(json_t *section, const struct section *s)
{
	json_t *config = json_loadb(s->payload, s->bytes, JSON_REJECT_DUPLICATES, NULL);

	if (!config)
		return json_object_set_new(section, "error", json_string("it is not JSON"));
	return json_object_set_new(section, "config", config);
}

static json_t *section_to_json(const struct section *s, uint64_t offset)
{
	uint64_t bytes = s->bytes + SECTION_HEADER_BYTES;
	json_t *section = json_pack("{s:I, s:I, s:I, s:I, s:b}", "type", (json_int_t)s->type, "id",
				    (json_int_t)s->id, "offset", (json_int_t)offset, "bytes",
				    (json_int_t)bytes, "optional", !!(s->type & SECTION_OPTIONAL));
	enum content content = OTHER;
	int rc = 0;

	for (size_t i = 0; i < ARRAY_SIZE(section_types); i++) {
		if (section_types[i].type != s->type)
			continue;
		content = section_types[i].content;
		rc = json_object_set_new(section, "name", json_string(section_types[i].name));
	}
	if (rc == 0 && content == PARTS)
		rc = put_parts(section, s, offset, 0);
	else if (rc == 0 && content == DEVICE)
		rc = put_device(section, s, offset);
	else if (rc == 0 && content == CONFIG)
		rc = put_config(section, s);
	if (rc < 0) {
		json_decref(section);
		return NULL;
	}
	return section;
}

static bool is_same(const json_t *a, const json_t *b, const char *key)
{
	const json_t *one = json_object_get(a, key), *other = json_object_get(b, key);

	return one ? json_equal(one, other) : !other;
}

/*
 * Whoever loads it wants each section once, and so a second one would be shown that
 * is not what the guest becomes. What may be skipped may come as often as it likes.
 */
static int add_section(json_t *list, json_t *section, struct err *e)
{
	const json_t *other;
	size_t i;

	if (!section || json_array_append_new(list, section) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	if (json_array_size(list) > SECTION_LIST_MAX)
		return err_set(e, -EPROTO, "it has more than %u sections", SECTION_LIST_MAX);
	if (!json_object_get(section, "name"))
		return 0;
	json_array_foreach(list, i, other)
	{
		if (other != section && is_same(section, other, "type") &&
		    is_same(section, other, "id") && is_same(section, other, "device"))
			return err_set(e, -EPROTO, "its section %s comes twice",
				       json_string_value(json_object_get(section, "name")));
	}
	return 0;
}

static json_t *sections_to_json(struct file_reader *r, struct err *e)
{
	json_t *list = json_array();
	bool end = false;

	while (!end) {
		struct section s = { 0 };
		uint64_t offset = 0;
		int rc = file_reader_next(r, &s, &offset, e);

		if (rc == 0)
			rc = add_section(list, section_to_json(&s, offset), e);
		end = s.type == SECTION_END;
		section_fini(&s);
		if (rc < 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static uint64_t stored_pages(const struct file_reader *r)
{
	size_t nr = 0;
	const struct file_chunk *chunks = file_reader_index(r, &nr);
	uint64_t pages = 0;

	for (size_t i = 0; i < nr; i++)
		pages += chunks[i].pages;
	return pages;
}

json_t *state_to_json(struct file_reader *r, struct err *e)
{
	const struct file_header *h = file_reader_header(r);
	json_t *sections = sections_to_json(r, e);
	json_t *state;

	if (!sections)
		return NULL;
	state = json_pack("{s:i, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "version",
			  (int)h->version, "compression", h->flags & FILE_ZSTD ? "zstd" : "none",
			  "memory-bytes", (json_int_t)h->memory_bytes, "stored-pages",
			  (json_int_t)stored_pages(r), "kernel", file_part(&h->kernel), "initrd",
			  file_part(&h->initrd), "state", file_part(&h->sections), "memory",
			  file_part(&h->ram), "sections", sections);
	if (!state)
		(void)err_set(e, -ENOMEM, "out of memory");
	return state;
}
