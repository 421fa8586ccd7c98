/* SPDX-License-Identifier: MIT */
/* The user's terminal: raw mode that always ends, and escape keys. */
#ifndef FERRY_VMM_CONSOLE_TTY_H
#define FERRY_VMM_CONSOLE_TTY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * Put the terminal @fd into raw mode, so that every key reaches the guest. It
 * is put back by tty_restore(), and by any signal that ends the process except
 * SIGKILL. One terminal at a time. 0; -ENOTTY: not a terminal; -EBUSY: another
 * job has it at the moment; or -errno.
 */
__must_check int tty_enter_raw(int fd);

/* Put the terminal back as it was; harmless when it is. Any thread, any time. */
void tty_restore(void);

/* Escape keys in a stream of input: a prefix key, then a command key. */
struct tty_keys {
	uint8_t prefix;             /* 0x01: Ctrl-A; the prefix twice sends it once */
	bool pending;               /* the prefix came last */
	void (*quit)(void *opaque); /* prefix x */
	void (*help)(void *opaque); /* prefix h */
	void *opaque;
};

/*
 * Take escape sequences out of @data, and act on them. Returns how much is
 * left for the guest.
 */
size_t tty_filter_keys(struct tty_keys *keys, uint8_t *data, size_t len);

#endif
