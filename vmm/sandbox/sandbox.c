// SPDX-License-Identifier: MIT
// Confinement of a guest's process: in which order, and for which threads.
#include "vmm/sandbox/sandbox.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"
#include "util/thread.h"
#include "vmm/sandbox/sandbox_impl.h"

const char *const sandbox_seccomp_choices[] = { "on", "log", "off", NULL };

static struct {
	bool begun; /* const from then on, as are: */
	unsigned seccomp;
	struct landlock landlock;

	bool entered; /* main thread */
} box;

/*
 * Sanitizers open files, make processes and map executable memory whenever they
 * find something: their builds know no filters and no domain.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static int confine(enum thread_class class)
{
	int rc = caps_no_new_privs();

	if (rc == 0)
		rc = caps_drop();
	if (rc == 0 && !sanitized)
		rc = landlock_enter(&box.landlock, class);
	if (rc == 0 && box.seccomp != SANDBOX_SECCOMP_OFF)
		rc = seccomp_enter(class, box.seccomp == SANDBOX_SECCOMP_LOG);
	return rc;
}

/* What it inherits is more than what it may have, and less than it needs to drop again. */
static int narrow(enum thread_class class)
{
	int rc = sanitized ? 0 : landlock_enter(&box.landlock, class);

	if (rc == 0 && box.seccomp != SANDBOX_SECCOMP_OFF)
		rc = seccomp_enter(class, box.seccomp == SANDBOX_SECCOMP_LOG);
	return rc;
}

/* A thread that cannot be confined must not run: there is nobody to tell but the user. */
static void on_thread(enum thread_class class, enum thread_class parent)
{
	int rc = 0;

	if (parent == THREAD_FREE)
		rc = confine(class);
	else if (class != parent)
		rc = narrow(class);
	if (rc == 0)
		return;
	log_error("thread %s cannot be confined: %s: the guest ends", thread_own_name(),
		  strerror(-rc));
	_exit(1);
}

int sandbox_begin(const struct sandbox_options *o, struct err *e)
{
	int rc;

	box.seccomp = sanitized ? SANDBOX_SECCOMP_OFF : o->seccomp;
	rc = box.seccomp == SANDBOX_SECCOMP_OFF ? 0 : sandbox_check_seccomp();
	if (rc < 0)
		return err_set(e, rc,
			       "this kernel has no seccomp: %s: --seccomp off runs the guest "
			       "without",
			       strerror(-rc));
	rc = landlock_init(&box.landlock);
	if (rc == 0 && box.seccomp != SANDBOX_SECCOMP_OFF)
		rc = seccomp_init_handler();
	if (rc < 0)
		return err_set(e, rc, "confinement: %s", strerror(-rc));
	box.begun = true;
	thread_set_hook(on_thread);
	return 0;
}

int sandbox_allow_removal(const char *dir, struct err *e)
{
	int rc = box.begun ? landlock_allow_removal(&box.landlock, dir) : 0;

	return rc < 0 ? err_set(e, rc, "confinement: %s: %s", dir, strerror(-rc)) : 0;
}

int sandbox_enter(struct err *e)
{
	int rc;

	if (!box.begun)
		return 0;
	rc = caps_limits();
	if (rc == 0)
		rc = confine(THREAD_MAIN);
	if (rc < 0)
		return err_set(e, rc, "confinement: %s", strerror(-rc));
	box.entered = true;
	thread_set_class(THREAD_MAIN);
	return 0;
}

json_t *sandbox_json(void)
{
	unsigned seccomp = box.entered ? box.seccomp : SANDBOX_SECCOMP_OFF;

	return json_pack("{s:b, s:b, s:i, s:s}", "no-new-privs", box.entered, "no-capabilities",
			 box.entered, "landlock", box.entered && !sanitized ? box.landlock.abi : 0,
			 "seccomp", sandbox_seccomp_choices[seccomp]);
}
