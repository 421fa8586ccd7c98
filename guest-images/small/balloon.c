// SPDX-License-Identifier: MIT
/* Does what the balloon is asked to, until it is asked for nothing again. */
#include "small.h"

#define MAX_PAGES 4096u
#define AT_ONCE   256u /* pages of one request */
#define PATTERN   0x5a

enum { /* 5.5.3 */
       F_STATS_VQ = 1,
       F_REPORTING = 5,
};

enum { /* 5.5.4 */
       NUM_PAGES = 0,
       ACTUAL = 4,
};

enum { /* 5.5.6.3 */
       S_MEMFREE = 4,
       S_MEMTOT = 5,
};

struct stat {
	uint16_t tag;
	uint64_t value;
} __attribute__((packed));

static struct {
	struct virtio_dev dev;
	struct virtio_queue inflate, deflate, stats, reporting;
	uint8_t *pages; /* MAX_PAGES of them; the first `actual` are in the balloon */
	uint32_t actual;
	uint32_t *pfns;
	struct stat *stat;
	unsigned int nr_stats; /* sent */
} balloon;

static void send_pages(struct virtio_queue *queue, uint32_t first, uint32_t count)
{
	struct virtq_seg seg = { gpa_of(balloon.pfns), count * (uint32_t)sizeof(uint32_t) };

	for (uint32_t i = 0; i < count; i++)
		balloon.pfns[i] = (uint32_t)(gpa_of(balloon.pages) / PAGE_BYTES) + first + i;
	(void)small_request(&balloon.dev, queue, &seg, false);
}

/* Memory that came back must be memory: what is written stays there. */
static void use_pages(uint32_t first, uint32_t count)
{
	uint8_t *start = balloon.pages + first * PAGE_BYTES;

	memset(start, PATTERN, count * PAGE_BYTES);
	for (uint64_t i = 0; i < count * PAGE_BYTES; i += PAGE_BYTES) {
		if (start[i] != PATTERN)
			panic("small: balloon: page %lu lost its contents", first + i / PAGE_BYTES);
	}
}

static void step_towards(uint32_t target)
{
	uint32_t count;

	if (balloon.actual < target) {
		count = target - balloon.actual;
		count = count < AT_ONCE ? count : AT_ONCE;
		send_pages(&balloon.inflate, balloon.actual, count);
		balloon.actual += count;
	} else {
		count = balloon.actual - target;
		count = count < AT_ONCE ? count : AT_ONCE;
		balloon.actual -= count;
		send_pages(&balloon.deflate, balloon.actual, count);
		use_pages(balloon.actual, count);
	}
	mmio_write32(balloon.dev.config_gpa + ACTUAL, balloon.actual);
}

/* The device gives the buffer back when it wants new numbers. */
static void offer_stats(void)
{
	struct virtq_seg seg = { gpa_of(balloon.stat), 2 * sizeof(struct stat) };
	uint64_t total = memory_total_bytes();

	balloon.stat[0] = (struct stat){ S_MEMTOT, total };
	balloon.stat[1] = (struct stat){ S_MEMFREE, total - balloon.actual * PAGE_BYTES };
	if (!virtq_add(&balloon.stats.vq, &seg, 1, 0, balloon.stat))
		panic("small: balloon: the statistics queue is full");
	virtio_kick(&balloon.stats);
	balloon.nr_stats++;
}

static void report(uint64_t bytes)
{
	struct virtq_seg seg = { gpa_of(balloon.pages), (uint32_t)bytes };

	if (!bytes || !virtio_has(&balloon.dev, F_REPORTING))
		return;
	(void)small_request(&balloon.dev, &balloon.reporting, &seg, true);
	use_pages(0, (uint32_t)(bytes / PAGE_BYTES));
	print("small: balloon reported=%lu\n", bytes);
}

static void set_up(void)
{
	uint16_t next = 2;

	balloon.pages = memory_alloc_pages(MAX_PAGES);
	balloon.pfns = memory_alloc_pages(1);
	balloon.stat = memory_alloc(2 * sizeof(struct stat));
	use_pages(0, MAX_PAGES);
	small_open(&balloon.dev, VIRTIO_ID_BALLOON,
		   VIRTIO_BIT(F_STATS_VQ) | VIRTIO_BIT(F_REPORTING));
	virtio_queue_setup(&balloon.dev, &balloon.inflate, 0, QUEUE_SIZE);
	virtio_queue_setup(&balloon.dev, &balloon.deflate, 1, QUEUE_SIZE);
	if (virtio_has(&balloon.dev, F_STATS_VQ))
		virtio_queue_setup(&balloon.dev, &balloon.stats, next++, QUEUE_SIZE);
	/* Not 4, as 5.5.2 has it: QEMU and Linux number the queues that there are. */
	if (virtio_has(&balloon.dev, F_REPORTING))
		virtio_queue_setup(&balloon.dev, &balloon.reporting, next, QUEUE_SIZE);
	virtio_start(&balloon.dev);
}

static uint32_t read_target(void)
{
	uint32_t target;

	virtio_config_read(&balloon.dev, NUM_PAGES, &target, sizeof(target));
	return target < MAX_PAGES ? target : MAX_PAGES;
}

int small_balloon(void)
{
	bool was_asked = false;

	set_up();
	if (virtio_has(&balloon.dev, F_STATS_VQ))
		offer_stats();
	print("small: balloon ready pages=%u\n", MAX_PAGES);
	report(param_number("report", 0));
	for (;;) {
		uint32_t target = read_target();

		if (target != balloon.actual) {
			step_towards(target);
			if (target == balloon.actual)
				print("small: balloon actual=%u\n", balloon.actual);
			was_asked = true;
		} else if (was_asked && !target) {
			break;
		}
		if (virtio_has(&balloon.dev, F_STATS_VQ) && virtq_pop(&balloon.stats.vq, NULL))
			offer_stats();
		(void)virtio_config_changed(&balloon.dev);
		if (read_target() == balloon.actual)
			virtio_wait(&balloon.dev, clock_ns() + NS_PER_S);
	}
	print("small: balloon done stats=%u\n", balloon.nr_stats);
	return EXIT_OK;
}
