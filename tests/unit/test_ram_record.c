// SPDX-License-Identifier: MIT
// Records: their bytes, every truncated and flipped stream, and what a hostile peer may say.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "migration/ram_codec.h"
#include "migration/ram_record.h"
#include "tests/unit/ram_pipe.h"
#include "vmm/gmem.h"

#define RAM_BYTES (8 * MIB)
#define NR_PAGES  (RAM_BYTES / RAM_PAGE_BYTES)
#define MAX_BYTES (64 * 1024)

/* A stream, being written down. */
struct stream {
	uint8_t bytes[MAX_BYTES];
	size_t len;
};

static void put(struct stream *s, struct ram_header h, const struct ram_run *runs,
		const void *payload)
{
	XXH3_state_t *state = XXH3_createState();
	const struct iovec iov = { (void *)(uintptr_t)payload, h.bytes };

	h.checksum = ram_record_checksum(state, &h, runs, &iov, h.bytes ? 1 : 0);
	(void)XXH3_freeState(state);
	assert_true(s->len + sizeof(h) + h.nr_runs * sizeof(*runs) + h.bytes <= MAX_BYTES);
	memcpy(s->bytes + s->len, &h, sizeof(h));
	s->len += sizeof(h);
	if (h.nr_runs)
		memcpy(s->bytes + s->len, runs, h.nr_runs * sizeof(*runs));
	s->len += h.nr_runs * sizeof(*runs);
	if (h.bytes)
		memcpy(s->bytes + s->len, payload, h.bytes);
	s->len += h.bytes;
}

static void put_end(struct stream *s)
{
	put(s, (struct ram_header){ .kind = RAM_END }, NULL, NULL);
}

/* Give the bytes to a receiver as stream @stream of @nr; how that ends. */
static int play(const struct stream *s, struct gmem *gm, unsigned stream, unsigned nr,
		struct err *e)
{
	struct channel *ch[RAM_MAX_STREAMS];
	struct ram_receiver *r = NULL;
	struct stream end = { 0 };
	int fds[RAM_MAX_STREAMS], rc;

	put_end(&end);
	for (unsigned i = 0; i < nr; i++) {
		const struct stream *what = i == stream ? s : &end;

		ch[i] = ram_pipe_raw(&fds[i]);
		assert_int_equal(write(fds[i], what->bytes, what->len), what->len);
		(void)close(fds[i]);
	}
	assert_int_equal(ram_receiver_new(&r, gm, ch, nr, e), 0);
	rc = ram_receiver_wait(r, e);
	ram_receiver_free(r);
	for (unsigned i = 0; i < nr; i++)
		channel_free(ch[i]);
	return rc;
}

static uint8_t contents[4 * RAM_PAGE_BYTES];

/* One of each kind. */
static void put_all(struct stream *s)
{
	static const struct ram_run raw[] = { { 3, 1, 0 }, { 1024, 1, 0 } };
	static const struct ram_run zero[] = { { 0, 512, 0 }, { 600, 1, 0 } };
	static const struct ram_run packed[] = { { 100, 4, 0 } };
	static uint8_t buf[sizeof(contents)];
	struct ram_codec *codec = NULL;
	enum ram_kind kind = RAM_RAW;

	for (unsigned i = 0; i < sizeof(contents); i++)
		contents[i] = (uint8_t)(i / 64 + 1);
	put(s, (struct ram_header){ RAM_RAW, 2 * RAM_PAGE_BYTES, 2, 2, 0 }, raw, contents);
	put(s, (struct ram_header){ .kind = RAM_IDLE }, NULL, NULL);
	put(s, (struct ram_header){ RAM_ZERO, 0, 2, 513, 0 }, zero, NULL);
	for (int c = RAM_COMPRESS_LZ4; c <= RAM_COMPRESS_ZSTD; c++) {
		uint32_t n;

		assert_int_equal(ram_codec_new(&codec, (enum ram_compress)c, 0), 0);
		n = (uint32_t)ram_codec_pack(codec, buf, contents, sizeof(contents), &kind);
		assert_true(n > 0 && n < 2000);
		put(s, (struct ram_header){ kind, n, 1, 4, 0 }, packed, buf);
		ram_codec_free(codec);
	}
	put_end(s);
}

static int setup(void **state)
{
	struct gmem *gm = calloc(1, sizeof(*gm));

	*state = gm;
	return gm && gmem_init(gm, RAM_BYTES, 0, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	gmem_fini(*state);
	free(*state);
	return 0;
}

static void test_all_kinds(void **state)
{
	struct gmem *gm = *state;
	struct stream s = { 0 };
	struct err e = { 0 };

	put_all(&s);
	memset(gm->base + 600 * RAM_PAGE_BYTES, 0xaa, 2 * RAM_PAGE_BYTES);
	assert_int_equal(play(&s, gm, 0, 1, &e), 0);
	assert_memory_equal(gm->base + 100 * RAM_PAGE_BYTES, contents, sizeof(contents));
	assert_memory_equal(gm->base + 1024 * RAM_PAGE_BYTES, contents + RAM_PAGE_BYTES,
			    RAM_PAGE_BYTES);
	/* Page 3 was written, and is in a run of zeroes after that. */
	assert_int_equal(gm->base[3 * RAM_PAGE_BYTES], 0);
	/* What was there before anything came is not what the guest has. */
	assert_int_equal(gm->base[600 * RAM_PAGE_BYTES], 0);
	assert_int_equal(gm->base[601 * RAM_PAGE_BYTES], 0);
}

/* The format: what one version sends another must understand. */
static void test_golden(void **state)
{
	static const uint8_t golden[] = {
		0x02, 0, 0,    0,    0,    0,    0,    0,    1,    0,    0,    0,    5, 0,
		0,    0, 0x8c, 0xba, 0x67, 0xa5, 0xf8, 0x43, 0x72, 0x2f, /* checksum */
		0x0a, 2, 0,    0,    0,    0,    0,    0,    5,    0,    0,    0,    0, 0,
		0,    0, 0x06, 0,    0,    0,    0,    0,    0,    0,    0,    0,    0, 0,
		0,    0, 0,    0,    0xed, 0xa6, 0x00, 0x64, 0x32, 0xa5, 0xcc, 0xa8, /* checksum */
	};
	static const struct ram_run run = { 522, 5, 0 };
	struct stream s = { 0 };

	(void)state;
	put(&s, (struct ram_header){ RAM_ZERO, 0, 1, 5, 0 }, &run, NULL);
	put_end(&s);
	assert_int_equal(s.len, sizeof(golden));
	assert_memory_equal(s.bytes, golden, sizeof(golden));
}

static void test_mark_comes_back(void **state)
{
	uint8_t answer[RAM_HEADER_BYTES];
	struct ram_receiver *r = NULL;
	struct stream s = { 0 };
	struct channel *ch;
	struct err e = { 0 };
	int fd;

	put(&s, (struct ram_header){ .kind = RAM_MARK }, NULL, NULL);
	put_end(&s);
	ch = ram_pipe_raw(&fd);
	assert_int_equal(write(fd, s.bytes, s.len), s.len);
	assert_int_equal(ram_receiver_new(&r, *state, &ch, 1, &e), 0);
	assert_int_equal(ram_receiver_wait(r, &e), 0);
	assert_int_equal(read(fd, answer, sizeof(answer)), sizeof(answer));
	assert_memory_equal(answer, s.bytes, sizeof(answer));
	ram_receiver_free(r);
	channel_free(ch);
	(void)close(fd);
}

static void test_truncated(void **state)
{
	struct stream s = { 0 };
	size_t whole;

	put_all(&s);
	whole = s.len;
	/* Each byte of headers and runs, and some of the contents. */
	for (s.len = 0; s.len < whole; s.len += s.len < 200 || s.len > 8000 ? 1 : 97) {
		struct err e = { 0 };

		assert_int_equal(play(&s, *state, 0, 1, &e), -ECONNRESET);
		assert_non_null(strstr(e.text, "memory stream 0"));
	}
}

static void test_flipped(void **state)
{
	struct stream s = { 0 };

	put_all(&s);
	for (size_t i = 0; i < s.len; i += i < 200 || i > 8000 ? 1 : 97) {
		struct err e = { 0 };

		s.bytes[i] ^= (uint8_t)(1U << (i % 8));
		assert_int_not_equal(play(&s, *state, 0, 1, &e), 0);
		s.bytes[i] ^= (uint8_t)(1U << (i % 8));
	}
}

/* --- hostile ----------------------------------------------------------------- */

#define RAW(pages, runs) RAM_RAW, (pages)*RAM_PAGE_BYTES, runs, pages, 0

static const struct bad {
	const char *why;
	struct ram_header h;
	struct ram_run runs[3];
} bad[] = {
	{ "kind", { .kind = 0 }, { { 0 } } },
	{ "kind", { .kind = 8 }, { { 0 } } },
	{ "kind", { .kind = UINT32_MAX }, { { 0 } } },
	{ "runs", { RAM_END, 0, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "runs", { RAM_IDLE, 0, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "runs", { RAM_MARK, 0, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_END, 5, 0, 0, 0 }, { { 0 } } },
	{ "pages", { RAM_END, 0, 0, 1, 0 }, { { 0 } } },
	{ "runs", { RAM_RAW, 0, 0, 0, 0 }, { { 0 } } },
	{ "runs", { RAM_ZERO, 0, 257, 257, 0 }, { { 0 } } },
	{ "runs", { RAM_ZERO, 0, UINT32_MAX, 1, 0 }, { { 0 } } },
	{ "pages", { RAW(257, 1) }, { { 0, 257, 0 } } },
	{ "pages", { RAM_RAW, 4096, 1, UINT32_MAX, 0 }, { { 0, 1, 0 } } },
	{ "pages", { RAM_ZERO, 0, 1, 513, 0 }, { { 0, 513, 0 } } },
	{ "pages", { RAW(1, 2) }, { { 0, 1, 0 }, { 2, 1, 0 } } },
	{ "bytes", { RAM_RAW, 4095, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_RAW, 4097, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_RAW, UINT32_MAX, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_ZERO, 4096, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_LZ4, 0, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_LZ4, 4096, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "bytes", { RAM_ZSTD, UINT32_MAX, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "run", { RAW(1, 1) }, { { NR_PAGES, 1, 0 } } },
	{ "run", { RAW(1, 1) }, { { UINT64_MAX, 1, 0 } } },
	{ "run", { RAW(2, 1) }, { { NR_PAGES - 1, 2, 0 } } },
	{ "run", { RAW(2, 1) }, { { 511, 2, 0 } } },
	{ "run", { RAW(1, 1) }, { { 0, 1, 1 } } },
	{ "run", { RAW(2, 2) }, { { 0, 2, 0 }, { 3, 0, 0 } } },
	{ "run", { RAW(2, 2) }, { { 5, 1, 0 }, { 5, 1, 0 } } },
	{ "run", { RAW(2, 2) }, { { 6, 1, 0 }, { 5, 1, 0 } } },
	{ "run", { RAW(4, 2) }, { { 5, 3, 0 }, { 7, 1, 0 } } },
	{ "run", { RAM_ZERO, 0, 1, 1, 0 }, { { 0, UINT32_MAX, 0 } } },
	{ "pages", { RAW(3, 2) }, { { 5, 1, 0 }, { 7, 1, 0 } } },
	{ "decompress", { RAM_LZ4, 4, 1, 1, 0 }, { { 0, 1, 0 } } },
	{ "decompress", { RAM_ZSTD, 4, 1, 1, 0 }, { { 0, 1, 0 } } },
};

/* The checksum is right: the peer itself is bad. */
static void test_hostile(void **state)
{
	struct gmem *gm = *state;
	struct stream *s = calloc(1, sizeof(*s));

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ram_header h = bad[i].h;
		struct err e = { 0 };

		s->len = 0;
		/* What it says may be more than what there is. */
		if (h.nr_runs <= 3 && h.bytes <= MAX_BYTES / 4) {
			put(s, h, bad[i].runs, gm->base);
		} else {
			memcpy(s->bytes, &h, sizeof(h));
			memcpy(s->bytes + sizeof(h), bad[i].runs, sizeof(bad[i].runs));
			s->len = sizeof(h) + sizeof(bad[i].runs);
		}
		assert_int_not_equal(play(s, gm, 0, 1, &e), 0);
		if (!strstr(e.text, bad[i].why))
			fail_msg("case %u: %s", i, e.text);
	}
	free(s);
}

static void test_other_stream(void **state)
{
	static const struct ram_run runs[] = { { 0, 1, 0 }, { 513, 1, 0 } };
	struct err e = { 0 };

	for (unsigned mine = 0; mine < 2; mine++) {
		struct stream s = { 0 };

		put(&s, (struct ram_header){ RAM_ZERO, 0, 1, 1, 0 }, &runs[mine], NULL);
		put_end(&s);
		assert_int_equal(play(&s, *state, mine, 2, &e), 0);
		assert_int_equal(play(&s, *state, !mine, 2, &e), -EPROTO);
		assert_non_null(strstr(e.text, "another stream's page"));
	}
}

/* Little that decompresses to much: to no more than the pages it is for. */
static void test_bomb(void **state)
{
	static const struct ram_run run = { 0, 1, 0 };
	struct gmem *gm = *state;

	for (int c = RAM_COMPRESS_LZ4; c <= RAM_COMPRESS_ZSTD; c++) {
		struct stream s = { 0 };
		struct ram_codec *codec = NULL;
		enum ram_kind kind = RAM_RAW;
		uint8_t *many = calloc(2, MIB), *few = many + MIB;
		struct err e = { 0 };
		uint32_t n;

		assert_int_equal(ram_codec_new(&codec, (enum ram_compress)c, 0), 0);
		memset(many, 0x55, 256 * 1024);
		n = (uint32_t)ram_codec_pack(codec, few, many, 256 * 1024, &kind);
		assert_true(n > 0 && n < RAM_PAGE_BYTES);
		put(&s, (struct ram_header){ kind, n, 1, 1, 0 }, &run, few);
		put_end(&s);
		assert_int_equal(play(&s, gm, 0, 1, &e), -EBADMSG);
		assert_int_equal(gm->base[RAM_PAGE_BYTES], 0);
		ram_codec_free(codec);
		free(many);
	}
}

/* Nobody reads on after the end. */
static void test_after_end(void **state)
{
	static const struct ram_run run = { 0, 1, 0 };
	struct gmem *gm = *state;
	struct stream s = { 0 };
	struct err e = { 0 };

	put_end(&s);
	put(&s, (struct ram_header){ RAW(1, 1) }, &run, contents);
	assert_int_equal(play(&s, gm, 0, 1, &e), 0);
	assert_int_equal(gm->base[0], 0);
}

static void test_number_of_streams(void **state)
{
	struct channel *ch[1] = { NULL };
	struct ram_receiver *r = NULL;
	struct err e = { 0 };

	assert_int_equal(ram_receiver_new(&r, *state, ch, 0, &e), -EINVAL);
	assert_int_equal(ram_receiver_new(&r, *state, ch, RAM_MAX_STREAMS + 1, &e), -EINVAL);
	ram_receiver_free(NULL);
}

/* Does not get smaller: is said so, and not tried for ever. */
static void test_incompressible(void **state)
{
	uint8_t from[RAM_PAGE_BYTES], to[RAM_PAGE_BYTES];
	uint64_t x = 88172645463325252ULL;

	(void)state;
	for (unsigned i = 0; i < sizeof(from); i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		from[i] = (uint8_t)x;
	}
	for (int c = RAM_COMPRESS_NONE; c <= RAM_COMPRESS_ZSTD; c++) {
		struct ram_codec *codec = NULL;
		enum ram_kind kind = RAM_RAW;

		assert_int_equal(ram_codec_new(&codec, (enum ram_compress)c, 1), 0);
		for (unsigned i = 0; i < 50; i++)
			assert_int_equal(ram_codec_pack(codec, to, from, sizeof(from), &kind), 0);
		memset(to, 0, sizeof(to));
		/* Where it gets better, that is seen after a while. */
		for (unsigned i = 0; c != RAM_COMPRESS_NONE; i++) {
			static const uint8_t easy[RAM_PAGE_BYTES];

			assert_true(i < 20);
			if (ram_codec_pack(codec, to, easy, sizeof(easy), &kind) > 0)
				break;
		}
		ram_codec_free(codec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test_setup_teardown(test_all_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mark_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flipped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bomb, setup, teardown),
		cmocka_unit_test_setup_teardown(test_after_end, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_of_streams, setup, teardown),
		cmocka_unit_test(test_incompressible),
	};

	return cmocka_run_group_tests_name("ram_record", tests, NULL, NULL);
}
