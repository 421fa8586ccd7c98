// SPDX-License-Identifier: MIT
/* Reads random bytes and looks whether they are. */
#include "small.h"

/* How many of the 256 values occur; of 4096 random bytes practically all. */
static unsigned int distinct_values(const uint8_t *bytes, size_t count)
{
	bool seen[256] = { false };
	unsigned int distinct = 0;

	for (size_t i = 0; i < count; i++) {
		distinct += !seen[bytes[i]];
		seen[bytes[i]] = true;
	}
	return distinct;
}

int small_rng(void)
{
	static struct virtio_dev dev;
	static struct virtio_queue queue;
	uint64_t wanted = param_number("rng", PAGE_BYTES), got = 0, requests = 0;
	uint8_t *page = memory_alloc_pages(1);
	struct virtq_seg seg = { gpa_of(page), PAGE_BYTES };
	unsigned int distinct, least = 256;
	uint64_t start_ns;

	small_open(&dev, VIRTIO_ID_RNG, 0);
	virtio_queue_setup(&dev, &queue, 0, QUEUE_SIZE);
	virtio_start(&dev);
	for (start_ns = clock_ns(); got < wanted; requests++) {
		uint32_t len = small_request(&dev, &queue, &seg, true);

		if (!len || len > PAGE_BYTES)
			panic("small: rng: a request brought %u bytes", len);
		distinct = distinct_values(page, len);
		if (len == PAGE_BYTES && distinct < least)
			least = distinct;
		memset(page, 0, len);
		got += len;
	}
	print("small: rng bytes=%lu requests=%lu least_distinct=%u us=%lu\n", got, requests, least,
	      (clock_ns() - start_ns) / NS_PER_US);
	return least < 200 ? EXIT_FAILED : EXIT_OK;
}
