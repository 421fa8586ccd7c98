/* SPDX-License-Identifier: MIT */
/* The guest's console: a bounded ring of output, its readers, and input. */
#ifndef FERRY_VMM_CONSOLE_H
#define FERRY_VMM_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

struct console;
struct loop;

/*
 * Theory of operation
 *
 * A device (16550, virtio-console) writes what the guest prints; the last
 * CONSOLE_RING_BYTES of it are kept. Each reader (the terminal, a file, a
 * client of a socket) has its own position in that ring. A reader that falls
 * behind by more than the ring holds loses the oldest output, and the loss is
 * counted; the guest never waits. A new reader starts with what no reader has
 * seen yet.
 *
 * Input of all readers goes into one small buffer. The device takes from it
 * what fits its FIFO, when it is told that input arrived and again whenever the
 * guest made room: so nothing is lost, and a reader of input that the guest
 * does not want is simply not read from.
 */

/* --- for the device --- */

/*
 * Print guest output. Never blocks, any length. Any thread; may be called with
 * the device's lock held (console locks are innermost).
 */
void console_write(struct console *con, const void *data, size_t len);

/*
 * Take at most @len bytes of input. Returns how many; 0: there is none now.
 * Any thread; may be called with the device's lock held.
 */
size_t console_read(struct console *con, void *data, size_t len);

/*
 * Call @fn on the main loop, without a lock, when input arrived that
 * console_read() can take. One device at a time; NULL: nobody. Main thread.
 */
void console_set_input(struct console *con, void (*fn)(void *opaque), void *opaque);

#endif
