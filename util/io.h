/* SPDX-License-Identifier: MIT */
/* Descriptors: ownership, whole reads and writes, event descriptors; folders. */
#ifndef FERRY_UTIL_IO_H
#define FERRY_UTIL_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "util/compiler.h"

/*
 * Scratch variables that clean up after themselves. Always initialise them;
 * hand the resource over with take_fd() or take_ptr().
 */
static inline void cleanup_closep(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

#define _cleanup_close_ __attribute__((cleanup(cleanup_closep)))
#define _cleanup_free_  __attribute__((cleanup(cleanup_freep)))

static inline int take_fd(int *fd)
{
	int ret = *fd;

	*fd = -1;
	return ret;
}

#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})

/* Close @*fd if it is open, and mark it closed. */
static inline void close_fd(int *fd)
{
	cleanup_closep(fd);
	*fd = -1;
}

/*
 * Started with standard input, output or error closed, the next files that are
 * opened would take their places, and get what is meant for them: /dev/null does
 * instead. Before anything else is opened. 0 or -errno.
 */
__must_check int io_open_missing_stdio(void);

/*
 * Read or write exactly @len bytes, going on after EINTR and short transfers.
 * 0, or -errno; -EIO where a file ends early. For blocking descriptors.
 */
__must_check int io_read_full(int fd, void *buf, size_t len);
__must_check int io_pread_full(int fd, void *buf, size_t len, off_t offset);
__must_check int io_pwrite_full(int fd, const void *buf, size_t len, off_t offset);
__must_check int io_write_full(int fd, const void *buf, size_t len);

/*
 * mkdir -p: @path and what is missing above it, with @mode. 0 where it is there
 * already, or -errno.
 */
__must_check int io_make_dirs(const char *path, mode_t mode);

/*
 * Signal an eventfd: never blocks, never fails for a non-blocking eventfd
 * whose counter is far from its end.
 */
static inline void eventfd_signal(int fd)
{
	const uint64_t one = 1;

	(void)!write(fd, &one, sizeof(one));
}

/* Is it a connected socket of AF_UNIX and SOCK_SEQPACKET? Any thread. */
bool io_is_packet_socket(int fd);

#endif
