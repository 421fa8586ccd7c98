// SPDX-License-Identifier: MIT
// `ferry receive`: the listener's life.
#include "vmm/move/receive.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/move/receive_impl.h"
#include "vmm/sandbox/sandbox.h"

/* --- what it tells --- */

/* A reader who has stopped reading must not stop us: then the line is lost. */
static bool can_print(void)
{
	struct pollfd pfd = { .fd = STDOUT_FILENO, .events = POLLOUT };

	return poll(&pfd, 1, 0) == 1 && (pfd.revents & POLLOUT);
}

void receiver_say(const struct receiver *r, json_t *json, const char *fmt, ...)
{
	char *text = r->o->json ? json_dumps(json, JSON_COMPACT) : NULL;
	va_list ap;

	if (can_print()) {
		if (r->o->json) {
			(void)fputs(text ? text : "", stdout);
		} else {
			va_start(ap, fmt);
			(void)vprintf(fmt, ap);
			va_end(ap);
		}
		(void)putchar('\n');
		(void)fflush(stdout);
	}
	free(text);
	json_decref(json);
}

/* --- how it ends --- */

static void on_linger(void *opaque)
{
	struct receiver *r = opaque;

	r->over = true;
}

/*
 * No new guests. Who is in the middle of it gives up or has gone too far: that is
 * soon decided, and until then questions about it are answered.
 */
static void begin_end(struct receiver *r)
{
	if (r->ending)
		return;
	r->ending = true;
	session_give_up(r);
	loop_arm(r->loop, &r->linger, clock_now_ns() + RECEIVE_LINGER_NS);
}

void receiver_check_end(struct receiver *r)
{
	const struct session *s;

	if (r->o->once) {
		TAILQ_FOREACH(s, &r->sessions, link)
		{
			if (s->state == SESSION_RUNS && (s->told || s->ended))
				begin_end(r);
		}
	}
	if (r->ending && !session_undecided(r))
		r->over = true;
}

static void on_signal(void *opaque, unsigned events)
{
	struct receiver *r = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(r->signals.fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	if (r->ending)
		r->over = true;
	begin_end(r);
	receiver_check_end(r);
}

/* --- set-up --- */

static int open_security(struct receiver *r, struct err *e)
{
	const struct receive_options *o = r->o;
	const struct tls_files files = {
		.cert = o->tls_cert,
		.key = o->tls_key,
		.ca = o->tls_ca,
		.psk = o->tls_psk,
	};
	int rc = allow_new(&r->allow, o->allow.items, o->allow.nr, e);

	if (rc < 0)
		return err_prefix(e, "--allow");
	return tls_wanted(&files) ? tls_credentials_new(&r->creds, &files, true, e) : 0;
}

static int open_address(struct receiver *r, struct err *e)
{
	struct address a;
	int rc = address_parse(&a, r->o->listen, e);

	if (rc < 0)
		return err_prefix(e, "--listen");
	if (a.kind == ADDRESS_TCP && !r->creds && !r->o->insecure)
		return err_set(e, -EINVAL,
			       "guests would travel in clear: give --tls-cert, --tls-key and "
			       "--tls-ca, or --tls-psk-file, or say --insecure");
	return address_listen(&r->listener, &a, e);
}

static int open_signals(struct receiver *r)
{
	static const int watched[] = { SIGTERM, SIGINT, SIGHUP };
	struct sigaction old;
	sigset_t set;

	(void)sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		/* nohup means it */
		if (sigaction(watched[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaddset(&set, watched[i]);
	}
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	r->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return r->signals.fd < 0 ? -errno : loop_add_fd(r->loop, &r->signals);
}

static int open_loop(struct receiver *r, struct err *e)
{
	int rc;

	(void)sigprocmask(SIG_BLOCK, NULL, &r->old_mask);
	r->signals = (struct loop_fd){
		.fn = on_signal,
		.opaque = r,
		.fd = -1,
		.events = LOOP_READ,
		.slot = -1,
	};
	r->linger = (struct loop_timer){ .fn = on_linger, .opaque = r };
	/* One that a child can drop; see receive_impl.h. */
	rc = loop_new(&r->loop, LOOP_NO_URING);
	if (rc == 0)
		rc = open_signals(r);
	for (unsigned i = 0; rc == 0 && i < r->listener.nr; i++) {
		r->acceptors[i] = (struct acceptor){
			.loop = r->loop,
			.name = "teleport",
			.accepted = knock_accepted,
			.opaque = r,
		};
		rc = acceptor_start(&r->acceptors[i], r->listener.fds[i]);
	}
	return rc < 0 ? err_set(e, rc, "cannot make an event loop: %s", strerror(-rc)) : 0;
}

/* All but the credentials, which a child still needs. */
static void close_listener(struct receiver *r)
{
	if (!r->loop) {
		address_unlisten(&r->listener);
		return;
	}
	for (unsigned i = 0; i < r->listener.nr; i++)
		acceptor_stop(&r->acceptors[i]);
	knock_free_all(&r->knocks);
	knock_free_all(&r->ready);
	session_forget_all(r);
	loop_disarm(r->loop, &r->linger);
	loop_del_fd(r->loop, &r->signals);
	close_fd(&r->signals.fd);
	loop_free(r->loop);
	r->loop = NULL;
	address_unlisten(&r->listener);
}

/* --- its life --- */

static bool must_act(void *opaque)
{
	const struct receiver *r = opaque;

	return r->over || !TAILQ_EMPTY(&r->ready);
}

/* Until it is over, or this is a child. */
static void listen_on(struct receiver *r, struct receive_task *task)
{
	while (!r->over && !task->child) {
		struct knock *k;

		loop_drain(r->loop, must_act, r);
		while (!task->child && (k = TAILQ_FIRST(&r->ready)))
			(void)!session_fork(r, k, task);
	}
}

/* In the child: nothing of the listener's stays, and nothing of it is lost there. */
static int become_child(struct receiver *r, struct err *e)
{
	int rc = loop_forked(r->loop);

	if (rc < 0)
		return err_set(e, rc, "event loop: %s", strerror(-rc));
	r->listener.path[0] = '\0'; /* the parent's file */
	close_listener(r);
	(void)sigprocmask(SIG_SETMASK, &r->old_mask, NULL);
	return 0;
}

static int end_status(const struct receiver *r)
{
	return r->o->once && !r->arrived ? 1 : 0;
}

int receive(const struct receive_options *o, struct err *e)
{
	struct receiver r = { .o = o };
	struct receive_task task = { 0 };
	int rc;

	TAILQ_INIT(&r.knocks);
	TAILQ_INIT(&r.ready);
	TAILQ_INIT(&r.sessions);
	TAILQ_INIT(&r.helpers);
	/* Here, and not to the first guest. */
	rc = sandbox_check(&o->sandbox, e);
	if (rc == 0)
		rc = open_security(&r, e);
	if (rc == 0)
		rc = open_address(&r, e);
	if (rc == 0)
		rc = open_loop(&r, e);
	if (rc == 0) {
		receiver_say(&r,
			     json_pack("{s:s, s:s, s:b, s:i}", "event", "listening", "address",
				       r.listener.shown, "tls", r.creds != NULL, "pid",
				       (int)getpid()),
			     "listening on %s", r.listener.shown);
		listen_on(&r, &task);
		rc = task.child ? become_child(&r, e) : end_status(&r);
	}
	if (task.child && rc == 0)
		rc = receive_child(o, r.creds, &task);
	else
		close_listener(&r);
	allow_free(r.allow);
	tls_credentials_free(r.creds);
	return rc;
}
