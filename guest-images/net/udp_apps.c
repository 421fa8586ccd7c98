// SPDX-License-Identifier: MIT
/* UDP: echo, sink, flood, and the port that ends the guest. */
#include "apps.h"

#define ECHO_PORT      7
#define CONTROL_PORT   9999
#define FLOOD_MAGIC    0x31444f4f4c465246 /* "FRFLOOD1" */
#define FLOOD_BATCH    32
#define FLOOD_SRC_PORT 9000

struct flood_header {
	uint64_t magic;
	uint64_t flood; /* which one: a sink may see several */
	uint64_t seq;
};

struct udp_sink {
	struct net_task task; /* to report at the end */
	uint64_t datagrams, bytes, lost, late, other;
	uint64_t flood, next_seq;
	uint64_t first_ns, last_ns;
};

struct udp_flood {
	struct net_task task;
	uint32_t addr;
	uint32_t port;
	uint32_t bytes;
	uint64_t count; /* 0: no end */
	uint64_t sent;
	uint64_t start_ns, end_ns;
};

static void udp_echo(struct net *net, void *context, const struct net_datagram *dgram)
{
	struct nic_buf *buf;

	(void)context;
	if (dgram->bytes > MTU - IP_BYTES - UDP_BYTES)
		return;
	buf = ip_alloc(net, dgram->src_port);
	if (!buf)
		return;
	memcpy(udp_payload(buf), dgram->data, dgram->bytes);
	(void)udp_send(net, buf, dgram->dst_port, dgram->src, dgram->src_port, dgram->bytes);
}

static void udp_control(struct net *net, void *context, const struct net_datagram *dgram)
{
	(void)context;
	if (dgram->bytes >= 4 && !memcmp(dgram->data, "quit", 4))
		net->quit = true;
}

static void udp_sink(struct net *net, void *context, const struct net_datagram *dgram)
{
	struct udp_sink *sink = context;
	struct flood_header header = { 0 };

	if (dgram->bytes >= sizeof(header))
		memcpy(&header, dgram->data, sizeof(header));
	if (!sink->datagrams++)
		sink->first_ns = net->now_ns;
	sink->last_ns = net->now_ns;
	sink->bytes += dgram->bytes;
	if (header.flood != sink->flood)
		sink->next_seq = 0;
	sink->flood = header.flood;
	if (header.magic != FLOOD_MAGIC) {
		sink->other++;
	} else if (header.seq < sink->next_seq) {
		sink->late++;
		sink->lost--;
	} else {
		sink->lost += header.seq - sink->next_seq;
		sink->next_seq = header.seq + 1;
	}
}

static void udp_sink_report(struct net *net, struct net_task *task)
{
	const struct udp_sink *sink = task->context;
	uint64_t ns = sink->last_ns - sink->first_ns;

	(void)net;
	print("net: udp_sink datagrams=%lu bytes=%lu lost=%lu late=%lu other=%lu ", sink->datagrams,
	      sink->bytes, sink->lost, sink->late, sink->other);
	print("pps=%lu mib_s=%lu.%lu\n", sink->datagrams * 1000000 / (ns / NS_PER_US + 1),
	      NET_TENTHS(net_mib10(sink->bytes, ns)));
}

/* The payload stays as it was in a buffer that has been used for this before. */
static bool flood_send(struct net *net, const struct udp_flood *flood, uint64_t seq)
{
	struct nic_buf *buf = ip_alloc(net, (uint32_t)seq / FLOOD_BATCH);
	struct flood_header header = { FLOOD_MAGIC, flood->start_ns, seq };

	if (!buf)
		return false;
	memcpy(udp_payload(buf), &header, sizeof(header));
	return udp_send(net, buf, FLOOD_SRC_PORT, flood->addr, (uint16_t)flood->port, flood->bytes);
}

static void flood_run(struct net *net, struct net_task *task)
{
	struct udp_flood *flood = task->context;
	uint8_t mac[6];

	if (!flood->sent) {
		task->wake_ns = net->now_ns + NS_PER_MS;
		if (!arp_resolve(net, flood->addr, mac))
			return;
		flood->start_ns = clock_ns() | 1; /* not 0: that is no flood */
		task->wake_ns = 0;                /* from now on in each round */
	}
	for (unsigned int i = 0; i < FLOOD_BATCH; i++) {
		if (!flood_send(net, flood, flood->sent))
			break;
		if (++flood->sent != flood->count)
			continue;
		flood->end_ns = net->now_ns;
		task->wake_ns = ~0ull;
		net_job_done(net, EXIT_OK);
		break;
	}
}

static void flood_report(struct net *net, struct net_task *task)
{
	const struct udp_flood *flood = task->context;
	uint64_t ns = (flood->end_ns ? flood->end_ns : net->now_ns) - flood->start_ns;

	print("net: flood datagrams=%lu bytes=%lu full=%lu pps=%lu mib_s=%lu.%lu\n", flood->sent,
	      flood->sent * flood->bytes, net->nic.stats.tx_full,
	      flood->sent * 1000000 / (ns / NS_PER_US + 1),
	      NET_TENTHS(net_mib10(flood->sent * flood->bytes, ns)));
}

static void flood_start(struct net *net)
{
	static struct udp_flood flood;

	if (!param_get("flood"))
		return;
	flood.port = 9;
	flood.addr = net_parse_addr(param_get("flood"), &flood.port);
	flood.bytes = (uint32_t)param_number("size", 64);
	flood.count = param_number("flood_count", 0);
	if (flood.bytes < sizeof(struct flood_header) || flood.bytes > MTU - IP_BYTES - UDP_BYTES)
		power_usage("size");
	flood.task = (struct net_task){ "flood", flood_run, flood_report, &flood, 0 };
	net->jobs++;
	net_add_task(net, &flood.task);
}

void udp_apps_start(struct net *net)
{
	static struct udp_sink sink;
	uint16_t sink_port = (uint16_t)param_number("udp_sink", 0);

	udp_listen(net, (uint16_t)param_number("udp_echo", ECHO_PORT), udp_echo, NULL);
	udp_listen(net, (uint16_t)param_number("control", CONTROL_PORT), udp_control, NULL);
	if (sink_port) {
		sink.task = (struct net_task){ "udp_sink", NULL, udp_sink_report, &sink, ~0ull };
		udp_listen(net, sink_port, udp_sink, &sink);
		net_add_task(net, &sink.task);
	}
	flood_start(net);
}
