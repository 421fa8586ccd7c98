// SPDX-License-Identifier: MIT
// Packets of gdb's remote serial protocol: bytes to payloads and back.
#include "vmm/gdb/rsp.h"

#include <string.h>

#define ESCAPE     0x7d
#define ESCAPE_XOR 0x20
#define CTRL_C     0x03

static const char digits[] = "0123456789abcdef";

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	if (ch >= 'a' && ch <= 'f')
		return ch - 'a' + 10;
	if (ch >= 'A' && ch <= 'F')
		return ch - 'A' + 10;
	return -1;
}

static void put(struct rsp_parser *p, uint8_t byte)
{
	if (p->len == RSP_MAX_BYTES)
		p->too_long = true;
	else
		p->payload[p->len++] = (char)byte;
}

static enum rsp_event in_idle(struct rsp_parser *p, uint8_t byte)
{
	if (byte == '$') {
		p->state = RSP_BODY;
		p->len = 0;
		p->sum = 0;
		p->too_long = p->bad_sum = false;
	}
	return byte == CTRL_C ? RSP_BREAK : byte == '-' ? RSP_NAK : RSP_NOTHING;
}

static enum rsp_event in_body(struct rsp_parser *p, uint8_t byte)
{
	if (byte == '#') {
		p->state = RSP_SUM1;
		return RSP_NOTHING;
	}
	/* A packet that was cut off: this one begins. */
	if (byte == '$')
		return in_idle(p, byte);
	p->sum += byte;
	if (byte == ESCAPE)
		p->state = RSP_ESCAPED;
	else
		put(p, byte);
	return RSP_NOTHING;
}

static enum rsp_event in_sum(struct rsp_parser *p, uint8_t byte)
{
	int value = digit((char)byte);

	p->bad_sum |= value < 0;
	p->wanted = (uint8_t)(p->wanted << 4 | (value & 0xf));
	if (p->state == RSP_SUM1) {
		p->state = RSP_SUM2;
		return RSP_NOTHING;
	}
	p->state = RSP_IDLE;
	p->payload[p->len] = '\0';
	return p->bad_sum || p->too_long || p->wanted != p->sum ? RSP_BAD : RSP_PACKET;
}

enum rsp_event rsp_feed(struct rsp_parser *p, uint8_t byte)
{
	switch (p->state) {
	case RSP_IDLE:
		break;
	case RSP_BODY:
		return in_body(p, byte);
	case RSP_ESCAPED:
		p->sum += byte;
		p->state = RSP_BODY;
		put(p, byte ^ ESCAPE_XOR);
		return RSP_NOTHING;
	case RSP_SUM1:
	case RSP_SUM2:
		return in_sum(p, byte);
	}
	return in_idle(p, byte);
}

static bool must_escape(char ch)
{
	return ch == '$' || ch == '#' || ch == ESCAPE || ch == '*';
}

size_t rsp_encode(const char *payload, size_t len, char out[RSP_WIRE_BYTES])
{
	uint8_t sum = 0;
	size_t at = 0;

	out[at++] = '$';
	for (size_t i = 0; i < len && i < RSP_MAX_BYTES; i++) {
		if (must_escape(payload[i])) {
			out[at++] = ESCAPE;
			out[at++] = (char)(payload[i] ^ ESCAPE_XOR);
		} else {
			out[at++] = payload[i];
		}
	}
	for (size_t i = 1; i < at; i++)
		sum += (uint8_t)out[i];
	out[at++] = '#';
	rsp_put_hex(out + at, &sum, 1);
	return at + 2;
}

void rsp_put_hex(char *out, const void *data, size_t len)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++) {
		*out++ = digits[bytes[i] >> 4];
		*out++ = digits[bytes[i] & 0xf];
	}
}

bool rsp_get_hex(void *data, size_t len, const char *text)
{
	uint8_t *bytes = data;

	for (size_t i = 0; i < len; i++, text += 2) {
		int high = digit(text[0]);
		int low = high < 0 ? -1 : digit(text[1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool rsp_get_number(const char **text, uint64_t *ret)
{
	uint64_t value = 0;
	unsigned nr = 0;

	for (; digit(**text) >= 0; (*text)++) {
		if (++nr > 16)
			return false;
		value = value << 4 | (unsigned)digit(**text);
	}
	if (!nr)
		return false;
	*ret = value;
	return true;
}
