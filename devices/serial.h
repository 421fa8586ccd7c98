/* SPDX-License-Identifier: MIT */
/* 16550A serial port at COM1. */
#ifndef FERRY_DEVICES_SERIAL_H
#define FERRY_DEVICES_SERIAL_H

#include <stdint.h>

#include "util/compiler.h"

struct console;
struct device;
struct vm;

/*
 * Add the port at 0x3f8, GSI 4. What the guest writes goes to @con at once, so
 * the transmitter is always empty and never holds up a vCPU; what @con has to
 * read goes into the receive FIFO as the guest makes room. The machine owns
 * the device; @con must outlive it. 0 or -errno. Main thread, before start.
 * Source: National Semiconductor PC16550D data sheet.
 */
__must_check int serial_new(struct vm *vm, struct console *con);

/*
 * Send a break to the port @dev, and a key after it: what Linux takes for SysRq. -EBUSY
 * where the guest has not read the last one. Any thread.
 */
__must_check int serial_send_break(struct device *dev, uint8_t key);

#endif
