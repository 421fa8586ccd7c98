/* SPDX-License-Identifier: MIT */
/* Compression of records, both ways. */
#ifndef FERRY_MIGRATION_RAM_CODEC_H
#define FERRY_MIGRATION_RAM_CODEC_H

#include <stddef.h>

#include "migration/ram_record.h"
#include "util/compiler.h"

/* What one stream's thread needs to compress or to decompress. */
struct ram_codec;

/* As the options say; the receiver's takes all kinds. 0 or -ENOMEM. */
__must_check int ram_codec_new(struct ram_codec **ret, enum ram_compress compress, int level);
void ram_codec_free(struct ram_codec *c);

/*
 * Compress @len bytes to @to, which has room for as many. The bytes that it
 * took, fewer than @len, with the kind in *@ret_kind; 0: it does not get smaller.
 */
size_t ram_codec_pack(struct ram_codec *c, void *to, const void *from, size_t len,
		      enum ram_kind *ret_kind);

/*
 * Decompress a record's payload to exactly @to_len bytes at @to; never writes
 * more, whatever the payload says. 0 or -EBADMSG.
 */
__must_check int ram_codec_unpack(struct ram_codec *c, enum ram_kind kind, const void *from,
				  size_t len, void *to, size_t to_len);

#endif
