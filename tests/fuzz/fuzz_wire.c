// SPDX-License-Identifier: MIT
// What peers and people say before a teleport: preambles, answers, section headers,
// addresses, key files. Any bytes are read or refused.
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "migration/address.h"
#include "migration/preamble.h"
#include "migration/section.h"
#include "migration/tls_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read is written the same way again. */
static void try_preamble(const uint8_t *data, size_t size)
{
	uint8_t buf[PREAMBLE_BYTES] = { 0 }, again[PREAMBLE_BYTES];
	struct preamble p;
	struct err e;

	memcpy(buf, data, size < sizeof(buf) ? size : sizeof(buf));
	if (preamble_decode(buf, &p, &e) < 0 || p.version != TELEPORT_VERSION)
		return;
	preamble_encode(again, &p);
	assert(!memcmp(buf, again, sizeof(buf)));
}

static void try_reply(const uint8_t *data, size_t size)
{
	uint8_t buf[PREAMBLE_REPLY_BYTES] = { 0 };
	struct err e;

	memcpy(buf, data, size < sizeof(buf) ? size : sizeof(buf));
	(void)!preamble_decode_reply(buf, &e);
}

static void try_section(const uint8_t *data, size_t size)
{
	struct section s;
	struct err e;

	if (size < SECTION_HEADER_BYTES || section_parse_header(data, &s, &e) < 0)
		return;
	assert(s.bytes <= section_max_bytes(s.type));
	if (s.bytes <= size - SECTION_HEADER_BYTES)
		(void)!section_verify(data, data + SECTION_HEADER_BYTES, &e);
}

static void try_address(const char *text)
{
	struct address a, again;
	char shown[sizeof(a.host) + 16];
	struct err e;

	if (address_parse(&a, text, &e) < 0)
		return;
	address_show(&a, shown, sizeof(shown));
	assert(address_parse(&again, shown, &e) == 0 && a.kind == again.kind);
}

static void try_keys(const char *text, size_t len)
{
	struct tls_credentials creds = { 0 };
	struct err e;

	(void)!tls_parse_keys(&creds, text, len, "fuzz", &e);
	assert(creds.nr_keys <= TLS_MAX_KEYS);
	free(creds.keys);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	try_preamble(data, size);
	try_reply(data, size);
	try_section(data, size);
	try_address(text);
	try_keys((const char *)data, size);
	free(text);
	return 0;
}
