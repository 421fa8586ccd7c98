// SPDX-License-Identifier: MIT
// query-log: the last lines that ferry has logged.
#include "vmm/control/log.h"

#include <string.h>

#include "util/clock.h"
#include "vmm/control/control.h"

const struct control_arg control_log_args[] = {
	{ "after", JSON_INTEGER, true, .help = "only lines with a higher number", .min = 0,
	  .max = INT64_MAX },
	{ "follow", JSON_TRUE, true, .help = "tell later lines by `LOG`" },
	{ 0 },
};

const struct control_arg control_log_data[] = {
	{ "nr", JSON_INTEGER, false, .help = "from 1" },
	{ "seconds", JSON_INTEGER, false, .help = "since 1970" },
	{ "microseconds", JSON_INTEGER, false, .help = "of them" },
	{ "level", JSON_STRING, false, .help = "`error`, `warning`, `info` or `debug`" },
	{ "text", JSON_STRING, false, .help = "the line" },
	{ 0 },
};

json_t *control_log_line(const struct log_line *line)
{
	json_t *text = json_string(line->text);

	/* A file's name need not be UTF-8, and a long line may be cut within a character. */
	if (!text) {
		char safe[LOG_TEXT_BYTES];

		memcpy(safe, line->text, sizeof(safe));
		for (char *p = safe; *p; p++)
			*p = *p & 0x80 ? '?' : *p;
		text = json_string(safe);
	}
	return json_pack("{s:I, s:I, s:I, s:s, s:o}", "nr", (json_int_t)line->nr, "seconds",
			 (json_int_t)(line->wall_ns / NSEC_PER_SEC), "microseconds",
			 (json_int_t)(line->wall_ns % NSEC_PER_SEC / NSEC_PER_USEC), "level",
			 log_level_names[line->level], "text", text);
}

int control_cmd_log(struct control_call *c)
{
	uint64_t after = (uint64_t)json_integer_value(json_object_get(c->args, "after"));
	struct log_line line;

	c->ret = json_array();
	while (log_next(after, &line)) {
		after = line.nr;
		(void)json_array_append_new(c->ret, control_log_line(&line));
	}
	if (json_is_true(json_object_get(c->args, "follow")))
		c->session->log_after = after;
	return 0;
}
