// SPDX-License-Identifier: MIT
/* The control queue (VIRTIO 1.2, 5.1.6.5): each command, what must be refused; announcements. */
#include "apps.h"

#define STATUS_POLL_NS (100 * NS_PER_MS)

enum { /* classes and commands */
       CTRL_RX = 0,
       CTRL_RX_PROMISC = 0,
       CTRL_RX_ALLMULTI = 1,
       CTRL_MAC = 1,
       CTRL_MAC_TABLE_SET = 0,
       CTRL_MAC_ADDR_SET = 1,
       CTRL_VLAN = 2,
       CTRL_VLAN_ADD = 0,
       CTRL_VLAN_DEL = 1,
       CTRL_ANNOUNCE = 3,
       CTRL_ANNOUNCE_ACK = 0,
       CTRL_MQ = 4,
       CTRL_MQ_PAIRS_SET = 0,
};

struct ctrl_case {
	const char *name;
	unsigned int feature;
	uint8_t class, command;
	bool good; /* the device must say OK, else ERR */
	uint32_t bytes;
	uint8_t data[40];
};

static const struct ctrl_case ctrl_cases[] = {
	{ "promiscuous on", NET_F_CTRL_RX, CTRL_RX, CTRL_RX_PROMISC, true, 1, { 1 } },
	{ "promiscuous off", NET_F_CTRL_RX, CTRL_RX, CTRL_RX_PROMISC, true, 1, { 0 } },
	{ "all multicast on", NET_F_CTRL_RX, CTRL_RX, CTRL_RX_ALLMULTI, true, 1, { 1 } },
	{ "all multicast off", NET_F_CTRL_RX, CTRL_RX, CTRL_RX_ALLMULTI, true, 1, { 0 } },
	{ "promiscuous without data", NET_F_CTRL_RX, CTRL_RX, CTRL_RX_PROMISC, false, 0, { 0 } },
	{ "receive command 99", NET_F_CTRL_RX, CTRL_RX, 99, false, 1, { 1 } },
	{ "MAC table: 1 unicast, 2 multicast",
	  NET_F_CTRL_RX,
	  CTRL_MAC,
	  CTRL_MAC_TABLE_SET,
	  true,
	  26,
	  { 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 1, 0, 94, 0, 0, 1, 51, 51, 0, 0, 0, 1 } },
	{ "MAC table that is empty", NET_F_CTRL_RX, CTRL_MAC, CTRL_MAC_TABLE_SET, true, 8, { 0 } },
	{ "MAC table with too many entries",
	  NET_F_CTRL_RX,
	  CTRL_MAC,
	  CTRL_MAC_TABLE_SET,
	  false,
	  14,
	  { 255, 255, 255, 255, 2, 0, 0, 0, 0, 9 } },
	{ "MAC table cut short", NET_F_CTRL_RX, CTRL_MAC, CTRL_MAC_TABLE_SET, false, 2, { 1 } },
	{ "VLAN 5 added", NET_F_CTRL_VLAN, CTRL_VLAN, CTRL_VLAN_ADD, true, 2, { 5 } },
	{ "VLAN 5 deleted", NET_F_CTRL_VLAN, CTRL_VLAN, CTRL_VLAN_DEL, true, 2, { 5 } },
	{ "VLAN 4096", NET_F_CTRL_VLAN, CTRL_VLAN, CTRL_VLAN_ADD, false, 2, { 0, 16 } },
	{ "no queue pairs", NET_F_MQ, CTRL_MQ, CTRL_MQ_PAIRS_SET, false, 2, { 0 } },
	{ "32769 queue pairs", NET_F_MQ, CTRL_MQ, CTRL_MQ_PAIRS_SET, false, 2, { 1, 128 } },
	{ "class 99", NET_F_CTRL_VQ, 99, 0, false, 1, { 0 } },
};

/* Sets another MAC address, reads it back, and sets the old one again. */
static unsigned int ctrl_check_mac(struct net *net)
{
	static const uint8_t other[6] = { 0x02, 0xfe, 0x00, 0x00, 0x00, 0x01 };
	static uint8_t mac[6]; /* static: the device reads it */
	uint8_t seen[6];

	memcpy(mac, other, 6);
	if (!nic_command(&net->nic, CTRL_MAC, CTRL_MAC_ADDR_SET, mac, 6)) {
		print("net: ctrl: MAC address: refused\n");
		return 1;
	}
	virtio_config_read(&net->nic.dev, 0, seen, 6);
	memcpy(mac, net->nic.mac, 6);
	if (!nic_command(&net->nic, CTRL_MAC, CTRL_MAC_ADDR_SET, mac, 6) ||
	    memcmp(seen, other, 6)) {
		print("net: ctrl: MAC address: not set\n");
		return 1;
	}
	return 0;
}

static void ctrl_check(struct net *net)
{
	unsigned int failed = 0, done = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(ctrl_cases); i++) {
		const struct ctrl_case *c = &ctrl_cases[i];
		bool good;

		if (!virtio_has(&net->nic.dev, c->feature))
			continue;
		good = nic_command(&net->nic, c->class, c->command, c->data, c->bytes);
		if (good != c->good)
			print("net: ctrl: %s: %s\n", c->name, good ? "accepted" : "refused");
		failed += good != c->good;
		done++;
	}
	if (virtio_has(&net->nic.dev, NET_F_CTRL_MAC_ADDR)) {
		failed += ctrl_check_mac(net);
		done++;
	}
	print("net: ctrl %s commands=%u\n", failed || !done ? "FAILED" : "ok", done);
	if (failed || !done)
		net->result = EXIT_FAILED;
}

static uint16_t ctrl_status(struct net *net)
{
	if (virtio_needs_reset(&net->nic.dev))
		panic("net: the device needs a reset");
	return nic_status(&net->nic);
}

/* Looks after the status field: in polling mode at intervals, else when it has changed. */
static void ctrl_watch(struct net *net, struct net_task *task)
{
	static uint16_t before = NET_S_LINK_UP;
	uint16_t status = before;

	task->wake_ns = net->now_ns + STATUS_POLL_NS;
	if (net->nic.dev.irq_mode == VIRTIO_POLL || virtio_config_changed(&net->nic.dev))
		status = ctrl_status(net);
	if ((status ^ before) & NET_S_LINK_UP)
		print("net: link %s\n", status & NET_S_LINK_UP ? "up" : "down");
	before = status;
	if (!(status & NET_S_ANNOUNCE) || !virtio_has(&net->nic.dev, NET_F_GUEST_ANNOUNCE))
		return;
	arp_announce(net);
	nic_flush(&net->nic);
	print("net: announced, %s\n",
	      nic_command(&net->nic, CTRL_ANNOUNCE, CTRL_ANNOUNCE_ACK, NULL, 0) ? "acknowledged"
										: "refused");
	before &= (uint16_t)~NET_S_ANNOUNCE;
}

void ctrl_start(struct net *net)
{
	static struct net_task watch = { .name = "status", .run = ctrl_watch };

	if (param_number("ctrl", 0))
		ctrl_check(net);
	if (virtio_has(&net->nic.dev, NET_F_STATUS))
		net_add_task(net, &watch);
}
