// SPDX-License-Identifier: MIT
// ferry state shows a file only if it says one thing about each part of a guest.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/file.h"
#include "migration/section_list.h"
#include "util/io.h"
#include "vmm/gmem.h"
#include "vmm/move/state.h"

#define RAM_BYTES (2 * MIB)

struct piece {
	uint32_t type, id;
	const char *payload;
};

static char dir[] = "/tmp/ferry-test-state-XXXXXX", path[64];
static struct gmem gm;

static int setup(void **state)
{
	struct err e;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/saved", dir);
	return gmem_init(&gm, RAM_BYTES, 0, &e);
}

static int teardown(void **state)
{
	(void)state;
	gmem_fini(&gm);
	(void)unlink(path);
	return rmdir(dir);
}

/* A file with CONFIG, the @nr pieces @times over, and END. */
static void write_file(const struct piece *pieces, size_t nr, unsigned times)
{
	const struct file_options o = { .path = path, .force = true };
	_cleanup_close_ int fd = memfd_create("kernel", MFD_CLOEXEC);
	const struct boot_part parts[BOOT_NR_PARTS] = { { .fd = fd, .bytes = 1 }, { .fd = fd } };
	struct section_sink sink;
	struct file_writer *w;
	struct err e;

	assert_int_equal(io_write_full(fd, "k", 1), 0);
	assert_int_equal(file_writer_new(&w, &o, &e), 0);
	sink = file_writer_sink(w);
	assert_int_equal(file_writer_boot(w, parts, &e), 0);
	assert_int_equal(sink.put(sink.opaque, SECTION_CONFIG, 0, "{}", 2, &e), 0);
	for (size_t i = 0; i < nr * times; i++) {
		const struct piece *p = &pieces[i % nr];

		assert_int_equal(
			sink.put(sink.opaque, p->type, p->id, p->payload, strlen(p->payload), &e),
			0);
	}
	assert_int_equal(sink.put(sink.opaque, SECTION_END, 0, NULL, 0, &e), 0);
	assert_int_equal(file_writer_ram(w, &gm, &e), 0);
	assert_int_equal(file_writer_commit(w, &e), 0);
	file_writer_free(w);
}

/* Is it shown? Otherwise the reason has @why in it. */
static void check(const struct piece *pieces, size_t nr, unsigned times, const char *why)
{
	struct file_reader *r;
	json_t *shown;
	struct err e = { 0 };

	write_file(pieces, nr, times);
	assert_int_equal(file_reader_open(&r, path, &e), 0);
	shown = state_to_json(r, &e);
	if (!shown != !!why || (why && !strstr(e.text, why)))
		fail_msg("%s: '%s'", why ? why : "shown", e.text);
	json_decref(shown);
	file_reader_close(r);
}

static void test_each_once(void **state)
{
	static const struct piece all[] = {
		{ SECTION_CLOCK, 0, "" },
		{ SECTION_VCPU, 0, "" },
		{ SECTION_VCPU, 1, "" },
		{ SECTION_DEVICE, 0, "\001a\001t" },
		{ SECTION_DEVICE, 0, "\001b\001t" },
	};
	static const struct {
		struct piece piece;
		const char *why;
	} twice[] = {
		{ { SECTION_CONFIG, 0, "{\"other\":1}" }, "CONFIG comes twice" },
		{ { SECTION_VCPU, 1, "other" }, "VCPU comes twice" },
		{ { SECTION_CLOCK, 0, "other" }, "CLOCK comes twice" },
		{ { SECTION_DEVICE, 0, "\001b\001u" }, "DEVICE comes twice" },
	};
	struct piece pieces[ARRAY_SIZE(all) + 1];

	(void)state;
	check(all, ARRAY_SIZE(all), 1, NULL);
	memcpy(pieces, all, sizeof(all));
	for (size_t i = 0; i < ARRAY_SIZE(twice); i++) {
		pieces[ARRAY_SIZE(all)] = twice[i].piece;
		check(pieces, ARRAY_SIZE(pieces), 1, twice[i].why);
	}
}

/* What may be skipped is no part of a guest, but does not come without end either. */
static void test_optional(void **state)
{
	static const struct piece optional = { SECTION_OPTIONAL | 77, 0, "x" };

	(void)state;
	check(&optional, 1, 2, NULL);
	check(&optional, 1, SECTION_LIST_MAX, "more than");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_once),
		cmocka_unit_test(test_optional),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
