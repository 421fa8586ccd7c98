// SPDX-License-Identifier: MIT
// Which networks a guest that comes from a peer may be on here.
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "vmm/guest/state.h"

/* What a rule may begin with, and whether ":NAME" may follow. */
static const struct {
	const char *kind;
	bool has_name;
} kinds[] = {
	{ "user", false },   { "hostfwd", false }, { "tap", true },
	{ "bridge", true },  { "network", true },  { "unfiltered", false },
	{ "macvtap", true }, { "any", false },     { "none", false },
};

/* Where this host's user has said nothing: what gives a guest nothing of the host's own. */
static const char *const defaults[] = { "user", "network" };

int guest_net_rule_check(const char *rule, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i].kind);

		if (strncmp(rule, kinds[i].kind, len) != 0)
			continue;
		if (!rule[len] || (kinds[i].has_name && rule[len] == ':' && rule[len + 1]))
			return 0;
	}
	return err_set(e, -EINVAL,
		       "'%.60s' is none of user, hostfwd, tap[:NAME], bridge[:NAME], "
		       "macvtap[:NAME], network[:NAME], unfiltered, any and none",
		       rule);
}

/* Does @rule allow @kind, and @name of it (NULL: one that has none)? */
static bool rule_allows(const char *rule, const char *kind, const char *name)
{
	size_t len = strlen(kind);

	if (!strcmp(rule, "any"))
		return true;
	if (strncmp(rule, kind, len) != 0)
		return false;
	return !rule[len] || (name && rule[len] == ':' && !strcmp(rule + len + 1, name));
}

static bool is_allowed(const struct field_list *rules, const char *kind, const char *name)
{
	const char *const *texts = rules->nr ? rules->items : defaults;
	size_t nr = rules->nr ? rules->nr : ARRAY_SIZE(defaults);

	for (size_t i = 0; i < nr; i++) {
		if (rule_allows(texts[i], kind, name))
			return true;
	}
	return false;
}

/* 0, or -EACCES with what would allow it. */
static int want(const struct nic_config *nic, const struct field_list *rules, const char *kind,
		const char *name, struct err *e)
{
	if (is_allowed(rules, kind, name))
		return 0;
	return err_set(e, -EACCES,
		       "%s: %s%s%.40s is not allowed there: say --net-allow %s%s%.40s or --map "
		       "net:%s=... to 'ferry receive'",
		       nic->id, kind, name ? " " : "", name ? name : "", kind, name ? ":" : "",
		       name ? name : "", nic->id);
}

static int check_nic(const struct nic_config *nic, const struct field_list *rules, struct err *e)
{
	int rc = 0;

	switch ((enum nic_kind)nic->kind) {
	case NIC_NONE:
		break;
	case NIC_USER:
		/* Who may forward ports may have what they lead to. */
		if (nic->hostfwd.nr)
			return want(nic, rules, "hostfwd", NULL, e);
		return is_allowed(rules, "hostfwd", NULL) ? 0 : want(nic, rules, "user", NULL, e);
	case NIC_TAP:
		if (nic->ifname || !nic->bridge)
			rc = want(nic, rules, "tap", nic->ifname, e);
		return rc == 0 && nic->bridge ? want(nic, rules, "bridge", nic->bridge, e) : rc;
	case NIC_MACVTAP:
		return want(nic, rules, "macvtap", nic->ifname, e);
	case NIC_NETWORK:
		rc = want(nic, rules, "network", nic->backend, e);
		return rc == 0 && nic->filter ? want(nic, rules, "unfiltered", NULL, e) : rc;
	}
	return 0;
}

int guest_nets_check(const struct config *cfg, const struct guest_changes *changes, struct err *e)
{
	const struct nic_config *nics = cfg->nics.items;
	int rc = 0;

	if (!changes->net_allow)
		return 0;
	for (size_t i = 0; rc == 0 && i < cfg->nics.nr; i++) {
		if (!guest_is_mapped(changes, "net", nics[i].id))
			rc = check_nic(&nics[i], changes->net_allow, e);
	}
	return rc;
}
