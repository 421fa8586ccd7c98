// SPDX-License-Identifier: MIT
// A process that `ferry receive` has started: for one guest, or for one question.
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/section.h"
#include "util/clock.h"
#include "util/io.h"
#include "util/thread.h"
#include "vmm/move/receive_guest.h"
#include "vmm/move/receive_impl.h"
#include "vmm/move/receive_streams.h"

/*
 * Theory of operation
 *
 * The main thread belongs to receive_guest(), and so does the conversation's. One
 * more thread reads the socket to the listener: it hands on the streams that arrive,
 * which are let in at once (receive_streams.h), as their source waits for it while the
 * conversation may be held; and it ends the conversation when the listener says so or
 * is gone, unless the commit has come: a session that nobody could be asked about must
 * not begin to be decided.
 */
#define VERDICT_TIMEOUT_MS 5000
#define QUESTION_TIMEOUT_S 20 /* all of it */

struct child {
	/* const */
	const struct tls_credentials *creds;
	const struct ticket *ticket;
	struct channel *control;
	struct receive_streams *streams; /* locks itself */
	int sock;
	int null_fd; /* of /dev/null, which a jail hides */
	pthread_t thread;

	struct mutex lock; /* protects: what follows; order: a leaf */
	pthread_cond_t changed;
	bool gone;                 /* the listener is, or wants us to be */
	bool committed;            /* nothing of that matters any more */
	struct receive_msg memory; /* the answer to RECEIVE_RESERVE; kind 0: none yet */
	bool over;                 /* receive_guest() has returned */
};

/* --- towards the listener --- */

/* No room or no memory just now. */
static bool comes_and_goes(int rc)
{
	return rc == -EAGAIN || rc == -ENOBUFS || rc == -ENOMEM || rc == -EINTR;
}

/*
 * What the listener answers to questions about the guest hangs on it, so it is said
 * until it has been heard, or nobody is left to hear it.
 */
static void tell_msg(const struct child *c, const struct receive_msg *msg)
{
	struct pollfd room = { .fd = c->sock, .events = POLLOUT };

	while (comes_and_goes(receive_msg_send(c->sock, msg, -1)))
		(void)poll(&room, 1, 10);
}

static void tell(const struct child *c, uint32_t kind, const char *text)
{
	struct receive_msg msg = { .kind = kind };

	if (text)
		(void)snprintf(msg.text, sizeof(msg.text), "%s", text);
	tell_msg(c, &msg);
}

/* Returns the next message's kind; -ETIMEDOUT, or -EPIPE: it is gone. Before the thread. */
static int wait_verdict(const struct child *c)
{
	struct pollfd pfd = { .fd = c->sock, .events = POLLIN };
	struct receive_msg msg;
	int rc, fd;

	rc = poll(&pfd, 1, VERDICT_TIMEOUT_MS);
	if (rc <= 0)
		return rc < 0 ? -errno : -ETIMEDOUT;
	rc = receive_msg_recv(c->sock, &msg, &fd);
	close_fd(&fd);
	return rc > 0 ? (int)msg.kind : rc < 0 ? rc : -EPIPE;
}

/* The peer's connection as a channel, TLS included. Consumes @fd. */
static int open_channel(const struct child *c, int fd, struct channel **ret, struct err *e)
{
	struct channel *ch;
	int rc = channel_new(&ch, fd, e);

	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	rc = c->creds ? channel_start_tls(ch, c->creds, 1, NULL, e) : 0;
	if (rc < 0)
		channel_free(ch);
	else
		*ret = ch;
	return rc;
}

static void listener_is_gone(struct child *c)
{
	receive_streams_close(c->streams);
	MUTEX_SCOPE(&c->lock);
	c->gone = true;
	if (!c->committed)
		channel_cancel(c->control);
	(void)pthread_cond_broadcast(&c->changed);
}

static void on_memory(struct child *c, const struct receive_msg *msg)
{
	MUTEX_SCOPE(&c->lock);
	c->memory = *msg;
	(void)pthread_cond_broadcast(&c->changed);
}

/*
 * The guest lives on without it. Who reads a pipe from `ferry receive` waits for the
 * pipe's end, and must not wait for the guest's.
 */
static void leave_pipe(struct child *c)
{
	struct stat st;

	MUTEX_SCOPE(&c->lock);
	if (!c->over && c->null_fd >= 0 && fstat(STDERR_FILENO, &st) == 0 && S_ISFIFO(st.st_mode))
		(void)dup2(c->null_fd, STDERR_FILENO);
}

/* Ends when the listener's end is closed, or ours shut down. */
static void *read_listener(void *opaque)
{
	struct child *c = opaque;
	struct pollfd pfd = { .fd = c->sock, .events = POLLIN };
	struct receive_msg msg;
	int rc = -EAGAIN;
	int fd;

	while (rc > 0 || rc == -EAGAIN) {
		if (rc == -EAGAIN && poll(&pfd, 1, -1) < 0 && errno != EINTR)
			break;
		rc = receive_msg_recv(c->sock, &msg, &fd);
		if (rc > 0 && msg.kind == RECEIVE_STREAM && fd >= 0)
			receive_streams_offer(c->streams, take_fd(&fd), (unsigned)msg.value);
		else if (rc > 0 && msg.kind == RECEIVE_MEMORY)
			on_memory(c, &msg);
		else if (rc > 0 && msg.kind == RECEIVE_GIVE_UP)
			listener_is_gone(c);
		close_fd(&fd);
	}
	listener_is_gone(c);
	leave_pipe(c);
	return NULL;
}

/* --- for the conversation --- */

static void expect_streams(void *opaque, unsigned nr)
{
	receive_streams_expect(((const struct child *)opaque)->streams, nr);
}

static int get_stream(void *opaque, unsigned index, struct channel **ret, struct err *e)
{
	return receive_streams_take(((const struct child *)opaque)->streams, index, ret, e);
}

static void on_committed(void *opaque)
{
	struct child *c = opaque;

	MUTEX_SCOPE(&c->lock);
	c->committed = true;
	tell(c, RECEIVE_COMMITTED, NULL);
}

static void on_named(void *opaque, const char *name)
{
	tell(opaque, RECEIVE_NAMED, name);
}

static void on_running(void *opaque, uint64_t after_ns, bool told)
{
	const struct receive_msg msg = { .kind = RECEIVE_RUNS, .flag = told, .value = after_ns };
	const struct child *c = opaque;

	(void)!receive_msg_send(c->sock, &msg, -1);
}

/* The listener knows what other guests on their way may come to use. */
static int reserve(void *opaque, uint64_t memory_bytes, struct err *e)
{
	const struct receive_msg msg = { .kind = RECEIVE_RESERVE, .value = memory_bytes };
	uint64_t until_ns = clock_now_ns() + VERDICT_TIMEOUT_MS * NSEC_PER_MSEC;
	struct child *c = opaque;
	int rc = 0;

	tell_msg(c, &msg);
	MUTEX_SCOPE(&c->lock);
	while (!c->memory.kind && !c->gone && rc == 0)
		rc = cond_wait_until(&c->changed, &c->lock, until_ns);
	if (!c->memory.kind)
		return err_set(e, -ECANCELED, "'ferry receive' was ended, or does not answer");
	if (c->memory.flag)
		return 0;
	return err_set(e, -ENOMEM,
		       "memory: the guest may use %" PRIu64 " MiB, but the host has %" PRIu64
		       " MiB left beside what other guests on their way here may use",
		       memory_bytes >> 20, c->memory.value >> 20);
}

static const struct dest_peer_ops peer_ops = {
	.expect_streams = expect_streams,
	.get_stream = get_stream,
	.committed = on_committed,
	.named = on_named,
	.running = on_running,
};

/* --- a guest --- */

/* There is no room for it: the source is told in the conversation's own words. */
static int refuse(const struct child *c, struct err *e)
{
	static const char text[] = "no more guests are taken there now (--limit)";
	struct {
		uint32_t code;
		char text[sizeof(text) - 1];
	} reply = { .code = htole32(EBUSY) };

	memcpy(reply.text, text, sizeof(reply.text));
	(void)!section_send(c->control, SECTION_REPLY, 0, &reply, sizeof(reply), e);
	return err_set(e, -EBUSY, "no more guests are taken now");
}

static int ask_listener(const struct child *c, struct err *e)
{
	int verdict;

	tell(c, RECEIVE_PROVEN, NULL);
	verdict = wait_verdict(c);
	if (verdict == RECEIVE_FULL)
		return refuse(c, e);
	if (verdict != RECEIVE_WELCOME)
		return err_set(e, -ECANCELED, "'ferry receive' was ended");
	return 0;
}

static int run_session(struct child *c, const struct receive_options *o, struct err *e)
{
	const struct guest_changes changes = {
		.maps = &o->maps,
		.disk_dirs = &o->disk_dirs,
		.net_allow = &o->net_allow,
		.name = o->name,
		.console = o->console,
		.detached = true,
	};
	struct receive_session session = {
		.control = c->control,
		.ticket = *c->ticket,
		.peer = &peer_ops,
		.reserve = reserve,
		.opaque = c,
		.changes = &changes,
		.verbose = o->verbose,
		.json = o->json,
	};
	int rc = ask_listener(c, e);

	if (rc == 0)
		rc = phase_parse_set(o->hold, &session.hold, e);
	if (rc < 0)
		return rc;
	rc = thread_start(&c->thread, THREAD_MOVE, "listener", read_listener, c);
	if (rc < 0)
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	rc = receive_guest(&session, e);
	mutex_lock(&c->lock);
	c->over = true;
	mutex_unlock(&c->lock);
	(void)shutdown(c->sock, SHUT_RD);
	(void)pthread_join(c->thread, NULL);
	return rc;
}

static int receive_one(const struct receive_options *o, const struct tls_credentials *creds,
		       const struct receive_task *task)
{
	struct child c = { .creds = creds, .ticket = &task->ticket, .sock = task->sock };
	struct err e;
	int rc;

	c.null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	mutex_init(&c.lock);
	cond_init(&c.changed);
	rc = open_channel(&c, task->fd, &c.control, &e);
	if (rc == 0 && receive_streams_new(&c.streams, c.control, creds, c.ticket) < 0)
		rc = err_set(&e, -ENOMEM, "out of memory");
	if (rc == 0)
		rc = sandbox_begin(&o->sandbox, &e);
	if (rc == 0)
		rc = run_session(&c, o, &e);
	if (rc < 0)
		tell(&c, RECEIVE_FAILED, e.text);
	receive_streams_free(c.streams);
	channel_free(c.control);
	(void)pthread_cond_destroy(&c.changed);
	mutex_fini(&c.lock);
	(void)close(c.sock);
	close_fd(&c.null_fd);
	return rc < 0 ? 1 : rc;
}

/* --- a question --- */

static int answer_one(const struct tls_credentials *creds, const struct receive_task *task)
{
	const struct child c = { .creds = creds, .sock = -1 };
	struct channel *ch;
	struct err e;
	int rc;

	/* There is room for few of these: who asks has so long, whatever he sends. */
	(void)alarm(QUESTION_TIMEOUT_S);
	rc = open_channel(&c, task->fd, &ch, &e);
	if (rc < 0)
		return 1;
	rc = preamble_check_ticket(ch, &task->ticket, &e);
	if (rc == 0)
		rc = preamble_tell(ch, &task->ticket, task->answer, &e);
	channel_free(ch);
	return rc < 0;
}

/* --- both --- */

/* No terminal, and not the pipe that somebody reads the listener's lines from. */
static void detach(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	(void)setsid();
	if (fd < 0)
		return;
	(void)dup2(fd, STDIN_FILENO);
	(void)dup2(fd, STDOUT_FILENO);
	(void)close(fd);
}

static bool accept_peer(const struct receive_task *task)
{
	uint8_t reply[PREAMBLE_REPLY_BYTES];

	preamble_encode_reply(reply, PREAMBLE_OK);
	return send(task->fd, reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT) ==
	       (ssize_t)sizeof(reply);
}

int receive_child(const struct receive_options *o, const struct tls_credentials *creds,
		  struct receive_task *task)
{
	detach();
	if (!accept_peer(task)) {
		(void)close(task->fd);
		close_fd(&task->sock);
		return 1;
	}
	return task->control ? receive_one(o, creds, task) : answer_one(creds, task);
}
