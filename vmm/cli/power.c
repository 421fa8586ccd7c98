// SPDX-License-Identifier: MIT
// Sub-commands that stop, start, poke and end guests.
#include "vmm/cli/power.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/guests.h"
#include "vmm/cli/remote.h"

/* More than a guest's process may take for its orderly end, see run_signals.h. */
#define END_TIMEOUT_S 10

const struct field guests_fields[] = { GUESTS_FIELDS };
const size_t guests_nr_fields = ARRAY_SIZE(guests_fields);

struct shutdown_options {
	struct guests_options guests;
	bool wait;
};

const struct field shutdown_fields[] = {
	GUESTS_FIELDS,
	{ "wait", &field_flag, offsetof(struct shutdown_options, wait),
	  .help = "return when that is done" },
};
const size_t shutdown_nr_fields = ARRAY_SIZE(shutdown_fields);

struct resume_options {
	struct guests_options guests;
	bool force;
};

const struct field resume_fields[] = {
	GUESTS_FIELDS,
	{ "force", &field_flag, offsetof(struct resume_options, force),
	  .help = "the guest runs nowhere else, whatever ferry fears" },
};
const size_t resume_nr_fields = ARRAY_SIZE(resume_fields);

/* --- one command, nothing else --- */

static int execute(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	(void)ret;
	return client_execute(c, opaque, NULL, e);
}

static int simple(const struct cli *cli, const char *command)
{
	struct guests_options o = { 0 };
	char name[32];
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	(void)snprintf(name, sizeof(name), "%s", command);
	return guests_each(cli, &o, execute, name);
}

int cli_pause(const struct cli *cli)
{
	return simple(cli, "stop");
}

int cli_reset(const struct cli *cli)
{
	return simple(cli, "system_reset");
}

int cli_nmi(const struct cli *cli)
{
	return simple(cli, "inject-nmi");
}

static int resume(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	const struct resume_options *o = opaque;

	(void)ret;
	return client_execute_with(c, "cont", json_pack("{s:b}", "force", o->force), NULL, e);
}

int cli_resume(const struct cli *cli)
{
	struct resume_options o = { 0 };
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	return guests_each(cli, &o.guests, resume, &o);
}

int cli_sysrq(const struct cli *cli)
{
	return remote_execute(cli, "ferry-sysrq", json_pack("{s:s}", "key", cli->arg2));
}

/* --- the power button --- */

static int wait_all(const struct cli *cli, struct control_client *clients, unsigned nr)
{
	struct err e;
	int status = CLI_OK;

	for (unsigned i = 0; i < nr; i++) {
		if (client_wait_end(&clients[i], 0, &e) < 0)
			status = cli_fail(cli, &e);
	}
	return status;
}

/* All buttons first, so that the guests shut down at the same time. */
struct shutdown {
	const struct shutdown_options *o;
	struct control_client *kept; /* of those to wait for */
	unsigned nr;
};

static int press(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	struct shutdown *s = opaque;
	int rc = client_execute(c, "system_powerdown", NULL, e);
	struct control_client *kept;

	(void)ret;
	if (rc < 0 || !s->o->wait)
		return rc;
	kept = reallocarray(s->kept, s->nr + 1, sizeof(*kept));
	if (!kept)
		return err_set(e, -ENOMEM, "out of memory");
	s->kept = kept;
	kept[s->nr++] = *c;
	*c = (struct control_client){ .fd = -1, .pidfd = -1 };
	return 0;
}

int cli_shutdown(const struct cli *cli)
{
	struct shutdown_options o = { 0 };
	struct shutdown s = { .o = &o };
	struct err e;
	int status, waited;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	status = guests_each(cli, &o.guests, press, &s);
	waited = wait_all(cli, s.kept, s.nr);
	for (unsigned i = 0; i < s.nr; i++)
		client_close(&s.kept[i]);
	free(s.kept);
	return status == CLI_OK ? waited : status;
}

/* Until it starts again; it may also be that it ends, by another's wish. */
static int wait_reset(struct control_client *c, struct err *e)
{
	static const char *const names[] = { "RESET", NULL };
	unsigned which;
	json_t *data = client_next_of(c, names, &which, e);

	json_decref(data);
	return data ? 0 : e->code;
}

static int reboot(struct control_client *c, void *opaque, json_t **ret, struct err *e)
{
	const struct shutdown_options *o = opaque;
	int rc = client_execute(c, "ferry-reboot", NULL, e);

	(void)ret;
	return rc == 0 && o->wait ? wait_reset(c, e) : rc;
}

int cli_reboot(const struct cli *cli)
{
	struct shutdown_options o = { 0 };
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	return guests_each(cli, &o.guests, reboot, &o);
}

/* --- the end --- */

/* Ask it to quit, and see it end. */
static int quit_guest(struct control_client *c, struct err *e)
{
	int rc = client_negotiate(c, e);

	if (rc == 0)
		rc = client_execute(c, "quit", NULL, e);
	/* It may have hung up before it said so. */
	return rc == 0 || rc == -EPIPE ? client_wait_end(c, END_TIMEOUT_S, e) : rc;
}

static int kill_guest(const char *name, const struct control_client *c, struct err *e)
{
	int rc;

	(void)fprintf(stderr, "ferry destroy: %s does not answer: killed\n", name);
	rc = client_kill(c, e);
	return rc < 0 ? rc : client_wait_end(c, GUESTS_REPLY_TIMEOUT_S, e);
}

static int destroy(const char *name, struct err *e)
{
	struct control_client c;
	int rc = client_connect(&c, name, GUESTS_REPLY_TIMEOUT_S, e);

	if (rc < 0)
		return rc;
	rc = quit_guest(&c, e);
	if (rc == -ETIMEDOUT)
		rc = kill_guest(name, &c, e);
	client_close(&c);
	return rc;
}

int cli_destroy(const struct cli *cli)
{
	struct guests_options o = { 0 };
	json_t *done = json_array();
	int status = CLI_OK, rc;
	struct guests g = { 0 };
	struct err e;

	rc = cli_apply(cli, &o, &e);
	if (rc == 0)
		rc = guests_find(cli, o.all, &g, &e);
	if (rc < 0)
		status = rc == -ENOENT ? cli_fail(cli, &e) : cli_usage(cli->cmd, &e);
	for (unsigned i = 0; rc == 0 && i < g.nr; i++) {
		if (destroy(g.names[i], &e) < 0)
			status = cli_fail(cli, &e);
		else
			(void)json_array_append_new(done, json_string(g.names[i]));
	}
	guests_free(&g);
	if (o.json && rc == 0 && cli_print_json(json_incref(done)) != CLI_OK)
		status = CLI_FAILED;
	json_decref(done);
	return status;
}
