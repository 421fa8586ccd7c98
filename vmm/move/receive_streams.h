/* SPDX-License-Identifier: MIT */
/* The connections for memory of a guest that comes: let in side by side, kept, given out. */
#ifndef FERRY_VMM_MOVE_RECEIVE_STREAMS_H
#define FERRY_VMM_MOVE_RECEIVE_STREAMS_H

#include <stdint.h>

#include "migration/ticket.h"
#include "util/compiler.h"
#include "util/err.h"

struct channel;
struct receive_streams;
struct tls_credentials;

#define RECEIVE_MAX_ARRIVALS 32U /* connections that have not proven yet whose they are */

/*
 * None yet. What is @creds' (NULL: plain) and @control's must live longer. 0 or
 * -errno. Each function is for any thread, if none is said.
 */
__must_check int receive_streams_new(struct receive_streams **ret, const struct channel *control,
				     const struct tls_credentials *creds,
				     const struct ticket *ticket);

/* Nobody else uses it any more; what was not taken is closed. NULL: no-op. */
void receive_streams_free(struct receive_streams *s);

/* So many are wanted; before that none is let in. Once. */
void receive_streams_expect(struct receive_streams *s, unsigned nr);

/*
 * A connection that says that it is stream @index; @fd is ours then. It is let in on a
 * thread of its own, after TLS, if it shows the ticket and is of the peer that the
 * control connection has. Waits for nobody. One thread.
 */
void receive_streams_offer(struct receive_streams *s, int fd, unsigned index);

/* Wait, bounded, for stream @index; the channel is the caller's. 0 or -errno. */
__must_check int receive_streams_take(struct receive_streams *s, unsigned index,
				      struct channel **ret, struct err *e);

/* Nothing comes any more: receive_streams_take() ends with -ECANCELED. */
void receive_streams_close(struct receive_streams *s);

#endif
