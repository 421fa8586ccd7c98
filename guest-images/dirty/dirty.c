// SPDX-License-Identifier: MIT
/*
 * Writes its memory, pass after pass, and checks that nothing else does.
 *
 * Every 64-bit word of a page has a value made of its address and the number of
 * the pass. Before a page is written, all of it must still have the values of
 * the pass before: a page that was lost, mixed up or half copied shows.
 */
#include "guest.h"

#define PAGE_WORDS    (PAGE_BYTES / sizeof(uint64_t))
#define RANGES_MAX    64
#define SLICE_NS      (2 * NS_PER_MS) /* a rate is kept over this long */
#define NO_RATE_PAGES 1024            /* between two looks at the power button */
#define TICK_PAGES    16              /* the same, and at the clock, where it ticks */

struct dirty {
	struct memory_range ranges[RANGES_MAX];
	unsigned int range_count;
	uint64_t pages;
	uint64_t rate_bytes; /* per second, 0: no limit */
	uint64_t slice_pages;
	uint64_t start_ns;
	uint64_t written_bytes;
	uint64_t tick_ns; /* 0: none */
	uint64_t next_tick_ns;
	uint64_t pass; /* the one that is being written, from 1 */
	unsigned int button_vector;
};

static uint64_t first_word(uint64_t gpa, uint64_t pass)
{
	return random_mix(gpa ^ pass << 48);
}

static _Noreturn void report_corruption(const uint64_t *page, uint64_t pass)
{
	uint64_t value = first_word(gpa_of(page), pass);
	unsigned int i = 0;

	while (i < PAGE_WORDS - 1 && page[i] == value + i)
		i++;
	print("dirty CORRUPT pass=%lu gpa=%#lx expected=%#lx found=%#lx\n", pass, gpa_of(&page[i]),
	      value + i, page[i]);
	power_exit(EXIT_CORRUPT);
}

/* One look at all words at once, so that the loop has no branches. */
static void verify_page(const uint64_t *page, uint64_t pass)
{
	uint64_t value = first_word(gpa_of(page), pass);
	uint64_t difference = 0;

	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		difference |= page[i] ^ (value + i);
	if (difference)
		report_corruption(page, pass);
}

static void write_page(uint64_t *page, uint64_t pass)
{
	uint64_t value = first_word(gpa_of(page), pass);

	for (uint64_t i = 0; i < PAGE_WORDS; i++)
		page[i] = value + i;
}

static bool button_pressed(const struct dirty *dirty)
{
	return dirty->button_vector && irq_count(dirty->button_vector) && power_button_pressed();
}

static void keep_rate(const struct dirty *dirty)
{
	if (dirty->rate_bytes)
		clock_sleep_until(
			dirty->start_ns + dirty->written_bytes / dirty->rate_bytes * NS_PER_S +
			dirty->written_bytes % dirty->rate_bytes * NS_PER_S / dirty->rate_bytes);
}

/* Whoever hears nothing for longer than a tick knows that the guest stood still. */
static void tick(struct dirty *dirty)
{
	uint64_t now_ns;

	if (!dirty->tick_ns)
		return;
	now_ns = clock_ns();
	if (now_ns < dirty->next_tick_ns)
		return;
	print("dirty tick\n");
	dirty->next_tick_ns = now_ns + dirty->tick_ns;
}

/* False: the power button was pressed. */
static bool write_range(struct dirty *dirty, struct memory_range range)
{
	uint64_t end = range.gpa + range.bytes;
	uint64_t in_slice = 0;

	for (uint64_t gpa = range.gpa; gpa < end; gpa += PAGE_BYTES) {
		if (dirty->pass > 1)
			verify_page((const uint64_t *)gpa, dirty->pass - 1);
		write_page((uint64_t *)gpa, dirty->pass);
		dirty->written_bytes += PAGE_BYTES;
		if (++in_slice < dirty->slice_pages)
			continue;
		in_slice = 0;
		keep_rate(dirty);
		tick(dirty);
		if (button_pressed(dirty))
			return false;
	}
	return true;
}

static bool write_pass(struct dirty *dirty)
{
	for (unsigned int i = 0; i < dirty->range_count; i++)
		if (!write_range(dirty, dirty->ranges[i]))
			return false;
	return true;
}

static void find_memory(struct dirty *dirty, uint64_t wanted_bytes)
{
	for (unsigned int i = 0; i < RANGES_MAX && wanted_bytes; i++) {
		struct memory_range range = memory_free_range(i);

		if (!range.bytes)
			break;
		if (range.bytes > wanted_bytes)
			range.bytes = align_up(wanted_bytes, PAGE_BYTES);
		dirty->ranges[dirty->range_count++] = range;
		dirty->pages += range.bytes / PAGE_BYTES;
		wanted_bytes -= range.bytes < wanted_bytes ? range.bytes : wanted_bytes;
	}
}

/* Not longer than a tick, or that could not be kept. */
static uint64_t slice_pages(const struct dirty *dirty)
{
	uint64_t slice_ns = SLICE_NS;

	if (dirty->tick_ns && dirty->tick_ns < slice_ns)
		slice_ns = dirty->tick_ns;
	return dirty->rate_bytes / PAGE_BYTES / (NS_PER_S / slice_ns);
}

static void set_up(struct dirty *dirty)
{
	irq_init();
	dirty->button_vector = power_button_enable();
	find_memory(dirty, param_number("mem", UINT64_MAX));
	dirty->rate_bytes = param_number("rate", 0) * MIB;
	dirty->tick_ns = param_number("tick", 0) * NS_PER_MS;
	dirty->slice_pages = dirty->rate_bytes ? slice_pages(dirty)
			     : dirty->tick_ns  ? TICK_PAGES
					       : NO_RATE_PAGES;
	print("dirty start pages=%lu rate_mib=%lu\n", dirty->pages, dirty->rate_bytes / MIB);
	dirty->start_ns = clock_ns();
}

/* Proves that the check would find something. */
static void spoil(const struct dirty *dirty)
{
	const struct memory_range *range = &dirty->ranges[0];
	volatile uint64_t *word = (uint64_t *)(range->gpa + range->bytes / 2);

	*word ^= 1ul << 40;
}

int guest_main(void)
{
	static struct dirty dirty;
	uint64_t passes = param_number("passes", 0);
	uint64_t spoil_pass = param_number("spoil", 0);
	uint64_t pass_ns;

	set_up(&dirty);
	for (dirty.pass = 1; !passes || dirty.pass <= passes; dirty.pass++) {
		pass_ns = clock_ns();
		if (!write_pass(&dirty)) {
			print("dirty stopped pass=%lu\n", dirty.pass);
			return EXIT_OK;
		}
		print("dirty pass=%lu us=%lu\n", dirty.pass, (clock_ns() - pass_ns) / NS_PER_US);
		if (dirty.pass == spoil_pass)
			spoil(&dirty);
	}
	print("dirty done passes=%lu\n", passes);
	return EXIT_OK;
}
