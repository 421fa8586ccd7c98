// SPDX-License-Identifier: MIT
// What a guest does to itself - power-off, reset, crash - and what becomes of it then.
#include <errno.h>
#include <string.h>

#include "util/clock.h"
#include "util/log.h"
#include "vmm/boot.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/vm.h"

/*
 * Theory of operation
 *
 * The vCPUs are parked while an event stands. The user has said what is to be done
 * (on_poweroff, on_reboot, on_crash). Where a core is to be written first, the machine
 * is "over" - stopped, and fit to be looked at - until its owner is done with that and
 * calls machine_kept(); what was to be done is in m->next meanwhile.
 */

/* A guest that ends right after its start is not restarted faster than this. */
#define RESTART_INTERVAL_NS (1 * NSEC_PER_SEC)

void machine_tell(struct machine *m, const char *name, json_t *data)
{
	if (m->listener.event)
		m->listener.event(m->listener.opaque, name, data);
	else
		json_decref(data);
}

static void end(struct machine *m, enum machine_end why, unsigned code)
{
	bool by_guest = why != MACHINE_END_FAILED;
	const char *reason = why == MACHINE_END_REBOOT  ? "guest-reset"
			     : why == MACHINE_END_CRASH ? "guest-panic"
			     : by_guest                 ? "guest-shutdown"
							: "host-error";

	if (m->ended)
		return;
	m->ended = true;
	machine_tell(m, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", by_guest, "reason", reason));
	m->listener.ended(m->listener.opaque, why, code);
}

bool machine_boot_again(struct machine *m, enum machine_reset_by by)
{
	static const char *const reasons[] = {
		[MACHINE_RESET_BY_GUEST] = "guest-reset",
		[MACHINE_RESET_BY_USER] = "host-qmp-system-reset",
		[MACHINE_RESET_AFTER_POWEROFF] = "guest-shutdown",
		[MACHINE_RESET_AFTER_CRASH] = "guest-panic",
	};
	struct err e = { 0 };
	int rc;

	machine_hotplug_reset(m);
	rc = vm_reset(m->vm);

	if (rc < 0)
		(void)err_set(&e, rc, "reset: %s", strerror(-rc));
	else if (!m->boot)
		rc = err_set(&e, -ENOENT, "reset: the guest came here without its kernel");
	else
		rc = boot_load(m->boot, m->vm, &e);
	if (rc < 0) {
		log_error("%s", e.text);
		end(m, MACHINE_END_FAILED, 0);
		return false;
	}
	m->boot_ns = clock_now_ns();
	m->rebooting = false;
	machine_tell(m, "RESET",
		     json_pack("{s:b, s:s}", "guest", by != MACHINE_RESET_BY_USER, "reason",
			       reasons[by]));
	return true;
}

void machine_restart_now(void *opaque)
{
	struct machine *m = opaque;

	if (machine_boot_again(m, m->crashed ? MACHINE_RESET_AFTER_CRASH
					     : MACHINE_RESET_AFTER_POWEROFF)) {
		m->over = m->crashed = false;
		vm_event_done(m->vm);
	}
}

void machine_go_on(struct machine *m)
{
	switch (m->next) {
	case ACTION_DESTROY:
		end(m, m->next_end, 0);
		break;
	case ACTION_RESTART:
	case ACTION_RENAME_RESTART:
		loop_arm(m->loop, &m->restart, m->boot_ns + RESTART_INTERVAL_NS);
		break;
	case ACTION_PRESERVE:
		break;
	}
}

void machine_kept(struct machine *m)
{
	/* A reset by the user may have come first. */
	if (m->keeping) {
		m->keeping = false;
		machine_go_on(m);
	}
}

/* The guest is over: write a core if one is wanted, then do @action. */
static void finish(struct machine *m, enum guest_action action, enum machine_end why)
{
	bool core = m->cfg->dump_dir && (m->crashed || action == ACTION_RENAME_RESTART);

	m->over = true;
	m->next = action;
	m->next_end = why;
	m->keeping = core && m->listener.keep && m->listener.keep(m->listener.opaque);
	if (!m->keeping)
		machine_go_on(m);
}

static void on_reset(struct machine *m)
{
	enum guest_action action = (enum guest_action)m->cfg->on_reboot;

	if (action != ACTION_RESTART) {
		finish(m, action, MACHINE_END_REBOOT);
		return;
	}
	log_debug("the guest resets");
	if (machine_boot_again(m, MACHINE_RESET_BY_GUEST))
		vm_event_done(m->vm);
}

static void on_poweroff(struct machine *m)
{
	finish(m, m->rebooting ? ACTION_RESTART : (enum guest_action)m->cfg->on_poweroff,
	       MACHINE_END_POWEROFF);
}

static void on_crash(struct machine *m, enum vm_crash how)
{
	static const char *const what[] = {
		[VM_CRASH_PANIC] = "panicked",
		[VM_CRASH_TRIPLE_FAULT] = "crashed by a triple fault",
		[VM_CRASH_KVM] = "did what KVM cannot do",
	};
	static const char *const next[] = {
		[ACTION_DESTROY] = "ends",
		[ACTION_RESTART] = "restarts",
		[ACTION_PRESERVE] = "is kept for inspection",
		[ACTION_RENAME_RESTART] = "restarts; a core of it is kept",
	};
	static const char *const action[] = {
		[ACTION_DESTROY] = "poweroff",
		[ACTION_RESTART] = "reset",
		[ACTION_PRESERVE] = "pause",
		[ACTION_RENAME_RESTART] = "reset",
	};

	log_warn("the guest %s, and %s", what[how], next[m->cfg->on_crash]);
	if (gmem_file_is_cut(&m->vm->gmem))
		log_error("somebody has cut the saved file that its memory is read from");
	machine_tell(m, "GUEST_PANICKED", json_pack("{s:s}", "action", action[m->cfg->on_crash]));
	m->crashed = true;
	finish(m, (enum guest_action)m->cfg->on_crash, MACHINE_END_CRASH);
}

/* The vCPUs are parked until vm_event_done(). */
void machine_on_event(void *opaque, enum vm_event event, unsigned code)
{
	struct machine *m = opaque;

	switch (event) {
	case VM_EVENT_NONE:
		break;
	case VM_EVENT_POWEROFF:
		on_poweroff(m);
		break;
	case VM_EVENT_DEBUG_EXIT:
		end(m, MACHINE_END_DEBUG, code);
		break;
	case VM_EVENT_RESET:
		on_reset(m);
		break;
	case VM_EVENT_CRASH:
		on_crash(m, (enum vm_crash)code);
		break;
	case VM_EVENT_DEBUG:
		m->vm->debugger->stopped(m->vm->debugger, code);
		break;
	}
}
