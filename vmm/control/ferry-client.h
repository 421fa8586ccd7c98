/* SPDX-License-Identifier: MIT */
/* libferry-client: talk to running guests of ferry from C. */
#ifndef FERRY_CLIENT_H
#define FERRY_CLIENT_H

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * A connection belongs to one thread at a time; several connections, also to one
 * guest, are independent. No function prints, exits, or changes signals. Functions
 * return 0, or -errno with a sentence in *@e, which may be NULL.
 *
 * What commands and events there are, and what they take and tell, is in ferry's
 * docs/control.md; JSON is jansson's (json_t), with its rules of references.
 */
struct ferry_client;

struct ferry_error {
	int code;       /* -errno */
	char text[512]; /* one line, no newline */
};

/*
 * Connect to the guest called @name, of this user, in the runtime directory of this
 * process's environment, and negotiate. It gets @timeout_s seconds for each reply from
 * now on; 0: for ever. -ENOENT: there is no such guest; -ETIMEDOUT: it does not answer.
 */
int ferry_client_connect(struct ferry_client **ret, const char *name, unsigned timeout_s,
			 struct ferry_error *e);

/* Hang up and free; the guest goes on. NULL: nothing happens. */
void ferry_client_close(struct ferry_client *c);

/*
 * Execute @command with @args: an object, which is taken over in any case, or NULL. *@ret,
 * if @ret is not NULL, becomes a new reference to what it returns. Events that come before
 * the reply are kept for ferry_client_wait_event(). -EREMOTEIO: the guest has refused, in
 * its own words; -EPIPE: it has ended.
 */
int ferry_client_execute(struct ferry_client *c, const char *command, json_t *args, json_t **ret,
			 struct ferry_error *e);

/* The same; descriptor @fd goes with the request, and stays the caller's. */
int ferry_client_execute_fd(struct ferry_client *c, const char *command, json_t *args, int fd,
			    json_t **ret, struct ferry_error *e);

/*
 * Leave descriptor @fd with the guest for later commands of this connection, which call
 * it @name; it stays the caller's too. What no command has taken is closed there when the
 * connection ends. As for a command ("getfd") otherwise.
 */
int ferry_client_pass_fd(struct ferry_client *c, const char *name, int fd, struct ferry_error *e);

#define FERRY_CLIENT_MAX_EVENTS 1024

/*
 * Wait for the next event called @name, NULL: for any; others before it are dropped. It
 * may have come already: at most FERRY_CLIENT_MAX_EVENTS are kept, then the oldest goes. *@ret
 * is a new reference: "event", "timestamp", and "data" if the event has some. -ETIMEDOUT
 * after @timeout_ms, which is no error of the connection; negative: wait for ever.
 * -EPIPE: the guest has ended, and all its events have been had.
 */
int ferry_client_wait_event(struct ferry_client *c, const char *name, int timeout_ms, json_t **ret,
			    struct ferry_error *e);

/* Wait until the guest's process has ended. -ETIMEDOUT after @timeout_s; 0: for ever. */
int ferry_client_wait_end(const struct ferry_client *c, unsigned timeout_s, struct ferry_error *e);

/* Kill the guest's process, whatever it does. */
int ferry_client_kill(const struct ferry_client *c, struct ferry_error *e);

#endif
