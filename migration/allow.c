// SPDX-License-Identifier: MIT
// Who may connect: networks and hosts.
#include "migration/allow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/address_impl.h"

#define MAX_ENTRIES 256U
#define V4_BITS     32U
#define V6_BITS     128U
#define V4_IN_V6    96U /* bits before an IPv4 address in its IPv6 form */

/* A network, as an IPv6 one: those of IPv4 are below ::ffff:0:0/96. */
struct entry {
	struct in6_addr net;
	unsigned bits;
};

struct allow {
	struct entry entries[MAX_ENTRIES];
	unsigned nr;
};

static struct in6_addr map_v4(struct in_addr v4)
{
	struct in6_addr v6 = { .s6_addr = { [10] = 0xff, [11] = 0xff } };

	memcpy(&v6.s6_addr[12], &v4, sizeof(v4));
	return v6;
}

/* False: neither IPv4 nor IPv6. */
static bool address_of(const struct sockaddr *sa, struct in6_addr *ret)
{
	if (sa->sa_family == AF_INET)
		*ret = map_v4(((const struct sockaddr_in *)(const void *)sa)->sin_addr);
	else if (sa->sa_family == AF_INET6)
		*ret = ((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	else
		return false;
	return true;
}

static bool bit(const struct in6_addr *a, unsigned i)
{
	return a->s6_addr[i / 8] >> (7 - i % 8) & 1;
}

static bool in_network(const struct entry *net, const struct in6_addr *a)
{
	for (unsigned i = 0; i < net->bits; i++) {
		if (bit(&net->net, i) != bit(a, i))
			return false;
	}
	return true;
}

static int add(struct allow *allow, struct in6_addr net, unsigned bits, struct err *e)
{
	if (allow->nr == MAX_ENTRIES)
		return err_set(e, -E2BIG, "more than %u addresses are allowed", MAX_ENTRIES);
	allow->entries[allow->nr++] = (struct entry){ .net = net, .bits = bits };
	return 0;
}

/* --- rules --- */

/* "10.1.0.0" or "fd00::": the address and how long its prefix can be. */
static int parse_number(const char *text, struct in6_addr *ret, unsigned *ret_bits)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1) {
		*ret = map_v4(v4);
		*ret_bits = V4_BITS;
		return 0;
	}
	*ret_bits = V6_BITS;
	return inet_pton(AF_INET6, text, ret) == 1 ? 0 : -EINVAL;
}

static int add_network(struct allow *allow, const char *rule, const char *slash, struct err *e)
{
	struct in6_addr net;
	unsigned room, bits;
	char number[64], *end;
	unsigned long prefix;

	(void)snprintf(number, sizeof(number), "%.*s", (int)MIN(slash - rule, 63), rule);
	prefix = isdigit((unsigned char)slash[1]) ? strtoul(slash + 1, &end, 10) : V6_BITS + 1;
	if (parse_number(number, &net, &room) < 0 || prefix > room || *end)
		return err_set(e, -EINVAL,
			       "'%s' is not a network: write for example 10.1.0.0/16 or fd00::/8",
			       rule);
	bits = (unsigned)prefix + (room == V4_BITS ? V4_IN_V6 : 0);
	for (unsigned i = bits; i < V6_BITS; i++) {
		if (bit(&net, i))
			return err_set(e, -EINVAL,
				       "'%s' is not a network: its address has bits beyond /%lu",
				       rule, prefix);
	}
	return add(allow, net, bits, e);
}

static int add_host(struct allow *allow, const char *name, struct err *e)
{
	struct addrinfo *list;
	struct in6_addr a;
	int rc = address_look_up(name, 0, false, &list, e);

	if (rc < 0)
		return rc;
	for (const struct addrinfo *ai = list; rc == 0 && ai; ai = ai->ai_next) {
		if (address_of(ai->ai_addr, &a))
			rc = add(allow, a, V6_BITS, e);
	}
	freeaddrinfo(list);
	return rc;
}

static int add_rule(struct allow *allow, const char *rule, struct err *e)
{
	const char *slash = strchr(rule, '/');
	struct in6_addr a;
	unsigned bits;

	if (slash)
		return add_network(allow, rule, slash, e);
	if (parse_number(rule, &a, &bits) == 0)
		return add(allow, a, V6_BITS, e);
	return add_host(allow, rule, e);
}

int allow_new(struct allow **ret, const char *const *rules, size_t nr, struct err *e)
{
	static const char *const loopback[] = { "127.0.0.0/8", "::1" };
	struct allow *allow = calloc(1, sizeof(*allow));
	int rc = 0;

	if (!allow)
		return err_set(e, -ENOMEM, "out of memory");
	if (nr == 0) {
		rules = loopback;
		nr = ARRAY_SIZE(loopback);
	}
	for (size_t i = 0; rc == 0 && i < nr; i++)
		rc = add_rule(allow, rules[i], e);
	if (rc < 0)
		allow_free(allow);
	else
		*ret = allow;
	return rc;
}

void allow_free(struct allow *allow)
{
	free(allow);
}

/* --- questions --- */

bool allow_address(const struct allow *allow, const struct sockaddr *sa)
{
	struct in6_addr a;

	if (!address_of(sa, &a))
		return false;
	for (unsigned i = 0; i < allow->nr; i++) {
		if (in_network(&allow->entries[i], &a))
			return true;
	}
	return false;
}

bool allow_peer(const struct allow *allow, int fd)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t len = sizeof(ss);
	struct ucred cred;

	if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0)
		return false;
	if (ss.ss_family != AF_UNIX)
		return allow_address(allow, (const struct sockaddr *)&ss);
	len = sizeof(cred);
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 &&
	       (cred.uid == geteuid() || cred.uid == 0);
}
