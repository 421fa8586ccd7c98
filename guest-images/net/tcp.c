// SPDX-License-Identifier: MIT
/* TCP: connections and their timers. */
#include "tcp.h"

#define TCP_FIRST_PORT     49152
#define TCP_INITIAL_RTO_NS NS_PER_S
#define TCP_GIVE_UP_NS     (120 * NS_PER_S)

struct tcp_conn *tcp_new(struct net *net, const struct tcp_app *app, void *context)
{
	uint32_t iss = (uint32_t)random_mix(rdtsc());

	for (unsigned int i = 0; i < TCP_CONNS; i++) {
		struct tcp_conn *conn = &net->tcp->conns[i];

		if (conn->state != TCP_FREE)
			continue;
		*conn = (struct tcp_conn){
			.app = app,
			.context = context,
			.net = net,
			.snd_una = iss,
			.snd_nxt = iss,
			.snd_max = iss,
			.recover = iss,
			.ssthresh = ~0u,
			.rto_ns = TCP_INITIAL_RTO_NS,
			.timer_ns = ~0ull,
			.progress_ns = net->now_ns,
		};
		return conn;
	}
	return NULL;
}

void tcp_listen(struct net *net, uint16_t port, const struct tcp_app *app, void *context)
{
	for (unsigned int i = 0; i < TCP_LISTENERS; i++) {
		if (net->tcp->listeners[i].port)
			continue;
		net->tcp->listeners[i] = (struct tcp_listener){ port, app, context };
		return;
	}
	panic("net: too many TCP listeners");
}

struct tcp_conn *tcp_connect(struct net *net, uint32_t peer, uint16_t port,
			     const struct tcp_app *app, void *context)
{
	struct tcp_conn *conn = tcp_new(net, app, context);

	if (!conn)
		return NULL;
	conn->state = TCP_SYN_SENT;
	conn->peer = peer;
	conn->peer_port = port;
	conn->port = net->tcp->next_port++;
	if (!net->tcp->next_port)
		net->tcp->next_port = TCP_FIRST_PORT;
	tcp_output(conn);
	return conn;
}

void tcp_close(struct tcp_conn *conn)
{
	conn->closing = true;
}

void tcp_kick(struct tcp_conn *conn)
{
	if (conn->state == TCP_ESTABLISHED)
		tcp_output(conn);
}

void tcp_end(struct tcp_conn *conn, const char *why)
{
	bool was_open = conn->state != TCP_SYN_RECEIVED;

	conn->state = TCP_FREE;
	if (was_open)
		conn->app->closed(conn, why);
}

void tcp_abort(struct tcp_conn *conn, const char *why)
{
	struct tcp about = { .src = be16(conn->peer_port),
			     .dst = be16(conn->port),
			     .flags = TCP_ACK,
			     .ack = be32(conn->snd_max) };

	tcp_send_reset(conn->net, conn->peer, &about, 0);
	tcp_end(conn, why);
}

static void tcp_run_timer(struct tcp_conn *conn)
{
	conn->timer_ns = ~0ull;
	if (conn->state == TCP_TIME_WAIT)
		conn->state = TCP_FREE; /* the application knows already */
	else if (conn->net->now_ns - conn->progress_ns > TCP_GIVE_UP_NS)
		tcp_abort(conn, "no answer");
	else
		tcp_timeout(conn);
}

/* Runs in each round, so that the acknowledgement of a batch of segments goes out once. */
static void tcp_run(struct net *net, struct net_task *task)
{
	task->wake_ns = ~0ull;
	for (unsigned int i = 0; i < TCP_CONNS; i++) {
		struct tcp_conn *conn = &net->tcp->conns[i];

		if (conn->state == TCP_FREE)
			continue;
		if (conn->timer_ns <= net->now_ns)
			tcp_run_timer(conn);
		else
			tcp_output(conn);
		if (conn->state != TCP_FREE && conn->timer_ns < task->wake_ns)
			task->wake_ns = conn->timer_ns;
	}
}

void tcp_init(struct net *net)
{
	static struct tcp_table table;

	table.next_port = (uint16_t)(TCP_FIRST_PORT + rdtsc() % 16384);
	table.task = (struct net_task){ .name = "tcp", .run = tcp_run, .wake_ns = ~0ull };
	net->tcp = &table;
	net_add_task(net, &table.task);
}
