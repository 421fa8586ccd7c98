/* SPDX-License-Identifier: MIT */
/* Sub-commands for several guests at once: names, patterns, --all. */
#ifndef FERRY_VMM_CLI_GUESTS_H
#define FERRY_VMM_CLI_GUESTS_H

#include <stdbool.h>

#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

/* The first member of such a command's options, and its fields in their table. */
struct guests_options {
	bool all, json;
};

#define GUESTS_FIELDS                                                                              \
	{ "all", &field_flag, offsetof(struct guests_options, all), .help = "all guests" },        \
	{                                                                                          \
		"json", &field_flag, offsetof(struct guests_options, json), .help = "print JSON"   \
	}

/* How long a guest has for each reply. */
#define GUESTS_REPLY_TIMEOUT_S 5

struct guests {
	char **names;
	unsigned nr;
	bool one; /* a single name was given, no pattern */
};

/*
 * The guests that the command's words name, each once: a name as it is, or a pattern
 * (glob(7)) of those that run. 0, or -errno with @e: -EINVAL where there is no word and no
 * --all, -ENOENT where a pattern fits none. guests_free() releases them in any case.
 */
__must_check int guests_find(const struct cli *cli, bool all, struct guests *ret, struct err *e);
void guests_free(struct guests *g);

/*
 * Connect to each of them in turn and call @fn, which may put what it found into *@ret.
 * Failures are told and the others go on; with --json what comes out is printed as an
 * object for a single name, else as an array of {"name", "return" or "error"}. Returns the
 * exit status.
 */
int guests_each(const struct cli *cli, const struct guests_options *o,
		int (*fn)(struct control_client *c, void *opaque, json_t **ret, struct err *e),
		void *opaque);

#endif
