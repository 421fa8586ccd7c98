// SPDX-License-Identifier: MIT
// The memory receiver: checked records, straight into guest memory.
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "migration/channel.h"
#include "migration/ram_codec.h"
#include "migration/ram_record.h"
#include "util/bitmap.h"
#include "util/page.h"
#include "util/thread.h"
#include "vmm/gmem.h"
#include "vmm/gmem_scan.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/*
 * Theory of operation
 *
 * Contents are received where they belong before their checksum is known: the
 * guest does not run, and never will if a record is bad. The bitmap of written
 * pages tells which pages are zero because nobody touched them: for these a run
 * of zeroes costs nothing, and no memory. Its words belong to the streams, as the
 * chunks do.
 */
#define POPULATE_MIN_PAGES 4U /* below that, faults one by one are as quick */

struct rx_stream {
	/* const after start */
	struct ram_receiver *r;
	struct channel *ch;
	struct ram_span span;
	struct ram_codec *codec;
	XXH3_state_t *hash;
	pthread_t thread; /* who made the receiver */
	bool started;

	/* the stream's thread only */
	bool may_populate; /* the kernel knows how */
	struct ram_header h;
	struct ram_run runs[RAM_RECORD_MAX_RUNS];
	struct iovec iov[RAM_RECORD_MAX_RUNS], used[RAM_RECORD_MAX_RUNS];
	uint8_t *packed, *plain; /* RAM_PAYLOAD_MAX_BYTES each */
};

struct ram_receiver {
	/* const after ram_receiver_new() */
	struct gmem *gm;
	unsigned nr_streams;
	struct rx_stream streams[RAM_MAX_STREAMS];
	uint64_t *written; /* streams, each its chunks */

	struct mutex lock; /* protects: error; order: leaf */
	struct err error;  /* the first; code 0: none */
};

/* --- the bitmap --- */

/* The part of run [first, end) that is in page first's word: its mask and length. */
static uint64_t word_mask(uint64_t first, uint64_t end, uint64_t *ret_count)
{
	uint64_t shift = first % 64, n = MIN(end - first, 64 - shift);

	*ret_count = n;
	return (n == 64 ? ~0ULL : (1ULL << n) - 1) << shift;
}

static void set_written(struct ram_receiver *r, const struct ram_run *run)
{
	uint64_t end = run->first + run->count, n;

	for (uint64_t page = run->first; page < end; page += n)
		r->written[page / 64] |= word_mask(page, end, &n);
}

static uint64_t count_written(const struct ram_receiver *r, const struct ram_run *run)
{
	uint64_t end = run->first + run->count, n, pages = 0;

	for (uint64_t page = run->first; page < end; page += n)
		pages += (unsigned)__builtin_popcountll(r->written[page / 64] &
							word_mask(page, end, &n));
	return pages;
}

/* --- records --- */

static uint8_t *run_ptr(const struct ram_receiver *r, const struct ram_run *run)
{
	return r->gm->base + run->first * RAM_PAGE_BYTES;
}

static size_t run_bytes(const struct ram_run *run)
{
	return (size_t)run->count * RAM_PAGE_BYTES;
}

/* Fetch fresh pages at once rather than by a fault each, with the socket locked. */
static void prefault(struct rx_stream *st, const struct ram_run *run)
{
	if (!st->may_populate || run->count < POPULATE_MIN_PAGES ||
	    count_written(st->r, run) == run->count)
		return;
	if (madvise(run_ptr(st->r, run), run_bytes(run), MADV_POPULATE_WRITE) < 0)
		st->may_populate = errno != EINVAL;
}

static void point_at_runs(struct rx_stream *st)
{
	for (uint32_t i = 0; i < st->h.nr_runs; i++) {
		prefault(st, &st->runs[i]);
		set_written(st->r, &st->runs[i]);
		st->iov[i] =
			(struct iovec){ run_ptr(st->r, &st->runs[i]), run_bytes(&st->runs[i]) };
	}
}

/* Receive the payload to iov[0..n), and compare the checksum. */
static int receive(struct rx_stream *st, unsigned n, struct err *e)
{
	int rc;

	memcpy(st->used, st->iov, n * sizeof(st->iov[0]));
	rc = n ? channel_recvv(st->ch, st->used, n) : 0;
	if (rc < 0)
		return err_set(e, rc, "%s", strerror(-rc));
	if (ram_record_checksum(st->hash, &st->h, st->runs, st->iov, n) != st->h.checksum)
		return err_set(e, -EBADMSG, "memory record with a wrong checksum");
	return 0;
}

static int take_raw(struct rx_stream *st, struct err *e)
{
	point_at_runs(st);
	return receive(st, st->h.nr_runs, e);
}

static void scatter(struct rx_stream *st)
{
	const uint8_t *from = st->plain;

	for (uint32_t i = 0; i < st->h.nr_runs; i++) {
		memcpy(st->iov[i].iov_base, from, st->iov[i].iov_len);
		from += st->iov[i].iov_len;
	}
}

static int take_packed(struct rx_stream *st, struct err *e)
{
	size_t whole = (size_t)st->h.nr_pages * RAM_PAGE_BYTES;
	bool direct = st->h.nr_runs == 1;
	int rc;

	st->iov[0] = (struct iovec){ st->packed, st->h.bytes };
	rc = receive(st, 1, e);
	if (rc < 0)
		return rc;
	point_at_runs(st);
	rc = ram_codec_unpack(st->codec, st->h.kind, st->packed, st->h.bytes,
			      direct ? st->iov[0].iov_base : st->plain, whole);
	if (rc < 0)
		return err_set(e, rc, "memory record does not decompress to its pages");
	if (!direct)
		scatter(st);
	return 0;
}

/* Whole chunks go back to the host; within one, a hole would break up a huge page. */
static int zero_run(struct ram_receiver *r, const struct ram_run *run)
{
	uint64_t end = run->first + run->count, n;

	if (count_written(r, run) == 0)
		return 0;
	if (run->count == RAM_CHUNK_PAGES && !r->gm->hugepages) {
		for (uint64_t page = run->first; page < end; page += n)
			r->written[page / 64] &= ~word_mask(page, end, &n);
		return gmem_discard_hva(r->gm, run_ptr(r, run), run_bytes(run));
	}
	for (uint64_t page = run->first; page < end; page++) {
		if (r->written[page / 64] >> (page % 64) & 1)
			memset(r->gm->base + page * RAM_PAGE_BYTES, 0, RAM_PAGE_BYTES);
	}
	return 0;
}

static int take_zero(struct rx_stream *st, struct err *e)
{
	int rc = receive(st, 0, e);

	for (uint32_t i = 0; i < st->h.nr_runs && rc == 0; i++) {
		rc = zero_run(st->r, &st->runs[i]);
		if (rc < 0)
			return err_set(e, rc, "cannot discard memory: %s", strerror(-rc));
	}
	return rc;
}

static int take_bare(struct rx_stream *st, struct err *e)
{
	return receive(st, 0, e);
}

/* All before it has been put where it belongs: say so. */
static int take_mark(struct rx_stream *st, struct err *e)
{
	int rc = receive(st, 0, e);

	if (rc < 0)
		return rc;
	rc = channel_send(st->ch, &st->h, sizeof(st->h));
	return rc < 0 ? err_set(e, rc, "%s", strerror(-rc)) : 0;
}

/* By kind; all in it pass ram_header_check(). */
static int (*const takers[])(struct rx_stream *st, struct err *e) = {
	[RAM_RAW] = take_raw,     [RAM_ZERO] = take_zero, [RAM_LZ4] = take_packed,
	[RAM_ZSTD] = take_packed, [RAM_IDLE] = take_bare, [RAM_END] = take_bare,
	[RAM_MARK] = take_mark,
};

static int take_record(struct rx_stream *st, struct err *e)
{
	int rc = channel_recv(st->ch, &st->h, sizeof(st->h));

	if (rc < 0)
		return err_set(e, rc, "%s", strerror(-rc));
	rc = ram_header_check(&st->h, e);
	if (rc < 0)
		return rc;
	rc = channel_recv(st->ch, st->runs, st->h.nr_runs * sizeof(st->runs[0]));
	if (rc < 0)
		return err_set(e, rc, "%s", strerror(-rc));
	rc = ram_runs_check(&st->h, st->runs, &st->span, e);
	return rc < 0 ? rc : takers[st->h.kind](st, e);
}

/* --- threads --- */

/* The first failure stands, and ends the other streams. */
static void fail(struct rx_stream *st, const struct err *e)
{
	struct ram_receiver *r = st->r;

	MUTEX_SCOPE(&r->lock);
	if (r->error.code)
		return;
	(void)err_set(&r->error, e->code, "memory stream %u from %s: %s", st->span.stream,
		      channel_describe(st->ch), e->text);
	for (unsigned i = 0; i < r->nr_streams; i++)
		channel_cancel(r->streams[i].ch);
}

static void *stream_main(void *opaque)
{
	struct rx_stream *st = opaque;
	struct err e = { 0 };
	int rc;

	do {
		rc = take_record(st, &e);
	} while (rc == 0 && st->h.kind != RAM_END);
	if (rc < 0)
		fail(st, &e);
	return NULL;
}

static void join(struct ram_receiver *r)
{
	for (unsigned i = 0; i < r->nr_streams; i++) {
		if (r->streams[i].started)
			(void)pthread_join(r->streams[i].thread, NULL);
		r->streams[i].started = false;
	}
}

int ram_receiver_wait(struct ram_receiver *r, struct err *e)
{
	join(r);
	MUTEX_SCOPE(&r->lock);
	return r->error.code ? err_set(e, r->error.code, "%s", r->error.text) : 0;
}

/* --- life cycle --- */

/* The sender does not speak of pages that it never touched: here they must be zero, too. */
static int zero_all(struct ram_receiver *r)
{
	uint64_t nr_words = BITMAP_WORDS(r->gm->bytes / RAM_PAGE_BYTES);
	struct gmem_scan *scan = NULL;
	int rc = gmem_scan_new(&scan, r->gm);

	if (rc < 0)
		return rc;
	gmem_scan_pages(scan, 0, nr_words, r->written);
	gmem_scan_free(scan);
	for (uint64_t w = 0; w < nr_words; w++) {
		for (uint64_t bits = r->written[w]; bits; bits &= bits - 1) {
			uint64_t page = w * 64 + (unsigned)__builtin_ctzll(bits);
			uint8_t *p = r->gm->base + page * RAM_PAGE_BYTES;

			if (!page_is_zero(p))
				memset(p, 0, RAM_PAGE_BYTES);
		}
		r->written[w] = 0;
	}
	return 0;
}

static int start_stream(struct ram_receiver *r, unsigned i)
{
	struct rx_stream *st = &r->streams[i];
	char name[24];
	int rc = ram_codec_new(&st->codec, RAM_COMPRESS_NONE, 0);

	st->packed = malloc(RAM_PAYLOAD_MAX_BYTES);
	st->plain = malloc(RAM_PAYLOAD_MAX_BYTES);
	st->hash = XXH3_createState();
	st->may_populate = !r->gm->hugepages;
	if (rc < 0 || !st->packed || !st->plain || !st->hash)
		return -ENOMEM;
	(void)snprintf(name, sizeof(name), "ram-recv%u", i % RAM_MAX_STREAMS);
	rc = thread_start(&st->thread, THREAD_MOVE, name, stream_main, st);
	st->started = rc == 0;
	return rc;
}

static int start(struct ram_receiver *r)
{
	int rc;

	r->written = calloc(BITMAP_WORDS(r->gm->bytes / RAM_PAGE_BYTES), sizeof(*r->written));
	if (!r->written)
		return -ENOMEM;
	rc = zero_all(r);
	for (unsigned i = 0; i < r->nr_streams && rc == 0; i++)
		rc = start_stream(r, i);
	return rc;
}

int ram_receiver_new(struct ram_receiver **ret, struct gmem *gm, struct channel *const *streams,
		     unsigned nr_streams, struct err *e)
{
	struct ram_receiver *r;
	int rc;

	if (nr_streams < 1 || nr_streams > RAM_MAX_STREAMS)
		return err_set(e, -EINVAL, "%u memory streams: must be 1 to %u", nr_streams,
			       RAM_MAX_STREAMS);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->gm = gm;
	r->nr_streams = nr_streams;
	for (unsigned i = 0; i < nr_streams; i++) {
		r->streams[i].r = r;
		r->streams[i].ch = streams[i];
		r->streams[i].span = (struct ram_span){ gm->bytes / RAM_PAGE_BYTES, i, nr_streams };
	}
	mutex_init(&r->lock);
	rc = start(r);
	if (rc < 0) {
		ram_receiver_free(r);
		return err_set(e, rc, "memory streams: %s", strerror(-rc));
	}
	*ret = r;
	return 0;
}

void ram_receiver_free(struct ram_receiver *r)
{
	if (!r)
		return;
	for (unsigned i = 0; i < r->nr_streams; i++) {
		if (r->streams[i].started)
			channel_cancel(r->streams[i].ch);
	}
	join(r);
	for (unsigned i = 0; i < r->nr_streams; i++) {
		ram_codec_free(r->streams[i].codec);
		free(r->streams[i].packed);
		free(r->streams[i].plain);
		(void)XXH3_freeState(r->streams[i].hash);
	}
	free(r->written);
	mutex_fini(&r->lock);
	free(r);
}
