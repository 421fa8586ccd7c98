/* SPDX-License-Identifier: MIT */
/* A guest made from its settings: devices, boot image, and what it is up to. */
#ifndef FERRY_VMM_GUEST_MACHINE_H
#define FERRY_VMM_GUEST_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config.h"

struct boot;
struct console;
struct loop;
struct machine;
struct virtio_dev;
struct vm;

enum machine_state {
	MACHINE_READY,    /* made, not started */
	MACHINE_INCOMING, /* its state comes from elsewhere; not started */
	MACHINE_RUNNING,
	MACHINE_PAUSED,  /* by the user */
	MACHINE_CRASHED, /* kept for inspection (--on-crash preserve), or about to restart */
	MACHINE_OFF,     /* the same after a power-off or reset */
	MACHINE_ENDED,
};

/* Why a machine ended. */
enum machine_end {
	MACHINE_END_POWEROFF, /* the guest switched itself off */
	MACHINE_END_REBOOT,   /* a reset, with --on-reboot destroy */
	MACHINE_END_DEBUG,    /* the debug-exit port; code: the value */
	MACHINE_END_CRASH,
	MACHINE_END_FAILED, /* ferry could not go on; it has said why */
};

/* What a machine tells its owner, on the main loop. */
struct machine_listener {
	/* The guest has ended, and runs no more. */
	void (*ended)(void *opaque, enum machine_end end, unsigned code);
	/* An event of the control protocol; @data is handed over, or NULL. */
	void (*event)(void *opaque, const char *name, json_t *data);
	/* The guest is over, and a core of it is wanted first; machine_kept() follows.
	 * False: that is not possible. May be NULL. */
	bool (*keep)(void *opaque);
	void *opaque;
};

/*
 * Make everything that @cfg asks for, and load the boot image; nothing runs
 * yet. @cfg, @con and @loop must outlive the machine, which changes @cfg when devices come or
 * go (vmm/guest/hotplug.h). 0, or -errno with the
 * setting and the reason in @e. Main thread, as are all functions here.
 */
__must_check int machine_new(struct machine **ret, struct config *cfg, struct loop *loop,
			     struct console *con, const struct machine_listener *listener,
			     struct err *e);

struct guest_spec;

/* A machine whose state comes from a file or a peer. */
struct machine_incoming {
	struct guest_spec *spec; /* its cfg is the one that the machine is made from */
	int ram_fd;              /* RAM is this file's, copied on write; -1: empty */
	uint64_t ram_offset;     /* where RAM begins in it: a multiple of the page size */
};

/*
 * Make what machine_new() makes, but for a guest that ran before: nothing is
 * loaded, the disks are open without their locks, all is paused. The disks must
 * have the size that the spec says. @in->ram_fd stays the caller's, and may be closed
 * afterwards; @in->spec must outlive the machine. See vmm/guest/state.h.
 */
__must_check int machine_new_incoming(struct machine **ret, const struct machine_incoming *in,
				      struct loop *loop, struct console *con,
				      const struct machine_listener *listener, struct err *e);

/*
 * Give an incoming machine the kernel and initrd that a reset needs; it takes
 * @boot over. Without them a reset ends the guest.
 */
void machine_set_boot(struct machine *m, struct boot *boot);

/* What machine_set_boot() gave or machine_new() opened; the machine's. May be NULL. */
struct boot *machine_boot(const struct machine *m);

/* Stop and release everything. NULL: no-op. */
void machine_free(struct machine *m);

/* An incoming guest stays paused when it starts, even if it was not. */
void machine_set_paused(struct machine *m);

/* What the clocks of an incoming guest do, which was paused some time ago. */
enum machine_clock {
	MACHINE_CLOCK_CONTINUE, /* go on from the pause; if nobody says */
	MACHINE_CLOCK_REALTIME, /* by what the wall clocks of the hosts say: a saved file */
	MACHINE_CLOCK_ARRIVAL,  /* by the time that was measured here and there: a stream */
};

/* Choose before machine_start(). */
void machine_set_clock(struct machine *m, enum machine_clock clock);

/*
 * Do what machine_start() can do before an incoming guest has arrived, so that it
 * takes less time then. 0, or -errno with @e.
 */
__must_check int machine_prepare(struct machine *m, struct err *e);

/*
 * Let the guest run; an incoming one that its user had paused stays so. The
 * caller has taken the locks of an incoming guest's disks. 0, or -errno with @e.
 */
__must_check int machine_start(struct machine *m, struct err *e);

/*
 * Stop the guest for saving it: nothing of it runs until machine_release(), and
 * until then nobody can pause, resume, reset or press its button. @why is for
 * their message: "it is being saved". 0, or -EINVAL with @e after a crash or the
 * end; -EAGAIN where the guest has just asked for its end or reset: let the main
 * loop deal with that and try again.
 */
__must_check int machine_hold(struct machine *m, const char *why, struct err *e);

/*
 * The same for looking at it alone: a guest that has crashed is fine, and is not
 * restarted (--on-crash restart) before machine_release().
 */
__must_check int machine_hold_to_look(struct machine *m, const char *why, struct err *e);

/* For a debugger: the event that stopped the guest is over, and it is held from now on. */
void machine_hold_stopped(struct machine *m, const char *why);

/* The same for one that was paused before its start, and has been started. */
void machine_set_held(struct machine *m, const char *why);

/* A debugger is attached: nobody may save or move the guest. */
void machine_set_debugged(struct machine *m, bool debugged);
bool machine_is_debugged(const struct machine *m);

/* Let it go on; a paused one stays paused, and a crashed one crashed. */
void machine_release(struct machine *m);

/* By the user's wish; doing it twice is no error. -EINVAL after a crash or the end. */
__must_check int machine_pause(struct machine *m, struct err *e);
__must_check int machine_resume(struct machine *m, struct err *e);
__must_check int machine_reset(struct machine *m, struct err *e);

/* Press the power button; a paused guest notices when it runs again. */
__must_check int machine_power_button(struct machine *m, struct err *e);

/*
 * Press the power button, and start the guest again when it has switched itself off. A
 * guest that does not heed the button goes on.
 */
__must_check int machine_reboot(struct machine *m, struct err *e);

/* A non-maskable interrupt to all vCPUs. */
__must_check int machine_nmi(struct machine *m, struct err *e);

/*
 * A break on the serial port, and @key: Linux does what SysRq and the key do, if its
 * console is there. -EBUSY where the guest does not read.
 */
__must_check int machine_sysrq(struct machine *m, char key, struct err *e);

/* The core that machine_listener.keep() wanted is written, or failed. */
void machine_kept(struct machine *m);

/* What it is up to. */
enum machine_state machine_state(const struct machine *m);

/* "running", "paused", ...: QMP's RunState names. */
const char *machine_status(const struct machine *m);

/* Its parts; const, but for devices in the settings. */
struct vm *machine_vm(const struct machine *m);
const struct config *machine_config(const struct machine *m);
struct console *machine_console(const struct machine *m);

/* Disk or nic number @i of the settings; NULL: none was made for it. See hotplug.h. */
struct virtio_dev *machine_disk(const struct machine *m, size_t i);
struct virtio_dev *machine_nic(const struct machine *m, size_t i);

/* The balloon; NULL: there is none. */
struct virtio_dev *machine_balloon(const struct machine *m);

/* CLOCK_MONOTONIC of machine_start(). */
uint64_t machine_start_ns(const struct machine *m);

#endif
