/* SPDX-License-Identifier: MIT */
/* Writing a capture file: pcapng (draft-ietf-opsawg-pcapng), one section, one interface. */
#ifndef FERRY_VMM_CAPTURE_PCAPNG_H
#define FERRY_VMM_CAPTURE_PCAPNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/*
 * Theory of operation
 *
 * Blocks are put together in a buffer, which is written when it is full or when the
 * writer says so. If that fails in the middle of a block, as on a full disk, a file
 * is cut behind the last whole block: what is there can always be read.
 */
#define PCAPNG_BUFFER_BYTES (512 * 1024U)

struct pcapng {
	int fd; /* the caller's */
	char *buffer;
	size_t used;
	uint64_t written; /* bytes of whole blocks in the file */
	uint64_t packets;
};

/* What the file says of its origin; strings may be NULL. */
struct pcapng_interface {
	const char *name, *description, *filter;
	uint32_t snaplen;
};

enum pcapng_direction { PCAPNG_UNKNOWN, PCAPNG_INBOUND, PCAPNG_OUTBOUND };

struct pcapng_packet {
	uint64_t time_ns; /* since 1970 */
	const void *data;
	uint32_t bytes, frame_bytes; /* captured; on the wire */
	enum pcapng_direction direction;
	uint64_t dropped; /* since the packet before */
};

struct pcapng_statistics {
	uint64_t start_ns, end_ns;
	uint64_t seen, dropped, accepted; /* accepted: by the filter */
};

/* Begin a file on @fd. 0 or -ENOMEM. */
__must_check int pcapng_open(struct pcapng *w, int fd, const struct pcapng_interface *interface);

/* Release the buffer; what was not flushed is lost. Zeroed: fine. */
void pcapng_close(struct pcapng *w);

/* Add a packet, or the statistics at the end. 0, or -errno of a flush. */
__must_check int pcapng_packet(struct pcapng *w, const struct pcapng_packet *packet);
__must_check int pcapng_statistics(struct pcapng *w, const struct pcapng_statistics *s);

/* Write what is in the buffer. 0 or -errno. */
__must_check int pcapng_flush(struct pcapng *w);

#endif
