// SPDX-License-Identifier: MIT
/* The 16550 (PC16550D data sheet), whose queues entry.S has switched on. */
#include "console.h"
#include "cpu.h"
#include "io.h"
#include "irq.h"
#include "text.h"

#define COM1     0x3f8
#define REG_DATA (COM1 + 0)
#define REG_IER  (COM1 + 1)
#define REG_MCR  (COM1 + 4)
#define REG_LSR  (COM1 + 5)

#define IER_RECEIVE     0x01
#define MCR_DTR_RTS_OUT 0x0b /* OUT2 lets the interrupt through */
#define LSR_DATA_READY  0x01

/* The loop over the bytes is in CPL 0, where a port costs much less without VT-x. */
void console_write(const char *bytes, size_t count)
{
	while (count) {
		size_t left = kernel_call(KERNEL_SERIAL_WRITE, (uintptr_t)bytes, count);

		bytes += count - left;
		count = left;
	}
}

void print(const char *format, ...)
{
	char text[512];
	va_list arguments;
	int count;

	va_start(arguments, format);
	count = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (count >= (int)sizeof(text))
		count = sizeof(text) - 1;
	console_write(text, (size_t)count);
}

int console_read(void)
{
	if (!(in8(REG_LSR) & LSR_DATA_READY))
		return -1;
	return in8(REG_DATA);
}

unsigned int console_irq_enable(void)
{
	unsigned int vector = irq_route_isa(CONSOLE_ISA_IRQ);

	out8(REG_MCR, MCR_DTR_RTS_OUT);
	out8(REG_IER, IER_RECEIVE);
	return vector;
}
