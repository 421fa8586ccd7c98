// SPDX-License-Identifier: MIT
// Forwards in a definition: one more, one less.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "net/managed/netdef.h"

int netdef_add_forward(struct netdef *def, const char *text, struct err *e)
{
	struct net_forward f;
	int rc = net_forward_parse(text, &f, e);

	if (rc < 0)
		return rc;
	if (def->nr_forwards == NETDEF_MAX_FORWARDS)
		return err_set(e, -ENOSPC, "network %s has %d forwards, and cannot have more",
			       def->name, NETDEF_MAX_FORWARDS);
	for (unsigned i = 0; i < def->nr_forwards; i++) {
		const struct net_forward *other = &def->forwards[i];
		char taken[96];

		if (other->udp == f.udp && other->host_port == f.host_port)
			return err_set(e, -EEXIST, "network %s forwards that port already: %s",
				       def->name, net_forward_format(other, taken));
	}
	def->forwards[def->nr_forwards++] = f;
	return 0;
}

int netdef_del_forward(struct netdef *def, const char *text, struct err *e)
{
	for (unsigned i = 0; i < def->nr_forwards; i++) {
		char whole[96], port[16];

		(void)net_forward_format(&def->forwards[i], whole);
		(void)snprintf(port, sizeof(port), "%.*s", (int)strcspn(whole, "="), whole);
		if (strcmp(text, whole) != 0 && strcmp(text, port) != 0)
			continue;
		def->nr_forwards--;
		memmove(&def->forwards[i], &def->forwards[i + 1],
			(def->nr_forwards - i) * sizeof(def->forwards[0]));
		return 0;
	}
	return err_set(e, -ENOENT, "network %s has no forward %.80s", def->name, text);
}
