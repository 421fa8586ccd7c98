// SPDX-License-Identifier: MIT
// `ferry log`: what a guest's process has logged.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/tune.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5

/* In the order of enum log_level. */
static const char *const levels[] = { "error", "warning", "info", "debug", NULL };

struct log_options {
	bool follow, json;
	unsigned level;
};

const struct field log_fields[] = {
	{ "follow", &field_flag, offsetof(struct log_options, follow), .letter = 'f',
	  .help = "go on with what comes, until the guest ends" },
	{ "level", &field_choice, offsetof(struct log_options, level), .arg = "LEVEL",
	  .help = "no more than error, warning, info, or debug (default)", .choices = levels },
	{ "json", &field_flag, offsetof(struct log_options, json),
	  .help = "print each line as JSON" },
};
const size_t log_nr_fields = ARRAY_SIZE(log_fields);

static bool is_wanted(const struct log_options *o, const char *level)
{
	for (unsigned i = 0; i <= o->level; i++) {
		if (!strcmp(levels[i], level))
			return true;
	}
	return false;
}

static void print_line(const struct log_options *o, const json_t *line)
{
	const char *level = json_string_value(json_object_get(line, "level"));
	const char *text = json_string_value(json_object_get(line, "text"));
	time_t when = (time_t)json_integer_value(json_object_get(line, "seconds"));
	char stamp[32] = "";
	struct tm tm;

	if (!level || !text || !is_wanted(o, level))
		return;
	if (o->json) {
		(void)json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
		(void)putchar('\n');
		return;
	}
	if (localtime_r(&when, &tm))
		(void)strftime(stamp, sizeof(stamp), "%F %T", &tm);
	(void)printf("%s.%06" JSON_INTEGER_FORMAT " %-7s %s\n", stamp,
		     json_integer_value(json_object_get(line, "microseconds")), level, text);
}

/* Until the guest hangs up, or nobody reads what is printed. */
static int follow(struct control_client *c, const struct log_options *o, struct err *e)
{
	int rc = 0;

	while (rc == 0 && fflush(stdout) == 0) {
		json_t *event;

		rc = client_next_event(c, &event, e);
		if (rc < 0)
			break;
		if (client_says(event, "event", "LOG"))
			print_line(o, json_object_get(event, "data"));
		json_decref(event);
	}
	return rc == -EPIPE ? 0 : rc;
}

int cli_log(const struct cli *cli)
{
	struct log_options o = { .level = ARRAY_SIZE(levels) - 2 };
	struct control_client c;
	json_t *lines = NULL, *line;
	struct err e;
	size_t i;
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = client_execute_with(&c, "query-log", json_pack("{s:b}", "follow", o.follow), &lines,
				 &e);
	json_array_foreach(lines, i, line)
	{
		print_line(&o, line);
	}
	json_decref(lines);
	if (rc == 0 && o.follow)
		rc = follow(&c, &o, &e);
	client_close(&c);
	if (rc < 0)
		return cli_fail(cli, &e);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
