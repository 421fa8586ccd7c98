/* SPDX-License-Identifier: MIT */
/*
 * TCP (RFC 9293) for bulk data between machines that are near.
 *
 * It keeps no data. An application takes received bytes at once, and makes the
 * bytes of any offset that is not acknowledged yet again when it is asked to.
 * Segments that come out of order are dropped; the acknowledgement says so and
 * the peer sends them again.
 */
#ifndef GUEST_NET_TCP_H
#define GUEST_NET_TCP_H

#include "net.h"

#define TCP_CONNS     16
#define TCP_LISTENERS 4

#define TCP_DEFAULT_MSS 536

enum tcp_state {
	TCP_FREE,
	TCP_SYN_SENT,
	TCP_SYN_RECEIVED,
	TCP_ESTABLISHED, /* and FIN-WAIT or CLOSE-WAIT: see the flags of tcp_conn */
	TCP_TIME_WAIT,
};

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
};

struct tcp_conn;

/* Offsets count the bytes of one direction from 0. */
struct tcp_app {
	const char *name;
	/* The connection stands; conn->context is the application's to set. */
	void (*open)(struct tcp_conn *conn);
	/* Takes the next @bytes received bytes. */
	void (*receive)(struct tcp_conn *conn, const uint8_t *data, uint32_t bytes);
	/* How many bytes it would take now. */
	uint32_t (*room)(const struct tcp_conn *conn);
	/* The offset up to which there is something to send. */
	uint64_t (*ready)(const struct tcp_conn *conn);
	/* Makes the @bytes bytes to be sent at @offset, which lies before ready(). */
	void (*make)(const struct tcp_conn *conn, uint64_t offset, uint8_t *to, uint32_t bytes);
	/* All is over; @why is NULL after an orderly end. */
	void (*closed)(struct tcp_conn *conn, const char *why);
};

struct tcp_conn {
	enum tcp_state state;
	const struct tcp_app *app;
	void *context;
	struct net *net;
	uint32_t peer;
	uint16_t peer_port;
	uint16_t port;

	/* sending, RFC 9293 3.3.1 and RFC 5681 */
	uint32_t snd_una, snd_nxt, snd_max; /* snd_max: after the highest that was sent */
	uint32_t snd_wnd, cwnd, ssthresh;
	uint32_t recover; /* losses before this one are dealt with */
	uint64_t acked;   /* offset of snd_una */
	uint16_t mss;     /* of the peer, 0: it has not said */
	uint8_t snd_shift;
	uint8_t duplicates;
	bool closing;   /* our FIN follows the data */
	bool fin_acked; /* the peer has our FIN */

	/* receiving */
	uint32_t rcv_nxt;
	uint32_t rcv_limit; /* the right edge of the window that we told */
	uint64_t received;  /* offset of rcv_nxt */
	uint8_t rcv_shift;
	bool fin_received;
	bool ack_due;

	/* timers, RFC 6298 */
	uint64_t timer_ns;    /* retransmission, window probe or TIME-WAIT; ~0: off */
	uint64_t progress_ns; /* when the peer last acknowledged something new */
	uint64_t srtt_ns, rttvar_ns, rto_ns;
	uint64_t timed_ns; /* when timed_seq was sent, 0: no sample under way */
	uint32_t timed_seq;

	uint64_t retransmissions, out_of_order;
};

struct tcp_listener {
	uint16_t port;
	const struct tcp_app *app;
	void *context;
};

struct tcp_table {
	struct tcp_conn conns[TCP_CONNS];
	struct tcp_listener listeners[TCP_LISTENERS];
	struct net_task task;
	uint16_t next_port;
};

/* --- tcp.c: for applications -------------------------------------------------- */

/* Once, before the others. */
void tcp_init(struct net *net);

/* Connections to @port are @app's. */
void tcp_listen(struct net *net, uint16_t port, const struct tcp_app *app, void *context);

/* NULL if there are too many already. */
struct tcp_conn *tcp_connect(struct net *net, uint32_t peer, uint16_t port,
			     const struct tcp_app *app, void *context);

/* Sends FIN after all that is ready. */
void tcp_close(struct tcp_conn *conn);

/* Sends RST and forgets the connection. */
void tcp_abort(struct tcp_conn *conn, const char *why);

/* There may be more to send, or more room, than before. */
void tcp_kick(struct tcp_conn *conn);

/* --- between the parts ---------------------------------------------------------- */

/* A free connection with its initial values, NULL if there is none. */
struct tcp_conn *tcp_new(struct net *net, const struct tcp_app *app, void *context);
void tcp_end(struct tcp_conn *conn, const char *why);

/* tcp_out.c: sends what the windows allow, and the acknowledgement that is due. */
void tcp_output(struct tcp_conn *conn);
void tcp_send_reset(struct net *net, uint32_t dst, const struct tcp *about, uint32_t data_bytes);
void tcp_timeout(struct tcp_conn *conn);

/* Everything that can be sent has been, FIN included, and is acknowledged. */
static inline bool tcp_is_flushed(const struct tcp_conn *conn)
{
	return conn->snd_una == conn->snd_max;
}

/* Data bytes of a segment to the peer (RFC 9293, 3.7.1). */
static inline uint32_t tcp_mss(const struct tcp_conn *conn)
{
	return conn->mss ? conn->mss : TCP_DEFAULT_MSS;
}

/* After a loss: half of what was in flight, two segments at least (RFC 5681, 4). */
static inline uint32_t tcp_half_flight(const struct tcp_conn *conn)
{
	uint32_t half = (conn->snd_max - conn->snd_una) / 2;

	return half > 2 * tcp_mss(conn) ? half : 2 * tcp_mss(conn);
}

static inline bool tcp_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

#endif
