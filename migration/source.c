// SPDX-License-Identifier: MIT
// The source's side of a teleport: the phases, and who has the guest in the end.
#include "migration/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migration/channel.h"
#include "migration/hello.h"
#include "migration/source_impl.h"
#include "util/clock.h"
#include "util/log.h"

/*
 * Theory of operation
 *
 * A thread walks through the phases, docs/teleport.md's steps; the first failure
 * ends the walk. What happens then depends on one flag: `committed`, which is
 * set before the first byte of the commit is sent. Without it the guest is
 * ours: the locks are taken back, and it goes on. With it the guest is not
 * ours, unless the destination itself says that it never ran (settle).
 *
 * Whoever cancels closes the gate and cancels channels, so that the thread fails
 * wherever it waits; that and the commit exclude each other under the lock.
 */

/* How long a pause is tried again while the guest is about to reset. */
#define PAUSE_RETRY_NS (1 * NSEC_PER_MSEC)
#define PAUSE_TRIES    2000U
/* While the destination dies with our disk locks in its hands. */
#define LOCK_RETRY_NS (50 * NSEC_PER_MSEC)
/* How long a broken stream waits for the destination's reason; its guest may stand meanwhile. */
#define EXPLAIN_MS 200U
/* An answer of a destination that is near comes within this. */
#define PROMPT_MS 10U
/* How long to wait until the destination has hung up. */
#define FAREWELL_MS 5000U
/*
 * How long a destination that is alive may take to run the guest, or to be held before
 * it does, until a person may decide.
 */
#define RUNNING_MS 10000U

uint64_t source_elapsed_ns(const struct source *s)
{
	return clock_now_ns() - s->start_ns;
}

static void tell(struct source *s)
{
	s->p.listener->changed(s->p.opaque);
}

static void set_state(struct source *s, enum source_state state)
{
	MUTEX_SCOPE(&s->lock);
	if (!s->cancelled)
		s->st.state = state;
}

void source_set_state(struct source *s, enum source_state state)
{
	set_state(s, state);
	tell(s);
}

/* --- connections --- */

static void cancel_streams_locked(struct source *s)
{
	for (unsigned i = 0; i < RAM_MAX_STREAMS; i++) {
		if (s->streams[i])
			channel_cancel(s->streams[i]);
	}
}

/* Keep @ch where those who cancel find it. */
static int keep_channel(struct source *s, struct channel **slot, struct channel *ch, struct err *e)
{
	MUTEX_SCOPE(&s->lock);
	*slot = ch;
	return s->cancelled || s->abandoned ? err_set(e, -ECANCELED, "cancelled") : 0;
}

static void free_channel(struct source *s, struct channel **slot)
{
	struct channel *ch;

	mutex_lock(&s->lock);
	ch = *slot;
	*slot = NULL;
	mutex_unlock(&s->lock);
	channel_free(ch);
}

/* The peer or the network ended the conversation: nothing is to wait for the rest. */
static void on_talk_ended(void *opaque, const struct err *why)
{
	struct source *s = opaque;

	phase_gate_close(&s->gate, why);
	MUTEX_SCOPE(&s->lock);
	cancel_streams_locked(s);
}

/* --- the phases --- */

static int connect_peer(struct source *s, struct err *e)
{
	struct talk_params p = { .ended = on_talk_ended, .opaque = s };
	int rc = s->p.peer->open_control(s->p.opaque, &p.ch, e);

	if (rc < 0)
		return rc;
	rc = keep_channel(s, &s->control, p.ch, e);
	return rc < 0 ? rc : talk_new(&s->talk, &p, e);
}

static int check_answer(const struct hello *asked, const struct hello *got, struct err *e)
{
	if (asked->nr_streams == got->nr_streams && asked->compress == got->compress)
		return got->has_ticket ? 0 : err_set(e, -EPROTO, "HELLO: no ticket came");
	return err_set(e, -EPROTO, "HELLO: the destination answers what was not asked");
}

static int negotiate(struct source *s, struct err *e)
{
	const struct hello hello = {
		.nr_streams = s->p.options.nr_streams,
		.compress = s->p.options.ram.compress,
	};
	struct hello answer;
	struct section reply = { 0 };
	char *text = hello_encode(&hello);
	int rc;

	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	rc = talk_send(s->talk, SECTION_HELLO, 0, text, strlen(text), e);
	free(text);
	if (rc == 0)
		rc = talk_recv(s->talk, SECTION_HELLO, &reply, e);
	if (rc < 0)
		return rc;
	rc = hello_decode(&reply, &answer, e);
	section_fini(&reply);
	if (rc == 0)
		rc = check_answer(&hello, &answer, e);
	if (rc == 0)
		s->ticket = answer.ticket;
	return rc;
}

static int open_streams(struct source *s, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < s->p.options.nr_streams && rc == 0; i++) {
		struct channel *ch = NULL;

		rc = s->p.peer->open_stream(s->p.opaque, i, &s->ticket, &ch, e);
		if (rc < 0)
			return err_prefix(e, "stream %u", i);
		/* Whether the peer lives is told by the control connection. */
		channel_set_timeout(ch, 0);
		rc = keep_channel(s, &s->streams[i], ch, e);
	}
	return rc;
}

static int reserve(struct source *s, struct err *e)
{
	void *config = NULL;
	size_t bytes = 0;
	int rc = s->p.guest->describe(s->p.opaque, &config, &bytes, e);

	if (rc == 0)
		rc = talk_send(s->talk, SECTION_CONFIG, 0, config, bytes, e);
	free(config);
	if (rc == 0)
		rc = talk_recv_reply(s->talk, e);
	return rc < 0 ? rc : open_streams(s, e);
}

/*
 * Will the guest stand for a moment only? Then who listens hears of it afterwards: events
 * are the main loop's work, and so is the state.
 */
static bool is_quick(const struct source *s)
{
	return !s->p.options.stopped && !s->p.options.hold &&
	       s->st.expected_downtime_ns <= s->p.options.max_downtime_ns;
}

static int pause_guest(struct source *s, struct err *e)
{
	uint64_t at_ns = 0;
	int rc;

	for (unsigned i = 0;; i++) {
		rc = s->p.guest->pause(s->p.opaque, &at_ns, e);
		if (rc != -EAGAIN || i == PAUSE_TRIES)
			break;
		rc = phase_gate_sleep(&s->gate, clock_now_ns() + PAUSE_RETRY_NS, e);
		if (rc < 0)
			break;
	}
	if (rc < 0)
		return rc;
	s->paused = true;
	mutex_lock(&s->lock);
	s->st.stopped_at_ns = at_ns - s->start_ns;
	mutex_unlock(&s->lock);
	set_state(s, SOURCE_DEVICE);
	if (!is_quick(s))
		tell(s);
	return 0;
}

static int precopy(struct source *s, struct err *e)
{
	int rc = s->p.options.stopped ? pause_guest(s, e) : 0;

	return rc < 0 ? rc : source_precopy(s, e);
}

static int stop(struct source *s, struct err *e)
{
	int rc = s->paused ? 0 : pause_guest(s, e);

	if (rc < 0)
		return rc;
	/* Not what is held: that is to be sent as it is when it goes on. */
	if (is_quick(s))
		s->p.guest->begin_save(s->p.opaque);
	rc = source_pass(s, true, &s->last_pass, e);
	s->untold = rc == 0;
	return rc;
}

static void tell_last_pass(struct source *s)
{
	if (!s->untold)
		return;
	s->untold = false;
	s->p.listener->pass(s->p.opaque, s->st.nr_passes, &s->last_pass);
	tell(s);
}

/* Tell now only if the next word is late: if it is not, walk() does in the end. */
static void await_word(struct source *s)
{
	if (!is_quick(s) || !talk_wait(s->talk, PROMPT_MS))
		tell_last_pass(s);
}

static int give_locks_up(struct source *s, struct err *e)
{
	int rc;

	s->released = true; /* even if it fails half-way */
	rc = s->p.guest->release_locks(s->p.opaque, e);
	if (rc == 0)
		rc = talk_send_message(s->talk, MESSAGE_RELEASED, NULL, 0, e);
	s->told_released = rc == 0;
	return rc;
}

static int send_state(struct source *s, struct err *e)
{
	uint64_t values[STOPPED_VALUES] = { 0 };
	int rc;

	if (s->p.options.clock_real)
		values[STOPPED_FLAGS] |= STOPPED_CLOCK_REAL;
	if (s->p.options.verify) {
		values[STOPPED_FLAGS] |= STOPPED_CHECKED;
		values[STOPPED_CHECKSUM] = s->p.guest->ram_checksum(s->p.opaque);
	}
	rc = talk_send_message(s->talk, MESSAGE_STOPPED, values, STOPPED_VALUES, e);
	if (rc == 0)
		rc = s->p.guest->save(s->p.opaque, talk_sink(s->talk), e);
	/* One way there and back less; without locks it does not matter when. */
	if (rc == 0 && !s->p.options.hold && !s->p.guest->has_locks(s->p.opaque))
		rc = give_locks_up(s, e);
	return rc;
}

static int await_ready(struct source *s, struct err *e)
{
	await_word(s);
	return talk_recv_reply(s->talk, e);
}

static int release(struct source *s, struct err *e)
{
	int rc = s->told_released ? 0 : give_locks_up(s, e);

	return rc < 0 ? rc : talk_recv_reply(s->talk, e);
}

/* From here on the guest is not ours, unless the peer gives it back. */
static int decide(struct source *s, struct err *e)
{
	MUTEX_SCOPE(&s->lock);
	if (s->cancelled || s->abandoned)
		return err_set(e, -ECANCELED, "cancelled");
	s->committed = true;
	return 0;
}

static int commit(struct source *s, struct err *e)
{
	int rc = decide(s, e);

	return rc < 0 ? rc : talk_send_message(s->talk, MESSAGE_COMMIT, NULL, 0, e);
}

static int await_running(struct source *s, struct err *e)
{
	uint64_t values[RUNNING_VALUES];
	int rc;

	await_word(s);
	if (!talk_wait(s->talk, RUNNING_MS))
		source_become_unknown(s, "the destination is alive, but does not say that it runs");
	rc = talk_recv_message(s->talk, MESSAGE_RUNNING, values, RUNNING_VALUES, e);

	if (rc < 0)
		return rc;
	mutex_lock(&s->lock);
	s->st.running_at_ns = source_elapsed_ns(s);
	s->st.downtime_ns = s->st.running_at_ns - s->st.stopped_at_ns;
	s->st.dest_downtime_ns = values[RUNNING_NS];
	s->st.state = SOURCE_DEVICE; /* if nobody knew for a while, it is known now */
	mutex_unlock(&s->lock);
	return 0;
}

static int (*const phases[NR_PHASES])(struct source *s, struct err *e) = {
	[PHASE_CONNECT] = connect_peer,  [PHASE_NEGOTIATE] = negotiate, [PHASE_RESERVE] = reserve,
	[PHASE_PRECOPY] = precopy,       [PHASE_STOP] = stop,           [PHASE_STATE] = send_state,
	[PHASE_READY] = await_ready,     [PHASE_RELEASE] = release,     [PHASE_COMMIT] = commit,
	[PHASE_RUNNING] = await_running,
};

static int take_phase(struct source *s, enum phase phase, struct err *e)
{
	uint64_t start_ns = clock_now_ns();
	int rc = phases[phase](s, e);

	MUTEX_SCOPE(&s->lock);
	s->st.phase_ns[phase] = clock_now_ns() - start_ns;
	return rc;
}

static int walk(struct source *s, struct err *e)
{
	int rc = 0;

	for (unsigned i = 0; i < NR_PHASES && rc == 0; i++) {
		rc = phase_gate_pass(&s->gate, (enum phase)i, e);
		if (rc == 0)
			rc = take_phase(s, (enum phase)i, e);
	}
	tell_last_pass(s);
	return rc;
}

/* --- the end --- */

static void stop_ram(struct source *s)
{
	bool on;

	mutex_lock(&s->lock);
	on = s->ram_on;
	s->ram_on = false;
	if (on)
		s->p.guest->ram_stats(s->p.opaque, &s->st.ram);
	cancel_streams_locked(s);
	mutex_unlock(&s->lock);
	if (on)
		s->p.guest->ram_stop(s->p.opaque);
	for (unsigned i = 0; i < RAM_MAX_STREAMS; i++)
		free_channel(s, &s->streams[i]);
}

/* A destination that does not know yet that it ends hears it from this. */
static void hang_up(struct source *s, bool say_cancel)
{
	if (s->talk && say_cancel)
		talk_say_cancel(s->talk);
	talk_free(s->talk);
	s->talk = NULL;
	free_channel(s, &s->control);
	stop_ram(s);
}

/* The destination is dying, or has never had the locks. */
static void take_locks_back(struct source *s)
{
	struct err e = { 0 };
	bool told = false;

	while (s->released && !source_is_abandoned(s)) {
		if (s->p.guest->take_locks(s->p.opaque, &e) == 0) {
			s->released = false;
			continue;
		}
		if (!told)
			log_warn("teleport: the guest waits for its disk locks: %s", e.text);
		told = true;
		source_sleep(s, LOCK_RETRY_NS);
	}
}

/* It goes on here. */
static void take_back(struct source *s)
{
	if (s->st.throttle)
		s->p.guest->throttle(s->p.opaque, 0);
	take_locks_back(s);
	if (s->paused && !source_is_abandoned(s))
		s->p.guest->resume(s->p.opaque);
}

/* The walk has failed. Returns whose the guest is. */
static bool is_still_ours(struct source *s, const struct err *why)
{
	bool refused = s->talk && talk_was_refused(s->talk);
	bool committed;

	mutex_lock(&s->lock);
	committed = s->committed;
	mutex_unlock(&s->lock);
	hang_up(s, !committed && why->code == -ECANCELED);
	return !committed || refused || source_settle(s);
}

/* A stream was closed at the other end: why is on its way on the control connection. */
static bool is_broken(const struct err *why)
{
	return why->code == -EPIPE || why->code == -ECONNRESET;
}

static enum source_state fail(struct source *s, struct err *why)
{
	struct err first;

	/* If the walk was ended from outside, what failed then is a consequence. */
	if (phase_gate_sleep(&s->gate, 0, &first) < 0)
		*why = first;
	else if (s->talk && why->code != -ECANCELED)
		(void)talk_explain(s->talk, is_broken(why) ? EXPLAIN_MS : 0, why);
	if (is_still_ours(s, why)) {
		take_back(s);
		return why->code == -ECANCELED ? SOURCE_CANCELLED : SOURCE_FAILED;
	}
	return source_is_abandoned(s) ? SOURCE_UNKNOWN : SOURCE_COMPLETED;
}

/*
 * The guest runs there, and nothing that fails now changes it. Whoever hangs up first may
 * lose what is still on its way to the other: not we.
 */
static void take_leave(struct source *s)
{
	uint64_t carried = s->p.guest->carry(s->p.opaque, talk_sink(s->talk));
	struct err end = { 0 };

	mutex_lock(&s->lock);
	s->st.frames_carried = carried;
	mutex_unlock(&s->lock);
	if (talk_send_message(s->talk, MESSAGE_HEARD, NULL, 0, &end) == 0)
		(void)talk_explain(s->talk, FAREWELL_MS, &end);
}

static void *migrate(void *opaque)
{
	struct source *s = opaque;
	enum source_state state = SOURCE_COMPLETED;
	struct err e = { 0 };

	if (walk(s, &e) < 0) {
		state = fail(s, &e);
	} else {
		take_leave(s);
		hang_up(s, false);
	}
	mutex_lock(&s->lock);
	s->st.state = state;
	s->st.throttle = 0;
	if (state != SOURCE_COMPLETED)
		s->st.error = e;
	s->end_ns = source_elapsed_ns(s);
	mutex_unlock(&s->lock);
	s->p.listener->done(s->p.opaque);
	return NULL;
}

/* --- life cycle --- */

static void init(struct source *s, const struct source_params *params)
{
	s->p = *params;
	s->start_ns = clock_now_ns();
	s->st.total_bytes = s->st.remaining_bytes = params->ram_bytes;
	phase_gate_init(&s->gate, params->options.hold, params->listener->changed, params->opaque);
	mutex_init(&s->lock);
	cond_init(&s->changed);
}

static void fini(struct source *s)
{
	(void)pthread_cond_destroy(&s->changed);
	mutex_fini(&s->lock);
	phase_gate_fini(&s->gate);
	free(s);
}

int source_start(struct source **ret, const struct source_params *params, struct err *e)
{
	struct source *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	init(s, params);
	*ret = s; /* the listener may look for it at once */
	rc = thread_start(&s->thread, THREAD_MOVE, "migrate", migrate, s);
	if (rc < 0) {
		*ret = NULL;
		fini(s);
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	}
	return 0;
}

void source_free(struct source *s)
{
	if (!s)
		return;
	(void)pthread_join(s->thread, NULL);
	fini(s);
}

/* --- others ask for something --- */

/* The thread fails wherever it is. */
static void stop_walk(struct source *s, const struct err *why)
{
	phase_gate_close(&s->gate, why);
	s->p.peer->cancel(s->p.opaque);
	MUTEX_SCOPE(&s->lock);
	if (s->control)
		channel_cancel(s->control);
	cancel_streams_locked(s);
	(void)pthread_cond_broadcast(&s->changed);
}

int source_cancel(struct source *s, const struct err *why, struct err *e)
{
	mutex_lock(&s->lock);
	if (s->committed || s->end_ns) {
		mutex_unlock(&s->lock);
		return err_set(e, -EBUSY, "too late: the guest has been handed over");
	}
	s->cancelled = true;
	s->st.state = SOURCE_CANCELLING;
	mutex_unlock(&s->lock);
	stop_walk(s, why);
	return 0;
}

void source_abandon(struct source *s)
{
	const struct err why = { .code = -ECANCELED, .text = "the guest has ended" };

	mutex_lock(&s->lock);
	s->abandoned = true;
	mutex_unlock(&s->lock);
	stop_walk(s, &why);
}

int source_continue(struct source *s, struct err *e)
{
	return phase_gate_continue(&s->gate, e);
}
