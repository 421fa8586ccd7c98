// SPDX-License-Identifier: MIT
// `ferry nic`: the nics of a running guest, shown and changed.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/nic.h"
#include "vmm/guest/config.h"

/* --- list --- */

static const char *get_string(const json_t *nic, const char *key)
{
	const char *value = json_string_value(json_object_get(nic, key));

	return value ? value : "-";
}

static long long get_count(const json_t *nic, const char *way, const char *what)
{
	const json_t *stats = json_object_get(nic, "stats");

	return json_integer_value(json_object_get(json_object_get(stats, way), what));
}

/* "rx-bps=100000000,tx-pps=2000", or "-" */
static void show_limits(const json_t *nic, char *buf, size_t len)
{
	json_t *limits = json_object_get(nic, "limits"), *value;
	const char *key;
	size_t at = 0;

	(void)snprintf(buf, len, "-");
	json_object_foreach(limits, key, value)
	{
		if (json_integer_value(value) && at < len)
			at += (size_t)snprintf(buf + at, len - at, "%s%s=%" JSON_INTEGER_FORMAT,
					       at ? "," : "", key, json_integer_value(value));
	}
}

static void print_nic(const json_t *nic)
{
	char limits[160];

	show_limits(nic, limits, sizeof(limits));
	(void)printf("%-8s %-16s %-17s %4lld %-10s %-6s", get_string(nic, "id"),
		     get_string(nic, "net"), get_string(nic, "mac"),
		     (long long)json_integer_value(json_object_get(nic, "slot")),
		     get_string(nic, "host_interface"), get_string(nic, "link"));
	(void)printf(" %10lld %12lld %10lld %12lld %8lld  %s\n", get_count(nic, "rx", "packets"),
		     get_count(nic, "rx", "bytes"), get_count(nic, "tx", "packets"),
		     get_count(nic, "tx", "bytes"),
		     get_count(nic, "rx", "dropped") + get_count(nic, "tx", "dropped"), limits);
}

static int list(const struct device_call *c)
{
	json_t *nics = NULL, *nic;
	size_t i;
	int rc = client_execute(c->client, "ferry-nics", &nics, c->e);

	if (rc < 0)
		return rc;
	if (c->o->json)
		return cli_write_json(nics, JSON_INDENT(2), c->e);
	(void)printf("%-8s %-16s %-17s %4s %-10s %-6s %10s %12s %10s %12s %8s  %s\n", "ID", "NET",
		     "MAC", "SLOT", "INTERFACE", "LINK", "RX-PACKETS", "RX-BYTES", "TX-PACKETS",
		     "TX-BYTES", "DROPPED", "LIMITS");
	json_array_foreach(nics, i, nic)
	{
		print_nic(nic);
	}
	json_decref(nics);
	return 0;
}

/* --- limit and link --- */

static int limit(const struct device_call *c)
{
	json_t *args = json_pack("{s:s}", "id", c->cli->more[0]);
	const char *name;
	uint64_t rate;

	for (unsigned i = 1; i < c->cli->nr_more; i++) {
		int rc = config_parse_nic_limit(c->cli->more[i], &name, &rate, c->e);

		if (rc < 0) {
			json_decref(args);
			return -EINVAL;
		}
		(void)json_object_set_new(args, name, json_integer((json_int_t)rate));
	}
	return device_execute(c, "ferry-nic-limits", args);
}

static int link_nic(const struct device_call *c)
{
	bool up = !strcmp(c->cli->more[1], "up");

	if (!up && strcmp(c->cli->more[1], "down") != 0)
		return err_set(c->e, -EINVAL, "'%s' is neither up nor down", c->cli->more[1]);
	return device_execute(c, "set_link",
			      json_pack("{s:s, s:b}", "name", c->cli->more[0], "up", up));
}

/* --- the command --- */

static const struct action {
	const char *name;
	device_action fn;
	unsigned min_more, max_more;
} actions[] = {
	{ "list", list, 0, 0 },   { "attach", nic_attach, 1, 1 }, { "detach", nic_detach, 1, 1 },
	{ "limit", limit, 2, 5 }, { "link", link_nic, 2, 2 },
};

static const struct action *find_action(const struct cli *cli)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!strcmp(cli->arg, actions[i].name) && cli->nr_more >= actions[i].min_more &&
		    cli->nr_more <= actions[i].max_more)
			return &actions[i];
	}
	return NULL;
}

int cli_nic(const struct cli *cli)
{
	const struct action *action = find_action(cli);
	struct device_options o = DEVICE_OPTIONS;
	struct err e = { 0 };

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (!action) {
		(void)err_set(&e, -EINVAL,
			      "ACTION is list NAME, attach NAME KIND[,...], detach NAME ID, limit "
			      "NAME ID LIMIT=RATE..., or link NAME ID up|down");
		return cli_usage(cli->cmd, &e);
	}
	return device_perform(cli, &o, action->fn);
}
