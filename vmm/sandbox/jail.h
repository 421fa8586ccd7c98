/* SPDX-License-Identifier: MIT */
/* --jail and --chroot: namespaces of the guest's process alone, and a root with nothing in it. */
#ifndef FERRY_VMM_SANDBOX_JAIL_H
#define FERRY_VMM_SANDBOX_JAIL_H

#include <limits.h>
#include <stdbool.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * Namespaces of mounts, IPC and names come before there is a thread, so that all have
 * them; where that takes a user namespace, it comes with them. The host's
 * files are still there, and what the guest needs is opened. Then the root is
 * exchanged by pivot_root(2), for all threads at once, as they share it. An empty
 * network namespace is made before too, but each thread goes there by itself when it
 * is confined: taps are the host's.
 */
/* The list of name servers and a link to it, --dump-dir, /proc. */
#define JAIL_MAX_SHOWN 4

struct jail {
	bool on;          /* namespaces, and an exchanged root; else at most another root */
	bool own_user;    /* a user namespace was needed */
	int net_fd;       /* the empty network; -1: the host's stays */
	const char *root; /* --chroot's folder, the caller's; NULL: nothing is to be seen */
	int root_fd;      /* the same, open; -1: NULL */
	struct jail_shown {
		char path[PATH_MAX];   /* in the jail, absolute */
		char source[PATH_MAX]; /* the host's; a link's target */
		bool is_link, writable;
	} shown[JAIL_MAX_SHOWN];
	unsigned nr_shown;
};

/* What it is to be; @root: NULL, or a folder. -errno with @e: the folder is not there. */
__must_check int jail_init(struct jail *j, bool on, const char *root, struct err *e);

/* The namespaces. Before there is a thread. 0, or -errno with @e. */
__must_check int jail_begin(struct jail *j, bool own_net, struct err *e);

/* The folder @dir, absolute and without links, is seen in the jail, and written to. 0 or -errno. */
__must_check int jail_show_folder(struct jail *j, const char *dir);

/* So is the list of name servers, for reading. 0 or -errno. */
__must_check int jail_show_resolver(struct jail *j);

/* Exchange the root, for all threads. 0, or -errno with @e. */
__must_check int jail_enter_root(struct jail *j, struct err *e);

/* The calling thread leaves the host's network, if that is wanted. 0 or -errno. */
__must_check int jail_enter_net(const struct jail *j);

/* Can this process have a jail? Tried in a child. 0 or -errno. */
__must_check int jail_check(void);

/* What mends jail_check()'s @error. */
const char *jail_remedy(int error);

#endif
