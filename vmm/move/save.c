// SPDX-License-Identifier: MIT
// Saving a running guest to a file.
#include "vmm/move/save.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "util/thread.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/guest/state.h"
#include "vmm/loop.h"
#include "vmm/move/run_mover.h"
#include "vmm/vm.h"

/*
 * Theory of operation
 *
 * A client brings a file, which has no name yet. The main loop checks that the guest
 * can be saved and starts a thread. That copies kernel and initrd while the guest runs,
 * has the main loop hold the guest, writes state and memory, and lets it go on or not.
 * A guest that shall not go on ends only when the file is durable and the client has
 * said that it has its name. Every failure before that, the loss of the client included,
 * lets it go on, and a file without a name goes with its descriptors.
 *
 * The thread may wait for the main loop (loop_call_sync()): as the run's mover it
 * is waited for before the loop ends.
 */
struct save {
	struct run_mover mover;
	/* const after save_start() */
	struct run *run;
	struct machine *m;
	bool keep_running;
	pthread_t thread;

	/* the thread's until it is done */
	struct file_writer *file;
	char *config;
	size_t config_len;
	struct err e;                  /* code 0: it has worked */
	uint64_t held_ns, released_ns; /* CLOCK_MONOTONIC; 0: not yet */

	/* main loop only */
	const struct control_session *session;
	bool held;
	bool waiting; /* the thread is done: for save_finish() */
	struct loop_work done;
};

/* --- what the main loop does for the thread --- */

struct hold_call {
	struct save *s;
	int rc;
};

static void hold(void *opaque)
{
	struct hold_call *call = opaque;
	struct save *s = call->s;

	call->rc = run_is_ending(s->run) ? err_set(&s->e, -EINVAL, "the guest has ended")
					 : machine_hold(s->m, "it is being saved", &s->e);
	s->held = call->rc == 0;
}

static void release(void *opaque)
{
	struct save *s = opaque;

	if (s->held && !run_is_ending(s->run))
		machine_release(s->m);
	s->held = false;
}

/* A guest in the middle of its end or reset is dealt with first: then it is another try. */
static int hold_guest(struct save *s)
{
	struct hold_call call = { .s = s, .rc = -EAGAIN };

	for (unsigned i = 0; call.rc == -EAGAIN && i < 100; i++)
		loop_call_sync(run_loop(s->run), hold, &call);
	s->held_ns = clock_now_ns();
	return call.rc;
}

static void release_guest(struct save *s)
{
	loop_call_sync(run_loop(s->run), release, s);
	s->released_ns = clock_now_ns();
}

/* --- the thread --- */

static int write_boot(struct save *s)
{
	struct boot_part parts[BOOT_NR_PARTS];

	boot_get_part(machine_boot(s->m), BOOT_PART_KERNEL, &parts[BOOT_PART_KERNEL]);
	boot_get_part(machine_boot(s->m), BOOT_PART_INITRD, &parts[BOOT_PART_INITRD]);
	return file_writer_boot(s->file, parts, &s->e);
}

static int write_guest(struct save *s)
{
	const struct section_sink sink = file_writer_sink(s->file);
	int rc = sink.put(sink.opaque, SECTION_CONFIG, 0, s->config, s->config_len, &s->e);

	if (rc == 0)
		rc = guest_state_save(s->m, &sink, &s->e);
	if (rc == 0)
		rc = file_writer_ram(s->file, &machine_vm(s->m)->gmem, &s->e);
	return rc;
}

static void *save_main(void *opaque)
{
	struct save *s = opaque;
	int rc = write_boot(s);

	if (rc == 0)
		rc = hold_guest(s);
	if (rc == 0)
		rc = write_guest(s);
	if (rc == 0 && s->keep_running)
		release_guest(s);
	if (rc == 0)
		rc = file_writer_commit(s->file, &s->e);
	if (rc < 0)
		release_guest(s);
	s->e.code = rc;
	loop_post(run_loop(s->run), &s->done);
	return NULL;
}

/* --- how it ends --- */

static json_t *stats_json(const struct save *s, const struct file_stats *stats)
{
	uint64_t end_ns = s->released_ns ? s->released_ns : clock_now_ns();

	return json_pack("{s:I, s:I, s:I, s:f, s:b}", "pages", (json_int_t)stats->pages,
			 "file-bytes", (json_int_t)stats->file_bytes, "data-bytes",
			 (json_int_t)stats->data_bytes, "paused-ms",
			 (double)(end_ns - s->held_ns) / NSEC_PER_MSEC, "running", s->keep_running);
}

static void tell_failure(struct save *s)
{
	log_warn("the guest was not saved: %s", s->e.text);
	run_event(s->run, "SAVE_FAILED", json_pack("{s:s}", "desc", s->e.text));
	run_mover_idle(s->run);
}

static void tell_stats(const struct save *s, const char *event)
{
	struct file_stats stats;

	file_writer_stats(s->file, &stats);
	run_event(s->run, event, stats_json(s, &stats));
}

/* The thread has done all it will do. */
static void on_done(void *opaque)
{
	struct save *s = opaque;

	(void)pthread_join(s->thread, NULL);
	if (s->e.code < 0) {
		tell_failure(s);
	} else if (s->keep_running) {
		tell_stats(s, "SAVE_COMPLETED");
		run_mover_idle(s->run);
	} else if (run_is_ending(s->run)) { /* by its user, too late to be given up */
		run_mover_idle(s->run);
	} else {
		s->waiting = true;
		tell_stats(s, "SAVE_WRITTEN");
	}
}

static void save_end(struct run_mover *mv)
{
	struct save *s = container_of(mv, struct save, mover);

	if (!s->waiting) {
		file_writer_cancel(s->file);
		return;
	}
	s->waiting = false;
	s->e.code = err_set(&s->e, -ECANCELED, "cancelled");
	release(s);
	tell_failure(s);
}

static json_t *save_query(struct run_mover *mv)
{
	const struct save *s = container_of(mv, struct save, mover);

	return json_pack("{s:s}", "status",
			 mv->busy        ? "active"
			 : s->e.code < 0 ? "failed"
					 : "completed");
}

static int save_cancel(struct run_mover *mv, struct err *e)
{
	if (!mv->busy)
		return err_set(e, -EINVAL, "nothing is being saved");
	save_end(mv);
	return 0;
}

static int save_no(struct run_mover *mv, struct err *e)
{
	(void)mv;
	return err_set(e, -EINVAL, "a guest that is being saved needs no such help");
}

static const char *save_status(struct run_mover *mv)
{
	return mv->busy && container_of(mv, struct save, mover)->held ? "save-vm" : NULL;
}

static void free_save(struct save *s)
{
	file_writer_free(s->file);
	free(s->config);
	free(s);
}

static void save_free(struct run_mover *mv)
{
	free_save(container_of(mv, struct save, mover));
}

static const struct run_mover_ops save_ops = {
	.end = save_end,
	.query = save_query,
	.cancel = save_cancel,
	.cont = save_no,
	.force_resume = save_no,
	.status = save_status,
	.free = save_free,
};

static struct save *save_of(const struct run *run)
{
	struct run_mover *mv = run_mover(run);

	return mv && mv->ops == &save_ops ? container_of(mv, struct save, mover) : NULL;
}

int save_finish(struct run *run, const struct control_session *session, struct err *e)
{
	struct save *s = save_of(run);

	if (!s || !s->waiting || s->session != session)
		return err_set(e, -EINVAL, "the guest does not wait to be told that it is saved");
	s->waiting = false;
	tell_stats(s, "SAVE_COMPLETED");
	run_leave(run, "saved");
	run_mover_idle(run);
	return 0;
}

void save_session_closed(struct run *run, const struct control_session *session)
{
	struct save *s = save_of(run);

	if (s && s->mover.busy && s->session == session)
		save_end(&s->mover);
}

/* --- how it begins --- */

static int prepare(struct save *s, const struct save_params *p, struct err *e)
{
	int rc = guest_state_check(s->m, e);

	if (rc == 0)
		rc = guest_config_encode(s->m, &s->config, &s->config_len, e);
	return rc < 0 ? rc : file_writer_new(&s->file, &p->file, e);
}

int save_start(struct run *run, const struct save_params *params, struct err *e)
{
	struct save *s;
	int rc = run_check_idle(run, e);

	if (rc < 0)
		return rc;
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->mover.ops = &save_ops;
	s->run = run;
	s->m = run_machine(run);
	s->keep_running = params->keep_running;
	s->session = params->session;
	s->done = (struct loop_work){ .fn = on_done, .opaque = s };
	rc = prepare(s, params, e);
	if (rc < 0) {
		free_save(s);
		return rc;
	}
	run_set_mover(run, &s->mover);
	rc = thread_start(&s->thread, THREAD_MOVE, "save", save_main, s);
	if (rc < 0) {
		s->e.code = rc;
		run_mover_idle(run);
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	}
	return 0;
}
