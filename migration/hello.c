// SPDX-License-Identifier: MIT
// HELLO: what both sides of a teleport can do, and what they agree on.
#include "migration/hello.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static const char *const compress_names[] = {
	[RAM_COMPRESS_NONE] = "none",
	[RAM_COMPRESS_LZ4] = "lz4",
	[RAM_COMPRESS_ZSTD] = "zstd",
};

char *hello_encode(const struct hello *hello)
{
	json_t *obj =
		json_pack("{s:s, s:i, s:i, s:i, s:s}", "ferry", FERRY_VERSION, "protocol",
			  HELLO_PROTOCOL, "page-size", (int)RAM_PAGE_BYTES, "streams",
			  (int)hello->nr_streams, "compress", compress_names[hello->compress]);
	char hex[TICKET_HEX_BYTES + 1];
	char *text = NULL;

	if (hello->has_ticket)
		ticket_to_hex(&hello->ticket, hex);
	if (obj &&
	    (!hello->has_ticket || json_object_set_new(obj, "ticket", json_string(hex)) == 0))
		text = json_dumps(obj, JSON_COMPACT);
	json_decref(obj);
	return text;
}

static int parse_compress(const char *name, enum ram_compress *ret, struct err *e)
{
	for (unsigned i = 0; name && i < ARRAY_SIZE(compress_names); i++) {
		if (!strcmp(name, compress_names[i])) {
			*ret = (enum ram_compress)i;
			return 0;
		}
	}
	return err_set(e, -EPROTO, "HELLO: the peer wants a compression that is not known here");
}

/* Of the destination alone. */
static int parse_ticket(const json_t *value, struct hello *ret, struct err *e)
{
	if (!value)
		return 0;
	ret->has_ticket = true;
	if (ticket_from_hex(json_string_value(value), &ret->ticket) < 0)
		return err_set(e, -EPROTO, "HELLO: the peer's ticket is none");
	return 0;
}

static int judge(const json_t *obj, struct hello *ret, struct err *e)
{
	json_int_t protocol = json_integer_value(json_object_get(obj, "protocol"));
	json_int_t page = json_integer_value(json_object_get(obj, "page-size"));
	json_int_t streams = json_integer_value(json_object_get(obj, "streams"));
	int rc;

	if (protocol != HELLO_PROTOCOL)
		return err_set(e, -EPROTO,
			       "HELLO: the peer speaks protocol %" JSON_INTEGER_FORMAT
			       ", this ferry speaks %d",
			       protocol, HELLO_PROTOCOL);
	if (page != RAM_PAGE_BYTES)
		return err_set(e, -EPROTO, "HELLO: the peer has pages of another size");
	if (streams < 1 || streams > (json_int_t)RAM_MAX_STREAMS)
		return err_set(e, -EPROTO, "HELLO: 1 to %u streams are possible", RAM_MAX_STREAMS);
	ret->nr_streams = (unsigned)streams;
	rc = parse_compress(json_string_value(json_object_get(obj, "compress")), &ret->compress, e);
	return rc < 0 ? rc : parse_ticket(json_object_get(obj, "ticket"), ret, e);
}

int hello_decode(const struct section *s, struct hello *ret, struct err *e)
{
	json_t *obj = json_loadb(s->payload, s->bytes, JSON_REJECT_DUPLICATES, NULL);
	struct hello hello = { 0 };
	int rc = json_is_object(obj) ? judge(obj, &hello, e)
				     : err_set(e, -EPROTO, "HELLO: not a JSON object");

	json_decref(obj);
	if (rc == 0)
		*ret = hello;
	return rc;
}
