// SPDX-License-Identifier: MIT
/* ICMP echo requests at a fixed interval: who is lost, and for how long nobody answers. */
#include "apps.h"

#define PING_ID      0x6665
#define PING_WINDOW  1024u /* requests that are remembered */
#define PING_LOST_NS NS_PER_S

struct ping {
	struct net *net;
	struct net_task task;
	uint32_t addr;
	uint32_t bytes;
	uint64_t count; /* 0: no end */
	uint64_t interval_ns;
	uint64_t next_ns;      /* when the next request is due */
	uint64_t sent, judged; /* requests; those whose fate is known */
	uint64_t sent_ns[PING_WINDOW];
	bool answered[PING_WINDOW];
	uint64_t received, lost, late;
	uint64_t min_ns, max_ns, sum_ns;
	uint64_t last_ns, gap_ns; /* the last reply, the longest time without one */
};

static void ping_reply(struct net *net, void *context, const struct net_datagram *dgram)
{
	struct ping *ping = context;
	/* The number that was sent last and ends in these 16 bits. */
	uint64_t seq = ping->sent - 1 - (uint16_t)(ping->sent - 1 - dgram->src_port);
	uint64_t rtt_ns = net->now_ns - ping->sent_ns[seq % PING_WINDOW];

	if (dgram->dst_port != PING_ID || seq >= ping->sent || ping->sent - seq > PING_WINDOW ||
	    ping->answered[seq % PING_WINDOW])
		return;
	ping->answered[seq % PING_WINDOW] = true;
	if (ping->last_ns && net->now_ns - ping->last_ns > ping->gap_ns)
		ping->gap_ns = net->now_ns - ping->last_ns;
	ping->last_ns = net->now_ns;
	if (seq < ping->judged) {
		ping->late++;
		return;
	}
	if (!ping->received++ || rtt_ns < ping->min_ns)
		ping->min_ns = rtt_ns;
	if (rtt_ns > ping->max_ns)
		ping->max_ns = rtt_ns;
	ping->sum_ns += rtt_ns;
}

/* Looks at the oldest request; true if its fate is known now. */
static bool ping_judge(struct ping *ping)
{
	uint64_t seq = ping->judged;

	if (seq == ping->sent)
		return false;
	if (!ping->answered[seq % PING_WINDOW]) {
		if (ping->net->now_ns - ping->sent_ns[seq % PING_WINDOW] < PING_LOST_NS)
			return false;
		ping->lost++;
		print("net: ping lost seq=%lu\n", seq);
	}
	ping->judged++;
	return true;
}

static void ping_send(struct ping *ping)
{
	struct net *net = ping->net;
	unsigned int slot = (unsigned int)(ping->sent % PING_WINDOW);

	/* One that cannot be sent is lost like any other. */
	ping->sent_ns[slot] = net->now_ns;
	ping->answered[slot] = false;
	(void)icmp_send_echo(net, ping->addr, PING_ID, (uint16_t)ping->sent, ping->bytes);
	ping->sent++;
	ping->next_ns += ping->interval_ns;
	if (ping->next_ns < net->now_ns)
		ping->next_ns = net->now_ns; /* after a pause, not all at once */
}

static void ping_run(struct net *net, struct net_task *task)
{
	struct ping *ping = task->context;
	bool more = !ping->count || ping->sent < ping->count;
	uint8_t mac[6];

	task->wake_ns = net->now_ns + NS_PER_MS;
	if (!ping->sent && !arp_resolve(net, ping->addr, mac))
		return;
	if (!ping->sent)
		ping->next_ns = net->now_ns;
	if (more && net->now_ns >= ping->next_ns && ping->sent - ping->judged < PING_WINDOW)
		ping_send(ping);
	while (ping_judge(ping))
		;
	if (ping->judged < ping->sent)
		task->wake_ns = ping->sent_ns[ping->judged % PING_WINDOW] + PING_LOST_NS;
	if (more && (ping->judged == ping->sent || ping->next_ns < task->wake_ns))
		task->wake_ns = ping->next_ns;
	if (!more && ping->judged == ping->sent) {
		task->wake_ns = ~0ull;
		net_job_done(net, ping->received ? EXIT_OK : EXIT_FAILED);
	} else if (!more) {
		task->wake_ns = net->now_ns + NS_PER_MS;
	}
}

static void ping_report(struct net *net, struct net_task *task)
{
	const struct ping *ping = task->context;
	uint64_t avg_ns = ping->received ? ping->sum_ns / ping->received : 0;

	(void)net;
	print("net: ping %u.%u.%u.%u sent=%lu received=%lu lost=%lu late=%lu ",
	      NET_QUAD(ping->addr), ping->sent, ping->received, ping->lost, ping->late);
	print("rtt_min_us=%lu rtt_avg_us=%lu rtt_max_us=%lu gap_max_ms=%lu.%lu\n",
	      ping->min_ns / NS_PER_US, avg_ns / NS_PER_US, ping->max_ns / NS_PER_US,
	      NET_TENTHS(ping->gap_ns / (NS_PER_MS / 10)));
}

void ping_start(struct net *net)
{
	static struct ping ping;

	if (!param_get("ping"))
		return;
	ping.net = net;
	ping.addr = net_parse_addr(param_get("ping"), NULL);
	ping.bytes = (uint32_t)param_number("ping_size", 56);
	if (ping.bytes > MTU - IP_BYTES - ICMP_BYTES)
		power_usage("ping_size");
	ping.count = param_number("count", 10);
	ping.interval_ns = param_number("interval_ms", 1000) * NS_PER_MS;
	ping.task = (struct net_task){ "ping", ping_run, ping_report, &ping, 0 };
	net->echo_reply = ping_reply;
	net->echo_reply_context = &ping;
	net->jobs++;
	net_add_task(net, &ping.task);
}
