// SPDX-License-Identifier: MIT
// virtio-blk: from a descriptor chain to a checked request (VIRTIO 1.2, 5.2.6).
//
// The driver may cut a request into buffers as it likes (2.7.4.3): the header is
// the first 16 bytes that it wrote, the status the last byte that we may write,
// and what is between belongs to the data.
#include <endian.h>
#include <errno.h>

#include "virtio/blk_impl.h"

#define HEADER_BYTES sizeof(struct virtio_blk_outhdr)

/* A request's header, in our byte order. */
struct header {
	uint32_t type;
	uint64_t sector;
};

static struct blk *blk_of(const struct blk_slot *s)
{
	return s->q->blk;
}

static uint64_t data_in_bytes(const struct blk_slot *s)
{
	return s->chain.in_bytes - 1;
}

static uint64_t data_out_bytes(const struct blk_slot *s)
{
	return s->chain.out_bytes - HEADER_BYTES;
}

static bool range_is_valid(const struct blk_slot *s, uint64_t sector, uint64_t bytes)
{
	uint64_t capacity = blk_of(s)->block->bytes / BLOCK_SECTOR_BYTES;

	/* No sum of guest values: neither side can overflow. */
	return bytes > 0 && bytes % BLOCK_SECTOR_BYTES == 0 && sector < capacity &&
	       bytes / BLOCK_SECTOR_BYTES <= capacity - sector;
}

/*
 * 5.2.6.2: is a write stable when it is reported as done? Yes if the driver
 * switched the cache to write-through, or does not know how to flush it.
 */
static bool is_write_through(const struct blk *blk)
{
	if (virtio_has(&blk->vdev, VIRTIO_BLK_F_CONFIG_WCE))
		return !atomic_load_explicit(&blk->state.writeback, memory_order_relaxed);
	return !virtio_has(&blk->vdev, VIRTIO_BLK_F_FLUSH);
}

static int prepare(struct blk_slot *s, enum block_op op, uint64_t sector, uint64_t bytes)
{
	bool fua = (op == BLOCK_WRITE || op == BLOCK_WRITE_ZEROES) && is_write_through(blk_of(s));

	s->rq.op = op;
	s->rq.flags = fua ? BLOCK_FUA : 0;
	s->rq.offset = sector * BLOCK_SECTOR_BYTES;
	s->rq.bytes = bytes;
	return BLK_SUBMIT;
}

static int parse_in(struct blk_slot *s, const struct header *h)
{
	uint64_t bytes = data_in_bytes(s);

	if (data_out_bytes(s) > 0 || bytes > BLK_MAX_DATA_BYTES ||
	    !range_is_valid(s, h->sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	/* A status byte in a buffer of its own is not part of the data. */
	s->rq.iov = s->chain.iov + s->chain.nr_out;
	s->rq.niov = s->chain.nr_in - !s->status_hidden;
	return prepare(s, BLOCK_READ, h->sector, bytes);
}

/* Cut the header off the buffers that the driver wrote; nobody needs it again. */
static void skip_header(struct blk_slot *s)
{
	size_t skip = HEADER_BYTES;

	s->rq.iov = s->chain.iov;
	s->rq.niov = s->chain.nr_out;
	while (s->rq.niov > 0 && s->rq.iov->iov_len <= skip) {
		skip -= s->rq.iov->iov_len;
		s->rq.iov++;
		s->rq.niov--;
	}
	if (skip > 0) {
		s->rq.iov->iov_base = (uint8_t *)s->rq.iov->iov_base + skip;
		s->rq.iov->iov_len -= skip;
	}
}

static int parse_out(struct blk_slot *s, const struct header *h)
{
	uint64_t bytes = data_out_bytes(s);

	if (blk_of(s)->block->readonly || data_in_bytes(s) > 0 || bytes > BLK_MAX_DATA_BYTES ||
	    !range_is_valid(s, h->sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	skip_header(s);
	return prepare(s, BLOCK_WRITE, h->sector, bytes);
}

static int parse_flush(struct blk_slot *s, const struct header *h)
{
	(void)h; /* 5.2.6.1: sector is to be 0, and means nothing */
	return prepare(s, BLOCK_FLUSH, 0, 0);
}

static int parse_get_id(struct blk_slot *s, const struct header *h)
{
	(void)h;
	/* 5.2.6.1: the driver's buffer has 20 bytes. */
	if (data_out_bytes(s) > 0 || data_in_bytes(s) < BLK_SERIAL_BYTES)
		return VIRTIO_BLK_S_IOERR;
	(void)vq_write_in(&s->chain, 0, blk_of(s)->serial, BLK_SERIAL_BYTES);
	return VIRTIO_BLK_S_OK;
}

/* The one segment of a discard or write zeroes (we announce a maximum of one). */
static int parse_range(struct blk_slot *s, enum block_op op, uint32_t valid_flags)
{
	struct virtio_blk_discard_write_zeroes seg;
	uint64_t sector, bytes;
	uint32_t flags;

	if (blk_of(s)->block->readonly || data_out_bytes(s) != sizeof(seg) || data_in_bytes(s) > 0)
		return VIRTIO_BLK_S_IOERR;
	(void)vq_read_out(&s->chain, HEADER_BYTES, &seg, sizeof(seg));
	sector = le64toh(seg.sector);
	bytes = le32toh(seg.num_sectors) * BLOCK_SECTOR_BYTES;
	flags = le32toh(seg.flags);
	if (flags & ~valid_flags)
		return VIRTIO_BLK_S_UNSUPP;
	if (bytes > blk_of(s)->block->max_discard_bytes || !range_is_valid(s, sector, bytes))
		return VIRTIO_BLK_S_IOERR;
	(void)prepare(s, op, sector, bytes);
	if (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP)
		s->rq.flags |= BLOCK_MAY_UNMAP;
	return BLK_SUBMIT;
}

static int parse_discard(struct blk_slot *s, const struct header *h)
{
	(void)h;
	if (!virtio_has(&blk_of(s)->vdev, VIRTIO_BLK_F_DISCARD))
		return VIRTIO_BLK_S_UNSUPP;
	return parse_range(s, BLOCK_DISCARD, 0);
}

static int parse_write_zeroes(struct blk_slot *s, const struct header *h)
{
	(void)h;
	if (!virtio_has(&blk_of(s)->vdev, VIRTIO_BLK_F_WRITE_ZEROES))
		return VIRTIO_BLK_S_UNSUPP;
	return parse_range(s, BLOCK_WRITE_ZEROES, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP);
}

static const struct {
	uint32_t type;
	int (*parse)(struct blk_slot *s, const struct header *h);
} types[] = {
	{ VIRTIO_BLK_T_IN, parse_in },           { VIRTIO_BLK_T_OUT, parse_out },
	{ VIRTIO_BLK_T_FLUSH, parse_flush },     { VIRTIO_BLK_T_GET_ID, parse_get_id },
	{ VIRTIO_BLK_T_DISCARD, parse_discard }, { VIRTIO_BLK_T_WRITE_ZEROES, parse_write_zeroes },
};

/* Find the status byte, and take it out of the data where it shares a buffer. */
static void split_status(struct blk_slot *s)
{
	struct iovec *last = &s->chain.iov[s->chain.nr_out + s->chain.nr_in - 1];

	s->status = (uint8_t *)last->iov_base + last->iov_len - 1;
	s->status_hidden = last->iov_len > 1;
	last->iov_len -= s->status_hidden;
}

int blk_request_parse(struct blk_slot *s)
{
	struct virtio_blk_outhdr raw;
	struct header h;

	if (s->chain.out_bytes < HEADER_BYTES || s->chain.in_bytes < 1)
		return -EPROTO;
	(void)vq_read_out(&s->chain, 0, &raw, sizeof(raw));
	h = (struct header){ .type = le32toh(raw.type), .sector = le64toh(raw.sector) };
	split_status(s);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].type == h.type)
			return types[i].parse(s, &h);
	return VIRTIO_BLK_S_UNSUPP;
}
