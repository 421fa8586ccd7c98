/* SPDX-License-Identifier: MIT */
/* The secrets of a session, by which its connections belong together. */
#ifndef FERRY_MIGRATION_TICKET_H
#define FERRY_MIGRATION_TICKET_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * A session's id is sent in clear, so it proves nothing. The listener makes a ticket
 * for each session, and its process tells the source in HELLO's answer, that is
 * inside of TLS where there is TLS. Streams and questions show one half of it, and
 * who answers a question shows the other half: a listener that was started anew has
 * no such ticket, whatever sessions with that id it has seen.
 */
#define TICKET_BYTES     16U
#define TICKET_HEX_BYTES (2 * 2 * TICKET_BYTES)

struct ticket {
	uint8_t ask[TICKET_BYTES];    /* shown by the source */
	uint8_t answer[TICKET_BYTES]; /* shown by the listener */
};

/* A new one. 0 or -errno. */
__must_check int ticket_new(struct ticket *ret);

/* Are the halves the same? Takes as long whether they are or not. */
bool ticket_equal(const uint8_t a[TICKET_BYTES], const uint8_t b[TICKET_BYTES]);

/* As text, with a NUL; and from text, which is hostile: 0 or -EPROTO. */
void ticket_to_hex(const struct ticket *t, char ret[TICKET_HEX_BYTES + 1]);
__must_check int ticket_from_hex(const char *text, struct ticket *ret);

#endif
