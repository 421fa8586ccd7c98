// SPDX-License-Identifier: MIT
// From a document to an SVG picture.
#include "plot/draw.h"

#include <cairo-svg.h>
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "migration/report.h"
#include "plot/recording.h"

const char *__lsan_default_suppressions(void); // NOLINT: the sanitizer's name for it

/*
 * For builds with a sanitizer of leaks, whichever compiler's: fontconfig keeps what it has read
 * of the host's fonts until the process ends.
 */
// cppcheck-suppress unusedFunction ; the sanitizer looks for it
const char *__lsan_default_suppressions(void) // NOLINT: see above
{
	return "leak:libfontconfig\n";
}

static cairo_status_t write_out(void *closure, const unsigned char *data, unsigned length)
{
	return fwrite(data, 1, length, closure) == length ? CAIRO_STATUS_SUCCESS
							  : CAIRO_STATUS_WRITE_ERROR;
}

/* End the picture @cr; fwrite() has set errno where it failed. */
static int finish(cairo_surface_t *surface, cairo_t *cr, struct err *e)
{
	cairo_status_t status = cairo_status(cr);
	int rc;

	cairo_destroy(cr);
	errno = 0;
	cairo_surface_finish(surface);
	rc = errno ? -errno : -EIO;
	if (status == CAIRO_STATUS_SUCCESS)
		status = cairo_surface_status(surface);
	cairo_surface_destroy(surface);
	if (status == CAIRO_STATUS_SUCCESS)
		return 0;
	if (status == CAIRO_STATUS_WRITE_ERROR)
		return err_set(e, rc, "%s", strerror(-rc));
	return err_set(e, -EIO, "it cannot be drawn: %s", cairo_status_to_string(status));
}

static int put_teleport(const json_t *doc, FILE *out, struct err *e)
{
	struct report r = { 0 };
	cairo_surface_t *surface;
	cairo_t *cr;
	int rc = report_from_json(&r, doc, e);

	if (rc < 0)
		return rc;
	surface = cairo_svg_surface_create_for_stream(write_out, out, DRAW_WIDTH,
						      DRAW_TELEPORT_HEIGHT);
	cr = cairo_create(surface);
	draw_teleport(&r, cr);
	report_fini(&r);
	return finish(surface, cr, e);
}

static int put_recording(const json_t *doc, FILE *out, struct err *e)
{
	struct recording r = { 0 };
	cairo_surface_t *surface;
	cairo_t *cr;
	int rc = recording_from_json(&r, doc, e);

	if (rc < 0)
		return rc;
	surface = cairo_svg_surface_create_for_stream(write_out, out, DRAW_WIDTH,
						      recording_height(&r));
	cr = cairo_create(surface);
	recording_draw(&r, cr);
	recording_fini(&r);
	return finish(surface, cr, e);
}

int draw_document(const char *text, size_t len, FILE *out, struct err *e)
{
	json_error_t why;
	json_t *doc = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);
	int rc;

	if (!doc)
		return err_set(e, -EPROTO, "not JSON: line %d: %.100s", why.line, why.text);
	rc = recording_is(doc) ? put_recording(doc, out, e) : put_teleport(doc, out, e);
	json_decref(doc);
	return rc;
}
