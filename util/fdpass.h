/* SPDX-License-Identifier: MIT */
/* Descriptors that travel over a UNIX socket (SCM_RIGHTS), one with a message. */
#ifndef FERRY_UTIL_FDPASS_H
#define FERRY_UTIL_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#include "util/compiler.h"

/*
 * send(2) with descriptor @fd (-1: none), which stays the caller's. @flags are
 * send's; never a SIGPIPE. Bytes sent, or -errno.
 */
__must_check ssize_t fdpass_send(int sock, const void *buf, size_t len, int fd, int flags);

/*
 * recv(2); *@ret_fd gets the descriptor that came, close-on-exec, or -1. Where
 * more than one came, all are closed and *@ret_fd is -EMFILE. On a stream the descriptor
 * belongs to the last bytes of those received. Bytes, 0 at the end, or -errno.
 */
__must_check ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd, int flags);

#endif
