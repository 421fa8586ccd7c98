// SPDX-License-Identifier: MIT
/* DHCP client (RFC 2131): an address, and its renewal at half of the lease. */
#include "apps.h"

#define DHCP_CLIENT_PORT 68
#define DHCP_SERVER_PORT 67
#define DHCP_MAGIC       0x63825363
#define DHCP_RETRY_NS    (2 * NS_PER_S)
#define DHCP_BROADCAST   0x8000

enum { /* RFC 2132 */
       OPTION_MASK = 1,
       OPTION_ROUTER = 3,
       OPTION_DNS = 6,
       OPTION_ADDR = 50,
       OPTION_LEASE = 51,
       OPTION_TYPE = 53,
       OPTION_SERVER = 54,
       OPTION_WANTED = 55,
       OPTION_END = 255,

       DHCP_DISCOVER = 1,
       DHCP_OFFER = 2,
       DHCP_REQUEST = 3,
       DHCP_ACK = 5,
       DHCP_NAK = 6,
};

struct dhcp_message {
	uint8_t op, hardware, hardware_bytes, hops;
	uint32_t xid;
	uint16_t secs, flags;
	uint32_t ciaddr, yiaddr, siaddr, giaddr;
	uint8_t chaddr[16];
	uint8_t unused[192];
	uint32_t magic;
	uint8_t options[];
} __attribute__((packed));

struct dhcp_lease {
	uint8_t type;
	uint32_t addr, mask, router, dns, server, seconds;
};

struct dhcp {
	struct net_task task;
	uint32_t xid;
	struct dhcp_lease offer; /* that we ask for; addr 0: none yet */
};

/* An option of @bytes bytes, 1 or 4, big-endian. */
static uint8_t *dhcp_put(uint8_t *at, uint8_t option, uint32_t value, uint8_t bytes)
{
	*at++ = option;
	*at++ = bytes;
	while (bytes--)
		*at++ = (uint8_t)(value >> 8 * bytes);
	return at;
}

static void dhcp_send(struct net *net, const struct dhcp *dhcp)
{
	struct nic_buf *buf = ip_alloc(net, 0);
	bool renewal = net->addr != 0;
	struct dhcp_message *msg;
	uint8_t *at;

	if (!buf)
		return;
	msg = (struct dhcp_message *)udp_payload(buf);
	memset(msg, 0, sizeof(*msg));
	msg->op = 1;
	msg->hardware = 1;
	msg->hardware_bytes = 6;
	msg->xid = be32(dhcp->xid);
	msg->flags = be16(renewal ? 0 : DHCP_BROADCAST);
	msg->ciaddr = be32(net->addr);
	memcpy(msg->chaddr, net->nic.mac, 6);
	msg->magic = be32(DHCP_MAGIC);
	at = dhcp_put(msg->options, OPTION_TYPE, dhcp->offer.addr ? DHCP_REQUEST : DHCP_DISCOVER,
		      1);
	if (dhcp->offer.addr && !renewal) {
		at = dhcp_put(at, OPTION_ADDR, dhcp->offer.addr, 4);
		at = dhcp_put(at, OPTION_SERVER, dhcp->offer.server, 4);
	}
	at = dhcp_put(at, OPTION_WANTED,
		      OPTION_MASK << 24 | OPTION_ROUTER << 16 | OPTION_DNS << 8 | OPTION_LEASE, 4);
	*at++ = OPTION_END;
	(void)udp_send(net, buf, DHCP_CLIENT_PORT, NET_BROADCAST, DHCP_SERVER_PORT,
		       (uint32_t)(at - (uint8_t *)msg));
}

static void dhcp_parse(struct dhcp_lease *lease, const uint8_t *at, const uint8_t *end)
{
	while (end - at > 2 && *at != OPTION_END) {
		uint32_t value = 0;

		if (!*at) {
			at++;
			continue;
		}
		if (at[1] > end - at - 2)
			return;
		for (unsigned int i = 0; i < at[1] && i < 4; i++)
			value = value << 8 | at[2 + i];
		if (*at == OPTION_TYPE)
			lease->type = (uint8_t)value;
		else if (*at == OPTION_MASK)
			lease->mask = value;
		else if (*at == OPTION_ROUTER)
			lease->router = value;
		else if (*at == OPTION_DNS)
			lease->dns = value;
		else if (*at == OPTION_SERVER)
			lease->server = value;
		else if (*at == OPTION_LEASE)
			lease->seconds = value;
		at += 2 + at[1];
	}
}

static void dhcp_take_lease(struct net *net, struct dhcp *dhcp, const struct dhcp_lease *lease)
{
	net->addr = lease->addr;
	net->mask = lease->mask;
	net->gateway = lease->router;
	net->dns = lease->dns;
	dhcp->offer = *lease;
	dhcp->task.wake_ns = ~0ull;
	if (lease->seconds && lease->seconds != ~0u)
		dhcp->task.wake_ns = net->now_ns + lease->seconds / 2 * NS_PER_S;
}

static void dhcp_reply(struct net *net, void *context, const struct net_datagram *dgram)
{
	const struct dhcp_message *msg = (const struct dhcp_message *)dgram->data;
	struct dhcp *dhcp = context;
	struct dhcp_lease lease = { 0 };

	if (dgram->bytes < sizeof(*msg) || msg->op != 2 || msg->xid != be32(dhcp->xid) ||
	    msg->magic != be32(DHCP_MAGIC) || memcmp(msg->chaddr, net->nic.mac, 6))
		return;
	lease.addr = be32(msg->yiaddr);
	dhcp_parse(&lease, msg->options, dgram->data + dgram->bytes);
	if (lease.type == DHCP_OFFER && !dhcp->offer.addr) {
		dhcp->offer = lease;
		dhcp->task.wake_ns = 0; /* request it now */
	} else if (lease.type == DHCP_ACK && dhcp->offer.addr) {
		dhcp_take_lease(net, dhcp, &lease);
	} else if (lease.type == DHCP_NAK) {
		net->addr = dhcp->offer.addr = 0;
		dhcp->task.wake_ns = 0;
	}
}

static void dhcp_run(struct net *net, struct net_task *task)
{
	dhcp_send(net, task->context);
	task->wake_ns = net->now_ns + DHCP_RETRY_NS;
}

void dhcp_start(struct net *net)
{
	static struct dhcp dhcp;

	dhcp.xid = (uint32_t)random_mix(rdtsc());
	dhcp.task = (struct net_task){ "dhcp", dhcp_run, NULL, &dhcp, 0 };
	udp_listen(net, DHCP_CLIENT_PORT, dhcp_reply, &dhcp);
	net_add_task(net, &dhcp.task);
}
