// SPDX-License-Identifier: MIT
// Both sides of a teleport in one process, with a wire between them that fails on demand.
#include "handover_rig_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/frames.h"
#include "migration/talk.h"
#include "util/clock.h"
#include "util/io.h"

/* --- faults --- */

static void wrong_locked(struct rig *r, const char *what)
{
	if (!r->wrong)
		r->wrong = what;
}

static void check_locked(struct rig *r)
{
	if (r->source_runs && r->dest_runs)
		wrong_locked(r, "two copies run");
	if (r->source_locked && r->dest_locked)
		wrong_locked(r, "both have the lock");
	if (r->source_runs && !r->source_locked)
		wrong_locked(r, "the source runs without its lock");
	if (r->dest_runs && !r->dest_locked)
		wrong_locked(r, "the destination runs without its lock");
	(void)pthread_cond_broadcast(&r->changed);
}

void rig_cut_locked(struct rig *r)
{
	(void)shutdown(r->sockets[RIG_SOURCE][1], SHUT_RDWR);
	(void)shutdown(r->sockets[RIG_DEST][1], SHUT_RDWR);
	(void)shutdown(r->streams[0], SHUT_RDWR);
	(void)shutdown(r->streams[1], SHUT_RDWR);
}

void rig_strike(struct rig *r)
{
	const struct err why = { .code = -ECANCELED, .text = "cancelled" };
	struct err e;

	mutex_lock(&r->lock);
	r->hit = true;
	if (r->plan.fault == RIG_KILL_SOURCE) {
		r->source_dead = true;
		r->source_runs = r->source_locked = false;
	} else if (r->plan.fault == RIG_KILL_DEST) {
		r->dest_dead = true;
		r->dest_runs = r->dest_locked = false;
	}
	if (r->plan.fault != RIG_CANCEL)
		rig_cut_locked(r);
	mutex_unlock(&r->lock);
	if (r->plan.fault == RIG_KILL_SOURCE)
		source_abandon(r->source);
	if (r->plan.fault == RIG_CANCEL)
		(void)!source_cancel(r->source, &why, &e);
}

/* Note that the moment has come. True: it is the one of the plan. */
bool rig_point(struct rig *r, const char *what, const char *when)
{
	char name[RIG_NAME_BYTES];

	(void)snprintf(name, sizeof(name), "%s %s", what, when);
	mutex_lock(&r->lock);
	if (r->nr_points < RIG_MAX_POINTS)
		memcpy(r->points[r->nr_points++], name, sizeof(name));
	mutex_unlock(&r->lock);
	return r->plan.fault != RIG_NONE && !strcmp(name, r->plan.point);
}

bool rig_is_whole(enum rig_fault fault)
{
	return fault <= RIG_CANCEL;
}

/* Before an operation. 0, or -EIO where it is to fail. */
static int before(struct rig *r, const char *op, struct err *e)
{
	if (!rig_point(r, op, "before"))
		return 0;
	if (r->plan.fault == RIG_FAIL) {
		r->hit = true;
		return err_set(e, -EIO, "%s fails", op);
	}
	if (rig_is_whole(r->plan.fault))
		rig_strike(r);
	return 0;
}

static void after(struct rig *r, const char *op)
{
	if (rig_point(r, op, "after") && rig_is_whole(r->plan.fault))
		rig_strike(r);
}

/* --- the source's guest --- */

static int describe(void *opaque, void **ret, size_t *ret_bytes, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "s describe", e);

	if (rc < 0)
		return rc;
	*ret = strdup("{}");
	*ret_bytes = 2;
	after(r, "s describe");
	return *ret ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int put(const struct section_sink *sink, uint32_t type, struct err *e)
{
	return sink->put(sink->opaque, type, 0, "state", type == SECTION_END ? 0 : 5, e);
}

static int save_boot(void *opaque, const struct section_sink *sink, struct err *e)
{
	int rc = before(opaque, "s boot", e);

	return rc < 0 ? rc : put(sink, SECTION_BOOT, e);
}

static int pause_source(void *opaque, uint64_t *ret_ns, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "s pause", e);

	if (rc < 0)
		return rc;
	*ret_ns = clock_now_ns();
	mutex_lock(&r->lock);
	r->source_runs = false;
	mutex_unlock(&r->lock);
	after(r, "s pause");
	return 0;
}

static void resume_source(void *opaque)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	if (r->source_dead)
		return;
	r->source_runs = true;
	check_locked(r);
}

static void begin_save_source(void *opaque)
{
	(void)opaque;
}

static bool has_locks(void *opaque)
{
	const struct rig *r = opaque;

	return !r->plan.early;
}

static int save_source(void *opaque, const struct section_sink *sink, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "s save", e);

	if (rc == 0)
		rc = put(sink, SECTION_CLOCK, e);
	if (rc == 0)
		rc = put(sink, SECTION_END, e);
	after(r, "s save");
	return rc;
}

static int release_source(void *opaque, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "s release", e);

	if (rc < 0)
		return rc;
	mutex_lock(&r->lock);
	r->source_locked = false;
	mutex_unlock(&r->lock);
	after(r, "s release");
	return 0;
}

static int retake_source(void *opaque, struct err *e)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	if (r->source_dead)
		return err_set(e, -ESRCH, "dead");
	if (r->dest_locked)
		return err_set(e, -EAGAIN, "the destination has it");
	r->source_locked = true;
	check_locked(r);
	return 0;
}

static void throttle_source(void *opaque, unsigned percent)
{
	(void)opaque;
	(void)percent;
}

static void unknown_source(void *opaque)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	r->unknown = true;
	(void)pthread_cond_broadcast(&r->changed);
}

static int ram_start_source(void *opaque, struct channel *const *streams, unsigned nr,
			    const struct ram_options *o, struct err *e)
{
	struct rig *r = opaque;

	(void)nr;
	(void)o;
	r->source_stream = streams[0];
	return before(r, "s ram_start", e);
}

/* All of memory is one byte, in the last pass. */
static int ram_pass(void *opaque, bool last, struct ram_pass *ret, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, last ? "s last_pass" : "s pass", e);

	*ret = (struct ram_pass){ .pages = 1, .bytes_wire = 1 };
	if (rc == 0 && last) {
		rc = channel_send(r->source_stream, "m", 1);
		if (rc < 0)
			return err_set(e, rc, "stream 0: %s", strerror(-rc));
	}
	after(r, last ? "s last_pass" : "s pass");
	return rc;
}

static uint64_t nothing(void *opaque)
{
	(void)opaque;
	return 0;
}

static void ram_stats(void *opaque, struct ram_stats *ret)
{
	(void)opaque;
	*ret = (struct ram_stats){ 0 };
}

static void ram_stop_source(void *opaque)
{
	(void)opaque;
}

static uint64_t carry(void *opaque, const struct section_sink *sink)
{
	static const uint8_t frame[4 + FRAMES_MIN_FRAME] = { FRAMES_MIN_FRAME, 0, 0, 0, 'f' };
	struct rig *r = opaque;
	struct err e;

	if (before(r, "s carry", &e) < 0 ||
	    sink->put(sink->opaque, SECTION_FRAMES, 0, frame, sizeof(frame), &e) < 0)
		return 0;
	after(r, "s carry");
	return 1;
}

static const struct source_guest_ops source_ops = {
	.describe = describe,
	.save_boot = save_boot,
	.pause = pause_source,
	.resume = resume_source,
	.begin_save = begin_save_source,
	.save = save_source,
	.has_locks = has_locks,
	.release_locks = release_source,
	.take_locks = retake_source,
	.throttle = throttle_source,
	.unknown = unknown_source,
	.ram_start = ram_start_source,
	.ram_pass = ram_pass,
	.ram_remaining = nothing,
	.ram_stats = ram_stats,
	.ram_checksum = nothing,
	.ram_stop = ram_stop_source,
	.carry = carry,
};

/* --- the source's peer --- */

/* What the destination's HELLO brings is what the source's connections show. */
static const struct ticket rig_ticket = { .ask = { 1, 2, 3 }, .answer = { 4, 5, 6 } };

static int open_control(void *opaque, struct channel **ret, struct err *e)
{
	struct rig *r = opaque;
	int fd;

	mutex_lock(&r->lock);
	fd = take_fd(&r->sockets[RIG_SOURCE][0]);
	mutex_unlock(&r->lock);
	return channel_new(ret, fd, e);
}

static int open_stream(void *opaque, unsigned index, const struct ticket *ticket,
		       struct channel **ret, struct err *e)
{
	struct rig *r = opaque;

	(void)index;
	if (!ticket_equal(ticket->ask, rig_ticket.ask))
		return err_set(e, -EACCES, "another ticket");
	return channel_new(ret, dup(r->streams[0]), e);
}

/* What the listener knows. */
static int ask(void *opaque, const struct ticket *ticket, enum handover_answer *ret, struct err *e)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	r->questions++;
	if (!ticket_equal(ticket->answer, rig_ticket.answer))
		return err_set(e, -EACCES, "another ticket");
	if (r->plan.listener == RIG_SILENT ||
	    (r->plan.listener == RIG_HESITATES && r->questions <= 2))
		return err_set(e, -ECONNREFUSED, "nobody listens");
	if (r->committed)
		*ret = HANDOVER_RUNNING;
	else if (r->dest_dead || r->dest_ended)
		*ret = HANDOVER_NEVER;
	else
		*ret = HANDOVER_WAIT;
	return 0;
}

static void cancel_peer(void *opaque)
{
	(void)opaque;
}

static const struct source_peer_ops source_peer = {
	.open_control = open_control,
	.open_stream = open_stream,
	.ask = ask,
	.cancel = cancel_peer,
};

static void ignore(void *opaque)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	(void)pthread_cond_broadcast(&r->changed);
}

static void ignore_pass(void *opaque, unsigned number, const struct source_pass *pass)
{
	(void)opaque;
	(void)number;
	(void)pass;
}

static void on_done(void *opaque)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	r->done = true;
	(void)pthread_cond_broadcast(&r->changed);
}

static const struct source_listener listener = {
	.changed = ignore,
	.pass = ignore_pass,
	.done = on_done,
};

/* --- the destination --- */

static int dest_dead(struct rig *r, struct err *e)
{
	MUTEX_SCOPE(&r->lock);
	return r->dest_dead ? err_set(e, -ESRCH, "dead") : 0;
}

static int ram_start_dest(void *opaque, struct channel *const *streams, unsigned nr, struct err *e)
{
	struct rig *r = opaque;

	(void)nr;
	r->dest_stream = streams[0];
	return before(r, "d ram_start", e);
}

static int ram_wait(void *opaque, struct err *e)
{
	struct rig *r = opaque;
	char byte;
	int rc = channel_recv(r->dest_stream, &byte, 1);

	return rc < 0 ? err_set(e, rc, "stream 0: %s", strerror(-rc)) : before(r, "d ram", e);
}

static int load_boot(void *opaque, const struct section *piece, struct err *e)
{
	(void)piece;
	return before(opaque, "d boot", e);
}

static int load(void *opaque, const struct section_source *source, uint64_t flags, struct err *e)
{
	struct rig *r = opaque;
	struct section s;
	uint32_t type;
	int rc;

	(void)flags;
	do {
		rc = source->get(source->opaque, &s, e);
		if (rc < 0)
			return rc;
		type = s.type;
		section_fini(&s);
		if (type != SECTION_CLOCK && type != SECTION_END)
			return err_set(e, -EPROTO, "section %u is no state", type);
	} while (type != SECTION_END);
	return before(r, "d load", e);
}

static int take_dest(void *opaque, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "d take", e);

	if (rc < 0 || (rc = dest_dead(r, e)) < 0)
		return rc;
	mutex_lock(&r->lock);
	if (r->source_locked)
		rc = err_set(e, -EBUSY, "the source has it");
	else
		r->dest_locked = true;
	check_locked(r);
	mutex_unlock(&r->lock);
	after(r, "d take");
	return rc;
}

static void release_dest(void *opaque)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	r->dest_locked = false;
}

static int run_dest(void *opaque, struct err *e)
{
	struct rig *r = opaque;
	int rc = before(r, "d run", e);

	if (rc < 0 || (rc = dest_dead(r, e)) < 0)
		return rc;
	mutex_lock(&r->lock);
	r->dest_runs = true;
	check_locked(r);
	mutex_unlock(&r->lock);
	after(r, "d run");
	return 0;
}

static void announce(void *opaque)
{
	(void)opaque;
}

/* Only one who runs it has a use for them. */
static int take_frames(void *opaque, const struct section *frames, struct err *e)
{
	struct rig *r = opaque;
	struct iovec frame;
	size_t pos = 0;
	int rc = before(r, "d frames", e);

	if (rc < 0)
		return rc;
	rc = frames_get(frames, &pos, &frame, e);
	mutex_lock(&r->lock);
	if (!r->dest_runs && !r->dest_dead)
		wrong_locked(r, "frames for a guest that does not run");
	if (rc != 1 || frame.iov_len != FRAMES_MIN_FRAME || memcmp(frame.iov_base, "f", 1) != 0)
		wrong_locked(r, "other frames than were sent");
	mutex_unlock(&r->lock);
	after(r, "d frames");
	return 0;
}

static const struct dest_guest_ops dest_ops = {
	.ram_start = ram_start_dest,
	.ram_wait = ram_wait,
	.ram_stop = ram_stop_source,
	.ram_checksum = nothing,
	.load_boot = load_boot,
	.load = load,
	.take_locks = take_dest,
	.release_locks = release_dest,
	.run = run_dest,
	.announce = announce,
	.take_frames = take_frames,
};

static void expect_streams(void *opaque, unsigned nr)
{
	struct rig *r = opaque;

	MUTEX_SCOPE(&r->lock);
	if (nr != r->plan.options.nr_streams)
		wrong_locked(r, "another number of streams");
}

static int get_stream(void *opaque, unsigned index, struct channel **ret, struct err *e)
{
	struct rig *r = opaque;

	(void)index;
	return channel_new(ret, dup(r->streams[1]), e);
}

static void committed(void *opaque)
{
	struct rig *r = opaque;
	struct err e;

	(void)!before(r, "d note", &e);
	mutex_lock(&r->lock);
	if (!r->dest_dead)
		r->committed = true;
	mutex_unlock(&r->lock);
	after(r, "d note");
}

static void named(void *opaque, const char *name)
{
	(void)opaque;
	(void)name;
}

static void running(void *opaque, uint64_t after_ns, bool told)
{
	(void)opaque;
	(void)after_ns;
	(void)told;
}

static const struct dest_peer_ops dest_peer = {
	.expect_streams = expect_streams,
	.get_stream = get_stream,
	.committed = committed,
	.named = named,
	.running = running,
};

static void *destination(void *opaque)
{
	struct rig *r = opaque;
	const struct dest_params params = {
		.control = r->dest_control,
		.ticket = rig_ticket,
		.guest = &dest_ops,
		.peer = &dest_peer,
		.opaque = r,
		.gate = &r->gate,
	};
	struct section config = { 0 };
	struct dest *d = NULL;
	struct err e = { 0 };
	int rc = dest_new(&d, &params, &config, &e);

	if (rc == 0) {
		section_fini(&config);
		rc = dest_receive(d, &e);
		dest_free(d);
	}
	/* The process ends, and what it had goes with it. */
	mutex_lock(&r->lock);
	if (rc < 0) {
		if (r->dest_runs)
			wrong_locked(r, "the destination runs and says that it does not");
		r->dest_ended = true;
		r->dest_locked = false;
	}
	(void)shutdown(r->sockets[RIG_DEST][1], SHUT_RDWR);
	mutex_unlock(&r->lock);
	return NULL;
}

/* --- play --- */

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void open_sockets(struct rig *r)
{
	struct err e;

	for (unsigned i = 0; i < 2; i++)
		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->sockets[i]) == 0);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->streams) == 0);
	must(channel_new(&r->dest_control, r->sockets[RIG_DEST][0], &e) == 0);
	r->sockets[RIG_DEST][0] = -1;
}

#define PATIENCE_NS (100 * NSEC_PER_MSEC) /* where nobody else will end it */
#define DEADLINE_NS (20 * NSEC_PER_SEC)

/* Wait so long for the source's thread. False: it still goes on, or waits for an answer. */
static bool wait_done(struct rig *r, uint64_t ns, bool until_unknown)
{
	uint64_t until_ns = clock_now_ns() + ns;
	int rc = 0;

	MUTEX_SCOPE(&r->lock);
	while (!r->done && !(until_unknown && r->unknown) && rc == 0)
		rc = cond_wait_until(&r->changed, &r->lock, until_ns);
	return r->done;
}

/* However long it takes on a busy machine. */
static void wait_hit(struct rig *r)
{
	uint64_t until_ns = clock_now_ns() + DEADLINE_NS;
	int rc = 0;

	MUTEX_SCOPE(&r->lock);
	while (!r->done && !r->hit && rc == 0)
		rc = cond_wait_until(&r->changed, &r->lock, until_ns);
}

/* A peer that leaves a section out, and is alive: somebody pulls the plug. */
static void unplug(struct rig *r)
{
	MUTEX_SCOPE(&r->lock);
	rig_cut_locked(r);
}

/* To the end; what never ends is wrong, and ended here. */
static void finish(struct rig *r, struct rig_result *ret)
{
	/* Nobody but a person ends a talk in which something was left out. */
	bool patient = r->plan.fault != RIG_SWALLOW && r->plan.fault != RIG_TWICE;
	bool silent = r->plan.listener == RIG_SILENT;
	struct source_status st;

	if (!patient) {
		wait_hit(r);
		if (!wait_done(r, PATIENCE_NS, false))
			unplug(r);
	}
	if (!wait_done(r, DEADLINE_NS, silent)) {
		source_get_status(r->source, &st);
		ret->state = st.state;
		if (!silent || !r->unknown)
			ret->wrong = "the source never ends";
		source_abandon(r->source);
		unplug(r);
	}
	if (!wait_done(r, DEADLINE_NS, false))
		abort();
	source_get_status(r->source, &st);
	if (ret->state == SOURCE_SETUP)
		ret->state = st.state;
	(void)snprintf(ret->error, sizeof(ret->error), "%s", st.error.text);
}

static void init(struct rig *r, const struct rig_plan *plan)
{
	memset(r, 0, sizeof(*r));
	r->plan = *plan;
	r->source_runs = r->source_locked = true;
	mutex_init(&r->lock);
	cond_init(&r->changed);
	phase_gate_init(&r->gate, 0, NULL, NULL);
	open_sockets(r);
}

static void fini(struct rig *r)
{
	channel_free(r->dest_control);
	for (unsigned i = 0; i < 2; i++) {
		close_fd(&r->sockets[i][0]);
		close_fd(&r->sockets[i][1]);
		close_fd(&r->streams[i]);
	}
	phase_gate_fini(&r->gate);
	(void)pthread_cond_destroy(&r->changed);
	mutex_fini(&r->lock);
}

unsigned rig_play(const struct rig_plan *plan, struct rig_result *ret,
		  char ret_points[][RIG_NAME_BYTES])
{
	struct rig *r = malloc(sizeof(*r));
	struct rig_forwarder f[2];
	const struct source_params params = {
		.options = plan->options,
		.guest = &source_ops,
		.peer = &source_peer,
		.listener = &listener,
		.opaque = r,
		.ram_bytes = 4096,
	};
	struct err e;
	unsigned nr;

	must(r != NULL);
	init(r, plan);
	*ret = (struct rig_result){ .state = SOURCE_SETUP };
	for (unsigned i = 0; i < 2; i++) {
		f[i] = (struct rig_forwarder){ .r = r, .direction = i };
		must(thread_start(&r->forwarders[i], THREAD_MOVE, "wire", rig_forward, &f[i]) == 0);
	}
	must(thread_start(&r->dest_thread, THREAD_MOVE, "dest", destination, r) == 0);
	must(source_start(&r->source, &params, &e) == 0);
	finish(r, ret);
	(void)shutdown(r->sockets[RIG_SOURCE][1], SHUT_RDWR);
	(void)pthread_join(r->dest_thread, NULL);
	for (unsigned i = 0; i < 2; i++)
		(void)pthread_join(r->forwarders[i], NULL);
	/* Not before: one of them may just be striking it. */
	source_free(r->source);
	ret->source_runs = r->source_runs;
	ret->dest_runs = r->dest_runs;
	ret->source_dead = r->source_dead;
	ret->dest_dead = r->dest_dead;
	ret->commit_arrived = r->commit_arrived;
	ret->committed = r->committed;
	ret->hit = r->hit;
	if (!ret->wrong)
		ret->wrong = r->wrong;
	nr = r->nr_points;
	if (ret_points)
		memcpy(ret_points, r->points, sizeof(r->points));
	fini(r);
	free(r);
	return nr;
}
