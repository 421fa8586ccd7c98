// SPDX-License-Identifier: MIT
// Managed networks as JSON and as tables.
#include "vmm/network/show.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* "net0" of a guest's nic, in the words of its tap's counters: to the host is from the guest. */
static void add_nic(json_t *nics, const struct network_nic *nic)
{
	char v4[NET_PREFIX_TEXT] = "", v6[NET_PREFIX_TEXT] = "";

	if (nic->v4.family)
		(void)net_addr_format(&nic->v4, v4);
	if (nic->v6.family)
		(void)net_addr_format(&nic->v6, v6);
	(void)json_array_append_new(
		nics,
		json_pack("{s:s, s:i, s:s, s:s, s:s*, s:s*, s:s*, s:{s:I, s:I}, s:{s:I, s:I}}",
			  "guest", nic->guest, "nic", (int)nic->index, "tap", nic->tap, "mac",
			  nic->mac, "ipv4", v4[0] ? v4 : NULL, "ipv6", v6[0] ? v6 : NULL, "lease",
			  nic->lease[0] ? nic->lease : NULL, "from-guest", "packets",
			  (json_int_t)nic->link.rx_packets, "bytes", (json_int_t)nic->link.rx_bytes,
			  "to-guest", "packets", (json_int_t)nic->link.tx_packets, "bytes",
			  (json_int_t)nic->link.tx_bytes));
}

static int collect(void *opaque, const struct network_nic *nic)
{
	add_nic(opaque, nic);
	return 0;
}

json_t *net_show_one(const struct net_dirs *dirs, const struct netdef *def, struct err *e)
{
	json_t *json = netdef_to_json(def), *nics = json_array();
	int rc = network_each_nic(dirs, def->name, collect, nics, e);

	if (rc >= 0 && json) {
		(void)json_object_set_new(json, "up", json_boolean(rc > 0));
		(void)json_object_set_new(json, "nics", nics);
		return json;
	}
	json_decref(json);
	json_decref(nics);
	return NULL;
}

static int is_definition(const struct dirent *entry)
{
	size_t len = strlen(entry->d_name);

	return len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

json_t *net_show_all(const struct net_dirs *dirs, struct err *e)
{
	struct dirent **entries = NULL;
	int nr = scandir(dirs->defs, &entries, is_definition, alphasort);
	json_t *all = json_array();

	if (nr < 0 && errno != ENOENT) {
		(void)err_set(e, -errno, "%s: %s", dirs->defs, strerror(errno));
		json_decref(all);
		return NULL;
	}
	for (int i = 0; i < nr; i++) {
		char *name = entries[i]->d_name;
		struct netdef def;
		json_t *one = NULL;

		name[strlen(name) - 5] = '\0';
		if (all && netdef_load(&def, dirs->defs, name, e) == 0)
			one = net_show_one(dirs, &def, e);
		if (!one) {
			json_decref(all);
			all = NULL;
		} else {
			(void)json_array_append_new(all, one);
		}
		free(entries[i]);
	}
	free(entries);
	return all;
}

/* --- for a terminal --- */

static const char *text(const json_t *json, const char *key)
{
	const char *value = json_string_value(json_object_get(json, key));

	return value ? value : "-";
}

static void print_nic(const json_t *nic, FILE *out)
{
	json_int_t index = json_integer_value(json_object_get(nic, "nic"));
	json_t *from = json_object_get(nic, "from-guest"), *to = json_object_get(nic, "to-guest");

	(void)fprintf(out, "  %s.%lld  %s  %s  %s  %s  %s  %lld packets from, %lld to it\n",
		      text(nic, "guest"), (long long)index, text(nic, "tap"), text(nic, "mac"),
		      text(nic, "ipv4"), text(nic, "ipv6"),
		      json_object_get(nic, "lease") ? "leased" : "no lease",
		      (long long)json_integer_value(json_object_get(from, "packets")),
		      (long long)json_integer_value(json_object_get(to, "packets")));
}

static void print_nics(const json_t *nics, FILE *out)
{
	for (size_t i = 0; i < json_array_size(nics); i++)
		print_nic(json_array_get(nics, i), out);
}

/* A line for each network, and below it one for each nic. */
void net_print_table(const json_t *all, FILE *out)
{
	(void)fprintf(out, "%-12s %-9s %-4s %-15s %-18s %-26s %6s\n", "NAME", "MODE", "UP",
		      "BRIDGE", "IPV4", "IPV6", "NICS");
	for (size_t i = 0; i < json_array_size(all); i++) {
		const json_t *one = json_array_get(all, i), *nics = json_object_get(one, "nics");
		bool up = json_is_true(json_object_get(one, "up"));

		(void)fprintf(out, "%-12s %-9s %-4s %-15s %-18s %-26s %6zu\n", text(one, "name"),
			      text(one, "mode"), up ? "yes" : "no", text(one, "bridge"),
			      text(one, "ipv4"), text(one, "ipv6"), json_array_size(nics));
		print_nics(nics, out);
	}
}

/* The definition's keys in their order, then the nics. */
void net_print_one(const json_t *one, FILE *out)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)one, key, value)
	{
		char *shown;

		if (strcmp(key, "nics") == 0)
			continue;
		shown = json_is_string(value) ? strdup(json_string_value(value))
					      : json_dumps(value, JSON_ENCODE_ANY);
		(void)fprintf(out, "%-12s %s\n", key, shown ? shown : "");
		free(shown);
	}
	value = json_object_get(one, "nics");
	(void)fprintf(out, "%-12s %zu\n", "nics", json_array_size(value));
	print_nics(value, out);
}
