// SPDX-License-Identifier: MIT
// Moving an interface's place on the network to a bridge, and back.
#include "net/managed/uplink.h"

#include <errno.h>
#include <jansson.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/mac.h"
#include "net/managed/netlink.h"

#define CARRIER_WAIT_MS 2000

/* --- what an interface has --- */

static bool is_link_local(const struct net_prefix *p)
{
	return p->family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&p->addr.v6);
}

static int save_addr(void *opaque, const char *dev, const struct net_prefix *addr, unsigned flags)
{
	char text[NET_PREFIX_TEXT];

	(void)dev;
	(void)flags;
	/* Each interface makes its own. */
	if (is_link_local(addr))
		return 0;
	return json_array_append_new(opaque, json_string(net_prefix_format(addr, text)));
}

static json_t *addr_or_null(const struct net_prefix *p)
{
	char text[NET_PREFIX_TEXT];

	return p->family ? json_string(net_addr_format(p, text)) : json_null();
}

static int save_route(void *opaque, const struct netlink_route *r)
{
	char dst[NET_PREFIX_TEXT];

	/* The kernel makes those of an address itself. */
	if (r->protocol == RTPROT_KERNEL || is_link_local(&r->dst))
		return 0;
	return json_array_append_new(
		opaque,
		json_pack("{s:s, s:o, s:o, s:i, s:i, s:i}", "dst", net_prefix_format(&r->dst, dst),
			  "via", addr_or_null(&r->via), "src", addr_or_null(&r->src), "metric",
			  (int)r->metric, "table", (int)r->table, "protocol", r->protocol));
}

static int save(struct netlink *nl, const char *dev, const char *file)
{
	json_t *addrs = json_array(), *routes = json_array(), *all = NULL;
	struct netlink_link link;
	int rc = netlink_get_link(nl, dev, &link);

	if (rc == 0)
		rc = netlink_each_addr(nl, dev, save_addr, addrs);
	if (rc == 0)
		rc = netlink_each_route(nl, dev, save_route, routes);
	if (rc == 0) {
		all = json_pack("{s:O, s:O, s:b, s:b}", "addresses", addrs, "routes", routes,
				"carrier", link.carrier, "up", (link.flags & IFF_UP) != 0);
		rc = !all || json_dump_file(all, file, JSON_INDENT(1)) < 0 ? -EIO : 0;
	}
	json_decref(all);
	json_decref(addrs);
	json_decref(routes);
	return rc;
}

/* --- giving it to another --- */

static int give_addrs(struct netlink *nl, const json_t *addrs, const char *from, const char *to)
{
	size_t i;
	json_t *entry;
	int rc = 0;

	json_array_foreach(addrs, i, entry)
	{
		struct net_prefix p;

		if (!json_is_string(entry) || net_prefix_parse(json_string_value(entry), &p) < 0)
			return -EINVAL;
		if (rc == 0)
			rc = netlink_addr(nl, true, to, &p);
		if (rc == 0)
			rc = netlink_addr(nl, false, from, &p);
	}
	return rc;
}

static int read_route(const json_t *entry, struct netlink_route *r)
{
	const char *dst, *via = NULL, *src = NULL;
	int metric, table, protocol;

	/* s?: null and absent are alike */
	if (json_unpack((json_t *)(uintptr_t)entry, "{s:s, s?:s?, s?:s?, s:i, s:i, s:i}", "dst",
			&dst, "via", &via, "src", &src, "metric", &metric, "table", &table,
			"protocol", &protocol) < 0 ||
	    net_prefix_parse(dst, &r->dst) < 0 || (via && net_prefix_parse(via, &r->via) < 0) ||
	    (src && net_prefix_parse(src, &r->src) < 0))
		return -EINVAL;
	r->metric = (uint32_t)metric;
	r->table = (uint32_t)table;
	r->protocol = (uint8_t)protocol;
	return 0;
}

/* Routes on the link first: the others' gateways are behind them. */
static int give_routes(struct netlink *nl, const json_t *routes, const char *to)
{
	int rc = 0;

	for (int on_link = 1; on_link >= 0; on_link--) {
		size_t i;
		json_t *entry;

		json_array_foreach(routes, i, entry)
		{
			struct netlink_route r = { 0 };

			if (read_route(entry, &r) < 0)
				return -EINVAL;
			(void)snprintf(r.dev, sizeof(r.dev), "%s", to);
			if (rc == 0 && (r.via.family == 0) == on_link)
				rc = netlink_route(nl, true, &r);
		}
	}
	return rc;
}

static bool has_carrier(struct netlink *nl, const char *name)
{
	struct netlink_link link;

	return netlink_get_link(nl, name, &link) == 0 && link.carrier;
}

/* The bridge's carrier is its ports'; they take a moment. */
static int wait_for_carrier(struct netlink *nl, const char *bridge)
{
	for (int ms = 0; ms < CARRIER_WAIT_MS; ms += 10) {
		if (has_carrier(nl, bridge))
			return 0;
		(void)poll(NULL, 0, 10);
	}
	return -ENOLINK;
}

static int move(struct netlink *nl, const char *dev, const char *bridge, const json_t *had)
{
	struct netlink_link link;
	int rc = netlink_get_link(nl, dev, &link);

	if (rc == 0)
		rc = netlink_set_mac(nl, bridge, link.mac);
	if (rc == 0)
		rc = netlink_set_master(nl, dev, bridge);
	if (rc == 0)
		rc = netlink_set_up(nl, dev, true);
	if (rc == 0)
		rc = netlink_set_up(nl, bridge, true);
	if (rc == 0)
		rc = give_addrs(nl, json_object_get(had, "addresses"), dev, bridge);
	if (rc == 0)
		rc = give_routes(nl, json_object_get(had, "routes"), bridge);
	if (rc == 0 && json_is_true(json_object_get(had, "carrier")))
		rc = wait_for_carrier(nl, bridge);
	return rc;
}

static int restore(struct netlink *nl, const char *dev, const char *bridge, const json_t *had)
{
	struct netlink_link link, master;
	int rc = 0;

	if (netlink_get_link(nl, dev, &link) < 0)
		return 0;
	if (link.master && netlink_get_link(nl, bridge, &master) == 0 &&
	    link.master == master.index)
		rc = netlink_set_master(nl, dev, NULL);
	if (rc == 0)
		rc = give_addrs(nl, json_object_get(had, "addresses"), bridge, dev);
	if (rc == 0)
		rc = give_routes(nl, json_object_get(had, "routes"), dev);
	if (rc == 0 && !json_is_true(json_object_get(had, "up")))
		rc = netlink_set_up(nl, dev, false);
	return rc;
}

int uplink_restore(struct netlink *nl, const char *dev, const char *bridge, const char *file,
		   struct err *e)
{
	json_t *had = json_load_file(file, 0, NULL);
	int rc = 0;

	/* Nothing was written down, so nothing was moved. */
	if (had)
		rc = restore(nl, dev, bridge, had);
	json_decref(had);
	if (rc == 0 && unlink(file) < 0 && errno != ENOENT)
		rc = -errno;
	return rc < 0 ? err_set(e, rc, "%s: cannot take it out of %s again: %s (it had: %s)", dev,
				bridge, strerror(-rc), file)
		      : 0;
}

int uplink_move(struct netlink *nl, const char *dev, const char *bridge, const char *file,
		struct err *e)
{
	struct netlink_link link;
	json_t *had;
	int rc = netlink_get_link(nl, dev, &link);

	if (rc < 0)
		return err_set(e, rc, "uplink %s: no such interface", dev);
	if (link.master)
		return err_set(e, -EBUSY, "uplink %s: is a port of another bridge already", dev);
	rc = save(nl, dev, file);
	had = rc == 0 ? json_load_file(file, 0, NULL) : NULL;
	if (!had)
		return err_set(e, rc < 0 ? rc : -EIO, "uplink %s: cannot note its addresses in %s",
			       dev, file);
	rc = move(nl, dev, bridge, had);
	json_decref(had);
	if (rc == 0)
		return 0;
	if (uplink_restore(nl, dev, bridge, file, e) < 0)
		return e ? e->code : rc;
	return err_set(e, rc, "uplink %s: cannot move it to %s: %s; it is as it was", dev, bridge,
		       rc == -ENOLINK ? "the link was lost" : strerror(-rc));
}
