/* SPDX-License-Identifier: MIT */
/* Tables of named settings: parsed from text, shown as JSON, freed. */
#ifndef FERRY_VMM_GUEST_CONFIG_FIELD_H
#define FERRY_VMM_GUEST_CONFIG_FIELD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * A structure of settings has one const table that says what each is called,
 * of which type it is and where it lies. The command line, the configuration
 * file, `--dry-run` and the help text all work from that table, so they cannot
 * disagree. Settings that have parts ("root.img,readonly,serial=x") are
 * records with a table of their own.
 */
struct field;

/* How a setting is parsed, shown and freed; @p points at it. */
struct field_type {
	/* Replace the value (a list: append to it) by what @text says. 0, or
	 * -errno with @e saying what is wrong with @text. */
	int (*parse)(const struct field *f, void *p, const char *text, struct err *e);
	/* A new reference; NULL: no memory. */
	json_t *(*to_json)(const struct field *f, const void *p);
	/* Release what parse() allocated and zero the value. May be NULL. */
	void (*free)(const struct field *f, void *p);
	enum { FIELD_VALUE, FIELD_FLAG, FIELD_LIST } kind;
};

extern const struct field_type field_string; /* char * */
extern const struct field_type field_bytes;  /* uint64_t, with suffix K, M, G or T */
extern const struct field_type field_rate;   /* uint64_t, with suffix K, M, G or T: of 1000 */
extern const struct field_type field_number; /* uint64_t */
extern const struct field_type field_uint;   /* unsigned */
extern const struct field_type field_flag;   /* bool */
extern const struct field_type field_choice; /* unsigned: index into choices */
extern const struct field_type field_list;   /* struct field_list of records */
extern const struct field_type field_texts;  /* struct field_list of char *, commas and all */

/* A growing array of records. */
struct field_list {
	void *items;
	size_t nr;
};

/* What the items of a field_list are. */
struct field_record {
	const char *what; /* "disk": for messages */
	size_t bytes;     /* of one item */
	const struct field *fields;
	size_t nr_fields;
	size_t max_items;
	/* Set defaults before the parse; may be NULL. */
	void (*init)(void *item);
	/* Judge the finished item; may be NULL. */
	int (*check)(void *item, struct err *e);
};

struct field {
	const char *name;
	const struct field_type *type;
	size_t offset;
	const char *arg;                   /* what to write for the value: "SIZE"; NULL for flags */
	const char *help;                  /* one line */
	uint64_t min, max;                 /* of numbers; max 0: no limit */
	uint64_t usual;                    /* of numbers that may be 0: what JSON need not tell */
	const char *const *choices;        /* of field_choice, ends with NULL */
	const struct field_record *record; /* of field_list */
	char letter;                       /* short option, or 0 */
	bool cli_only;                     /* not a key of the configuration file */
	bool local;                        /* this host's: a guest takes it nowhere */
};

/* Where @f lies in the structure @base. */
static inline void *field_at(const struct field *f, void *base)
{
	return (char *)base + f->offset;
}

/* The field called @name, or NULL. */
const struct field *field_find(const struct field *fields, size_t nr, const char *name);

/* Give @f of the structure @base the value @text. 0, or -errno with @e. */
__must_check int field_set(const struct field *f, void *base, const char *text, struct err *e);

/*
 * Set the fields that @obj names; see fields_to_json(). @obj is hostile. What is
 * null, false, 0 (where nothing else is usual) or empty counts as not named, a key that is
 * not a field and has another value is refused: it would be a setting that this version
 * does not have.
 * Those of the command line alone and of one host count as unknown. 0, or -errno with
 * the setting.
 */
__must_check int fields_from_json(const struct field *fields, size_t nr, void *base,
				  const json_t *obj, struct err *e);

/* All of a structure as one object; NULL: no memory. */
json_t *fields_to_json(const struct field *fields, size_t nr, const void *base);

/* Release everything a structure holds. */
void fields_free(const struct field *fields, size_t nr, void *base);

/*
 * Append an item with its defaults to the list @f of records; *@ret_item is
 * valid until the next one. 0, -E2BIG or -ENOMEM with @e. An item that turns
 * out to be bad is dropped again by field_list_drop().
 */
__must_check int field_list_add(const struct field *f, struct field_list *list, void **ret_item,
				struct err *e);
void field_list_drop(const struct field *f, struct field_list *list);

/* Forget item @index; those behind it move up. */
void field_list_remove(const struct field *f, struct field_list *list, size_t index);

/*
 * Parse "HEAD[,key=value|,flag]..." into a record. The head is the value of the
 * record's first field. A comma in a value is written twice. 0 or -errno.
 */
__must_check int field_parse_record(const struct field_record *rec, void *item, const char *text,
				    struct err *e);

/* Parse a size ("512M"; powers of 1024). 0, -EINVAL or -ERANGE. */
__must_check int field_parse_bytes(const char *text, uint64_t *ret);

#endif
