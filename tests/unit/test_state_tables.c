// SPDX-License-Identifier: MIT
/*
 * All tables of saved state against fixtures: tests/fixtures/state/NAME.hex is a
 * structure filled by a rule, as it was encoded when its table was last changed.
 *
 * A fixture that no longer fits says that guests that were saved before are no
 * longer read as they were written. A field that is added must be optional, and its
 * fixture gets a second file (FERRY_FIXTURES=write writes missing files, the next
 * version of one that differs as NAME.new.hex); the old one is kept, for it must
 * still be read.
 */
#include <ctype.h>
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migration/vstate.h"
#include "util/compiler.h"
#include "vmm/move/state.h"

#define FIXTURES    "tests/fixtures/state"
#define MAX_DEPTH   4U
#define MAX_FIELDS  128U
#define MAX_FIXTURE (64U * 1024)
#define LINE_BYTES  32U

/* --- every table makes sense --- */

static void check_name(const char *name, size_t max)
{
	size_t len = strlen(name);

	assert_in_range(len, 1, max);
	assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-"), len);
}

/* No two fields share a tag, with or without its flag; no field is outside its structure. */
static void check_field(const struct vstate_table *t, size_t i)
{
	const struct vstate_field *f = &t->fields[i];

	check_name(f->name, 48);
	assert_int_not_equal(f->tag & ~VSTATE_OPTIONAL, 0);
	assert_in_range(f->kind, VSTATE_U8, VSTATE_STRUCT);
	assert_in_range(f->count, 1, UINT16_MAX);
	assert_in_range(f->offset + (size_t)f->bytes * f->count, 1, t->bytes);
	assert_in_range(f->used_offset, 0, t->bytes - sizeof(uint32_t));
	assert_int_equal(f->kind == VSTATE_STRUCT, f->sub != NULL);
	for (size_t k = 0; k < t->nr_fields; k++) {
		const struct vstate_field *other = &t->fields[k];

		if (k != i)
			assert_int_not_equal((other->tag ^ f->tag) & ~VSTATE_OPTIONAL, 0);
		/* What the decoder sets from the number of elements is no field. */
		if (other->used_offset)
			assert_int_not_equal(other->used_offset, f->offset);
	}
}

static void check_table(const struct vstate_table *t, unsigned depth)
{
	assert_in_range(depth, 0, MAX_DEPTH);
	check_name(t->name, 31);
	assert_in_range(t->nr_fields, 1, MAX_FIELDS);
	for (size_t i = 0; i < t->nr_fields; i++) {
		check_field(t, i);
		if (t->fields[i].sub) {
			assert_int_equal(t->fields[i].sub->bytes, t->fields[i].bytes);
			check_table(t->fields[i].sub, depth + 1);
		}
	}
}

static void test_tables(void **state)
{
	(void)state;
	for (size_t i = 0; state_tables[i]; i++) {
		check_table(state_tables[i], 0);
		assert_ptr_equal(state_find_table(state_tables[i]->name), state_tables[i]);
	}
	assert_null(state_find_table("no such thing"));
}

/* --- the rule by which a structure is filled --- */

static void fill(const struct vstate_table *t, uint8_t *st, unsigned *seed);

static uint64_t next_value(const struct vstate_field *f, unsigned *seed)
{
	uint64_t value = 0x0102030405060708ULL * ++*seed + 0x11;

	if (f->kind == VSTATE_BOOL)
		return value & 1;
	return f->max ? value % (f->max + 1) : value;
}

static void fill_element(const struct vstate_field *f, uint8_t *at, unsigned *seed)
{
	uint64_t value;

	if (f->kind == VSTATE_STRUCT) {
		fill(f->sub, at, seed);
	} else if (f->kind == VSTATE_BYTES) {
		for (uint32_t i = 0; i < f->bytes; i++)
			at[i] = (uint8_t)(0x40 + ++*seed);
	} else {
		value = next_value(f, seed);
		memcpy(at, &value, f->bytes);
	}
}

/* Of arrays with a count, three elements travel. */
static void fill(const struct vstate_table *t, uint8_t *st, unsigned *seed)
{
	for (size_t i = 0; i < t->nr_fields; i++) {
		const struct vstate_field *f = &t->fields[i];
		uint32_t count = f->count;

		if (f->used_offset) {
			count = MIN(count, 3U);
			memcpy(st + f->used_offset, &count, sizeof(count));
		}
		for (uint32_t k = 0; k < count; k++)
			fill_element(f, st + f->offset + (size_t)k * f->bytes, seed);
	}
}

static size_t encode(const struct vstate_table *t, const void *st, uint8_t *ret)
{
	struct vstate_writer *w = NULL;
	const void *data = NULL;
	size_t len = 0;

	assert_int_equal(vstate_writer_new(&w), 0);
	vstate_put(w, t, 0, st);
	assert_int_equal(vstate_writer_finish(w, &data, &len), 0);
	assert_in_range(len, 1, MAX_FIXTURE);
	memcpy(ret, data, len);
	vstate_writer_free(w);
	return len;
}

/* --- fixtures --- */

static void write_fixture(const char *path, const uint8_t *data, size_t len)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	for (size_t i = 0; i < len; i++)
		(void)fprintf(file, "%02x%s", data[i],
			      (i + 1) % LINE_BYTES && i + 1 < len ? "" : "\n");
	assert_int_equal(fclose(file), 0);
}

/* 0 where there is no such file. */
static size_t read_fixture(const char *path, uint8_t *ret)
{
	FILE *file = fopen(path, "r");
	unsigned byte = 0;
	size_t len = 0;

	if (!file)
		return 0;
	/* NOLINTNEXTLINE(cert-err34-c): two digits fit */
	while (len < MAX_FIXTURE && fscanf(file, "%2x", &byte) == 1)
		ret[len++] = (uint8_t)byte;
	(void)fclose(file);
	return len;
}

static void check_golden(const struct vstate_table *t, uint8_t *now, uint8_t *then)
{
	void *st = test_calloc(1, t->bytes);
	bool may_write = getenv("FERRY_FIXTURES") != NULL;
	char path[128];
	unsigned seed = 0;
	size_t len, old;

	fill(t, st, &seed);
	len = encode(t, st, now);
	test_free(st);
	(void)snprintf(path, sizeof(path), FIXTURES "/%s.hex", t->name);
	old = read_fixture(path, then);
	if (old == len && !memcmp(now, then, len))
		return;
	if (may_write) {
		if (old > 0)
			(void)snprintf(path, sizeof(path), FIXTURES "/%s.new.hex", t->name);
		write_fixture(path, now, len);
		return;
	}
	if (old == 0)
		fail_msg("%s is missing", path);
	fail_msg("%s: %zu bytes, now %zu, or they differ", path, old, len);
}

/* What is encoded today is what it was, byte for byte. */
static void test_golden(void **state)
{
	uint8_t *now = test_malloc(MAX_FIXTURE), *then = test_malloc(MAX_FIXTURE);

	(void)state;
	for (size_t i = 0; state_tables[i]; i++)
		check_golden(state_tables[i], now, then);
	test_free(then);
	test_free(now);
}

/* The same table without checks: values by a rule make no sense to those. */
static struct vstate_table without_check(const struct vstate_table *t)
{
	struct vstate_table copy = *t;

	copy.check = NULL;
	return copy;
}

static int decode(const struct vstate_table *t, const uint8_t *data, size_t len, void *st)
{
	struct vstate_table plain = without_check(t);
	struct vstate_reader *r = NULL;
	struct err e = { 0 };
	int rc = vstate_reader_new(&r, data, len, &e);

	if (rc == 0)
		rc = vstate_get(r, &plain, 0, st, &e);
	if (rc < 0)
		print_error("%s\n", e.text);
	vstate_reader_free(r);
	return rc;
}

/* A fixture's table: NAME.hex, or NAME.OLDER.hex. */
static const struct vstate_table *table_of(const char *file)
{
	char name[64];
	const char *dot = strchr(file, '.');

	assert_non_null(dot);
	(void)snprintf(name, sizeof(name), "%.*s", (int)(dot - file), file);
	return state_find_table(name);
}

/* Each, of whatever version, is read; a file that no table reads is a name that was lost. */
static void test_all_are_read(void **state)
{
	uint8_t *data = test_malloc(MAX_FIXTURE);
	DIR *dir = opendir(FIXTURES);
	const struct dirent *entry;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		const struct vstate_table *t;
		char path[512];
		size_t len;
		void *st;

		if (entry->d_name[0] == '.')
			continue;
		t = table_of(entry->d_name);
		if (!t) {
			fail_msg("%s: there is no such table", entry->d_name);
			continue; /* it does not get here, which not everybody knows */
		}
		(void)snprintf(path, sizeof(path), FIXTURES "/%s", entry->d_name);
		len = read_fixture(path, data);
		st = test_calloc(1, t->bytes);
		if (len == 0 || decode(t, data, len, st) < 0)
			fail_msg("%s cannot be read", path);
		test_free(st);
	}
	(void)closedir(dir);
	test_free(data);
}

/* Leave out of the one part at @data what is optional. Returns the length that is left. */
static size_t strip_optional(uint8_t *data, size_t len)
{
	size_t at = 8 + data[1], kept = at;
	uint32_t bytes;

	while (at < len) {
		memcpy(&bytes, data + at + 4, sizeof(bytes));
		bytes += 8;
		if (!(data[at + 1] & VSTATE_OPTIONAL >> 8)) {
			memmove(data + kept, data + at, bytes);
			kept += bytes;
		}
		at += bytes;
	}
	bytes = (uint32_t)(kept - 8 - data[1]);
	memcpy(data + 4, &bytes, sizeof(bytes));
	return kept;
}

/* An older version wrote no optional field: it keeps its default, and all else is there. */
static void check_older(const struct vstate_table *t, uint8_t *data, uint8_t *again)
{
	uint8_t *st = test_malloc(t->bytes), *defaults = test_malloc(t->bytes);
	unsigned seed = 1000;
	size_t len;

	memset(st, 0, t->bytes);
	fill(t, st, &seed);
	len = strip_optional(data, encode(t, st, data));
	memset(defaults, 0, t->bytes);
	memcpy(st, defaults, t->bytes);
	assert_int_equal(decode(t, data, len, st), 0);
	for (size_t i = 0; i < t->nr_fields; i++) {
		const struct vstate_field *f = &t->fields[i];

		if (f->tag & VSTATE_OPTIONAL)
			assert_memory_equal(st + f->offset, defaults + f->offset,
					    (size_t)f->bytes * f->count);
	}
	assert_int_equal(strip_optional(again, encode(t, st, again)), len);
	assert_memory_equal(again, data, len);
	test_free(defaults);
	test_free(st);
}

static void test_without_optional(void **state)
{
	uint8_t *data = test_malloc(MAX_FIXTURE), *again = test_malloc(MAX_FIXTURE);

	(void)state;
	for (size_t i = 0; state_tables[i]; i++)
		check_older(state_tables[i], data, again);
	test_free(again);
	test_free(data);
}

/* Whoever cuts one short is refused, wherever that is. */
static void test_truncated(void **state)
{
	uint8_t *data = test_malloc(MAX_FIXTURE);

	(void)state;
	for (size_t i = 0; state_tables[i]; i++) {
		const struct vstate_table *t = state_tables[i];
		void *st = test_calloc(1, t->bytes);
		unsigned seed = 7;
		size_t len;

		fill(t, st, &seed);
		len = encode(t, st, data);
		for (size_t cut = 1; cut < len; cut += 1 + len / 500) {
			struct vstate_reader *r = NULL;
			struct err e;

			assert_int_not_equal(vstate_reader_new(&r, data, cut, &e), 0);
		}
		test_free(st);
	}
	test_free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tables),       cmocka_unit_test(test_golden),
		cmocka_unit_test(test_all_are_read), cmocka_unit_test(test_without_optional),
		cmocka_unit_test(test_truncated),
	};

	return cmocka_run_group_tests_name("state_tables", tests, NULL, NULL);
}
