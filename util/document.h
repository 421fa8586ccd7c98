/* SPDX-License-Identifier: MIT */
/* Documents that a command writes for its user, in the form that their name asks for. */
#ifndef FERRY_UTIL_DOCUMENT_H
#define FERRY_UTIL_DOCUMENT_H

#include <stdio.h>

#include "util/compiler.h"
#include "util/err.h"

/* One form of a document; a table of them ends with a suffix of NULL. */
struct document_form {
	const char *suffix; /* ".svg" */
	/* Write @what to @out. 0, or -errno with @e. */
	int (*put)(const void *what, FILE *out, struct err *e);
	const char *helper; /* the program that it needs (util/helper.h); NULL: none */
};

/*
 * Can the file @path be written: does its name end with the suffix of a form, is the
 * form's program installed, its directory there? 0, or -errno with @e: -EINVAL, which
 * names the suffixes. Any thread, as all here.
 */
__must_check int document_check_name(const struct document_form *forms, const char *path,
				     struct err *e);

/* Write @what to @path, replacing what is there, or nothing at all. 0 or -errno with @e. */
__must_check int document_write(const struct document_form *forms, const void *what,
				const char *path, struct err *e);

#define DOCUMENT_PLOTTER "ferry-plot"

/* Let DOCUMENT_PLOTTER draw the JSON @text to @out. 0 or -errno with @e. */
__must_check int document_draw(const char *text, FILE *out, struct err *e);

#endif
