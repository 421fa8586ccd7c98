// SPDX-License-Identifier: MIT
// Sub-commands that talk to a running guest: list, info, pause, ...
#include "vmm/cli/remote.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/control/client.h"
#include "vmm/guest/runtime.h"

#define REPLY_TIMEOUT_S 5
/* More than a guest's process may take for its orderly end, see run_signals.h. */
#define END_TIMEOUT_S  10
#define LIST_TIMEOUT_S 2

const struct field plain_fields[] = {
	{ "json", &field_flag, offsetof(struct plain_options, json), .help = "print JSON" },
};
const size_t plain_nr_fields = ARRAY_SIZE(plain_fields);

const struct field shutdown_fields[] = {
	{ "wait", &field_flag, offsetof(struct shutdown_options, wait),
	  .help = "return when the guest has ended" },
};
const size_t shutdown_nr_fields = ARRAY_SIZE(shutdown_fields);

const struct field resume_fields[] = {
	{ "force", &field_flag, offsetof(struct resume_options, force),
	  .help = "the guest runs nowhere else, whatever ferry fears" },
};
const size_t resume_nr_fields = ARRAY_SIZE(resume_fields);

/* Execute one command on the guest that was named. 0 or -errno with @e. */
static int execute_once(const struct cli *cli, const char *command, json_t **ret, struct err *e)
{
	struct control_client c;
	int rc = client_open(&c, cli->arg, REPLY_TIMEOUT_S, e);

	if (rc < 0)
		return rc;
	rc = client_execute(&c, command, ret, e);
	client_close(&c);
	return rc;
}

static int simple(const struct cli *cli, const char *command)
{
	struct err e;

	return execute_once(cli, command, NULL, &e) < 0 ? cli_fail(cli, &e) : CLI_OK;
}

int cli_pause(const struct cli *cli)
{
	return simple(cli, "stop");
}

int cli_resume(const struct cli *cli)
{
	struct resume_options o = { 0 };
	struct control_client c;
	struct err e;
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	rc = client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e);
	if (rc < 0)
		return cli_fail(cli, &e);
	rc = client_execute_with(&c, "cont", json_pack("{s:b}", "force", o.force), NULL, &e);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

int cli_reset(const struct cli *cli)
{
	return simple(cli, "system_reset");
}

int cli_shutdown(const struct cli *cli)
{
	struct shutdown_options o = { 0 };
	struct control_client c;
	struct err e;
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = client_execute(&c, "system_powerdown", NULL, &e);
	if (rc == 0 && o.wait)
		rc = client_wait_end(&c, 0, &e);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

/* Ask it to quit, and see it end. */
static int quit_guest(struct control_client *c, struct err *e)
{
	int rc = client_negotiate(c, e);

	if (rc == 0)
		rc = client_execute(c, "quit", NULL, e);
	/* It may have hung up before it said so. */
	return rc == 0 || rc == -EPIPE ? client_wait_end(c, END_TIMEOUT_S, e) : rc;
}

static int kill_guest(const struct cli *cli, const struct control_client *c, struct err *e)
{
	int rc;

	(void)fprintf(stderr, "ferry destroy: %s does not answer: killed\n", cli->arg);
	rc = client_kill(c, e);
	return rc < 0 ? rc : client_wait_end(c, REPLY_TIMEOUT_S, e);
}

int cli_destroy(const struct cli *cli)
{
	struct control_client c;
	struct err e;
	int rc;

	if (client_connect(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = quit_guest(&c, &e);
	if (rc == -ETIMEDOUT)
		rc = kill_guest(cli, &c, &e);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

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

/* What @name says of itself. NULL: it has just ended. */
static json_t *ask_guest(const char *name)
{
	struct control_client c;
	json_t *info = NULL;
	struct err e;
	int rc = client_open(&c, name, LIST_TIMEOUT_S, &e);

	if (rc == 0) {
		rc = client_execute(&c, "ferry-info", &info, &e);
		client_close(&c);
	}
	if (rc == 0 || rc == -ENOENT || rc == -EPIPE)
		return info;
	return json_pack("{s:s, s:s}", "name", name, "status", "no answer");
}

int cli_list(const struct cli *cli)
{
	struct plain_options o = { 0 };
	json_t *array = json_array();
	struct err e = { 0 };
	char **names;
	json_t *info;
	int nr;

	if (cli_apply(cli, &o, &e) < 0) {
		json_decref(array);
		return cli_usage(cli->cmd, &e);
	}
	nr = runtime_names(&names, &e);
	if (nr < 0) {
		json_decref(array);
		return cli_fail(cli, &e);
	}
	for (int i = 0; i < nr; i++) {
		info = ask_guest(names[i]);
		if (info)
			(void)json_array_append_new(array, info);
	}
	runtime_free_names(names, nr);
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

int cli_info(const struct cli *cli)
{
	struct plain_options o = { 0 };
	struct err e;
	json_t *info;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (execute_once(cli, "ferry-info", &info, &e) < 0)
		return cli_fail(cli, &e);
	if (o.json)
		return cli_print_json(info);
	print_tree("", info);
	json_decref(info);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cli_metrics(const struct cli *cli)
{
	const char *text;
	json_t *ret;
	struct err e;
	int status;

	if (execute_once(cli, "ferry-metrics", &ret, &e) < 0)
		return cli_fail(cli, &e);
	text = json_string_value(json_object_get(ret, "text"));
	status = text && fputs(text, stdout) >= 0 && fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	json_decref(ret);
	return status;
}
