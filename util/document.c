// SPDX-License-Identifier: MIT
// Documents for the user: by their names, written whole or not at all.
#include "util/document.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/helper.h"
#include "util/io.h"

static const struct document_form *find_form(const struct document_form *forms, const char *path)
{
	const char *suffix = strrchr(path, '.');

	for (; suffix && forms->suffix; forms++) {
		if (!strcmp(suffix, forms->suffix))
			return forms;
	}
	return NULL;
}

/* ".svg, .json or .csv" */
static int refuse_name(const struct document_form *forms, const char *path, struct err *e)
{
	char list[64] = "";

	for (; forms->suffix; forms++) {
		const char *link = !*list ? "" : forms[1].suffix ? ", " : " or ";
		size_t used = strlen(list);

		(void)snprintf(list + used, sizeof(list) - used, "%s%s", link, forms->suffix);
	}
	return err_set(e, -EINVAL, "%s: its name must end with %s", path, list);
}

/* 0 or -errno. */
static int check_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
	int rc = 0;

	if (!folder)
		return -ENOMEM;
	if (access(folder, W_OK) < 0)
		rc = -errno;
	free(folder);
	return rc;
}

int document_check_name(const struct document_form *forms, const char *path, struct err *e)
{
	const struct document_form *form = find_form(forms, path);
	char helper[PATH_MAX];
	int rc = 0;

	if (!form)
		return refuse_name(forms, path, e);
	if (form->helper)
		rc = helper_find(form->helper, helper, sizeof(helper), e);
	if (rc < 0)
		return rc;
	rc = check_folder(path);
	return rc < 0 ? err_set(e, rc, "%s: cannot be written there: %s", path, strerror(-rc)) : 0;
}

/* All of it is in the file, or an error. */
static int put_file(const struct document_form *form, const void *what, FILE *out, struct err *e)
{
	int rc = form->put(what, out, e);

	if (rc == 0 && (fflush(out) != 0 || ferror(out)))
		rc = err_set(e, -errno, "%s", strerror(errno));
	if (fclose(out) != 0 && rc == 0)
		rc = err_set(e, -errno, "%s", strerror(errno));
	return rc;
}

int document_write(const struct document_form *forms, const void *what, const char *path,
		   struct err *e)
{
	const struct document_form *form = find_form(forms, path);
	_cleanup_free_ char *temporary = NULL;
	FILE *out;
	int rc;

	if (!form)
		return refuse_name(forms, path, e);
	if (asprintf(&temporary, "%s.%d.tmp", path, (int)getpid()) < 0)
		return err_set(e, -ENOMEM, "out of memory");
	out = fopen(temporary, "wxe");
	rc = out ? put_file(form, what, out, e) : err_set(e, -errno, "%s", strerror(errno));
	if (rc == 0 && rename(temporary, path) < 0)
		rc = err_set(e, -errno, "%s", strerror(errno));
	if (rc < 0) {
		if (out)
			(void)unlink(temporary);
		(void)err_prefix(e, "%s", path);
	}
	return rc;
}

int document_draw(const char *text, FILE *out, struct err *e)
{
	return helper_run(&(struct helper_call){ .name = DOCUMENT_PLOTTER,
						 .in = text,
						 .in_bytes = strlen(text),
						 .out_fd = fileno(out) },
			  e);
}
