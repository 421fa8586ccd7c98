// SPDX-License-Identifier: MIT
// One stream of the memory sender: from planned pages to records.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migration/ram_sender_impl.h"
#include "util/page.h"

int ram_stream_init(struct ram_stream *st, enum ram_compress compress, int level)
{
	st->copy = aligned_alloc(RAM_PAGE_BYTES, RAM_PAYLOAD_MAX_BYTES);
	if (compress != RAM_COMPRESS_NONE)
		st->packed = malloc(RAM_PAYLOAD_MAX_BYTES);
	st->hash = XXH3_createState();
	if (!st->copy || !st->hash || (compress != RAM_COMPRESS_NONE && !st->packed))
		return -ENOMEM;
	return ram_codec_new(&st->codec, compress, level);
}

void ram_stream_fini(struct ram_stream *st)
{
	ram_codec_free(st->codec);
	free(st->packed);
	free(st->copy);
	(void)XXH3_freeState(st->hash);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Send a record whose payload is in iov[2] and on. */
static int send_record(struct ram_stream *st, struct ram_batch *b, unsigned nr_payload)
{
	uint64_t bytes = RAM_HEADER_BYTES + b->h.nr_runs * RAM_RUN_BYTES + b->h.bytes;
	int rc;

	b->h.checksum = ram_record_checksum(st->hash, &b->h, b->runs, st->iov + 2, nr_payload);
	st->iov[0] = (struct iovec){ &b->h, RAM_HEADER_BYTES };
	st->iov[1] = (struct iovec){ b->runs, b->h.nr_runs * RAM_RUN_BYTES };
	rc = ram_sender_pace(st->s, bytes);
	if (rc == 0)
		rc = channel_sendv(st->ch, st->iov, 2 + nr_payload);
	if (rc == 0)
		count(&st->s->bytes_wire, bytes);
	return rc;
}

static int send_bare(struct ram_stream *st, enum ram_kind kind)
{
	struct ram_batch b = { .h = { .kind = kind } };

	return send_record(st, &b, 0);
}

int ram_stream_idle(struct ram_stream *st)
{
	return send_bare(st, RAM_IDLE);
}

/* The pages from where they are; nobody writes to them. */
static unsigned point_at_memory(struct ram_stream *st)
{
	struct ram_batch *b = &st->data;

	for (uint32_t i = 0; i < b->h.nr_runs; i++)
		st->iov[2 + i] = (struct iovec){
			.iov_base = st->s->gm->base + b->runs[i].first * RAM_PAGE_BYTES,
			.iov_len = (size_t)b->runs[i].count * RAM_PAGE_BYTES,
		};
	return b->h.nr_runs;
}

/* Their copies, compressed if that makes them smaller. */
static unsigned point_at_copy(struct ram_stream *st)
{
	struct ram_batch *b = &st->data;
	enum ram_kind kind = RAM_RAW;
	size_t packed = 0;

	if (st->packed)
		packed = ram_codec_pack(st->codec, st->packed, st->copy, b->h.bytes, &kind);
	if (packed) {
		b->h.kind = kind;
		b->h.bytes = (uint32_t)packed;
	}
	st->iov[2] = (struct iovec){ packed ? st->packed : st->copy, b->h.bytes };
	return 1;
}

static int flush_data(struct ram_stream *st)
{
	struct ram_batch *b = &st->data;
	uint32_t pages = b->h.nr_pages;
	unsigned nr_payload;
	int rc;

	if (!pages)
		return 0;
	b->h.kind = RAM_RAW;
	b->h.bytes = pages * RAM_PAGE_BYTES;
	nr_payload = st->in_place ? point_at_memory(st) : point_at_copy(st);
	rc = send_record(st, b, nr_payload);
	st->unmarked = true;
	if (rc == 0) {
		count(&st->s->pages_sent, pages);
		count(&st->s->bytes_payload, (uint64_t)pages * RAM_PAGE_BYTES);
	}
	b->h = (struct ram_header){ 0 };
	return rc;
}

static int flush_zero(struct ram_stream *st)
{
	struct ram_batch *b = &st->zero;
	int rc;

	if (!b->h.nr_pages)
		return 0;
	b->h.kind = RAM_ZERO;
	rc = send_record(st, b, 0);
	st->unmarked = true;
	if (rc == 0)
		count(&st->s->pages_zero, b->h.nr_pages);
	b->h = (struct ram_header){ 0 };
	return rc;
}

/* Does @page go on with the last run, in the same chunk? */
static bool extends(const struct ram_batch *b, uint64_t page)
{
	const struct ram_run *r;

	if (!b->h.nr_runs || page % RAM_CHUNK_PAGES == 0)
		return false;
	r = &b->runs[b->h.nr_runs - 1];
	return page == r->first + r->count;
}

static bool is_full(const struct ram_batch *b, uint64_t page)
{
	return b->h.nr_runs == RAM_RECORD_MAX_RUNS && !extends(b, page);
}

static void append(struct ram_batch *b, uint64_t page)
{
	if (extends(b, page))
		b->runs[b->h.nr_runs - 1].count++;
	else
		b->runs[b->h.nr_runs++] = (struct ram_run){ .first = page, .count = 1 };
	b->h.nr_pages++;
}

static int add_page(struct ram_stream *st, uint64_t page)
{
	const uint8_t *p = st->s->gm->base + page * RAM_PAGE_BYTES;
	int rc = 0;

	if (page_is_zero(p)) {
		if (is_full(&st->zero, page))
			rc = flush_zero(st);
		append(&st->zero, page);
		return rc;
	}
	if (is_full(&st->data, page) ||
	    st->data.h.nr_pages >= atomic_load_explicit(&st->s->record_pages, memory_order_relaxed))
		rc = flush_data(st);
	if (!st->in_place)
		page_copy(st->copy + (size_t)st->data.h.nr_pages * RAM_PAGE_BYTES, p);
	append(&st->data, page);
	return rc;
}

static int add_word(struct ram_stream *st, uint64_t first, uint64_t word)
{
	int rc = 0;

	for (; word && rc == 0; word &= word - 1)
		rc = add_page(st, first + (unsigned)__builtin_ctzll(word));
	return rc;
}

static int send_chunk(struct ram_stream *st, uint64_t first_word, unsigned nr_words, bool last)
{
	struct ram_sender *s = st->s;
	const uint64_t *words = s->plan + first_word;
	uint64_t any = 0;
	int rc = 0;

	for (unsigned i = 0; i < nr_words; i++)
		any |= words[i];
	if (!any)
		return 0;
	if (atomic_load_explicit(&s->stop, memory_order_relaxed))
		return -ECANCELED;
	/* From here on what the guest writes counts for the next pass. */
	if (!last)
		rc = dirty_log_clear(s->log, first_word * 64, words, nr_words);
	for (unsigned i = 0; i < nr_words && rc == 0; i++) {
		rc = add_word(st, (first_word + i) * 64, words[i]);
		s->sent[first_word + i] |= words[i];
	}
	return rc;
}

/*
 * A pass is over when its pages are where they belong. Otherwise its speed would be
 * that of a buffer; and what the receiver has yet to put into memory that it must
 * find first would be waited for while the guest stands.
 */
static int await_mark(struct ram_stream *st)
{
	struct ram_batch b = { .h = { .kind = RAM_MARK } };
	struct ram_header answer;
	int rc = send_record(st, &b, 0);

	if (rc == 0)
		rc = channel_recv(st->ch, &answer, sizeof(answer));
	if (rc < 0)
		return rc;
	st->unmarked = false;
	return memcmp(&answer, &b.h, sizeof(answer)) ? -EPROTO : 0;
}

int ram_stream_pass(struct ram_stream *st, bool last)
{
	struct ram_sender *s = st->s;
	uint64_t step = (uint64_t)s->nr_streams * CHUNK_WORDS;
	int rc = 0;

	st->in_place = last && !st->packed;
	for (uint64_t w = (uint64_t)st->span.stream * CHUNK_WORDS; w < s->nr_words && rc == 0;
	     w += step)
		rc = send_chunk(st, w, (unsigned)MIN(s->nr_words - w, CHUNK_WORDS), last);
	if (rc == 0)
		rc = flush_data(st);
	if (rc == 0)
		rc = flush_zero(st);
	if (rc < 0)
		return rc;
	if (last)
		return send_bare(st, RAM_END);
	return st->unmarked ? await_mark(st) : 0;
}
