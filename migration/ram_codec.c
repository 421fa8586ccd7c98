// SPDX-License-Identifier: MIT
// Compression of records by LZ4 and zstd.
#include "migration/ram_codec.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <zstd.h>

/* After records that did not get smaller, so many at most go without a try. */
#define MAX_SKIP 15U

struct ram_codec {
	enum ram_compress compress;
	void *lz4;
	ZSTD_CCtx *pack;
	ZSTD_DCtx *unpack;
	unsigned failures, skip;
};

static int set_up(struct ram_codec *c, int level)
{
	c->unpack = ZSTD_createDCtx();
	if (!c->unpack)
		return -ENOMEM;
	if (c->compress == RAM_COMPRESS_LZ4) {
		c->lz4 = malloc((size_t)LZ4_sizeofState());
		return c->lz4 ? 0 : -ENOMEM;
	}
	if (c->compress == RAM_COMPRESS_NONE)
		return 0;
	c->pack = ZSTD_createCCtx();
	if (!c->pack)
		return -ENOMEM;
	if (ZSTD_isError(ZSTD_CCtx_setParameter(c->pack, ZSTD_c_compressionLevel, level)))
		return -EINVAL;
	return 0;
}

int ram_codec_new(struct ram_codec **ret, enum ram_compress compress, int level)
{
	struct ram_codec *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	c->compress = compress;
	rc = set_up(c, level);
	if (rc < 0) {
		ram_codec_free(c);
		return rc;
	}
	*ret = c;
	return 0;
}

void ram_codec_free(struct ram_codec *c)
{
	if (!c)
		return;
	free(c->lz4);
	(void)ZSTD_freeCCtx(c->pack);
	(void)ZSTD_freeDCtx(c->unpack);
	free(c);
}

/* 0: not smaller. */
static size_t pack(struct ram_codec *c, void *to, const void *from, size_t len)
{
	size_t n;

	if (c->compress == RAM_COMPRESS_LZ4)
		return (size_t)LZ4_compress_fast_extState(c->lz4, from, to, (int)len, (int)len - 1,
							  1);
	n = ZSTD_compress2(c->pack, to, len - 1, from, len);
	return ZSTD_isError(n) ? 0 : n;
}

size_t ram_codec_pack(struct ram_codec *c, void *to, const void *from, size_t len,
		      enum ram_kind *ret_kind)
{
	size_t n;

	if (c->compress == RAM_COMPRESS_NONE)
		return 0;
	/* Memory that does not compress comes in stretches: look now and then. */
	if (c->skip) {
		c->skip--;
		return 0;
	}
	n = pack(c, to, from, len);
	if (n == 0) {
		c->failures++;
		c->skip = MIN(c->failures, MAX_SKIP);
		return 0;
	}
	c->failures = 0;
	*ret_kind = c->compress == RAM_COMPRESS_LZ4 ? RAM_LZ4 : RAM_ZSTD;
	return n;
}

int ram_codec_unpack(struct ram_codec *c, enum ram_kind kind, const void *from, size_t len,
		     void *to, size_t to_len)
{
	size_t n;

	if (kind == RAM_LZ4) {
		int got = LZ4_decompress_safe(from, to, (int)len, (int)to_len);

		return got >= 0 && (size_t)got == to_len ? 0 : -EBADMSG;
	}
	n = ZSTD_decompressDCtx(c->unpack, to, to_len, from, len);
	return !ZSTD_isError(n) && n == to_len ? 0 : -EBADMSG;
}
