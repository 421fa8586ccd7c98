// SPDX-License-Identifier: MIT
// A core file of a guest: the main loop's part and the thread.
#include "vmm/dump/dump.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/log.h"
#include "util/new_file.h"
#include "util/thread.h"
#include "vmm/dump/core_file.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/loop.h"
#include "vmm/move/run_mover.h"
#include "vmm/vm.h"

#define CR0_PG   (1ULL << 31)
#define CR4_LA57 (1ULL << 12)
#define EFER_LMA (1ULL << 10)

/*
 * Theory of operation
 *
 * The main loop has a file that has no name yet and starts a thread. That has the
 * main loop hold the guest, reads registers and page tables, and with `live` lets it
 * go on; then it writes the memory, lets the guest go, makes the file durable, and gives it its
 * name if that is not for the client to do who has brought it.
 * As the run's mover it may wait for the main loop, and the guest's end waits for it.
 */
struct dump {
	struct run_mover mover;
	/* const after dump_start() */
	struct run *run;
	struct machine *m;
	struct dump_params params; /* but for the path */
	pthread_t thread;

	/* the thread's until it is done */
	struct new_file file;
	struct core_cpu *cpus;
	struct page_runs runs;
	struct core_stats stats;
	struct err e; /* code 0: it has worked */

	/* main loop only */
	bool held;
	struct loop_work done;
};

/* --- what the main loop does for the thread --- */

struct hold_call {
	struct dump *d;
	int rc;
};

static void hold(void *opaque)
{
	struct hold_call *call = opaque;
	struct dump *d = call->d;

	call->rc = run_is_ending(d->run)
			   ? err_set(&d->e, -EINVAL, "the guest has ended")
			   : machine_hold_to_look(d->m, "its core is being dumped", &d->e);
	d->held = call->rc == 0;
}

static void release(void *opaque)
{
	struct dump *d = opaque;

	if (d->held && !run_is_ending(d->run))
		machine_release(d->m);
	d->held = false;
}

/* A guest in the middle of its end or reset is dealt with first: then it is another try. */
static int hold_guest(struct dump *d)
{
	struct hold_call call = { .d = d, .rc = -EAGAIN };

	for (unsigned i = 0; call.rc == -EAGAIN && i < 100; i++)
		loop_call_sync(run_loop(d->run), hold, &call);
	return call.rc;
}

/* --- the thread --- */

static int read_tables(struct dump *d)
{
	const struct kvm_sregs *s = &d->cpus[0].sregs;
	int rc;

	if (!(s->cr0 & CR0_PG) || !(s->efer & EFER_LMA))
		return err_set(&d->e, -EINVAL,
			       "the guest uses no 64-bit page tables: dump it "
			       "without --paging");
	rc = page_walk(&d->runs, &machine_vm(d->m)->gmem, s->cr3, s->cr4 & CR4_LA57);
	if (rc == -E2BIG)
		return err_set(&d->e, rc,
			       "the guest's page tables map too many places: dump it "
			       "without --paging");
	return rc < 0 ? err_set(&d->e, rc, "page tables: %s", strerror(-rc)) : 0;
}

static int read_guest(struct dump *d)
{
	int rc = core_read_cpus(machine_vm(d->m), d->cpus);

	if (rc < 0)
		return err_set(&d->e, rc, "registers: %s", strerror(-rc));
	return d->params.paging ? read_tables(d) : 0;
}

static int write_guest(struct dump *d)
{
	const struct vm *vm = machine_vm(d->m);
	const struct core_params params = {
		.gm = &vm->gmem,
		.cpus = d->cpus,
		.nr_cpus = vm->nr_vcpus,
		.runs = &d->runs,
	};

	return core_write(&d->file, &params, &d->stats, &d->e);
}

static void *dump_main(void *opaque)
{
	struct dump *d = opaque;
	int rc = hold_guest(d);

	if (rc == 0)
		rc = read_guest(d);
	if (rc == 0 && d->params.live)
		loop_call_sync(run_loop(d->run), release, d);
	if (rc == 0)
		rc = write_guest(d);
	loop_call_sync(run_loop(d->run), release, d);
	if (rc == 0)
		rc = new_file_commit(&d->file, &d->e);
	d->e.code = rc;
	loop_post(run_loop(d->run), &d->done);
	return NULL;
}

/* --- how it ends --- */

static json_t *result_json(const struct dump *d)
{
	const char *status = d->mover.busy ? "active" : d->e.code < 0 ? "failed" : "completed";
	json_int_t total = (json_int_t)machine_vm(d->m)->gmem.bytes;

	return json_pack("{s:s, s:I, s:I}", "status", status, "completed",
			 !d->mover.busy && d->e.code == 0 ? total : 0, "total", total);
}

static void tell(const struct dump *d)
{
	json_t *data =
		json_pack("{s:o, s:I, s:I, s:I}", "result", result_json(d), "pages",
			  (json_int_t)d->stats.pages, "file-bytes", (json_int_t)d->stats.file_bytes,
			  "data-bytes", (json_int_t)d->stats.data_bytes);

	if (d->e.code < 0) {
		log_warn("no core was dumped: %s", d->e.text);
		(void)json_object_set_new(data, "error", json_string(d->e.text));
	}
	run_event(d->run, "DUMP_COMPLETED", data);
}

/* The thread has done all it will do. */
static void on_done(void *opaque)
{
	struct dump *d = opaque;

	(void)pthread_join(d->thread, NULL);
	new_file_drop(&d->file);
	run_mover_idle(d->run);
	tell(d);
	if (d->params.done)
		d->params.done(d->params.opaque, d->e.code);
}

static void dump_end(struct run_mover *mv)
{
	new_file_cancel(&container_of(mv, struct dump, mover)->file);
}

static json_t *dump_query_mover(struct run_mover *mv)
{
	(void)mv;
	return json_pack("{s:s}", "status", "none");
}

static int dump_no(struct run_mover *mv, struct err *e)
{
	(void)mv;
	return err_set(e, -EINVAL, "the guest is not being moved");
}

static const char *dump_status(struct run_mover *mv)
{
	(void)mv;
	return NULL;
}

static void free_dump(struct dump *d)
{
	new_file_drop(&d->file);
	page_runs_free(&d->runs);
	free(d->cpus);
	free(d);
}

static void dump_free(struct run_mover *mv)
{
	free_dump(container_of(mv, struct dump, mover));
}

static const struct run_mover_ops dump_ops = {
	.end = dump_end,
	.query = dump_query_mover,
	.cancel = dump_no,
	.cont = dump_no,
	.force_resume = dump_no,
	.status = dump_status,
	.free = dump_free,
};

static struct dump *dump_of(const struct run *run)
{
	struct run_mover *mv = run_mover(run);

	return mv && mv->ops == &dump_ops ? container_of(mv, struct dump, mover) : NULL;
}

void dump_session_closed(struct run *run, const struct control_session *session)
{
	struct dump *d = dump_of(run);

	if (d && d->mover.busy && d->params.session == session)
		new_file_cancel(&d->file);
}

json_t *dump_query(const struct run *run)
{
	const struct dump *d = dump_of(run);

	if (!d)
		return json_pack("{s:s, s:i, s:i}", "status", "none", "completed", 0, "total", 0);
	return result_json(d);
}

/* --- how it begins --- */

static int open_file(struct dump *d, const struct dump_params *params, struct err *e)
{
	if (params->path)
		return new_file_open(&d->file, params->path, params->force, e);
	return new_file_adopt(&d->file, params->fd, e);
}

int dump_start(struct run *run, const struct dump_params *params, struct err *e)
{
	struct dump *d;
	int rc = run_check_idle(run, e);

	if (rc < 0)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	new_file_init(&d->file);
	d->mover.ops = &dump_ops;
	d->run = run;
	d->m = run_machine(run);
	d->params = *params;
	d->done = (struct loop_work){ .fn = on_done, .opaque = d };
	d->cpus = calloc(machine_vm(d->m)->nr_vcpus, sizeof(*d->cpus));
	rc = d->cpus ? open_file(d, params, e) : err_set(e, -ENOMEM, "out of memory");
	if (rc < 0) {
		free_dump(d);
		return rc;
	}
	run_set_mover(run, &d->mover);
	rc = thread_start(&d->thread, THREAD_MOVE, "dump", dump_main, d);
	if (rc < 0) {
		d->e.code = rc;
		run_mover_idle(run);
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	}
	return 0;
}
