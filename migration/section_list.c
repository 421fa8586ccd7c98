// SPDX-License-Identifier: MIT
// Sections collected in memory, to be sent from where waiting is allowed.
#include "migration/section_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct section_list {
	struct section_sink sink;
	struct section_source source;
	struct section *items;
	size_t nr;
	uint64_t bytes; /* of those that were filled in */
	size_t next;    /* that the source gives */
};

/* Room for one more. NULL: no memory. */
static struct section *grow(struct section_list *list)
{
	struct section *items = reallocarray(list->items, list->nr + 1, sizeof(*items));

	if (!items)
		return NULL;
	list->items = items;
	return &items[list->nr];
}

static int copy_section(struct section *to, uint32_t type, uint32_t id, const void *payload,
			size_t bytes)
{
	void *copy = malloc(bytes + 1);

	if (!copy)
		return -ENOMEM;
	if (bytes)
		memcpy(copy, payload, bytes);
	*to = (struct section){ .type = type, .id = id, .bytes = bytes, .payload = copy };
	return 0;
}

static int add(void *opaque, uint32_t type, uint32_t id, const void *payload, size_t bytes,
	       struct err *e)
{
	struct section_list *list = opaque;
	struct section *item = grow(list);

	if (!item || copy_section(item, type, id, payload, bytes) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	list->nr++;
	return 0;
}

static int give(void *opaque, struct section *ret, struct err *e)
{
	struct section_list *list = opaque;
	const struct section *s = &list->items[list->next];

	if (list->next == list->nr)
		return err_set(e, -ENODATA, "the sections end early");
	list->next++;
	if (copy_section(ret, s->type, s->id, s->payload, s->bytes) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

int section_list_fill(struct section_list *list, const struct section_source *source, struct err *e)
{
	struct section *item;
	int rc;

	do {
		if (list->nr == SECTION_LIST_MAX)
			return err_set(e, -EPROTO, "more than %u sections", SECTION_LIST_MAX);
		item = grow(list);
		if (!item)
			return err_set(e, -ENOMEM, "out of memory");
		rc = source->get(source->opaque, item, e);
		if (rc < 0)
			return rc;
		list->nr++;
		list->bytes += item->bytes;
		if (list->bytes > SECTION_LIST_MAX_BYTES)
			return err_set(e, -EPROTO, "sections of more than %llu MiB together",
				       SECTION_LIST_MAX_BYTES / MIB);
	} while (item->type != SECTION_END);
	return 0;
}

const struct section_source *section_list_source(struct section_list *list)
{
	list->next = 0;
	return &list->source;
}

struct section_list *section_list_new(void)
{
	struct section_list *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->sink = (struct section_sink){ .put = add, .opaque = list };
	list->source = (struct section_source){ .get = give, .opaque = list };
	return list;
}

void section_list_free(struct section_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->nr; i++)
		section_fini(&list->items[i]);
	free(list->items);
	free(list);
}

const struct section_sink *section_list_sink(struct section_list *list)
{
	return &list->sink;
}

int section_list_put(const struct section_list *list, const struct section_sink *sink,
		     struct err *e)
{
	int rc = 0;

	if (sink->put_all)
		return sink->put_all(sink->opaque, list->items, list->nr, e);
	for (size_t i = 0; i < list->nr && rc == 0; i++) {
		const struct section *s = &list->items[i];

		rc = sink->put(sink->opaque, s->type, s->id, s->payload, s->bytes, e);
	}
	return rc;
}
