/* SPDX-License-Identifier: MIT */
/* The console: the 16550 at port 0x3f8, ISA interrupt 4. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stddef.h>

#define CONSOLE_ISA_IRQ 4

/* Sends all bytes; waits while the device's queue is full. */
void console_write(const char *bytes, size_t count);

/*
 * printf of at most 511 bytes; conversions %c %s %d %i %u %x %p %%, with 0, -, #,
 * width, *, l, ll and z.
 */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next byte of input, or -1 if there is none now. */
int console_read(void);

/*
 * Routes the receive interrupt to the boot CPU and returns its vector: edge
 * triggered, so read until console_read() says -1 before sleeping.
 */
unsigned int console_irq_enable(void);

#endif
