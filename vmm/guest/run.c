// SPDX-License-Identifier: MIT
// `ferry run`: one guest from start to end.
#include "vmm/guest/run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "util/notify.h"
#include "vmm/console.h"
#include "vmm/console_host.h"
#include "vmm/control/cmds.h"
#include "vmm/control/control.h"
#include "vmm/gdb/server.h"
#include "vmm/guest/config.h"
#include "vmm/guest/hotplug.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run_confine.h"
#include "vmm/guest/run_core.h"
#include "vmm/guest/run_signals.h"
#include "vmm/guest/runtime.h"
#include "vmm/host_memory.h"
#include "vmm/loop.h"
#include "vmm/move/run_mover.h"
#include "vmm/sandbox/keeper.h"
#include "vmm/sandbox/sandbox.h"

/* How long the last output may wait for its reader. */
#define DRAIN_IDLE_MS 1000
#define DRAIN_MAX_S   10 /* see console_drain() */
/* How long clients may look at what was a guest. */
#define FAREWELL_NS (10 * NSEC_PER_SEC)

struct run {
	struct config *cfg;
	const struct machine_incoming *incoming; /* NULL: the guest boots */
	struct loop *loop;
	struct run_signals signals;
	struct console *con;
	struct console_host *host;
	char pty_link[128];
	struct runtime_claim claim;
	struct gdb_server *gdb; /* NULL: nobody debugs the guest */
	struct control *control;
	struct machine *machine; /* NULL: it has moved */
	struct run_mover *mover; /* NULL: there was none */
	char moved_to[256];
	int notify_fd, statm_fd; /* of what may be out of reach later; -1: none */
	struct loop_fd logged;   /* an eventfd: there are new lines */
	struct loop_timer farewell;
	struct loop_timer timeout;
	struct loop_timer kill_timer;
	int kill_signal; /* the one that pressed the power button; 0: none */
	bool ending;     /* status and reason are final */
	int status;
	const char *reason; /* for --json */
};

/* --- how it ends --- */

static void finish(struct run *run, int status, const char *reason)
{
	if (run->ending)
		return;
	run->ending = true;
	run->status = status;
	run->reason = reason;
	notify_manager(run->notify_fd, "STOPPING=1");
	if (run->mover && run->mover->busy) {
		run_signals_end_within(&run->signals, RUN_GRACE_S, status);
		run->mover->ops->end(run->mover);
	} else {
		loop_stop(run->loop);
	}
}

static void on_ended(void *opaque, enum machine_end why, unsigned code)
{
	struct run *run = opaque;

	switch (why) {
	case MACHINE_END_POWEROFF:
		finish(run, RUN_STATUS_POWEROFF, "poweroff");
		break;
	case MACHINE_END_REBOOT:
		finish(run, RUN_STATUS_POWEROFF, "reboot");
		break;
	case MACHINE_END_DEBUG:
		finish(run, (int)((code << 1 | 1) & 0xff), "debug-exit");
		break;
	case MACHINE_END_CRASH:
		finish(run, RUN_STATUS_CRASH, "crash");
		break;
	case MACHINE_END_FAILED:
		finish(run, 1, "failure");
		break;
	}
}

/* The user ends it, rather than the guest. */
static void stop_now(struct run *run, int status, const char *reason, const char *qmp_reason)
{
	if (run->ending)
		return;
	control_event(run->control, "SHUTDOWN",
		      json_pack("{s:b, s:s}", "guest", 0, "reason", qmp_reason));
	finish(run, status, reason);
}

void run_quit(struct run *run, const char *reason)
{
	stop_now(run, RUN_STATUS_POWEROFF, "quit", reason);
}

void run_leave(struct run *run, const char *how)
{
	stop_now(run, RUN_STATUS_POWEROFF, how, "host-qmp-quit");
}

static void on_escape_key(void *opaque)
{
	run_quit(opaque, "host-ui");
}

static void on_timeout(void *opaque)
{
	struct run *run = opaque;

	log_warn("the guest is still there after %u s: ended", run->cfg->timeout_s);
	stop_now(run, RUN_STATUS_TIMEOUT, "timeout", "host-error");
}

static void on_kill_timer(void *opaque)
{
	struct run *run = opaque;

	log_warn("the guest did not switch itself off: ended");
	stop_now(run, RUN_STATUS_SIGNAL + run->kill_signal, "signal", "host-signal");
}

static void on_signal(void *opaque, int sig)
{
	struct run *run = opaque;
	struct err e;
	int rc = run->kill_signal || !run->machine ? -EALREADY
						   : machine_power_button(run->machine, &e);

	if (rc == -EBUSY && machine_state(run->machine) != MACHINE_INCOMING) {
		log_warn("%s: %s", sigabbrev_np(sig), e.text);
		run_signals_refused(&run->signals);
		return;
	}
	if (rc < 0) {
		stop_now(run, RUN_STATUS_SIGNAL + sig, "signal", "host-signal");
		return;
	}
	log_info("%s: power button pressed; the next signal ends the guest", sigabbrev_np(sig));
	run->kill_signal = sig;
	loop_arm(run->loop, &run->kill_timer, clock_now_ns() + RUN_SHUTDOWN_S * NSEC_PER_SEC);
}

static void on_event(void *opaque, const char *name, json_t *data)
{
	struct run *run = opaque;

	if (run->control)
		control_event(run->control, name, data);
	else
		json_decref(data);
}

static bool on_keep(void *opaque)
{
	struct run *run = opaque;

	return run_keep_core(run, run->cfg);
}

/* --- somebody moves it --- */

void run_set_mover(struct run *run, struct run_mover *mv)
{
	if (run->mover)
		run->mover->ops->free(run->mover);
	run->mover = mv;
	mv->busy = true;
	machine_set_moving(run->machine, "the guest is being moved, saved or dumped");
}

struct run_mover *run_mover(const struct run *run)
{
	return run->mover;
}

int run_check_idle(const struct run *run, struct err *e)
{
	if (run->mover && run->mover->busy)
		return err_set(e, -EBUSY, "the guest is being saved, moved or dumped already");
	if (!run->machine || run->ending)
		return err_set(e, -EINVAL, "the guest is not here any more");
	return 0;
}

void run_mover_idle(struct run *run)
{
	run->mover->busy = false;
	if (run->machine)
		machine_set_moving(run->machine, NULL);
	if (run->ending)
		loop_stop(run->loop);
}

static void on_left_alone(void *opaque)
{
	run_leave(opaque, "migrated");
}

void run_moved(struct run *run, const char *where)
{
	(void)snprintf(run->moved_to, sizeof(run->moved_to), "%s", where);
	loop_disarm(run->loop, &run->timeout);
	loop_disarm(run->loop, &run->kill_timer);
	machine_free(take_ptr(run->machine));
	if (run->ending)
		return;
	loop_arm(run->loop, &run->farewell, clock_now_ns() + FAREWELL_NS);
	control_when_alone(run->control, on_left_alone, run);
}

void run_abort(struct run *run, int status, const char *reason)
{
	finish(run, status, reason);
}

bool run_is_ending(const struct run *run)
{
	return run->ending;
}

const char *run_moved_to(const struct run *run)
{
	return run->machine ? NULL : run->moved_to;
}

const char *run_status_name(const struct run *run)
{
	const char *moving = run->mover ? run->mover->ops->status(run->mover) : NULL;

	return moving ? moving : machine_status(run->machine);
}

const char *run_name(const struct run *run)
{
	return run->cfg->name;
}

/* --- how it starts --- */

/* One line for whoever started us by a program. */
static void report(const struct run *run, json_t *json)
{
	char *text = json && run->cfg->json ? json_dumps(json, JSON_COMPACT) : NULL;

	if (text)
		(void)fprintf(stderr, "%s\n", text);
	free(text);
	json_decref(json);
}

static int open_console(struct run *run, struct err *e)
{
	struct console_host_params p = {
		.con = run->con,
		.loop = run->loop,
		.quit = on_escape_key,
		.opaque = run,
	};
	int rc = console_parse_spec(run->cfg->console, &p.spec, e);

	if (rc < 0)
		return rc;
	if (run->claim.has_file) {
		(void)snprintf(run->pty_link, sizeof(run->pty_link), "%.*s.console",
			       (int)(strlen(run->claim.path) - strlen(".sock")), run->claim.path);
		p.pty_link = run->pty_link;
	}
	return console_host_open(&run->host, &p, e);
}

static void on_logged(void *opaque, unsigned events)
{
	struct run *run = opaque;

	(void)events;
	if (run->control)
		control_log(run->control);
}

static int watch_log(struct run *run)
{
	int rc;

	run->logged.fd = eventfd(0, EFD_CLOEXEC);
	if (run->logged.fd < 0)
		return -errno;
	run->logged.fn = on_logged;
	run->logged.opaque = run;
	run->logged.slot = -1;
	rc = loop_add_eventfd(run->loop, &run->logged);
	if (rc == 0)
		log_set_wake(run->logged.fd);
	return rc;
}

static void unwatch_log(struct run *run)
{
	if (!run->logged.fn)
		return;
	log_set_wake(-1);
	loop_del_fd(run->loop, &run->logged);
	close_fd(&run->logged.fd);
}

static int open_control(struct run *run, struct err *e)
{
	const struct control_params p = {
		.loop = run->loop,
		.listen_fd = run->claim.sock_fd,
		.table = &control_guest_table,
		.opaque = run,
	};
	int rc = control_new(&run->control, &p);

	if (rc == 0)
		rc = watch_log(run);
	return rc < 0 ? err_set(e, rc, "control socket: %s", strerror(-rc)) : 0;
}

/* The main thread hangs, and the process ends now: what would outlive it goes. */
static void give_up(void *opaque)
{
	struct run *run = opaque;
	struct log_limit log = { 0 };

	/* Limited, since that never waits for a reader of standard error. */
	log_limited(&log, LOG_ERROR, "the host's storage does not answer: ended without it");
	if (run->host)
		console_host_give_back(run->host);
	runtime_release(&run->claim);
}

static int open_loop(struct run *run, struct err *e)
{
	int rc = loop_new(&run->loop, 0);

	if (rc < 0)
		return err_set(e, rc, "cannot make an event loop: %s", strerror(-rc));
	run->signals = (struct run_signals){
		.loop = run->loop,
		.fn = on_signal,
		.give_up = give_up,
		.opaque = run,
	};
	run->farewell = (struct loop_timer){ .fn = on_left_alone, .opaque = run };
	run->timeout = (struct loop_timer){ .fn = on_timeout, .opaque = run };
	run->kill_timer = (struct loop_timer){ .fn = on_kill_timer, .opaque = run };
	rc = console_new(&run->con, run->loop);
	return rc < 0 ? err_set(e, rc, "cannot make a console: %s", strerror(-rc)) : 0;
}

static int make_machine(struct run *run, struct err *e)
{
	const struct machine_listener listener = {
		.ended = on_ended,
		.event = on_event,
		.keep = on_keep,
		.opaque = run,
	};

	if (run->incoming)
		return machine_new_incoming(&run->machine, run->incoming, run->loop, run->con,
					    &listener, e);
	return machine_new(&run->machine, run->cfg, run->loop, run->con, &listener, e);
}

static int open_gdb(struct run *run, struct err *e)
{
	struct gdb_server_spec spec;
	int rc = gdb_parse_spec(&spec, run->cfg->gdb, e);

	return rc < 0 ? rc : gdb_server_new(&run->gdb, run, &spec, e);
}

static int set_up(struct run *run, struct err *e)
{
	int rc = open_loop(run, e);

	run->notify_fd = notify_open();
	run->statm_fd = open(HOST_STATM_PATH, O_RDONLY | O_CLOEXEC);
	if (rc == 0)
		rc = run_plan_confinement(run->cfg, e);
	if (rc == 0) {
		rc = run_signals_init(&run->signals);
		if (rc < 0)
			(void)err_set(e, rc, "signals: %s", strerror(-rc));
	}
	if (rc == 0)
		rc = runtime_claim(&run->claim, run->cfg->name, run->cfg->ephemeral, e);
	if (rc == 0)
		rc = run_plan_rename(run->cfg, run->claim.lock_fd, e);
	if (rc == 0)
		rc = make_machine(run, e);
	if (rc == 0)
		rc = open_control(run, e);
	if (rc == 0 && run->cfg->gdb)
		rc = open_gdb(run, e);
	if (rc == 0)
		rc = open_console(run, e);
	/* All is open; what comes next may be the guest's, a peer's or a file's. */
	return rc < 0 ? rc : sandbox_enter(e);
}

/* Many disks and nics of many queues need many descriptors. */
static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* The guest's last words; nothing runs any more that could add to them. */
static void drain_console(struct run *run)
{
	struct console_stats stats;

	console_drain(run->con, DRAIN_IDLE_MS);
	console_get_stats(run->con, &stats);
	if (stats.lost)
		log_warn("console: %" PRIu64 " of %" PRIu64
			 " bytes of output were lost on slow readers",
			 stats.lost, stats.written);
}

static void tear_down(struct run *run)
{
	int status = run->ending ? run->status : 1;

	run_signals_end_within(&run->signals, RUN_GRACE_S, status);
	if (run->mover)
		run->mover->ops->free(run->mover);
	gdb_server_close(run->gdb, status);
	machine_free(run->machine);
	gdb_server_free(run->gdb);
	run_signals_end_within(&run->signals, RUN_GRACE_S + DRAIN_MAX_S, status);
	if (run->ending)
		drain_console(run);
	if (run->loop)
		run_signals_fini(&run->signals);
	console_host_close(run->host);
	console_free(run->con);
	unwatch_log(run);
	control_free(run->control);
	runtime_release(&run->claim);
	loop_free(run->loop);
	close_fd(&run->notify_fd);
	close_fd(&run->statm_fd);
	keeper_end();
}

int run_start(struct run *run, struct err *e)
{
	int rc = machine_start(run->machine, e);

	if (rc < 0)
		return rc;
	gdb_server_started(run->gdb);
	if (run->cfg->timeout_s) {
		loop_arm(run->loop, &run->timeout,
			 clock_now_ns() + run->cfg->timeout_s * NSEC_PER_SEC);
		run_signals_end_within(&run->signals, run->cfg->timeout_s + RUN_GRACE_S,
				       RUN_STATUS_TIMEOUT);
	}
	notify_manager(run->notify_fd, "READY=1");
	report(run, json_pack("{s:s, s:s, s:i, s:s, s:s?}", "event", "started", "name",
			      run->cfg->name, "pid", getpid(), "control", run->claim.path,
			      "console", run_console_path(run)));
	return 0;
}

int run_wait(struct run *run, struct err *e)
{
	int rc = loop_run(run->loop);

	return rc < 0 ? err_set(e, rc, "event loop: %s", strerror(-rc)) : run->status;
}

int run_new(struct run **ret, struct config *cfg, const struct machine_incoming *in, struct err *e)
{
	struct run *run = calloc(1, sizeof(*run));
	int rc;

	if (!run) {
		(void)err_set(e, -ENOMEM, "out of memory");
		return -ENOMEM;
	}
	run->cfg = cfg;
	run->incoming = in;
	run->notify_fd = run->statm_fd = -1;
	runtime_claim_init(&run->claim);
	raise_limits();
	rc = set_up(run, e);
	if (rc < 0) {
		run_free(run);
		return rc;
	}
	*ret = run;
	return 0;
}

void run_free(struct run *run)
{
	if (!run)
		return;
	tear_down(run);
	if (run->ending)
		report(run,
		       json_pack("{s:s, s:s, s:s, s:i}", "event", "ended", "name", run->cfg->name,
				 "reason", run->reason, "status", run->status));
	free(run);
}

int run_guest(struct config *cfg, struct err *e)
{
	struct run *run = NULL;
	int rc = sandbox_begin(&cfg->sandbox, e);

	if (rc == 0)
		rc = run_new(&run, cfg, NULL, e);
	if (rc == 0)
		rc = run_start(run, e);
	if (rc == 0)
		rc = run_wait(run, e);
	run_free(run);
	return rc;
}

/* --- for the commands of the control socket --- */

struct machine *run_machine(const struct run *run)
{
	return run->machine;
}

struct loop *run_loop(const struct run *run)
{
	return run->loop;
}

void run_event(struct run *run, const char *name, json_t *data)
{
	on_event(run, name, data);
}

uint64_t run_resident_bytes(const struct run *run)
{
	return host_resident_bytes(run->statm_fd);
}

const char *run_console_path(const struct run *run)
{
	return run->host ? console_host_path(run->host) : NULL;
}

static bool name_is_elsewhere(const struct run *run)
{
	const struct nic_config *nics = run->cfg->nics.items;

	for (size_t i = 0; i < run->cfg->nics.nr; i++) {
		if (nics[i].kind == NIC_NETWORK)
			return true;
	}
	return access(run->pty_link, F_OK) == 0;
}

int run_rename(struct run *run, const char *name, struct err *e)
{
	struct runtime_claim claim;
	char *copy;
	int rc = runtime_check_name(name, e);

	if (rc < 0)
		return rc;
	if (keeper_exists())
		return err_set(e, -EBUSY,
			       "a guest with --user, --jail or --chroot keeps its name: its "
			       "process cannot make another socket");
	if (name_is_elsewhere(run) || (run->mover && run->mover->busy))
		return err_set(e, -EBUSY,
			       "the guest keeps its name while it is on a managed network, has a "
			       "pty, or is being moved or saved");
	copy = strdup(name);
	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	rc = runtime_claim(&claim, name, run->cfg->ephemeral, e);
	if (rc == 0 && control_set_listener(run->control, claim.sock_fd) < 0) {
		runtime_release(&claim);
		rc = control_set_listener(run->control, run->claim.sock_fd);
		rc = err_set(e, rc < 0 ? rc : -EIO, "cannot listen on the new control socket");
	}
	if (rc < 0) {
		free(copy);
		return rc;
	}
	runtime_release(&run->claim);
	run->claim = claim;
	free(run->cfg->name);
	run->cfg->name = copy;
	return 0;
}

/* --- dry run --- */

int run_check(const struct config *cfg, struct err *e)
{
	struct run run = {
		.cfg = (struct config *)(uintptr_t)cfg,
		.notify_fd = -1,
		.statm_fd = -1,
	};
	struct console_spec spec;
	int rc;

	runtime_claim_init(&run.claim);
	raise_limits();
	if ((rc = sandbox_check(&cfg->sandbox, e)) < 0 ||
	    (rc = runtime_check_free(cfg->name, e)) < 0 ||
	    (rc = console_parse_spec(cfg->console, &spec, e)) < 0 ||
	    (rc = console_check_spec(&spec, e)) < 0 ||
	    (rc = host_check_memory(cfg->memory_bytes, cfg->hugepages, e)) < 0)
		return rc;
	rc = open_loop(&run, e);
	if (rc == 0)
		rc = make_machine(&run, e);
	tear_down(&run);
	return rc;
}
