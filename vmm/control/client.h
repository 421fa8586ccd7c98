/* SPDX-License-Identifier: MIT */
/* A client of a guest's control socket, for the sub-commands. Blocking. */
#ifndef FERRY_VMM_CONTROL_CLIENT_H
#define FERRY_VMM_CONTROL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

#define CLIENT_BUFFER_BYTES (1024 * 1024)

struct control_client {
	int fd;
	int pidfd; /* the guest's process */
	char *buf; /* bytes read, not yet consumed */
	size_t bytes;
	/* Strings are passed on as they came. Else they are for a terminal, which a guest that
	 * has taken over its process must not reach: printable_json(). False when it is opened. */
	bool exact;
	/* Hears of events that come while a reply is waited for; NULL: nobody does. Takes a
	 * reference of its own where it keeps one. */
	void (*on_event)(void *opaque, json_t *event);
	void *opaque;
};

/*
 * Connect to guest @name; nothing is said yet. The guest gets @timeout_s for
 * each reply. 0, -ENOENT or -errno, with @e.
 */
__must_check int client_connect(struct control_client *c, const char *name, unsigned timeout_s,
				struct err *e);

/* The same without any wait; -EAGAIN: too many connections wait for it already. */
__must_check int client_connect_now(struct control_client *c, const char *name, struct err *e);

/*
 * For a client that never waits: say @command, which is short, and hear of what it returns
 * later. 0 or -errno with @e.
 */
__must_check int client_tell(const struct control_client *c, const char *command, struct err *e);

/*
 * What has arrived by now. 1: a whole message, *@ret, a new reference; 0: not yet; or -errno
 * with @e, -EPIPE where the guest has ended.
 */
__must_check int client_hear(struct control_client *c, json_t **ret, struct err *e);

/* Read the greeting, and negotiate. 0, -ETIMEDOUT or -errno, with @e. */
__must_check int client_negotiate(struct control_client *c, struct err *e);

/* The time for each reply from now on; 0: for ever. */
void client_set_timeout(const struct control_client *c, unsigned timeout_s);

/* Both; after a failure nothing is open. */
__must_check int client_open(struct control_client *c, const char *name, unsigned timeout_s,
			     struct err *e);

/* Hang up. Opened or zeroed by a failed open: fine. */
void client_close(struct control_client *c);

/*
 * Execute @command; @ret (NULL: not wanted) gets a new reference of what it
 * returned. Events on the way are for @c->on_event. 0, or -errno with the guest's words.
 */
__must_check int client_execute(struct control_client *c, const char *command, json_t **ret,
				struct err *e);

/* The same with arguments: an object, which is taken over. */
__must_check int client_execute_with(struct control_client *c, const char *command, json_t *args,
				     json_t **ret, struct err *e);

/* The same, and descriptor @fd goes with the request; it stays the caller's. */
__must_check int client_execute_fd(struct control_client *c, const char *command, json_t *args,
				   int fd, json_t **ret, struct err *e);

/*
 * Leave descriptor @fd with the guest, for a later command of this client that names it
 * @name; it stays the caller's too. 0, or -errno with the guest's words.
 */
__must_check int client_pass_fd(struct control_client *c, const char *name, int fd, struct err *e);

/* client_pass_fd(), then client_execute_with() without a reply; releases @args in any case. */
__must_check int client_execute_on_fd(struct control_client *c, const char *command, json_t *args,
				      const char *name, int fd, struct err *e);

/*
 * The next event, however long it takes: *@ret is a new reference. 0, or -errno
 * with @e: -EPIPE where the guest has ended.
 */
__must_check int client_next_event(struct control_client *c, json_t **ret, struct err *e);

/*
 * The next event that is one of @names, which NULL ends: its data, a new reference, {} where
 * it has none; *@ret_which is its number among them. Others are dropped. NULL with @e, as above.
 */
json_t *client_next_of(struct control_client *c, const char *const *names, unsigned *ret_which,
		       struct err *e);

/* client_next_event() until @deadline_ns (CLOCK_MONOTONIC; UINT64_MAX: none), then -ETIMEDOUT. */
__must_check int client_next_event_until(struct control_client *c, uint64_t deadline_ns,
					 json_t **ret, struct err *e);

/*
 * Wait until an event comes, for @timeout_ms at most; a signal ends it early. It
 * is read and dropped. 0 or -errno with @e.
 */
__must_check int client_wait_event(struct control_client *c, unsigned timeout_ms, struct err *e);

/*
 * Wait until the guest's process has ended. 0, or -ETIMEDOUT after @timeout_s
 * with @e; 0: for ever.
 */
__must_check int client_wait_end(const struct control_client *c, unsigned timeout_s, struct err *e);

/*
 * Does member @key of @obj say @text? @obj is what a guest's process has said, which may be in
 * others' hands: anything, NULL too.
 */
bool client_says(const json_t *obj, const char *key, const char *text);

/* Kill the guest's process. 0 or -errno with @e. */
__must_check int client_kill(const struct control_client *c, struct err *e);

#endif
