// SPDX-License-Identifier: MIT
// Connections to `ferry receive`, up to the point where it is known what they want.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/move/receive_impl.h"

void knock_free(struct knock *k)
{
	struct receiver *r = k->r;

	loop_disarm(r->loop, &k->timer);
	loop_del_fd(r->loop, &k->watch);
	close_fd(&k->watch.fd);
	if (k->bytes == PREAMBLE_BYTES)
		TAILQ_REMOVE(&r->ready, k, link);
	else
		TAILQ_REMOVE(&r->knocks, k, link);
	r->nr_knocks--;
	free(k);
}

void knock_free_all(struct knocks *list)
{
	struct knock *k, *next;

	for (k = TAILQ_FIRST(list); k; k = next) {
		next = TAILQ_NEXT(k, link);
		knock_free(k);
	}
}

void knock_answer(struct knock *k, enum preamble_code code)
{
	uint8_t reply[PREAMBLE_REPLY_BYTES];

	/* It has said one thing and heard nothing yet: this fits, or it is gone. */
	preamble_encode_reply(reply, code);
	(void)!send(k->watch.fd, reply, sizeof(reply), MSG_DONTWAIT | MSG_NOSIGNAL);
	knock_free(k);
}

static void refuse(struct knock *k, const char *why)
{
	log_limited(&k->r->log, LOG_WARN, "%s: %s", k->peer, why);
	knock_free(k);
}

static void refuse_by_code(struct knock *k, enum preamble_code code)
{
	static const char *const reasons[PREAMBLE_NR_CODES] = {
		[PREAMBLE_NOT_ALLOWED] = "refused: not on the allow-list",
		[PREAMBLE_TLS_REQUIRED] = "refused: it does not use TLS",
		[PREAMBLE_TLS_NOT_OFFERED] = "refused: it wants TLS",
		[PREAMBLE_VERSION] = "refused: another version of teleport",
		[PREAMBLE_BUSY] = "refused: no more guests now",
		[PREAMBLE_NO_SESSION] = "refused: an unknown session",
	};

	log_limited(&k->r->log, LOG_WARN, "%s: %s", k->peer, reasons[code]);
	knock_answer(k, code);
}

/* Judge what holds for every role. */
static enum preamble_code judge(const struct knock *k)
{
	bool tls = k->p.flags & PREAMBLE_TLS;

	if (!k->allowed)
		return PREAMBLE_NOT_ALLOWED;
	if (k->p.version != TELEPORT_VERSION)
		return PREAMBLE_VERSION;
	if (tls != (k->r->creds != NULL))
		return tls ? PREAMBLE_TLS_NOT_OFFERED : PREAMBLE_TLS_REQUIRED;
	return PREAMBLE_OK;
}

static enum preamble_code judge_role(struct knock *k)
{
	struct receiver *r = k->r;

	switch (k->p.role) {
	case PREAMBLE_CONTROL:
		return session_find(r, k->p.session) ? PREAMBLE_BUSY : session_may_start(r);
	case PREAMBLE_STREAM:
		return session_pass_stream(r, k);
	default:
		if (!session_find(r, k->p.session))
			return PREAMBLE_NO_SESSION;
		return session_may_answer(r);
	}
}

/* All its words are there. */
static void decide(struct knock *k)
{
	struct receiver *r = k->r;
	enum preamble_code code;

	TAILQ_REMOVE(&r->knocks, k, link);
	TAILQ_INSERT_TAIL(&r->ready, k, link);
	loop_disarm(r->loop, &k->timer);
	loop_mod_fd(r->loop, &k->watch, 0);
	if (preamble_decode(k->buf, &k->p, NULL) < 0) {
		refuse(k, "refused: it is no ferry");
		return;
	}
	code = judge(k);
	if (code == PREAMBLE_OK)
		code = judge_role(k);
	if (code != PREAMBLE_OK)
		refuse_by_code(k, code);
	else if (k->p.role == PREAMBLE_STREAM)
		knock_answer(k, PREAMBLE_OK); /* its session has the descriptor */
	/* For the others a process is forked when this turn is over. */
}

static void on_knock(void *opaque, unsigned events)
{
	struct knock *k = opaque;
	ssize_t n = recv(k->watch.fd, k->buf + k->bytes, sizeof(k->buf) - k->bytes, MSG_DONTWAIT);

	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		knock_free(k);
		return;
	}
	k->bytes += (size_t)n;
	if (k->bytes == sizeof(k->buf))
		decide(k);
}

static void on_timer(void *opaque)
{
	refuse(opaque, "it has connected, but says nothing: dropped");
}

/* Room for one more: who is not allowed goes first, then who has waited longest. */
static void make_room(struct receiver *r)
{
	struct knock *k;

	TAILQ_FOREACH(k, &r->knocks, link)
	{
		if (!k->allowed)
			break;
	}
	if (!k)
		k = TAILQ_FIRST(&r->knocks);
	if (k)
		refuse(k, "dropped: too many connections that say nothing");
}

/*
 * Who is not allowed is heard out all the same: hanging up on unread words would
 * reset the connection, and the peer would never read why.
 */
int knock_accepted(void *opaque, int fd)
{
	struct receiver *r = opaque;
	struct knock *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return -ENOMEM;
	if (r->nr_knocks >= RECEIVE_MAX_KNOCKS)
		make_room(r);
	k->r = r;
	k->allowed = allow_peer(r->allow, fd);
	k->watch = (struct loop_fd){ .fn = on_knock, .opaque = k, .fd = fd, .events = LOOP_READ };
	k->timer = (struct loop_timer){ .fn = on_timer, .opaque = k };
	address_of_peer(fd, k->peer, sizeof(k->peer));
	rc = loop_add_fd(r->loop, &k->watch);
	if (rc < 0) {
		free(k);
		return rc;
	}
	TAILQ_INSERT_TAIL(&r->knocks, k, link);
	r->nr_knocks++;
	loop_arm(r->loop, &k->timer, clock_now_ns() + RECEIVE_KNOCK_NS);
	return 0;
}
