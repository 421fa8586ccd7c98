// SPDX-License-Identifier: MIT
// The first words on a connection.
#include "migration/preamble.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "migration/ram.h"
#include "migration/section.h"

static const char magic[8] = "FERRYTP";

/* As they are on the wire; docs/teleport.md, rows 1 and 2. */
struct wire_preamble {
	char magic[8];
	uint16_t version, role;
	uint8_t flags, stream;
	uint16_t zero;
	uint8_t session[PREAMBLE_SESSION_BYTES];
};

struct wire_reply {
	char magic[8];
	uint16_t version, code;
	uint32_t zero;
};

_Static_assert(sizeof(struct wire_preamble) == PREAMBLE_BYTES, "no padding");
_Static_assert(sizeof(struct wire_reply) == PREAMBLE_REPLY_BYTES, "no padding");

void preamble_encode(uint8_t buf[PREAMBLE_BYTES], const struct preamble *p)
{
	struct wire_preamble w = {
		.version = htole16(p->version),
		.role = htole16(p->role),
		.flags = p->flags,
		.stream = p->stream,
	};

	memcpy(w.magic, magic, sizeof(magic));
	memcpy(w.session, p->session, sizeof(w.session));
	memcpy(buf, &w, sizeof(w));
}

int preamble_decode(const uint8_t buf[PREAMBLE_BYTES], struct preamble *ret, struct err *e)
{
	struct wire_preamble w;

	memcpy(&w, buf, sizeof(w));
	if (memcmp(w.magic, magic, sizeof(magic)) != 0)
		return err_set(e, -EPROTO, "the peer is no ferry");
	*ret = (struct preamble){ .version = le16toh(w.version) };
	/* Another version may mean something else by the rest. */
	if (ret->version != TELEPORT_VERSION)
		return 0;
	ret->role = le16toh(w.role);
	ret->flags = w.flags;
	ret->stream = w.stream;
	memcpy(ret->session, w.session, sizeof(w.session));
	if (ret->role >= PREAMBLE_NR_ROLES || (w.flags & ~PREAMBLE_TLS) || w.zero ||
	    (w.stream && ret->role != PREAMBLE_STREAM) || w.stream >= RAM_MAX_STREAMS)
		return err_set(e, -EPROTO, "the peer's first words make no sense");
	return 0;
}

void preamble_encode_reply(uint8_t buf[PREAMBLE_REPLY_BYTES], enum preamble_code code)
{
	struct wire_reply w = { .version = htole16(TELEPORT_VERSION), .code = htole16(code) };

	memcpy(w.magic, magic, sizeof(magic));
	memcpy(buf, &w, sizeof(w));
}

static const struct {
	int rc;
	const char *text;
} refusals[PREAMBLE_NR_CODES] = {
	[PREAMBLE_NOT_ALLOWED] = { -EACCES, "it does not allow this host: see --allow there" },
	[PREAMBLE_TLS_REQUIRED] = { -EACCES, "it wants TLS: give --tls-ca or --tls-psk-file here" },
	[PREAMBLE_TLS_NOT_OFFERED] = { -EACCES, "it was started without TLS" },
	[PREAMBLE_VERSION] = { -EPROTONOSUPPORT, "it speaks another version" },
	[PREAMBLE_BUSY] = { -EBUSY, "it takes no more guests now" },
	[PREAMBLE_NO_SESSION] = { -ENOENT, "it does not know this teleport" },
};

int preamble_decode_reply(const uint8_t buf[PREAMBLE_REPLY_BYTES], struct err *e)
{
	struct wire_reply w;
	uint16_t code;

	memcpy(&w, buf, sizeof(w));
	code = le16toh(w.code);
	if (memcmp(w.magic, magic, sizeof(magic)) != 0)
		return err_set(e, -EPROTO, "the peer is no ferry");
	if (code == PREAMBLE_VERSION)
		return err_set(e, -EPROTONOSUPPORT,
			       "the peer refuses: it speaks version %u of teleport, and we %u",
			       le16toh(w.version), TELEPORT_VERSION);
	if (code >= PREAMBLE_NR_CODES || w.zero || le16toh(w.version) != TELEPORT_VERSION)
		return err_set(e, -EPROTO, "the peer's answer makes no sense");
	if (code != PREAMBLE_OK)
		return err_set(e, refusals[code].rc, "the peer refuses: %s", refusals[code].text);
	return 0;
}

/* --- the source's side --- */

int preamble_new_session(uint8_t ret[PREAMBLE_SESSION_BYTES])
{
	return getrandom(ret, PREAMBLE_SESSION_BYTES, 0) == PREAMBLE_SESSION_BYTES ? 0 : -EIO;
}

static int err_transfer(struct err *e, int rc)
{
	return err_set(e, rc, "%s",
		       rc == -ECONNRESET  ? "the peer hung up"
		       : rc == -ETIMEDOUT ? "the peer does not answer"
					  : strerror(-rc));
}

/* Say who we are, and hear whether that is welcome. */
static int introduce(struct channel *ch, const struct preamble *p, struct err *e)
{
	uint8_t hello[PREAMBLE_BYTES], reply[PREAMBLE_REPLY_BYTES];
	int rc;

	preamble_encode(hello, p);
	rc = channel_send(ch, hello, sizeof(hello));
	/* Who refuses may have hung up already: the reason can still be read. */
	if (rc == 0 || rc == -EPIPE || rc == -ECONNRESET)
		rc = channel_recv(ch, reply, sizeof(reply));
	if (rc < 0)
		return err_transfer(e, rc);
	return preamble_decode_reply(reply, e);
}

/* A UNIX socket has no host that a certificate could name. */
static const char *peer_name(const struct preamble_target *t)
{
	if (t->peer_name)
		return t->peer_name;
	return t->address.kind == ADDRESS_TCP ? t->address.host : NULL;
}

int preamble_connect(struct channel **ret, const struct preamble_target *t, enum preamble_role role,
		     uint8_t stream, struct err *e)
{
	struct preamble p = {
		.version = TELEPORT_VERSION,
		.role = (uint16_t)role,
		.flags = t->creds ? PREAMBLE_TLS : 0,
		.stream = stream,
	};
	struct channel *ch;
	int rc, fd;

	memcpy(p.session, t->session, sizeof(p.session));
	fd = address_connect(&t->address, t->timeout_ms ? t->timeout_ms : CHANNEL_TIMEOUT_MS,
			     t->cancel_fd, e);
	if (fd < 0)
		return fd;
	rc = channel_new(&ch, fd, e);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	rc = introduce(ch, &p, e);
	if (rc == 0 && t->creds)
		rc = channel_start_tls(ch, t->creds, 0, peer_name(t), e);
	if (rc < 0) {
		(void)err_prefix(e, "%s", channel_describe(ch));
		channel_free(ch);
		return rc;
	}
	*ret = ch;
	return 0;
}

/* --- the ticket --- */

static int show_ticket(struct channel *ch, const struct ticket *ticket, struct err *e)
{
	int rc = channel_send(ch, ticket->ask, sizeof(ticket->ask));

	return rc < 0 ? err_transfer(e, rc) : 0;
}

int preamble_check_ticket(struct channel *ch, const struct ticket *ticket, struct err *e)
{
	uint8_t shown[TICKET_BYTES];
	int rc = channel_recv(ch, shown, sizeof(shown));

	if (rc < 0)
		return err_transfer(e, rc);
	if (!ticket_equal(shown, ticket->ask))
		return err_set(e, -EACCES, "the peer shows another session's ticket");
	return 0;
}

int preamble_open_stream(struct channel **ret, const struct preamble_target *t, unsigned index,
			 const struct ticket *ticket, struct err *e)
{
	struct channel *ch;
	int rc = preamble_connect(&ch, t, PREAMBLE_STREAM, (uint8_t)index, e);

	if (rc < 0)
		return rc;
	rc = show_ticket(ch, ticket, e);
	if (rc < 0)
		channel_free(ch);
	else
		*ret = ch;
	return rc;
}

/* --- the question --- */

/* On the wire an answer is its number. */
#define NR_ANSWERS (HANDOVER_NEVER + 1U)

struct wire_answer {
	uint32_t code;
	uint8_t ticket[TICKET_BYTES];
};

_Static_assert(sizeof(struct wire_answer) == 4 + TICKET_BYTES, "no padding");

/* Only who has the ticket knows what became of the session. */
static int parse_answer(const struct section *s, const struct ticket *ticket,
			enum handover_answer *ret, struct err *e)
{
	struct wire_answer w;

	if (s->type != SECTION_REPLY || s->bytes != sizeof(w))
		return err_set(e, -EPROTO, "the peer's answer makes no sense");
	memcpy(&w, s->payload, sizeof(w));
	if (!ticket_equal(w.ticket, ticket->answer))
		return err_set(e, -EACCES, "who answers there does not know this teleport");
	if (le32toh(w.code) >= NR_ANSWERS)
		return err_set(e, -EPROTO, "the peer's answer makes no sense");
	*ret = (enum handover_answer)le32toh(w.code);
	return 0;
}

int preamble_ask(const struct preamble_target *t, const struct ticket *ticket,
		 enum handover_answer *ret, struct err *e)
{
	struct channel *ch;
	struct section s;
	int rc = preamble_connect(&ch, t, PREAMBLE_QUESTION, 0, e);

	if (rc < 0)
		return rc;
	rc = show_ticket(ch, ticket, e);
	if (rc == 0)
		rc = section_recv(ch, &s, e);
	if (rc == 0) {
		rc = parse_answer(&s, ticket, ret, e);
		section_fini(&s);
	}
	channel_free(ch);
	return rc;
}

int preamble_tell(struct channel *ch, const struct ticket *ticket, enum handover_answer answer,
		  struct err *e)
{
	struct wire_answer w = { .code = htole32(answer) };

	memcpy(w.ticket, ticket->answer, sizeof(w.ticket));
	return section_send(ch, SECTION_REPLY, 0, &w, sizeof(w), e);
}
