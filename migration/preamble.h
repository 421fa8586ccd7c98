/* SPDX-License-Identifier: MIT */
/* The first words on a connection: what it is for, and whether it may be. */
#ifndef FERRY_MIGRATION_PREAMBLE_H
#define FERRY_MIGRATION_PREAMBLE_H

#include <stdbool.h>
#include <stdint.h>

#include "migration/address.h"
#include "migration/channel.h"
#include "migration/handover.h"
#include "migration/ticket.h"
#include "util/compiler.h"
#include "util/err.h"

#define PREAMBLE_BYTES         32U
#define PREAMBLE_REPLY_BYTES   16U
#define PREAMBLE_SESSION_BYTES 16U
#define TELEPORT_VERSION       2U /* 2: tickets */

/* What a connection is for. */
enum preamble_role {
	PREAMBLE_CONTROL = 0,  /* the conversation: a guest wants to come */
	PREAMBLE_STREAM = 1,   /* memory of a session that has one already */
	PREAMBLE_QUESTION = 2, /* what has become of a session? */
	PREAMBLE_NR_ROLES,
};

#define PREAMBLE_TLS 1U /* flag: a TLS handshake follows the reply */

struct preamble {
	uint16_t version;
	uint16_t role; /* enum preamble_role */
	uint8_t flags;
	uint8_t stream; /* its number, below RAM_MAX_STREAMS; 0 in other roles */
	uint8_t session[PREAMBLE_SESSION_BYTES];
};

/* The answer to a preamble, in clear. */
enum preamble_code {
	PREAMBLE_OK = 0,
	PREAMBLE_NOT_ALLOWED = 1,
	PREAMBLE_TLS_REQUIRED = 2,
	PREAMBLE_TLS_NOT_OFFERED = 3,
	PREAMBLE_VERSION = 4,
	PREAMBLE_BUSY = 5,
	PREAMBLE_NO_SESSION = 6, /* to a stream or question: there is none with that id */
	PREAMBLE_NR_CODES,
};

/* To bytes and back. Parsing: 0, or -EPROTO with what is wrong. */
void preamble_encode(uint8_t buf[PREAMBLE_BYTES], const struct preamble *p);
__must_check int preamble_decode(const uint8_t buf[PREAMBLE_BYTES], struct preamble *ret,
				 struct err *e);

/* The same for the answer; decoding anything but PREAMBLE_OK fails, with the reason. */
void preamble_encode_reply(uint8_t buf[PREAMBLE_REPLY_BYTES], enum preamble_code code);
__must_check int preamble_decode_reply(const uint8_t buf[PREAMBLE_REPLY_BYTES], struct err *e);

/* --- the source's side --- */

struct tls_credentials;

/* Whom to talk to, and as what. */
struct preamble_target {
	struct address address;
	const struct tls_credentials *creds; /* NULL: plain */
	const char *peer_name;               /* for the certificate; NULL: the address' host */
	uint8_t session[PREAMBLE_SESSION_BYTES];
	unsigned timeout_ms; /* for connecting; 0: CHANNEL_TIMEOUT_MS */
	int cancel_fd;       /* readable: stop connecting. -1: none */
};

/*
 * Connect, say the preamble, hear the answer, and put TLS on the channel. 0 or
 * -errno. The channel can be cancelled once it is there; before that @cancel_fd can.
 */
__must_check int preamble_connect(struct channel **ret, const struct preamble_target *t,
				  enum preamble_role role, uint8_t stream, struct err *e);

/* Connect stream @index of the session that @t->session and @ticket are of. 0 or -errno. */
__must_check int preamble_open_stream(struct channel **ret, const struct preamble_target *t,
				      unsigned index, const struct ticket *ticket, struct err *e);

/*
 * The other side of it, on a channel of that role or of a question, whose TLS is up:
 * does the peer show the source's half of @ticket? 0, -EACCES: another, or -errno.
 */
__must_check int preamble_check_ticket(struct channel *ch, const struct ticket *ticket,
				       struct err *e);

/* A new session's id. 0 or -errno. */
__must_check int preamble_new_session(uint8_t ret[PREAMBLE_SESSION_BYTES]);

/* --- the question --- */

/*
 * Ask what became of the session. 0 with @ret, or -errno: nobody answered who has its
 * @ticket.
 */
__must_check int preamble_ask(const struct preamble_target *t, const struct ticket *ticket,
			      enum handover_answer *ret, struct err *e);

/* The other side of it: tell @answer on a channel whose ticket was checked. */
__must_check int preamble_tell(struct channel *ch, const struct ticket *ticket,
			       enum handover_answer answer, struct err *e);

#endif
