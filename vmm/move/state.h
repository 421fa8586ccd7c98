/* SPDX-License-Identifier: MIT */
/* `ferry state`: what is in a saved guest, for people. */
#ifndef FERRY_VMM_MOVE_STATE_H
#define FERRY_VMM_MOVE_STATE_H

#include <jansson.h>
#include <stdio.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"

struct file_reader;
struct vstate_table;

extern const struct field state_fields[];
extern const size_t state_nr_fields;

/*
 * Every table whose parts are in saved state: what is not here has no names in
 * `ferry state`, and no fixture among the tests. Ends with NULL.
 */
extern const struct vstate_table *const state_tables[];

/* The table called @name, or NULL. */
const struct vstate_table *state_find_table(const char *name);

/*
 * All of the saved file @r as one object: header, sections with their place,
 * parts and fields. A section that cannot be taken apart is shown with its reason.
 * NULL with @e: a damaged file, or no memory.
 */
json_t *state_to_json(struct file_reader *r, struct err *e);

/* The same object as text, a line for each thing: offset, size, name and value. */
void state_print(const json_t *state, FILE *out);

#endif
