// SPDX-License-Identifier: MIT
// One guest that comes by teleport, in a process of its own: from HELLO to its end.
#include "vmm/move/receive_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migration/frames.h"
#include "migration/phase.h"
#include "migration/ram.h"
#include "migration/section_list.h"
#include "migration/talk.h"
#include "net/netdev.h"
#include "util/io.h"
#include "util/log.h"
#include "util/thread.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/guest/state.h"
#include "vmm/loop.h"
#include "vmm/move/run_mover.h"
#include "vmm/vm.h"

/*
 * Theory of operation
 *
 * The main thread reads HELLO and CONFIG, and makes the machine. Then it runs the
 * guest's main loop, as for any guest, and a thread holds the rest of the
 * conversation; what touches the machine it does on the main loop. If the guest
 * comes, the thread ends and all is as with `ferry run`; if not, the main loop
 * ends and everything is thrown away.
 */
struct incoming {
	struct run_mover mover;
	const struct receive_session *session;
	struct guest_spec *spec;
	struct machine_incoming machine_in;
	struct run *run;
	struct dest *dest;
	struct phase_gate gate;
	struct guest_boot_reader *boot;
	struct ram_receiver *ram;
	pthread_t thread;
	struct loop_work begin_work; /* main loop: start the thread */
	struct loop_work gate_work;  /* main loop: the phase has changed */
	struct loop_work done_work;  /* main loop: the thread is done */
	int result;                  /* of the conversation; then: */
	struct err why;
	bool arrived;
	bool told_held; /* main loop */
};

struct call {
	struct incoming *in;
	int (*fn)(struct call *c);
	struct err *e;
	int rc;
	const void *arg;
	uint64_t flags;
};

static void do_call(void *opaque)
{
	struct call *c = opaque;

	if (run_is_ending(c->in->run))
		c->rc = err_set(c->e, -ECANCELED, "the destination was told to end");
	else
		c->rc = c->fn(c);
}

static int on_main(struct call *c)
{
	loop_call_sync(run_loop(c->in->run), do_call, c);
	return c->rc;
}

static struct machine *machine_of(const struct incoming *in)
{
	return run_machine(in->run);
}

/* --- what the conversation does with the guest --- */

static int prepare_on_main(struct call *c)
{
	return machine_prepare(machine_of(c->in), c->e);
}

/* While memory comes there is time for what would be downtime later. */
static int ram_start(void *opaque, struct channel *const *streams, unsigned nr_streams,
		     struct err *e)
{
	struct incoming *in = opaque;
	struct call c = { .in = in, .fn = prepare_on_main, .e = e };
	int rc = on_main(&c);

	if (rc < 0)
		return rc;
	return ram_receiver_new(&in->ram, &machine_vm(machine_of(in))->gmem, streams, nr_streams,
				e);
}

static int ram_wait(void *opaque, struct err *e)
{
	const struct incoming *in = opaque;

	return ram_receiver_wait(in->ram, e);
}

static void ram_stop(void *opaque)
{
	struct incoming *in = opaque;

	ram_receiver_free(take_ptr(in->ram));
}

static uint64_t checksum(void *opaque)
{
	const struct incoming *in = opaque;

	return ram_checksum(&machine_vm(machine_of(in))->gmem);
}

static int load_boot(void *opaque, const struct section *piece, struct err *e)
{
	const struct incoming *in = opaque;

	return guest_boot_add(in->boot, piece, e);
}

static int load_on_main(struct call *c)
{
	struct machine *m = machine_of(c->in);
	int rc = guest_boot_load(c->in->boot, m, c->e);

	if (c->flags & STOPPED_CLOCK_REAL)
		machine_set_clock(m, MACHINE_CLOCK_ARRIVAL);
	return rc < 0 ? rc : guest_state_load(m, c->arg, c->e);
}

/* The main loop must not wait for the network: collect first. */
static int load(void *opaque, const struct section_source *source, uint64_t flags, struct err *e)
{
	struct section_list *list = section_list_new();
	struct call c = { .in = opaque, .fn = load_on_main, .e = e, .flags = flags };
	int rc = list ? section_list_fill(list, source, e) : err_set(e, -ENOMEM, "out of memory");

	if (rc == 0) {
		c.arg = section_list_source(list);
		rc = on_main(&c);
	}
	section_list_free(list);
	return rc;
}

static int take_locks(void *opaque, struct err *e)
{
	const struct incoming *in = opaque;
	int rc = 0;

	for (size_t i = 0; i < in->spec->cfg.disks.nr && rc == 0; i++)
		rc = blk_take_lock(machine_disk(machine_of(in), i), e);
	return rc;
}

static void release_locks(void *opaque)
{
	const struct incoming *in = opaque;
	struct err e;

	for (size_t i = 0; i < in->spec->cfg.disks.nr; i++)
		(void)!blk_release_lock(machine_disk(machine_of(in), i), &e);
}

static int run_on_main(struct call *c)
{
	int rc = run_start(c->in->run, c->e);

	c->in->arrived = rc == 0;
	return rc;
}

static int run_it(void *opaque, struct err *e)
{
	struct call c = { .in = opaque, .fn = run_on_main, .e = e };

	return on_main(&c);
}

static int announce_on_main(struct call *c)
{
	const struct machine *m = machine_of(c->in);

	for (size_t i = 0; i < c->in->spec->cfg.nics.nr; i++) {
		if (machine_nic(m, i))
			net_send_announce(machine_nic(m, i));
	}
	return 0;
}

static void announce(void *opaque)
{
	struct err e;
	struct call c = { .in = opaque, .fn = announce_on_main, .e = &e };

	(void)!on_main(&c);
}

#define FRAMES_AT_ONCE 256U

/* Pass frames on from behind *@pos. 1: there are more; 0; -EPROTO. */
static int take_some_frames(struct virtio_dev *nic, const struct section *s, size_t *pos,
			    struct err *e)
{
	struct iovec frames[FRAMES_AT_ONCE];
	unsigned nr = 0;
	int rc = 1;

	while (nr < FRAMES_AT_ONCE && rc == 1) {
		rc = frames_get(s, pos, &frames[nr], e);
		nr += rc == 1;
	}
	if (rc >= 0)
		net_arrive(nic, frames, nr);
	return rc;
}

/* Nics come and go on the main loop only. */
static int take_frames_on_main(struct call *c)
{
	const struct section *s = c->arg;
	const struct machine *m = machine_of(c->in);
	struct virtio_dev *nic = s->id < c->in->spec->cfg.nics.nr ? machine_nic(m, s->id) : NULL;
	size_t pos = 0;
	int rc = 1;

	while (nic && rc == 1)
		rc = take_some_frames(nic, s, &pos, c->e);
	return MIN(rc, 0);
}

static int take_frames(void *opaque, const struct section *frames, struct err *e)
{
	struct call c = { .in = opaque, .fn = take_frames_on_main, .e = e, .arg = frames };

	return on_main(&c);
}

static const struct dest_guest_ops guest_ops = {
	.ram_start = ram_start,
	.ram_wait = ram_wait,
	.ram_stop = ram_stop,
	.ram_checksum = checksum,
	.load_boot = load_boot,
	.load = load,
	.take_locks = take_locks,
	.release_locks = release_locks,
	.run = run_it,
	.announce = announce,
	.take_frames = take_frames,
};

/* --- the other connections are the listener's business --- */

static void expect_streams(void *opaque, unsigned nr)
{
	const struct receive_session *s = ((const struct incoming *)opaque)->session;

	s->peer->expect_streams(s->opaque, nr);
}

static int get_stream(void *opaque, unsigned index, struct channel **ret, struct err *e)
{
	const struct receive_session *s = ((const struct incoming *)opaque)->session;

	return s->peer->get_stream(s->opaque, index, ret, e);
}

static void committed(void *opaque)
{
	const struct receive_session *s = ((const struct incoming *)opaque)->session;

	s->peer->committed(s->opaque);
}

static void named(void *opaque, const char *name)
{
	const struct receive_session *s = ((const struct incoming *)opaque)->session;

	s->peer->named(s->opaque, name);
}

static void running(void *opaque, uint64_t after_ns, bool told)
{
	const struct receive_session *s = ((const struct incoming *)opaque)->session;

	s->peer->running(s->opaque, after_ns, told);
}

static const struct dest_peer_ops peer_ops = {
	.expect_streams = expect_streams,
	.get_stream = get_stream,
	.committed = committed,
	.named = named,
	.running = running,
};

/* --- what the guest's run knows of it --- */

static struct incoming *of(struct run_mover *mv)
{
	return container_of(mv, struct incoming, mover);
}

static void end_incoming(struct run_mover *mv)
{
	const struct err why = { .code = -ECANCELED, .text = "the destination was told to end" };

	dest_cancel(of(mv)->dest, &why);
}

static json_t *query(struct run_mover *mv)
{
	bool held = false;
	enum phase at = phase_gate_at(&of(mv)->gate, &held);

	return json_pack("{s:s, s:{s:s, s:b}}", "status", of(mv)->arrived ? "completed" : "active",
			 "ferry", "phase", phase_name(at), "held", held);
}

static int cancel(struct run_mover *mv, struct err *e)
{
	(void)mv;
	return err_set(e, -EINVAL, "a teleport is cancelled at its source");
}

static int go_on(struct run_mover *mv, struct err *e)
{
	return phase_gate_continue(&of(mv)->gate, e);
}

static int force_resume(struct run_mover *mv, struct err *e)
{
	(void)mv;
	return err_set(e, -EINVAL, "the guest comes here: nothing to force");
}

static const char *status(struct run_mover *mv)
{
	(void)mv;
	return NULL;
}

static void free_mover(struct run_mover *mv)
{
	(void)mv; /* receive_guest()'s */
}

static const struct run_mover_ops mover_ops = {
	.end = end_incoming,
	.query = query,
	.cancel = cancel,
	.cont = go_on,
	.force_resume = force_resume,
	.status = status,
	.free = free_mover,
};

/* --- from HELLO to the end --- */

static void *converse(void *opaque)
{
	struct incoming *in = opaque;

	in->result = dest_receive(in->dest, &in->why);
	loop_post(run_loop(in->run), &in->done_work);
	return NULL;
}

/* An event for each phase where it is held, and when it goes on. */
static void tell_phase(void *opaque)
{
	struct incoming *in = opaque;
	bool held = false;
	enum phase at = phase_gate_at(&in->gate, &held);

	if (held == in->told_held)
		return;
	in->told_held = held;
	run_event(in->run, "MIGRATION",
		  json_pack("{s:s, s:s, s:b}", "status", in->arrived ? "completed" : "active",
			    "phase", phase_name(at), "held", held));
}

static void on_done(void *opaque)
{
	struct incoming *in = opaque;

	(void)pthread_join(in->thread, NULL);
	tell_phase(in);
	loop_unpost(run_loop(in->run), &in->gate_work);
	run_mover_idle(in->run);
	if (in->result < 0)
		run_abort(in->run, 1, "not received");
}

/* The conversation's thread. */
static void on_gate(void *opaque)
{
	struct incoming *in = opaque;

	if (in->run)
		loop_post(run_loop(in->run), &in->gate_work);
}

static int make_spec(struct incoming *in, const struct section *config, struct err *e)
{
	int rc = guest_spec_parse(&in->spec, config->payload, config->bytes, e);

	if (rc < 0)
		return rc;
	rc = guest_spec_apply(in->spec, in->session->changes, e);
	/* Whoever reads why it was refused wants to know which it was. */
	named(in, in->spec->cfg.name);
	if (rc == 0)
		rc = guest_spec_check(in->spec, e);
	/* Huge pages are had or not when they are mapped. */
	if (rc < 0 || in->spec->cfg.hugepages)
		return rc;
	return in->session->reserve(in->session->opaque, in->spec->cfg.memory_bytes, e);
}

static int reserve(struct incoming *in, const struct section *config, struct err *e)
{
	int rc = make_spec(in, config, e);

	if (rc < 0)
		return rc;
	in->spec->cfg.json = in->session->json;
	in->spec->cfg.verbose = in->session->verbose;
	log_init(in->session->verbose ? LOG_DEBUG : LOG_INFO, in->spec->cfg.name);
	in->machine_in = (struct machine_incoming){ .spec = in->spec, .ram_fd = -1 };
	rc = guest_boot_reader_new(&in->boot, e);
	if (rc == 0)
		rc = run_new(&in->run, &in->spec->cfg, &in->machine_in, e);
	return rc;
}

/*
 * On the main loop, and not before that runs: what is to be done there would be done on the
 * thread that asks (loop_call_sync()), and the vCPUs that it starts would inherit its
 * confinement, which lets nobody run a guest.
 */
static void begin(void *opaque)
{
	struct incoming *in = opaque;
	int rc = thread_start(&in->thread, THREAD_MOVE, "incoming", converse, in);

	if (rc == 0)
		return;
	in->result = err_set(&in->why, rc, "cannot start a thread: %s", strerror(-rc));
	dest_refuse(in->dest, &in->why);
	run_mover_idle(in->run);
	run_abort(in->run, 1, "not received");
}

/* The main loop, until the guest has ended or the conversation has failed. */
static int run_loop_of(struct incoming *in, struct err *e)
{
	int rc;

	in->mover.ops = &mover_ops;
	in->gate_work = (struct loop_work){ .fn = tell_phase, .opaque = in };
	in->done_work = (struct loop_work){ .fn = on_done, .opaque = in };
	in->begin_work = (struct loop_work){ .fn = begin, .opaque = in };
	run_set_mover(in->run, &in->mover);
	loop_post(run_loop(in->run), &in->begin_work);
	rc = run_wait(in->run, e);
	if (rc >= 0 && in->result < 0) {
		*e = in->why;
		rc = in->result;
	}
	return rc;
}

static int receive(struct incoming *in, struct err *e)
{
	const struct dest_params params = {
		.control = in->session->control,
		.ticket = in->session->ticket,
		.guest = &guest_ops,
		.peer = &peer_ops,
		.opaque = in,
		.gate = &in->gate,
	};
	struct section config = { 0 };
	int rc = dest_new(&in->dest, &params, &config, e);

	if (rc < 0)
		return rc;
	rc = reserve(in, &config, e);
	section_fini(&config);
	if (rc < 0) {
		dest_refuse(in->dest, e);
		return rc;
	}
	return run_loop_of(in, e);
}

int receive_guest(const struct receive_session *session, struct err *e)
{
	struct incoming in = { .session = session };
	int rc;

	phase_gate_init(&in.gate, session->hold, on_gate, &in);
	rc = receive(&in, e);
	dest_free(in.dest);
	ram_stop(&in);
	guest_boot_reader_free(in.boot);
	run_free(in.run);
	guest_spec_free(in.spec);
	phase_gate_fini(&in.gate);
	return rc;
}
