// SPDX-License-Identifier: MIT
// Descriptors that travel over a UNIX socket (SCM_RIGHTS), one with a message.
#include "util/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control_space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int))];
};

ssize_t fdpass_send(int sock, const void *buf, size_t len, int fd, int flags)
{
	union control_space space = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	ssize_t n;

	if (fd >= 0) {
		hdr.msg_control = space.bytes;
		hdr.msg_controllen = sizeof(space.bytes);
		cmsg = CMSG_FIRSTHDR(&hdr);
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
	}
	do {
		n = sendmsg(sock, &hdr, flags | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* There is room for one descriptor; the kernel has closed those that found none. */
static int fd_of(struct msghdr *hdr)
{
	const struct cmsghdr *cmsg = CMSG_FIRSTHDR(hdr);
	int fd = -1;

	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
	    cmsg->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	if (!(hdr->msg_flags & MSG_CTRUNC))
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -EMFILE;
}

ssize_t fdpass_recv(int sock, void *buf, size_t len, int *ret_fd, int flags)
{
	union control_space space = { 0 };
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	struct msghdr hdr = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		/* Not CMSG_SPACE(): its padding has room for a second one. */
		.msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n;

	*ret_fd = -1;
	do {
		n = recvmsg(sock, &hdr, flags | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_fd = fd_of(&hdr);
	return n;
}
