// SPDX-License-Identifier: MIT
// The connections for memory of a guest that comes.
#include "vmm/move/receive_streams.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/preamble.h"
#include "migration/ram.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "util/thread.h"

/*
 * Theory of operation
 *
 * Whoever saw a session's id can connect. So each connection has a thread until it has
 * proven whose it is: one that stalls holds up no other. There is room for some of
 * them; the oldest has to go for a new one, which is never the source's as long as
 * that does what it should, as proving takes it milliseconds.
 *
 * Only who has proven it can fill a place, so a stranger cannot be first with a
 * number; and each number is had once.
 */
#define TICKET_TIMEOUT_MS 5000U
#define TAKE_TIMEOUT_NS   (20 * NSEC_PER_SEC)

struct arrival {
	struct receive_streams *s;
	pthread_t thread;
	bool used;          /* there is a thread; the offering thread's */
	struct channel *ch; /* its thread's until that is joined, but for channel_cancel() */
	bool kept;          /* the channel has a place; as above */
	unsigned index;
	uint64_t number;   /* the how-many-th it was */
	_Atomic bool done; /* the thread ends */
};

struct receive_streams {
	/* const */
	const struct channel *control;
	const struct tls_credentials *creds;
	struct ticket ticket;

	/* the thread that offers */
	struct arrival arrivals[RECEIVE_MAX_ARRIVALS];
	uint64_t nr_arrivals;

	struct mutex lock; /* protects: what follows; order: a leaf */
	pthread_cond_t changed;
	unsigned nr_expected;
	struct channel *places[RAM_MAX_STREAMS];
	bool had[RAM_MAX_STREAMS]; /* one has come, and may be taken already */
	bool closed;
};

/* --- on an arrival's thread --- */

static int keep(struct receive_streams *s, struct arrival *a, struct err *e)
{
	MUTEX_SCOPE(&s->lock);
	if (s->closed)
		return err_set(e, -ECANCELED, "nobody wants it any more");
	if (a->index >= s->nr_expected)
		return err_set(e, -EPROTO, "there are %u streams", s->nr_expected);
	if (s->had[a->index])
		return err_set(e, -EEXIST, "there is one already");
	s->had[a->index] = true;
	s->places[a->index] = a->ch;
	a->kept = true;
	(void)pthread_cond_broadcast(&s->changed);
	return 0;
}

static int let_in(struct receive_streams *s, struct arrival *a, struct err *e)
{
	int rc = s->creds ? channel_start_tls(a->ch, s->creds, 1, NULL, e) : 0;

	if (rc < 0)
		return rc;
	channel_set_timeout(a->ch, TICKET_TIMEOUT_MS);
	rc = preamble_check_ticket(a->ch, &s->ticket, e);
	if (rc < 0)
		return rc;
	if (!channel_same_peer(a->ch, s->control))
		return err_set(e, -EACCES, "its peer is not the one who sends the guest");
	channel_set_timeout(a->ch, CHANNEL_TIMEOUT_MS);
	return keep(s, a, e);
}

static void *arrive(void *opaque)
{
	struct arrival *a = opaque;
	struct err e;

	if (let_in(a->s, a, &e) < 0) {
		log_warn("stream %u is refused: %s", a->index, e.text);
		channel_hang_up(a->ch);
	}
	atomic_store(&a->done, true);
	return NULL;
}

/* --- on the thread that offers --- */

static void finish(struct arrival *a)
{
	(void)pthread_join(a->thread, NULL);
	if (!a->kept)
		channel_free(a->ch);
	a->used = false;
}

/* Room for one more: that of one who is done, or else of the oldest. */
static struct arrival *find_room(struct receive_streams *s)
{
	struct arrival *room = NULL, *oldest = &s->arrivals[0];

	for (unsigned i = 0; i < RECEIVE_MAX_ARRIVALS; i++) {
		struct arrival *a = &s->arrivals[i];

		if (a->used && atomic_load(&a->done))
			finish(a);
		if (!a->used)
			room = a;
		else if (a->number < oldest->number)
			oldest = a;
	}
	if (room)
		return room;
	/* It cannot have a place: then it would be done, or about to be. */
	mutex_lock(&s->lock);
	if (!oldest->kept)
		channel_cancel(oldest->ch);
	mutex_unlock(&s->lock);
	finish(oldest);
	return oldest;
}

void receive_streams_offer(struct receive_streams *s, int fd, unsigned index)
{
	struct arrival *a = find_room(s);
	struct channel *ch;
	struct err e;

	if (channel_new(&ch, fd, &e) < 0) {
		log_warn("stream %u: %s", index, e.text);
		(void)close(fd);
		return;
	}
	a->s = s;
	a->ch = ch;
	a->kept = false;
	a->index = index;
	a->number = s->nr_arrivals++;
	atomic_store(&a->done, false);
	a->used = thread_start(&a->thread, THREAD_MOVE, "stream-in", arrive, a) == 0;
	if (!a->used)
		channel_free(ch);
}

/* --- for the conversation --- */

void receive_streams_expect(struct receive_streams *s, unsigned nr)
{
	MUTEX_SCOPE(&s->lock);
	s->nr_expected = MIN(nr, RAM_MAX_STREAMS);
}

int receive_streams_take(struct receive_streams *s, unsigned index, struct channel **ret,
			 struct err *e)
{
	uint64_t deadline_ns = clock_now_ns() + TAKE_TIMEOUT_NS;
	int rc = 0;

	MUTEX_SCOPE(&s->lock);
	if (index >= s->nr_expected)
		return err_set(e, -EINVAL, "there are %u streams", s->nr_expected);
	while (!s->closed && !s->places[index] && rc == 0)
		rc = cond_wait_until(&s->changed, &s->lock, deadline_ns);
	if (s->closed)
		return err_set(e, -ECANCELED, "'ferry receive' was ended");
	if (!s->places[index])
		return err_set(e, -ETIMEDOUT, "stream %u did not come", index);
	*ret = take_ptr(s->places[index]);
	return 0;
}

void receive_streams_close(struct receive_streams *s)
{
	MUTEX_SCOPE(&s->lock);
	s->closed = true;
	(void)pthread_cond_broadcast(&s->changed);
}

/* --- life cycle --- */

int receive_streams_new(struct receive_streams **ret, const struct channel *control,
			const struct tls_credentials *creds, const struct ticket *ticket)
{
	struct receive_streams *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->control = control;
	s->creds = creds;
	s->ticket = *ticket;
	mutex_init(&s->lock);
	cond_init(&s->changed);
	*ret = s;
	return 0;
}

void receive_streams_free(struct receive_streams *s)
{
	if (!s)
		return;
	receive_streams_close(s);
	for (unsigned i = 0; i < RECEIVE_MAX_ARRIVALS; i++) {
		struct arrival *a = &s->arrivals[i];

		if (!a->used)
			continue;
		mutex_lock(&s->lock);
		if (!a->kept)
			channel_cancel(a->ch);
		mutex_unlock(&s->lock);
		finish(a);
	}
	for (unsigned i = 0; i < RAM_MAX_STREAMS; i++)
		channel_free(s->places[i]);
	(void)pthread_cond_destroy(&s->changed);
	mutex_fini(&s->lock);
	free(s);
}
