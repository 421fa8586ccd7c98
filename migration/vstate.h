/* SPDX-License-Identifier: MIT */
/* Saved state: const tables that say which members of a structure travel, and how. */
#ifndef FERRY_MIGRATION_VSTATE_H
#define FERRY_MIGRATION_VSTATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * Theory of operation
 *
 * What a guest can see of a device is a plain `struct x_state` (docs/style.md).
 * A const table names its members: a tag, a kind, the largest value that is
 * valid. One encoder and one decoder walk the tables, so no device has code for
 * saving that could differ from its code for loading.
 *
 * A structure is encoded as fields, each { u16 tag, u16 kind, u32 bytes, payload
 * }, little-endian, in table order. Compatibility is by tag, not by version
 * number: a tag is never given to another meaning. A field that came later has
 * VSTATE_OPTIONAL in its tag: an older reader skips it, a newer one that does not
 * find it keeps what the structure held before (its default). An unknown tag
 * without that bit, or a missing one, refuses the state: its writer meant that
 * the guest cannot go on without it.
 *
 * What is decoded comes from a file or a peer, and is hostile: nothing is
 * believed, the structure is written only when all of it was good, and each
 * table may have a check for what a largest value cannot say (indexes that
 * depend on each other).
 *
 * This header is a leaf: devices include it (scripts/check-layers).
 */
#define VSTATE_OPTIONAL 0x8000U

/* The largest state of one device (or vCPU): all its parts. */
#define VSTATE_MAX_BYTES (80U << 20)

enum vstate_kind {
	VSTATE_U8 = 1,
	VSTATE_U16,
	VSTATE_U32,
	VSTATE_U64,
	VSTATE_BOOL,   /* one byte, 0 or 1 */
	VSTATE_BYTES,  /* u8[]: contents without meaning to ferry, of a fixed size */
	VSTATE_STRUCT, /* by another table */
};

struct vstate_table;

struct vstate_field {
	const char *name;
	uint16_t tag;
	uint8_t kind;
	uint32_t offset;
	uint32_t bytes; /* of one element */
	uint32_t count; /* elements of the array; 1: not an array */
	/* Offset of the uint32_t member that says how many of the elements
	 * count; only those travel, and the decoder sets the member to how many
	 * came, so it is no field itself. 0: all (no structure has a count first). */
	uint32_t used_offset;
	uint64_t max; /* largest valid value; 0: any */
	const struct vstate_table *sub;
};

struct vstate_table {
	const char *name; /* "serial": stable, part of saved state */
	size_t bytes;     /* of the structure */
	const struct vstate_field *fields;
	size_t nr_fields; /* at most 128 */
	/* A version that does not know the part may go on without it. */
	bool optional;
	/* More than single values can say; may be NULL. 0 or -EINVAL. */
	int (*check)(const void *state, struct err *e);
};

#define VSTATE_TABLE(table_name, type, field_array)                                                \
	.name = (table_name), .bytes = sizeof(type), .fields = (field_array),                      \
	.nr_fields = ARRAY_SIZE(field_array)

/* NOLINTBEGIN(bugprone-macro-parentheses): names of members and types cannot stand in them */

/* 0, or no compilation: @member of @type has exactly the type @expected. */
#define VSTATE_TYPED(type, member, expected)                                                       \
	(0 * sizeof(struct {                                                                       \
		 _Static_assert(                                                                   \
			 __builtin_types_compatible_p(__typeof__(((type *)0)->member), expected),  \
			 #member " is not " #expected);                                            \
		 int unused;                                                                       \
	 }))

#define VSTATE_SCALAR(vtag, vkind, type, member, ctype, vmax)                                      \
	{                                                                                          \
		.name = #member, .tag = (vtag), .kind = (vkind),                                   \
		.offset = offsetof(type, member) + VSTATE_TYPED(type, member, ctype),              \
		.bytes = sizeof(ctype), .count = 1, .max = (vmax)                                  \
	}

/* One member of a fixed-width type; the _MAX forms give the largest valid value. */
#define VS_U8(tag, type, member)  VSTATE_SCALAR(tag, VSTATE_U8, type, member, uint8_t, 0)
#define VS_U16(tag, type, member) VSTATE_SCALAR(tag, VSTATE_U16, type, member, uint16_t, 0)
#define VS_U32(tag, type, member) VSTATE_SCALAR(tag, VSTATE_U32, type, member, uint32_t, 0)
#define VS_U64(tag, type, member) VSTATE_SCALAR(tag, VSTATE_U64, type, member, uint64_t, 0)
/* Linux' ABI structures have __u64, which is another type of the same width. */
#define VS_ABI_U64(tag, type, member)                                                              \
	VSTATE_SCALAR(tag, VSTATE_U64, type, member, unsigned long long, 0)
#define VS_BOOL(tag, type, member)        VSTATE_SCALAR(tag, VSTATE_BOOL, type, member, bool, 0)
#define VS_U8_MAX(tag, type, member, max) VSTATE_SCALAR(tag, VSTATE_U8, type, member, uint8_t, max)
#define VS_U16_MAX(tag, type, member, max)                                                         \
	VSTATE_SCALAR(tag, VSTATE_U16, type, member, uint16_t, max)
#define VS_U32_MAX(tag, type, member, max)                                                         \
	VSTATE_SCALAR(tag, VSTATE_U32, type, member, uint32_t, max)

#define VSTATE_ARRAY(vtag, vkind, type, member, ctype, vused)                                      \
	{                                                                                          \
		.name = #member, .tag = (vtag), .kind = (vkind),                                   \
		.offset = offsetof(type, member) + VSTATE_TYPED(type, member[0], ctype),           \
		.bytes = sizeof(((type *)0)->member[0]), .count = ARRAY_SIZE(((type *)0)->member), \
		.used_offset = (vused)                                                             \
	}

/* Arrays of all their elements. */
#define VS_U16_ARRAY(tag, type, member) VSTATE_ARRAY(tag, VSTATE_U16, type, member, uint16_t, 0)
#define VS_U32_ARRAY(tag, type, member) VSTATE_ARRAY(tag, VSTATE_U32, type, member, uint32_t, 0)
#define VS_U64_ARRAY(tag, type, member) VSTATE_ARRAY(tag, VSTATE_U64, type, member, uint64_t, 0)

/* The first @used (a uint32_t member) elements. */
#define VS_U64_ARRAY_USED(tag, type, member, used)                                                 \
	VSTATE_ARRAY(tag, VSTATE_U64, type, member, uint64_t,                                      \
		     offsetof(type, used) + VSTATE_TYPED(type, used, uint32_t))
#define VS_ABI_U64_ARRAY(tag, type, member)                                                        \
	VSTATE_ARRAY(tag, VSTATE_U64, type, member, unsigned long long, 0)

/* Bytes of which only @used (a uint32_t member) count. */
#define VS_BYTES_USED(tag, type, member, used)                                                     \
	VSTATE_ARRAY(tag, VSTATE_BYTES, type, member, uint8_t,                                     \
		     offsetof(type, used) + VSTATE_TYPED(type, used, uint32_t))

/* A member of any type, byte for byte: ABI blobs of the kernel, FIFOs. */
#define VS_BYTES(vtag, type, member_)                                                              \
	{                                                                                          \
		.name = #member_, .tag = (vtag), .kind = VSTATE_BYTES,                             \
		.offset = offsetof(type, member_), .bytes = sizeof(((type *)0)->member_),          \
		.count = 1                                                                         \
	}

/* A nested structure, and an array of them of which @used (a uint32_t member) travel. */
#define VS_STRUCT(vtag, type, member_, table)                                                      \
	{                                                                                          \
		.name = #member_, .tag = (vtag), .kind = VSTATE_STRUCT,                            \
		.offset = offsetof(type, member_), .bytes = sizeof(((type *)0)->member_),          \
		.count = 1, .sub = (table)                                                         \
	}
#define VS_STRUCT_ARRAY(vtag, type, member_, used, table)                                          \
	{                                                                                          \
		.name = #member_, .tag = (vtag), .kind = VSTATE_STRUCT,                            \
		.offset = offsetof(type, member_), .bytes = sizeof(((type *)0)->member_[0]),       \
		.count = ARRAY_SIZE(((type *)0)->member_),                                         \
		.used_offset = offsetof(type, used) + VSTATE_TYPED(type, used, uint32_t),          \
		.sub = (table)                                                                     \
	}

/* The same of all elements. */
#define VS_STRUCT_ALL(vtag, type, member_, table)                                                  \
	{                                                                                          \
		.name = #member_, .tag = (vtag), .kind = VSTATE_STRUCT,                            \
		.offset = offsetof(type, member_), .bytes = sizeof(((type *)0)->member_[0]),       \
		.count = ARRAY_SIZE(((type *)0)->member_), .sub = (table)                          \
	}

/* NOLINTEND(bugprone-macro-parentheses) */

/*
 * A device's saved state is a list of parts: a table's name, an index (queue 0,
 * 1, ...) and the fields. The writer collects them into one buffer that it
 * grows; the first failure is kept and returned by vstate_writer_finish().
 */
struct vstate_writer;

/* An empty writer. 0 or -ENOMEM. */
__must_check int vstate_writer_new(struct vstate_writer **ret);
void vstate_writer_free(struct vstate_writer *w);

/* Add a part. */
void vstate_put(struct vstate_writer *w, const struct vstate_table *table, unsigned index,
		const void *state);

/*
 * Add a part of @len bytes that another library made (libslirp); it is framed and
 * named, but has no fields. Loaders cap its length.
 */
void vstate_put_blob(struct vstate_writer *w, const char *name, unsigned index, const void *data,
		     size_t len);

/* A part cannot be had: the writer fails with @error, unless it has already. */
void vstate_put_error(struct vstate_writer *w, int error);

/* What was collected; the writer's until freed. 0, or -ENOMEM, -E2BIG. */
__must_check int vstate_writer_finish(struct vstate_writer *w, const void **ret_data,
				      size_t *ret_len);

struct vstate_reader;

/*
 * Read the parts of one device out of a buffer, which stays the caller's.
 * The framing is checked at once: -EPROTO with the reason.
 */
__must_check int vstate_reader_new(struct vstate_reader **ret, const void *data, size_t len,
				   struct err *e);
void vstate_reader_free(struct vstate_reader *r);

/*
 * Decode a part into @state, which holds the defaults of optional fields. 0;
 * -ENOENT where it is missing; -EPROTO or -EINVAL, with the field named in @e,
 * where it is bad: @state is then as it was.
 */
__must_check int vstate_get(struct vstate_reader *r, const struct vstate_table *table,
			    unsigned index, void *state, struct err *e);

struct vstate_blob {
	const void *data;
	size_t len;
};

/* A blob of at most @max bytes, in the reader's buffer. 0, -ENOENT, -EPROTO. */
__must_check int vstate_get_blob(struct vstate_reader *r, const char *name, unsigned index,
				 size_t max, struct vstate_blob *ret, struct err *e);

/*
 * All parts have been read? A part that nobody asked for is one that this
 * version does not know: -EPROTO, with its name, unless it is optional.
 */
__must_check int vstate_reader_finish(struct vstate_reader *r, struct err *e);

/*
 * For people: the parts as a JSON array, each with name, index, offset and size, and
 * fields: name, tag, kind, offset and size (header included), value. Offsets count
 * from @base, which is where the buffer is in its file. @find gives the table of a
 * name (NULL: unknown, then there are no names, and fields of an unknown tag never
 * have one). NULL: no memory, bad framing, or more values than any real state has.
 */
json_t *vstate_to_json(const void *data, size_t len, uint64_t base,
		       const struct vstate_table *(*find)(const char *name));

#endif
