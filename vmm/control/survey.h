/* SPDX-License-Identifier: MIT */
/* The same questions to several guests at once, none of which can delay the others' answers. */
#ifndef FERRY_VMM_CONTROL_SURVEY_H
#define FERRY_VMM_CONTROL_SURVEY_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

#define SURVEY_MAX_COMMANDS 2U

struct survey_answer {
	/*
	 * 0; -ENOENT, -EPIPE: it has just ended; -ETIMEDOUT: it did not answer the first
	 * question in time; another -errno: it could not be asked.
	 */
	int error;
	uint64_t at_ns; /* CLOCK_MONOTONIC of the first reply */
	/* What each command returned; NULL: nothing, in time. */
	json_t *returned[SURVEY_MAX_COMMANDS];
};

/*
 * Have each of the @nr guests called @names execute the @nr_commands @commands (at most
 * SURVEY_MAX_COMMANDS). All of them have @timeout_ms together. The @nr members of @ret are
 * filled in any case; survey_forget() releases what they hold. 0 or -ENOMEM.
 */
__must_check int survey_ask(char *const *names, size_t nr, const char *const *commands,
			    unsigned nr_commands, unsigned timeout_ms, struct survey_answer *ret);
void survey_forget(struct survey_answer *answers, size_t nr);

#endif
