// SPDX-License-Identifier: MIT
// Sub-commands for several guests at once: names, patterns, --all.
#include "vmm/cli/guests.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/guest/runtime.h"

/* --- finding them --- */

static bool is_pattern(const char *word)
{
	return strpbrk(word, "*?[") != NULL;
}

static int add(struct guests *g, const char *name, struct err *e)
{
	char **names;

	for (unsigned i = 0; i < g->nr; i++) {
		if (!strcmp(g->names[i], name))
			return 0;
	}
	names = reallocarray(g->names, g->nr + 1, sizeof(*names));
	if (!names)
		return err_set(e, -ENOMEM, "out of memory");
	g->names = names;
	names[g->nr] = strdup(name);
	if (!names[g->nr])
		return err_set(e, -ENOMEM, "out of memory");
	g->nr++;
	return 0;
}

static int add_matching(struct guests *g, const char *word, struct err *e)
{
	char **names;
	int nr = runtime_names(&names, e), rc = nr < 0 ? nr : 0;
	bool found = false;

	if (nr < 0)
		return nr;
	for (int i = 0; rc == 0 && i < nr; i++) {
		if (fnmatch(word, names[i], 0) == 0) {
			found = true;
			rc = add(g, names[i], e);
		}
	}
	runtime_free_names(names, nr);
	if (rc == 0 && !found && strcmp(word, "*") != 0)
		return err_set(e, -ENOENT, "no guest's name is like '%s': see 'ferry list'", word);
	return rc;
}

int guests_find(const struct cli *cli, bool all, struct guests *ret, struct err *e)
{
	int rc = 0;

	*ret = (struct guests){ .one = !all && cli->arg && !cli->nr_more && !is_pattern(cli->arg) };
	if (all && cli->arg)
		return err_set(e, -EINVAL, "--all goes without names");
	if (all)
		return add_matching(ret, "*", e);
	if (!cli->arg)
		return err_set(e, -EINVAL, "NAME is missing");
	for (unsigned i = 0; rc == 0 && i <= cli->nr_more; i++) {
		const char *word = i ? cli->more[i - 1] : cli->arg;

		rc = is_pattern(word) ? add_matching(ret, word, e) : add(ret, word, e);
	}
	return rc;
}

void guests_free(struct guests *g)
{
	for (unsigned i = 0; i < g->nr; i++)
		free(g->names[i]);
	free(g->names);
	*g = (struct guests){ 0 };
}

/* --- one after the other --- */

static json_t *outcome(const char *name, int rc, json_t *found, const struct err *e)
{
	if (rc < 0)
		return json_pack("{s:s, s:s}", "name", name, "error", e->text);
	return json_pack("{s:s, s:o}", "name", name, "return", found ? found : json_object());
}

static int print(const struct guests *g, json_t *outcomes)
{
	json_t *only;

	if (!g->one)
		return cli_print_json(outcomes);
	only = json_incref(json_object_get(json_array_get(outcomes, 0), "return"));
	json_decref(outcomes);
	return only ? cli_print_json(only) : CLI_FAILED;
}

int guests_each(const struct cli *cli, const struct guests_options *o,
		int (*fn)(struct control_client *c, void *opaque, json_t **ret, struct err *e),
		void *opaque)
{
	json_t *outcomes = json_array();
	int status = CLI_OK, rc;
	struct guests g;
	struct err e;

	rc = guests_find(cli, o->all, &g, &e);
	if (rc < 0) {
		json_decref(outcomes);
		guests_free(&g);
		return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	}
	for (unsigned i = 0; i < g.nr; i++) {
		struct control_client c;
		json_t *found = NULL;

		rc = client_open(&c, g.names[i], GUESTS_REPLY_TIMEOUT_S, &e);
		if (rc == 0) {
			rc = fn(&c, opaque, &found, &e);
			client_close(&c);
		}
		if (rc < 0) {
			if (!g.one)
				(void)err_prefix(&e, "%s", g.names[i]);
			status = cli_fail(cli, &e);
		}
		(void)json_array_append_new(outcomes, outcome(g.names[i], rc, found, &e));
	}
	if (o->json)
		rc = print(&g, outcomes);
	else
		json_decref(outcomes);
	guests_free(&g);
	return o->json && rc != CLI_OK ? rc : status;
}
