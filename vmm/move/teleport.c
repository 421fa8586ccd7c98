// SPDX-License-Identifier: MIT
// A guest on its way to another host, as its own process sees it.
#include "vmm/move/teleport.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/move/teleport_impl.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/vm.h"

/* --- the peer --- */

static int open_control(void *opaque, struct channel **ret, struct err *e)
{
	const struct teleport *t = opaque;

	return preamble_connect(ret, &t->target, PREAMBLE_CONTROL, 0, e);
}

static int open_stream(void *opaque, unsigned index, const struct ticket *ticket,
		       struct channel **ret, struct err *e)
{
	const struct teleport *t = opaque;

	return preamble_open_stream(ret, &t->target, index, ticket, e);
}

static int ask(void *opaque, const struct ticket *ticket, enum handover_answer *ret, struct err *e)
{
	const struct teleport *t = opaque;

	return preamble_ask(&t->target, ticket, ret, e);
}

static void cancel_connect(void *opaque)
{
	const struct teleport *t = opaque;

	eventfd_signal(t->cancel_fd);
}

static const struct source_peer_ops peer_ops = {
	.open_control = open_control,
	.open_stream = open_stream,
	.ask = ask,
	.cancel = cancel_connect,
};

/* --- news from the migration's thread --- */

static void on_changed(void *opaque)
{
	struct teleport *t = opaque;

	loop_post(t->loop, &t->changed_work);
}

/* Faster than anybody reads: the oldest is forgotten. */
static void on_pass(void *opaque, unsigned number, const struct source_pass *pass)
{
	struct teleport *t = opaque;

	mutex_lock(&t->lock);
	if (t->nr_news == TELEPORT_MAX_NEWS) {
		t->nr_news--;
		memmove(t->news, t->news + 1, t->nr_news * sizeof(t->news[0]));
	}
	t->news[t->nr_news++] = (struct teleport_news){ .number = number, .pass = *pass };
	mutex_unlock(&t->lock);
	loop_post(t->loop, &t->changed_work);
}

static void on_done(void *opaque)
{
	struct teleport *t = opaque;

	loop_post(t->loop, &t->done_work);
}

static const struct source_listener source_listener = {
	.changed = on_changed,
	.pass = on_pass,
	.done = on_done,
};

/* --- on the main loop --- */

void teleport_get_status(struct teleport *t, struct source_status *ret)
{
	if (t->source)
		source_get_status(t->source, ret);
	else
		*ret = t->last;
}

static void tell_passes(struct teleport *t)
{
	struct teleport_news news[TELEPORT_MAX_NEWS];
	unsigned nr;

	mutex_lock(&t->lock);
	nr = t->nr_news;
	memcpy(news, t->news, nr * sizeof(news[0]));
	t->nr_news = 0;
	mutex_unlock(&t->lock);
	for (unsigned i = 0; i < nr; i++) {
		const struct source_pass *pass = &news[i].pass;
		uint64_t left_bytes = pass->dirty_pages * RAM_PAGE_BYTES;

		run_event(t->run, "MIGRATION_PASS",
			  json_pack("{s:i, s:I, s:I, s:I, s:I}", "pass", (int)news[i].number,
				    "pages", (json_int_t)pass->pages, "bytes",
				    (json_int_t)pass->bytes_wire, "duration-us",
				    (json_int_t)(pass->duration_ns / NSEC_PER_USEC), "remaining",
				    (json_int_t)left_bytes));
	}
}

/* An event for each state, and for each phase where it is held. */
static void tell_changes(void *opaque)
{
	struct teleport *t = opaque;
	struct source_status st;

	tell_passes(t);
	teleport_get_status(t, &st);
	if (t->told_any && st.state == t->told && st.held == t->told_held)
		return;
	t->told_any = true;
	t->told = st.state;
	t->told_held = st.held;
	run_event(t->run, "MIGRATION",
		  json_pack("{s:s, s:s, s:b}", "status", source_state_name(st.state), "phase",
			    phase_name(st.phase), "held", st.held));
}

static void on_timeout(void *opaque)
{
	struct teleport *t = opaque;
	struct source_status st;
	struct err why, e;

	teleport_get_status(t, &st);
	if (!t->source || st.phase > PHASE_PRECOPY)
		return;
	(void)err_set(&why, -ETIMEDOUT, "the passes took longer than the timeout");
	(void)!source_cancel(t->source, &why, &e);
}

/* The thread has done all that it will do. */
static void finish(void *opaque)
{
	struct teleport *t = opaque;

	loop_disarm(t->loop, &t->timeout);
	teleport_report_stop(t);
	source_get_status(t->source, &t->last);
	source_free(take_ptr(t->source));
	t->last.phase = PHASE_DONE;
	if (t->last.state == SOURCE_COMPLETED)
		run_moved(t->run, t->dest);
	else if (t->last.state == SOURCE_FAILED)
		log_warn("teleport to %s failed, and the guest goes on here: %s", t->dest,
			 t->last.error.text);
	tell_changes(t);
	run_mover_idle(t->run);
}

/* --- what others ask for --- */

static struct teleport *of(struct run_mover *mv)
{
	return container_of(mv, struct teleport, mover);
}

static int check_active(const struct teleport *t, struct err *e)
{
	return t->source ? 0 : err_set(e, -EINVAL, "no teleport is under way");
}

static void end_teleport(struct run_mover *mv)
{
	source_abandon(of(mv)->source);
}

static json_t *query(struct run_mover *mv)
{
	struct source_status st;

	teleport_get_status(of(mv), &st);
	return teleport_status_json(&st);
}

static json_t *report(struct run_mover *mv)
{
	return teleport_report_json(of(mv));
}

static int cancel(struct run_mover *mv, struct err *e)
{
	const struct err why = { .code = -ECANCELED, .text = "cancelled" };
	int rc = check_active(of(mv), e);

	return rc < 0 ? rc : source_cancel(of(mv)->source, &why, e);
}

static int go_on(struct run_mover *mv, struct err *e)
{
	int rc = check_active(of(mv), e);

	return rc < 0 ? rc : source_continue(of(mv)->source, e);
}

static int force_resume(struct run_mover *mv, struct err *e)
{
	int rc = check_active(of(mv), e);

	return rc < 0 ? rc : source_force_resume(of(mv)->source, e);
}

static const char *status(struct run_mover *mv)
{
	struct source_status st;

	teleport_get_status(of(mv), &st);
	switch (st.state) {
	case SOURCE_DEVICE:
		return "finish-migrate";
	case SOURCE_UNKNOWN:
		return "handover-unknown";
	case SOURCE_COMPLETED:
		return "postmigrate";
	case SOURCE_SETUP:
	case SOURCE_ACTIVE:
	case SOURCE_CANCELLING:
	case SOURCE_CANCELLED:
	case SOURCE_FAILED:
		break;
	}
	return NULL;
}

static void teleport_free(struct teleport *t)
{
	loop_disarm(t->loop, &t->timeout);
	loop_unpost(t->loop, &t->changed_work);
	loop_unpost(t->loop, &t->done_work);
	tls_credentials_free(t->creds);
	free(t->tls_name);
	close_fd(&t->cancel_fd);
	teleport_report_free(t);
	mutex_fini(&t->lock);
	free(t);
}

static void free_mover(struct run_mover *mv)
{
	teleport_free(of(mv));
}

static const struct run_mover_ops mover_ops = {
	.end = end_teleport,
	.query = query,
	.report = report,
	.cancel = cancel,
	.cont = go_on,
	.force_resume = force_resume,
	.status = status,
	.free = free_mover,
};

/* --- the start --- */

/* What its confinement has left of the host. */
static int check_reach(const struct address *a, struct err *e)
{
	if (a->kind == ADDRESS_TCP && sandbox_hides_net())
		return err_set(e, -EPERM,
			       "the guest runs with --jail-net: its process has no network by "
			       "which it could leave; --jail alone keeps it");
	if (a->kind == ADDRESS_UNIX && sandbox_hides_files())
		return err_set(e, -EPERM,
			       "the guest runs with --jail or --chroot: its process does not see "
			       "the socket %s; give a TCP address",
			       a->path);
	return 0;
}

static int set_target(struct teleport *t, const struct teleport_options *o, struct err *e)
{
	int rc = address_parse(&t->target.address, o->dest, e);

	if (rc == 0)
		rc = address_set_numbers(&t->target.address,
					 o->numbers ? o->numbers : t->target.address.host, e);
	if (rc == 0)
		rc = check_reach(&t->target.address, e);
	if (rc == 0)
		rc = preamble_new_session(t->target.session);
	if (rc < 0)
		return rc;
	address_show(&t->target.address, t->dest, sizeof(t->dest));
	t->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->cancel_fd < 0)
		return err_set(e, -errno, "eventfd: %s", strerror(errno));
	t->target.cancel_fd = t->cancel_fd;
	if (!tls_wanted(&o->tls))
		return o->tls_name ? err_set(e, -EINVAL, "a TLS name without TLS files") : 0;
	rc = tls_credentials_new(&t->creds, &o->tls, false, e);
	t->target.creds = t->creds;
	if (rc == 0 && o->tls_name) {
		t->tls_name = strdup(o->tls_name);
		t->target.peer_name = t->tls_name;
		rc = t->tls_name ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	return rc;
}

static int check_guest(const struct run *run, struct err *e)
{
	const struct run_mover *mv = run_mover(run);

	if (mv && mv->busy)
		return err_set(e, -EBUSY, "it is being saved or moved already");
	if (machine_is_debugged(run_machine(run)))
		return err_set(e, -EBUSY, "gdb is attached to the guest: detach it first");
	switch (machine_state(run_machine(run))) {
	case MACHINE_RUNNING:
	case MACHINE_PAUSED:
		return 0;
	case MACHINE_CRASHED:
		return err_set(e, -EINVAL, "the guest has crashed: reset it first");
	case MACHINE_READY:
	case MACHINE_INCOMING:
	case MACHINE_OFF:
	case MACHINE_ENDED:
		break;
	}
	return err_set(e, -EINVAL, "the guest does not run");
}

static int start_source(struct teleport *t, const struct teleport_options *o, struct err *e)
{
	struct source_params params = {
		.options = o->source,
		.guest = &teleport_guest_ops,
		.peer = &peer_ops,
		.listener = &source_listener,
		.opaque = t,
		.ram_bytes = machine_config(t->machine)->memory_bytes,
	};

	if (o->timeout_s && o->timeout_switches)
		params.options.switch_after_ns = o->timeout_s * NSEC_PER_SEC;
	return source_start(&t->source, &params, e);
}

int teleport_start(struct run *run, const struct teleport_options *o, struct err *e)
{
	struct teleport *t;
	int rc = check_guest(run, e);

	if (rc < 0)
		return rc;
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, -ENOMEM, "out of memory");
	t->mover.ops = &mover_ops;
	t->run = run;
	t->loop = run_loop(run);
	t->machine = run_machine(run);
	t->cancel_fd = t->target.cancel_fd = -1;
	t->changed_work = (struct loop_work){ .fn = tell_changes, .opaque = t };
	t->done_work = (struct loop_work){ .fn = finish, .opaque = t };
	t->timeout = (struct loop_timer){ .fn = on_timeout, .opaque = t };
	mutex_init(&t->lock);
	rc = set_target(t, o, e);
	if (rc == 0)
		rc = start_source(t, o, e);
	if (rc < 0) {
		teleport_free(t);
		return rc;
	}
	run_set_mover(run, &t->mover);
	if (o->report)
		teleport_report_start(t);
	if (o->timeout_s && !o->timeout_switches)
		loop_arm(t->loop, &t->timeout, clock_now_ns() + o->timeout_s * NSEC_PER_SEC);
	return 0;
}
