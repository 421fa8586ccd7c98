// SPDX-License-Identifier: MIT
// The control socket's commands about teleport: arguments to options, and back.
#include "vmm/control/migrate.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "migration/hello.h"
#include "util/clock.h"
#include "vmm/move/run_mover.h"
#include "vmm/move/teleport.h"

#define DEFAULT_DOWNTIME_MS 300
#define MAX_DOWNTIME_MS     (24LL * 3600 * 1000)
#define MAX_TIMEOUT_S       (30LL * 24 * 3600)
#define MAX_LEVEL           22

const struct control_arg control_migrate_args[] = {
	{ "uri", JSON_STRING, false, "where to: tcp:HOST:PORT or unix:PATH" },
	{ "downtime-limit", JSON_INTEGER, true, "milliseconds (300)" },
	{ "max-bandwidth", JSON_INTEGER, true, "bytes a second; 0: no limit" },
	{ "streams", JSON_INTEGER, true, "connections for memory (1)" },
	{ "compress", JSON_STRING, true, "none (default), lz4 or zstd" },
	{ "compress-level", JSON_INTEGER, true, "of zstd" },
	{ "auto-converge", JSON_TRUE, true, "slow the vCPUs down if need be" },
	{ "stopped", JSON_TRUE, true, "pause first" },
	{ "verify", JSON_TRUE, true, "compare all memory before the hand-over" },
	{ "clock", JSON_STRING, true, "real (default) or continue" },
	{ "timeout", JSON_INTEGER, true, "seconds that the passes may take" },
	{ "on-timeout", JSON_STRING, true, "cancel (default) or switch" },
	{ "hold", JSON_STRING, true, "phases to stop at" },
	{ "report", JSON_TRUE, true, "collect for ferry-migrate-report" },
	{ "tls-ca", JSON_STRING, true, "file: who may have issued the peer's certificate" },
	{ "tls-cert", JSON_STRING, true, "file: our certificate" },
	{ "tls-key", JSON_STRING, true, "file: our key" },
	{ "tls-psk", JSON_STRING, true, "file: pre-shared keys" },
	{ "tls-name", JSON_STRING, true, "whom the peer's certificate must name" },
	{ 0 },
};

static const char *text_arg(const struct control_call *c, const char *name)
{
	return json_string_value(json_object_get(c->args, name));
}

static bool flag_arg(const struct control_call *c, const char *name)
{
	return json_is_true(json_object_get(c->args, name));
}

/* *@ret stays as it is where the argument is not given. */
static int number_arg(const struct control_call *c, const char *name, json_int_t min,
		      json_int_t max, json_int_t *ret)
{
	const json_t *value = json_object_get(c->args, name);

	if (!value)
		return 0;
	if (json_integer_value(value) < min || json_integer_value(value) > max)
		return err_set(c->e, -EINVAL,
			       "Parameter '%s' must be %" JSON_INTEGER_FORMAT
			       " to %" JSON_INTEGER_FORMAT,
			       name, min, max);
	*ret = json_integer_value(value);
	return 0;
}

/* The index of the argument in @choices; 0 where it is not given. */
static int choice_arg(const struct control_call *c, const char *name, const char *const *choices,
		      unsigned *ret)
{
	const char *text = text_arg(c, name);

	*ret = 0;
	for (unsigned i = 0; text && choices[i]; i++) {
		if (!strcmp(text, choices[i])) {
			*ret = i;
			return 0;
		}
	}
	return text ? err_set(c->e, -EINVAL, "Parameter '%s': '%.64s' is not known", name, text)
		    : 0;
}

static int parse_numbers(const struct control_call *c, struct teleport_options *o)
{
	json_int_t downtime = DEFAULT_DOWNTIME_MS, bandwidth = 0, streams = 1, level = 0;
	json_int_t timeout = 0;
	int rc;

	if ((rc = number_arg(c, "downtime-limit", 1, MAX_DOWNTIME_MS, &downtime)) < 0 ||
	    (rc = number_arg(c, "max-bandwidth", 0, INT64_MAX, &bandwidth)) < 0 ||
	    (rc = number_arg(c, "streams", 1, RAM_MAX_STREAMS, &streams)) < 0 ||
	    (rc = number_arg(c, "compress-level", 0, MAX_LEVEL, &level)) < 0 ||
	    (rc = number_arg(c, "timeout", 0, MAX_TIMEOUT_S, &timeout)) < 0)
		return rc;
	o->source.max_downtime_ns = (uint64_t)downtime * NSEC_PER_MSEC;
	o->source.ram.bandwidth_bytes = (uint64_t)bandwidth;
	o->source.nr_streams = (unsigned)streams;
	o->source.ram.level = (int)level;
	o->timeout_s = (unsigned)timeout;
	return 0;
}

static int parse_choices(const struct control_call *c, struct teleport_options *o)
{
	static const char *const compress[] = { "none", "lz4", "zstd", NULL };
	static const char *const clock[] = { "real", "continue", NULL };
	static const char *const on_timeout[] = { "cancel", "switch", NULL };
	unsigned value;
	int rc;

	rc = choice_arg(c, "compress", compress, &value);
	o->source.ram.compress = (enum ram_compress)value;
	if (rc == 0)
		rc = choice_arg(c, "clock", clock, &value);
	o->source.clock_real = value == 0;
	if (rc == 0)
		rc = choice_arg(c, "on-timeout", on_timeout, &value);
	o->timeout_switches = value == 1;
	return rc;
}

int control_cmd_migrate(struct control_call *c)
{
	struct teleport_options o = {
		.dest = text_arg(c, "uri"),
		.tls_name = text_arg(c, "tls-name"),
		.tls = { .ca = text_arg(c, "tls-ca"),
			 .cert = text_arg(c, "tls-cert"),
			 .key = text_arg(c, "tls-key"),
			 .psk = text_arg(c, "tls-psk") },
		.source = { .stopped = flag_arg(c, "stopped"),
			    .auto_converge = flag_arg(c, "auto-converge"),
			    .verify = flag_arg(c, "verify") },
		.report = flag_arg(c, "report"),
	};
	int rc = parse_numbers(c, &o);

	if (rc == 0)
		rc = parse_choices(c, &o);
	if (rc == 0)
		rc = phase_parse_set(text_arg(c, "hold"), &o.source.hold, c->e);
	return rc < 0 ? rc : teleport_start(c->opaque, &o, c->e);
}

int control_cmd_query_migrate(struct control_call *c)
{
	struct run_mover *mv = run_mover(c->opaque);

	c->ret = mv ? mv->ops->query(mv) : json_pack("{s:s}", "status", "none");
	return 0;
}

int control_cmd_migrate_report(struct control_call *c)
{
	struct run_mover *mv = run_mover(c->opaque);

	c->ret = mv && mv->ops->report ? mv->ops->report(mv) : NULL;
	return c->ret ? 0 : err_set(c->e, -EINVAL, "no report was asked for");
}

static struct run_mover *mover_of(const struct control_call *c)
{
	struct run_mover *mv = run_mover(c->opaque);

	if (!mv)
		(void)err_set(c->e, -EINVAL, "no teleport is under way");
	return mv;
}

int control_cmd_migrate_cancel(struct control_call *c)
{
	struct run_mover *mv = mover_of(c);

	return mv ? mv->ops->cancel(mv, c->e) : -EINVAL;
}

int control_cmd_migrate_continue(struct control_call *c)
{
	struct run_mover *mv = mover_of(c);

	return mv ? mv->ops->cont(mv, c->e) : -EINVAL;
}

int control_force_resume(struct control_call *c)
{
	struct run_mover *mv = mover_of(c);

	return mv ? mv->ops->force_resume(mv, c->e) : -EINVAL;
}
