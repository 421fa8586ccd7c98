/* SPDX-License-Identifier: MIT */
/* Saved state of single devices, for tests: taken from one machine, given to another. */
#ifndef FERRY_TESTS_UNIT_SAVED_H
#define FERRY_TESTS_UNIT_SAVED_H

#include <stddef.h>
#include <stdint.h>

#include "util/err.h"
#include "vmm/vm.h"

struct saved {
	uint8_t *data; /* malloc()ed */
	size_t len;
};

/* Pause device @id of @vm and save it. Fails the test if that fails. */
struct saved saved_take(struct vm *vm, const char *id);
void saved_free(struct saved *s);

/* Pause device @id of @vm, which never ran, and load @s into it; all parts must be read. */
int saved_load(struct vm *vm, const char *id, const struct saved *s, struct err *e);

/* The same, where it must succeed; then it saves again, and that must be the same bytes. */
void saved_give(struct vm *vm, const char *id, const struct saved *s);

void saved_resume(struct vm *vm, const char *id);

/* All of RAM, as it is when the guest stands. Both have the same size. */
void saved_copy_memory(struct vm *to, const struct vm *from);

/*
 * The value of a field: of part @name number @index, the field with @tag; its
 * bytes go to *@ret_bytes. The test may spoil it. SAVED_IN(a, b) is the field b of
 * the structure (or first of an array) in field a. Fails the test if there is none.
 */
#define SAVED_IN(outer, inner) ((inner) << 16 | (outer))

uint8_t *saved_field(struct saved *s, const char *name, unsigned index, unsigned tag,
		     size_t *ret_bytes);

/* A field that is a lie, and a word that the refusal must have in it. */
struct saved_lie {
	const char *part;
	unsigned index, tag;
	uint64_t value; /* in as many bytes as the field has, at most eight */
	const char *word;
};

/*
 * Tell device @id of @vm each lie in a copy of @s: all must be refused. Device state
 * is undefined afterwards. @nr lies.
 */
void saved_refuses(struct vm *vm, const char *id, const struct saved *s,
		   const struct saved_lie *lies, size_t nr);

/* Every truncation of @s is refused, and no flipped byte does harm (sanitizers look). */
void saved_survives_damage(struct vm *vm, const char *id, const struct saved *s);

#endif
