// SPDX-License-Identifier: MIT
// Nics on managed networks: where definitions are, and what a nic asks of one.
#include "vmm/guest/machine_network.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/mac.h"
#include "vmm/guest/config.h"
#include "vmm/guest/runtime.h"

static int defs_dir(char *buf, size_t room, struct err *e)
{
	const char *given = getenv("FERRY_NETWORKS"), *config = getenv("XDG_CONFIG_HOME"),
		   *home = getenv("HOME");
	int len;

	if (given && *given)
		len = snprintf(buf, room, "%s", given);
	else if (geteuid() == 0)
		len = snprintf(buf, room, "/etc/ferry/networks");
	else if (config && *config)
		len = snprintf(buf, room, "%s/ferry/networks", config);
	else
		len = snprintf(buf, room, "%s/.config/ferry/networks", home ? home : "");
	return len < 0 || (size_t)len >= room
		       ? err_set(e, -ENAMETOOLONG, "the folder of the networks has too long a name")
		       : 0;
}

int network_paths_get(struct network_paths *paths, struct err *e)
{
	char runtime[160];
	int rc = defs_dir(paths->defs, sizeof(paths->defs), e);

	if (rc == 0)
		rc = runtime_dir(runtime, sizeof(runtime), true, e);
	if (rc < 0)
		return rc;
	(void)snprintf(paths->state, sizeof(paths->state), "%s/net", runtime);
	paths->dirs = (struct net_dirs){ .defs = paths->defs, .state = paths->state };
	return 0;
}

static int set_wish(struct net_prefix *addr, const char *text, struct err *e)
{
	if (!text)
		return 0;
	return net_prefix_parse(text, addr) < 0
		       ? err_set(e, -EINVAL, "'%.60s' is not an address", text)
		       : 0;
}

int network_prepare(const struct network_paths *paths, const struct nic_config *nic,
		    struct netdef *def, struct net_member *member, struct err *e)
{
	int rc = netdef_load(def, paths->defs, nic->backend, e);

	if (rc < 0)
		return rc;
	member->unfiltered = nic->filter != 0;
	member->vlan = (uint16_t)nic->vlan;
	if (nic->vlan && !def->vlan)
		return err_set(e, -EINVAL, "vlan: network %s was made without --vlan", def->name);
	if (mac_parse(nic->mac, member->mac) < 0)
		return err_set(e, -EINVAL, "mac: missing");
	rc = set_wish(&member->v4, nic->ip, e);
	if (rc == 0)
		rc = set_wish(&member->v6, nic->ip6, e);
	if (rc == 0)
		rc = network_up(&paths->dirs, def, e);
	return rc < 0 ? rc : network_choose_addresses(&paths->dirs, def, member, e);
}
