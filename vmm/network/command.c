// SPDX-License-Identifier: MIT
// `ferry net`: create, list, show, delete, forward, repair, start.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/network.h"
#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/network/command.h"
#include "vmm/network/options.h"
#include "vmm/network/paths.h"
#include "vmm/network/show.h"

/* --- from options to a definition --- */

static void put_text(json_t *json, const char *key, const char *text)
{
	if (text)
		(void)json_object_set_new(json, key, json_string(text));
}

static void put_flag(json_t *json, const char *key, bool given, bool value)
{
	if (given)
		(void)json_object_set_new(json, key, json_boolean(value));
}

static void put_texts(json_t *json, const char *key, const struct field_list *list)
{
	char *const *texts = list->items;
	json_t *array;

	if (list->nr == 0)
		return;
	array = json_array();
	for (size_t i = 0; i < list->nr; i++)
		(void)json_array_append_new(array, json_string(texts[i]));
	(void)json_object_set_new(json, key, array);
}

static int define(struct netdef *def, const char *name, const struct net_options *o, struct err *e)
{
	json_t *json = json_pack("{s:s}", "name", name);
	int rc;

	put_text(json, "mode", o->mode);
	put_text(json, "bridge", o->bridge);
	put_text(json, "uplink", o->uplink);
	put_text(json, "ipv4", o->ipv4);
	put_text(json, "ipv6", o->ipv6);
	put_flag(json, "existing", o->existing, true);
	put_flag(json, "default-route", o->default_route, true);
	put_flag(json, "dhcp", o->no_dhcp, false);
	put_flag(json, "nat66", o->routed6, false);
	put_flag(json, "vlan", o->vlan, true);
	put_flag(json, "hub", o->hub, true);
	put_flag(json, "isolated", o->isolated, true);
	put_flag(json, "unfiltered", o->unfiltered, true);
	if (o->mtu)
		(void)json_object_set_new(json, "mtu", json_integer(o->mtu));
	if (o->vni)
		(void)json_object_set_new(json, "vni", json_integer(o->vni));
	put_texts(json, "peers", &o->peers);
	put_texts(json, "forwards", &o->forwards);
	rc = netdef_from_json(def, json, e);
	json_decref(json);
	return rc;
}

/* --- the actions --- */

struct action_call {
	const struct cli *cli;
	const struct net_options *o;
	struct network_paths paths;
	struct err *e;
};

static int make_defs_dir(const char *path, struct err *e)
{
	int rc = io_make_dirs(path, 0755);

	return rc < 0 ? err_set(e, rc, "%s: %s", path, strerror(-rc)) : 0;
}

/* Made at once, so that what is in its way is said to whoever asked for it. */
static int net_create(struct action_call *c)
{
	struct netdef def;
	int rc = define(&def, c->cli->arg2, c->o, c->e);

	if (rc == 0)
		rc = make_defs_dir(c->paths.defs, c->e);
	if (rc == 0)
		rc = netdef_save(&def, c->paths.defs, false, c->e);
	if (rc < 0)
		return rc;
	rc = network_up(&c->paths.dirs, &def, c->e);
	if (rc < 0)
		(void)!netdef_remove(c->paths.defs, def.name, NULL);
	else if (c->o->json)
		rc = cli_print_json(netdef_to_json(&def));
	return rc;
}

static int net_delete(struct action_call *c)
{
	struct netdef def;
	int rc = netdef_load(&def, c->paths.defs, c->cli->arg2, c->e);

	/* A definition that cannot be read can still be removed. */
	if (rc == -ENOENT)
		return rc;
	rc = network_down(&c->paths.dirs, c->cli->arg2, c->e);
	return rc < 0 ? rc : netdef_remove(c->paths.defs, c->cli->arg2, c->e);
}

static int net_list(struct action_call *c)
{
	json_t *all = net_show_all(&c->paths.dirs, c->e);

	if (!all)
		return c->e->code;
	if (c->o->json)
		return cli_print_json(all);
	net_print_table(all, stdout);
	json_decref(all);
	return 0;
}

static int net_show(struct action_call *c)
{
	struct netdef def;
	json_t *json;
	int rc = netdef_load(&def, c->paths.defs, c->cli->arg2, c->e);

	if (rc < 0)
		return rc;
	json = net_show_one(&c->paths.dirs, &def, c->e);
	if (!json)
		return c->e->code;
	if (c->o->json)
		return cli_print_json(json);
	net_print_one(json, stdout);
	json_decref(json);
	return 0;
}

/* One that cannot be made does not keep the others down. */
static int net_start(struct action_call *c)
{
	json_t *all = net_show_all(&c->paths.dirs, c->e), *one;
	int first = all ? 0 : c->e->code;
	size_t i;

	json_array_foreach(all, i, one)
	{
		const char *name = json_string_value(json_object_get(one, "name"));
		struct err e = { 0 };
		struct netdef def;
		int rc = netdef_load(&def, c->paths.defs, name ? name : "", &e);

		if (rc == 0)
			rc = network_up(&c->paths.dirs, &def, &e);
		if (rc < 0 && first == 0)
			first = err_set(c->e, rc, "%s", e.text);
	}
	json_decref(all);
	return first;
}

static int net_repair(struct action_call *c)
{
	int nr = network_repair(&c->paths.dirs, c->e);

	if (nr < 0)
		return nr;
	if (c->o->json)
		return cli_print_json(json_pack("{s:i}", "repaired", nr));
	if (nr == 0)
		(void)puts("nothing was wrong");
	else
		(void)printf("%d thing%s put right\n", nr, nr == 1 ? "" : "s");
	return 0;
}

/* --- forwards --- */

static int list_forwards(struct action_call *c, const char *name)
{
	struct netdef def;
	json_t *all;
	int rc = netdef_load(&def, c->paths.defs, name, c->e);

	if (rc < 0)
		return rc;
	all = json_array();
	for (unsigned i = 0; i < def.nr_forwards; i++) {
		char text[96];

		(void)net_forward_format(&def.forwards[i], text);
		if (c->o->json)
			(void)json_array_append_new(all, json_string(text));
		else
			(void)puts(text);
	}
	if (c->o->json)
		return cli_print_json(all);
	json_decref(all);
	return 0;
}

/* forward add NAME RULE, forward delete NAME RULE, forward list NAME */
static int net_forward(struct action_call *c)
{
	const char *verb = c->cli->arg2, *name = c->cli->more[0];
	bool add = strcmp(verb, "add") == 0, list = strcmp(verb, "list") == 0;

	if (!add && !list && strcmp(verb, "delete") != 0)
		return err_set(c->e, -EINVAL, "forward: '%.40s' is none of add, delete, list",
			       verb);
	if (c->cli->nr_more != (list ? 1 : 2))
		return err_set(c->e, -EINVAL, "forward: write 'forward %s NAME%s'", verb,
			       list ? "" : " RULE");
	if (list)
		return list_forwards(c, name);
	return network_change_forwards(&c->paths.dirs, name,
				       add ? netdef_add_forward : netdef_del_forward,
				       c->cli->more[1], c->e);
}

/* --- the command line --- */

static const struct action {
	const char *name;
	unsigned min_words, max_words; /* after it */
	int (*fn)(struct action_call *c);
} actions[] = {
	{ "create", 1, 1, net_create },   { "list", 0, 0, net_list },
	{ "show", 1, 1, net_show },       { "delete", 1, 1, net_delete },
	{ "forward", 2, 3, net_forward }, { "repair", 0, 0, net_repair },
	{ "start", 0, 0, net_start },
};

static const struct action *find_action(const char *name, struct err *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(actions[i].name, name) == 0)
			return &actions[i];
	}
	(void)err_set(e, -EINVAL,
		      "'%.40s' is none of create, list, show, delete, forward, repair, "
		      "start",
		      name);
	return NULL;
}

/* How many words an action has is its matter. 0 or -EINVAL. */
static int check_words(const struct cli *cli, const struct action *action, struct err *e)
{
	unsigned nr = (cli->arg2 != NULL) + cli->nr_more;

	if (nr < action->min_words)
		return err_set(e, -EINVAL, "%s: %s", action->name,
			       action->min_words > 1 ? "write 'forward add|delete|list NAME [RULE]'"
						     : "the network's name is missing");
	if (nr <= action->max_words)
		return 0;
	if (action->max_words == 0)
		return err_set(e, -EINVAL, "%s: takes no name", action->name);
	return err_set(e, -EINVAL, "'%.80s' is one argument too many", cli->more[nr - 2]);
}

static int act(const struct cli *cli, const struct net_options *o)
{
	struct err e = { 0 };
	struct action_call c = { .cli = cli, .o = o, .e = &e };
	const struct action *action = find_action(cli->arg, &e);
	int rc;

	if (action && check_words(cli, action, &e) < 0)
		action = NULL;
	if (!action)
		return cli_usage(cli->cmd, &e);
	rc = network_paths_get(&c.paths, &e);
	if (rc == 0)
		rc = action->fn(&c);
	if (rc >= 0)
		return rc;
	return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
}

int network_command(const struct cli *cli)
{
	struct net_options o = { 0 };
	struct err e = { 0 };
	int status;

	if (cli_apply(cli, &o, &e) < 0)
		status = cli_usage(cli->cmd, &e);
	else
		status = act(cli, &o);
	fields_free(net_fields, net_nr_fields, &o);
	return status;
}
