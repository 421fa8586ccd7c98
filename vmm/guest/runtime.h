/* SPDX-License-Identifier: MIT */
/* Names of running guests, and where their control sockets are. */
#ifndef FERRY_VMM_GUEST_RUNTIME_H
#define FERRY_VMM_GUEST_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * A user's runtime directory ($XDG_RUNTIME_DIR/ferry, /run/ferry for root,
 * else /tmp/ferry-UID) is the space in which names of guests are unique. It is
 * the user's alone (0700) and holds, for each guest, NAME.sock.
 *
 * A name is owned by a lock that the kernel drops when its owner dies, however
 * that happens: the OFD lock on one byte of the file "lock", at an offset made
 * from the name. So a socket without its lock is stale, and is replaced.
 * Whoever removes stale files does not take that lock, or a guest that starts
 * at that moment would be refused, but the byte after it, and looks whether the
 * name is owned; who has taken the name waits for that byte before it makes files.
 *
 * So the guest's process keeps the lock file open for as long as it has the name: with the
 * last descriptor the lock would go. It is the one file that guests of a user share, and
 * it is open for writing, or the lock could not be had. Nothing is read from it or relied
 * on in it. A process that somebody has taken over can lock names that are free, so that no
 * guest gets them; it cannot unlock others', and who meets its locks waits half a second.
 *
 * An ephemeral guest must leave nothing even when it is killed, so it has no
 * file: its control socket is bound in the abstract namespace, to the address
 * that the file would have. Binding is its lock. Such a guest is seen from its
 * own network namespace only. Each kind takes its own lock first and looks
 * for the other kind then, so of two that start at once at least one sees the
 * other.
 */
#define RUNTIME_NAME_MAX 48

/* The address of a control socket. */
struct runtime_addr {
	struct sockaddr_un sun;
	socklen_t len;
};

/* Which characters a name has, and which it starts with. */
bool runtime_name_char(char c);
bool runtime_name_start(char c);

/* 0, or -EINVAL with the reason: letters, digits and ._- are allowed. */
__must_check int runtime_check_name(const char *name, struct err *e);

/*
 * The runtime directory's path into @buf. With @create it is made if missing,
 * and refused (-EPERM) where others could write to it. 0 or -errno.
 */
__must_check int runtime_dir(char *buf, size_t len, bool create, struct err *e);

/*
 * Is the folder @dir this user's alone? Before files in it are removed: elsewhere, or
 * behind a link, they could be anybody's. 0, -EPERM, or -errno, with @e (may be NULL).
 */
__must_check int runtime_check_dir(const char *dir, struct err *e);

/* The address of guest @name. 0, or -ENAMETOOLONG with @e. */
__must_check int runtime_addr(const char *dir, const char *name, bool abstract,
			      struct runtime_addr *ret, struct err *e);

/* A name that this process owns, and the socket bound to its address. */
struct runtime_claim {
	char path[108]; /* of the socket file, or of what belongs to the name */
	int lock_fd;    /* -1: ephemeral */
	int sock_fd;    /* listening, non-blocking */
	bool ephemeral;
	bool has_file;
};

/*
 * Own @name and listen on its socket. -EEXIST where a guest has the name.
 * Undone by runtime_release(), or by the end of the process.
 */
__must_check int runtime_claim(struct runtime_claim *claim, const char *name, bool ephemeral,
			       struct err *e);

/* Would runtime_claim() get @name? Leaves no trace. 0 or -EEXIST. */
__must_check int runtime_check_free(const char *name, struct err *e);

/* Remove the files and give the name back. Zeroed by runtime_claim_init(): no-op. */
void runtime_release(struct runtime_claim *claim);

static inline void runtime_claim_init(struct runtime_claim *claim)
{
	*claim = (struct runtime_claim){ .lock_fd = -1, .sock_fd = -1 };
}

/*
 * Connect to the control socket of @name; its owner is this user or root, its
 * process *@ret_pid. Returns the descriptor, -ENOENT where no guest has the name, -EAGAIN where
 * one has, but too many connections wait for it already (not before 200 ms, unless @now), or
 * -errno.
 */
__must_check int runtime_connect(const char *name, bool now, pid_t *ret_pid, struct err *e);

/*
 * Remove what a dead guest called @name left in the directory. False: it is
 * alive, or there is no lock. A guest that starts at this moment has to wait, no more.
 */
bool runtime_remove_stale(const char *dir, const char *name);

/*
 * Names of all guests, sorted, into *@ret (each and the array from malloc,
 * freed by runtime_free_names()); sockets of dead guests are removed on the
 * way. Returns how many, or -errno.
 */
__must_check int runtime_names(char ***ret, struct err *e);
void runtime_free_names(char **names, int nr);

#endif
