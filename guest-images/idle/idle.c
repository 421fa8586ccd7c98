// SPDX-License-Identifier: MIT
/* Halts; input or the power button wakes it, and it powers off. */
#include "guest.h"

int guest_main(void)
{
	uint64_t tick_ns = param_number("tick", 0) * NS_PER_MS;
	uint64_t next_ns, seq;
	uint64_t ticks = 0;

	irq_init();
	console_irq_enable();
	power_button_enable();
	next_ns = clock_ns() + tick_ns;
	print("idle ready\n");
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
