/* SPDX-License-Identifier: MIT */
/* The guest's console: a bounded ring of output, its readers, and input. */
#ifndef FERRY_VMM_CONSOLE_H
#define FERRY_VMM_CONSOLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

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
 * Of those who attach to a running guest one may type: who has been attached longest. What the
 * others type is dropped. Where the guest was started the console can always be typed to.
 *
 * Input goes into one small buffer. The device that came last takes from it
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

/* A device that takes input: embedded in its own structure. */
struct console_input {
	/* On the main loop, without a lock: input arrived that console_read() can take. */
	void (*fn)(void *opaque);
	void *opaque;
	TAILQ_ENTRY(console_input) link;
};

/*
 * Input is for @in from now on, until that is removed: then it is again for who had it
 * before, and he is told what nobody has taken. One that is removed must be there. Main thread.
 */
void console_add_input(struct console *con, struct console_input *in);
void console_remove_input(struct console *con, struct console_input *in);

/* --- for whoever makes the guest --- */

#define CONSOLE_RING_BYTES  (64 * 1024)
#define CONSOLE_INPUT_BYTES 4096
#define CONSOLE_MAX_READERS 32

/* A console without readers. 0 or -errno. */
__must_check int console_new(struct console **ret, struct loop *loop);

/* Close all readers and free; no device uses it any more. NULL: no-op. */
void console_free(struct console *con);

/* Whose input is for the guest. */
enum console_typing {
	CONSOLE_TYPES,   /* always */
	CONSOLE_IN_TURN, /* that of the one who was added first of those that there are */
	CONSOLE_READS,   /* never: it is read and dropped, so that its end is seen */
};

/*
 * Somebody who reads the output and may type. The two descriptors differ (one
 * is a dup of the other); they belong to the console from now on, and are
 * closed when they fail, hang up, or with the console.
 */
struct console_reader_params {
	int out_fd; /* non-blocking, a socket, or a regular file; -1: none */
	int in_fd;  /* the same; -1: none */
	enum console_typing typing;
	/* Keep reading in_fd though the guest takes nothing, and drop what does
	 * not fit: for a terminal, whose escape keys must always work. */
	bool keep_reading;
	/* Go on without input when in_fd ends, rather than close the reader. */
	bool input_may_end;
	/* Start with all that the ring still holds, not with what nobody has seen. */
	bool history;
	/* See input first, in place; returns how much of it is for the guest.
	 * Main loop, no lock held. NULL: all of it. */
	size_t (*filter)(void *opaque, uint8_t *data, size_t len);
	void *opaque;
};

/*
 * Add a reader. 0, or -errno: the descriptors are then still the caller's.
 * Main thread.
 */
__must_check int console_add_reader(struct console *con, const struct console_reader_params *p);

/* Is there a reader that types in turn? The next one then waits for its turn. Main thread. */
bool console_is_typed_to(struct console *con);

/*
 * Wait until all readers have all output, or nothing moved for @idle_ms, but
 * not longer than ten times that, since signals do nothing meanwhile: at the
 * end, so that the guest's last words are not lost. Main thread, after the
 * loop has ended.
 */
void console_drain(struct console *con, unsigned idle_ms);

struct console_stats {
	uint64_t written; /* by the guest, bytes */
	uint64_t lost;    /* of it, what some reader never got, summed over readers */
	unsigned readers;
};

/* Any thread. */
void console_get_stats(struct console *con, struct console_stats *ret);

#endif
