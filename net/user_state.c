// SPDX-License-Identifier: MIT
// Saved state of user networking: what libslirp can carry.
#include "net/user_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What it writes has a hundred and some bytes; how many is asked of it. */
#define MAX_BYTES 1024U

/* The first byte says whether a socket follows: of guestfwd, which we do not have. */
#define NO_SOCKET 0U

struct user_state {
	uint32_t version; /* of libslirp's format */
};

static const struct vstate_field user_fields[] = {
	VS_U32_MAX(1, struct user_state, version, INT32_MAX),
};

const struct vstate_table user_vstate = {
	VSTATE_TABLE("user-net", struct user_state, user_fields),
};

struct buffer {
	uint8_t data[MAX_BYTES];
	size_t len, at;
	bool overrun;
};

static ssize_t append(const void *data, size_t len, void *opaque)
{
	struct buffer *buf = opaque;

	if (len > sizeof(buf->data) - buf->len) {
		buf->overrun = true;
		return -1;
	}
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return (ssize_t)len;
}

/* Beyond the end there are zeroes, since libslirp does not look at what we return. */
static ssize_t take(void *data, size_t len, void *opaque)
{
	struct buffer *buf = opaque;
	size_t n = MIN(len, buf->len - buf->at);

	memset(data, 0, len);
	memcpy(data, buf->data + buf->at, n);
	buf->at += n;
	buf->overrun |= n < len;
	return (ssize_t)len;
}

void user_state_save(Slirp *slirp, struct vstate_writer *w)
{
	const struct user_state state = { .version = (uint32_t)slirp_state_version() };
	struct buffer buf = { .len = 0 };

	slirp_state_save(slirp, append, &buf);
	if (buf.overrun) {
		vstate_put_error(w, -E2BIG);
		return;
	}
	vstate_put(w, &user_vstate, 0, &state);
	vstate_put_blob(w, "libslirp", 0, buf.data, buf.len);
}

/* Only what has the length that libslirp itself writes is given to it: it is old C. */
static int check_length(Slirp *slirp, const struct user_state *state, size_t len, struct err *e)
{
	struct buffer own = { .len = 0 };
	bool same = state->version == (uint32_t)slirp_state_version();

	slirp_state_save(slirp, append, &own);
	if (own.overrun || len > own.len || (same && len != own.len))
		return err_set(e, -EINVAL, "libslirp: a state of %zu bytes, where this one has %zu",
			       len, own.len);
	return 0;
}

int user_state_load(Slirp *slirp, struct vstate_reader *r, struct err *e)
{
	struct user_state state = { 0 };
	struct buffer buf = { .len = 0 };
	struct vstate_blob blob = { 0 };
	int rc = vstate_get(r, &user_vstate, 0, &state, e);

	if (rc == 0)
		rc = vstate_get_blob(r, "libslirp", 0, MAX_BYTES, &blob, e);
	if (rc < 0)
		return rc;
	if (state.version > (uint32_t)slirp_state_version())
		return err_set(e, -ENOTSUP,
			       "libslirp: the state has version %u, and this host's libslirp knows "
			       "%d: install a newer one",
			       state.version, slirp_state_version());
	if (blob.len == 0)
		return err_set(e, -EINVAL, "libslirp: the state is empty");
	rc = check_length(slirp, &state, blob.len, e);
	if (rc < 0)
		return rc;
	memcpy(buf.data, blob.data, blob.len);
	buf.len = blob.len;
	if (buf.data[0] != NO_SOCKET)
		return err_set(e, -EINVAL,
			       "libslirp: the state has sockets that ferry never makes");
	rc = slirp_state_load(slirp, (int)state.version, take, &buf);
	if (rc != 0 || buf.overrun || buf.at != buf.len)
		return err_set(e, -EINVAL, "libslirp: does not understand its state of %zu bytes",
			       buf.len);
	return 0;
}
