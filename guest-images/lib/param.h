/* SPDX-License-Identifier: MIT */
/* The command line: words `key` and `key=value`, separated by spaces. */
#ifndef GUEST_PARAM_H
#define GUEST_PARAM_H

#include <stdbool.h>
#include <stdint.h>

/* The value of a key: "" for a word without one, NULL without the word. The last one wins. */
const char *param_get(const char *key);

/*
 * The value as a number, decimal or 0x hexadecimal, with a suffix K, M or G;
 * `otherwise` without the word. What is not a number ends the guest.
 */
uint64_t param_number(const char *key, uint64_t otherwise);

/* Whether `word` is the value of key: param_is("crash", "hlt"). */
bool param_is(const char *key, const char *word);

/* Called once by the runtime; keeps a copy. */
void param_init(const char *cmdline);

#endif
