// SPDX-License-Identifier: MIT
// `ferry dump-core`.
#include "vmm/cli/dump.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/new_file.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/guard.h"
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

/* The guest's process opens no files: it writes to ours. */
static int begin(struct control_client *c, const struct new_file *file,
		 const struct dump_options *o, struct err *e)
{
	json_t *args = json_pack("{s:s, s:b, s:b, s:b}", "protocol", "fd:file", "live", o->live,
				 "paging", o->paging, "detach", 1);

	return client_execute_on_fd(c, "dump-guest-memory", args, "file", file->fd, e);
}

/* The data of DUMP_COMPLETED, a new reference, or NULL with @e. */
static json_t *wait_dumped(struct control_client *c, struct err *e)
{
	static const char *const names[] = { "DUMP_COMPLETED", NULL };
	unsigned which;
	json_t *data = client_next_of(c, names, &which, e);
	const char *error;

	if (!data)
		return NULL;
	error = json_string_value(json_object_get(data, "error"));
	if (!error)
		return data;
	(void)err_set(e, -EIO, "%s", error);
	json_decref(data);
	return NULL;
}

/* What has been dumped: a new reference, or NULL with @e. */
static json_t *dump(struct control_client *c, struct new_file *file, const struct dump_options *o,
		    struct err *e)
{
	json_t *data;

	cli_guard_file(file);
	data = begin(c, file, o, e) == 0 ? wait_dumped(c, e) : NULL;
	if (!data || new_file_commit(file, e) == 0)
		return data;
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
	struct new_file file;
	json_t *data = NULL;
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	if (new_file_open(&file, cli->arg2, o.force, &e) == 0)
		data = dump(&c, &file, &o, &e);
	new_file_drop(&file);
	client_close(&c);
	return data ? print_dumped(cli, &o, data) : cli_fail(cli, &e);
}
