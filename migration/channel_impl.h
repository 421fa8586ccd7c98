/* SPDX-License-Identifier: MIT */
/* What the files of a channel share: the socket, and TLS over it. */
#ifndef FERRY_MIGRATION_CHANNEL_IMPL_H
#define FERRY_MIGRATION_CHANNEL_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "migration/channel.h"
#include "util/compiler.h"
#include "util/err.h"

#define CHANNEL_PEER_ID_BYTES 32U

struct channel_tls;

struct channel {
	int fd;        /* const: non-blocking socket */
	int cancel_fd; /* const: eventfd, never read: once signalled it stays so */
	_Atomic bool cancelled;
	_Atomic unsigned timeout_ms;

	/* Of the handshake alone, by the one thread that makes it. */
	uint64_t deadline_ns; /* when it must be done; 0: not in a handshake */
	size_t room_bytes;    /* what the peer may still send in it */

	struct channel_tls *tls; /* const after channel_start_tls(); NULL: plain */
	/* The same: a hash of how the peer has proven who it is; zeroes: it has not. */
	uint8_t peer_id[CHANNEL_PEER_ID_BYTES];
	char describe[192];
};

/*
 * Send or receive some bytes of the socket, at least one, waiting as long as
 * the channel allows. The number, or -errno; 0 received: the peer has closed.
 */
__must_check ssize_t channel_raw_sendv(struct channel *ch, const struct iovec *iov,
				       unsigned nr_iov);
__must_check ssize_t channel_raw_recvv(struct channel *ch, const struct iovec *iov,
				       unsigned nr_iov);

/* Drop the first @done bytes from *@iov, *@nr_iov. */
void channel_iov_advance(struct iovec **iov, unsigned *nr_iov, size_t done);

/* As channel_sendv() and channel_recvv(), through TLS, and not counted. */
__must_check int channel_tls_sendv(struct channel_tls *tls, struct iovec *iov, unsigned nr_iov);
__must_check int channel_tls_recvv(struct channel_tls *tls, struct iovec *iov, unsigned nr_iov);

/* Free the session; the socket stays. NULL: no-op. */
void channel_tls_free(struct channel_tls *tls);

#endif
