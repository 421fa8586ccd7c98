// SPDX-License-Identifier: MIT
// nftables rules and dnsmasq's configuration of a network.
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/managed/plan_impl.h"
#include "util/io.h"

/* A growing text; "" where nothing was written. */
static FILE *begin(char **text, size_t *len)
{
	return open_memstream(text, len);
}

/* The text is there once the file is closed. */
static char *end(FILE *f, char **text)
{
	if (!f)
		return NULL;
	if (fclose(f) == 0)
		return *text;
	free(*text);
	return NULL;
}

const char *plan_v6_number(const struct net_prefix *addr, char buf[PLAN_V6_NUMBER])
{
	(void)snprintf(buf, PLAN_V6_NUMBER, "0x");
	for (unsigned i = 0; i < 16; i++)
		(void)snprintf(buf + 2 + (size_t)2 * i, 3, "%02x", addr->addr.v6.s6_addr[i]);
	return buf;
}

/* The host's addresses in the sets of those that belong to somebody. */
static void write_taken(FILE *f, const struct netdef *def)
{
	struct net_prefix link_local = { .family = AF_INET6, .addr.v6 = { { { 0xfe, 0x80 } } } };
	char own[NET_PREFIX_TEXT], link[NET_PREFIX_TEXT], own_number[PLAN_V6_NUMBER],
		link_number[PLAN_V6_NUMBER];
	uint8_t mac[6];

	link_local = plan_eui64(&link_local, plan_host_mac(def, mac));
	(void)fprintf(f,
		      "  set taken { type ipv6_addr; elements = { %s, %s }; }\n"
		      "  set taken_targets { typeof @th,64,128; elements = { %s, %s }; }\n",
		      net_addr_format(&def->v6, own), net_addr_format(&link_local, link),
		      plan_v6_number(&def->v6, own_number),
		      plan_v6_number(&link_local, link_number));
}

static void write_v4_filter(FILE *f)
{
	(void)fprintf(f, "    ether type arp iifname . arp saddr ip @v4 accept\n"
			 "    ether type arp arp saddr ip 0.0.0.0 accept\n"
			 "    ether type ip iifname . ip saddr @v4 accept\n"
			 "    ether type ip ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept\n");
}

/*
 * An advertisement says who has an address: bytes 8 to 23 of the ICMPv6 message (RFC
 * 4861, 4.4). A link-local address is the guest's to choose (RFC 7217), as
 * long as it is nobody else's that is known.
 */
static void write_v6_filter(FILE *f)
{
	(void)fprintf(f, "    icmpv6 type nd-neighbor-advert iifname . @th,64,128 != @targets jump "
			 "advert\n"
			 "    ether type ip6 iifname . ip6 saddr @v6 accept\n"
			 "    ip6 saddr @taken drop\n"
			 "    ip6 saddr { ::, fe80::/10 } accept\n");
}

/*
 * What a guest may send. A set has a line for each nic that is filtered; frames
 * of other ports (the uplink, VXLAN) and of the host pass. Whoever has no address
 * yet may ask for one (RFC 2131: from 0.0.0.0; RFC 4862: from ::), nobody but the
 * host may hand them out, and an address that belongs to one nic is no other's.
 * Where ferry hands out the addresses, nothing else passes: frames in a VLAN's or
 * another protocol's clothes would not be looked into.
 */
static void write_filter(FILE *f, const struct netdef *def)
{
	(void)fprintf(f,
		      "table bridge ferry-%s {\n"
		      "  set nics { type ifname; }\n"
		      "  set macs { type ifname . ether_addr; }\n",
		      def->name);
	if (def->v4.family)
		(void)fprintf(f, "  set v4 { type ifname . ipv4_addr; }\n");
	if (def->v6.family) {
		(void)fprintf(f, "  set v6 { type ifname . ipv6_addr; }\n"
				 "  set targets { typeof iifname . @th,64,128; }\n");
		write_taken(f, def);
		(void)fprintf(f, "  chain advert {\n"
				 "    @th,64,128 @taken_targets drop\n"
				 "    @th,64,10 != 0x3fa drop\n"
				 "  }\n");
	}
	(void)fprintf(f, "  chain from_guest {\n"
			 "    iifname . ether saddr != @macs drop\n"
			 "    udp sport 67 udp dport 68 drop\n"
			 "    udp sport 547 udp dport 546 drop\n"
			 "    icmpv6 type { nd-router-advert, nd-redirect } drop\n");
	if (def->v4.family)
		write_v4_filter(f);
	if (def->v6.family)
		write_v6_filter(f);
	(void)fprintf(f,
		      "%s  }\n"
		      "  chain prerouting {\n"
		      "    type filter hook prerouting priority -300; policy accept;\n"
		      "    iifname @nics jump from_guest\n"
		      "  }\n"
		      "}\n",
		      plan_has_addresses(def) ? "    drop\n" : "");
}

char *plan_filter_rules(const struct netdef *def)
{
	size_t len;
	char *text = NULL;
	FILE *f = begin(&text, &len);

	if (f && !def->unfiltered)
		write_filter(f, def);
	return end(f, &text);
}

/* The prefix with its host bits zero, as rules want it. */
static const char *network(const struct net_prefix *p, char buf[NET_PREFIX_TEXT])
{
	struct net_prefix net = net_prefix_nth(p, 0);

	return net_prefix_format(&net, buf);
}

/*
 * A port of the host is one at its addresses, not at those of its loopback: what
 * listens there alone stays reachable. Guests that use such a port themselves come
 * back to their own network, and must seem to come from the host, or the answer
 * would take the short way and be refused. What stays on the bridge is not touched, though
 * it comes through here where bridge-nf-call-iptables is set, as kernels have it.
 */
static void write_nat(FILE *f, const struct netdef *def)
{
	static const char *const hooks[] = { "prerouting", "output" };
	char net[NET_PREFIX_TEXT];

	(void)fprintf(f, "  map tcp_forwards { type inet_service : ipv4_addr . inet_service; }\n"
			 "  map udp_forwards { type inet_service : ipv4_addr . inet_service; }\n");
	for (size_t i = 0; i < ARRAY_SIZE(hooks); i++)
		(void)fprintf(f,
			      "  chain %s {\n"
			      "    type nat hook %s priority -100; policy accept;\n"
			      "    ip daddr 127.0.0.0/8 accept\n"
			      "    fib daddr type local dnat ip to tcp dport map @tcp_forwards\n"
			      "    fib daddr type local dnat ip to udp dport map @udp_forwards\n"
			      "  }\n",
			      hooks[i], hooks[i]);
	(void)fprintf(f, "  chain postrouting {\n"
			 "    type nat hook postrouting priority 100; policy accept;\n");
	if (def->v4.family) {
		(void)network(&def->v4, net);
		(void)fprintf(f,
			      "    oifname != \"%s\" ip saddr %s masquerade\n"
			      "    ip saddr %s ip daddr %s ct status dnat masquerade\n",
			      def->bridge, net, net, net);
	}
	if (def->v6.family && def->nat66) {
		(void)network(&def->v6, net);
		(void)fprintf(f, "    oifname != \"%s\" ip6 saddr %s masquerade\n", def->bridge,
			      net);
	}
	(void)fprintf(f, "  }\n");
}

/* From outside come answers, and what a forward lets in. */
static void write_forward(FILE *f, const struct netdef *def)
{
	(void)fprintf(f, "  chain forward {\n"
			 "    type filter hook forward priority 0; policy accept;\n");
	if (def->mode == NET_MODE_HOSTONLY)
		(void)fprintf(f,
			      "    iifname \"%s\" oifname != \"%s\" drop\n"
			      "    oifname \"%s\" iifname != \"%s\" drop\n",
			      def->bridge, def->bridge, def->bridge, def->bridge);
	else
		(void)fprintf(f,
			      "    oifname \"%s\" iifname != \"%s\" "
			      "ct state established,related accept\n"
			      "    oifname \"%s\" iifname != \"%s\" ct status dnat accept\n"
			      "    oifname \"%s\" iifname != \"%s\" drop\n",
			      def->bridge, def->bridge, def->bridge, def->bridge, def->bridge,
			      def->bridge);
	(void)fprintf(f, "  }\n");
}

char *plan_inet_rules(const struct netdef *def)
{
	size_t len;
	char *text = NULL;
	FILE *f = begin(&text, &len);

	/* Routed guests are on the LAN like any other host: nothing stands before them. */
	if (f && def->mode != NET_MODE_ROUTE) {
		(void)fprintf(f, "table inet ferry-%s {\n", def->name);
		if (def->mode == NET_MODE_NAT)
			write_nat(f, def);
		write_forward(f, def);
		(void)fprintf(f, "}\n");
	}
	return end(f, &text);
}

static void write_v4(FILE *f, const struct netdef *def)
{
	struct net_prefix net = net_prefix_nth(&def->v4, 0);
	struct in_addr mask = { htonl(UINT32_MAX << (32 - def->v4.len)) };
	char addr[NET_PREFIX_TEXT], mask_text[INET_ADDRSTRLEN];

	(void)inet_ntop(AF_INET, &mask, mask_text, sizeof(mask_text));
	(void)net_addr_format(&net, addr);
	/* The bridge of a routed network has but the host's own address. */
	if (def->mode == NET_MODE_ROUTE)
		(void)fprintf(f, "shared-network=%s,%s\n", def->bridge, addr);
	(void)fprintf(f, "dhcp-range=%s,static,%s,infinite\n", addr, mask_text);
	/* A host-only guest has no way out, so it is told of none. */
	if (def->mode == NET_MODE_HOSTONLY)
		(void)fprintf(f, "dhcp-option=option:router\n");
	else
		(void)fprintf(f, "dhcp-option=option:router,%s\n", net_addr_format(&def->v4, addr));
}

static void write_v6(FILE *f, const struct netdef *def)
{
	struct net_prefix net = net_prefix_nth(&def->v6, 0);
	char addr[NET_PREFIX_TEXT];

	(void)fprintf(f, "enable-ra\nra-param=%s,%s60%s\n", def->bridge, "high,",
		      def->mode == NET_MODE_HOSTONLY ? ",0" : "");
	(void)fprintf(f, "dhcp-range=%s,static,slaac%s,%u,infinite\n", net_addr_format(&net, addr),
		      def->mode == NET_MODE_ROUTE ? ",off-link" : "", def->v6.len);
}

char *plan_dhcp_conf(const struct netdef *def, const char *folder)
{
	size_t len;
	char *text = NULL;
	FILE *f = begin(&text, &len);
	char addr[NET_PREFIX_TEXT];

	if (!f)
		return NULL;
	(void)fprintf(f,
		      "# network %s: written by ferry\n"
		      "interface=%s\nexcept-interface=lo\nbind-dynamic\n"
		      "pid-file=%s/pid\ndhcp-leasefile=%s/leases\ndhcp-hostsdir=%s/hosts.d\n"
		      "no-hosts\nno-ping\ndhcp-authoritative\ndhcp-no-override\n"
		      "domain=%s.ferry\nlocal=/%s.ferry/\nexpand-hosts\nuser=root\n",
		      def->name, def->bridge, folder, folder, folder, def->name, def->name);
	if (def->v4.family) {
		(void)fprintf(f, "# host %s\n", net_addr_format(&def->v4, addr));
		write_v4(f, def);
	}
	if (def->v6.family)
		write_v6(f, def);
	return end(f, &text);
}
