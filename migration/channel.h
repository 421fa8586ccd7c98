/* SPDX-License-Identifier: MIT */
/* A byte stream to the peer of a teleport: TCP or a UNIX socket, plain or TLS. */
#ifndef FERRY_MIGRATION_CHANNEL_H
#define FERRY_MIGRATION_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Blocking, for the migration's own threads; one thread sends and one receives
 * at a time (they may be two). Nothing waits for ever: each transfer that makes
 * no progress for the channel's timeout ends with -ETIMEDOUT, and
 * channel_cancel() ends it at once with -ECANCELED.
 */
struct channel;
struct tls_credentials;

#define CHANNEL_TIMEOUT_MS 10000U

/* Take over the connected socket @fd, plain. 0 or -errno (then @fd is the caller's). */
__must_check int channel_new(struct channel **ret, int fd, struct err *e);

/* Close and free. NULL: no-op. */
void channel_free(struct channel *ch);

/*
 * Put TLS on the channel: handshake as the client (@peer_name: who the server's
 * certificate must be made out to; NULL: do not look) or as the server. 0, or
 * -errno with the reason: then the channel is of no more use.
 */
__must_check int channel_start_tls(struct channel *ch, const struct tls_credentials *creds,
				   int server, const char *peer_name, struct err *e);

/* How long a transfer may make no progress; 0: for ever (cancel still works). */
void channel_set_timeout(struct channel *ch, unsigned timeout_ms);

/* Send all of @iov (which is used up in the process). 0 or -errno. */
__must_check int channel_sendv(struct channel *ch, struct iovec *iov, unsigned nr_iov);
__must_check int channel_send(struct channel *ch, const void *buf, size_t len);

/*
 * Receive exactly that much. 0 or -errno; -ECONNRESET where the peer has
 * closed before the end.
 */
__must_check int channel_recvv(struct channel *ch, struct iovec *iov, unsigned nr_iov);
__must_check int channel_recv(struct channel *ch, void *buf, size_t len);

/*
 * Let the kernel keep some megabytes at most that we have not read yet; without
 * CAP_NET_ADMIN it stays what the host allows (net.ipv4.tcp_rmem).
 */
void channel_limit_unread(struct channel *ch);

/* All transfers, now and later, end with -ECANCELED. Any thread. */
void channel_cancel(struct channel *ch);

/* Nothing is said any more: the peer's transfers, and ours, come to their end. Any thread. */
void channel_hang_up(struct channel *ch);

/* The path's round trip as TCP measures it; 0: unknown, or on this host. */
uint64_t channel_rtt_ns(const struct channel *ch);

/*
 * Have both peers proven to be the same: by the same certificate, the same pre-shared
 * key, or neither by any? Other threads may use the channels meanwhile.
 */
bool channel_same_peer(const struct channel *a, const struct channel *b);

/* "tcp 10.0.0.2:8002, TLS 1.3 with x509", for messages. */
const char *channel_describe(const struct channel *ch);

#endif
