// SPDX-License-Identifier: MIT
// Records of a memory stream: their checksum, and what makes one good.
#include "migration/ram_record.h"

#include <errno.h>
#include <stdbool.h>

uint64_t ram_record_checksum(XXH3_state_t *state, const struct ram_header *h,
			     const struct ram_run *runs, const struct iovec *payload,
			     unsigned nr_payload)
{
	struct ram_header plain = *h;

	plain.checksum = 0;
	(void)XXH3_64bits_reset(state);
	(void)XXH3_64bits_update(state, &plain, sizeof(plain));
	(void)XXH3_64bits_update(state, runs, h->nr_runs * sizeof(*runs));
	for (unsigned i = 0; i < nr_payload; i++)
		(void)XXH3_64bits_update(state, payload[i].iov_base, payload[i].iov_len);
	return XXH3_64bits_digest(state);
}

/* What a kind may say of itself. */
static const struct {
	bool known, pages, payload, compressed;
} kinds[] = {
	[RAM_RAW] = { .known = true, .pages = true, .payload = true },
	[RAM_ZERO] = { .known = true, .pages = true },
	[RAM_LZ4] = { .known = true, .pages = true, .payload = true, .compressed = true },
	[RAM_ZSTD] = { .known = true, .pages = true, .payload = true, .compressed = true },
	[RAM_IDLE] = { .known = true },
	[RAM_END] = { .known = true },
	[RAM_MARK] = { .known = true },
};

static bool bytes_fit(const struct ram_header *h)
{
	uint32_t whole = h->nr_pages * RAM_PAGE_BYTES;

	if (!kinds[h->kind].payload)
		return h->bytes == 0;
	return kinds[h->kind].compressed ? h->bytes > 0 && h->bytes < whole : h->bytes == whole;
}

int ram_header_check(const struct ram_header *h, struct err *e)
{
	uint32_t max_pages;

	if (h->kind >= ARRAY_SIZE(kinds) || !kinds[h->kind].known)
		return err_set(e, -EPROTO, "memory record of unknown kind %u", h->kind);
	if (h->nr_runs > RAM_RECORD_MAX_RUNS || !kinds[h->kind].pages != !h->nr_runs)
		return err_set(e, -EPROTO, "memory record with %u runs", h->nr_runs);
	max_pages = kinds[h->kind].payload ? RAM_RECORD_MAX_PAGES : h->nr_runs * RAM_CHUNK_PAGES;
	if (h->nr_pages > max_pages || h->nr_pages < h->nr_runs)
		return err_set(e, -EPROTO, "memory record with %u pages in %u runs", h->nr_pages,
			       h->nr_runs);
	if (!bytes_fit(h))
		return err_set(e, -EPROTO, "memory record with %u bytes for %u pages", h->bytes,
			       h->nr_pages);
	return 0;
}

int ram_runs_check(const struct ram_header *h, const struct ram_run *runs,
		   const struct ram_span *span, struct err *e)
{
	uint64_t pages = 0, next = 0;

	for (uint32_t i = 0; i < h->nr_runs; i++) {
		const struct ram_run *r = &runs[i];

		/* No sum of the peer's numbers before they are known to be small. */
		if (r->zero || r->count == 0 || r->first < next || r->first >= span->nr_pages ||
		    r->count > MIN(RAM_CHUNK_PAGES - r->first % RAM_CHUNK_PAGES,
				   span->nr_pages - r->first))
			return err_set(e, -EPROTO, "memory record with a run of %u pages at %llu",
				       r->count, (unsigned long long)r->first);
		if (r->first / RAM_CHUNK_PAGES % span->nr_streams != span->stream)
			return err_set(e, -EPROTO, "memory record with another stream's page %llu",
				       (unsigned long long)r->first);
		next = r->first + r->count;
		pages += r->count;
	}
	if (pages != h->nr_pages)
		return err_set(e, -EPROTO, "memory record with %llu pages that says %u",
			       (unsigned long long)pages, h->nr_pages);
	return 0;
}
