// SPDX-License-Identifier: MIT
// `ferry teleport`: begin, follow, cancel or continue the move of a guest to another host.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/address.h"
#include "migration/report.h"
#include "migration/tls.h"
#include "util/clock.h"
#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/duration.h"
#include "vmm/cli/teleport.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 10
#define POLL_MS         100U
#define END_TIMEOUT_S   15U
/* Whom a client without --tls-ca trusts: where Debian's GnuTLS looks, too. */
#define SYSTEM_CAS "/etc/ssl/certs/ca-certificates.crt"

static const char *const clock_choices[] = { "real", "continue", NULL };
static const char *const timeout_choices[] = { "cancel", "switch", NULL };

#define OPT(member) offsetof(struct teleport_cli, member)

const struct field teleport_fields[] = {
	{ "stopped", &field_flag, OPT(stopped), .help = "pause the guest first" },
	{ "streams", &field_uint, OPT(streams), .arg = "N", .help = "connections for memory (1)",
	  .min = 1, .max = 16 },
	{ "max-downtime", &field_milliseconds, OPT(max_downtime_ms), .arg = "TIME",
	  .help = "pause no longer than that (300ms)", .min = 1, .max = MAX_DOWNTIME_MS },
	{ "bandwidth", &field_bytes, OPT(bandwidth), .arg = "SIZE", .help = "most bytes a second" },
	{ "compress", &field_string, OPT(compress), .arg = "HOW",
	  .help = "none (default), lz4 or zstd[:LEVEL]" },
	{ "auto-converge", &field_flag, OPT(auto_converge),
	  .help = "slow the guest down if it writes faster than can be sent" },
	{ "timeout", &field_uint, OPT(timeout_s), .arg = "SECONDS",
	  .help = "how long passes may go on" },
	{ "on-timeout", &field_choice, OPT(on_timeout), .arg = "ACTION",
	  .help = "cancel (default), or switch: hand over whatever the downtime",
	  .choices = timeout_choices },
	{ "clock", &field_choice, OPT(clock), .arg = "HOW",
	  .help = "real (default): the guest's clocks count the downtime; continue: they do not",
	  .choices = clock_choices },
	{ "verify", &field_flag, OPT(verify),
	  .help = "compare all memory on both sides before the hand-over" },
	{ "hold", &field_string, OPT(hold), .arg = "PHASE",
	  .help = "stop at that phase until --continue" },
	{ "report", &field_string, OPT(report), .arg = "FILE",
	  .help = "write how it went to FILE.svg, .json or .csv" },
	{ "tls-ca", &field_string, OPT(tls_ca), .arg = "FILE",
	  .help = "who may have issued the destination's certificate" },
	{ "tls-cert", &field_string, OPT(tls_cert), .arg = "FILE", .help = "our certificate" },
	{ "tls-key", &field_string, OPT(tls_key), .arg = "FILE", .help = "our key" },
	{ "tls-psk-file", &field_string, OPT(tls_psk), .arg = "FILE",
	  .help = "pre-shared keys instead of certificates" },
	{ "tls-name", &field_string, OPT(tls_name), .arg = "NAME",
	  .help = "whom the destination's certificate must name (its host)" },
	{ "wait", &field_flag, OPT(wait), .help = "follow it to the end (default)" },
	{ "detach", &field_flag, OPT(detach), .help = "begin it, and come back" },
	{ "cancel", &field_flag, OPT(cancel), .help = "give the teleport of NAME up" },
	{ "status", &field_flag, OPT(status), .help = "tell how far the teleport of NAME is" },
	{ "continue", &field_flag, OPT(cont), .help = "go on from the phase where it is held" },
	{ "json", &field_flag, OPT(json), .help = "print the result as JSON" },
};
const size_t teleport_nr_fields = ARRAY_SIZE(teleport_fields);

/* --- to the guest's process --- */

/* It may stand in another directory. */
static int absolute(const char *path, char *buf, size_t len, struct err *e)
{
	char cwd[2048] = "";

	if (*path != '/' && !getcwd(cwd, sizeof(cwd)))
		return err_set(e, -errno, "current directory: %s", strerror(errno));
	if ((size_t)snprintf(buf, len, "%s%s%s", cwd, *cwd ? "/" : "", path) >= len)
		return err_set(e, -ENAMETOOLONG, "%s: the path is too long", path);
	return 0;
}

/* The guest's process opens no files: argument @name is one of ours. NULL: none. */
static int add_file(struct control_client *c, json_t *args, const char *name, const char *path,
		    struct err *e)
{
	_cleanup_close_ int fd =
		path ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;

	if (!path)
		return 0;
	if (fd < 0)
		return err_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
	(void)json_object_set_new(args, name, json_sprintf("fd:%s", name));
	return client_pass_fd(c, name, fd, e);
}

static int add_files(struct control_client *c, json_t *args, const struct teleport_cli *o,
		     struct err *e)
{
	const struct tls_files files = {
		.cert = o->tls_cert,
		.key = o->tls_key,
		.ca = o->tls_ca,
		.psk = o->tls_psk,
	};
	const char *ca = o->tls_ca;
	struct tls_credentials *creds;
	int rc;

	if (!tls_wanted(&files))
		return 0;
	/* What is wrong with them is said here, with their names. */
	rc = tls_credentials_new(&creds, &files, false, e);
	if (rc < 0)
		return rc;
	tls_credentials_free(creds);
	if (!ca && !o->tls_psk)
		ca = SYSTEM_CAS;
	if ((rc = add_file(c, args, "tls-ca", ca, e)) < 0 ||
	    (rc = add_file(c, args, "tls-cert", o->tls_cert, e)) < 0 ||
	    (rc = add_file(c, args, "tls-key", o->tls_key, e)) < 0)
		return rc;
	return add_file(c, args, "tls-psk", o->tls_psk, e);
}

/* The guest's process has no resolver: it reads files, which confinement forbids. */
static int add_tcp(json_t *args, const char *dest, struct err *e)
{
	char numbers[sizeof(((struct address *)0)->numbers)];
	struct address a;
	int rc = address_parse(&a, dest, e);

	if (rc == 0)
		rc = address_resolve(&a, numbers, sizeof(numbers), e);
	if (rc < 0)
		return rc;
	(void)json_object_set_new(args, "uri", json_string(dest));
	(void)json_object_set_new(args, "addresses", json_string(numbers));
	return 0;
}

static int add_uri(json_t *args, const char *dest, struct err *e)
{
	static const char unix_prefix[] = "unix:";
	char path[4096], uri[4096 + sizeof(unix_prefix)];
	int rc;

	if (strncmp(dest, unix_prefix, strlen(unix_prefix)) != 0)
		return add_tcp(args, dest, e);
	rc = absolute(dest + strlen(unix_prefix), path, sizeof(path), e);
	if (rc < 0)
		return rc;
	(void)snprintf(uri, sizeof(uri), "%s%s", unix_prefix, path);
	(void)json_object_set_new(args, "uri", json_string(uri));
	return 0;
}

/* "zstd:7" is the name and the level. */
static int add_compress(json_t *args, const char *text, struct err *e)
{
	size_t len = text ? strcspn(text, ":") : 0;
	const char *level = text && text[len] ? text + len + 1 : NULL;

	if (!text)
		return 0;
	if (level && (!*level || strspn(level, "0123456789") != strlen(level) || strlen(level) > 2))
		return err_set(e, -EINVAL, "--compress: '%s' is not none, lz4 or zstd[:LEVEL]",
			       text);
	(void)json_object_set_new(args, "compress", json_stringn(text, len));
	if (level)
		(void)json_object_set_new(args, "compress-level",
					  json_integer(strtol(level, NULL, 10)));
	return 0;
}

static json_t *make_args(struct control_client *c, const struct teleport_cli *o, const char *dest,
			 struct err *e)
{
	json_t *args = json_pack(
		"{s:b, s:i, s:i, s:I, s:b, s:i, s:s, s:s, s:b, s:s*, s:s*, s:b}", "stopped",
		o->stopped, "streams", (int)o->streams, "downtime-limit", (int)o->max_downtime_ms,
		"max-bandwidth", (json_int_t)o->bandwidth, "auto-converge", o->auto_converge,
		"timeout", (int)o->timeout_s, "on-timeout", timeout_choices[o->on_timeout], "clock",
		clock_choices[o->clock], "verify", o->verify, "hold", o->hold, "tls-name",
		o->tls_name, "report", o->report != NULL);

	if (!args) {
		(void)err_set(e, -ENOMEM, "out of memory");
		return NULL;
	}
	if (add_uri(args, dest, e) < 0 || add_compress(args, o->compress, e) < 0 ||
	    add_files(c, args, o, e) < 0) {
		json_decref(args);
		return NULL;
	}
	return args;
}

/* --- follow --- */

static volatile sig_atomic_t interrupts; /* Ctrl-C so far */

static void on_interrupt(int sig)
{
	(void)sig;
	interrupts++;
}

static void catch_interrupts(void)
{
	const struct sigaction sa = { .sa_handler = on_interrupt }; /* no SA_RESTART: poll ends */

	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
}

static const char *state_of(const json_t *st)
{
	const char *state = json_string_value(json_object_get(st, "status"));

	return state ? state : "none";
}

static bool is_over(const json_t *st)
{
	const char *state = state_of(st);

	return !strcmp(state, "completed") || !strcmp(state, "failed") ||
	       !strcmp(state, "cancelled") || !strcmp(state, "none");
}

/* The first Ctrl-C cancels; the second leaves. False: leave. */
static bool handle_interrupts(struct control_client *c, int *handled)
{
	struct err e;

	if (interrupts > *handled && interrupts == 1) {
		if (client_execute(c, "migrate_cancel", NULL, &e) < 0)
			(void)fprintf(stderr, "\nferry teleport: cannot cancel: %s\n", e.text);
		else
			(void)fprintf(stderr, "\nferry teleport: cancelling\n");
		*handled = 1;
	}
	return interrupts < 2;
}

/* Until it is over: the last answer to query-migrate. NULL with @e. */
static json_t *follow(struct control_client *c, const struct teleport_cli *o, struct err *e)
{
	struct teleport_progress progress = { .quiet = o->json };
	int handled = 0;
	json_t *st = NULL;

	while (handle_interrupts(c, &handled)) {
		json_decref(st);
		st = NULL;
		if (client_execute(c, "query-migrate", &st, e) < 0)
			return NULL;
		if (is_over(st))
			break;
		teleport_show_progress(&progress, st);
		if (client_wait_event(c, POLL_MS, e) < 0) {
			json_decref(st);
			st = NULL;
			break;
		}
	}
	teleport_end_progress(&progress);
	return st;
}

/* --- the end --- */

static int tell_failure(const struct cli *cli, const json_t *st)
{
	const char *state = state_of(st);
	const char *why = json_string_value(json_object_get(st, "error-desc"));

	if (!strcmp(state, "cancelled"))
		(void)fprintf(stderr, "ferry teleport: cancelled; %s goes on here\n", cli->arg);
	else if (!strcmp(state, "failed"))
		(void)fprintf(stderr, "ferry teleport: %s; %s goes on here\n", why ? why : "failed",
			      cli->arg);
	else if (!strcmp(state, "handover-unknown"))
		(void)fprintf(stderr,
			      "ferry teleport: nobody answers who knows whether %s runs at the "
			      "destination (%s); it stays paused here\n",
			      cli->arg, why ? why : "no answer");
	else
		(void)fprintf(stderr, "ferry teleport: not waiting any longer; it is %s\n", state);
	return CLI_FAILED;
}

/* The guest is where it is, whatever becomes of the file: that is only said. */
static void write_report(const struct teleport_cli *o, struct control_client *c)
{
	struct report r = { 0 };
	json_t *doc = NULL;
	struct err e;
	int rc = client_execute(c, "ferry-migrate-report", &doc, &e);

	if (rc == 0)
		rc = report_from_json(&r, doc, &e);
	if (rc == 0)
		rc = report_write(&r, o->report, &e);
	if (rc < 0)
		(void)fprintf(stderr, "ferry teleport: no report: %s\n", e.text);
	json_decref(doc);
	report_fini(&r);
}

/* Once nobody looks at it the process ends; then its name is free. */
static void see_it_end(struct control_client *c)
{
	struct err e;

	close_fd(&c->fd);
	(void)!client_wait_end(c, END_TIMEOUT_S, &e);
}

static int conclude(const struct cli *cli, const struct teleport_cli *o, struct control_client *c,
		    json_t *st)
{
	bool ok = !strcmp(state_of(st), "completed");
	int status;

	if (o->json)
		status = cli_print_json(json_incref(st));
	else
		status = ok ? teleport_print_summary(cli->arg, cli->arg2, st) : CLI_OK;
	if (o->report)
		write_report(o, c);
	if (ok)
		see_it_end(c);
	return ok ? status : tell_failure(cli, st);
}

static int begin(const struct cli *cli, const struct teleport_cli *o, struct control_client *c,
		 struct err *e)
{
	json_t *args = make_args(c, o, cli->arg2, e);
	json_t *st;
	int rc;

	if (!args)
		return -EINVAL;
	catch_interrupts();
	rc = client_execute_with(c, "migrate", args, NULL, e);
	if (rc < 0 || o->detach)
		return rc;
	st = follow(c, o, e);
	if (!st)
		return -EPIPE;
	rc = conclude(cli, o, c, st);
	json_decref(st);
	return rc;
}

/* --cancel, --status, --continue. */
static int ask(const struct cli *cli, const struct teleport_cli *o, struct control_client *c,
	       struct err *e)
{
	json_t *st = NULL;
	int rc = 0;

	if (o->cancel)
		rc = client_execute(c, "migrate_cancel", NULL, e);
	else if (o->cont)
		rc = client_execute(c, "migrate-continue", NULL, e);
	else
		rc = client_execute(c, "query-migrate", &st, e);
	if (rc < 0 || !st)
		return rc;
	rc = o->json ? cli_print_json(json_incref(st)) : teleport_print_status(cli->arg, st);
	json_decref(st);
	return rc;
}

static int check_usage(const struct cli *cli, const struct teleport_cli *o, struct err *e)
{
	int asks = o->cancel + o->status + o->cont;

	if (asks > 1)
		return err_set(e, -EINVAL, "--cancel, --status and --continue exclude each other");
	if (asks && cli->arg2)
		return err_set(e, -EINVAL, "DESTINATION is given only to begin a teleport");
	if (!asks && !cli->arg2)
		return err_set(e, -EINVAL, "DESTINATION is missing");
	if (o->report && (asks || o->detach))
		return err_set(e, -EINVAL, "--report is for whoever waits for the end");
	if (o->report && report_check_name(o->report, e) < 0)
		return e->code;
	if (o->wait && o->detach)
		return err_set(e, -EINVAL, "--wait and --detach exclude each other");
	return 0;
}

static int teleport(const struct cli *cli, const struct teleport_cli *o)
{
	struct control_client c;
	struct err e = { 0 };
	int rc = client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e);

	if (rc < 0)
		return cli_fail(cli, &e);
	if (o->cancel || o->status || o->cont)
		rc = ask(cli, o, &c, &e);
	else
		rc = begin(cli, o, &c, &e);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : rc;
}

int cli_teleport(const struct cli *cli)
{
	struct teleport_cli o = { .streams = 1, .max_downtime_ms = 300 };
	struct err e;
	int status;

	if (cli_apply(cli, &o, &e) < 0 || check_usage(cli, &o, &e) < 0)
		status = cli_usage(cli->cmd, &e);
	else
		status = teleport(cli, &o);
	fields_free(teleport_fields, teleport_nr_fields, &o);
	return status;
}
