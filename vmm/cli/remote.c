// SPDX-License-Identifier: MIT
// Sub-commands that ask guests: list, info, uptime, metrics; and rename.
#include "vmm/cli/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/cli/guests.h"
#include "vmm/control/survey.h"

#define LIST_TIMEOUT_MS 2000

const struct field plain_fields[] = {
	{ "json", &field_flag, offsetof(struct plain_options, json), .help = "print JSON" },
};
const size_t plain_nr_fields = ARRAY_SIZE(plain_fields);

/* --- list and info --- */

static json_int_t get_int(const json_t *info, const char *key)
{
	return json_integer_value(json_object_get(info, key));
}

static const char *get_string(const json_t *info, const char *key)
{
	const char *value = json_string_value(json_object_get(info, key));

	return value ? value : "-";
}

/* "42s", "17m", "5h", "12d" */
static void show_uptime(const json_t *info, char *buf, size_t len)
{
	static const struct {
		uint64_t seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	uint64_t s = (uint64_t)json_real_value(json_object_get(info, "uptime_s"));
	unsigned i = 0;

	while (i < ARRAY_SIZE(units) - 1 && s < 2 * units[i].seconds)
		i++;
	(void)snprintf(buf, len, "%" PRIu64 "%c", s / units[i].seconds, units[i].unit);
}

static void print_list_row(const json_t *info)
{
	char uptime[32];

	show_uptime(info, uptime, sizeof(uptime));
	if (!json_object_get(info, "pid")) {
		(void)printf("%-24s %-15s\n", get_string(info, "name"), get_string(info, "status"));
		return;
	}
	(void)printf("%-24s %-15s %8" PRIu64 " %5" PRIu64 " %7" PRIu64 "M %7s\n",
		     get_string(info, "name"), get_string(info, "status"),
		     (uint64_t)get_int(info, "pid"), (uint64_t)get_int(info, "vcpus"),
		     (uint64_t)(get_int(info, "memory") >> 20), uptime);
}

/* What a guest says of itself. NULL: it has just ended. */
static json_t *list_row(const char *name, const struct survey_answer *a)
{
	if (a->returned[0])
		return json_incref(a->returned[0]);
	if (a->error == -ENOENT || a->error == -EPIPE)
		return NULL;
	return json_pack("{s:s, s:s}", "name", name, "status", "no answer");
}

/* All of @g into @array. */
static int ask_guests(const struct cli *cli, const struct guests *g, json_t *array, struct err *e)
{
	static const char *const question[] = { "ferry-info" };
	struct survey_answer *answers = calloc(g->nr + 1, sizeof(*answers));
	int rc = answers ? survey_ask(g->names, g->nr, question, 1, LIST_TIMEOUT_MS, answers)
			 : -ENOMEM;

	if (rc < 0)
		(void)err_set(e, rc, "out of memory");
	for (unsigned i = 0; rc == 0 && i < g->nr; i++) {
		json_t *row = list_row(g->names[i], &answers[i]);

		if (row)
			(void)json_array_append_new(array, row);
		else if (g->one)
			rc = err_set(e, -ENOENT, "no guest called %s is running", cli->arg);
	}
	if (answers)
		survey_forget(answers, g->nr);
	free(answers);
	return rc;
}

int cli_list(const struct cli *cli)
{
	struct guests_options o = { 0 };
	json_t *array = json_array();
	struct guests g = { 0 };
	struct err e = { 0 };
	int rc = cli_apply(cli, &o, &e);

	if (rc == 0)
		rc = guests_find(cli, o.all || !cli->arg, &g, &e);
	if (rc == 0)
		rc = ask_guests(cli, &g, array, &e);
	guests_free(&g);
	if (rc < 0) {
		json_decref(array);
		return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	}
	if (o.json)
		return cli_print_json(array);
	(void)printf("%-24s %-15s %8s %5s %8s %7s\n", "NAME", "STATUS", "PID", "VCPUS", "MEMORY",
		     "UPTIME");
	for (size_t i = 0; i < json_array_size(array); i++)
		print_list_row(json_array_get(array, i));
	json_decref(array);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

/* One line for each setting or counter: "console.readers  1". */
static void print_tree(const char *prefix, const json_t *json)
{
	_cleanup_free_ char *text = NULL;
	const char *key;
	json_t *value;
	size_t index;
	char path[256];

	if (json_is_object(json) && json_object_size(json)) {
		json_object_foreach((json_t *)(uintptr_t)json, key, value)
		{
			(void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "",
				       key);
			print_tree(path, value);
		}
	} else if (json_is_array(json) && json_array_size(json)) {
		json_array_foreach(json, index, value)
		{
			(void)snprintf(path, sizeof(path), "%s.%zu", prefix, index);
			print_tree(path, value);
		}
	} else {
		text = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
		(void)printf("%-28s %s\n", prefix,
			     json_is_string(json) ? json_string_value(json)
			     : text               ? text
						  : "");
	}
}

static int tell_info(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	const struct guests_options *o = opaque;
	int rc = client_execute(c, "ferry-info", ret, e);

	if (rc == 0 && !o->json)
		print_tree("", *ret);
	return rc;
}

int cli_info(const struct cli *cli)
{
	struct guests_options o = { 0 };
	struct err e;
	int status;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	status = guests_each(cli, &o, tell_info, &o);
	return fflush(stdout) == 0 ? status : CLI_FAILED;
}

static int tell_uptime(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	const struct guests_options *o = opaque;
	json_t *all = NULL;
	int rc = client_execute(c, "ferry-info", &all, e);
	uint64_t s;

	if (rc < 0)
		return rc;
	*ret = json_pack("{s:O}", "uptime_s", json_object_get(all, "uptime_s"));
	s = (uint64_t)json_real_value(json_object_get(all, "uptime_s"));
	if (!o->json)
		(void)printf("%-24s %3" PRIu64 " days, %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 "\n",
			     get_string(all, "name"), s / 86400, s / 3600 % 24, s / 60 % 60,
			     s % 60);
	json_decref(all);
	return 0;
}

int cli_uptime(const struct cli *cli)
{
	struct guests_options o = { 0 };
	struct err e;
	int status;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	status = guests_each(cli, &o, tell_uptime, &o);
	return fflush(stdout) == 0 ? status : CLI_FAILED;
}

/* --- one guest --- */

/* The reply to @command; *@ret_json: that is what shall be printed. Returns the exit status. */
static int ask(const struct cli *cli, const char *command, json_t *args, json_t **ret,
	       bool *ret_json)
{
	struct plain_options o = { 0 };
	struct control_client c;
	struct err e;
	int rc = cli_apply(cli, &o, &e);

	if (rc < 0) {
		json_decref(args);
		return cli_usage(cli->cmd, &e);
	}
	*ret_json = o.json;
	rc = client_open(&c, cli->arg, GUESTS_REPLY_TIMEOUT_S, &e);
	if (rc < 0) {
		json_decref(args);
		return cli_fail(cli, &e);
	}
	rc = client_execute_with(&c, command, args, ret, &e);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

int remote_execute(const struct cli *cli, const char *command, json_t *args)
{
	json_t *reply = NULL;
	bool json = false;
	int status = ask(cli, command, args, &reply, &json);

	if (status == CLI_OK && json)
		return cli_print_json(reply);
	json_decref(reply);
	return status;
}

int cli_rename(const struct cli *cli)
{
	return remote_execute(cli, "ferry-rename", json_pack("{s:s}", "name", cli->arg2));
}

/* Each sample by its name with its labels, as a number. */
static json_t *samples(const char *text)
{
	json_t *all = json_object();

	while (*text) {
		size_t len = strcspn(text, "\n"), name;
		const char *value = memrchr(text, ' ', len);

		if (*text != '#' && value) {
			name = (size_t)(value - text);
			(void)json_object_setn_new(all, text, name, json_real(strtod(value, NULL)));
		}
		text += len + (text[len] == '\n');
	}
	return all;
}

int cli_metrics(const struct cli *cli)
{
	json_t *reply = NULL;
	const char *text;
	bool json = false;
	int status = ask(cli, "ferry-metrics", NULL, &reply, &json);

	if (status != CLI_OK)
		return status;
	text = json_string_value(json_object_get(reply, "text"));
	if (text && json)
		status = cli_print_json(samples(text));
	else
		status = text && fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? CLI_OK
										 : CLI_FAILED;
	json_decref(reply);
	return status;
}
