// SPDX-License-Identifier: MIT
// Port forwards, of managed networks and of user networking: any text is read or refused.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/netdef.h"
#include "net/user_fwd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void managed(const char *text)
{
	struct net_forward f = { 0 }, f2 = { 0 };
	struct err e = { 0 };
	char buf[96];

	if (net_forward_parse(text, &f, &e) < 0)
		return;
	if (net_forward_parse(net_forward_format(&f, buf), &f2, &e) < 0 || f.udp != f2.udp ||
	    f.host_port != f2.host_port || f.guest_port != f2.guest_port ||
	    strcmp(f.guest, f2.guest) != 0 || !f.host_port || !f.guest_port ||
	    strpbrk(f.guest, "\" \t\n\\,;{}"))
		abort();
}

static void user(const char *text)
{
	struct user_fwd f;
	struct err e = { 0 };

	if (user_fwd_parse(text, &f, &e) == 0 && (!f.host.in.sin_port || !f.guest.in.sin_port ||
						  f.host.sa.sa_family != f.guest.sa.sa_family))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	if (!text)
		return 0;
	managed(text);
	user(text);
	free(text);
	return 0;
}
