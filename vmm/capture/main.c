// SPDX-License-Identifier: MIT
// ferry-capture: what `ferry capture` becomes once it has read its options.
//
// A program of its own because libpcap brings libraries that no guest needs.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "vmm/capture/capture.h"

enum { GUEST = 1, NIC, FILE_NAME, FILTER, SNAPLEN, COUNT, DURATION_MS, NR_ARGS };

/* The filter comes first: if it is wrong, nothing has happened. */
static int run(const struct capture_options *o, struct err *e)
{
	struct capture_source *source = NULL;
	struct capture_filter *filter;
	int rc = capture_filter_new(&filter, o->filter, e);

	if (rc == 0)
		rc = capture_source_open(&source, o, e);
	if (rc == 0)
		rc = capture_run(source, filter, o, e);
	if (source)
		capture_source_close(source);
	capture_filter_free(filter);
	return rc;
}

int main(int argc, char **argv)
{
	struct capture_options o;
	struct err e;

	if (argc != NR_ARGS) {
		(void)fputs("ferry-capture: a part of ferry: see 'ferry capture --help'\n", stderr);
		return 2;
	}
	o = (struct capture_options){
		.guest = argv[GUEST],
		.nic = argv[NIC],
		.path = argv[FILE_NAME],
		.filter = argv[FILTER],
		.snaplen = (uint32_t)strtoul(argv[SNAPLEN], NULL, 10),
		.count = strtoull(argv[COUNT], NULL, 10),
		.duration_ms = (unsigned)strtoul(argv[DURATION_MS], NULL, 10),
	};
	(void)signal(SIGPIPE, SIG_IGN);
	if (run(&o, &e) == 0)
		return 0;
	(void)fprintf(stderr, "ferry capture: %s\n", e.text);
	return 1;
}
