// SPDX-License-Identifier: MIT
// Saved state: bytes of every kind, and bytes that somebody else made.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migration/vstate.h"

struct inner {
	uint16_t a;
	bool b;
};

struct outer {
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;
	bool flag;
	uint8_t blob[3];
	uint16_t list[2];
	struct inner one;
	struct inner many[3];
	uint32_t nr_many;
	uint8_t fifo[4];
	uint32_t nr_fifo;
	uint32_t later;
};

static int check_inner(const void *state, struct err *e)
{
	const struct inner *in = state;

	return in->b && in->a > 500 ? err_set(e, -EINVAL, "a and b do not go together") : 0;
}

static const struct vstate_field inner_fields[] = {
	VS_U16_MAX(1, struct inner, a, 1000),
	VS_BOOL(2, struct inner, b),
};

static const struct vstate_table inner_table = {
	VSTATE_TABLE("inner", struct inner, inner_fields),
	.check = check_inner,
};

static const struct vstate_field outer_fields[] = {
	VS_U8_MAX(1, struct outer, u8, 200),
	VS_U16(2, struct outer, u16),
	VS_U32(3, struct outer, u32),
	VS_U64(4, struct outer, u64),
	VS_BOOL(5, struct outer, flag),
	VS_BYTES(6, struct outer, blob),
	VS_U16_ARRAY(7, struct outer, list),
	VS_STRUCT(8, struct outer, one, &inner_table),
	VS_STRUCT_ARRAY(9, struct outer, many, nr_many, &inner_table),
	VS_BYTES_USED(10, struct outer, fifo, nr_fifo),
	VS_U32(11 | VSTATE_OPTIONAL, struct outer, later),
};

static const struct vstate_table outer_table = {
	VSTATE_TABLE("outer", struct outer, outer_fields),
};

static const struct outer sample = {
	.u8 = 200,
	.u16 = 0x1234,
	.u32 = 0x89abcdef,
	.u64 = 0xfedcba9876543210,
	.flag = true,
	.blob = { 1, 2, 3 },
	.list = { 0xaabb, 0xccdd },
	.one = { .a = 1000 },
	.many = { { .a = 1, .b = true }, { .a = 2 } },
	.nr_many = 2,
	.fifo = { 7, 8, 9 },
	.nr_fifo = 3,
	.later = 5,
};

/* The sample, byte for byte: a change of these is a change of the format. */
static const uint8_t golden[] = {
	/* part: flags, name, index 3, bytes */
	0,
	5,
	3,
	0,
	187,
	0,
	0,
	0,
	'o',
	'u',
	't',
	'e',
	'r',
	/* u8, u16, u32, u64, flag */
	1,
	0,
	1,
	0,
	1,
	0,
	0,
	0,
	200,
	2,
	0,
	2,
	0,
	2,
	0,
	0,
	0,
	0x34,
	0x12,
	3,
	0,
	3,
	0,
	4,
	0,
	0,
	0,
	0xef,
	0xcd,
	0xab,
	0x89,
	4,
	0,
	4,
	0,
	8,
	0,
	0,
	0,
	0x10,
	0x32,
	0x54,
	0x76,
	0x98,
	0xba,
	0xdc,
	0xfe,
	5,
	0,
	5,
	0,
	1,
	0,
	0,
	0,
	1,
	/* blob, list */
	6,
	0,
	6,
	0,
	3,
	0,
	0,
	0,
	1,
	2,
	3,
	7,
	0,
	2,
	0,
	4,
	0,
	0,
	0,
	0xbb,
	0xaa,
	0xdd,
	0xcc,
	/* one: size of the element, a, b */
	8,
	0,
	7,
	0,
	23,
	0,
	0,
	0,
	19,
	0,
	0,
	0,
	1,
	0,
	2,
	0,
	2,
	0,
	0,
	0,
	0xe8,
	0x03,
	2,
	0,
	5,
	0,
	1,
	0,
	0,
	0,
	0,
	/* many: two of three */
	9,
	0,
	7,
	0,
	46,
	0,
	0,
	0,
	19,
	0,
	0,
	0,
	1,
	0,
	2,
	0,
	2,
	0,
	0,
	0,
	1,
	0,
	2,
	0,
	5,
	0,
	1,
	0,
	0,
	0,
	1,
	19,
	0,
	0,
	0,
	1,
	0,
	2,
	0,
	2,
	0,
	0,
	0,
	2,
	0,
	2,
	0,
	5,
	0,
	1,
	0,
	0,
	0,
	0,
	/* fifo: three of four */
	10,
	0,
	6,
	0,
	3,
	0,
	0,
	0,
	7,
	8,
	9,
	/* later, optional */
	11,
	0x80,
	3,
	0,
	4,
	0,
	0,
	0,
	5,
	0,
	0,
	0,
};

/* Where things are in it. */
enum {
	AT_PAYLOAD = 13,
	AT_U8 = AT_PAYLOAD,
	AT_U16 = AT_U8 + 9,
	AT_FLAG = AT_U16 + 10 + 12 + 16,
	AT_BLOB = AT_FLAG + 9,
	AT_ONE = AT_BLOB + 11 + 12,
	AT_MANY = AT_ONE + 8 + 23,
	AT_FIFO = AT_MANY + 8 + 46,
	AT_LATER = AT_FIFO + 11,
};

static void assert_sample(const struct outer *o)
{
	assert_int_equal(o->u8, sample.u8);
	assert_int_equal(o->u16, sample.u16);
	assert_int_equal(o->u32, sample.u32);
	assert_true(o->u64 == sample.u64);
	assert_true(o->flag);
	assert_memory_equal(o->blob, sample.blob, sizeof(o->blob));
	assert_memory_equal(o->list, sample.list, sizeof(o->list));
	assert_int_equal(o->one.a, sample.one.a);
	assert_false(o->one.b);
	assert_int_equal(o->nr_many, 2);
	assert_int_equal(o->many[0].a, 1);
	assert_true(o->many[0].b);
	assert_int_equal(o->many[1].a, 2);
	assert_int_equal(o->nr_fifo, 3);
	assert_memory_equal(o->fifo, sample.fifo, 3);
}

/* Decode part outer[3] of @data. A failure leaves @o as it is, and has words. */
static int decode(const void *data, size_t len, struct outer *o)
{
	struct outer before = *o;
	struct vstate_reader *r = NULL;
	struct err e = { 0 };
	int rc = vstate_reader_new(&r, data, len, &e);

	if (rc == 0)
		rc = vstate_get(r, &outer_table, 3, o, &e);
	if (rc < 0) {
		assert_memory_equal(o, &before, sizeof(before));
		assert_int_not_equal(e.text[0], '\0');
		assert_int_equal(e.code, rc);
	} else {
		rc = vstate_reader_finish(r, &e);
	}
	vstate_reader_free(r);
	return rc;
}

static void test_golden(void **state)
{
	struct outer o = { 0 };
	struct vstate_writer *w = NULL;
	const void *data = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put(w, &outer_table, 3, &sample);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_int_equal(len, sizeof(golden));
	assert_memory_equal(data, golden, len);
	assert_int_equal(decode(data, len, &o), 0);
	assert_sample(&o);
	assert_int_equal(o.later, 5);
	vstate_writer_free(w);
	vstate_writer_free(NULL);
	vstate_reader_free(NULL);
}

static void patch_u32(uint8_t *at, uint32_t value)
{
	memcpy(at, &value, sizeof(value));
}

/* Neither a buffer that ends early, nor a part that does, is taken for a whole one. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t len = 0; len < sizeof(golden); len++) {
		uint8_t *copy = malloc(MAX(len, 1U)); /* exactly: a sanitizer sees the byte after */
		struct outer o = { .later = 77 };
		int rc;

		assert_non_null(copy);
		memcpy(copy, golden, len);
		rc = decode(copy, len, &o);
		assert_int_equal(rc, len == 0 ? -ENOENT : -EPROTO);
		if (len >= AT_PAYLOAD) {
			patch_u32(copy + 4, (uint32_t)(len - AT_PAYLOAD));
			rc = decode(copy, len, &o);
			/* Only what is optional may be missing. */
			assert_int_equal(rc, len == AT_LATER ? 0 : -EPROTO);
		}
		free(copy);
	}
}

static void test_flipped_bits(void **state)
{
	unsigned taken = 0;

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(golden); bit++) {
		uint8_t copy[sizeof(golden)];
		struct outer o = { 0 };
		int rc;

		memcpy(copy, golden, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
		rc = decode(copy, sizeof(copy), &o);
		assert_true(rc == 0 || rc == -EPROTO || rc == -EINVAL || rc == -ENOENT);
		if (rc < 0)
			continue;
		taken++;
		assert_true(o.u8 <= 200 && o.one.a <= 1000 && o.nr_many <= 3 && o.nr_fifo <= 4);
	}
	assert_in_range(taken, 8 * 20, 8 * 50); /* values without a limit */
}

/* One change of the sample each, and what is said about it. */
static void test_refused(void **state)
{
	static const struct {
		size_t at;
		uint8_t bytes, value[4];
		int rc;
		const char *text;
	} cases[] = {
		{ 0, 1, { 1 }, -EPROTO, "outer[3]: is a blob" },
		{ 0, 1, { 2 }, -EPROTO, "damaged at byte 0" },
		{ 1, 1, { 0 }, -EPROTO, "damaged" },
		{ 1, 1, { 255 }, -EPROTO, "damaged" },
		{ 2, 1, { 4 }, -ENOENT, "outer[3]: is missing" },
		{ 4, 4, { 255, 255, 255, 255 }, -EPROTO, "damaged" },
		{ 8, 1, { 'O' }, -EPROTO, "damaged" },
		{ 8, 1, { 0 }, -EPROTO, "damaged" },
		{ 8, 1, { 'a' }, -ENOENT, "missing" },
		{ AT_U8, 1, { 12 }, -EPROTO, "outer[3]: unknown field 12" },
		{ AT_U8, 2, { 12, 0x80 }, -EPROTO, "outer[3]: u8: is missing" },
		{ AT_U8, 1, { 11 }, -EPROTO, "unknown field 11" },
		{ AT_U8 + 2, 1, { 5 }, -EPROTO, "u8: is of kind 5, not 1" },
		{ AT_U8 + 4, 4, { 255, 255, 255, 255 }, -EPROTO, "a field does not fit" },
		{ AT_U8 + 8, 1, { 201 }, -EINVAL, "outer[3]: u8: 201 is above 200" },
		{ AT_U16, 1, { 1 }, -EPROTO, "u8: is there twice" },
		{ AT_FLAG + 8, 1, { 2 }, -EINVAL, "flag: 2 is above 1" },
		{ AT_ONE + 8, 4, { 255, 255, 255, 255 }, -EPROTO, "one: an element does not fit" },
		{ AT_ONE + 8, 4, { 0 }, -EPROTO, "one: a: is missing" },
		{ AT_ONE + 8 + 12, 2, { 0xe9, 3 }, -EINVAL, "one: a: 1001 is above 1000" },
		{ AT_ONE + 8 + 22, 1, { 1 }, -EINVAL, "one: a and b do not go together" },
		{ AT_MANY + 8 + 23 + 14, 1, { 1 }, -EPROTO, "many[1]: a: is there twice" },
		{ AT_LATER + 2, 1, { 4 }, -EPROTO, "later: is of kind 4, not 3" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t copy[sizeof(golden)];
		struct vstate_reader *r = NULL;
		struct outer o = { 0 };
		struct err e = { 0 };
		int rc;

		memcpy(copy, golden, sizeof(copy));
		memcpy(copy + cases[i].at, cases[i].value, cases[i].bytes);
		rc = vstate_reader_new(&r, copy, sizeof(copy), &e);
		if (rc == 0)
			rc = vstate_get(r, &outer_table, 3, &o, &e);
		if (rc != cases[i].rc || !strstr(e.text, cases[i].text))
			print_error("case %zu: %d, %s\n", i, rc, e.text);
		assert_int_equal(rc, cases[i].rc);
		assert_non_null(strstr(e.text, cases[i].text));
		vstate_reader_free(r);
	}
}

/* Replace the bytes [at, at + cut) of the sample's payload. 0 or -errno of decoding it. */
static int decode_spliced(size_t at, size_t cut, const void *add, size_t add_len, struct outer *o)
{
	uint8_t copy[sizeof(golden) + 4096];
	size_t len = sizeof(golden) - cut + add_len;

	memcpy(copy, golden, at);
	if (add_len > 0)
		memcpy(copy + at, add, add_len);
	memcpy(copy + at + add_len, golden + at + cut, sizeof(golden) - at - cut);
	patch_u32(copy + 4, (uint32_t)(len - AT_PAYLOAD));
	return decode(copy, len, o);
}

static void test_counts(void **state)
{
	static const uint8_t element[] = { 19, 0, 0, 0, 1, 0, 2, 0, 2, 0, 0, 0,
					   9,  0, 2, 0, 5, 0, 1, 0, 0, 0, 0 };
	uint8_t many[8 + 4 * sizeof(element)] = { 9, 0, 7, 0 };
	uint8_t fifo[8 + 5] = { 10, 0, 6, 0 };

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		memcpy(many + 8 + i * sizeof(element), element, sizeof(element));
	for (unsigned n = 0; n <= 4; n++) {
		struct outer o = { .nr_many = 99 };
		size_t bytes = n * sizeof(element);
		int rc;

		patch_u32(many + 4, (uint32_t)bytes);
		rc = decode_spliced(AT_MANY, 8 + 46, many, 8 + bytes, &o);
		assert_int_equal(rc, n <= 3 ? 0 : -EPROTO);
		assert_int_equal(o.nr_many, n <= 3 ? n : 99);
	}
	for (unsigned n = 0; n <= 5; n++) {
		struct outer o = { .nr_fifo = 99 };
		int rc;

		patch_u32(fifo + 4, n);
		rc = decode_spliced(AT_FIFO, 11, fifo, 8 + n, &o);
		assert_int_equal(rc, n <= 4 ? 0 : -EPROTO);
		assert_int_equal(o.nr_fifo, n <= 4 ? n : 99);
	}
	/* Arrays of all their elements have all. */
	for (unsigned n = 0; n <= 3; n++) {
		uint8_t list[8 + 6] = { 7, 0, 2, 0, (uint8_t)(2 * n) };
		struct outer o = { 0 };
		int rc = decode_spliced(AT_BLOB + 11, 12, list, 8 + 2 * n, &o);

		assert_int_equal(rc, n == 2 ? 0 : -EPROTO);
	}
}

static void test_compatible(void **state)
{
	static const uint8_t unknown[] = { 99, 0x80, 3, 0, 4, 0, 0, 0, 1, 2, 3, 4 };
	static const uint8_t odd[] = { 99, 0x80, 77, 0, 3, 0, 0, 0, 1, 2, 3 };
	uint8_t flood[8 * 300];
	struct outer o = { .later = 42 };

	(void)state;
	/* An older writer: what it did not know keeps its default. */
	assert_int_equal(decode_spliced(AT_LATER, 12, NULL, 0, &o), 0);
	assert_sample(&o);
	assert_int_equal(o.later, 42);
	/* A newer one: what is optional is skipped, of whatever kind it is. */
	assert_int_equal(decode_spliced(AT_U16, 0, unknown, sizeof(unknown), &o), 0);
	assert_int_equal(decode_spliced(AT_ONE, 0, odd, sizeof(odd), &o), 0);
	assert_sample(&o);
	assert_int_equal(o.later, 5);
	/* But not without end. */
	for (size_t i = 0; i < sizeof(flood); i += 8)
		memcpy(flood + i, (uint8_t[]){ 99, 0x80, 1, 0, 0, 0, 0, 0 }, 8);
	assert_int_equal(decode_spliced(AT_U16, 0, flood, 8UL * 240, &o), 0);
	assert_int_equal(decode_spliced(AT_U16, 0, flood, sizeof(flood), &o), -EPROTO);
}

/* --- several parts --- */

static const struct vstate_table extra_table = {
	VSTATE_TABLE("extra", struct inner, inner_fields),
	.optional = true,
};

static void test_parts(void **state)
{
	static const struct inner values[] = { { .a = 10 }, { .a = 20, .b = true } };
	struct vstate_writer *w = NULL;
	struct vstate_reader *r = NULL;
	struct inner in = { 0 };
	struct vstate_blob blob = { 0 };
	const void *data = NULL;
	size_t len = 0;
	struct err e;

	(void)state;
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put(w, &inner_table, 0, &values[0]);
	vstate_put(w, &inner_table, 1, &values[1]);
	vstate_put_blob(w, "slirp", 0, "abc", 3);
	vstate_put_blob(w, "empty", 0, NULL, 0);
	vstate_put(w, &extra_table, 65535, &values[0]);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_int_equal(vstate_reader_new(&r, data, len, &e), 0);

	assert_int_equal(vstate_get(r, &inner_table, 1, &in, &e), 0);
	assert_int_equal(in.a, 20);
	assert_int_equal(vstate_reader_finish(r, &e), -EPROTO);
	assert_non_null(strstr(e.text, "inner[0]: unknown"));
	assert_int_equal(vstate_get(r, &inner_table, 0, &in, &e), 0);
	assert_int_equal(in.a, 10);
	assert_int_equal(vstate_get(r, &inner_table, 2, &in, &e), -ENOENT);

	assert_int_equal(vstate_get_blob(r, "slirp", 0, 2, &blob, &e), -EPROTO);
	assert_int_equal(vstate_get_blob(r, "slirp", 0, 3, &blob, &e), 0);
	assert_int_equal(blob.len, 3);
	assert_memory_equal(blob.data, "abc", 3);
	assert_int_equal(vstate_get_blob(r, "empty", 0, 0, &blob, &e), 0);
	assert_int_equal(blob.len, 0);
	assert_int_equal(vstate_get_blob(r, "inner", 0, 99, &blob, &e), -EPROTO);
	assert_int_equal(vstate_get_blob(r, "other", 0, 99, &blob, &e), -ENOENT);
	/* The optional one may stay unread. */
	assert_int_equal(vstate_reader_finish(r, &e), 0);
	vstate_reader_free(r);
	vstate_writer_free(w);
}

static void test_duplicate_part(void **state)
{
	static const struct inner value = { .a = 10 };
	struct vstate_writer *w = NULL;
	struct vstate_reader *r = NULL;
	const void *data = NULL;
	size_t len = 0;
	struct err e;

	(void)state;
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put(w, &inner_table, 7, &value);
	vstate_put(w, &inner_table, 7, &value);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_int_equal(vstate_reader_new(&r, data, len, &e), -EPROTO);
	assert_non_null(strstr(e.text, "inner[7]: is there twice"));
	assert_null(r);
	vstate_writer_free(w);
}

static void test_limits(void **state)
{
	static const uint8_t part[] = { 1, 1, 0, 0, 0, 0, 0, 0, 'x' };
	struct vstate_writer *w = NULL;
	struct vstate_reader *r = NULL;
	struct outer bad = sample;
	uint8_t *many = malloc(1025 * sizeof(part));
	void *large = calloc(1, VSTATE_MAX_BYTES + 1);
	const void *data = NULL;
	size_t len = 0;
	struct err e;

	(void)state;
	assert_non_null(large);
	assert_non_null(many);
	/* A writer that is asked for too much says so, and goes on saying it. */
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put_blob(w, "large", 0, large, VSTATE_MAX_BYTES);
	vstate_put_blob(w, "small", 0, large, 1);
	assert_int_equal(vstate_writer_finish(w, &data, &len), -E2BIG);
	vstate_writer_free(w);
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put_blob(w, "large", 0, large, VSTATE_MAX_BYTES - 13);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_int_equal(len, VSTATE_MAX_BYTES);
	vstate_writer_free(w);
	/* A count that is larger than its array is our own mistake. */
	bad.nr_many = 4;
	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put(w, &outer_table, 0, &bad);
	assert_int_equal(vstate_writer_finish(w, &data, &len), -EINVAL);
	vstate_writer_free(w);

	assert_int_equal(vstate_reader_new(&r, large, VSTATE_MAX_BYTES + 1, &e), -EPROTO);
	for (unsigned i = 0; i < 1025; i++) {
		memcpy(many + i * sizeof(part), part, sizeof(part));
		memcpy(many + i * sizeof(part) + 2, &(uint16_t){ (uint16_t)i }, 2);
	}
	assert_int_equal(vstate_reader_new(&r, many, 1025 * sizeof(part), &e), -EPROTO);
	assert_non_null(strstr(e.text, "more than 1024 parts"));
	assert_int_equal(vstate_reader_new(&r, many, 1024 * sizeof(part), &e), 0);
	vstate_reader_free(r);
	free(many);
	free(large);
}

/* --- JSON --- */

static const struct vstate_table *find_table(const char *name)
{
	return strcmp(name, "outer") ? NULL : &outer_table;
}

static json_t *field(json_t *list, size_t i)
{
	return json_array_get(json_object_get(json_array_get(list, 0), "fields"), i);
}

static void test_json(void **state)
{
	static const char u64_text[] = "{\"name\": \"u64\", \"tag\": 4, \"optional\": false, "
				       "\"kind\": \"u64\", \"offset\": 1044, \"bytes\": 16, "
				       "\"value\": \"0xfedcba9876543210\"}";
	json_t *list = vstate_to_json(golden, sizeof(golden), 1000, find_table);
	json_t *part = json_array_get(list, 0), *many;
	char *text;

	(void)state;
	assert_int_equal(json_array_size(list), 1);
	assert_string_equal(json_string_value(json_object_get(part, "name")), "outer");
	assert_int_equal(json_integer_value(json_object_get(part, "index")), 3);
	assert_int_equal(json_integer_value(json_object_get(part, "offset")), 1000);
	assert_int_equal(json_integer_value(json_object_get(part, "bytes")), sizeof(golden));
	assert_int_equal(json_array_size(json_object_get(part, "fields")), 11);
	text = json_dumps(field(list, 3), 0);
	assert_string_equal(text, u64_text);
	free(text);
	assert_true(json_is_true(json_object_get(field(list, 4), "value")));
	assert_string_equal(json_string_value(json_object_get(field(list, 5), "value")), "010203");
	assert_int_equal(json_integer_value(json_object_get(field(list, 8), "offset")),
			 1000 + AT_MANY);
	many = json_object_get(field(list, 8), "value");
	assert_int_equal(json_array_size(many), 2);
	assert_true(json_is_true(json_object_get(field(list, 10), "optional")));
	json_decref(list);
	/* Without its table it has no names, but all else. */
	list = vstate_to_json(golden, sizeof(golden), 0, NULL);
	assert_null(json_object_get(field(list, 0), "name"));
	assert_int_equal(json_integer_value(json_object_get(field(list, 0), "value")), 200);
	assert_int_equal(json_array_size(json_object_get(field(list, 8), "value")), 2);
	json_decref(list);
}

/* Bad framing gives nothing, a bad value is shown: that is what one looks for. */
static void test_json_damaged(void **state)
{
	(void)state;
	for (size_t len = 1; len < sizeof(golden); len++)
		assert_null(vstate_to_json(golden, len, 0, find_table));
	for (size_t bit = 0; bit < 8 * sizeof(golden); bit++) {
		uint8_t copy[sizeof(golden)];

		memcpy(copy, golden, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1U << bit % 8);
		json_decref(vstate_to_json(copy, sizeof(copy), 0, find_table));
	}
}

/* Small bytes that would be large JSON. */
static void test_json_flood(void **state)
{
	uint32_t bytes = 1U << 20;
	uint8_t *data = calloc(1, bytes + 17);

	(void)state;
	assert_non_null(data);
	memcpy(data, (uint8_t[]){ 0, 1, 0, 0, 0, 0, 0, 0, 'x', 1, 0, VSTATE_U8, 0 }, 13);
	patch_u32(data + 4, bytes + 8);
	patch_u32(data + 13, bytes);
	assert_null(vstate_to_json(data, bytes + 17, 0, NULL));
	data[11] = VSTATE_STRUCT; /* 2^18 empty elements, and a field each */
	assert_null(vstate_to_json(data, bytes + 17, 0, NULL));
	data[11] = VSTATE_BYTES;
	json_decref(vstate_to_json(data, bytes + 17, 0, NULL));
	/* Structures in structures in structures: the innermost are shown as bytes. */
	for (uint32_t at = 9, left = 1200; left > 12; at += 12, left -= 12) {
		memcpy(data + at, (uint8_t[]){ 1, 0, VSTATE_STRUCT, 0 }, 4);
		patch_u32(data + at + 4, left - 8);
		patch_u32(data + at + 8, left - 12);
	}
	patch_u32(data + 4, 1200);
	json_decref(vstate_to_json(data, 1209, 0, NULL));
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),       cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_flipped_bits), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_counts),       cmocka_unit_test(test_compatible),
		cmocka_unit_test(test_parts),        cmocka_unit_test(test_duplicate_part),
		cmocka_unit_test(test_limits),       cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_damaged), cmocka_unit_test(test_json_flood),
	};

	return cmocka_run_group_tests_name("vstate", tests, NULL, NULL);
}
