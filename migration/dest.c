// SPDX-License-Identifier: MIT
// The destination's side of a teleport: from HELLO to the running guest.
#include "migration/dest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "migration/channel.h"
#include "migration/frames.h"
#include "migration/hello.h"
#include "migration/ram.h"
#include "migration/talk.h"
#include "util/clock.h"
#include "util/log.h"

/*
 * Theory of operation
 *
 * One thread walks through the phases, docs/teleport.md's steps. Until the commit
 * has been received every failure, a broken connection included, ends the walk,
 * and the guest is thrown away. Once it has been received the connection is of
 * no importance any more: the guest is ours, and it runs. Only two things can
 * still stop it, and in both the source is told that it never ran: it cannot be
 * started, or somebody ended this process.
 */

/* The gate was closed by the end of the conversation, and by nobody here. */
#define TALK_ENDED (-EPIPE)

/* How long a source that is alive, but held or hostile, keeps the guest from moving on. */
#define HEARD_NS (60 * NSEC_PER_SEC)

struct dest {
	/* const */
	struct dest_params p;
	struct hello hello;

	/* the conversation's thread only */
	struct talk *talk;
	uint64_t values[STOPPED_VALUES]; /* of MESSAGE stopped */
	uint64_t commit_ns;              /* when the commit came */
	uint64_t after_ns;               /* from then until the guest ran */
	bool locked;

	/* the thread that waits for memory; joined before ram_err is read */
	pthread_t ram_thread;
	bool ram_waiting;
	struct err ram_err;

	struct mutex lock; /* protects: streams; order: a leaf */
	struct channel *streams[RAM_MAX_STREAMS];
};

static void cancel_streams(struct dest *d)
{
	MUTEX_SCOPE(&d->lock);
	for (unsigned i = 0; i < RAM_MAX_STREAMS; i++) {
		if (d->streams[i])
			channel_cancel(d->streams[i]);
	}
}

static void on_talk_ended(void *opaque, const struct err *why)
{
	struct dest *d = opaque;
	struct err e;

	(void)err_set(&e, TALK_ENDED, "%s", why->text);
	phase_gate_close(d->p.gate, &e);
	cancel_streams(d);
}

/* --- HELLO and CONFIG --- */

static int greet(struct dest *d, struct err *e)
{
	struct section s = { 0 };
	char *text;
	int rc = talk_recv(d->talk, SECTION_HELLO, &s, e);

	if (rc < 0)
		return rc;
	rc = hello_decode(&s, &d->hello, e);
	section_fini(&s);
	if (rc < 0)
		return rc;
	d->hello.has_ticket = true;
	d->hello.ticket = d->p.ticket;
	d->p.peer->expect_streams(d->p.opaque, d->hello.nr_streams);
	text = hello_encode(&d->hello);
	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	rc = talk_send(d->talk, SECTION_HELLO, 0, text, strlen(text), e);
	free(text);
	return rc;
}

int dest_new(struct dest **ret, const struct dest_params *params, struct section *ret_config,
	     struct err *e)
{
	struct dest *d = calloc(1, sizeof(*d));
	const struct talk_params talk = {
		.ch = params->control,
		.ended = on_talk_ended,
		.opaque = d,
	};
	int rc;

	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	d->p = *params;
	mutex_init(&d->lock);
	rc = talk_new(&d->talk, &talk, e);
	if (rc == 0)
		rc = greet(d, e);
	if (rc == 0)
		rc = talk_recv(d->talk, SECTION_CONFIG, ret_config, e);
	if (rc < 0) {
		dest_refuse(d, e);
		dest_free(d);
		return rc;
	}
	*ret = d;
	return 0;
}

void dest_refuse(struct dest *d, const struct err *why)
{
	struct err e;

	if (d->talk && !talk_was_refused(d->talk))
		(void)!talk_send_reply(d->talk, why->code, why->text, &e);
}

/* --- memory --- */

static int get_streams(struct dest *d, struct err *e)
{
	for (unsigned i = 0; i < d->hello.nr_streams; i++) {
		struct channel *ch = NULL;
		int rc = d->p.peer->get_stream(d->p.opaque, i, &ch, e);

		if (rc < 0)
			return err_prefix(e, "stream %u", i);
		/* Whether the peer lives is told by the control connection. */
		channel_set_timeout(ch, 0);
		/* What waits in buffers when the guest stands is downtime: 32 MiB were 80 ms. */
		channel_limit_unread(ch);
		mutex_lock(&d->lock);
		d->streams[i] = ch;
		mutex_unlock(&d->lock);
	}
	return 0;
}

/* The conversation waits for the source meanwhile; bad memory is to end that. */
static void *wait_for_memory(void *opaque)
{
	struct dest *d = opaque;

	if (d->p.guest->ram_wait(d->p.opaque, &d->ram_err) < 0)
		talk_cancel(d->talk, &d->ram_err);
	return NULL;
}

static int start_ram(struct dest *d, struct err *e)
{
	int rc = d->p.guest->ram_start(d->p.opaque, d->streams, d->hello.nr_streams, e);

	if (rc < 0)
		return rc;
	rc = thread_start(&d->ram_thread, THREAD_MOVE, "incoming-ram", wait_for_memory, d);
	d->ram_waiting = rc == 0;
	return rc < 0 ? err_set(e, rc, "cannot start a thread: %s", strerror(-rc)) : 0;
}

static void join_ram(struct dest *d)
{
	if (d->ram_waiting)
		(void)pthread_join(d->ram_thread, NULL);
	d->ram_waiting = false;
}

/* --- the phases --- */

static int accept_guest(struct dest *d, struct err *e)
{
	int rc = talk_send_reply(d->talk, 0, "", e);

	return rc < 0 ? rc : get_streams(d, e);
}

/* Kernel and initrd, until the guest stands. */
static int receive_memory(struct dest *d, struct err *e)
{
	int rc = start_ram(d, e);

	while (rc == 0) {
		struct section s = { 0 };

		rc = talk_source(d->talk)->get(talk_source(d->talk)->opaque, &s, e);
		if (rc < 0)
			break;
		if (s.type != SECTION_BOOT) {
			rc = talk_take_message(&s, MESSAGE_STOPPED, d->values, STOPPED_VALUES, e);
			section_fini(&s);
			break;
		}
		rc = d->p.guest->load_boot(d->p.opaque, &s, e);
		section_fini(&s);
	}
	return rc;
}

static int complete_memory(struct dest *d, struct err *e)
{
	join_ram(d);
	if (d->ram_err.code)
		return err_set(e, d->ram_err.code, "%s", d->ram_err.text);
	if (d->values[STOPPED_FLAGS] & STOPPED_CHECKED &&
	    d->values[STOPPED_CHECKSUM] != d->p.guest->ram_checksum(d->p.opaque))
		return err_set(e, -EBADMSG, "memory differs from the source's (--verify)");
	return 0;
}

static int load_state(struct dest *d, struct err *e)
{
	return d->p.guest->load(d->p.opaque, talk_source(d->talk), d->values[STOPPED_FLAGS], e);
}

static int say_ready(struct dest *d, struct err *e)
{
	return talk_send_reply(d->talk, 0, "", e);
}

static int take_locks(struct dest *d, struct err *e)
{
	int rc = talk_recv_message(d->talk, MESSAGE_RELEASED, NULL, 0, e);

	if (rc < 0)
		return rc;
	d->locked = true; /* even if it fails half-way */
	rc = d->p.guest->take_locks(d->p.opaque, e);
	return rc < 0 ? rc : talk_send_reply(d->talk, 0, "", e);
}

static int await_commit(struct dest *d, struct err *e)
{
	int rc = talk_recv_message(d->talk, MESSAGE_COMMIT, NULL, 0, e);

	d->commit_ns = clock_now_ns();
	return rc;
}

/*
 * The guest is ours. That the source hears of it, and that it is still there, would
 * be nice, no more.
 */
static int run_guest(struct dest *d, struct err *e)
{
	uint64_t values[RUNNING_VALUES];
	struct err ignored;
	int rc;

	d->p.peer->committed(d->p.opaque);
	rc = d->p.guest->run(d->p.opaque, e);
	if (rc < 0)
		return rc;
	d->after_ns = values[RUNNING_NS] = clock_now_ns() - d->commit_ns;
	(void)!talk_send_message(d->talk, MESSAGE_RUNNING, values, RUNNING_VALUES, &ignored);
	d->p.guest->announce(d->p.opaque);
	d->p.peer->running(d->p.opaque, d->after_ns, false);
	return 0;
}

static const struct {
	enum phase phase;
	int (*fn)(struct dest *d, struct err *e);
} phases[] = {
	{ PHASE_RESERVE, accept_guest }, { PHASE_PRECOPY, receive_memory },
	{ PHASE_STOP, complete_memory }, { PHASE_STATE, load_state },
	{ PHASE_READY, say_ready },      { PHASE_RELEASE, take_locks },
	{ PHASE_COMMIT, await_commit },  { PHASE_RUNNING, run_guest },
};

/*
 * Pass the gate. After the commit the end of the conversation does not matter; nor
 * before we have looked whether the commit came just ahead of the end.
 */
static int enter(struct dest *d, enum phase phase, struct err *e)
{
	int rc = phase_gate_pass(d->p.gate, phase, e);

	return rc == TALK_ENDED && phase >= PHASE_COMMIT ? 0 : rc;
}

static int walk(struct dest *d, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(phases) && rc == 0; i++) {
		uint64_t start_ns;

		rc = enter(d, phases[i].phase, e);
		start_ns = clock_now_ns();
		if (rc == 0)
			rc = phases[i].fn(d, e);
		log_debug("teleport: %s took %" PRIu64 " us", phase_name(phases[i].phase),
			  (uint64_t)((clock_now_ns() - start_ns) / NSEC_PER_USEC));
	}
	return rc;
}

/* The source must not have to wait for what we hold. */
static void give_up(struct dest *d, struct err *e)
{
	(void)talk_explain(d->talk, 0, e);
	if (d->locked)
		d->p.guest->release_locks(d->p.opaque);
	dest_refuse(d, e);
	cancel_streams(d);
	join_ram(d);
	d->p.guest->ram_stop(d->p.opaque);
}

/*
 * That something was sent does not mean that it was heard. Until then the source sends what
 * still came for the guest there. One that does not come to an end asks the listener.
 */
static int await_heard(struct dest *d)
{
	const struct section_source *source = talk_source(d->talk);
	uint64_t until_ns = clock_now_ns() + HEARD_NS, bytes = 0;
	struct err e;
	int rc;

	do {
		uint64_t now_ns = clock_now_ns();
		struct section s = { 0 };

		if (now_ns >= until_ns ||
		    !talk_wait(d->talk, (unsigned)((until_ns - now_ns) / NSEC_PER_MSEC) + 1))
			return -ETIMEDOUT;
		rc = source->get(source->opaque, &s, &e);
		if (rc < 0)
			return rc;
		bytes += MAX(s.bytes, FRAMES_SECTION_COST);
		if (s.type != SECTION_FRAMES) {
			rc = talk_take_message(&s, MESSAGE_HEARD, NULL, 0, &e);
			section_fini(&s);
			return rc;
		}
		rc = d->p.guest->take_frames(d->p.opaque, &s, &e);
		section_fini(&s);
	} while (rc == 0 && bytes <= FRAMES_MAX_TOTAL);
	return rc < 0 ? rc : -EPROTO;
}

int dest_receive(struct dest *d, struct err *e)
{
	struct err end = { 0 };
	int rc = walk(d, e);

	if (rc < 0) {
		give_up(d, e);
		return e->code;
	}
	d->p.guest->ram_stop(d->p.opaque);
	if (await_heard(d) == 0)
		d->p.peer->running(d->p.opaque, d->after_ns, true);
	channel_hang_up(d->p.control); /* the source waits for this */
	(void)!phase_gate_pass(d->p.gate, PHASE_DONE, &end);
	return 0;
}

void dest_cancel(struct dest *d, const struct err *why)
{
	phase_gate_close(d->p.gate, why);
	talk_cancel(d->talk, why);
	cancel_streams(d);
}

void dest_free(struct dest *d)
{
	if (!d)
		return;
	cancel_streams(d);
	join_ram(d);
	talk_free(d->talk);
	for (unsigned i = 0; i < RAM_MAX_STREAMS; i++)
		channel_free(d->streams[i]);
	mutex_fini(&d->lock);
	free(d);
}
