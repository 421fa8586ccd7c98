// SPDX-License-Identifier: MIT
// Where gdb finds a guest: the socket, and bytes to and from it.
#include "vmm/gdb/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/address.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/acceptor.h"
#include "vmm/gdb/target.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/move/run_mover.h"

/*
 * Theory of operation
 *
 * One packet at a time: while the answer to one waits to be sent, nothing is read. So a
 * client can make us hold one packet in each direction, and no more. A client that
 * comes stops the guest; when it goes, in whatever way, breakpoints are taken out
 * and the guest goes on.
 */
struct gdb_server {
	struct run *run;
	struct address_listener listener;
	struct acceptor acceptors[ADDRESS_MAX_LISTEN];
	struct gdb_target target;
	bool wait;

	/* the client */
	int fd; /* -1: there is none */
	struct loop_fd watch;
	struct gdb_session session;
	struct rsp_parser parser;
	char out[RSP_WIRE_BYTES + 1]; /* an ack and a packet */
	size_t out_len, out_sent;
};

/* --- the client --- */

static void hang_up(struct gdb_server *s)
{
	if (s->fd < 0)
		return;
	loop_del_fd(run_loop(s->run), &s->watch);
	close_fd(&s->fd);
	if (run_machine(s->run))
		gdb_target_detach(&s->target);
	for (unsigned i = 0; i < s->listener.nr; i++)
		s->acceptors[i].nr_clients = 0;
	log_info("gdb has gone");
}

/* False: the client has gone. */
static bool flush(struct gdb_server *s)
{
	while (s->out_sent < s->out_len) {
		ssize_t n = send(s->fd, s->out + s->out_sent, s->out_len - s->out_sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return false;
		s->out_sent += (size_t)n;
	}
	loop_mod_fd(run_loop(s->run), &s->watch, s->out_sent < s->out_len ? LOOP_WRITE : LOOP_READ);
	return true;
}

/* What is to be sent; nothing else waits then. */
static void put(struct gdb_server *s, const char *bytes, size_t len)
{
	if (s->out_sent == s->out_len)
		s->out_sent = s->out_len = 0;
	len = MIN(len, sizeof(s->out) - s->out_len);
	memcpy(s->out + s->out_len, bytes, len);
	s->out_len += len;
}

static void put_reply(struct gdb_server *s)
{
	char wire[RSP_WIRE_BYTES];
	size_t len;

	if (s->session.no_reply)
		return;
	len = rsp_encode(s->session.reply, s->session.reply_len, wire);
	put(s, wire, len);
}

static void on_packet(struct gdb_server *s)
{
	if (!s->session.no_acks)
		put(s, "+", 1);
	gdb_session_packet(&s->session, s->parser.payload, s->parser.len);
	put_reply(s);
}

static void on_event(struct gdb_server *s, enum rsp_event event)
{
	switch (event) {
	case RSP_NOTHING:
		break;
	case RSP_PACKET:
		on_packet(s);
		break;
	case RSP_BAD:
		if (!s->session.no_acks)
			put(s, "-", 1);
		break;
	case RSP_BREAK:
		gdb_session_break(&s->session);
		break;
	case RSP_NAK:
		/* The last answer again. */
		if (!s->session.no_acks && s->session.reply_len)
			put_reply(s);
		break;
	}
}

/* One byte after the other, so that what follows a packet waits for its answer. */
static bool read_some(struct gdb_server *s)
{
	uint8_t byte;

	while (s->fd >= 0 && s->out_sent == s->out_len) {
		ssize_t n = recv(s->fd, &byte, 1, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		on_event(s, rsp_feed(&s->parser, byte));
		if (s->fd >= 0 && !flush(s))
			return false;
		if (s->session.detached)
			return false;
	}
	return true;
}

static void on_socket(void *opaque, unsigned events)
{
	struct gdb_server *s = opaque;

	(void)events;
	if (!flush(s) || !read_some(s))
		hang_up(s);
}

/* --- what the guest does --- */

static void on_stopped(void *opaque, const struct gdb_stop *stop)
{
	struct gdb_server *s = opaque;

	if (s->fd < 0 || !s->session.running)
		return;
	gdb_session_stopped(&s->session, stop);
	put_reply(s);
	(void)flush(s); /* a client that has gone is noticed when it is read from */
}

static void on_kill(void *opaque)
{
	struct gdb_server *s = opaque;

	run_quit(s->run, "host-qmp-quit");
}

/* --- a client comes --- */

static int check_guest(const struct gdb_server *s, struct err *e)
{
	const struct run_mover *mv = run_mover(s->run);

	if (!run_machine(s->run) || run_is_ending(s->run))
		return err_set(e, -ENOENT, "the guest is not here any more");
	if (mv && mv->busy)
		return err_set(e, -EBUSY, "the guest is being saved, moved or dumped");
	return 0;
}

static int accepted(void *opaque, int fd)
{
	struct gdb_server *s = opaque;
	struct err e = { 0 };
	int rc = s->fd >= 0 ? err_set(&e, -EBUSY, "there is a client already") : check_guest(s, &e);

	if (rc == 0)
		rc = gdb_target_attach(&s->target, &e);
	if (rc < 0) {
		log_warn("gdb was refused: %s", e.text);
		return rc;
	}
	s->fd = fd;
	s->parser = (struct rsp_parser){ .state = RSP_IDLE };
	s->out_len = s->out_sent = 0;
	gdb_session_init(&s->session, &gdb_target_ops, &s->target);
	s->watch = (struct loop_fd){
		.fn = on_socket, .opaque = s, .fd = fd, .events = LOOP_READ, .slot = -1
	};
	rc = loop_add_fd(run_loop(s->run), &s->watch);
	if (rc < 0) {
		s->fd = -1;
		gdb_target_detach(&s->target);
		return rc;
	}
	log_info("gdb is attached");
	return 0;
}

/* --- set up --- */

static bool is_loopback(const struct address *a)
{
	struct in6_addr v6;
	struct in_addr v4;

	if (a->kind == ADDRESS_UNIX)
		return true;
	if (inet_pton(AF_INET, a->host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	return inet_pton(AF_INET6, a->host, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

int gdb_parse_spec(struct gdb_server_spec *ret, const char *text, struct err *e)
{
	const char *comma = strrchr(text, ',');
	size_t len = comma && !strcmp(comma, ",wait") ? (size_t)(comma - text) : strlen(text);
	struct address address;
	int rc;

	if (len >= sizeof(ret->address))
		return err_set(e, -EINVAL, "gdb: the address is too long");
	ret->wait = text[len] != '\0';
	(void)snprintf(ret->address, sizeof(ret->address), "%.*s", (int)len, text);
	rc = address_parse(&address, ret->address, e);
	if (rc < 0)
		return err_prefix(e, "gdb");
	if (!is_loopback(&address))
		return err_set(e, -EINVAL,
			       "gdb: %s is not this host alone: give tcp:127.0.0.1:PORT or "
			       "unix:PATH",
			       ret->address);
	return 0;
}

static int open_listener(struct gdb_server *s, const char *text, struct err *e)
{
	struct address address;
	int rc = address_parse(&address, text, e);

	if (rc == 0)
		rc = address_listen(&s->listener, &address, e);
	for (unsigned i = 0; rc == 0 && i < s->listener.nr; i++) {
		s->acceptors[i] = (struct acceptor){
			.loop = run_loop(s->run),
			.name = "gdb socket",
			.accepted = accepted,
			.opaque = s,
		};
		rc = acceptor_start(&s->acceptors[i], s->listener.fds[i]);
		if (rc < 0)
			(void)err_set(e, rc, "%s", strerror(-rc));
	}
	return rc < 0 ? err_prefix(e, "gdb") : 0;
}

int gdb_server_new(struct gdb_server **ret, struct run *run, const struct gdb_server_spec *spec,
		   struct err *e)
{
	struct gdb_server *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->run = run;
	s->fd = -1;
	s->wait = spec->wait;
	rc = open_listener(s, spec->address, e);
	if (rc < 0) {
		gdb_server_close(s, 0);
		gdb_server_free(s);
		return rc;
	}
	s->target.stopped = on_stopped;
	s->target.kill = on_kill;
	s->target.opaque = s;
	gdb_target_init(&s->target, run_machine(run));
	if (s->wait)
		gdb_target_wait(&s->target);
	log_info("gdb: target remote %s",
		 s->listener.path[0] ? s->listener.path : s->listener.shown + strlen("tcp:"));
	*ret = s;
	return 0;
}

void gdb_server_started(struct gdb_server *s)
{
	if (s && s->wait)
		gdb_target_waits(&s->target);
}

void gdb_server_close(struct gdb_server *s, int status)
{
	char text[8];

	if (!s)
		return;
	for (unsigned i = 0; i < s->listener.nr; i++)
		acceptor_stop(&s->acceptors[i]);
	address_unlisten(&s->listener);
	if (s->fd < 0)
		return;
	if (s->session.running) {
		char wire[RSP_WIRE_BYTES];
		int n = snprintf(text, sizeof(text), "W%02x", (unsigned)status & 0xff);
		size_t len = rsp_encode(text, (size_t)n, wire);

		put(s, wire, len);
		(void)flush(s);
	}
	loop_del_fd(run_loop(s->run), &s->watch);
	close_fd(&s->fd);
}

void gdb_server_free(struct gdb_server *s)
{
	free(s);
}
