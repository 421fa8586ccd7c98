/* SPDX-License-Identifier: MIT */
/* What the files of `ferry receive` share. */
#ifndef FERRY_VMM_MOVE_RECEIVE_IMPL_H
#define FERRY_VMM_MOVE_RECEIVE_IMPL_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "migration/address.h"
#include "migration/allow.h"
#include "migration/handover.h"
#include "migration/preamble.h"
#include "migration/ticket.h"
#include "util/log.h"
#include "vmm/acceptor.h"
#include "vmm/loop.h"
#include "vmm/move/receive.h"

/*
 * Theory of operation
 *
 * The listener is one thread on one loop. It reads the first words of each
 * connection (a knock) without ever waiting for it, and then
 *
 *   control    forks a process, which does all else: TLS, the conversation, the
 *              guest. A session is what the listener knows of it.
 *   stream     passes the descriptor to the process of its session.
 *   question   forks a process that tells what the session's state says, and ends.
 *
 * Of each kind there is room for some that have not proven who they are; the oldest
 * is killed for a new one, so that who stalls, in a TLS handshake say, keeps out nobody
 * who does not.
 *
 * So nothing that a peer sends after its first 32 bytes is looked at in the
 * listener. Forking is done between two turns of the loop: the child must not
 * handle what was left of the parent's turn. It then returns up the stack to
 * receive(), drops all that was the listener's, and becomes what it was made for.
 * The loop is one of epoll, which a child can close without the parent noticing.
 *
 * A session's socket carries struct receive_msg both ways. Its process is the
 * session leader of a session of its own, and lives on when the listener ends.
 */
#define RECEIVE_MAX_KNOCKS   64U /* connections that have not said yet what they want */
#define RECEIVE_MAX_ATTEMPTS 16U /* processes whose peers have not proven who they are */
#define RECEIVE_MAX_HELPERS  8U  /* processes that answer a question */
#define RECEIVE_MAX_DYING    16U /* of both, that were killed and are not gone yet */
#define RECEIVE_MAX_SESSIONS 128U
#define RECEIVE_MAX_ENDED    256U /* sessions that are over, but can still be asked about */
#define RECEIVE_KNOCK_NS     (5ULL * 1000000000)
#define RECEIVE_MEMORY_NS    (600ULL * 1000000000) /* how long that is known */
#define RECEIVE_LINGER_NS    (15ULL * 1000000000)  /* how long the end waits for the undecided */

/* --- between the listener and the process of a session --- */

enum receive_kind {
	/* listener's */
	RECEIVE_WELCOME, /* go on */
	RECEIVE_FULL,    /* there are too many: say so, and end */
	RECEIVE_STREAM,  /* with a descriptor; value: its number */
	RECEIVE_MEMORY,  /* answers RECEIVE_RESERVE. flag: it may; otherwise value: bytes left */
	RECEIVE_GIVE_UP, /* the listener ends: end too, unless the commit has come */
	/* the process' */
	RECEIVE_PROVEN,    /* TLS is done: may I? */
	RECEIVE_RESERVE,   /* value: bytes that the guest may come to use: may it? */
	RECEIVE_NAMED,     /* text: the guest's name */
	RECEIVE_COMMITTED, /* it will run, unless its process says RECEIVE_FAILED */
	RECEIVE_RUNS,      /* value: ns since the commit; flag: the source knows */
	RECEIVE_FAILED,    /* text: why it will never run here */
};

struct receive_msg {
	uint32_t kind, flag;
	uint64_t value;
	char text[512]; /* ends with a NUL; printable ASCII once received */
};

/* Send one, with @fd (-1: none). Does not block. 0 or -errno. */
__must_check int receive_msg_send(int sock, const struct receive_msg *msg, int fd);

/*
 * Receive one; *@ret_fd (never NULL) is the caller's, -1: none came. Does not
 * block. 1, or 0: the other side has closed, or -errno.
 */
__must_check int receive_msg_recv(int sock, struct receive_msg *ret, int *ret_fd);

/* --- what a process is forked for --- */

struct receive_task {
	bool child;   /* this is one */
	bool control; /* a guest; otherwise a question */
	int fd;       /* the connection; the preamble is read, the reply not sent */
	int sock;     /* to the listener */
	enum handover_answer answer;
	struct ticket ticket; /* the session's */
};

struct tls_credentials;

/* All of it, in the child. The exit status. Main thread. */
int receive_child(const struct receive_options *o, const struct tls_credentials *creds,
		  struct receive_task *task);

/* --- the listener --- */

/* In order: how far a guest has come. */
enum session_state { SESSION_KNOCKS, SESSION_COMES, SESSION_COMMITTED, SESSION_RUNS };

struct session {
	struct receiver *r;
	uint8_t id[PREAMBLE_SESSION_BYTES];
	struct ticket ticket;
	enum session_state state;
	bool told;   /* the source knows that it runs */
	bool failed; /* it has said why it will never run */
	bool ended;  /* its process has */
	bool killed; /* it was, before its peer had proven who it is */
	uint64_t ended_ns;
	uint64_t reserved_bytes; /* that its guest may come to use */
	pid_t pid;
	struct loop_fd sock, pidfd;
	char peer[128]; /* "tcp 10.0.0.1:40000" */
	char name[64];  /* "" until it is known */
	TAILQ_ENTRY(session) link;
};

/* A connection that has not said what it wants, or waits to be forked for. */
struct knock {
	struct receiver *r;
	struct loop_fd watch;
	struct loop_timer timer;
	bool allowed;
	char peer[128];
	uint8_t buf[PREAMBLE_BYTES];
	size_t bytes;
	struct preamble p; /* once it is whole */
	TAILQ_ENTRY(knock) link;
};

/* Connections that have not said all yet, oldest first. */
TAILQ_HEAD(knocks, knock);

/* A process that answers a question. */
struct helper {
	struct receiver *r;
	struct loop_fd pidfd;
	uint8_t id[PREAMBLE_SESSION_BYTES];
	enum handover_answer answer;
	bool killed;
	TAILQ_ENTRY(helper) link;
};

struct receiver {
	const struct receive_options *o;
	struct loop *loop;
	struct tls_credentials *creds; /* NULL: plain */
	struct allow *allow;
	struct address_listener listener;
	struct acceptor acceptors[ADDRESS_MAX_LISTEN];
	struct loop_fd signals; /* signalfd: no thread, as we fork */
	sigset_t old_mask;

	struct knocks knocks, ready;
	unsigned nr_knocks;             /* in both */
	TAILQ_HEAD(, session) sessions; /* the living and the ended */
	TAILQ_HEAD(, helper) helpers;
	unsigned nr_helpers;

	bool ending;  /* no new guests */
	bool over;    /* nobody has to be waited for any more */
	bool arrived; /* a guest has */
	struct loop_timer linger;
	struct log_limit log;
};

/* receive_knock.c: connections up to their preamble. */

/* acceptor.accepted; @opaque: the receiver. */
int knock_accepted(void *opaque, int fd);

/* Answer with @code and forget it. */
void knock_answer(struct knock *k, enum preamble_code code);

/* Forget it, or all of a list, with their descriptors. */
void knock_free(struct knock *k);
void knock_free_all(struct knocks *list);

/* receive_session.c: the processes and what is known of them. */

/* The session called @id, or NULL. */
struct session *session_find(struct receiver *r, const uint8_t id[PREAMBLE_SESSION_BYTES]);

/* May a control connection have a process? PREAMBLE_OK or why not. May kill another. */
enum preamble_code session_may_start(struct receiver *r);

/* The same for a question. */
enum preamble_code session_may_answer(struct receiver *r);

/* Pass stream @k to its session. PREAMBLE_OK or why not. */
enum preamble_code session_pass_stream(struct receiver *r, const struct knock *k);

/*
 * What the guests that are under way may still come to use, but for @s's: what they have
 * already is none of what the host has left.
 */
uint64_t session_promised_bytes(const struct session *s);

/* What is told about it. */
enum handover_answer session_answer(const struct session *s);

/*
 * Fork for a knock that is ready, and forget it. In the parent @task->child is
 * false; in the child all of @task is set. 0 or -errno.
 */
__must_check int session_fork(struct receiver *r, struct knock *k, struct receive_task *task);

/* The end begins: who has not been let in, or has not got the guest, gives up. */
void session_give_up(struct receiver *r);

/* Has anybody still to be waited for? */
bool session_undecided(const struct receiver *r);

/* Forget all; the processes live on. */
void session_forget_all(struct receiver *r);

/* receive.c */

/* Something changed: is it time to end? */
void receiver_check_end(struct receiver *r);

/* One event, for a person or as JSON, on standard output. Takes over @json. */
void receiver_say(const struct receiver *r, json_t *json, const char *fmt, ...) __printf_like(3, 4);

#endif
