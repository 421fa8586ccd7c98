/* SPDX-License-Identifier: MIT */
/* The control socket: QMP's conventions, a table of commands, events. */
#ifndef FERRY_VMM_CONTROL_CONTROL_H
#define FERRY_VMM_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

#define CONTROL_MAX_REQUEST_BYTES (64 * 1024)
#define CONTROL_MAX_NESTING       32
#define CONTROL_MAX_CLIENTS       256
/* What a client may leave unread; events beyond it are lost for him, and counted. */
#define CONTROL_MAX_QUEUE_BYTES (128 * 1024)
/* Descriptors that a client leaves for later commands, and all clients together do. */
#define CONTROL_MAX_FDS       20 /* those of a nic with as many queues as there can be */
#define CONTROL_MAX_ALL_FDS   80
#define CONTROL_FD_NAME_BYTES 64 /* with the final zero */

struct loop;
struct control;
struct control_call;

/* --- the table --- */

/* An argument of a command, or a member of an event's data. */
struct control_arg {
	const char *name; /* NULL ends the list */
	json_type type;   /* JSON_TRUE: a boolean; JSON_REAL: any number */
	bool optional;
	const char *help;
	json_int_t min, max;        /* of an integer; max 0: the command judges */
	const char *const *choices; /* of a string, ends with NULL; NULL: the command judges */
};

/* Does a descriptor come with the request (SCM_RIGHTS)? */
enum control_fd_use { CONTROL_FD_NONE, CONTROL_FD_OPTIONAL, CONTROL_FD_REQUIRED };

struct control_command {
	const char *name;
	/* 0 with call->ret set (or left NULL for {}), or -errno with call->e.
	 * Main thread. The arguments have been checked against the list. */
	int (*fn)(struct control_call *call);
	const char *help;               /* what it does: a sentence */
	const char *returns;            /* what it returns; NULL: an empty object */
	const struct control_arg *args; /* NULL: none */
	enum control_fd_use fd;
	bool anytime; /* even when control_table.admit would refuse it */
};

struct control_event_info {
	const char *name;               /* NULL ends the list */
	const char *help;               /* when: a sentence */
	const struct control_arg *data; /* NULL: none */
};

/* Everything a socket offers. */
struct control_table {
	const struct control_command *commands;
	size_t nr_commands;
	const struct control_event_info *events; /* NULL: none */
	/* Called before each command that is not for anytime; -errno with call->e refuses
	 * it. NULL: all are welcome. */
	int (*admit)(struct control_call *call);
};

/* What a client left by getfd; zeroed: nothing. */
struct control_fds {
	struct control_named_fd {
		char name[CONTROL_FD_NAME_BYTES]; /* empty: free */
		int fd;                           /* owned */
	} named[CONTROL_MAX_FDS];
	unsigned *nr_all; /* of all clients of the socket; NULL: nobody counts */
};

/* The part of a connection that commands see. */
struct control_session {
	bool negotiated;    /* qmp_capabilities was executed */
	uint64_t log_after; /* tells of lines of the log above this; UINT64_MAX: of none */
	struct control_fds fds;
	/* Set by a command: once its reply is out, the connection leaves the
	 * protocol and its descriptor is handed to this function, with @take_over_how;
	 * it owns it if it returns 0. */
	int (*take_over)(void *opaque, int fd, unsigned how);
	unsigned take_over_how;
	/* Set by a command: the client has gone. May be NULL. */
	void (*closed)(void *opaque, const struct control_session *session);
};

struct control_call {
	void *opaque; /* control_params.opaque */
	const struct control_table *table;
	struct control_session *session;
	json_t *args; /* an object */
	json_t *ret;  /* the command's, a new reference */
	struct err *e;
	/* What came with the request; -1: nothing. A command keeps it by take_fd(), or it is
	 * closed. It can be any kind of descriptor: check it. */
	int fd;
};

struct control_request {
	const char *line; /* any bytes */
	size_t len;
	int fd; /* closed in any case; -1: none, -EMFILE: too many came */
};

/*
 * One request: parse, check, execute. Returns the reply, a new reference
 * (NULL: no memory). Main thread.
 */
json_t *control_handle(const struct control_table *table, struct control_session *session,
		       void *opaque, const struct control_request *req);

/* The first thing a client reads. */
json_t *control_greeting(void);

/*
 * The descriptor that this client left as @name by getfd (at most CONTROL_MAX_FDS at a
 * time): the caller's from now on, close-on-exec, of any kind: check it. -ENOENT with
 * c->e. Main thread.
 */
__must_check int control_take_fd(struct control_call *c, const char *name);

/*
 * The same for argument @arg, which names it as "fd:NAME". -EINVAL where it names
 * something else: a guest's process opens no files.
 */
__must_check int control_take_fd_arg(struct control_call *c, const char *arg);

/* What the help of such an argument says. */
#define CONTROL_FD_ARG_HELP "`fd:NAME`, a descriptor that `getfd` has left"

/* Close all that is left: the client has gone. Main thread. */
void control_fds_close(struct control_fds *fds);

/* Commands that every table starts with; their fn. */
int control_cmd_capabilities(struct control_call *c);
int control_cmd_commands(struct control_call *c);
int control_cmd_events(struct control_call *c);
int control_cmd_version(struct control_call *c);
int control_cmd_schema(struct control_call *c);
int control_cmd_getfd(struct control_call *c);
int control_cmd_closefd(struct control_call *c);
extern const struct control_arg control_getfd_args[];
extern const struct control_arg control_closefd_args[];

/*
 * The kept lines of ferry's log. With follow, those that come later are told as
 * events, by control_log().
 */
int control_cmd_log(struct control_call *c);
extern const struct control_arg control_log_args[];
#define CONTROL_EVENT_LOG "LOG"
extern const struct control_arg control_log_data[];

/* The event that tells a client how many others it has missed. */
#define CONTROL_EVENT_LOST "EVENTS_LOST"
extern const struct control_arg control_lost_data[];

/*
 * The table as an object, for the documentation: "commands" and "events", with all
 * that is known of them. NULL: no memory.
 */
json_t *control_describe(const struct control_table *table);

/* --- the server --- */

struct control_params {
	struct loop *loop;
	int listen_fd; /* non-blocking; stays the caller's */
	const struct control_table *table;
	void *opaque; /* for the commands */
};

/* Serve @listen_fd. Clients of other users, root excepted, are refused. 0 or -errno. */
__must_check int control_new(struct control **ret, const struct control_params *params);

/* Send what can be sent at once, hang up on all clients. NULL: no-op. */
void control_free(struct control *ctl);

/*
 * Serve @listen_fd from now on, instead of the one before; clients stay. 0, or -errno:
 * then none is served any more.
 */
__must_check int control_set_listener(struct control *ctl, int listen_fd);

/*
 * Call @fn once, when no client is connected; at the next turn of the loop if
 * none is. @fn may not free @ctl.
 */
void control_when_alone(struct control *ctl, void (*fn)(void *opaque), void *opaque);

/*
 * Tell all clients that something happened; takes over @data (NULL: none). A
 * client that does not read is never waited for: it misses events, and is told how
 * many (CONTROL_EVENT_LOST) once it reads again. Main thread.
 */
void control_event(struct control *ctl, const char *name, json_t *data);

/* Lines were logged: tell the clients that follow the log. Main thread. */
void control_log(struct control *ctl);

#endif
