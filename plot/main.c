// SPDX-License-Identifier: MIT
// ferry-plot: reads a document, the report of a teleport for example, and writes its picture.
//
// A program of its own because the libraries that draw would cost every guest time
// at its launch. `ferry` starts it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plot/draw.h"

/* All of @in. 0 or -errno. */
static int read_all(FILE *in, char *buf, size_t *ret_len)
{
	*ret_len = fread(buf, 1, DRAW_MAX_BYTES + 1, in);
	if (ferror(in))
		return -errno;
	return *ret_len > DRAW_MAX_BYTES ? -EFBIG : 0;
}

static int draw(FILE *in, const char *name, struct err *e)
{
	char *text = malloc(DRAW_MAX_BYTES + 1);
	size_t len = 0;
	int rc = text ? read_all(in, text, &len) : -ENOMEM;

	if (rc < 0)
		(void)err_set(e, rc, "%s: %s", name, strerror(-rc));
	else
		rc = draw_document(text, len, stdout, e);
	free(text);
	if (rc == 0 && (fflush(stdout) != 0 || fclose(stdout) != 0))
		rc = err_set(e, -errno, "%s", strerror(errno));
	return rc;
}

int main(int argc, char **argv)
{
	FILE *in = argc > 1 ? fopen(argv[1], "re") : stdin;
	struct err e;

	if (argc > 2 || (argc > 1 && argv[1][0] == '-')) {
		(void)fputs("usage: ferry-plot [FILE.json] >FILE.svg\n", stderr);
		return 2;
	}
	if (!in) {
		(void)fprintf(stderr, "ferry-plot: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	if (draw(in, argc > 1 ? argv[1] : "standard input", &e) == 0)
		return 0;
	(void)fprintf(stderr, "ferry-plot: %s\n", e.text);
	return 1;
}
