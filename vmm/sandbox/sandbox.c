// SPDX-License-Identifier: MIT
// Confinement of a guest's process: in which order, and for which threads.
#include "vmm/sandbox/sandbox.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "util/io.h"
#include "util/log.h"
#include "util/thread.h"
#include "vmm/sandbox/identity.h"
#include "vmm/sandbox/jail.h"
#include "vmm/sandbox/keeper.h"
#include "vmm/sandbox/sandbox_impl.h"

const char *const sandbox_seccomp_choices[] = { "on", "log", "off", NULL };

static struct {
	bool begun; /* const from then on, as are: */
	unsigned seccomp;
	struct identity identity;
	struct jail jail; /* its root: main thread */
	struct landlock landlock;

	bool hides_files;
	const char *root; /* "/", --chroot's folder or "empty" */

	bool entered; /* main thread, as what is known from then on: */
	gid_t gid;
	struct limits limits;
} box;

/*
 * Sanitizers open files, make processes and map executable memory whenever they
 * find something: their builds know no filters and no domain.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true; /* and look into /proc at the end, in a jail, too */
#else
static const bool sanitized = false;
#endif

/* Another user, without what the one before could: the bounding set goes while it can. */
static int change_identity(void)
{
	int rc = caps_drop_bounds();

	if (rc == 0)
		rc = identity_take(&box.identity);
	if (rc == 0)
		rc = caps_no_new_privs();
	return rc < 0 ? rc : caps_drop();
}

/* @all_is_open: of the main thread; the others come before. */
static int confine(enum thread_class class, bool all_is_open)
{
	int rc = jail_enter_net(&box.jail);

	if (rc == 0)
		rc = change_identity();
	/* What else runs as that user reads none of our memory, and takes no descriptor. */
	if (rc == 0 && all_is_open && keeper_exists() && prctl(PR_SET_DUMPABLE, 0) < 0)
		rc = -errno;
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
		rc = confine(class, false);
	else if (class != parent)
		rc = narrow(class);
	if (rc == 0)
		return;
	log_error("thread %s cannot be confined: %s: the guest ends", thread_own_name(),
		  strerror(-rc));
	_exit(1);
}

static int check_seccomp(const struct sandbox_options *o, struct err *e)
{
	int rc = sandbox_check_seccomp();

	box.seccomp = sanitized ? SANDBOX_SECCOMP_OFF : o->seccomp;
	if (rc == 0 || box.seccomp == SANDBOX_SECCOMP_OFF)
		return 0;
	return err_set(e, rc,
		       "this kernel has no seccomp: %s: --seccomp off runs the guest without",
		       strerror(-rc));
}

static int check_jail(struct err *e)
{
	int rc = jail_check();

	return rc < 0 ? err_set(e, rc, "jail: %s: %s", strerror(-rc), jail_remedy(rc)) : 0;
}

int sandbox_check(const struct sandbox_options *o, struct err *e)
{
	struct identity id;
	struct jail jail = { .root_fd = -1 };
	int rc = check_seccomp(o, e);

	if (rc == 0)
		rc = identity_parse(&id, o->user, e);
	if (rc == 0)
		rc = jail_init(&jail, o->jail || o->jail_net, o->chroot_dir, e);
	if (rc < 0)
		return rc;
	close_fd(&jail.root_fd);
	return jail.on ? check_jail(e) : 0;
}

/* Before there are namespaces: what removes files, and starts ferry-net, is in none. */
static int begin_apart(const struct sandbox_options *o, struct err *e)
{
	int rc = identity_parse(&box.identity, o->user, e);

	if (rc == 0)
		rc = jail_init(&box.jail, o->jail || o->jail_net, o->chroot_dir, e);
	if (rc < 0)
		return rc;
	box.hides_files = box.jail.on || o->chroot_dir;
	box.root = o->chroot_dir ? o->chroot_dir : box.jail.on ? "empty" : "/";
	if (box.identity.given || box.hides_files)
		rc = keeper_start(e);
	if (rc == 0)
		rc = jail_begin(&box.jail, o->jail_net, e);
	if (rc == 0 && sanitized && jail_show_folder(&box.jail, "/proc") < 0)
		rc = err_set(e, -ENAMETOOLONG, "jail: /proc");
	return rc;
}

int sandbox_begin(const struct sandbox_options *o, struct err *e)
{
	int rc = check_seccomp(o, e);

	if (rc == 0)
		rc = begin_apart(o, e);
	if (rc < 0)
		return rc;
	rc = landlock_init(&box.landlock);
	if (rc == 0 && o->chroot_dir)
		rc = landlock_allow_resolver_in(&box.landlock, o->chroot_dir);
	if (rc == 0 && box.seccomp != SANDBOX_SECCOMP_OFF)
		rc = seccomp_init_handler();
	if (rc < 0)
		return err_set(e, rc, "confinement: %s", strerror(-rc));
	box.begun = true;
	thread_set_hook(on_thread);
	return 0;
}

bool sandbox_hides_files(void)
{
	return box.hides_files;
}

bool sandbox_hides_net(void)
{
	return box.jail.on && box.jail.net_fd >= 0;
}

int sandbox_show_folder(const char *dir, struct err *e)
{
	int rc;

	if (box.jail.root)
		return err_set(e, -EINVAL,
			       "%s: --chroot hides it: leave that out, --jail alone shows it", dir);
	rc = jail_show_folder(&box.jail, dir);
	return rc < 0 ? err_set(e, rc, "jail: %s: %s", dir, strerror(-rc)) : 0;
}

int sandbox_show_resolver(struct err *e)
{
	int rc = jail_show_resolver(&box.jail);

	return rc < 0 ? err_set(e, rc, "jail: %s", strerror(-rc)) : 0;
}

int sandbox_allow_removal(const char *dir, struct err *e)
{
	int rc = box.begun ? landlock_allow_removal(&box.landlock, dir) : 0;

	return rc < 0 ? err_set(e, rc, "confinement: %s: %s", dir, strerror(-rc)) : 0;
}

int sandbox_allow_rename(const char *dir, int lock_fd, struct err *e)
{
	int rc = box.begun ? landlock_allow_rename(&box.landlock, dir, lock_fd) : 0;

	return rc < 0 ? err_set(e, rc, "confinement: %s: %s", dir, strerror(-rc)) : 0;
}

int sandbox_allow_cores(const char *dir, struct err *e)
{
	int rc = box.begun ? landlock_allow_cores(&box.landlock, dir) : 0;

	return rc < 0 ? err_set(e, rc, "confinement: %s: %s", dir, strerror(-rc)) : 0;
}

int sandbox_enter(struct err *e)
{
	int rc;

	if (!box.begun)
		return 0;
	rc = keeper_seal();
	if (rc == 0)
		rc = limits_enter(&box.limits);
	if (rc < 0)
		return err_set(e, rc, "confinement: %s", strerror(-rc));
	rc = jail_enter_root(&box.jail, e);
	if (rc < 0)
		return rc;
	box.gid = box.identity.given ? box.identity.gid : getegid();
	rc = confine(THREAD_MAIN, true);
	if (rc < 0)
		return err_set(e, rc, "confinement: %s", strerror(-rc));
	box.entered = true;
	thread_set_class(THREAD_MAIN);
	return 0;
}

/* The namespaces that are its own; NULL: no memory. */
static json_t *namespaces_json(void)
{
	json_t *array = json_array();

	if (!box.jail.on)
		return array;
	if (box.jail.own_user)
		(void)json_array_append_new(array, json_string("user"));
	(void)json_array_append_new(array, json_string("mount"));
	(void)json_array_append_new(array, json_string("ipc"));
	(void)json_array_append_new(array, json_string("uts"));
	if (box.jail.net_fd >= 0)
		(void)json_array_append_new(array, json_string("net"));
	return array;
}

json_t *sandbox_json(void)
{
	if (!box.entered)
		return json_pack("{s:b, s:b, s:i, s:s}", "no-new-privs", 0, "no-capabilities", 0,
				 "landlock", 0, "seccomp", "off");
	return json_pack("{s:b, s:b, s:i, s:s, s:i, s:i, s:s, s:o, s:o}", "no-new-privs", 1,
			 "no-capabilities", 1, "landlock", sanitized ? 0 : box.landlock.abi,
			 "seccomp", sandbox_seccomp_choices[box.seccomp], "uid", (int)geteuid(),
			 "gid", (int)box.gid, "root", box.root, "namespaces", namespaces_json(),
			 "limits", limits_json(&box.limits));
}
