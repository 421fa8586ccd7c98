// SPDX-License-Identifier: MIT
// The secrets of a session: made, compared, as text.
#include "migration/ticket.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

_Static_assert(sizeof(struct ticket) == TICKET_HEX_BYTES / 2, "no padding");

int ticket_new(struct ticket *ret)
{
	return getrandom(ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret) ? 0 : -EIO;
}

bool ticket_equal(const uint8_t a[TICKET_BYTES], const uint8_t b[TICKET_BYTES])
{
	return gnutls_memcmp(a, b, TICKET_BYTES) == 0;
}

void ticket_to_hex(const struct ticket *t, char ret[TICKET_HEX_BYTES + 1])
{
	const uint8_t *bytes = (const uint8_t *)t;

	for (unsigned i = 0; i < sizeof(*t); i++)
		(void)snprintf(ret + (size_t)2 * i, 3, "%02x", bytes[i]);
}

int ticket_from_hex(const char *text, struct ticket *ret)
{
	gnutls_datum_t hex = { .data = (unsigned char *)(uintptr_t)text };
	struct ticket t;
	size_t bytes = sizeof(t);

	if (!text || strlen(text) != TICKET_HEX_BYTES)
		return -EPROTO;
	hex.size = TICKET_HEX_BYTES;
	if (gnutls_hex_decode(&hex, &t, &bytes) < 0 || bytes != sizeof(t))
		return -EPROTO;
	*ret = t;
	return 0;
}
