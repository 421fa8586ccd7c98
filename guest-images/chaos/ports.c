// SPDX-License-Identifier: MIT
/* The platform's ports: all but the writes that end the guest. */
#include "chaos.h"

#define COM1     0x3f8
#define PVPANIC  0x505
#define I8042    0x64
#define PM1_CNT  0x604
#define SLP_EN   0x2000u
#define CFG_ADDR 0xcf8
#define CFG_DATA 0xcfc

static const struct {
	uint16_t base, count;
} ranges[] = {
	{ COM1, 8 },  { 0x70, 2 },  { 0x40, 4 },    { 0x61, 1 },     { 0x60, 1 },
	{ I8042, 1 }, { 0x600, 4 }, { PM1_CNT, 2 }, { 0x608, 4 },    { PVPANIC, 1 },
	{ 0x20, 2 },  { 0xa0, 2 },  { 0x80, 1 },    { CFG_DATA, 4 }, { CFG_ADDR, 1 },
};

/* What the guest may write there and go on: no sleep, no reset, no panic. */
static uint32_t harmless(uint16_t port, uint32_t value)
{
	if (port == PM1_CNT)
		return value & ~SLP_EN;
	if (port == PM1_CNT + 1)
		return value & ~(SLP_EN >> 8);
	if (port == I8042)
		return value & 0x7f;
	if (port == PVPANIC)
		return value & ~1u;
	if (port == CFG_ADDR) /* the host bridge, or nobody */
		return (value & 0x800007fc) | (value & 1 ? 31u << 11 : 0);
	return value;
}

void ports_poke(struct dice *d)
{
	uint32_t range = roll(d, ARRAY_SIZE(ranges));
	uint16_t port = (uint16_t)(ranges[range].base + roll(d, ranges[range].count));
	uint32_t value =
		harmless(port, one_in(d, 2) ? roll(d, 256) : (uint32_t)random_next(&d->state));
	uint32_t size = port == CFG_ADDR                          ? 4
			: port >= CFG_DATA && port < CFG_DATA + 4 ? 1
								  : roll(d, 3);

	if (one_in(d, 3))
		(void)(size == 0 ? in8(port) : size == 1 ? in16(port) : in32(port));
	else if (size >= 2)
		out32(port, value);
	else if (size == 1)
		out16(port, (uint16_t)value);
	else
		out8(port, (uint8_t)value);
}

void ports_mend(void)
{
	if (!chaos.ports)
		return;
	out8(COM1 + 3, 3);    /* 8 bits, no divisor latch */
	out8(COM1 + 4, 0x0b); /* no loop */
	out8(COM1 + 2, 1);
	out8(COM1 + 1, 0);
}
