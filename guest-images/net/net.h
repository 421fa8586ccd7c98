/* SPDX-License-Identifier: MIT */
/* A small IPv4 stack: ARP, ICMP echo, UDP, DHCP; TCP is in tcp.h. Addresses are in host order. */
#ifndef GUEST_NET_NET_H
#define GUEST_NET_NET_H

#include "nic.h"
#include "wire.h"

#define NET_ARP_ENTRIES 32
#define NET_UDP_PORTS   8
#define NET_TASKS       12
#define NET_BROADCAST   0xffffffffu

struct net;
struct tcp_table;

/* What a UDP or ICMP handler gets: the payload and where it came from. */
struct net_datagram {
	uint32_t src;
	uint16_t src_port; /* ICMP: the sequence number */
	uint16_t dst_port; /* ICMP: the identifier */
	const uint8_t *data;
	uint32_t bytes;
};

typedef void (*net_handler)(struct net *net, void *context, const struct net_datagram *dgram);

struct net_udp_port {
	uint16_t port;
	net_handler handler;
	void *context;
};

struct net_arp_entry {
	uint32_t addr; /* 0: free */
	uint8_t mac[6];
	bool known;
	uint64_t asked_ns; /* the last request */
};

/* Something that is done again and again: at wake_ns, which it sets itself. ~0: never. */
struct net_task {
	const char *name;
	void (*run)(struct net *net, struct net_task *task);
	void (*report)(struct net *net, struct net_task *task); /* at the end; may be NULL */
	void *context;
	uint64_t wake_ns;
};

struct net {
	struct nic nic;
	uint32_t addr; /* 0: not configured yet */
	uint32_t mask;
	uint32_t gateway;
	uint32_t dns;
	uint16_t ip_id;
	uint64_t foreign; /* frames for other MAC addresses */
	uint64_t bad;     /* frames that were dropped as malformed */
	struct net_arp_entry arp[NET_ARP_ENTRIES];
	struct net_udp_port udp[NET_UDP_PORTS];
	net_handler echo_reply; /* ICMP echo replies */
	void *echo_reply_context;
	struct tcp_table *tcp;
	struct net_task *tasks[NET_TASKS];
	unsigned int nr_tasks;
	uint64_t now_ns;     /* of this round of the main loop */
	unsigned int jobs;   /* that have an end of their own, and are under way */
	bool quit_when_done; /* end the guest with the last of them */
	bool quit;
	int result; /* an enum guest_exit */
};

/* --- net.c: tasks and the main loop ---------------------------------------- */

/* From now on net_run() runs it when it is due; @task stays. */
void net_add_task(struct net *net, struct net_task *task);

/* Runs until net->quit. */
void net_run(struct net *net);

/* A job has ended, well or with an enum guest_exit. */
void net_job_done(struct net *net, int result);

/* The nic_input that starts it all; @context is the struct net. */
void net_input(void *context, const struct nic_frame *frame);

/* --- text ------------------------------------------------------------------- */

/* Four bytes for "%u.%u.%u.%u". */
#define NET_QUAD(addr) (addr) >> 24, (addr) >> 16 & 255, (addr) >> 8 & 255, (addr)&255

/* Parses ADDR, and with @ret_number ADDR:PORT and ADDR/BITS too, whose number goes there. Ends the
 * guest if it is none of these. */
uint32_t net_parse_addr(const char *text, uint32_t *ret_number);

/* --- arp.c ------------------------------------------------------------------- */

/* A frame with ARP in it: learns, answers. */
void arp_input(struct net *net, const struct nic_frame *frame);

/* Whether a frame to @addr can be sent now; asks for its MAC address if not. */
bool arp_resolve(struct net *net, uint32_t addr, uint8_t mac[6]);

/* Tells everybody that we are here, as after a migration. */
void arp_announce(struct net *net);

/* --- ip.c -------------------------------------------------------------------- */

/* A buffer for @proto to @dst; the payload goes to net_payload(). NULL if none is free. */
struct nic_buf *ip_alloc(struct net *net, uint32_t flow);

static inline uint8_t *ip_payload(struct nic_buf *buf)
{
	return buf->frame + ETH_BYTES + IP_BYTES;
}

/* Sends @bytes of payload. False if the MAC address is not known yet; the buffer is gone then. */
bool ip_send(struct net *net, struct nic_buf *buf, uint32_t dst, uint8_t proto, uint32_t bytes);

/* A frame with IPv4 in it: checked, then to the protocol's input. */
void ip_input(struct net *net, const struct nic_frame *frame);

/* One echo request with @bytes of payload. */
bool icmp_send_echo(struct net *net, uint32_t dst, uint16_t id, uint16_t seq, uint32_t bytes);

/* --- udp.c ------------------------------------------------------------------- */

/* Datagrams to @port go to @handler. */
void udp_listen(struct net *net, uint16_t port, net_handler handler, void *context);

/* A buffer whose payload goes to udp_payload(). */
static inline uint8_t *udp_payload(struct nic_buf *buf)
{
	return ip_payload(buf) + UDP_BYTES;
}

/* Sends @bytes of payload as ip_send() does. */
bool udp_send(struct net *net, struct nic_buf *buf, uint16_t src_port, uint32_t dst,
	      uint16_t dst_port, uint32_t bytes);

/* A packet for this guest, its addresses in @ip; @data begins with the UDP header. */
void udp_input(struct net *net, const struct ip *ip, const uint8_t *data, uint32_t bytes,
	       bool checksum_good);

/* --- tcp_in.c ---------------------------------------------------------------- */

/* The same with a TCP header. */
void tcp_input(struct net *net, const struct ip *ip, const uint8_t *data, uint32_t bytes,
	       bool checksum_good);

#endif
