/* SPDX-License-Identifier: MIT */
/* Packets of gdb's remote serial protocol (gdb manual, appendix E.1). */
#ifndef FERRY_VMM_GDB_RSP_H
#define FERRY_VMM_GDB_RSP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/* The largest payload in either direction; told to gdb as PacketSize. */
#define RSP_MAX_BYTES 8192U
/* The same on the wire: each byte escaped, with '$', '#', the checksum and an ack. */
#define RSP_WIRE_BYTES (2U * RSP_MAX_BYTES + 8U)

enum rsp_event {
	RSP_NOTHING, /* more bytes are needed */
	RSP_PACKET,  /* a payload is complete */
	RSP_BAD,     /* one came with a wrong checksum, or was too long */
	RSP_BREAK,   /* Ctrl-C */
	RSP_NAK,     /* send the last packet again */
};

struct rsp_parser {
	char payload[RSP_MAX_BYTES + 1]; /* of the packet, a zero behind it */
	size_t len;
	enum { RSP_IDLE, RSP_BODY, RSP_ESCAPED, RSP_SUM1, RSP_SUM2 } state;
	uint8_t sum, wanted;
	bool too_long, bad_sum;
};

/* Take one byte from the client; zero @p first. */
enum rsp_event rsp_feed(struct rsp_parser *p, uint8_t byte);

/* Put @payload (at most RSP_MAX_BYTES) on the wire: returns its bytes in @out. */
size_t rsp_encode(const char *payload, size_t len, char out[RSP_WIRE_BYTES]);

/* Two hexadecimal digits a byte. @out gets 2 * len digits, no zero. */
void rsp_put_hex(char *out, const void *data, size_t len);

/* The opposite: false where there are not 2 * len digits at @text. */
bool rsp_get_hex(void *data, size_t len, const char *text);

/* A hexadecimal number at **@text, which moves behind it. False: none, or too large. */
bool rsp_get_number(const char **text, uint64_t *ret);

#endif
