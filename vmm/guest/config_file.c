// SPDX-License-Identifier: MIT
// The configuration file: libconfuse's syntax, the keys of config_fields.
#include <confuse.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/io.h"
#include "vmm/guest/config.h"

#define MAX_FILE_BYTES (1024 * 1024)

/* What libconfuse's callbacks need to know. */
struct reader {
	struct config *cfg;
	const char *name; /* of the file, for messages */
	struct err *e;
	int rc; /* the first failure */
};

/*
 * The callbacks get no pointer of ours, so this says which read is going on in
 * this thread: set for the time of cfg_parse_buf(), NULL otherwise.
 */
static _Thread_local struct reader *current;

static __printf_like(2, 0) void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char text[256];

	if (current->rc < 0)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	current->rc = err_set(current->e, -EINVAL, "%s:%d: %s", current->name, cfg->line, text);
}

/*
 * A key has its value, or another part of its list: take it over. -1 stops the
 * parse. A list is taken anew each time, because "+=" adds to what is there.
 */
static int on_value(cfg_t *cfg, cfg_opt_t *opt)
{
	const struct field *f = field_find(config_fields, config_nr_fields, opt->name);
	struct reader *r = current;
	struct err why;

	if (f->type->kind == FIELD_LIST)
		f->type->free(f, field_at(f, r->cfg));
	for (unsigned i = 0; r->rc == 0 && i < cfg_opt_size(opt); i++) {
		const char *text = cfg_opt_getnstr(opt, i);

		if (field_set(f, r->cfg, text ? text : "", &why) < 0)
			r->rc = err_set(r->e, why.code, "%s:%d: %s: %s", r->name, cfg->line,
					f->name, why.text);
	}
	return r->rc < 0 ? -1 : 0;
}

/* libconfuse's own table of keys, from ours; the caller frees it. */
static cfg_opt_t *make_options(void)
{
	cfg_opt_t *opts = calloc(config_nr_fields + 1, sizeof(*opts));
	size_t nr = 0;

	if (!opts)
		return NULL;
	for (size_t i = 0; i < config_nr_fields; i++) {
		cfg_opt_t plain = CFG_STR(config_fields[i].name, NULL, CFGF_NODEFAULT);
		cfg_opt_t list = CFG_STR_LIST(config_fields[i].name, NULL, CFGF_NODEFAULT);

		if (!config_fields[i].cli_only)
			opts[nr++] = config_fields[i].type->kind == FIELD_LIST ? list : plain;
	}
	opts[nr] = (cfg_opt_t)CFG_END();
	return opts;
}

static cfg_t *make_parser(cfg_opt_t *opts)
{
	cfg_t *parser = cfg_init(opts, CFGF_NONE); /* copies the table */

	if (!parser)
		return NULL;
	(void)cfg_set_error_function(parser, on_error);
	for (const cfg_opt_t *o = opts; o->name; o++)
		(void)cfg_set_validate_func(parser, o->name, on_value);
	return parser;
}

int config_read_text(struct config *cfg, const char *text, const char *name, struct err *e)
{
	struct reader reader = { .cfg = cfg, .name = name, .e = e };
	_cleanup_free_ cfg_opt_t *opts = make_options();
	cfg_t *parser = opts ? make_parser(opts) : NULL;

	if (!parser)
		return err_set(e, -ENOMEM, "out of memory");
	current = &reader;
	if (cfg_parse_buf(parser, text) != CFG_SUCCESS && reader.rc == 0)
		reader.rc = err_set(e, -EINVAL, "%s: not a configuration file", name);
	current = NULL;
	(void)cfg_free(parser);
	return reader.rc;
}

static int read_file(FILE *file, char **ret, struct err *e)
{
	char *text = calloc(1, MAX_FILE_BYTES + 1);
	size_t len;

	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	len = fread(text, 1, MAX_FILE_BYTES + 1, file);
	if (ferror(file)) {
		free(text);
		return err_set(e, -EIO, "cannot be read");
	}
	if (len > MAX_FILE_BYTES || memchr(text, '\0', len)) {
		free(text);
		return err_set(e, -EINVAL, "not a configuration file");
	}
	*ret = text;
	return 0;
}

int config_read_file(struct config *cfg, const char *path, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	FILE *file = fopen(path, "re");
	int rc;

	if (!file)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	rc = read_file(file, &text, e);
	(void)fclose(file);
	if (rc < 0)
		return err_prefix(e, "%s", path);
	return config_read_text(cfg, text, path, e);
}
