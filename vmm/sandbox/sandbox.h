/* SPDX-License-Identifier: MIT */
/* Confinement of a guest's process: what is left to it once everything is open. */
#ifndef FERRY_VMM_SANDBOX_SANDBOX_H
#define FERRY_VMM_SANDBOX_SANDBOX_H

#include <jansson.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * docs/threat-model.md says against whom. Capabilities, the user, no_new_privs,
 * Landlock's domain and seccomp's filters belong to a thread, and a thread inherits
 * them from the one that starts it. So:
 *
 * sandbox_begin() comes before the first thread. From then on each thread confines
 * itself before it does anything else: none but the main thread opens files.
 * The main thread goes on to open what the guest needs, and calls sandbox_enter()
 * before anything of the guest's, a peer's or a saved file's state is read. Threads
 * that it starts later inherit from it, and take what narrows their class further.
 * From then on no thread opens files, but for those that were allowed before: what
 * else is needed comes as a descriptor, from a client of the control socket.
 *
 * All of this belongs to the process, as the process's threads do: it is the one
 * state of file scope besides the log's.
 */
enum sandbox_seccomp { SANDBOX_SECCOMP_ON, SANDBOX_SECCOMP_LOG, SANDBOX_SECCOMP_OFF };

/* Of this host: never part of what a guest takes along. */
struct sandbox_options {
	unsigned seccomp; /* enum sandbox_seccomp */
	char *user;       /* identity_parse(); NULL: who started it */
	bool jail, jail_net;
	char *chroot_dir; /* NULL: none */
};

extern const char *const sandbox_seccomp_choices[];

/* The fields of struct sandbox_options at @offset of a structure, for a table of settings. */
#define SANDBOX_FIELDS(offset)                                                                     \
	{ "seccomp",                                                                               \
	  &field_choice,                                                                           \
	  (offset) + offsetof(struct sandbox_options, seccomp),                                    \
	  .arg = "MODE",                                                                           \
	  .help = "system calls outside the lists: on (default) kills, log, off",                  \
	  .choices = sandbox_seccomp_choices,                                                      \
	  .local = true },                                                                         \
		{ "user",                                                                          \
		  &field_string,                                                                   \
		  (offset) + offsetof(struct sandbox_options, user),                               \
		  .arg = "USER[:GROUP]",                                                           \
		  .help = "become this user once all is open (root only)",                         \
		  .local = true },                                                                 \
		{ "jail", &field_flag, (offset) + offsetof(struct sandbox_options, jail),          \
		  .help = "namespaces of its own, and none of the host's files", .local = true },  \
		{ "jail-net", &field_flag, (offset) + offsetof(struct sandbox_options, jail_net),  \
		  .help = "a jail without a network, but for the guest's taps", .local = true },   \
	{                                                                                          \
		"chroot", &field_string, (offset) + offsetof(struct sandbox_options, chroot_dir),  \
			.arg = "DIR", .help = "see this folder as the root once all is open",      \
			.local = true                                                              \
	}

/*
 * Threads that are started from now on confine themselves. Main thread, before
 * there is another one. 0 or -errno.
 */
__must_check int sandbox_begin(const struct sandbox_options *o, struct err *e);

/*
 * The process may go on to remove files from the folder @dir: its sockets, at its
 * end. Before any thread of THREAD_MAIN is started. Not begun: no-op. 0 or -errno.
 */
__must_check int sandbox_allow_removal(const char *dir, struct err *e);

/*
 * What stays reachable in a jail, where there is one: the folder @dir, absolute and
 * without links, also to write to; the list of name servers. Before sandbox_enter(). 0, or
 * -errno with @e.
 */
__must_check int sandbox_show_folder(const char *dir, struct err *e);
__must_check int sandbox_show_resolver(struct err *e);

/*
 * The guest may get another name: its socket is made in the folder @dir, where the names'
 * lock is, open as @lock_fd. Begun or not; before sandbox_enter(). 0 or -errno.
 */
__must_check int sandbox_allow_rename(const char *dir, int lock_fd, struct err *e);

/* Cores of the guest may be written to the folder @dir. The same. */
__must_check int sandbox_allow_cores(const char *dir, struct err *e);

/* Confine the calling thread, the main one: all is open. Not begun: no-op. 0 or -errno. */
__must_check int sandbox_enter(struct err *e);

/* Could sandbox_begin() do what @o asks for? Changes nothing. 0, or -errno with @e. */
__must_check int sandbox_check(const struct sandbox_options *o, struct err *e);

/* Are the host's files, or its network, out of reach once all is open? Main thread. */
bool sandbox_hides_files(void);
bool sandbox_hides_net(void);

/* What holds now, for `ferry info`; NULL: no memory. */
json_t *sandbox_json(void);

/* Landlock's version in this kernel; 0: none. */
int sandbox_landlock_abi(void);

/* Does this kernel filter system calls? 0 or -errno. */
int sandbox_check_seccomp(void);

#endif
