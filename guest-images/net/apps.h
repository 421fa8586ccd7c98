/* SPDX-License-Identifier: MIT */
/* What the net guest can be asked to do. Each reads its parameters; without them it is idle. */
#ifndef GUEST_NET_APPS_H
#define GUEST_NET_APPS_H

#include "net.h"

/* Numbers with one decimal, given in tenths. */
#define NET_TENTHS(value) (value) / 10, (value) % 10

/* Tenths of MiB/s. */
static inline uint64_t net_mib10(uint64_t bytes, uint64_t ns)
{
	return bytes / 1024 * 10000000 / (ns / NS_PER_US + 1) / 1024;
}

/* ip=dhcp: asks until there is an address, and again before its lease ends. */
void dhcp_start(struct net *net);

/* ping=ADDR: echo requests at a fixed interval. */
void ping_start(struct net *net);

/* udp_echo=, udp_sink=, control=, flood=. */
void udp_apps_start(struct net *net);

/* tcp_echo=, tcp_sink=, tcp_source=. */
void tcp_apps_start(struct net *net);

/* ctrl=1, and announcements when the device asks for them. */
void ctrl_start(struct net *net);

#endif
