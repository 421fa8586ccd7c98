// SPDX-License-Identifier: MIT
// Writing a capture file: pcapng.
#include "vmm/capture/pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Section 4: blocks. Numbers are in the byte order of who writes. */
enum {
	BLOCK_INTERFACE = 1,
	BLOCK_STATISTICS = 5,
	BLOCK_PACKET = 6,
	BLOCK_SECTION = 0x0a0d0d0a,
	BYTE_ORDER_MAGIC = 0x1a2b3c4d,
	LINKTYPE_ETHERNET = 1,
};

/* Section 3.5 and those of each block: options. */
enum {
	OPT_END = 0,
	SHB_USERAPPL = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	EPB_FLAGS = 2,
	EPB_DROPCOUNT = 4,
	ISB_STARTTIME = 2,
	ISB_ENDTIME = 3,
	ISB_IFRECV = 4,
	ISB_IFDROP = 5,
	ISB_FILTERACCEPT = 6,
};

#define NANOSECONDS    9U /* if_tsresol: 10^-9 */
#define MAX_BLOCK      (PCAPNG_BUFFER_BYTES / 2)
#define MAX_OPTION     4096U /* of text */
#define HEADER_BYTES   8U    /* type and length */
#define TRAILER_BYTES  4U    /* the length again */
#define PADDED(length) ALIGN_UP(length, 4U)

/* --- pieces: there is room for a block, see begin() --- */

static void put(struct pcapng *w, const void *data, size_t len)
{
	memcpy(w->buffer + w->used, data, len);
	memset(w->buffer + w->used + len, 0, PADDED(len) - len);
	w->used += PADDED(len);
}

static void put_u32(struct pcapng *w, uint32_t value)
{
	put(w, &value, sizeof(value));
}

static void put_u16_pair(struct pcapng *w, unsigned a, unsigned b)
{
	const uint16_t pair[2] = { (uint16_t)a, (uint16_t)b };

	put(w, pair, sizeof(pair));
}

static void put_option(struct pcapng *w, unsigned code, const void *data, size_t len)
{
	put_u16_pair(w, code, (unsigned)len);
	put(w, data, len);
}

static void put_text(struct pcapng *w, unsigned code, const char *text)
{
	if (text && *text)
		put_option(w, code, text, MIN(strlen(text), (size_t)MAX_OPTION));
}

static void put_u64(struct pcapng *w, unsigned code, uint64_t value)
{
	put_option(w, code, &value, sizeof(value));
}

/* A time is its upper and its lower half. */
static void put_time(struct pcapng *w, unsigned code, uint64_t ns)
{
	const uint32_t halves[2] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	put_option(w, code, halves, sizeof(halves));
}

/* Make room for a block and begin it: *@ret is where. 0 or -errno. */
static int begin(struct pcapng *w, uint32_t type, size_t *ret)
{
	int rc = 0;

	if (PCAPNG_BUFFER_BYTES - w->used < MAX_BLOCK)
		rc = pcapng_flush(w);
	if (rc < 0)
		return rc;
	*ret = w->used;
	put_u32(w, type);
	put_u32(w, 0);
	return 0;
}

static void end(struct pcapng *w, size_t start)
{
	uint32_t len = (uint32_t)(w->used - start + TRAILER_BYTES);

	put_u32(w, len);
	memcpy(w->buffer + start + sizeof(uint32_t), &len, sizeof(len));
}

/* --- blocks --- */

/* 4.1 */
static int put_section(struct pcapng *w)
{
	const uint64_t unknown_length = UINT64_MAX;
	size_t start;
	int rc = begin(w, BLOCK_SECTION, &start);

	if (rc < 0)
		return rc;
	put_u32(w, BYTE_ORDER_MAGIC);
	put_u16_pair(w, 1, 0); /* the version */
	put(w, &unknown_length, sizeof(unknown_length));
	put_text(w, SHB_USERAPPL, "ferry " FERRY_VERSION);
	put_u16_pair(w, OPT_END, 0);
	end(w, start);
	return 0;
}

/* 4.2 */
static int put_interface(struct pcapng *w, const struct pcapng_interface *interface)
{
	const uint8_t resolution = NANOSECONDS;
	char filter[MAX_OPTION];
	size_t start;
	int rc = begin(w, BLOCK_INTERFACE, &start);

	if (rc < 0)
		return rc;
	put_u16_pair(w, LINKTYPE_ETHERNET, 0);
	put_u32(w, interface->snaplen);
	put_text(w, IF_NAME, interface->name);
	put_text(w, IF_DESCRIPTION, interface->description);
	put_option(w, IF_TSRESOL, &resolution, sizeof(resolution));
	if (interface->filter) {
		size_t len = MIN(strlen(interface->filter), sizeof(filter) - 1);

		filter[0] = '\0'; /* it is a string, for libpcap */
		memcpy(filter + 1, interface->filter, len);
		put_option(w, IF_FILTER, filter, len + 1);
	}
	put_u16_pair(w, OPT_END, 0);
	end(w, start);
	return 0;
}

int pcapng_open(struct pcapng *w, int fd, const struct pcapng_interface *interface)
{
	int rc;

	*w = (struct pcapng){ .fd = fd, .buffer = malloc(PCAPNG_BUFFER_BYTES) };
	if (!w->buffer)
		return -ENOMEM;
	rc = put_section(w);
	return rc < 0 ? rc : put_interface(w, interface);
}

void pcapng_close(struct pcapng *w)
{
	free(w->buffer);
	*w = (struct pcapng){ 0 };
}

/* 4.3 */
int pcapng_packet(struct pcapng *w, const struct pcapng_packet *packet)
{
	uint32_t bytes = MIN(packet->bytes, MAX_BLOCK - 128U);
	size_t start;
	int rc = begin(w, BLOCK_PACKET, &start);

	if (rc < 0)
		return rc;
	put_u32(w, 0); /* the interface */
	put_u32(w, (uint32_t)(packet->time_ns >> 32));
	put_u32(w, (uint32_t)packet->time_ns);
	put_u32(w, bytes);
	put_u32(w, packet->frame_bytes);
	put(w, packet->data, bytes);
	if (packet->direction != PCAPNG_UNKNOWN) {
		uint32_t flags = packet->direction;

		put_option(w, EPB_FLAGS, &flags, sizeof(flags));
	}
	if (packet->dropped)
		put_u64(w, EPB_DROPCOUNT, packet->dropped);
	put_u16_pair(w, OPT_END, 0);
	end(w, start);
	w->packets++;
	return 0;
}

/* 4.6 */
int pcapng_statistics(struct pcapng *w, const struct pcapng_statistics *s)
{
	size_t start;
	int rc = begin(w, BLOCK_STATISTICS, &start);

	if (rc < 0)
		return rc;
	put_u32(w, 0);
	put_u32(w, (uint32_t)(s->end_ns >> 32));
	put_u32(w, (uint32_t)s->end_ns);
	put_time(w, ISB_STARTTIME, s->start_ns);
	put_time(w, ISB_ENDTIME, s->end_ns);
	put_u64(w, ISB_IFRECV, s->seen);
	put_u64(w, ISB_IFDROP, s->dropped);
	put_u64(w, ISB_FILTERACCEPT, s->accepted);
	put_u16_pair(w, OPT_END, 0);
	end(w, start);
	return 0;
}

/* --- the file --- */

/* The length of the whole blocks among the first @len bytes of the buffer. */
static size_t whole_blocks(const struct pcapng *w, size_t len)
{
	size_t at = 0;
	uint32_t block;

	for (; at + HEADER_BYTES <= len; at += block) {
		memcpy(&block, w->buffer + at + sizeof(uint32_t), sizeof(block));
		if (block > len - at)
			break;
	}
	return at;
}

int pcapng_flush(struct pcapng *w)
{
	size_t done = 0;
	int rc = 0;

	while (done < w->used && rc == 0) {
		ssize_t n = write(w->fd, w->buffer + done, w->used - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			rc = -errno;
	}
	w->written += whole_blocks(w, done);
	w->used = 0;
	if (rc < 0) /* what is no file cannot be cut */
		(void)!ftruncate(w->fd, (off_t)w->written);
	return rc;
}
