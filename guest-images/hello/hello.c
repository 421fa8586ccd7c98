// SPDX-License-Identifier: MIT
/* The shortest guest: says what it runs on, then ends in any way that a guest can. */
#include "guest.h"

#define LINE_BYTES 64

/* Reads lines and sends them back until one says `quit`. */
static void echo(void)
{
	static char line[4096];
	size_t length = 0;

	irq_init();
	console_irq_enable();
	print("hello echo\n");
	for (;;) {
		uint64_t seq = irq_seq();
		int byte = console_read();

		if (byte < 0) {
			irq_wait(seq);
		} else if (byte != '\n' && byte != '\r') {
			line[length] = (char)byte;
			length += length < sizeof(line) - 1;
		} else {
			line[length] = 0;
			if (!strcmp(line, "quit"))
				return;
			print("echo ");
			console_write(line, length);
			print("\n");
			length = 0;
		}
	}
}

/* Numbered lines of LINE_BYTES: a loss or a mix-up shows. */
static void flood(uint64_t bytes)
{
	char line[LINE_BYTES + 1];

	for (uint64_t sent = 0; sent < bytes; sent += LINE_BYTES) {
		snprintf(line, sizeof(line), "flood %0*lu\n", LINE_BYTES - 7, sent / LINE_BYTES);
		console_write(line, LINE_BYTES);
	}
}

static void crash(const char *how)
{
	static const struct {
		const char *name;
		void (*end)(void);
	} ways[] = {
		{ "triple", power_triple_fault },
		{ "panic", power_pvpanic },
		{ "hlt", power_halt },
		{ "reset", power_reset },
		{ "exception", power_trap },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
		if (!strcmp(how, ways[i].name))
			ways[i].end();
	power_usage("crash");
}

int guest_main(void)
{
	uint64_t flood_bytes;

	print("hello vcpus=%u memory_mib=%lu\n", acpi_cpu_count(),
	      align_up(memory_total_bytes(), MIB) / MIB);
	flood_bytes = param_number("flood", 0);
	if (flood_bytes)
		flood(flood_bytes);
	if (param_get("echo"))
		echo();
	if (param_get("crash"))
		crash(param_get("crash"));
	if (param_get("exit"))
		power_exit((uint8_t)param_number("exit", 0));
	return EXIT_OK;
}
