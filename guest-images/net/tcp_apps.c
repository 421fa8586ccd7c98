// SPDX-License-Identifier: MIT
/*
 * TCP: echo server, sink and source of a stream that can be checked.
 *
 * In the checked stream each aligned group of eight bytes holds its own offset, little-endian. The
 * source makes it, and checks what comes back; the sink checks it.
 */
#include "apps.h"
#include "tcp.h"

#define ECHO_RING_BYTES   (256u << 10)
#define SINK_WINDOW_BYTES (512u << 10)

struct stream {
	uint8_t *ring; /* of the echo: received bytes that are not acknowledged yet */
	uint64_t start_ns;
	uint64_t total; /* bytes to send; ~0: no end */
	uint64_t rate;  /* bytes/s, 0: as fast as it goes */
	uint64_t corrupt;
};

struct tcp_client {
	struct net_task task;
	struct tcp_conn *conn;
	struct stream stream;
	uint32_t addr;
	uint32_t port;
	bool ended;
};

/* --- the checked stream --------------------------------------------------------- */

static void pattern_make(uint64_t offset, uint8_t *to, uint32_t bytes)
{
	uint64_t word = offset & ~7ull;
	uint32_t skip = offset & 7, at = 0;

	if (skip) {
		at = bytes < 8 - skip ? bytes : 8 - skip;
		memcpy(to, (uint8_t *)&word + skip, at);
		word += 8;
	}
	for (; at + 8 <= bytes; at += 8, word += 8)
		memcpy(to + at, &word, 8);
	memcpy(to + at, &word, bytes - at);
}

/* How many groups of bytes are not what they should be. */
static uint64_t pattern_check(uint64_t offset, const uint8_t *from, uint32_t bytes)
{
	uint64_t wrong = 0, word;
	uint32_t at = 0;

	for (; at < bytes && (offset + at) & 7; at++)
		wrong += from[at] != (uint8_t)((offset & ~7ull) >> 8 * ((offset + at) & 7));
	for (; at + 8 <= bytes; at += 8) {
		memcpy(&word, from + at, 8);
		wrong += word != offset + at;
	}
	word = offset + at;
	return wrong + (memcmp(from + at, &word, bytes - at) != 0);
}

static void stream_check(struct tcp_conn *conn, const uint8_t *data, uint32_t bytes)
{
	struct stream *stream = conn->context;
	uint64_t wrong = pattern_check(conn->received, data, bytes);

	if (wrong && !stream->corrupt)
		print("net: tcp %s CORRUPT at offset %lu to %lu\n", conn->app->name, conn->received,
		      conn->received + bytes);
	stream->corrupt += wrong;
	if (wrong)
		conn->net->result = EXIT_CORRUPT;
}

static void stream_report(struct tcp_conn *conn, const char *end)
{
	struct stream *stream = conn->context;
	uint64_t ns = conn->net->now_ns - stream->start_ns;
	uint64_t bytes = conn->acked > conn->received ? conn->acked : conn->received;

	print("net: tcp_%s %u.%u.%u.%u:%u sent=%lu received=%lu mib_s=%lu.%lu ", conn->app->name,
	      NET_QUAD(conn->peer), conn->peer_port, conn->acked - conn->fin_acked, conn->received,
	      NET_TENTHS(net_mib10(bytes, ns)));
	print("retransmissions=%lu out_of_order=%lu corrupt=%lu end=%s\n", conn->retransmissions,
	      conn->out_of_order, stream->corrupt, end);
}

/* --- servers ------------------------------------------------------------------------ */

/* One for each connection that may be there: taken by its place in the table. */
static void server_open(struct tcp_conn *conn)
{
	static struct stream streams[TCP_CONNS];
	struct stream *stream = &streams[conn - conn->net->tcp->conns];
	uint8_t *ring = stream->ring ? stream->ring : memory_alloc(ECHO_RING_BYTES);

	*stream = (struct stream){ .ring = ring, .start_ns = conn->net->now_ns };
	conn->context = stream;
}

static void server_closed(struct tcp_conn *conn, const char *why)
{
	stream_report(conn, why ? why : "closed");
}

/* At the end of the guest: the connections that are still there. */
static void server_report(struct net *net, struct net_task *task)
{
	(void)task;
	for (unsigned int i = 0; i < TCP_CONNS; i++) {
		struct tcp_conn *conn = &net->tcp->conns[i];

		if (conn->state == TCP_ESTABLISHED && conn->app->open == server_open)
			stream_report(conn, "open");
	}
}

static uint32_t echo_room(const struct tcp_conn *conn)
{
	return conn->context ? ECHO_RING_BYTES - (uint32_t)(conn->received - conn->acked) : 0;
}

static void echo_receive(struct tcp_conn *conn, const uint8_t *data, uint32_t bytes)
{
	struct stream *stream = conn->context;
	uint32_t at = conn->received % ECHO_RING_BYTES;
	uint32_t first = bytes < ECHO_RING_BYTES - at ? bytes : ECHO_RING_BYTES - at;

	if (!data) {
		tcp_close(conn);
		return;
	}
	memcpy(stream->ring + at, data, first);
	memcpy(stream->ring, data + first, bytes - first);
}

static uint64_t echo_ready(const struct tcp_conn *conn)
{
	return conn->received;
}

static void echo_make(const struct tcp_conn *conn, uint64_t offset, uint8_t *to, uint32_t bytes)
{
	const struct stream *stream = conn->context;
	uint32_t at = offset % ECHO_RING_BYTES;
	uint32_t first = bytes < ECHO_RING_BYTES - at ? bytes : ECHO_RING_BYTES - at;

	memcpy(to, stream->ring + at, first);
	memcpy(to + first, stream->ring, bytes - first);
}

static uint32_t sink_room(const struct tcp_conn *conn)
{
	(void)conn;
	return SINK_WINDOW_BYTES;
}

static void sink_receive(struct tcp_conn *conn, const uint8_t *data, uint32_t bytes)
{
	if (!data)
		tcp_close(conn);
	else if (param_number("check", 1))
		stream_check(conn, data, bytes);
}

static uint64_t sink_ready(const struct tcp_conn *conn)
{
	(void)conn;
	return 0;
}

/* --- client ----------------------------------------------------------------------------- */

static void source_open(struct tcp_conn *conn)
{
	struct stream *stream = conn->context;

	stream->start_ns = conn->net->now_ns;
}

static void source_receive(struct tcp_conn *conn, const uint8_t *data, uint32_t bytes)
{
	const struct stream *stream = conn->context;

	if (data)
		stream_check(conn, data, bytes);
	else if (stream->total == ~0ull)
		tcp_abort(conn, "closed by the peer");
}

static uint64_t source_ready(const struct tcp_conn *conn)
{
	const struct stream *stream = conn->context;
	uint64_t ns = conn->net->now_ns - stream->start_ns, allowed;

	if (!stream->rate)
		return stream->total;
	allowed = ns / NS_PER_MS * stream->rate / 1000;
	return allowed < stream->total ? allowed : stream->total;
}

static void source_make(const struct tcp_conn *conn, uint64_t offset, uint8_t *to, uint32_t bytes)
{
	(void)conn;
	pattern_make(offset, to, bytes);
}

static void source_closed(struct tcp_conn *conn, const char *why)
{
	struct tcp_client *client = (struct tcp_client *)((uint8_t *)conn->context -
							  offsetof(struct tcp_client, stream));

	stream_report(conn, why ? why : "closed");
	client->ended = true;
	client->task.wake_ns = ~0ull;
	net_job_done(conn->net, why ? EXIT_FAILED : EXIT_OK);
}

static void source_run(struct net *net, struct net_task *task)
{
	static const struct tcp_app source = {
		.name = "source",
		.open = source_open,
		.receive = source_receive,
		.room = sink_room,
		.ready = source_ready,
		.make = source_make,
		.closed = source_closed,
	};
	struct tcp_client *client = task->context;
	uint8_t mac[6];

	task->wake_ns = net->now_ns + NS_PER_MS;
	if (client->conn && client->stream.total == source_ready(client->conn)) {
		tcp_close(client->conn);
		task->wake_ns = ~0ull;
	}
	if (client->conn)
		tcp_kick(client->conn);
	else if (arp_resolve(net, client->addr, mac))
		client->conn = tcp_connect(net, client->addr, (uint16_t)client->port, &source,
					   &client->stream);
}

static void source_report(struct net *net, struct net_task *task)
{
	struct tcp_client *client = task->context;

	(void)net;
	if (client->conn && !client->ended)
		stream_report(client->conn, "open");
	else if (!client->conn)
		print("net: tcp_source: no connection\n");
}

static void source_start(struct net *net)
{
	static struct tcp_client client;
	uint64_t bytes = param_number("bytes", 0);

	if (!param_get("tcp_source"))
		return;
	client.port = 9;
	client.addr = net_parse_addr(param_get("tcp_source"), &client.port);
	client.stream.total = bytes ? bytes : ~0ull;
	client.stream.rate = param_number("rate", 0);
	client.task = (struct net_task){ "tcp_source", source_run, source_report, &client, 0 };
	net->jobs++;
	net_add_task(net, &client.task);
}

void tcp_apps_start(struct net *net)
{
	static const struct tcp_app echo = {
		.name = "echo",
		.open = server_open,
		.receive = echo_receive,
		.room = echo_room,
		.ready = echo_ready,
		.make = echo_make,
		.closed = server_closed,
	};
	static const struct tcp_app sink = {
		.name = "sink",
		.open = server_open,
		.receive = sink_receive,
		.room = sink_room,
		.ready = sink_ready,
		.make = source_make,
		.closed = server_closed,
	};
	static struct net_task servers = { .name = "tcp servers",
					   .report = server_report,
					   .wake_ns = ~0ull };
	uint16_t echo_port = (uint16_t)param_number("tcp_echo", 7);
	uint16_t sink_port = (uint16_t)param_number("tcp_sink", 0);

	net_add_task(net, &servers);
	if (echo_port)
		tcp_listen(net, echo_port, &echo, NULL);
	if (sink_port)
		tcp_listen(net, sink_port, &sink, NULL);
	source_start(net);
}
