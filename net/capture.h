/* SPDX-License-Identifier: MIT */
/* Frames of a nic on their way to whoever captures them: what is on the socket between. */
#ifndef FERRY_NET_CAPTURE_H
#define FERRY_NET_CAPTURE_H

#include <stdint.h>

/*
 * Theory of operation
 *
 * Who captures makes a pair of connected SOCK_SEQPACKET sockets and gives the guest's
 * process one of them (control command ferry-capture). The nic sends a message for
 * each frame: a struct capture_record, and what of the frame it was asked for. It
 * never waits: what does not fit into the socket's buffer is dropped, and counted.
 * A message in the other direction, of any content, asks for the end: the nic sends
 * CAPTURE_END, with what was counted, and closes its socket. It closes it as well, after
 * CAPTURE_GONE if that fits, when the nic goes: the guest has ended, or has moved. It reads
 * nothing, so one recv() of who has asked says ECONNRESET; the next ones give what there is.
 */
enum capture_kind {
	CAPTURE_TO_GUEST = 1,
	CAPTURE_FROM_GUEST = 2,
	CAPTURE_END = 3,  /* as it was asked for */
	CAPTURE_GONE = 4, /* the nic is not there any more */
};

struct capture_record {
	uint32_t kind;        /* enum capture_kind */
	uint32_t frame_bytes; /* the whole frame's, without a virtio header */
	uint64_t time_ns;     /* CLOCK_REALTIME */
	uint64_t seen;        /* frames since the capture began, this one included */
	uint64_t dropped;     /* of them, those that nobody will see */
};

#define CAPTURE_MIN_SNAPLEN 64U
#define CAPTURE_MAX_SNAPLEN 262144U

/* More than a frame with its record can have. */
#define CAPTURE_MAX_BYTES (CAPTURE_MAX_SNAPLEN + sizeof(struct capture_record))

#endif
