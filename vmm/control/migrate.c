// SPDX-License-Identifier: MIT
// The control socket's commands about teleport: arguments to options, and back.
#include "vmm/control/migrate.h"

#include <errno.h>
#include <string.h>

#include "migration/hello.h"
#include "util/clock.h"
#include "vmm/move/run_mover.h"
#include "vmm/move/teleport.h"

#define DEFAULT_DOWNTIME_MS 300
#define MAX_DOWNTIME_MS     (24LL * 3600 * 1000)
#define MAX_TIMEOUT_S       (30LL * 24 * 3600)
#define MAX_LEVEL           22

/* In the order of enum ram_compress. */
static const char *const compressions[] = { "none", "lz4", "zstd", NULL };
static const char *const clocks[] = { "real", "continue", NULL };
static const char *const on_timeouts[] = { "cancel", "switch", NULL };

const struct control_arg control_migrate_args[] = {
	{ "uri", JSON_STRING, false, .help = "where to: `tcp:HOST:PORT` or `unix:PATH`" },
	{ "addresses", JSON_STRING, true,
	  .help = "what HOST stands for, with commas between; it is not looked up here" },
	{ "downtime-limit", JSON_INTEGER, true, .help = "milliseconds (300)", .min = 1,
	  .max = MAX_DOWNTIME_MS },
	{ "max-bandwidth", JSON_INTEGER, true, .help = "bytes a second; 0: no limit", .min = 0,
	  .max = INT64_MAX },
	{ "streams", JSON_INTEGER, true, .help = "connections for memory (1)", .min = 1,
	  .max = RAM_MAX_STREAMS },
	{ "compress", JSON_STRING, true, .help = "memory on the wire", .choices = compressions },
	{ "compress-level", JSON_INTEGER, true, .help = "of zstd", .min = 0, .max = MAX_LEVEL },
	{ "auto-converge", JSON_TRUE, true, .help = "slow the vCPUs down if need be" },
	{ "stopped", JSON_TRUE, true, .help = "pause first" },
	{ "verify", JSON_TRUE, true, .help = "compare all memory before the hand-over" },
	{ "clock", JSON_STRING, true, .help = "what the guest's clock does", .choices = clocks },
	{ "timeout", JSON_INTEGER, true, .help = "seconds that the passes may take", .min = 0,
	  .max = MAX_TIMEOUT_S },
	{ "on-timeout", JSON_STRING, true, .help = "what then", .choices = on_timeouts },
	{ "hold", JSON_STRING, true, .help = "phases to stop at, with commas between them" },
	{ "report", JSON_TRUE, true, .help = "collect for `ferry-migrate-report`" },
	{ "tls-ca", JSON_STRING, true,
	  .help = CONTROL_FD_ARG_HELP ": who may have issued the peer's certificate" },
	{ "tls-cert", JSON_STRING, true, .help = "the same: our certificate" },
	{ "tls-key", JSON_STRING, true, .help = "the same: our key" },
	{ "tls-psk", JSON_STRING, true, .help = "the same: pre-shared keys" },
	{ "tls-name", JSON_STRING, true, .help = "whom the peer's certificate must name" },
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

static json_int_t number_arg(const struct control_call *c, const char *name, json_int_t def)
{
	const json_t *value = json_object_get(c->args, name);

	return value ? json_integer_value(value) : def;
}

/* The index of the argument in its @choices; 0 where it is not given. */
static unsigned choice_arg(const struct control_call *c, const char *name,
			   const char *const *choices)
{
	const char *text = text_arg(c, name);

	for (unsigned i = 0; text && choices[i]; i++) {
		if (!strcmp(text, choices[i]))
			return i;
	}
	return 0;
}

/* The argument that is called @name, if it is given. */
static const char *file_arg(const struct control_call *c, const char *name)
{
	return text_arg(c, name) ? name : NULL;
}

static int open_file(void *opaque, const char *name, struct err *e)
{
	struct control_call *c = opaque;

	(void)e; /* it is the call's */
	return control_take_fd_arg(c, name);
}

int control_cmd_migrate(struct control_call *c)
{
	struct teleport_options o = {
		.dest = text_arg(c, "uri"),
		.numbers = text_arg(c, "addresses"),
		.tls_name = text_arg(c, "tls-name"),
		.tls = { .ca = file_arg(c, "tls-ca"),
			 .cert = file_arg(c, "tls-cert"),
			 .key = file_arg(c, "tls-key"),
			 .psk = file_arg(c, "tls-psk"),
			 .open = open_file,
			 .opaque = c },
		.source = { .stopped = flag_arg(c, "stopped"),
			    .auto_converge = flag_arg(c, "auto-converge"),
			    .verify = flag_arg(c, "verify"),
			    .clock_real = choice_arg(c, "clock", clocks) == 0 },
		.timeout_s = (unsigned)number_arg(c, "timeout", 0),
		.timeout_switches = choice_arg(c, "on-timeout", on_timeouts) == 1,
		.report = flag_arg(c, "report"),
	};
	int rc = phase_parse_set(text_arg(c, "hold"), &o.source.hold, c->e);

	o.source.max_downtime_ns =
		(uint64_t)number_arg(c, "downtime-limit", DEFAULT_DOWNTIME_MS) * NSEC_PER_MSEC;
	o.source.nr_streams = (unsigned)number_arg(c, "streams", 1);
	o.source.ram.bandwidth_bytes = (uint64_t)number_arg(c, "max-bandwidth", 0);
	o.source.ram.level = (int)number_arg(c, "compress-level", 0);
	o.source.ram.compress = (enum ram_compress)choice_arg(c, "compress", compressions);
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
