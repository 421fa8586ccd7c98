// SPDX-License-Identifier: MIT
// The memory sender: what a pass has to send, and the threads of the streams.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "migration/ram_sender_impl.h"
#include "util/bitmap.h"
#include "util/clock.h"
#include "vmm/gmem_scan.h"

/* A stream that has nothing to send says so this often; the peer waits 10 s. */
#define IDLE_NS (2 * NSEC_PER_SEC)
/* Under a cap: no record takes longer than this, nor is lost time made up for longer. */
#define PACE_NS (10 * NSEC_PER_MSEC)
/* Gaps up to this are scanned along with what is around them: 16 MiB. */
#define SCAN_GAP_WORDS 64U

/* --- what is to be sent --- */

/* Of words [first, end): what is dirty, and populated or known to the receiver. */
static void plan_words(struct ram_sender *s, uint64_t first, uint64_t end)
{
	const uint64_t *dirty = dirty_log_bitmap(s->log);

	gmem_scan_pages(s->scan, first * 64, end - first, s->plan + first);
	for (uint64_t w = first; w < end; w++)
		s->plan[w] = dirty[w] & (s->plan[w] | s->sent[w]);
}

/* How far do words that need a scan go from @first on, with small gaps? */
static uint64_t scan_end(const struct ram_sender *s, uint64_t first)
{
	const uint64_t *dirty = dirty_log_bitmap(s->log);
	uint64_t end = first + 1;

	for (uint64_t w = end; w < s->nr_words && w - end < SCAN_GAP_WORDS; w++) {
		if (dirty[w] & ~s->sent[w])
			end = w + 1;
	}
	return end;
}

/*
 * A page that was never sent and is not populated now stays in the log, and is
 * found by a later pass if the guest touches it. What has been sent is sent again
 * in any case: where it was given back to the host it reads as zeroes.
 */
static int make_plan(struct ram_sender *s)
{
	const uint64_t *dirty = dirty_log_bitmap(s->log);
	int rc = dirty_log_sync(s->log);
	uint64_t w = 0;

	while (rc == 0 && w < s->nr_words) {
		uint64_t end = w + 1;

		if (dirty[w] & ~s->sent[w]) {
			end = scan_end(s, w);
			plan_words(s, w, end);
		} else {
			s->plan[w] = dirty[w];
		}
		w = end;
	}
	return rc;
}

/* Pages in the plan, and in *@ret_skipped those that are dirty and not in it. */
static uint64_t count_plan(const struct ram_sender *s, uint64_t *ret_skipped)
{
	const uint64_t *dirty = dirty_log_bitmap(s->log);
	uint64_t pages = 0, all = 0;

	for (uint64_t w = 0; w < s->nr_words; w++) {
		pages += (unsigned)__builtin_popcountll(s->plan[w]);
		all += (unsigned)__builtin_popcountll(dirty[w]);
	}
	*ret_skipped = all - pages;
	return pages;
}

uint64_t ram_sender_remaining(struct ram_sender *s)
{
	uint64_t skipped;

	return make_plan(s) < 0 ? UINT64_MAX : count_plan(s, &skipped);
}

/* --- the cap --- */

void ram_sender_set_bandwidth(struct ram_sender *s, uint64_t bytes_per_s)
{
	uint64_t pages = bytes_per_s / (NSEC_PER_SEC / PACE_NS) / RAM_PAGE_BYTES;

	if (!bytes_per_s)
		pages = RAM_RECORD_MAX_PAGES;
	atomic_store_explicit(&s->record_pages, (unsigned)MAX(MIN(pages, RAM_RECORD_MAX_PAGES), 1U),
			      memory_order_relaxed);
	mutex_lock(&s->lock);
	token_bucket_init(&s->bucket, bytes_per_s, PACE_NS);
	mutex_unlock(&s->lock);
}

/* 0: may be sent, and is charged for. */
static uint64_t ask_for_tokens(struct ram_sender *s, uint64_t bytes)
{
	uint64_t now_ns = clock_now_ns(), delay_ns;

	MUTEX_SCOPE(&s->lock);
	delay_ns = token_bucket_delay_ns(&s->bucket, now_ns);
	if (delay_ns == 0)
		token_bucket_charge(&s->bucket, bytes, now_ns);
	return delay_ns;
}

int ram_sender_pace(struct ram_sender *s, uint64_t bytes)
{
	uint64_t delay_ns;

	while ((delay_ns = ask_for_tokens(s, bytes)) > 0) {
		const struct timespec ts = { .tv_nsec = (long)MIN(delay_ns, 2 * PACE_NS) };

		if (atomic_load_explicit(&s->stop, memory_order_relaxed))
			return -ECANCELED;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	}
	return 0;
}

/* --- threads --- */

/* The first failure stands; the others' threads must not wait for a peer that may be gone. */
static void fail_locked(struct ram_stream *st, int rc)
{
	struct ram_sender *s = st->s;

	if (s->error.code)
		return;
	(void)err_set(&s->error, rc, "memory stream %u to %s: %s", st->span.stream,
		      channel_describe(st->ch), strerror(-rc));
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	for (unsigned i = 0; i < s->nr_streams; i++)
		channel_cancel(s->streams[i].ch);
}

/* Wait for a pass other than @seen, with a sign of life now and then. False: the end. */
static bool await_pass_locked(struct ram_stream *st, unsigned seen)
{
	struct ram_sender *s = st->s;

	while (!s->quit && s->pass_no == seen) {
		int rc = cond_wait_until(&s->begin, &s->lock, clock_now_ns() + IDLE_NS);

		if (rc != -ETIMEDOUT || s->ended || s->error.code || s->pass_no != seen || st->busy)
			continue;
		st->busy = true;
		mutex_unlock(&s->lock);
		rc = ram_stream_idle(st);
		mutex_lock(&s->lock);
		st->busy = false;
		(void)pthread_cond_broadcast(&s->done);
		if (rc < 0)
			fail_locked(st, rc);
	}
	return !s->quit;
}

static void *stream_main(void *opaque)
{
	struct ram_stream *st = opaque;
	struct ram_sender *s = st->s;
	unsigned seen = 0;

	mutex_lock(&s->lock);
	while (await_pass_locked(st, seen)) {
		bool last = s->last;
		int rc;

		seen = s->pass_no;
		if (st == &s->streams[0])
			continue; /* the caller's, see run_pass() */
		mutex_unlock(&s->lock);
		rc = ram_stream_pass(st, last);
		mutex_lock(&s->lock);
		if (rc < 0)
			fail_locked(st, rc);
		if (--s->nr_busy == 0)
			(void)pthread_cond_broadcast(&s->done);
	}
	mutex_unlock(&s->lock);
	return NULL;
}

/* The first stream's share: in the last pass a change of threads would be downtime. */
static void run_own_locked(struct ram_sender *s, bool last)
{
	struct ram_stream *st = &s->streams[0];
	int rc;

	while (st->busy)
		(void)pthread_cond_wait(&s->done, &s->lock.m);
	if (s->error.code)
		return;
	st->busy = true;
	mutex_unlock(&s->lock);
	rc = ram_stream_pass(st, last);
	mutex_lock(&s->lock);
	st->busy = false;
	if (rc < 0)
		fail_locked(st, rc);
}

static int run_pass(struct ram_sender *s, bool last, struct err *e)
{
	MUTEX_SCOPE(&s->lock);
	if (!s->error.code && !s->ended) {
		s->last = last;
		s->nr_busy = s->nr_streams - 1;
		s->pass_no++;
		/* The first stream's thread has nothing to do in it. */
		if (s->nr_busy)
			(void)pthread_cond_broadcast(&s->begin);
		run_own_locked(s, last);
		while (s->nr_busy)
			(void)pthread_cond_wait(&s->done, &s->lock.m);
		s->ended = last && !s->error.code;
	}
	return s->error.code ? err_set(e, s->error.code, "%s", s->error.text) : 0;
}

static uint64_t load(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

int ram_sender_pass(struct ram_sender *s, bool last, struct ram_pass *ret, struct err *e)
{
	uint64_t start_ns = clock_now_ns(), bytes = load(&s->bytes_wire), skipped;
	int rc = make_plan(s);

	if (rc < 0)
		return err_set(e, rc, "cannot read the log of written pages: %s", strerror(-rc));
	*ret = (struct ram_pass){ .pages = count_plan(s, &skipped) };
	atomic_store_explicit(&s->pages_skipped, skipped, memory_order_relaxed);
	rc = run_pass(s, last, e);
	ret->bytes_wire = load(&s->bytes_wire) - bytes;
	ret->duration_ns = clock_now_ns() - start_ns;
	return rc;
}

void ram_sender_stats(const struct ram_sender *s, struct ram_stats *ret)
{
	*ret = (struct ram_stats){
		.pages_sent = load(&s->pages_sent),
		.pages_zero = load(&s->pages_zero),
		.pages_skipped = load(&s->pages_skipped),
		.bytes_wire = load(&s->bytes_wire),
		.bytes_payload = load(&s->bytes_payload),
	};
}

/* --- life cycle --- */

static int start_stream(struct ram_sender *s, unsigned i, const struct ram_options *options)
{
	struct ram_stream *st = &s->streams[i];
	char name[24];
	int rc = ram_stream_init(st, options->compress, options->level);

	if (rc < 0)
		return rc;
	(void)snprintf(name, sizeof(name), "ram-send%u", i % RAM_MAX_STREAMS);
	rc = thread_start(&st->thread, THREAD_MOVE, name, stream_main, st);
	st->started = rc == 0;
	return rc;
}

static int start(struct ram_sender *s, const struct ram_options *options)
{
	int rc = gmem_scan_new(&s->scan, s->gm);

	s->plan = calloc(s->nr_words, sizeof(*s->plan));
	s->sent = calloc(s->nr_words, sizeof(*s->sent));
	if (!s->plan || !s->sent)
		return -ENOMEM;
	for (unsigned i = 0; i < s->nr_streams && rc == 0; i++)
		rc = start_stream(s, i, options);
	return rc;
}

int ram_sender_new(struct ram_sender **ret, struct dirty_log *log, struct channel *const *streams,
		   unsigned nr_streams, const struct ram_options *options, struct err *e)
{
	struct ram_sender *s;
	int rc;

	if (nr_streams < 1 || nr_streams > RAM_MAX_STREAMS)
		return err_set(e, -EINVAL, "%u memory streams: must be 1 to %u", nr_streams,
			       RAM_MAX_STREAMS);
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->gm = dirty_log_gmem(log);
	s->log = log;
	s->nr_pages = dirty_log_nr_pages(log);
	s->nr_words = BITMAP_WORDS(s->nr_pages);
	s->nr_streams = nr_streams;
	for (unsigned i = 0; i < nr_streams; i++) {
		s->streams[i].s = s;
		s->streams[i].ch = streams[i];
		s->streams[i].span = (struct ram_span){ s->nr_pages, i, nr_streams };
	}
	mutex_init(&s->lock);
	cond_init(&s->begin);
	cond_init(&s->done);
	ram_sender_set_bandwidth(s, options->bandwidth_bytes);
	rc = start(s, options);
	if (rc < 0) {
		ram_sender_free(s);
		return err_set(e, rc, "memory streams: %s", strerror(-rc));
	}
	*ret = s;
	return 0;
}

static void stop_streams(struct ram_sender *s)
{
	mutex_lock(&s->lock);
	s->quit = true;
	atomic_store_explicit(&s->stop, true, memory_order_relaxed);
	for (unsigned i = 0; i < s->nr_streams && !s->ended; i++)
		channel_cancel(s->streams[i].ch);
	(void)pthread_cond_broadcast(&s->begin);
	mutex_unlock(&s->lock);
	for (unsigned i = 0; i < s->nr_streams; i++) {
		if (s->streams[i].started)
			(void)pthread_join(s->streams[i].thread, NULL);
		ram_stream_fini(&s->streams[i]);
	}
}

void ram_sender_free(struct ram_sender *s)
{
	if (!s)
		return;
	stop_streams(s);
	gmem_scan_free(s->scan);
	free(s->plan);
	free(s->sent);
	(void)pthread_cond_destroy(&s->begin);
	(void)pthread_cond_destroy(&s->done);
	mutex_fini(&s->lock);
	free(s);
}
