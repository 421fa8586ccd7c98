// SPDX-License-Identifier: MIT
// The control connection of a teleport: sections, messages, replies, signs of life.
#include "migration/talk.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migration/channel.h"
#include "util/clock.h"
#include "util/printable.h"
#include "util/thread.h"

#define ALIVE_INTERVAL_NS (1 * NSEC_PER_SEC)
#define MAX_REASON_BYTES  400U
/* How long a failure waits for the peer's explanation, and our last word for its way out. */
#define EXPLAIN_MS    200U
#define LAST_WORDS_MS 500U
/*
 * What the peer said and nobody has taken yet. It sends a machine's state in some
 * twenty sections: if the reader had to wait for each to be taken, every one would
 * cost the downtime two changes of threads.
 */
#define QUEUE_SECTIONS 64U
#define QUEUE_BYTES    (1 * MIB) /* unless it is a single one */

struct talk {
	/* const after talk_new() */
	struct talk_params p;
	pthread_t reader, ticker;
	bool has_reader, has_ticker;
	struct section_sink sink;
	struct section_source source;

	struct mutex send_lock; /* protects: sending on the channel; order: before lock */

	struct mutex lock;      /* protects: the rest; order: a leaf */
	pthread_cond_t filled;  /* the queue is not empty any more, or it is over */
	pthread_cond_t drained; /* there may be room in it, or it is over */
	pthread_cond_t ended;   /* it is over */
	struct section queue[QUEUE_SECTIONS];
	unsigned first, nr_queued;
	uint64_t queued_bytes;
	struct err end; /* code: why it is over; 0: it is not */
	bool sending;   /* somebody is inside of the channel's send */
	bool refused;   /* by the peer's own words */
	bool quit;      /* talk_free() */
};

/* --- the end --- */

static void wake_all_locked(struct talk *t)
{
	(void)pthread_cond_broadcast(&t->filled);
	(void)pthread_cond_broadcast(&t->drained);
	(void)pthread_cond_broadcast(&t->ended);
}

/* The first reason stands. False: there was one. */
static bool set_end(struct talk *t, const struct err *why, bool refused)
{
	MUTEX_SCOPE(&t->lock);
	if (t->end.code)
		return false;
	t->end = *why;
	t->refused = refused;
	wake_all_locked(t);
	return true;
}

/* The peer or the network ended it. */
static void end_talk(struct talk *t, const struct err *why, bool refused)
{
	if (set_end(t, why, refused) && t->p.ended)
		t->p.ended(t->p.opaque, why);
}

/* A send that is under way ends now; otherwise there may be a last word. */
void talk_cancel(struct talk *t, const struct err *why)
{
	bool sending;

	(void)set_end(t, why, false);
	mutex_lock(&t->lock);
	sending = t->sending;
	mutex_unlock(&t->lock);
	if (sending)
		channel_cancel(t->p.ch);
}

static int verdict_locked(const struct talk *t, struct err *e)
{
	return t->end.code ? err_set(e, t->end.code, "%s", t->end.text) : 0;
}

bool talk_was_refused(struct talk *t)
{
	MUTEX_SCOPE(&t->lock);
	return t->refused;
}

int talk_explain(struct talk *t, unsigned timeout_ms, struct err *e)
{
	uint64_t until_ns = clock_now_ns() + timeout_ms * NSEC_PER_MSEC;
	int rc = 0;

	MUTEX_SCOPE(&t->lock);
	while (!t->end.code && rc == 0)
		rc = cond_wait_until(&t->ended, &t->lock, until_ns);
	if (t->end.code)
		*e = t->end;
	return e->code;
}

/* --- what the peer says --- */

/* A stranger's words, for a person's eyes. */
static void copy_words(char *to, size_t room, const char *from, size_t len)
{
	size_t n = MIN(len, room - 1);

	memcpy(to, from, n);
	to[n] = '\0';
	printable_ascii(to);
}

static uint32_t reply_code(const struct section *s)
{
	uint32_t code;

	memcpy(&code, s->payload, sizeof(code));
	return le32toh(code);
}

/* Is @s the last that the peer says? Then why, in @e. */
static bool is_farewell(const struct section *s, struct err *e)
{
	char words[MAX_REASON_BYTES];

	if (s->type == SECTION_MESSAGE && s->id == MESSAGE_CANCEL) {
		(void)err_set(e, -ECANCELED, "the source has cancelled");
		return true;
	}
	if (s->type != SECTION_REPLY)
		return false;
	if (s->bytes < sizeof(uint32_t)) {
		(void)err_set(e, -EPROTO, "the peer sent half a reply");
		return true;
	}
	if (reply_code(s) == 0)
		return false;
	copy_words(words, sizeof(words), (const char *)s->payload + sizeof(uint32_t),
		   s->bytes - sizeof(uint32_t));
	(void)err_set(e, -EREMOTEIO, "the destination: %s", *words ? words : "refused");
	return true;
}

static bool has_room_locked(const struct talk *t, uint64_t bytes)
{
	return t->nr_queued == 0 ||
	       (t->nr_queued < QUEUE_SECTIONS && t->queued_bytes + bytes <= QUEUE_BYTES);
}

/* Put @s where the conversation finds it; wait until there is room. False: it is over. */
static bool offer(struct talk *t, const struct section *s)
{
	bool over;

	mutex_lock(&t->lock);
	while (!has_room_locked(t, s->bytes) && !t->quit && !t->end.code)
		(void)pthread_cond_wait(&t->drained, &t->lock.m);
	over = t->quit || t->end.code;
	if (!over) {
		t->queue[(t->first + t->nr_queued++) % QUEUE_SECTIONS] = *s;
		t->queued_bytes += s->bytes;
	}
	mutex_unlock(&t->lock);
	(void)pthread_cond_signal(&t->filled);
	return !over;
}

/* One section from the peer. False: it was the last. */
static bool read_one(struct talk *t)
{
	struct section s = { 0 };
	struct err e = { 0 };

	if (section_recv(t->p.ch, &s, &e) < 0) {
		(void)err_prefix(&e, "the connection broke");
		end_talk(t, &e, false);
		return false;
	}
	if (is_farewell(&s, &e)) {
		section_fini(&s);
		end_talk(t, &e, true);
		return false;
	}
	if ((s.type == SECTION_MESSAGE && s.id == MESSAGE_ALIVE) || !offer(t, &s))
		section_fini(&s);
	return true;
}

static void *read_sections(void *opaque)
{
	struct talk *t = opaque;

	while (read_one(t))
		;
	return NULL;
}

/* --- signs of life --- */

/* Wait for the next tick. False: no more are needed. */
static bool next_tick(struct talk *t)
{
	uint64_t until_ns = clock_now_ns() + ALIVE_INTERVAL_NS;
	int rc = 0;

	MUTEX_SCOPE(&t->lock);
	while (!t->quit && !t->end.code && rc == 0)
		rc = cond_wait_until(&t->ended, &t->lock, until_ns);
	return !t->quit && !t->end.code;
}

static void *tick(void *opaque)
{
	struct talk *t = opaque;
	struct err e;

	while (next_tick(t) && talk_send_message(t, MESSAGE_ALIVE, NULL, 0, &e) == 0)
		;
	return NULL;
}

/* --- life cycle --- */

static int put_section(void *opaque, uint32_t type, uint32_t id, const void *payload, size_t bytes,
		       struct err *e)
{
	return talk_send(opaque, type, id, payload, bytes, e);
}

static int put_sections(void *opaque, const struct section *items, size_t nr, struct err *e)
{
	return talk_send_all(opaque, items, nr, e);
}

/* The oldest of the queue, which is not empty. */
static struct section pop_locked(struct talk *t)
{
	struct section s = t->queue[t->first];

	t->first = (t->first + 1) % QUEUE_SECTIONS;
	t->nr_queued--;
	t->queued_bytes -= s.bytes;
	return s;
}

/* Take whatever comes next. 0 or -errno. */
static int take(struct talk *t, struct section *ret, struct err *e)
{
	int rc = 0;

	mutex_lock(&t->lock);
	while (!t->nr_queued && !t->end.code)
		(void)pthread_cond_wait(&t->filled, &t->lock.m);
	if (t->nr_queued)
		*ret = pop_locked(t);
	else
		rc = verdict_locked(t, e);
	mutex_unlock(&t->lock);
	(void)pthread_cond_signal(&t->drained);
	return rc;
}

bool talk_wait(struct talk *t, unsigned timeout_ms)
{
	uint64_t until_ns = clock_now_ns() + timeout_ms * NSEC_PER_MSEC;
	int rc = 0;

	MUTEX_SCOPE(&t->lock);
	while (!t->nr_queued && !t->end.code && rc == 0)
		rc = cond_wait_until(&t->filled, &t->lock, until_ns);
	return t->nr_queued || t->end.code;
}

static int get_section(void *opaque, struct section *ret, struct err *e)
{
	return take(opaque, ret, e);
}

static void init(struct talk *t, const struct talk_params *params)
{
	t->p = *params;
	t->sink = (struct section_sink){
		.put = put_section,
		.put_all = put_sections,
		.opaque = t,
	};
	t->source = (struct section_source){ .get = get_section, .opaque = t };
	mutex_init(&t->send_lock);
	mutex_init(&t->lock);
	cond_init(&t->filled);
	cond_init(&t->drained);
	cond_init(&t->ended);
}

int talk_new(struct talk **ret, const struct talk_params *params, struct err *e)
{
	struct talk *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	init(t, params);
	channel_set_timeout(params->ch, CHANNEL_TIMEOUT_MS);
	rc = thread_start(&t->reader, THREAD_MOVE, "talk-in", read_sections, t);
	t->has_reader = rc == 0;
	if (rc == 0)
		rc = thread_start(&t->ticker, THREAD_MOVE, "talk-alive", tick, t);
	t->has_ticker = rc == 0;
	if (rc < 0) {
		talk_free(t);
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	}
	*ret = t;
	return 0;
}

void talk_free(struct talk *t)
{
	if (!t)
		return;
	mutex_lock(&t->lock);
	t->quit = true;
	if (!t->end.code)
		(void)err_set(&t->end, -ECANCELED, "cancelled");
	wake_all_locked(t);
	mutex_unlock(&t->lock);
	channel_cancel(t->p.ch);
	if (t->has_reader)
		(void)pthread_join(t->reader, NULL);
	if (t->has_ticker)
		(void)pthread_join(t->ticker, NULL);
	while (t->nr_queued) {
		struct section s = pop_locked(t);

		section_fini(&s);
	}
	(void)pthread_cond_destroy(&t->filled);
	(void)pthread_cond_destroy(&t->drained);
	(void)pthread_cond_destroy(&t->ended);
	mutex_fini(&t->lock);
	mutex_fini(&t->send_lock);
	free(t);
}

/* --- sections --- */

/* Begin a send, unless the conversation is over. 0 or -errno. */
static int begin_send(struct talk *t, struct err *e)
{
	MUTEX_SCOPE(&t->lock);
	t->sending = !t->end.code;
	return verdict_locked(t, e);
}

static void end_send(struct talk *t)
{
	MUTEX_SCOPE(&t->lock);
	t->sending = false;
}

int talk_send_all(struct talk *t, const struct section *items, size_t nr, struct err *e)
{
	struct err why = { 0 };
	int rc;

	mutex_lock(&t->send_lock);
	rc = begin_send(t, e);
	if (rc == 0) {
		rc = section_send_all(t->p.ch, items, nr, &why);
		end_send(t);
	}
	mutex_unlock(&t->send_lock);
	if (rc == 0 || !why.code)
		return rc;
	(void)err_prefix(&why, "the connection broke");
	/* The peer may have said why just before; its words are better than ours. */
	(void)talk_explain(t, EXPLAIN_MS, &why);
	end_talk(t, &why, false);
	return err_set(e, why.code, "%s", why.text);
}

int talk_send(struct talk *t, uint32_t type, uint32_t id, const void *payload, size_t bytes,
	      struct err *e)
{
	const struct section s = section_of(type, id, payload, bytes);

	return talk_send_all(t, &s, 1, e);
}

/* Whatever became of the conversation, and without waiting long. */
static void send_last(struct talk *t, uint32_t type, uint32_t id, const void *payload, size_t bytes)
{
	struct err e;

	mutex_lock(&t->send_lock);
	channel_set_timeout(t->p.ch, LAST_WORDS_MS);
	(void)!section_send(t->p.ch, type, id, payload, bytes, &e);
	mutex_unlock(&t->send_lock);
}

void talk_say_cancel(struct talk *t)
{
	send_last(t, SECTION_MESSAGE, MESSAGE_CANCEL, NULL, 0);
}

int talk_recv(struct talk *t, uint32_t type, struct section *ret, struct err *e)
{
	struct section s = { 0 };
	int rc = take(t, &s, e);

	if (rc < 0)
		return rc;
	if (s.type == type) {
		*ret = s;
		return 0;
	}
	section_fini(&s);
	return err_set(e, -EPROTO, "the peer sent section %u where %u belongs", s.type, type);
}

const struct section_sink *talk_sink(struct talk *t)
{
	return &t->sink;
}

const struct section_source *talk_source(struct talk *t)
{
	return &t->source;
}

/* --- messages and replies --- */

int talk_send_message(struct talk *t, enum talk_message kind, const uint64_t *values, unsigned nr,
		      struct err *e)
{
	uint64_t wire[TALK_MAX_VALUES];

	for (unsigned i = 0; i < nr; i++)
		wire[i] = htole64(values[i]);
	return talk_send(t, SECTION_MESSAGE, kind, wire, nr * sizeof(wire[0]), e);
}

int talk_take_message(const struct section *s, enum talk_message kind, uint64_t *ret_values,
		      unsigned nr, struct err *e)
{
	if (s->type != SECTION_MESSAGE || s->id != (uint32_t)kind)
		return err_set(e, -EPROTO, "the peer sent section %u/%u where message %u belongs",
			       s->type, s->id, kind);
	if (s->bytes != nr * sizeof(uint64_t))
		return err_set(e, -EPROTO, "message %u has %llu bytes instead of %zu", kind,
			       (unsigned long long)s->bytes, nr * sizeof(uint64_t));
	for (unsigned i = 0; i < nr; i++) {
		uint64_t value;

		memcpy(&value, (const char *)s->payload + i * sizeof(value), sizeof(value));
		ret_values[i] = le64toh(value);
	}
	return 0;
}

int talk_recv_message(struct talk *t, enum talk_message kind, uint64_t *ret_values, unsigned nr,
		      struct err *e)
{
	struct section s = { 0 };
	int rc = take(t, &s, e);

	if (rc < 0)
		return rc;
	rc = talk_take_message(&s, kind, ret_values, nr, e);
	section_fini(&s);
	return rc;
}

int talk_send_reply(struct talk *t, int code, const char *text, struct err *e)
{
	uint8_t payload[sizeof(uint32_t) + MAX_REASON_BYTES];
	uint32_t wire = htole32((uint32_t)-code);
	size_t len = strnlen(text, MAX_REASON_BYTES);

	memcpy(payload, &wire, sizeof(wire));
	memcpy(payload + sizeof(wire), text, len);
	if (code) {
		send_last(t, SECTION_REPLY, 0, payload, sizeof(wire) + len);
		return 0;
	}
	return talk_send(t, SECTION_REPLY, 0, payload, sizeof(wire) + len, e);
}

int talk_recv_reply(struct talk *t, struct err *e)
{
	struct section s = { 0 };
	int rc = talk_recv(t, SECTION_REPLY, &s, e);

	if (rc == 0)
		section_fini(&s); /* a code would have ended the conversation */
	return rc;
}
