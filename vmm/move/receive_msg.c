// SPDX-License-Identifier: MIT
// Messages between the listener of `ferry receive` and the processes of its guests.
#include <ctype.h>
#include <errno.h>
#include <sys/socket.h>

#include "util/fdpass.h"
#include "vmm/move/receive_impl.h"

int receive_msg_send(int sock, const struct receive_msg *msg, int fd)
{
	ssize_t n = fdpass_send(sock, msg, sizeof(*msg), fd, MSG_DONTWAIT);

	return n < 0 ? (int)n : 0;
}

/* Reasons quote what the peer has sent: they must do nothing to a terminal or to JSON. */
static void clean(char *text)
{
	for (; *text; text++)
		*text = isprint((unsigned char)*text) ? *text : '?';
}

int receive_msg_recv(int sock, struct receive_msg *ret, int *ret_fd)
{
	ssize_t n = fdpass_recv(sock, ret, sizeof(*ret), ret_fd, MSG_DONTWAIT);

	if (n <= 0)
		return n == -ECONNRESET ? 0 : (int)n;
	ret->text[sizeof(ret->text) - 1] = '\0';
	clean(ret->text);
	return n == (ssize_t)sizeof(*ret) ? 1 : -EPROTO;
}
