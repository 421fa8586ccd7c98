// SPDX-License-Identifier: MIT
// The processes that `ferry receive` has started, and what it knows of their guests.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/host_memory.h"
#include "vmm/move/receive_impl.h"

struct session *session_find(struct receiver *r, const uint8_t id[PREAMBLE_SESSION_BYTES])
{
	struct session *s;

	TAILQ_FOREACH(s, &r->sessions, link)
	{
		if (!memcmp(s->id, id, PREAMBLE_SESSION_BYTES))
			return s;
	}
	return NULL;
}

/*
 * A process that has noted the commit may still find that it cannot run the guest,
 * and give it back: what it said is final when it runs, or when it is gone.
 */
enum handover_answer session_answer(const struct session *s)
{
	if (s->state == SESSION_RUNS)
		return HANDOVER_RUNNING;
	/* It has said itself that all is given up. */
	if (s->failed)
		return HANDOVER_NEVER;
	if (!s->ended)
		return HANDOVER_WAIT;
	return s->state == SESSION_COMMITTED ? HANDOVER_RUNNING : HANDOVER_NEVER;
}

/* --- how many --- */

struct counts {
	unsigned attempts; /* have not proven who they are */
	unsigned dying;    /* the same, and were killed for it */
	unsigned guests;   /* have */
	unsigned ended;
};

static struct counts count(const struct receiver *r)
{
	struct counts c = { 0 };
	const struct session *s;

	TAILQ_FOREACH(s, &r->sessions, link)
	{
		c.ended += s->ended;
		c.attempts += !s->ended && !s->killed && s->state == SESSION_KNOCKS;
		c.dying += !s->ended && s->killed;
		c.guests += !s->ended && s->state != SESSION_KNOCKS;
	}
	return c;
}

static bool has_room(const struct receiver *r)
{
	unsigned limit = r->o->limit ? r->o->limit : RECEIVE_MAX_SESSIONS;

	/* The first who comes is the one: nobody else need begin. */
	if (r->o->once)
		limit = 1;
	return !r->ending && count(r).guests < limit;
}

/* --- memory of what is over --- */

static void session_free(struct session *s)
{
	struct receiver *r = s->r;

	loop_del_fd(r->loop, &s->sock);
	loop_del_fd(r->loop, &s->pidfd);
	close_fd(&s->sock.fd);
	close_fd(&s->pidfd.fd);
	TAILQ_REMOVE(&r->sessions, s, link);
	explicit_bzero(&s->ticket, sizeof(s->ticket));
	free(s);
}

/* The oldest come first in the list, so the first that has ended is the one. */
static void forget_old(struct receiver *r)
{
	uint64_t now = clock_now_ns();
	unsigned ended = count(r).ended;
	struct session *s, *next;

	for (s = TAILQ_FIRST(&r->sessions); s; s = next) {
		next = TAILQ_NEXT(s, link);
		if (!s->ended ||
		    (ended <= RECEIVE_MAX_ENDED && now < s->ended_ns + RECEIVE_MEMORY_NS))
			continue;
		session_free(s);
		ended--;
	}
}

/* --- what a process says --- */

static const char *name_of(const struct session *s)
{
	return *s->name ? s->name : "?";
}

static void on_proven(struct session *s)
{
	struct receive_msg msg = { .kind = has_room(s->r) ? RECEIVE_WELCOME : RECEIVE_FULL };

	if (s->state != SESSION_KNOCKS)
		return;
	if (msg.kind == RECEIVE_WELCOME)
		s->state = SESSION_COMES;
	(void)!receive_msg_send(s->sock.fd, &msg, -1);
}

uint64_t session_promised_bytes(const struct session *s)
{
	const struct session *other;
	uint64_t bytes = 0;

	TAILQ_FOREACH(other, &s->r->sessions, link)
	{
		uint64_t has;

		/* One that runs takes what it takes, as all other processes here do. */
		if (other == s || other->ended || other->state == SESSION_RUNS)
			continue;
		has = host_resident_memory(other->pid);
		bytes += other->reserved_bytes - MIN(other->reserved_bytes, has);
	}
	return bytes;
}

static void on_reserve(struct session *s, uint64_t bytes)
{
	uint64_t available = host_available_memory(), promised = session_promised_bytes(s);
	uint64_t left = available - MIN(available, promised);
	const struct receive_msg msg = {
		.kind = RECEIVE_MEMORY,
		.flag = !available || bytes <= left,
		.value = left,
	};

	if (s->state != SESSION_COMES)
		return;
	if (msg.flag)
		s->reserved_bytes = bytes;
	(void)!receive_msg_send(s->sock.fd, &msg, -1);
}

static void on_runs(struct session *s, const struct receive_msg *msg)
{
	if (s->state < SESSION_COMMITTED)
		return;
	s->told |= msg->flag != 0;
	if (s->state == SESSION_RUNS)
		return;
	s->state = SESSION_RUNS;
	s->r->arrived = true;
	receiver_say(s->r,
		     json_pack("{s:s, s:s, s:s, s:i, s:f}", "event", "arrived", "name", name_of(s),
			       "peer", s->peer, "pid", (int)s->pid, "after_commit_ms",
			       (double)msg->value / NSEC_PER_MSEC),
		     "guest %s arrived from %s, pid %d, %.1f ms after it was handed over",
		     name_of(s), s->peer, (int)s->pid, (double)msg->value / NSEC_PER_MSEC);
}

static void on_failed(struct session *s, const struct receive_msg *msg)
{
	s->failed = true;
	/* Committed, but it could not run after all: its process itself says that it never will. */
	if (s->state == SESSION_COMMITTED)
		s->state = SESSION_COMES;
	/* Anybody can connect and fail: only who has proven who he is may fill the log. */
	if (s->state == SESSION_KNOCKS) {
		log_limited(&s->r->log, LOG_WARN, "%s: %s", s->peer, msg->text);
		return;
	}
	receiver_say(s->r,
		     json_pack("{s:s, s:s, s:s, s:s}", "event", "failed", "name", name_of(s),
			       "peer", s->peer, "reason", msg->text),
		     "guest %s did not arrive from %s: %s", name_of(s), s->peer, msg->text);
}

static void handle(struct session *s, const struct receive_msg *msg)
{
	switch (msg->kind) {
	case RECEIVE_PROVEN:
		on_proven(s);
		break;
	case RECEIVE_RESERVE:
		on_reserve(s, msg->value);
		break;
	case RECEIVE_NAMED:
		(void)snprintf(s->name, sizeof(s->name), "%.*s", (int)sizeof(s->name) - 1,
			       msg->text);
		break;
	case RECEIVE_COMMITTED:
		s->state = MAX(s->state, SESSION_COMMITTED);
		break;
	case RECEIVE_RUNS:
		on_runs(s, msg);
		break;
	case RECEIVE_FAILED:
		on_failed(s, msg);
		break;
	default:
		break;
	}
}

static void read_all(struct session *s)
{
	struct receive_msg msg;
	int rc, fd;

	while ((rc = receive_msg_recv(s->sock.fd, &msg, &fd)) > 0) {
		close_fd(&fd);
		handle(s, &msg);
	}
	if (rc != -EAGAIN)
		loop_mod_fd(s->r->loop, &s->sock, 0); /* nothing will come any more */
}

static void on_sock(void *opaque, unsigned events)
{
	struct session *s = opaque;

	(void)events;
	read_all(s);
	receiver_check_end(s->r);
}

/* What came of a guest that ran here. */
static void say_ended(const struct session *s, const siginfo_t *info)
{
	int status = info->si_code == CLD_EXITED ? info->si_status : 128 + info->si_status;

	receiver_say(s->r,
		     json_pack("{s:s, s:s, s:i, s:i}", "event", "ended", "name", name_of(s), "pid",
			       (int)s->pid, "status", status),
		     "guest %s has ended, status %d", name_of(s), status);
}

static void on_process_end(void *opaque, unsigned events)
{
	struct session *s = opaque;
	struct receiver *r = s->r;
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)s->pidfd.fd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	/* Its last words are in the socket; only then is it known how it ended. */
	read_all(s);
	s->ended = true;
	s->ended_ns = clock_now_ns();
	loop_del_fd(r->loop, &s->sock);
	loop_del_fd(r->loop, &s->pidfd);
	close_fd(&s->sock.fd);
	close_fd(&s->pidfd.fd);
	if (s->state >= SESSION_COMMITTED)
		say_ended(s, &info);
	else if (!s->failed)
		on_failed(s, &(struct receive_msg){ .text = "its process was killed" });
	/*
	 * Session ids are sent in clear. That a stranger failed with one is no news
	 * about the guest that it belongs to, nor may it push out what we know.
	 */
	if (s->state == SESSION_KNOCKS)
		session_free(s);
	forget_old(r);
	receiver_check_end(r);
}

/* --- streams --- */

enum preamble_code session_pass_stream(struct receiver *r, const struct knock *k)
{
	const struct receive_msg msg = { .kind = RECEIVE_STREAM, .value = k->p.stream };
	struct session *s = session_find(r, k->p.session);
	int rc;

	/* What has failed may still have its process, which hears nothing any more. */
	if (!s || s->failed || s->ended || s->state != SESSION_COMES)
		return PREAMBLE_NO_SESSION;
	rc = receive_msg_send(s->sock.fd, &msg, k->watch.fd);
	return rc < 0 ? PREAMBLE_BUSY : PREAMBLE_OK;
}

/* --- forking --- */

static int watch_fd(struct receiver *r, struct loop_fd *w, int fd, void (*fn)(void *, unsigned),
		    void *opaque)
{
	*w = (struct loop_fd){ .fn = fn, .opaque = opaque, .fd = fd, .events = LOOP_READ };
	return loop_add_fd(r->loop, w);
}

/* fork() and a descriptor that waits for the child. 0 in the child; -errno. */
static pid_t fork_with_pidfd(int *ret_pidfd)
{
	pid_t pid;

	/* What is buffered would be written twice. */
	(void)fflush(NULL);
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		return 0;
	*ret_pidfd = pidfd_open(pid, 0);
	if (*ret_pidfd < 0) {
		int rc = -errno;

		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return rc;
	}
	return pid;
}

static int fork_guest(struct receiver *r, const struct knock *k, struct receive_task *task)
{
	struct session *s = calloc(1, sizeof(*s));
	int socks[2] = { -1, -1 };
	int pidfd = -1;
	int rc;

	if (!s)
		return -ENOMEM;
	s->r = r;
	memcpy(s->id, k->p.session, sizeof(s->id));
	memcpy(s->peer, k->peer, sizeof(s->peer));
	rc = ticket_new(&s->ticket);
	if (rc < 0)
		goto err_free;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks) < 0) {
		rc = -errno;
		goto err_free;
	}
	s->pid = fork_with_pidfd(&pidfd);
	if (s->pid == 0) {
		*task = (struct receive_task){
			.child = true,
			.control = true,
			.sock = socks[1],
			.ticket = s->ticket,
		};
		(void)close(socks[0]);
		free(s);
		return 0;
	}
	(void)close(socks[1]);
	rc = s->pid < 0 ? s->pid : watch_fd(r, &s->sock, socks[0], on_sock, s);
	if (rc < 0) {
		(void)close(socks[0]);
		goto err_pidfd;
	}
	rc = watch_fd(r, &s->pidfd, pidfd, on_process_end, s);
	if (rc < 0) {
		loop_del_fd(r->loop, &s->sock);
		(void)close(socks[0]);
		goto err_pidfd;
	}
	TAILQ_INSERT_TAIL(&r->sessions, s, link);
	return 0;

err_pidfd:
	/* Without its socket the child gives up by itself; it is nobody's then. */
	close_fd(&pidfd);
err_free:
	free(s);
	return rc;
}

static void on_helper_end(void *opaque, unsigned events)
{
	struct helper *h = opaque;
	struct receiver *r = h->r;
	struct session *s = session_find(r, h->id);
	siginfo_t info = { 0 };

	(void)events;
	if (waitid(P_PIDFD, (id_t)h->pidfd.fd, &info, WEXITED | WNOHANG) < 0 || !info.si_pid)
		return;
	if (info.si_code != CLD_EXITED || info.si_status)
		log_limited(
			&r->log, LOG_WARN,
			"a question about guest %s was not answered: who asked has no right to it",
			s ? name_of(s) : "?");
	else if (s && h->answer == HANDOVER_RUNNING)
		s->told = true;
	loop_del_fd(r->loop, &h->pidfd);
	close_fd(&h->pidfd.fd);
	TAILQ_REMOVE(&r->helpers, h, link);
	r->nr_helpers--;
	free(h);
	receiver_check_end(r);
}

static int fork_answer(struct receiver *r, const struct knock *k, struct receive_task *task)
{
	struct helper *h = calloc(1, sizeof(*h));
	struct session *s = session_find(r, k->p.session);
	pid_t pid;
	int pidfd = -1;
	int rc;

	if (!h || !s) {
		free(h);
		return h ? -ENOENT : -ENOMEM;
	}
	h->r = r;
	memcpy(h->id, s->id, sizeof(h->id));
	h->answer = session_answer(s);
	pid = fork_with_pidfd(&pidfd);
	if (pid == 0) {
		*task = (struct receive_task){
			.child = true,
			.sock = -1,
			.answer = h->answer,
			.ticket = s->ticket,
		};
		free(h);
		return 0;
	}
	rc = pid < 0 ? pid : watch_fd(r, &h->pidfd, pidfd, on_helper_end, h);
	if (rc < 0) {
		close_fd(&pidfd);
		free(h);
		return rc;
	}
	TAILQ_INSERT_TAIL(&r->helpers, h, link);
	r->nr_helpers++;
	return 0;
}

int session_fork(struct receiver *r, struct knock *k, struct receive_task *task)
{
	int rc;

	*task = (struct receive_task){ .sock = -1 };
	rc = k->p.role == PREAMBLE_CONTROL ? fork_guest(r, k, task) : fork_answer(r, k, task);
	if (rc < 0) {
		log_limited(&r->log, LOG_ERROR, "%s: cannot start a process: %s", k->peer,
			    strerror(-rc));
		knock_answer(k, PREAMBLE_BUSY);
		return rc;
	}
	if (task->child)
		task->fd = take_fd(&k->watch.fd);
	else
		knock_free(k);
	return 0;
}

/* --- room for one more --- */

static void kill_process(const struct loop_fd *pidfd)
{
	(void)pidfd_send_signal(pidfd->fd, SIGKILL, NULL, 0);
}

/* The oldest come first in the list; what they have just said is heard first. */
static void kill_oldest_attempt(struct receiver *r)
{
	struct session *s;

	TAILQ_FOREACH(s, &r->sessions, link)
	{
		if (s->ended || s->killed || s->state != SESSION_KNOCKS)
			continue;
		read_all(s);
		if (s->state != SESSION_KNOCKS)
			continue;
		s->killed = true;
		kill_process(&s->pidfd);
		return;
	}
}

enum preamble_code session_may_start(struct receiver *r)
{
	struct counts c = count(r);

	if (!has_room(r) || c.dying >= RECEIVE_MAX_DYING)
		return PREAMBLE_BUSY;
	if (c.attempts >= RECEIVE_MAX_ATTEMPTS)
		kill_oldest_attempt(r);
	return PREAMBLE_OK;
}

enum preamble_code session_may_answer(struct receiver *r)
{
	struct helper *h;

	if (r->nr_helpers >= RECEIVE_MAX_HELPERS + RECEIVE_MAX_DYING)
		return PREAMBLE_BUSY;
	if (r->nr_helpers < RECEIVE_MAX_HELPERS)
		return PREAMBLE_OK;
	TAILQ_FOREACH(h, &r->helpers, link)
	{
		if (h->killed)
			continue;
		h->killed = true;
		kill_process(&h->pidfd);
		break;
	}
	return PREAMBLE_OK;
}

/* --- the end --- */

void session_give_up(struct receiver *r)
{
	const struct receive_msg msg = { .kind = RECEIVE_GIVE_UP };
	struct session *s;

	TAILQ_FOREACH(s, &r->sessions, link)
	{
		if (!s->ended && s->state < SESSION_COMMITTED)
			(void)!receive_msg_send(s->sock.fd, &msg, -1);
	}
}

bool session_undecided(const struct receiver *r)
{
	const struct session *s;

	TAILQ_FOREACH(s, &r->sessions, link)
	{
		if (!s->ended && (s->state < SESSION_COMMITTED || !s->told))
			return true;
	}
	return r->nr_helpers > 0;
}

void session_forget_all(struct receiver *r)
{
	struct session *s, *next_session;
	struct helper *h, *next;

	for (s = TAILQ_FIRST(&r->sessions); s; s = next_session) {
		next_session = TAILQ_NEXT(s, link);
		session_free(s);
	}
	for (h = TAILQ_FIRST(&r->helpers); h; h = next) {
		next = TAILQ_NEXT(h, link);
		loop_del_fd(r->loop, &h->pidfd);
		close_fd(&h->pidfd.fd);
		TAILQ_REMOVE(&r->helpers, h, link);
		free(h);
	}
}
