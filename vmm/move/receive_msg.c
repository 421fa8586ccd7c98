// SPDX-License-Identifier: MIT
// Messages between the listener of `ferry receive` and the processes of its guests.
#include <errno.h>
#include <sys/socket.h>

#include "util/fdpass.h"
#include "util/printable.h"
#include "vmm/move/receive_impl.h"

int receive_msg_send(int sock, const struct receive_msg *msg, int fd)
{
	ssize_t n = fdpass_send(sock, msg, sizeof(*msg), fd, MSG_DONTWAIT);

	return n < 0 ? (int)n : 0;
}

int receive_msg_recv(int sock, struct receive_msg *ret, int *ret_fd)
{
	ssize_t n = fdpass_recv(sock, ret, sizeof(*ret), ret_fd, MSG_DONTWAIT);

	if (n <= 0)
		return n == -ECONNRESET ? 0 : (int)n;
	ret->text[sizeof(ret->text) - 1] = '\0';
	printable_ascii(ret->text); /* reasons quote what the peer has sent */
	return n == (ssize_t)sizeof(*ret) ? 1 : -EPROTO;
}
