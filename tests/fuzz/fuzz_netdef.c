// SPDX-License-Identifier: MIT
// Definitions of networks: any JSON is refused, or is the same after it was written and read,
// and its plan has lines, rules and a configuration that nothing in it can break out of.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/netdef.h"
#include "net/managed/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What stands between quotes or on a line of its own in somebody else's language. */
static int look_at(void *opaque, const struct netop *op, const char *text, struct err *e)
{
	(void)opaque;
	(void)e;
	for (unsigned i = 0; i < NETOP_ARGS; i++) {
		if (strpbrk(op->arg[i], "\n;{}\\"))
			abort();
	}
	/* As many as the templates have: none comes from a definition. */
	if (text && op->kind == NETOP_DHCP && strpbrk(text, "\"*\\;"))
		abort();
	if (text && op->kind == NETOP_NFT && strpbrk(text, "\\\t"))
		abort();
	return 0;
}

static void plan_it(const struct netdef *def)
{
	struct net_member m = {
		.guest = "web",
		.mac = { 2, 0, 0, 0, 0, 1 },
		.tap = "ferry0",
		.v4 = def->v4,
		.v6 = def->v6,
	};
	struct err e = { 0 };

	(void)!plan_network(def, "/run/ferry/net", look_at, NULL, &e);
	(void)!plan_member(def, "/run/ferry/net", &m, look_at, NULL, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *json = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
	json_t *written, *again;
	struct netdef def, def2;
	struct err e = { 0 };

	if (!json)
		return 0;
	if (netdef_from_json(&def, json, &e) == 0) {
		written = netdef_to_json(&def);
		if (netdef_from_json(&def2, written, &e) < 0)
			abort();
		again = netdef_to_json(&def2);
		if (!json_equal(written, again))
			abort();
		json_decref(again);
		json_decref(written);
		plan_it(&def);
	} else if (!e.text[0] || strchr(e.text, '\n')) {
		abort();
	}
	json_decref(json);
	return 0;
}
