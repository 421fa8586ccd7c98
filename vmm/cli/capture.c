// SPDX-License-Identifier: MIT
// `ferry capture`: its options; the rest is done by ferry-capture.
#include "vmm/cli/capture.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "net/capture.h"
#include "util/helper.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/duration.h"

#define DAY_MS (24U * 3600 * 1000)

struct capture_cli {
	char *file, *filter;
	unsigned snaplen, duration_ms;
	uint64_t count;
};

#define OPT(member) offsetof(struct capture_cli, member)

const struct field capture_fields[] = {
	{ "write", &field_string, OPT(file), .arg = "FILE", .letter = 'w',
	  .help = "the capture file to write, pcapng; - is standard output" },
	{ "filter", &field_string, OPT(filter), .arg = "FILTER",
	  .help = "only frames that pass it: 'tcp port 22', see pcap-filter(7)" },
	{ "snaplen", &field_uint, OPT(snaplen), .arg = "BYTES",
	  .help = "keep no more of each frame (262144)", .min = CAPTURE_MIN_SNAPLEN,
	  .max = CAPTURE_MAX_SNAPLEN },
	{ "count", &field_number, OPT(count), .arg = "N", .help = "end after so many frames",
	  .min = 1 },
	{ "duration", &field_seconds, OPT(duration_ms), .arg = "TIME",
	  .help = "end after that time: 10s", .min = 1, .max = DAY_MS },
};
const size_t capture_nr_fields = ARRAY_SIZE(capture_fields);

/* Become ferry-capture. -errno with @e. */
static int become(const struct cli *cli, const struct capture_cli *o, struct err *e)
{
	char snaplen[16], count[24], duration[16];
	const char *const args[] = {
		cli->arg, cli->arg2 ? cli->arg2 : "",
		o->file,  o->filter ? o->filter : "",
		snaplen,  count,
		duration, NULL,
	};

	(void)snprintf(snaplen, sizeof(snaplen), "%u", o->snaplen);
	(void)snprintf(count, sizeof(count), "%" PRIu64, o->count);
	(void)snprintf(duration, sizeof(duration), "%u", o->duration_ms);
	return helper_exec("ferry-capture", args, e);
}

int cli_capture(const struct cli *cli)
{
	struct capture_cli o = { .snaplen = CAPTURE_MAX_SNAPLEN };
	struct err e;
	int status;

	if (cli_apply(cli, &o, &e) < 0) {
		status = cli_usage(cli->cmd, &e);
	} else if (!o.file) {
		(void)err_set(&e, -EINVAL, "nowhere to: give --write FILE.pcapng");
		status = cli_usage(cli->cmd, &e);
	} else {
		status = become(cli, &o, &e) < 0 ? cli_fail(cli, &e) : CLI_OK;
	}
	fields_free(capture_fields, capture_nr_fields, &o);
	return status;
}
