// SPDX-License-Identifier: MIT
/* Halts; input or the power button wakes it, and it powers off. */
#include "guest.h"

/* Gives so much memory contents: no page of it is zero. */
static void fill_memory(uint64_t bytes)
{
	for (unsigned int i = 0; bytes; i++) {
		struct memory_range range = memory_free_range(i);
		uint64_t end = range.gpa + (range.bytes < bytes ? range.bytes : bytes);

		if (!range.bytes)
			break;
		for (uint64_t gpa = range.gpa; gpa < end; gpa += PAGE_BYTES)
			*(volatile uint64_t *)gpa = random_mix(gpa) | 1;
		bytes -= range.bytes < bytes ? range.bytes : bytes;
	}
}

/* Whoever sees one of these knows that the guest runs at this moment. */
static _Noreturn void chatter(void)
{
	for (;;)
		print("idle chatter\n");
}

int guest_main(void)
{
	uint64_t tick_ns = param_number("tick", 0) * NS_PER_MS;
	uint64_t next_ns, seq;
	uint64_t ticks = 0;

	irq_init();
	console_irq_enable();
	power_button_enable();
	fill_memory(param_number("fill", 0));
	next_ns = clock_ns() + tick_ns;
	print("idle ready\n");
	if (param_number("chatter", 0))
		chatter();
	for (;;) {
		seq = irq_seq();
		if (power_button_pressed()) {
			print("idle woke=button\n");
			return EXIT_OK;
		}
		if (console_read() >= 0) {
			print("idle woke=input\n");
			return EXIT_OK;
		}
		if (!tick_ns) {
			irq_wait(seq);
			continue;
		}
		irq_wait_until(seq, next_ns);
		if (clock_ns() >= next_ns) {
			print("idle tick=%lu\n", ++ticks);
			next_ns += tick_ns;
		}
	}
}
