// SPDX-License-Identifier: MIT
// `ferry plot`: record what a guest's nics and disks do, and draw it.
#include "vmm/cli/plot.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/duration.h"
#include "vmm/cli/plot_record.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5
#define HOUR_MS         (3600U * 1000)
#define LOOK_MS         250U /* how soon an interrupt is seen at the latest */
#define LIVE_NS         NSEC_PER_SEC

struct plot_options {
	unsigned interval_ms, duration_ms;
	char *output;
	bool json, csv, live;
};

#define OPT(member) offsetof(struct plot_options, member)

const struct field plot_fields[] = {
	{ "output", &field_string, OPT(output), .arg = "FILE", .letter = 'o',
	  .help = "write FILE.svg, .json or .csv" },
	{ "interval", &field_seconds, OPT(interval_ms), .arg = "TIME",
	  .help = "from one sample to the next (1s)", .min = 10, .max = HOUR_MS },
	{ "duration", &field_seconds, OPT(duration_ms), .arg = "TIME",
	  .help = "how long (10s); 0: until Ctrl-C", .max = 24U * HOUR_MS },
	{ "live", &field_flag, OPT(live), .help = "write FILE again each second" },
	{ "json", &field_flag, OPT(json), .help = "print the samples as JSON" },
	{ "csv", &field_flag, OPT(csv), .help = "print the samples as a table" },
};
const size_t plot_nr_fields = ARRAY_SIZE(plot_fields);

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static int write_file(const struct plot_options *o, const struct record *r, struct err *e)
{
	return o->output ? document_write(record_forms, r, o->output, e) : 0;
}

/* Until @until_ns, or an interrupt. -EPIPE with @e: the guest has gone. */
static int wait_until(struct control_client *c, uint64_t until_ns, struct err *e)
{
	uint64_t now;

	while (!interrupted && (now = clock_now_ns()) < until_ns) {
		uint64_t ms = (until_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
		int rc = client_wait_event(c, (unsigned)MIN(ms, (uint64_t)LOOK_MS), e);

		if (rc < 0)
			return rc;
	}
	return 0;
}

/*
 * Samples from now on until the end: 0. -EPIPE: that of the guest. Another -errno:
 * the file cannot be written. With @e.
 */
static int take_samples(const struct plot_options *o, struct record *r, struct control_client *c,
			struct err *e)
{
	uint64_t start = clock_now_ns(), next = start, shown = start;
	uint64_t end = o->duration_ms ? start + o->duration_ms * NSEC_PER_MSEC : UINT64_MAX;

	for (;;) {
		int rc = record_sample(r, c, e);

		if (rc < 0)
			return -EPIPE;
		if (interrupted || next >= end)
			return 0;
		if (o->live && clock_now_ns() - shown >= LIVE_NS) {
			shown = clock_now_ns();
			rc = write_file(o, r, e);
			if (rc < 0)
				return rc == -EPIPE ? -EIO : rc;
		}
		next = MIN(next + o->interval_ms * NSEC_PER_MSEC, end);
		if (wait_until(c, next, e) < 0)
			return -EPIPE;
	}
}

/* What was recorded, wherever it is to go. */
static int put_record(const struct plot_options *o, const struct record *r, struct err *e)
{
	int rc = write_file(o, r, e);

	if (rc == 0 && o->json)
		rc = record_put_json(r, stdout, e);
	if (rc == 0 && o->csv)
		rc = record_put_csv(r, stdout, e);
	if (rc == 0 && fflush(stdout) != 0)
		rc = err_set(e, -errno, "standard output: %s", strerror(errno));
	return rc;
}

static int plot(const struct cli *cli, const struct plot_options *o, struct record *r,
		struct control_client *c, struct err *e)
{
	const struct sigaction sa = { .sa_handler = on_interrupt }; /* no SA_RESTART: poll ends */
	int rc = record_init(r, cli->arg, cli->arg2, c, e);

	if (rc < 0)
		return rc;
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
	rc = take_samples(o, r, c, e);
	if (rc == -EPIPE && r->nr_samples) {
		(void)fprintf(stderr, "ferry plot: %s; this is what it did until then\n", e->text);
		rc = 0;
	}
	return rc < 0 ? rc : put_record(o, r, e);
}

static int check_usage(const struct plot_options *o, struct err *e)
{
	if (!o->output && !o->json && !o->csv)
		return err_set(e, -EINVAL, "nowhere to: give --output FILE.svg, --json or --csv");
	if (o->json && o->csv)
		return err_set(e, -EINVAL, "--json and --csv exclude each other");
	if (o->live && !o->output)
		return err_set(e, -EINVAL, "--live is for a file: give --output FILE.svg");
	return o->output ? document_check_name(record_forms, o->output, e) : 0;
}

static int run(const struct cli *cli, const struct plot_options *o)
{
	struct record r = { 0 };
	struct control_client c;
	struct err e;
	int rc = client_open(&c, cli->arg, REPLY_TIMEOUT_S, &e);

	if (rc < 0)
		return cli_fail(cli, &e);
	rc = plot(cli, o, &r, &c, &e);
	record_fini(&r);
	client_close(&c);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

int cli_plot(const struct cli *cli)
{
	struct plot_options o = { .interval_ms = 1000, .duration_ms = 10000 };
	struct err e;
	int status;

	if (cli_apply(cli, &o, &e) < 0 || check_usage(&o, &e) < 0)
		status = cli_usage(cli->cmd, &e);
	else
		status = run(cli, &o);
	fields_free(plot_fields, plot_nr_fields, &o);
	return status;
}
