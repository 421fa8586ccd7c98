// SPDX-License-Identifier: MIT
// Moving an interface's place on the network to a bridge, and back.
#include "net/managed/uplink.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/jsonfile.h"
#include "net/managed/netlink.h"

#define CARRIER_WAIT_MS 2000

/* --- what an interface has --- */

static const char digits[] = "0123456789abcdef";

static json_t *to_hex(const uint8_t *data, size_t len)
{
	char text[2 * NETLINK_OBJECT_BYTES + 1];

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	return json_stringn(text, 2 * len);
}

static bool from_hex(const char *text, struct netlink_object *obj)
{
	size_t len = strlen(text);

	if (len % 2 != 0 || len / 2 > sizeof(obj->data) || strspn(text, digits) != len)
		return false;
	obj->len = len / 2;
	for (size_t i = 0; i < obj->len; i++)
		obj->data[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
					 (strchr(digits, text[2 * i + 1]) - digits));
	return true;
}

static int save_object(void *opaque, const struct netlink_object *obj)
{
	return json_array_append_new(opaque,
				     json_pack("{s:s, s:i, s:b, s:o}", "what", obj->what, "kind",
					       (int)obj->kind, "on-link", obj->is_on_link, "kernel",
					       to_hex(obj->data, obj->len)));
}

static int save(struct netlink *nl, const char *dev, const char *file)
{
	json_t *objects = json_array(), *all;
	struct netlink_link link;
	int rc = netlink_get_link(nl, dev, &link);

	for (unsigned kind = 0; rc == 0 && kind < NETLINK_NR_OBJECTS; kind++)
		rc = netlink_each_object(nl, kind, dev, save_object, objects);
	if (rc == 0) {
		all = json_pack("{s:O, s:b, s:b}", "objects", objects, "carrier", link.carrier,
				"up", (link.flags & IFF_UP) != 0);
		rc = jsonfile_save(file, all, JSON_INDENT(1), true);
	}
	json_decref(objects);
	return rc;
}

/* --- giving it to another --- */

static int read_object(const json_t *entry, struct netlink_object *obj)
{
	const char *what, *kernel;
	int kind, on_link;

	if (json_unpack((json_t *)(uintptr_t)entry, "{s:s, s:i, s:b, s:s}", "what", &what, "kind",
			&kind, "on-link", &on_link, "kernel", &kernel) < 0 ||
	    kind < 0 || kind >= NETLINK_NR_OBJECTS || !from_hex(kernel, obj))
		return -EINVAL;
	(void)snprintf(obj->what, sizeof(obj->what), "%s", what);
	obj->kind = (enum netlink_object_kind)kind;
	obj->is_on_link = on_link;
	return 0;
}

/* Where it is to be, and where it was: the addresses leave there. */
struct direction {
	const char *from, *to;
	bool back; /* to where it was at first */
};

static int give_object(struct netlink *nl, const struct netlink_object *obj,
		       const struct direction *d)
{
	struct net_prefix addr;
	int rc = netlink_put_object(nl, obj, d->to, d->back);

	if (rc < 0 || obj->kind != NETLINK_OBJ_ADDR)
		return rc;
	rc = net_prefix_parse(obj->what, &addr);
	return rc < 0 ? rc : netlink_addr(nl, false, d->from, &addr, false);
}

/* Addresses, then routes on the link, then those through gateways, which are behind these. */
static unsigned turn_of(const struct netlink_object *obj)
{
	if (obj->kind == NETLINK_OBJ_ROUTE)
		return obj->is_on_link ? 1 : 2;
	return obj->kind == NETLINK_OBJ_ADDR ? 0 : 3;
}

static int give(struct netlink *nl, const json_t *objects, const struct direction *d)
{
	for (unsigned pass = 0; pass < 4; pass++) {
		size_t i;
		json_t *entry;

		json_array_foreach(objects, i, entry)
		{
			struct netlink_object obj;
			int rc = read_object(entry, &obj);

			if (rc == 0 && pass == turn_of(&obj))
				rc = give_object(nl, &obj, d);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
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
	const struct direction there = { .from = dev, .to = bridge };
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
		rc = give(nl, json_object_get(had, "objects"), &there);
	if (rc == 0 && json_is_true(json_object_get(had, "carrier")))
		rc = wait_for_carrier(nl, bridge);
	return rc;
}

static int restore(struct netlink *nl, const char *dev, const char *bridge, const json_t *had)
{
	const struct direction back = { .from = bridge, .to = dev, .back = true };
	struct netlink_link link, master;
	int rc = 0;

	if (netlink_get_link(nl, dev, &link) < 0)
		return 0;
	if (link.master && netlink_get_link(nl, bridge, &master) == 0 &&
	    link.master == master.index)
		rc = netlink_set_master(nl, dev, NULL);
	if (rc == 0)
		rc = give(nl, json_object_get(had, "objects"), &back);
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
	/* If the bridge was deleted under it, the file says what it had, not the interface. */
	rc = access(file, F_OK) == 0 ? 0 : save(nl, dev, file);
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
