// SPDX-License-Identifier: MIT
// Sections on a channel.
#include <errno.h>
#include <string.h>

#include "migration/channel.h"
#include "migration/section.h"
#include "util/io.h"

/* More optional sections in a row than any version will ever send. */
#define MAX_SKIPPED 64U

/* Sections that are sent at once: more than a machine without many devices has. */
#define BATCH 32U

static int err_channel(struct err *e, const struct channel *ch, int rc)
{
	const char *why = strerror(-rc);

	if (rc == -ECONNRESET || rc == -EPIPE)
		why = "the peer hung up";
	else if (rc == -ETIMEDOUT)
		why = "the peer does not answer";
	else if (rc == -ECANCELED)
		why = "cancelled";
	return err_set(e, rc, "%s: %s", channel_describe(ch), why);
}

/* In one system call, so that the peer wakes up once for them. */
static int send_batch(struct channel *ch, const struct section *items, size_t nr)
{
	uint8_t headers[BATCH][SECTION_HEADER_BYTES];
	struct iovec iov[2 * BATCH];

	for (size_t i = 0; i < nr; i++) {
		const struct section *s = &items[i];

		section_seal(headers[i], s->type, s->id, s->payload, s->bytes);
		iov[2 * i] = (struct iovec){ headers[i], SECTION_HEADER_BYTES };
		iov[2 * i + 1] = (struct iovec){ s->payload, s->bytes };
	}
	return channel_sendv(ch, iov, (unsigned)(2 * nr));
}

int section_send_all(struct channel *ch, const struct section *items, size_t nr, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < nr && rc == 0; i += BATCH)
		rc = send_batch(ch, items + i, MIN(nr - i, (size_t)BATCH));
	return rc < 0 ? err_channel(e, ch, rc) : 0;
}

int section_send(struct channel *ch, uint32_t type, uint32_t id, const void *payload, size_t bytes,
		 struct err *e)
{
	const struct section s = section_of(type, id, payload, bytes);

	return section_send_all(ch, &s, 1, e);
}

static int recv_one(struct channel *ch, struct section *ret, struct err *e)
{
	uint8_t header[SECTION_HEADER_BYTES];
	struct section s;
	int rc = channel_recv(ch, header, sizeof(header));

	if (rc < 0)
		return err_channel(e, ch, rc);
	rc = section_parse_header(header, &s, e);
	if (rc < 0)
		return rc;
	s.payload = malloc(s.bytes + 1);
	if (!s.payload)
		return err_set(e, -ENOMEM, "out of memory");
	rc = channel_recv(ch, s.payload, s.bytes);
	if (rc < 0)
		rc = err_channel(e, ch, rc);
	else
		rc = section_verify(header, s.payload, e);
	if (rc < 0) {
		section_fini(&s);
		return rc;
	}
	((char *)s.payload)[s.bytes] = '\0'; /* for those that are text */
	*ret = s;
	return 0;
}

int section_recv(struct channel *ch, struct section *ret, struct err *e)
{
	for (unsigned i = 0; i <= MAX_SKIPPED; i++) {
		struct section s = { 0 };
		int rc = recv_one(ch, &s, e);

		if (rc < 0)
			return rc;
		if (!(s.type & SECTION_OPTIONAL) || section_is_known(s.type)) {
			*ret = s;
			return 0;
		}
		section_fini(&s);
	}
	return err_set(e, -EPROTO, "%s: too many unknown sections", channel_describe(ch));
}
