// SPDX-License-Identifier: MIT
// The control socket: connections, their queues, and events.
#include "vmm/control/control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/fdpass.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/acceptor.h"
#include "vmm/control/log.h"
#include "vmm/loop.h"

/*
 * Theory of operation
 *
 * All on the main loop; no descriptor blocks. A connection collects bytes until
 * a line is complete, answers it, and goes on with the next. Replies and events
 * are queued and written as the client reads. While a reply is queued no
 * further request is read, so a client can make ferry hold one reply and its
 * events, no more. Once CONTROL_MAX_QUEUE_BYTES are queued, events are lost for
 * this client; the first that finds an empty queue again comes after
 * CONTROL_EVENT_LOST, which tells how many. So what was missed is known before
 * anything else is heard.
 *
 * A descriptor that comes with bytes belongs to the request that has the last of
 * them: the kernel ends a read after a message that brought one.
 */
struct client {
	struct control *ctl;
	struct control_session session;
	struct loop_fd watch;
	char *in; /* CONTROL_MAX_REQUEST_BYTES, until the first newline */
	size_t in_bytes;
	struct came {
		int fd;    /* -1: none, -EMFILE: too many */
		size_t at; /* of in[]: it is for the request that has this byte */
	} came[2]; /* in order: of the line that is read, and of one that begins in the same read */
	char *out; /* what is left to write: out[out_done, out_bytes) */
	size_t out_bytes, out_done, out_room;
	uint64_t lost; /* events since the last one that was queued */
	bool dead;     /* removed when nobody works on it any more */
	TAILQ_ENTRY(client) link;
};

struct control {
	struct control_params p;
	struct acceptor acceptor;
	uid_t owner; /* who made it: it is his, whoever the process becomes */
	TAILQ_HEAD(, client) clients;
	struct loop_work reaper;     /* frees dead clients */
	void (*alone)(void *opaque); /* NULL: nobody waits for that */
	void *alone_opaque;
	struct log_limit log;
	unsigned nr_fds; /* that clients left by getfd */
};

static void free_client(struct client *c)
{
	loop_del_fd(c->ctl->p.loop, &c->watch);
	close_fd(&c->watch.fd);
	close_fd(&c->came[0].fd);
	close_fd(&c->came[1].fd);
	control_fds_close(&c->session.fds);
	TAILQ_REMOVE(&c->ctl->clients, c, link);
	acceptor_client_left(&c->ctl->acceptor);
	free(c->in);
	free(c->out);
	free(c);
}

/* A client may be dropped from inside of what it asked for: free it later. */
static void drop_client(struct client *c)
{
	if (c->dead)
		return;
	c->dead = true;
	if (c->session.closed)
		c->session.closed(c->ctl->p.opaque, &c->session);
	loop_mod_fd(c->ctl->p.loop, &c->watch, 0);
	loop_post(c->ctl->p.loop, &c->ctl->reaper);
}

static void reap_clients(void *opaque)
{
	struct control *ctl = opaque;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&ctl->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		if (c->dead)
			free_client(c);
	}
	if (ctl->alone && TAILQ_EMPTY(&ctl->clients)) {
		void (*fn)(void *opaque) = ctl->alone;

		ctl->alone = NULL;
		fn(ctl->alone_opaque);
	}
}

void control_when_alone(struct control *ctl, void (*fn)(void *opaque), void *opaque)
{
	ctl->alone = fn;
	ctl->alone_opaque = opaque;
	loop_post(ctl->p.loop, &ctl->reaper);
}

/* --- output --- */

static size_t queued(const struct client *c)
{
	return c->out_bytes - c->out_done;
}

/* Make room for @len more bytes. 0 or -ENOMEM. */
static int reserve_out(struct client *c, size_t len)
{
	size_t need;
	char *out;

	if (c->out_done) {
		memmove(c->out, c->out + c->out_done, queued(c));
		c->out_bytes = queued(c);
		c->out_done = 0;
	}
	need = c->out_bytes + len;
	if (need <= c->out_room)
		return 0;
	out = realloc(c->out, need);
	if (!out)
		return -ENOMEM;
	c->out = out;
	c->out_room = need;
	return 0;
}

/* The reply to a console request is out: the connection is the console's now. */
static void take_over(struct client *c)
{
	int fd;

	loop_del_fd(c->ctl->p.loop, &c->watch);
	fd = take_fd(&c->watch.fd);
	drop_client(c);
	if (c->session.take_over(c->ctl->p.opaque, fd, c->session.take_over_how) < 0)
		(void)close(fd);
}

static void flush_out(struct client *c)
{
	while (queued(c)) {
		ssize_t n = send(c->watch.fd, c->out + c->out_done, queued(c),
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			drop_client(c);
			return;
		}
		c->out_done += (size_t)n;
	}
	if (!queued(c) && c->session.take_over) {
		take_over(c);
		return;
	}
	loop_mod_fd(c->ctl->p.loop, &c->watch, queued(c) ? LOOP_WRITE : LOOP_READ);
}

/* Queue @json as one line. -ENOMEM drops the client: it would miss what it waits for. */
static int queue_json(struct client *c, const json_t *json)
{
	char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	size_t len = text ? strlen(text) : 0;

	if (!text || reserve_out(c, len + 2) < 0) {
		log_limited(&c->ctl->log, LOG_WARN, "no memory for a client of the control socket");
		drop_client(c);
		free(text);
		return -ENOMEM;
	}
	memcpy(c->out + c->out_bytes, text, len);
	memcpy(c->out + c->out_bytes + len, "\r\n", 2);
	c->out_bytes += len + 2;
	free(text);
	return 0;
}

/* Takes @reply over. */
static void send_reply(struct client *c, json_t *reply)
{
	if (!c->dead && queue_json(c, reply) == 0)
		flush_out(c);
	json_decref(reply);
}

static json_t *make_event(const char *name, json_t *data)
{
	uint64_t now = clock_wall_ns();

	return json_pack("{s:s, s:{s:I, s:I}, s:o*}", "event", name, "timestamp", "seconds",
			 (json_int_t)(now / NSEC_PER_SEC), "microseconds",
			 (json_int_t)(now % NSEC_PER_SEC / NSEC_PER_USEC), "data", data);
}

/* Before the next event, and as soon as there is room. */
static void tell_lost(struct client *c)
{
	json_t *event;

	if (!c->lost || c->dead || queued(c) || c->session.take_over)
		return;
	event = make_event(CONTROL_EVENT_LOST, json_pack("{s:I}", "count", (json_int_t)c->lost));
	if (queue_json(c, event) == 0) {
		c->lost = 0;
		flush_out(c);
	}
	json_decref(event);
}

static void send_event(struct client *c, const json_t *event)
{
	tell_lost(c);
	if (c->dead)
		return;
	if (c->lost || queued(c) > CONTROL_MAX_QUEUE_BYTES) {
		if (c->lost++ == 0)
			log_limited(&c->ctl->log, LOG_WARN,
				    "a client of the control socket does not read, and misses "
				    "events");
	} else if (queue_json(c, event) == 0) {
		flush_out(c);
	}
}

void control_log(struct control *ctl)
{
	struct log_line line;
	struct client *c;

	TAILQ_FOREACH(c, &ctl->clients, link)
	{
		while (!c->dead && c->session.log_after != UINT64_MAX &&
		       log_next(c->session.log_after, &line)) {
			json_t *event = make_event(CONTROL_EVENT_LOG, control_log_line(&line));

			c->session.log_after = line.nr;
			send_event(c, event);
			json_decref(event);
		}
	}
}

void control_event(struct control *ctl, const char *name, json_t *data)
{
	json_t *event = make_event(name, data);
	struct client *c;

	TAILQ_FOREACH(c, &ctl->clients, link)
	{
		if (c->session.negotiated && !c->session.take_over && !c->dead)
			send_event(c, event);
	}
	json_decref(event);
}

/* --- input --- */

static bool is_blank(const char *line, size_t len)
{
	return strspn(line, " \t\r") >= len;
}

/* Take the descriptor that belongs to the first @len bytes of the input, which go next. */
static int take_came(struct client *c, size_t len)
{
	int fd = -1;

	if (c->came[0].fd != -1 && c->came[0].at < len) {
		fd = c->came[0].fd;
		c->came[0] = c->came[1];
		c->came[1].fd = -1;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(c->came); i++)
		c->came[i].at -= c->came[i].fd != -1 ? len : 0;
	return fd;
}

/* Answer the request in the first @len bytes of the input, a line without its end. */
static void handle_line(struct client *c, size_t len)
{
	struct control_request req = { .line = c->in, .len = len, .fd = take_came(c, len + 1) };
	json_t *reply = NULL;
	bool blank = is_blank(c->in, len);

	if (blank)
		close_fd(&req.fd);
	else
		reply = control_handle(c->ctl->p.table, &c->session, c->ctl->p.opaque, &req);
	c->in_bytes -= len + 1;
	memmove(c->in, c->in + len + 1, c->in_bytes);
	if (!blank)
		send_reply(c, reply);
}

/* Answer the complete lines that were read, as long as replies get out. */
static void handle_lines(struct client *c)
{
	char *end;

	while (!c->dead && !queued(c) && (end = memchr(c->in, '\n', c->in_bytes))) {
		*end = '\0';
		handle_line(c, (size_t)(end - c->in));
	}
}

/* A line that is longer than the buffer: nothing after it can be understood. */
static void refuse_long_line(struct client *c)
{
	send_reply(c, json_pack("{s:{s:s, s:s}}", "error", "class", "GenericError", "desc",
				"Request is too long"));
	drop_client(c);
}

/*
 * A descriptor for the last byte of the input. Nothing is read while a line waits for its
 * answer, so what came before is for the line that this read goes on with: it is either
 * over by now, or has two.
 */
static void keep_came(struct client *c, int fd)
{
	struct came *first = &c->came[0];
	size_t last = c->in_bytes - 1;

	if (fd == -1)
		return;
	if (first->fd == -1) {
		*first = (struct came){ .fd = fd, .at = last };
	} else if (memchr(c->in + first->at, '\n', last - first->at)) {
		close_fd(&c->came[1].fd); /* of a client that hung up: nobody misses it */
		c->came[1] = (struct came){ .fd = fd, .at = last };
	} else {
		close_fd(&fd);
		close_fd(&first->fd);
		first->fd = -EMFILE;
	}
}

static void read_client(struct client *c)
{
	int fd;
	ssize_t n = fdpass_recv(c->watch.fd, c->in + c->in_bytes,
				CONTROL_MAX_REQUEST_BYTES - c->in_bytes, &fd, MSG_DONTWAIT);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		drop_client(c);
		return;
	}
	c->in_bytes += (size_t)n;
	keep_came(c, fd);
	handle_lines(c);
	if (!c->dead && c->in_bytes == CONTROL_MAX_REQUEST_BYTES &&
	    !memchr(c->in, '\n', c->in_bytes))
		refuse_long_line(c);
}

static void on_client(void *opaque, unsigned events)
{
	struct client *c = opaque;

	if (c->dead)
		return;
	if (events & LOOP_WRITE) {
		flush_out(c);
		handle_lines(c); /* that waited for this */
	} else {
		read_client(c);
	}
	tell_lost(c);
}

/* --- connections --- */

static bool peer_allowed(const struct control *ctl, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == ctl->owner || cred.uid == 0);
}

static int add_client(void *opaque, int fd)
{
	struct control *ctl = opaque;
	struct client *c;
	int rc;

	if (!peer_allowed(ctl, fd))
		return -EPERM;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->ctl = ctl;
	c->came[0].fd = c->came[1].fd = -1;
	c->session.log_after = UINT64_MAX;
	c->session.fds.nr_all = &ctl->nr_fds;
	c->in = malloc(CONTROL_MAX_REQUEST_BYTES);
	c->watch = (struct loop_fd){ .fn = on_client, .opaque = c, .fd = fd, .events = LOOP_READ };
	rc = c->in ? loop_add_fd(ctl->p.loop, &c->watch) : -ENOMEM;
	if (rc < 0) {
		free(c->in);
		free(c);
		return rc;
	}
	TAILQ_INSERT_TAIL(&ctl->clients, c, link);
	send_reply(c, control_greeting());
	return 0;
}

int control_new(struct control **ret, const struct control_params *params)
{
	struct control *ctl = calloc(1, sizeof(*ctl));
	int rc;

	if (!ctl)
		return -ENOMEM;
	ctl->p = *params;
	ctl->owner = geteuid();
	TAILQ_INIT(&ctl->clients);
	ctl->reaper = (struct loop_work){ .fn = reap_clients, .opaque = ctl };
	ctl->acceptor = (struct acceptor){
		.loop = params->loop,
		.name = "control socket",
		.accepted = add_client,
		.opaque = ctl,
		.max_clients = CONTROL_MAX_CLIENTS,
	};
	rc = acceptor_start(&ctl->acceptor, params->listen_fd);
	if (rc < 0) {
		free(ctl);
		return rc;
	}
	*ret = ctl;
	return 0;
}

int control_set_listener(struct control *ctl, int listen_fd)
{
	acceptor_stop(&ctl->acceptor);
	return acceptor_start(&ctl->acceptor, listen_fd);
}

void control_free(struct control *ctl)
{
	struct client *c, *next;

	if (!ctl)
		return;
	acceptor_stop(&ctl->acceptor);
	loop_unpost(ctl->p.loop, &ctl->reaper);
	for (c = TAILQ_FIRST(&ctl->clients); c; c = next) {
		next = TAILQ_NEXT(c, link);
		free_client(c);
	}
	free(ctl);
}
