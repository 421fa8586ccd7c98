// SPDX-License-Identifier: MIT
// `ferry dump-core`.
#include "vmm/cli/dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5

struct dump_options {
	bool live, paging, force, json;
};

#define DUMP(member) offsetof(struct dump_options, member)

const struct field dump_fields[] = {
	{ "live", &field_flag, DUMP(live), .help = "let the guest go on while memory is written" },
	{ "paging", &field_flag, DUMP(paging),
	  .help = "add the virtual addresses that the first vCPU sees" },
	{ "force", &field_flag, DUMP(force), .help = "replace a file that is there" },
	{ "json", &field_flag, DUMP(json), .help = "print JSON" },
};
const size_t dump_nr_fields = ARRAY_SIZE(dump_fields);

static int begin(struct control_client *c, const char *path, const struct dump_options *o,
		 struct err *e)
{
	_cleanup_free_ char *absolute = NULL;
	int rc = cli_absolute_path(path, &absolute);
	json_t *args;

	if (rc < 0)
		return err_set(e, rc, "%s: %s", path, strerror(-rc));
	args = json_pack("{s:s++, s:b, s:b, s:b, s:b}", "protocol", "file:", absolute, "", "live",
			 o->live, "paging", o->paging, "force", o->force, "detach", 1);
	if (!args)
		return err_set(e, -EINVAL, "%s: the name is not UTF-8", path);
	return client_execute_with(c, "dump-guest-memory", args, NULL, e);
}

/* The data of DUMP_COMPLETED, a new reference, or NULL with @e. */
static json_t *wait_dumped(struct control_client *c, struct err *e)
{
	json_t *data = NULL;
	const char *error;

	while (!data) {
		json_t *event;

		if (client_next_event(c, &event, e) < 0)
			return NULL;
		if (!strcmp(json_string_value(json_object_get(event, "event")), "DUMP_COMPLETED"))
			data = json_incref(json_object_get(event, "data"));
		json_decref(event);
	}
	error = json_string_value(json_object_get(data, "error"));
	if (!error)
		return data;
	(void)err_set(e, -EIO, "%s", error);
	json_decref(data);
	return NULL;
}

static int print_dumped(const struct cli *cli, const struct dump_options *o, json_t *data)
{
	json_int_t bytes = json_integer_value(json_object_get(data, "data-bytes"));

	if (o->json)
		return cli_print_json(data);
	(void)printf("%s: core dumped to %s: %.1f MiB\n", cli->arg, cli->arg2,
		     (double)bytes / (double)MIB);
	json_decref(data);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cli_dump_core(const struct cli *cli)
{
	struct dump_options o = { 0 };
	struct control_client c;
	json_t *data = NULL;
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	if (begin(&c, cli->arg2, &o, &e) == 0)
		data = wait_dumped(&c, &e);
	client_close(&c);
	return data ? print_dumped(cli, &o, data) : cli_fail(cli, &e);
}
