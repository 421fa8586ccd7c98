// SPDX-License-Identifier: MIT
// The saved file: what was written is read, and nothing else is.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/file_format.h"
#include "util/io.h"
#include "vmm/gmem.h"

#define RAM_BYTES (5 * MIB + 12 * KIB) /* the last chunk is not whole */
#define PAGE      4096ULL

struct fixture {
	char dir[64], path[96];
	struct gmem gm;
	int kernel_fd;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct err e;

	assert_non_null(f);
	(void)snprintf(f->dir, sizeof(f->dir), "/tmp/ferry-test-file-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	(void)snprintf(f->path, sizeof(f->path), "%s/saved", f->dir);
	assert_int_equal(gmem_init(&f->gm, RAM_BYTES, 0, &e), 0);
	f->kernel_fd = memfd_create("kernel", MFD_CLOEXEC);
	assert_int_equal(io_write_full(f->kernel_fd, "xxkernelinitrd", 14), 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gmem_fini(&f->gm);
	close_fd(&f->kernel_fd);
	(void)unlink(f->path);
	assert_int_equal(rmdir(f->dir), 0); /* nothing else was left in it */
	free(f);
	return 0;
}

static uint8_t *page_of(struct gmem *gm, uint64_t page)
{
	return gm->base + page * PAGE;
}

/* Pages of all kinds: full, a single byte, written with zeroes, the last one. */
static void fill(struct fixture *f)
{
	for (uint64_t i = 0; i < 300; i++)
		memset(page_of(&f->gm, i), (int)(i % 255 + 1), PAGE);
	page_of(&f->gm, 700)[4095] = 7;
	memset(page_of(&f->gm, 800), 0, PAGE);
	page_of(&f->gm, RAM_BYTES / PAGE - 1)[0] = 9;
}

static int write_file(struct fixture *f, bool zstd, bool force, struct err *e)
{
	const struct file_options o = { .path = f->path, .zstd = zstd, .force = force };
	const struct boot_part parts[BOOT_NR_PARTS] = {
		{ .fd = f->kernel_fd, .start = 2, .bytes = 6 },
		{ .fd = f->kernel_fd, .start = 8, .bytes = 6 },
	};
	struct section_sink sink;
	struct file_writer *w;
	int rc = file_writer_new(&w, &o, e);

	if (rc < 0)
		return rc;
	sink = file_writer_sink(w);
	if ((rc = file_writer_boot(w, parts, e)) == 0 &&
	    (rc = sink.put(sink.opaque, SECTION_CONFIG, 0, "{}", 2, e)) == 0 &&
	    (rc = sink.put(sink.opaque, SECTION_VCPU, 3, "state", 5, e)) == 0 &&
	    (rc = sink.put(sink.opaque, SECTION_END, 0, NULL, 0, e)) == 0 &&
	    (rc = file_writer_ram(w, &f->gm, e)) == 0)
		rc = file_writer_commit(w, e);
	file_writer_free(w);
	return rc;
}

static struct file_reader *open_file(struct fixture *f)
{
	struct file_reader *r = NULL;
	struct err e = { 0 };

	if (file_reader_open(&r, f->path, &e) < 0)
		fail_msg("%s", e.text);
	return r;
}

static void check_sections(struct file_reader *r)
{
	const struct section_source source = file_reader_source(r);
	const struct {
		uint32_t type, id;
		const char *payload;
	} wanted[] = { { SECTION_CONFIG, 0, "{}" },
		       { SECTION_VCPU, 3, "state" },
		       { SECTION_END, 0, "" } };
	struct section s;
	struct err e;

	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		assert_int_equal(source.get(source.opaque, &s, &e), 0);
		assert_int_equal(s.type, wanted[i].type);
		assert_int_equal(s.id, wanted[i].id);
		assert_int_equal(s.bytes, strlen(wanted[i].payload));
		assert_memory_equal(s.payload, wanted[i].payload, s.bytes);
		section_fini(&s);
	}
	assert_int_equal(source.get(source.opaque, &s, &e), -ENODATA);
}

static void check_boot(struct file_reader *r)
{
	struct boot_part parts[BOOT_NR_PARTS];
	char text[7] = "";

	file_reader_boot(r, parts);
	assert_int_equal(io_pread_full(parts[0].fd, text, parts[0].bytes, (off_t)parts[0].start),
			 0);
	assert_string_equal(text, "kernel");
	assert_int_equal(io_pread_full(parts[1].fd, text, parts[1].bytes, (off_t)parts[1].start),
			 0);
	assert_string_equal(text, "initrd");
}

static void test_plain(void **state)
{
	struct fixture *f = *state;
	struct gmem_file file;
	struct file_reader *r;
	struct gmem again;
	struct stat st;
	struct err e;

	fill(f);
	assert_int_equal(write_file(f, false, false, &e), 0);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_true((uint64_t)st.st_blocks * 512 < 2 * MIB);
	r = open_file(f);
	check_sections(r);
	check_boot(r);
	assert_int_equal(file_reader_verify(r, &e), 0);
	file = (struct gmem_file){ file_reader_fd(r), file_reader_header(r)->ram.offset };
	assert_int_equal(gmem_init_file(&again, RAM_BYTES, 0, &file, &e), 0);
	file_reader_close(r);
	assert_memory_equal(again.base, f->gm.base, RAM_BYTES);
	gmem_fini(&again);
}

static void test_zstd(void **state)
{
	struct fixture *f = *state;
	struct file_reader *r;
	struct gmem again;
	struct err e;

	fill(f);
	assert_int_equal(write_file(f, true, false, &e), 0);
	r = open_file(f);
	check_sections(r);
	check_boot(r);
	assert_int_equal(file_reader_verify(r, &e), 0);
	assert_int_equal(gmem_init(&again, RAM_BYTES, 0, &e), 0);
	assert_int_equal(file_reader_ram(r, &again, &e), 0);
	assert_memory_equal(again.base, f->gm.base, RAM_BYTES);
	gmem_fini(&again);
	file_reader_close(r);
}

/* A page is the file's until it is written or discarded. */
static void test_mapped(void **state)
{
	struct fixture *f = *state;
	uint64_t words[RAM_BYTES / PAGE / 64 + 1] = { 0 };
	struct gmem_file file;
	struct file_reader *r;
	struct gmem again;
	struct err e;

	fill(f);
	assert_int_equal(write_file(f, false, false, &e), 0);
	r = open_file(f);
	file = (struct gmem_file){ file_reader_fd(r), file_reader_header(r)->ram.offset };
	assert_int_equal(gmem_init_file(&again, RAM_BYTES, 0, &file, &e), 0);
	assert_int_equal(gmem_file_pages(&again, 0, words, ARRAY_SIZE(words)), 0);
	for (uint64_t page = 0; page < RAM_BYTES / PAGE; page++)
		assert_int_equal(words[page / 64] >> (page % 64) & 1,
				 page < 300 || page == 700 || page == RAM_BYTES / PAGE - 1);
	assert_int_equal(gmem_discard(&again, 10 * PAGE, 2 * PAGE), 0);
	assert_int_equal(page_of(&again, 10)[5], 0);
	assert_int_equal(page_of(&again, 11)[4095], 0);
	assert_int_equal(page_of(&again, 12)[0], 13);
	memset(words, 0, sizeof(words));
	assert_int_equal(gmem_file_pages(&again, 0, words, 1), 0);
	assert_int_equal(words[0], ~(3ULL << 10));
	page_of(&again, 20)[0] = 99;
	assert_int_equal(file_reader_verify(r, &e), -EPROTO); /* no section was read yet */
	check_sections(r);
	assert_int_equal(file_reader_verify(r, &e), 0);
	assert_false(gmem_file_is_cut(&again));
	assert_int_equal(truncate(f->path, 4096), 0);
	assert_true(gmem_file_is_cut(&again));
	gmem_fini(&again);
	file_reader_close(r);
}

static void test_too_short_to_map(void **state)
{
	struct fixture *f = *state;
	const struct gmem_file cut = { f->kernel_fd, 0 }, crooked = { f->kernel_fd, 5 };
	struct gmem gm;
	struct err e;

	assert_int_equal(gmem_init_file(&gm, RAM_BYTES, 0, &cut, &e), -EINVAL);
	assert_int_equal(gmem_init_file(&gm, RAM_BYTES, 0, &crooked, &e), -EINVAL);
}

static void test_overwrite(void **state)
{
	struct fixture *f = *state;
	struct file_reader *old;
	struct err e;

	fill(f);
	assert_int_equal(write_file(f, false, false, &e), 0);
	assert_int_equal(write_file(f, false, false, &e), -EEXIST);
	assert_non_null(strstr(e.text, "--force"));
	old = open_file(f);
	memset(f->gm.base, 0xee, PAGE);
	assert_int_equal(write_file(f, true, true, &e), 0);
	check_sections(old);
	assert_int_equal(file_reader_verify(old, &e), 0);
	file_reader_close(old);
}

static void test_cancel(void **state)
{
	struct fixture *f = *state;
	const struct file_options o = { .path = f->path };
	struct file_writer *w;
	struct err e;

	fill(f);
	assert_int_equal(file_writer_new(&w, &o, &e), 0);
	file_writer_cancel(w);
	assert_int_equal(file_writer_ram(w, &f->gm, &e), -ECANCELED);
	assert_int_equal(file_writer_commit(w, &e), -ECANCELED);
	file_writer_free(w);
	assert_int_equal(access(f->path, F_OK), -1);
}

/* Every byte of header, index and sections counts, and so does the length. */
static void test_damage(void **state)
{
	struct fixture *f = *state;
	struct file_header h;
	struct file_reader *r;
	uint64_t end;
	struct err e;
	int fd;

	fill(f);
	assert_int_equal(write_file(f, true, false, &e), 0);
	r = open_file(f);
	h = *file_reader_header(r);
	file_reader_close(r);
	end = h.sections.offset + h.sections.bytes;
	fd = open(f->path, O_RDWR | O_CLOEXEC);
	for (uint64_t at = 0; at < end;
	     at = at == FILE_HEADER_BYTES - 1 ? h.sections.offset : at + 1) {
		uint8_t byte, bad;
		int rc;

		assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
		bad = byte ^ 0x40;
		assert_int_equal(pwrite(fd, &bad, 1, (off_t)at), 1);
		rc = file_reader_open(&r, f->path, &e);
		if (rc == 0) {
			struct section s = { 0 };

			while ((rc = file_reader_next(r, &s, NULL, &e)) == 0)
				section_fini(&s);
			rc = rc == -ENODATA ? 0 : rc;
			file_reader_close(r);
		}
		if (rc == 0)
			fail_msg("byte %llu does not count", (unsigned long long)at);
		assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	}
	/* Shorter and shorter: what is cut need not come back. */
	for (uint64_t len = h.ram.offset + h.ram.bytes; len-- > 0;
	     len -= MIN(len, len < end ? 60ULL : 4095ULL)) {
		assert_int_equal(ftruncate(fd, (off_t)len), 0);
		assert_true(file_reader_open(&r, f->path, &e) < 0);
	}
	(void)close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_zstd, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_short_to_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overwrite, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
