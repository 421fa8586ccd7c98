// SPDX-License-Identifier: MIT
// `ferry state`.
#include <stdio.h>

#include "migration/file.h"
#include "vmm/cli/cli.h"
#include "vmm/move/state.h"

struct state_options {
	bool json, verify;
};

#define STATE(member) offsetof(struct state_options, member)

const struct field state_fields[] = {
	{ "verify", &field_flag, STATE(verify),
	  .help = "compare the checksums of memory too, which reads all of it" },
	{ "json", &field_flag, STATE(json), .help = "print JSON, with all values in full" },
};
const size_t state_nr_fields = ARRAY_SIZE(state_fields);

static int show(const struct cli *cli, const struct state_options *o, struct file_reader *r)
{
	struct err e = { 0 };
	json_t *state = state_to_json(r, &e);
	int rc = state ? 0 : e.code;

	if (rc == 0 && o->verify)
		rc = file_reader_verify(r, &e);
	if (rc < 0) {
		json_decref(state);
		(void)err_prefix(&e, "%s", cli->arg);
		return cli_fail(cli, &e);
	}
	if (o->json)
		return cli_print_json(state);
	state_print(state, stdout);
	json_decref(state);
	if (o->verify)
		(void)puts("memory: all checksums are right");
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cli_state(const struct cli *cli)
{
	struct state_options o = { 0 };
	struct file_reader *r = NULL;
	struct err e = { 0 };
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (file_reader_open(&r, cli->arg, &e) < 0)
		return cli_fail(cli, &e);
	rc = show(cli, &o, r);
	file_reader_close(r);
	return rc;
}
