// SPDX-License-Identifier: MIT
/* TCP: what is sent. */
#include "tcp.h"

#define TCP_MAX_CUT_BYTES 64000u /* in one frame, for the device to cut */
#define TCP_SYN_OPTIONS   8u
#define TCP_RCV_SHIFT     7
#define TCP_MAX_RTO_NS    (4 * NS_PER_S)

static uint32_t tcp_min(uint64_t a, uint64_t b)
{
	return (uint32_t)(a < b ? a : b);
}

static void tcp_arm(struct tcp_conn *conn)
{
	struct net_task *task = &conn->net->tcp->task;

	conn->timer_ns = conn->net->now_ns + conn->rto_ns;
	if (conn->timer_ns < task->wake_ns)
		task->wake_ns = conn->timer_ns;
}

/* Maximum segment size (RFC 9293, 3.7.1) and window scale (RFC 7323, 2.2). */
static void tcp_put_syn_options(const struct tcp_conn *conn, uint8_t *at)
{
	bool scale = conn->state == TCP_SYN_SENT || conn->rcv_shift;

	at[0] = 2;
	at[1] = 4;
	at[2] = (MTU - IP_BYTES - TCP_BYTES) >> 8;
	at[3] = (MTU - IP_BYTES - TCP_BYTES) & 255;
	at[4] = 1;
	at[5] = scale ? 3 : 1;
	at[6] = scale ? 3 : 1;
	at[7] = scale ? TCP_RCV_SHIFT : 1;
}

static uint32_t tcp_room(const struct tcp_conn *conn)
{
	return conn->state == TCP_TIME_WAIT ? 0 : conn->app->room(conn);
}

/* The window field; notes the edge that it promises, which never moves back. */
static uint16_t tcp_window(struct tcp_conn *conn, bool syn)
{
	uint8_t shift = syn ? 0 : conn->rcv_shift;
	uint32_t room = tcp_min(tcp_room(conn), 65535u << shift) >> shift << shift;

	if (tcp_before(conn->rcv_limit, conn->rcv_nxt + room))
		conn->rcv_limit = conn->rcv_nxt + room;
	return (uint16_t)(tcp_min(conn->rcv_limit - conn->rcv_nxt, 65535u << shift) >> shift);
}

/* Sends one frame: header, options of a SYN, and @bytes of data from @offset on. False if there is
 * no buffer; a frame that is lost for want of a MAC address is like any other loss. */
static bool tcp_send(struct tcp_conn *conn, uint32_t seq, uint8_t flags, uint64_t offset,
		     uint32_t bytes)
{
	struct net *net = conn->net;
	struct nic_buf *buf = ip_alloc(net, conn->port ^ conn->peer_port);
	uint32_t header_bytes = TCP_BYTES + (flags & TCP_SYN ? TCP_SYN_OPTIONS : 0);
	uint32_t all_bytes = header_bytes + bytes;
	struct tcp *tcp;

	if (!buf)
		return false;
	tcp = (struct tcp *)ip_payload(buf);
	*tcp = (struct tcp){
		.src = be16(conn->port),
		.dst = be16(conn->peer_port),
		.seq = be32(seq),
		.ack = be32(flags & TCP_ACK ? conn->rcv_nxt : 0),
		.words = (uint8_t)(header_bytes / 4 << 4),
		.flags = flags,
		.window = be16(tcp_window(conn, flags & TCP_SYN)),
		.checksum = checksum_fold(
			checksum_pseudo(net->addr, conn->peer, IP_PROTO_TCP, all_bytes)),
	};
	if (flags & TCP_SYN)
		tcp_put_syn_options(conn, ip_payload(buf) + TCP_BYTES);
	if (bytes)
		conn->app->make(conn, offset, ip_payload(buf) + header_bytes, bytes);
	buf->csum_start = ETH_BYTES + IP_BYTES;
	buf->csum_offset = offsetof(struct tcp, checksum);
	if (bytes > tcp_mss(conn)) {
		buf->gso_bytes = (uint16_t)tcp_mss(conn);
		buf->header_bytes = (uint16_t)(ETH_BYTES + IP_BYTES + header_bytes);
	}
	conn->ack_due = false;
	(void)ip_send(net, buf, conn->peer, IP_PROTO_TCP, all_bytes);
	return true;
}

/* Sends what takes @space sequence numbers from snd_nxt on, and moves it. */
static bool tcp_send_next(struct tcp_conn *conn, uint8_t flags, uint64_t offset, uint32_t bytes)
{
	uint32_t seq = conn->snd_nxt;
	uint32_t end = seq + bytes + (flags & (TCP_SYN | TCP_FIN) ? 1 : 0);

	if (!tcp_send(conn, seq, flags, offset, bytes)) {
		conn->net->tcp->task.wake_ns = 0; /* again in the next round */
		return false;
	}
	if (seq == conn->snd_max && tcp_is_flushed(conn))
		conn->progress_ns = conn->net->now_ns; /* the wait begins */
	if (seq != conn->snd_max) {
		conn->retransmissions++;
		conn->timed_ns = 0; /* its answer could be to either one (RFC 6298, 3) */
	} else if (!conn->timed_ns) {
		conn->timed_ns = conn->net->now_ns;
		conn->timed_seq = end;
	}
	conn->snd_nxt = end;
	if (tcp_before(conn->snd_max, end))
		conn->snd_max = end;
	if (conn->timer_ns == ~0ull)
		tcp_arm(conn);
	return true;
}

/* How much of @left bytes may go into the next frame. */
static uint32_t tcp_next_bytes(const struct tcp_conn *conn, uint64_t left)
{
	uint32_t flight = conn->snd_nxt - conn->snd_una;
	uint32_t window = tcp_min(conn->snd_wnd, conn->cwnd);
	uint32_t mss = tcp_mss(conn), most = mss, bytes;

	if (nic_can_cut(&conn->net->nic))
		most = TCP_MAX_CUT_BYTES / mss * mss;
	bytes = tcp_min(tcp_min(left, most), window > flight ? window - flight : 0);
	if (bytes == left)
		return bytes;
	/* Full segments, unless the peer's window is smaller than one (RFC 9293, 3.8.6.2.1). */
	if (bytes >= mss)
		return bytes / mss * mss;
	return flight ? 0 : bytes;
}

static void tcp_send_data(struct tcp_conn *conn)
{
	uint64_t ready = conn->app->ready(conn);

	for (;;) {
		uint64_t offset = conn->acked + (conn->snd_nxt - conn->snd_una);
		uint8_t flags = TCP_ACK;
		uint32_t bytes;

		if (offset > ready)
			return; /* our FIN is sent */
		bytes = tcp_next_bytes(conn, ready - offset);
		if (offset + bytes == ready)
			flags |= TCP_PSH | (conn->closing ? TCP_FIN : 0);
		if (!bytes && !(flags & TCP_FIN))
			break;
		if (!tcp_send_next(conn, flags, offset, bytes))
			return;
	}
	/* Nothing in flight will make the peer tell of a larger window: ask for it. */
	if (conn->acked < ready && tcp_is_flushed(conn) && conn->timer_ns == ~0ull)
		tcp_arm(conn);
}

/* Worth telling: the window has grown by two segments at least. */
static bool tcp_window_grew(const struct tcp_conn *conn)
{
	uint32_t room = tcp_min(tcp_room(conn), 65535u << conn->rcv_shift);

	return (int32_t)(conn->rcv_nxt + room - conn->rcv_limit) >= 2 * (int32_t)tcp_mss(conn);
}

void tcp_output(struct tcp_conn *conn)
{
	if (conn->state == TCP_SYN_SENT || conn->state == TCP_SYN_RECEIVED) {
		if (conn->snd_nxt == conn->snd_una)
			(void)tcp_send_next(
				conn, TCP_SYN | (conn->state == TCP_SYN_SENT ? 0 : TCP_ACK), 0, 0);
		return;
	}
	if (conn->state == TCP_ESTABLISHED)
		tcp_send_data(conn);
	if ((conn->ack_due || tcp_window_grew(conn)) &&
	    !tcp_send(conn, conn->snd_max, TCP_ACK, 0, 0))
		conn->net->tcp->task.wake_ns = 0;
}

void tcp_timeout(struct tcp_conn *conn)
{
	conn->rto_ns = tcp_min(conn->rto_ns * 2, TCP_MAX_RTO_NS);
	conn->timed_ns = 0;
	conn->snd_nxt = conn->snd_una;
	conn->recover = conn->snd_max;
	if (conn->state == TCP_ESTABLISHED && !conn->snd_wnd) {
		/* A probe of one byte, whether the window has room for it or not. */
		if (conn->acked < conn->app->ready(conn))
			(void)tcp_send_next(conn, TCP_ACK, conn->acked, 1);
		tcp_arm(conn);
		return;
	}
	if (conn->state == TCP_ESTABLISHED && !tcp_is_flushed(conn)) {
		conn->ssthresh = tcp_half_flight(conn);
		conn->cwnd = tcp_mss(conn);
	}
	tcp_output(conn);
}

void tcp_send_reset(struct net *net, uint32_t dst, const struct tcp *about, uint32_t data_bytes)
{
	struct nic_buf *buf = ip_alloc(net, 0);
	struct tcp *tcp;

	if (!buf)
		return;
	tcp = (struct tcp *)ip_payload(buf);
	*tcp = (struct tcp){
		.src = about->dst,
		.dst = about->src,
		.words = TCP_BYTES / 4 << 4,
		.flags = TCP_RST,
		.checksum = checksum_fold(checksum_pseudo(net->addr, dst, IP_PROTO_TCP, TCP_BYTES)),
	};
	/* RFC 9293, 3.10.7.1: as if it were the answer that the peer waits for. */
	if (about->flags & TCP_ACK) {
		tcp->seq = about->ack;
	} else {
		tcp->flags |= TCP_ACK;
		tcp->ack = be32(be32(about->seq) + data_bytes +
				(about->flags & (TCP_SYN | TCP_FIN) ? 1 : 0));
	}
	buf->csum_start = ETH_BYTES + IP_BYTES;
	buf->csum_offset = offsetof(struct tcp, checksum);
	(void)ip_send(net, buf, dst, IP_PROTO_TCP, TCP_BYTES);
}
