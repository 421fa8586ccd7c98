// SPDX-License-Identifier: MIT
/* net: a peer for tests of a virtio nic. Parameters: guest-images/README.md. */
#include "apps.h"
#include "tcp.h"

static void net_end(struct net *net, struct net_task *task)
{
	task->wake_ns = ~0ull;
	net->quit = true;
}

static unsigned int mask_bits(uint32_t mask)
{
	return mask ? 32 - (unsigned int)__builtin_ctz(mask) : 0;
}

/* Starts what has been asked for, as soon as there is an address. */
static void net_up(struct net *net, struct net_task *task)
{
	static struct net_task end = { .name = "end", .run = net_end };
	const uint8_t *mac = net->nic.mac;
	uint64_t time_s = param_number("time", 0);

	if (!net->addr) {
		task->wake_ns = net->now_ns + NS_PER_MS;
		return;
	}
	task->wake_ns = ~0ull;
	print("net: up ip=%u.%u.%u.%u/%u gw=%u.%u.%u.%u mac=%02x:%02x:%02x:%02x:%02x:%02x ",
	      NET_QUAD(net->addr), mask_bits(net->mask), NET_QUAD(net->gateway), mac[0], mac[1],
	      mac[2], mac[3], mac[4], mac[5]);
	print("pairs=%u qsize=%u mtu=%u features=%#lx\n", net->nic.pairs, net->nic.rx[0].q.vq.size,
	      net->nic.mtu, net->nic.dev.features);
	arp_announce(net);
	ctrl_start(net);
	tcp_apps_start(net);
	udp_apps_start(net);
	ping_start(net);
	if (time_s) {
		end.wake_ns = net->now_ns + time_s * NS_PER_S;
		net_add_task(net, &end);
	}
}

static void net_configure(struct net *net)
{
	const char *ip = param_get("ip");
	uint32_t bits = 24;

	net->quit_when_done = param_is("quit", "done");
	if (!ip || param_is("ip", "dhcp")) {
		dhcp_start(net);
		return;
	}
	net->addr = net_parse_addr(ip, &bits);
	if (!bits || bits > 32)
		power_usage("ip");
	net->mask = ~0u << (32 - bits);
	if (param_get("gw"))
		net->gateway = net_parse_addr(param_get("gw"), NULL);
}

int guest_main(void)
{
	static struct net net;
	static struct net_task up = { .name = "up", .run = net_up };
	const struct nic_stats *stats = &net.nic.stats;

	irq_init();
	nic_open(&net.nic);
	tcp_init(&net);
	net_configure(&net);
	net_add_task(&net, &up);
	net_run(&net);
	print("net: nic rx_frames=%lu rx_bytes=%lu rx_merged=%lu tx_frames=%lu tx_bytes=%lu ",
	      stats->rx_frames, stats->rx_bytes, stats->rx_merged, stats->tx_frames,
	      stats->tx_bytes);
	print("tx_full=%lu bad=%lu foreign=%lu\n", stats->tx_full, net.bad, net.foreign);
	return net.result;
}
