// SPDX-License-Identifier: MIT
// Port forwards of user networking: their syntax.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net/port.h"
#include "net/user_fwd.h"

socklen_t user_addr_bytes(const union user_addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in);
}

/* The rest of @text after @prefix, or NULL. */
static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static int parse_address(const char *text, size_t len, union user_addr *ret)
{
	char copy[INET6_ADDRSTRLEN];
	bool bracketed = len >= 2 && text[0] == '[' && text[len - 1] == ']';

	if (bracketed) {
		text++;
		len -= 2;
	}
	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (bracketed) {
		ret->in6.sin6_family = AF_INET6;
		return inet_pton(AF_INET6, copy, &ret->in6.sin6_addr) == 1 ? 0 : -EINVAL;
	}
	ret->in.sin_family = AF_INET;
	if (len == 0)
		return 0; /* the caller's default is there */
	return inet_pton(AF_INET, copy, &ret->in.sin_addr) == 1 ? 0 : -EINVAL;
}

/* "ADDR:PORT" up to @end. */
static int parse_end(const char *text, const char *end, union user_addr *ret)
{
	const char *colon = memrchr(text, ':', (size_t)(end - text));
	int port = colon ? net_port_parse(colon + 1, (size_t)(end - colon - 1)) : -EINVAL;
	int rc;

	if (port < 0)
		return port;
	rc = parse_address(text, (size_t)(colon - text), ret);
	if (rc < 0)
		return rc;
	/* The port is at the same place in both. */
	ret->in.sin_port = htons((uint16_t)port);
	return 0;
}

int user_fwd_parse(const char *text, struct user_fwd *ret, struct err *e)
{
	const char *rest = after(text, "tcp:"), *dash;
	int rc = -EINVAL;

	memset(ret, 0, sizeof(*ret));
	ret->host.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (!rest) {
		rest = after(text, "udp:");
		ret->udp = true;
	}
	dash = rest ? strchr(rest, '-') : NULL;
	if (dash)
		rc = parse_end(rest, dash, &ret->host);
	if (rc == 0)
		rc = parse_end(dash + 1, dash + 1 + strlen(dash + 1), &ret->guest);
	if (rc < 0)
		return err_set(e, rc,
			       "hostfwd '%s': write tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:PORT, "
			       "as in tcp:127.0.0.1:2222-:22",
			       text);
	if (ret->host.sa.sa_family != ret->guest.sa.sa_family)
		return err_set(e, -EINVAL,
			       "hostfwd '%s': both addresses must be IPv4, or both IPv6 in "
			       "brackets",
			       text);
	return 0;
}
