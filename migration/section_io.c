// SPDX-License-Identifier: MIT
// Sections on a channel.
#include <errno.h>
#include <string.h>

#include "migration/channel.h"
#include "migration/section.h"
#include "util/io.h"

/* More optional sections in a row than any version will ever send. */
#define MAX_SKIPPED 64U

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

int section_send(struct channel *ch, uint32_t type, uint32_t id, const void *payload, size_t bytes,
		 struct err *e)
{
	uint8_t header[SECTION_HEADER_BYTES];
	struct iovec iov[] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = bytes },
	};
	int rc;

	section_seal(header, type, id, payload, bytes);
	rc = channel_sendv(ch, iov, bytes ? 2 : 1);
	return rc < 0 ? err_channel(e, ch, rc) : 0;
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
