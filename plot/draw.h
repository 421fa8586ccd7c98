/* SPDX-License-Identifier: MIT */
/* ferry-plot: a document about what a guest did becomes a picture. */
#ifndef FERRY_PLOT_DRAW_H
#define FERRY_PLOT_DRAW_H

#include <cairo.h>
#include <stddef.h>
#include <stdio.h>

#include "util/compiler.h"
#include "util/err.h"

struct report;

/* More than any document of ferry's. */
#define DRAW_MAX_BYTES (16 * MIB)

#define DRAW_WIDTH           960
#define DRAW_TELEPORT_HEIGHT 640

/* Draw a teleport on @cr, DRAW_WIDTH by DRAW_TELEPORT_HEIGHT. */
void draw_teleport(const struct report *r, cairo_t *cr);

/*
 * Write the picture of the JSON document @text, any bytes, to @out as SVG. 0, or
 * -errno with @e: -EPROTO if it is none that can be drawn. What was written by
 * then is of no use.
 */
__must_check int draw_document(const char *text, size_t len, FILE *out, struct err *e);

#endif
