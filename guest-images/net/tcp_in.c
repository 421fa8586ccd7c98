// SPDX-License-Identifier: MIT
/* TCP: what is received (RFC 9293, 3.10.7). */
#include "tcp.h"

#define TCP_MIN_RTO_NS   (200 * NS_PER_MS)
#define TCP_TIME_WAIT_NS NS_PER_S
#define TCP_MAX_CWND     (4u << 20)
#define TCP_FIRST_CWND   10u /* segments, RFC 6928 */
#define TCP_OUR_MSS      (MTU - IP_BYTES - TCP_BYTES)

struct tcp_segment {
	struct tcp header; /* as on the wire */
	uint32_t seq, ack, window;
	uint8_t flags;
	const uint8_t *data;
	uint32_t bytes;
	uint16_t mss; /* option of a SYN, 0: absent */
	int8_t shift; /* option of a SYN, -1: absent */
};

static void tcp_parse_options(struct tcp_segment *seg, const uint8_t *at, const uint8_t *end)
{
	seg->mss = 0;
	seg->shift = -1;
	while (at < end && *at) {
		if (*at == 1) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			return;
		if (at[0] == 2 && at[1] == 4)
			seg->mss = (uint16_t)(at[2] << 8 | at[3]);
		if (at[0] == 3 && at[1] == 3)
			seg->shift = (int8_t)(at[2] < 14 ? at[2] : 14);
		at += at[1];
	}
}

static bool tcp_parse(struct tcp_segment *seg, const struct ip *ip, const uint8_t *data,
		      uint32_t bytes, bool checksum_good)
{
	uint64_t sum = checksum_pseudo(be32(ip->src), be32(ip->dst), IP_PROTO_TCP, bytes);
	uint32_t header_bytes;

	if (bytes < TCP_BYTES ||
	    (!checksum_good && checksum_fold(checksum_add(sum, data, bytes)) != 0xffff))
		return false;
	memcpy(&seg->header, data, TCP_BYTES);
	header_bytes = (seg->header.words >> 4) * 4u;
	if (header_bytes < TCP_BYTES || header_bytes > bytes)
		return false;
	seg->seq = be32(seg->header.seq);
	seg->ack = be32(seg->header.ack);
	seg->window = be16(seg->header.window);
	seg->flags = seg->header.flags;
	seg->data = data + header_bytes;
	seg->bytes = bytes - header_bytes;
	tcp_parse_options(seg, data + TCP_BYTES, seg->data);
	return true;
}

static void tcp_take_options(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	if (seg->mss)
		conn->mss = seg->mss < TCP_OUR_MSS ? seg->mss : TCP_OUR_MSS;
	conn->snd_shift = seg->shift < 0 ? 0 : (uint8_t)seg->shift;
	conn->rcv_shift = seg->shift < 0 ? 0 : 7;
	conn->cwnd = TCP_FIRST_CWND * tcp_mss(conn);
	conn->rcv_nxt = conn->rcv_limit = seg->seq + 1;
}

static void tcp_accept(struct net *net, uint32_t src, const struct tcp_segment *seg)
{
	const struct tcp_listener *listener = NULL;
	struct tcp_conn *conn = NULL;

	for (unsigned int i = 0; i < TCP_LISTENERS; i++) {
		if (net->tcp->listeners[i].port &&
		    net->tcp->listeners[i].port == be16(seg->header.dst))
			listener = &net->tcp->listeners[i];
	}
	if (listener && (seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
		conn = tcp_new(net, listener->app, listener->context);
	if (!conn) {
		if (!(seg->flags & TCP_RST))
			tcp_send_reset(net, src, &seg->header, seg->bytes);
		return;
	}
	conn->state = TCP_SYN_RECEIVED;
	conn->peer = src;
	conn->peer_port = be16(seg->header.src);
	conn->port = be16(seg->header.dst);
	tcp_take_options(conn, seg);
	tcp_output(conn);
}

/* A sample of the round trip (RFC 6298, 2). */
static void tcp_measure(struct tcp_conn *conn)
{
	uint64_t rtt_ns = conn->net->now_ns - conn->timed_ns, delta_ns;

	if (conn->timed_ns && !tcp_before(conn->snd_una, conn->timed_seq)) {
		conn->timed_ns = 0;
		if (!conn->srtt_ns) {
			conn->srtt_ns = rtt_ns;
			conn->rttvar_ns = rtt_ns / 2;
		} else {
			delta_ns = rtt_ns > conn->srtt_ns ? rtt_ns - conn->srtt_ns
							  : conn->srtt_ns - rtt_ns;
			conn->rttvar_ns = (3 * conn->rttvar_ns + delta_ns) / 4;
			conn->srtt_ns = (7 * conn->srtt_ns + rtt_ns) / 8;
		}
	}
	conn->rto_ns = conn->srtt_ns + 4 * conn->rttvar_ns;
	if (conn->rto_ns < TCP_MIN_RTO_NS)
		conn->rto_ns = TCP_MIN_RTO_NS;
}

static void tcp_establish(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	conn->state = TCP_ESTABLISHED;
	conn->snd_una = conn->snd_nxt = seg->ack;
	conn->snd_wnd = seg->window << (seg->flags & TCP_SYN ? 0 : conn->snd_shift);
	conn->timer_ns = ~0ull;
	tcp_measure(conn);
	conn->app->open(conn);
}

static void tcp_in_syn_sent(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	bool good = seg->flags & TCP_ACK && seg->ack == conn->snd_max;

	if (seg->flags & TCP_RST) {
		if (good)
			tcp_end(conn, "refused");
	} else if (!good) {
		tcp_send_reset(conn->net, conn->peer, &seg->header, seg->bytes);
	} else if (seg->flags & TCP_SYN) {
		tcp_take_options(conn, seg);
		tcp_establish(conn, seg);
		conn->ack_due = true;
	}
}

static void tcp_grow_cwnd(struct tcp_conn *conn, uint32_t bytes)
{
	/* RFC 3465, with no limit to a step: one acknowledgement may stand for a lot here. */
	if (conn->cwnd < conn->ssthresh)
		conn->cwnd += bytes;
	else
		conn->cwnd += (uint32_t)((uint64_t)tcp_mss(conn) * bytes / conn->cwnd);
	if (conn->cwnd > TCP_MAX_CWND)
		conn->cwnd = TCP_MAX_CWND;
}

static void tcp_take_new_ack(struct tcp_conn *conn, uint32_t ack)
{
	uint32_t bytes = ack - conn->snd_una;

	conn->snd_una = ack;
	conn->acked += bytes;
	if (tcp_before(conn->snd_nxt, ack))
		conn->snd_nxt = ack;
	conn->duplicates = 0;
	conn->progress_ns = conn->net->now_ns;
	tcp_measure(conn);
	tcp_grow_cwnd(conn, bytes);
	conn->timer_ns = tcp_is_flushed(conn) ? ~0ull : conn->net->now_ns + conn->rto_ns;
	if (conn->closing && conn->acked > conn->app->ready(conn))
		conn->fin_acked = true;
}

/* The third duplicate: a segment is lost, go on from there (RFC 5681, 3.2, but going back). */
static void tcp_take_duplicate_ack(struct tcp_conn *conn)
{
	if (++conn->duplicates != 3 || tcp_before(conn->snd_una, conn->recover))
		return;
	conn->ssthresh = conn->cwnd = tcp_half_flight(conn);
	conn->recover = conn->snd_max;
	conn->snd_nxt = conn->snd_una;
}

/* False if the segment is not acceptable. */
static bool tcp_take_ack(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	uint32_t window = seg->window << conn->snd_shift;

	if (!(seg->flags & TCP_ACK) || tcp_before(conn->snd_max, seg->ack)) {
		conn->ack_due = true;
		return false;
	}
	if (tcp_before(conn->snd_una, seg->ack))
		tcp_take_new_ack(conn, seg->ack);
	else if (seg->ack == conn->snd_una && !seg->bytes && window == conn->snd_wnd &&
		 !(seg->flags & TCP_FIN) && !tcp_is_flushed(conn))
		tcp_take_duplicate_ack(conn);
	if (seg->ack != conn->snd_una)
		return true; /* older: its window is, too */
	/* The peer answers our probes, so it lives. */
	if (!window || !conn->snd_wnd)
		conn->progress_ns = conn->net->now_ns;
	conn->snd_wnd = window;
	return true;
}

static void tcp_take_data(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	uint32_t known = conn->rcv_nxt - seg->seq; /* bytes that we have already */
	uint32_t bytes, room;

	if (!seg->bytes && !(seg->flags & TCP_FIN))
		return;
	conn->ack_due = true;
	if (tcp_before(conn->rcv_nxt, seg->seq)) {
		conn->out_of_order++;
		tcp_output(conn); /* one duplicate for each, so that the peer sees it soon */
		return;
	}
	if (known > seg->bytes || conn->fin_received)
		return;
	bytes = seg->bytes - known;
	room = conn->app->room(conn);
	if (bytes > room)
		bytes = room;
	if (bytes)
		conn->app->receive(conn, seg->data + known, bytes);
	conn->rcv_nxt += bytes;
	conn->received += bytes;
	if (seg->flags & TCP_FIN && known + bytes == seg->bytes) {
		conn->rcv_nxt++;
		conn->fin_received = true;
		conn->app->receive(conn, NULL, 0);
	}
}

static void tcp_in_established(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	bool fin_was_acked = conn->fin_acked;

	if (seg->flags & TCP_RST && seg->seq == conn->rcv_nxt) {
		tcp_end(conn, "reset by the peer");
		return;
	}
	if (seg->flags & (TCP_RST | TCP_SYN)) {
		conn->ack_due = true; /* a challenge (RFC 5961) */
		return;
	}
	if (!tcp_take_ack(conn, seg))
		return;
	tcp_take_data(conn, seg);
	if (!conn->fin_acked || !conn->fin_received)
		return;
	tcp_output(conn);
	conn->app->closed(conn, NULL);
	conn->state = TCP_FREE;
	if (fin_was_acked) { /* we have closed first */
		conn->state = TCP_TIME_WAIT;
		conn->timer_ns = conn->net->now_ns + TCP_TIME_WAIT_NS;
	}
}

static void tcp_in_syn_received(struct tcp_conn *conn, const struct tcp_segment *seg)
{
	if (seg->flags & TCP_RST) {
		if (seg->seq == conn->rcv_nxt)
			conn->state = TCP_FREE; /* the application has never heard of it */
	} else if (seg->flags & TCP_SYN) {
		conn->snd_nxt = conn->snd_una; /* it has not got ours */
	} else if (seg->flags & TCP_ACK && seg->ack == conn->snd_max) {
		tcp_establish(conn, seg);
		tcp_in_established(conn, seg);
	} else if (seg->flags & TCP_ACK) {
		tcp_send_reset(conn->net, conn->peer, &seg->header, seg->bytes);
	}
}

static struct tcp_conn *tcp_find(struct tcp_table *table, uint32_t src, const struct tcp *tcp)
{
	for (unsigned int i = 0; i < TCP_CONNS; i++) {
		struct tcp_conn *conn = &table->conns[i];

		if (conn->state != TCP_FREE && conn->peer == src &&
		    conn->peer_port == be16(tcp->src) && conn->port == be16(tcp->dst))
			return conn;
	}
	return NULL;
}

void tcp_input(struct net *net, const struct ip *ip, const uint8_t *data, uint32_t bytes,
	       bool checksum_good)
{
	struct tcp_segment seg;
	struct tcp_conn *conn;

	if (!tcp_parse(&seg, ip, data, bytes, checksum_good)) {
		net->bad++;
		return;
	}
	net->tcp->task.wake_ns = 0;
	conn = tcp_find(net->tcp, be32(ip->src), &seg.header);
	if (!conn)
		tcp_accept(net, be32(ip->src), &seg);
	else if (conn->state == TCP_SYN_SENT)
		tcp_in_syn_sent(conn, &seg);
	else if (conn->state == TCP_SYN_RECEIVED)
		tcp_in_syn_received(conn, &seg);
	else if (conn->state == TCP_ESTABLISHED)
		tcp_in_established(conn, &seg);
	else
		conn->ack_due = true; /* TIME-WAIT: the peer has not got our last one */
}
