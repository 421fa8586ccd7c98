// SPDX-License-Identifier: MIT
// `ferry save` and `ferry restore`.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "util/log.h"
#include "util/new_file.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/guard.h"
#include "vmm/control/client.h"
#include "vmm/move/restore.h"
#include "vmm/move/save_options.h"

#define REPLY_TIMEOUT_S 5

/* --- save --- */

static const char *const compress_choices[] = { "none", "zstd", NULL };

#define SAVE(member) offsetof(struct save_options, member)

const struct field save_fields[] = {
	{ "keep-running", &field_flag, SAVE(keep_running),
	  .help = "let the guest go on afterwards; otherwise it ends" },
	{ "compress", &field_choice, SAVE(compress), .arg = "HOW", .help = "none (default) or zstd",
	  .choices = compress_choices },
	{ "force", &field_flag, SAVE(force), .help = "replace a file that is there" },
	{ "json", &field_flag, SAVE(json), .help = "print JSON" },
};
const size_t save_nr_fields = ARRAY_SIZE(save_fields);

/*
 * The guest's process opens no files: it writes to ours, which gets its name when it is
 * complete, and only then may a guest end that shall not go on.
 */
static int begin(struct control_client *c, const struct new_file *file,
		 const struct save_options *o, struct err *e)
{
	json_t *args =
		json_pack("{s:s, s:b, s:s*}", "file", "fd:file", "keep-running", o->keep_running,
			  "compress", o->compress ? compress_choices[o->compress] : NULL);

	return client_execute_on_fd(c, "ferry-save", args, "file", file->fd, e);
}

/* The data of event @name, or NULL with what the one says that comes instead of it, in @e. */
static json_t *wait_for(struct control_client *c, const char *name, struct err *e)
{
	const char *const names[] = { "SAVE_FAILED", name, NULL };
	unsigned which;
	json_t *data = client_next_of(c, names, &which, e);

	if (!data || which > 0)
		return data;
	(void)err_set(e, -EIO, "%s", json_string_value(json_object_get(data, "desc")));
	json_decref(data);
	return NULL;
}

/* Whoever goes on must not be in a file as well, as if he had not. */
static int finish(struct control_client *c, const struct new_file *file, struct err *e)
{
	int rc = client_execute(c, "ferry-save-finish", NULL, e);

	if (rc == -EREMOTEIO)
		(void)unlink(file->path);
	return rc;
}

/* What has been saved: a new reference, or NULL with @e. */
static json_t *save(struct control_client *c, struct new_file *file, const struct save_options *o,
		    struct err *e)
{
	json_t *data = NULL;
	int rc;

	cli_guard_file(file);
	rc = begin(c, file, o, e);
	if (rc == 0)
		data = wait_for(c, o->keep_running ? "SAVE_COMPLETED" : "SAVE_WRITTEN", e);
	rc = data ? new_file_commit(file, e) : -EIO;
	if (rc == 0 && !o->keep_running)
		rc = finish(c, file, e);
	/* It is saved; its name is free when its process has gone. */
	if (rc == 0 && !o->keep_running)
		rc = client_wait_end(c, 0, e);
	if (rc == 0)
		return data;
	json_decref(data);
	return NULL;
}

static int print_saved(const struct cli *cli, const struct save_options *o, json_t *data)
{
	json_int_t bytes = json_integer_value(json_object_get(data, "data-bytes"));

	if (o->json)
		return cli_print_json(data);
	(void)printf("%s: saved to %s: %.1f MiB, stopped for %.1f ms%s\n", cli->arg, cli->arg2,
		     (double)bytes / (double)MIB,
		     json_real_value(json_object_get(data, "paused-ms")),
		     o->keep_running ? ", goes on" : "");
	json_decref(data);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cli_save(const struct cli *cli)
{
	struct save_options o = { 0 };
	struct control_client c;
	struct new_file file;
	json_t *data = NULL;
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	if (new_file_open(&file, cli->arg2, o.force, &e) == 0)
		data = save(&c, &file, &o, &e);
	new_file_drop(&file);
	client_close(&c);
	return data ? print_saved(cli, &o, data) : cli_fail(cli, &e);
}

/* --- restore --- */

static const char *const clock_choices[] = { "real", "continue", NULL };

static const struct field map_fields[] = {
	{ "map", &field_string, 0, .arg = "MAP", .help = "disk:ID=PATH or net:ID=BACKEND[,...]" },
};

static const struct field_record map_record = {
	.what = "map",
	.bytes = sizeof(char *),
	.fields = map_fields,
	.nr_fields = ARRAY_SIZE(map_fields),
	.max_items = CLI_MAX_OPTIONS,
};

#define RESTORE(member) offsetof(struct restore_options, member)

const struct field restore_fields[] = {
	{ "name", &field_string, RESTORE(name), .arg = "NAME",
	  .help = "what the guest is called from now on" },
	{ "map", &field_texts, RESTORE(maps), .arg = "MAP",
	  .help = "disk:ID=PATH or net:ID=BACKEND[,...]: what it has here instead",
	  .record = &map_record },
	{ "new-macs", &field_flag, RESTORE(new_macs), .help = "derive its MACs from its name" },
	{ "clock", &field_choice, RESTORE(clock), .arg = "HOW",
	  .help = "real (default): with the time since; continue: without",
	  .choices = clock_choices },
	{ "console", &field_string, RESTORE(console), .arg = "WHERE",
	  .help = "stdio, pty, file:PATH, unix:PATH or none (as it was)" },
	{ "paused", &field_flag, RESTORE(paused), .help = "do not let it run yet" },
	{ "ephemeral", &field_flag, RESTORE(ephemeral), .help = "leave nothing behind" },
	{ "timeout", &field_uint, RESTORE(timeout_s), .arg = "SECONDS",
	  .help = "end the guest after so long, with status 124" },
	{ "hugepages", &field_flag, RESTORE(hugepages), .help = "back RAM by 2 MiB huge pages" },
	SANDBOX_FIELDS(RESTORE(sandbox)),
	{ "json", &field_flag, RESTORE(json),
	  .help = "report start and end as JSON on standard error" },
	{ "verbose", &field_flag, RESTORE(verbose), .letter = 'v', .help = "log more" },
};
const size_t restore_nr_fields = ARRAY_SIZE(restore_fields);

int cli_restore(const struct cli *cli)
{
	struct restore_options o = { 0 };
	struct err e;
	int rc;

	if (cli_apply(cli, &o, &e) < 0) {
		rc = cli_usage(cli->cmd, &e);
	} else {
		log_init(o.verbose ? LOG_DEBUG : LOG_INFO, o.name ? o.name : "restore");
		rc = restore_guest(cli->arg, &o, &e);
		if (rc < 0)
			rc = cli_fail(cli, &e);
	}
	fields_free(restore_fields, restore_nr_fields, &o);
	return rc;
}
