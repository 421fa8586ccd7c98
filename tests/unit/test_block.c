// SPDX-License-Identifier: MIT
// Disk back ends on real files: data, overlays, locks, faults, cancellation;
// each with both engines, and with and without O_DIRECT.
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/tmpdisk.h"
#include "virtio/block/block.h"
#include "virtio/block/file.h"
#include "virtio/block/overlay.h"

#define SECTOR  BLOCK_SECTOR_BYTES
#define SECTORS 256ULL
#define DISK    (SECTORS * SECTOR)
#define MAX_RQ  64

/* What varies; the initial state of each test. */
struct variant {
	unsigned loop_flags;
	enum block_direct direct;
	bool overlay;
};

struct fixture {
	struct variant v;
	struct tmpdisk disk;
	struct loop *loop;
	struct block *block;
	struct block_queue *q;
	sem_t done;
	uint8_t *buf; /* DISK bytes and a page, page-aligned */
};

static void open_disk(struct fixture *f, bool readonly)
{
	struct block_image_config cfg = {
		.path = f->disk.path,
		.readonly = readonly,
		.overlay = f->v.overlay,
		.direct = f->v.direct,
	};
	struct err e = { 0 };

	if (block_image_new(&f->block, &cfg, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(loop_new(&f->loop, f->v.loop_flags), 0);
	assert_int_equal(block_attach(f->block, f->loop, &f->q), 0);
	assert_int_equal(loop_start(f->loop, THREAD_IO, "disk"), 0);
}

static void detach(void *opaque)
{
	struct fixture *f = opaque;

	f->block->ops->detach(f->q);
}

static void close_disk(struct fixture *f)
{
	if (f->q)
		loop_call_sync(f->loop, detach, f);
	loop_free(f->loop);
	block_free(f->block);
	f->loop = NULL;
	f->q = NULL;
	f->block = NULL;
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	f->v = *(const struct variant *)*state;
	f->buf = aligned_alloc(4096, DISK + 4096);
	assert_non_null(f->buf);
	(void)sem_init(&f->done, 0, 0);
	tmpdisk_new(&f->disk, DISK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_disk(f);
	tmpdisk_free(&f->disk);
	(void)sem_destroy(&f->done);
	free(f->buf);
	test_free(f);
	return 0;
}

/* --- requests, from outside of the loop ------------------------------------- */

struct call {
	struct fixture *f;
	struct block_request rq;
	int res, callbacks;
};

static void called_back(struct block_request *rq, int res)
{
	struct call *c = container_of(rq, struct call, rq);

	c->res = res;
	c->callbacks++;
	(void)sem_post(&c->f->done);
}

static void submit(void *opaque)
{
	struct call *c = opaque;

	c->f->block->ops->submit(c->f->q, &c->rq);
}

static int run(struct fixture *f, struct block_request rq)
{
	struct call c = { .f = f, .rq = rq };

	c.rq.done = called_back;
	loop_call_sync(f->loop, submit, &c);
	while (sem_wait(&f->done) < 0)
		;
	assert_int_equal(c.callbacks, 1);
	return c.res;
}

static int transfer(struct fixture *f, enum block_op op, uint64_t sector, void *buf, size_t len)
{
	struct iovec iov = { buf, len };

	return run(f, (struct block_request){
			      .op = op,
			      .offset = sector * SECTOR,
			      .bytes = len,
			      .iov = &iov,
			      .niov = 1,
		      });
}

static int range(struct fixture *f, enum block_op op, uint64_t sector, uint64_t count, unsigned fl)
{
	return run(f, (struct block_request){
			      .op = op,
			      .flags = fl,
			      .offset = sector * SECTOR,
			      .bytes = count * SECTOR,
		      });
}

/* --- data ------------------------------------------------------------------- */

static void test_reads_what_is_there(void **state)
{
	struct fixture *f = *state;

	open_disk(f, true);
	assert_int_equal(f->block->bytes, DISK);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, DISK), 0);
	for (uint64_t i = 0; i < SECTORS; i++)
		assert_true(tmpdisk_is_fresh(f->buf + i * SECTOR, i));
}

/* Cut a request's memory into odd pieces, at an odd address. */
static unsigned cut(struct iovec *iov, unsigned max, uint8_t *at, size_t len)
{
	unsigned n = 0;

	while (len > 0) {
		size_t some = (size_t)(rand() % 700 + 1);
		size_t part = n + 1 < max ? MIN(some, len) : len;

		iov[n++] = (struct iovec){ at, part };
		at += part;
		len -= part;
	}
	return n;
}

/* One random request, on the disk and on @model; reads are compared. */
static void random_request(struct fixture *f, uint8_t *model)
{
	static const enum block_op ops[] = { BLOCK_READ, BLOCK_WRITE, BLOCK_WRITE, BLOCK_FLUSH,
					     BLOCK_WRITE_ZEROES };
	enum block_op op = ops[(unsigned)rand() % ARRAY_SIZE(ops)];
	uint64_t sector = (unsigned)rand() % SECTORS;
	uint64_t count = (unsigned)rand() % MIN(SECTORS - sector, 40ULL) + 1;
	uint8_t *mem = f->buf + (rand() % 2 ? 0 : rand() % 600);
	struct iovec iov[8];
	struct block_request rq = {
		.op = op,
		.flags = (unsigned)rand() % 4,
		.offset = sector * SECTOR,
		.bytes = count * SECTOR,
		.iov = iov,
	};

	rq.niov = cut(iov, rand() % 2 ? 1 : 8, mem, rq.bytes);
	memset(mem, rand(), rq.bytes);
	if (op == BLOCK_WRITE)
		memcpy(model + rq.offset, mem, rq.bytes);
	else if (op == BLOCK_WRITE_ZEROES)
		memset(model + rq.offset, 0, rq.bytes);
	assert_int_equal(run(f, rq), 0);
	if (op == BLOCK_READ)
		assert_memory_equal(mem, model + rq.offset, rq.bytes);
}

static void test_random_requests_against_a_model(void **state)
{
	struct fixture *f = *state;
	uint8_t *model = test_malloc(DISK), *found = test_malloc(DISK);

	tmpdisk_read(&f->disk, 0, model, DISK);
	open_disk(f, false);
	srand(1);
	for (int i = 0; i < 300; i++)
		random_request(f, model);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, DISK), 0);
	assert_memory_equal(f->buf, model, DISK);
	close_disk(f);
	tmpdisk_read(&f->disk, 0, found, DISK);
	for (uint64_t i = 0; f->v.overlay && i < SECTORS; i++)
		assert_true(tmpdisk_is_fresh(found + i * SECTOR, i));
	if (!f->v.overlay)
		assert_memory_equal(found, model, DISK);
	test_free(model);
	test_free(found);
}

static void test_discard_keeps_the_rest(void **state)
{
	struct fixture *f = *state;

	open_disk(f, false);
	assert_true(f->block->can_discard);
	assert_int_equal(range(f, BLOCK_DISCARD, 64, 64, 0), 0);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, DISK), 0);
	for (uint64_t i = 0; i < SECTORS; i++)
		if (i < 64 || i >= 128)
			assert_true(tmpdisk_is_fresh(f->buf + i * SECTOR, i));
}

static void test_readonly_refuses_writes(void **state)
{
	struct fixture *f = *state;

	open_disk(f, true);
	memset(f->buf, 1, SECTOR);
	assert_int_equal(transfer(f, BLOCK_WRITE, 3, f->buf, SECTOR), -EROFS);
	assert_int_equal(range(f, BLOCK_DISCARD, 3, 1, 0), -EROFS);
	assert_int_equal(range(f, BLOCK_WRITE_ZEROES, 3, 1, 0), -EROFS);
	assert_int_equal(range(f, BLOCK_FLUSH, 0, 0, 0), 0);
	assert_int_equal(transfer(f, BLOCK_READ, 3, f->buf, SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, 3));
}

/* --- faults ----------------------------------------------------------------- */

static void test_file_that_became_shorter(void **state)
{
	struct fixture *f = *state;

	open_disk(f, false);
	assert_int_equal(truncate(f->disk.path, DISK / 2 + 100), 0);
	assert_int_equal(transfer(f, BLOCK_READ, SECTORS - 1, f->buf, SECTOR), -EIO);
	assert_int_equal(transfer(f, BLOCK_READ, SECTORS / 2 - 1, f->buf, 4 * SECTOR), -EIO);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, DISK), -EIO);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, DISK / 2), 0);
}

static void test_odd_size_is_cut(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(truncate(f->disk.path, DISK - 100), 0);
	open_disk(f, false);
	assert_int_equal(f->block->bytes, DISK - SECTOR);
	assert_int_equal(transfer(f, BLOCK_READ, SECTORS - 2, f->buf, SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, SECTORS - 2));
	assert_int_equal(transfer(f, BLOCK_WRITE, SECTORS - 2, f->buf, SECTOR), 0);
}

static void test_no_space(void **state)
{
	struct fixture *f = *state;
	const char *was = getenv("TMPDIR");
	struct tmpdisk small;

	if (!tmpdisk_new_small(&small, DISK, 16 * KIB))
		skip();
	tmpdisk_free(&f->disk);
	f->disk = small;
	assert_int_equal(setenv("TMPDIR", small.dir, 1), 0); /* overlays go there, too */
	open_disk(f, false);
	memset(f->buf, 0x11, DISK);
	assert_int_equal(transfer(f, BLOCK_WRITE, 0, f->buf, 8 * SECTOR), 0);
	assert_int_equal(transfer(f, BLOCK_WRITE, 8, f->buf, DISK - 8 * SECTOR), -ENOSPC);
	assert_int_equal(transfer(f, BLOCK_READ, 0, f->buf, 8 * SECTOR), 0);
	assert_int_equal(f->buf[0], 0x11);
	(void)(was ? setenv("TMPDIR", was, 1) : unsetenv("TMPDIR"));
}

/* --- several at once -------------------------------------------------------- */

static void submit_and_cancel(void *opaque)
{
	struct call *c = opaque;

	for (int i = 0; i < MAX_RQ; i++)
		submit(&c[i]);
	for (int i = 0; i < MAX_RQ; i++)
		if (c[i].callbacks == 0)
			c->f->block->ops->cancel(c->f->q, &c[i].rq);
}

static void test_cancelled_requests_call_back_once(void **state)
{
	struct fixture *f = *state;
	struct call *c = test_calloc(MAX_RQ, sizeof(*c));
	struct iovec *iov = test_calloc(MAX_RQ, sizeof(*iov));

	open_disk(f, false);
	for (unsigned i = 0; i < MAX_RQ; i++) {
		iov[i] = (struct iovec){ f->buf + i * 4 * SECTOR, 4 * SECTOR };
		c[i].f = f;
		c[i].rq = (struct block_request){
			.op = i % 8 == 7 ? BLOCK_FLUSH : BLOCK_READ,
			.offset = i * 4 * SECTOR,
			.bytes = 4 * SECTOR,
			.iov = &iov[i],
			.niov = 1,
			.done = called_back,
		};
	}
	loop_call_sync(f->loop, submit_and_cancel, c);
	for (unsigned i = 0; i < MAX_RQ; i++)
		while (sem_wait(&f->done) < 0)
			;
	close_disk(f);
	for (unsigned i = 0; i < MAX_RQ; i++) {
		assert_int_equal(c[i].callbacks, 1);
		assert_true(c[i].res == 0 || c[i].res == -ECANCELED);
	}
	test_free(c);
	test_free(iov);
}

/* --- other sizes ------------------------------------------------------------ */

static void resize(struct fixture *f, uint64_t bytes)
{
	struct err e = { 0 };

	if (block_resize(f->block, bytes, &e) < 0)
		fail_msg("%s", e.text);
}

static void check_resize_fails(struct fixture *f, uint64_t bytes, int rc, const char *why)
{
	uint64_t before = f->block->bytes;
	struct err e = { 0 };

	assert_int_equal(block_resize(f->block, bytes, &e), rc);
	if (!strstr(e.text, why))
		fail_msg("%s", e.text);
	assert_int_equal(f->block->bytes, before);
}

/* What is new reads as zeroes, can be written, and what was there stays. */
static void test_grows(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	open_disk(f, false);
	memset(f->buf, 0xaa, SECTOR);
	assert_int_equal(transfer(f, BLOCK_WRITE, SECTORS - 1, f->buf, SECTOR), 0);
	resize(f, 2 * DISK);
	assert_int_equal(f->block->bytes, 2 * DISK);
	assert_int_equal(transfer(f, BLOCK_READ, SECTORS - 2, f->buf, 4 * SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, SECTORS - 2));
	assert_int_equal(f->buf[SECTOR], 0xaa);
	for (unsigned i = 2 * SECTOR; i < 4 * SECTOR; i++)
		assert_int_equal(f->buf[i], 0);
	memset(f->buf, 0xbb, 4 * SECTOR);
	assert_int_equal(transfer(f, BLOCK_WRITE, SECTORS - 2, f->buf, 4 * SECTOR), 0);
	assert_int_equal(transfer(f, BLOCK_WRITE, 2 * SECTORS - 1, f->buf, SECTOR), 0);
	memset(f->buf, 0, 4 * SECTOR);
	assert_int_equal(transfer(f, BLOCK_READ, SECTORS - 3, f->buf, 4 * SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, SECTORS - 3));
	assert_int_equal(f->buf[SECTOR], 0xbb);
	assert_int_equal(f->buf[4 * SECTOR - 1], 0xbb);
	assert_int_equal(stat(f->disk.path, &st), 0);
	assert_int_equal(st.st_size, f->v.overlay ? DISK : 2 * DISK);
	check_resize_fails(f, DISK, -EINVAL, "does not shrink");
	check_resize_fails(f, 2 * DISK + 1, -EINVAL, "no whole sectors");
	check_resize_fails(f, UINT64_MAX - 511, -EFBIG, "too many");
}

/* Somebody else has made the image larger. */
static void test_looks_at_the_size(void **state)
{
	struct fixture *f = *state;

	open_disk(f, true);
	if (f->v.overlay) {
		check_resize_fails(f, 0, -EINVAL, "missing");
		return;
	}
	resize(f, 0);
	assert_int_equal(f->block->bytes, DISK);
	check_resize_fails(f, 2 * DISK, -EROFS, "for reading alone");
	assert_int_equal(truncate(f->disk.path, 3 * DISK + 100), 0);
	check_resize_fails(f, 2 * DISK, -EINVAL, "by now");
	resize(f, 0);
	assert_int_equal(f->block->bytes, 3 * DISK);
	assert_int_equal(transfer(f, BLOCK_READ, 3 * SECTORS - 1, f->buf, SECTOR), 0);
	assert_int_equal(truncate(f->disk.path, DISK), 0);
	check_resize_fails(f, 0, -EIO, "shorter");
}

/* An overlay may be larger than its image from the start. */
static void test_larger_overlay(void **state)
{
	struct fixture *f = *state;
	struct block_image_config cfg = { .path = f->disk.path,
					  .overlay = true,
					  .overlay_bytes = DISK - SECTOR };
	struct err e = { 0 };

	assert_int_equal(block_image_new(&f->block, &cfg, &e), -EINVAL);
	cfg.overlay_bytes = DISK + 1;
	assert_int_equal(block_image_new(&f->block, &cfg, &e), -EINVAL);
	cfg.overlay_bytes = 1ULL << 40;
	assert_int_equal(block_image_new(&f->block, &cfg, &e), 0);
	assert_int_equal(f->block->bytes, 1ULL << 40);
	block_free(f->block);
	f->block = NULL;
}

/* --- locks and opening ------------------------------------------------------ */

static int try_open(const char *path, bool readonly, bool overlay, struct block **ret)
{
	struct block_image_config cfg = { .path = path, .readonly = readonly, .overlay = overlay };
	struct err e = { 0 };
	int rc = block_image_new(ret, &cfg, &e);

	if (rc < 0) {
		*ret = NULL;
		assert_non_null(strstr(e.text, path));
	}
	return rc;
}

static void test_locks(void **state)
{
	/* first, second, and what the second gets: writer, reader, overlay */
	static const struct {
		bool ro1, ov1, ro2, ov2;
		int rc;
	} cases[] = {
		{ false, false, false, false, -EBUSY }, { false, false, true, false, -EBUSY },
		{ false, false, false, true, -EBUSY },  { true, false, false, false, -EBUSY },
		{ false, true, false, false, -EBUSY },  { true, false, true, false, 0 },
		{ false, true, false, true, 0 },        { true, false, false, true, 0 },
	};
	struct fixture *f = *state;
	struct block *a, *b;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(try_open(f->disk.path, cases[i].ro1, cases[i].ov1, &a), 0);
		assert_int_equal(try_open(f->disk.path, cases[i].ro2, cases[i].ov2, &b),
				 cases[i].rc);
		block_free(b);
		block_free(a);
		assert_int_equal(try_open(f->disk.path, false, false, &a), 0);
		block_free(a);
	}
}

static void test_what_is_no_image(void **state)
{
	struct fixture *f = *state;
	struct block *b;

	assert_int_equal(try_open(f->disk.dir, true, false, &b), -EINVAL);
	assert_int_equal(try_open("/dev/null", true, false, &b), -EINVAL);
	assert_int_equal(unlink(f->disk.path), 0);
	assert_int_equal(try_open(f->disk.path, true, false, &b), -ENOENT);
	assert_int_equal(mkfifo(f->disk.path, 0600), 0);
	assert_int_equal(try_open(f->disk.path, true, false, &b), -EINVAL);
}

/* Two overlays on one base do not see each other. */
static void test_shared_base(void **state)
{
	struct fixture *f = *state;
	struct fixture other = *f;

	f->v.overlay = other.v.overlay = true;
	(void)sem_init(&other.done, 0, 0);
	open_disk(f, false);
	open_disk(&other, false);
	memset(f->buf, 0xaa, SECTOR);
	assert_int_equal(transfer(f, BLOCK_WRITE, 5, f->buf, SECTOR), 0);
	assert_int_equal(transfer(&other, BLOCK_READ, 5, f->buf, SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, 5));
	assert_int_equal(transfer(f, BLOCK_READ, 4, f->buf, 3 * SECTOR), 0);
	assert_true(tmpdisk_is_fresh(f->buf, 4));
	assert_int_equal(f->buf[SECTOR], 0xaa);
	assert_true(tmpdisk_is_fresh(f->buf + 2 * SECTOR, 6));
	close_disk(&other);
	(void)sem_destroy(&other.done);
}

/* --- images that somebody else has opened ------------------------------------- */

/* Try what is open as @fd; it must be refused, stay open and stay ours. */
static void check_given_fails(const struct fixture *f, int fd, bool readonly, const char *why)
{
	struct block_given given = { .fd = fd, .overlay_fd = -1 };
	const struct block_image_config cfg = { .path = f->disk.path,
						.readonly = readonly,
						.given = &given };
	struct block *block;
	struct err e = { 0 };

	assert_in_range(-block_image_new(&block, &cfg, &e), 1, 200);
	if (!strstr(e.text, why))
		fail_msg("%s: not %s", e.text, why);
	assert_int_equal(given.fd, fd);
	if (fd >= 0)
		assert_int_equal(close(fd), 0);
}

static void test_given(void **state)
{
	struct fixture *f = *state;
	struct block_given given = { .fd = open(f->disk.path, O_RDWR | O_APPEND | O_NONBLOCK),
				     .overlay_fd = -1 };
	struct block_image_config cfg = { .path = "x", .given = &given };
	struct err e = { 0 };
	int fd = given.fd, pipes[2];
	struct block *other;

	/* What would lead writes astray is cleared, and the lock is taken. */
	assert_int_equal(block_image_new(&f->block, &cfg, &e), 0);
	assert_int_equal(given.fd, -1);
	assert_int_equal(fcntl(fd, F_GETFL) & (O_APPEND | O_NONBLOCK), 0);
	assert_int_equal(try_open(f->disk.path, true, false, &other), -EBUSY);
	check_given_fails(f, open(f->disk.path, O_RDONLY), true, "another guest");
	block_free(f->block);
	f->block = NULL;
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	check_given_fails(f, open(f->disk.path, O_RDONLY), false, "reading and writing");
	check_given_fails(f, open(f->disk.path, O_WRONLY), false, "reading and writing");
	check_given_fails(f, open(f->disk.path, O_RDWR), true, "reading alone");
	check_given_fails(f, open(f->disk.path, O_PATH), true, "reading alone");
	check_given_fails(f, open("/dev/null", O_RDWR), false, "neither a file nor");
	check_given_fails(f, open(f->disk.dir, O_RDONLY), true, "neither a file nor");
	check_given_fails(f, -1, false, "Bad file descriptor");
	assert_int_equal(pipe(pipes), 0);
	check_given_fails(f, pipes[0], true, "neither a file nor");
	check_given_fails(f, pipes[1], true, "reading alone");
}

/* The lock comes with the descriptor, and goes with the last of them. */
static void test_given_lock(void **state)
{
	struct fixture *f = *state;
	const struct block_image_config cfg = { .path = f->disk.path };
	struct block_file a, b;
	struct block_given given = { .overlay_fd = -1 };
	struct err e = { 0 };
	struct block *other;

	assert_int_equal(block_file_open(&a, &cfg, &e), 0);
	given.fd = dup(a.fd);
	assert_int_equal(
		block_file_open(&b, &(struct block_image_config){ .path = "x", .given = &given },
				&e),
		0);
	assert_int_equal(close(block_file_give(&a)), 0);
	assert_int_equal(try_open(f->disk.path, true, false, &other), -EBUSY);
	block_file_close(&b);
	assert_int_equal(try_open(f->disk.path, false, false, &other), 0);
	block_free(other);
}

static void test_given_overlay(void **state)
{
	struct fixture *f = *state;
	struct block_given given = { .fd = open(f->disk.path, O_RDONLY), .overlay_fd = -1 };
	const struct block_image_config cfg = { .path = "x", .overlay = true, .given = &given };
	struct err e = { 0 };

	assert_int_equal(block_image_new(&f->block, &cfg, &e), -EBADF);
	/* Not empty; not to be written. */
	given.fd = open(f->disk.path, O_RDONLY);
	given.overlay_fd = open(f->disk.path, O_RDWR);
	assert_int_equal(block_image_new(&f->block, &cfg, &e), -EINVAL);
	assert_non_null(strstr(e.text, "empty"));
	assert_int_equal(close(given.overlay_fd), 0);
	/* cppcheck-suppress redundantAssignment; the one before was taken */
	given.fd = open(f->disk.path, O_RDONLY);
	given.overlay_fd = open("/dev/null", O_RDWR);
	assert_int_equal(block_image_new(&f->block, &cfg, &e), -EINVAL);
	assert_int_equal(close(given.overlay_fd), 0);
	/* cppcheck-suppress redundantAssignment; the one before was taken */
	given.fd = open(f->disk.path, O_RDONLY);
	given.overlay_fd = overlay_open_file(&e);
	assert_int_equal(block_image_new(&f->block, &cfg, &e), 0);
	assert_int_equal(given.overlay_fd, -1);
	assert_int_equal(f->block->bytes, DISK);
	block_free(f->block);
	f->block = NULL;
}

static struct variant variants[] = {
	{ 0, BLOCK_DIRECT_OFF, false },
	{ 0, BLOCK_DIRECT_AUTO, false },
	{ 0, BLOCK_DIRECT_OFF, true },
	{ 0, BLOCK_DIRECT_ON, true },
	{ LOOP_NO_URING, BLOCK_DIRECT_OFF, false },
	{ LOOP_NO_URING, BLOCK_DIRECT_AUTO, false },
	{ LOOP_NO_URING, BLOCK_DIRECT_OFF, true },
};

#define DATA_TEST(fn) cmocka_unit_test_prestate_setup_teardown(fn, setup, teardown, NULL)

int main(void)
{
	const struct CMUnitTest once[] = {
		cmocka_unit_test_prestate_setup_teardown(test_locks, setup, teardown, variants),
		cmocka_unit_test_prestate_setup_teardown(test_what_is_no_image, setup, teardown,
							 variants),
		cmocka_unit_test_prestate_setup_teardown(test_shared_base, setup, teardown,
							 variants),
		cmocka_unit_test_prestate_setup_teardown(test_larger_overlay, setup, teardown,
							 variants),
		cmocka_unit_test_prestate_setup_teardown(test_given, setup, teardown, variants),
		cmocka_unit_test_prestate_setup_teardown(test_given_lock, setup, teardown,
							 variants),
		cmocka_unit_test_prestate_setup_teardown(test_given_overlay, setup, teardown,
							 variants),
	};
	int failed = cmocka_run_group_tests_name("block images", once, NULL, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
		struct CMUnitTest tests[] = {
			DATA_TEST(test_reads_what_is_there),
			DATA_TEST(test_random_requests_against_a_model),
			DATA_TEST(test_discard_keeps_the_rest),
			DATA_TEST(test_readonly_refuses_writes),
			DATA_TEST(test_file_that_became_shorter),
			DATA_TEST(test_odd_size_is_cut),
			DATA_TEST(test_grows),
			DATA_TEST(test_looks_at_the_size),
			DATA_TEST(test_no_space),
			DATA_TEST(test_cancelled_requests_call_back_once),
		};

		for (size_t j = 0; j < ARRAY_SIZE(tests); j++)
			tests[j].initial_state = &variants[i];
		failed += cmocka_run_group_tests_name("block", tests, NULL, NULL);
	}
	return failed;
}
