// SPDX-License-Identifier: MIT
// Pairs of channels for memory streams, and raw ends to write bad records to.
#include "tests/unit/ram_pipe.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RAW_BUFFER_BYTES (4 * 1024 * 1024)

static void connect_tcp(int pair[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
	assert_int_equal(connect(pair[0], (struct sockaddr *)&addr, sizeof(addr)), 0);
	pair[1] = accept(listener, NULL, NULL);
	assert_true(pair[1] >= 0);
	(void)close(listener);
}

void ram_pipes_open(struct ram_pipes *p, unsigned nr, bool tcp)
{
	struct err e;

	p->nr = nr;
	for (unsigned i = 0; i < nr; i++) {
		int pair[2];

		if (tcp)
			connect_tcp(pair);
		else
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair),
					 0);
		assert_int_equal(channel_new(&p->tx[i], pair[0], &e), 0);
		assert_int_equal(channel_new(&p->rx[i], pair[1], &e), 0);
	}
}

void ram_pipes_close(struct ram_pipes *p)
{
	for (unsigned i = 0; i < p->nr; i++) {
		channel_free(p->tx[i]);
		channel_free(p->rx[i]);
	}
	p->nr = 0;
}

struct channel *ram_pipe_raw(int *ret_fd)
{
	const int bytes = RAW_BUFFER_BYTES;
	struct channel *ch = NULL;
	struct err e;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
	assert_int_equal(channel_new(&ch, pair[1], &e), 0);
	*ret_fd = pair[0];
	return ch;
}
