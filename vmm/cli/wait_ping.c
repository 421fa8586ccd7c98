// SPDX-License-Identifier: MIT
// Waiting for a guest's network: ICMP echo until it is answered.
#include <errno.h>
#include <netdb.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/cli/wait.h"
#include "vmm/control/client.h"

#define INTERVAL_NS (200 * NSEC_PER_MSEC)

/*
 * The kernel's echo sockets (icmp(7)) need no privileges where net.ipv4.ping_group_range
 * allows them, and fill in identifier and checksum. Elsewhere a raw socket will do, for
 * who has CAP_NET_RAW: it gets every ICMP message from there, behind the IPv4 header.
 */
struct echo {
	int fd;
	bool raw, ip6;
	uint16_t id; /* of a raw one */
	uint16_t sequence;
};

static int open_socket(struct echo *echo, int family)
{
	int protocol = echo->ip6 ? (int)IPPROTO_ICMPV6 : (int)IPPROTO_ICMP;
	int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;

	echo->fd = socket(family, SOCK_DGRAM | flags, protocol);
	echo->raw = echo->fd < 0 && errno == EACCES;
	if (echo->raw)
		echo->fd = socket(family, SOCK_RAW | flags, protocol);
	return echo->fd < 0 ? -errno : 0;
}

static int open_echo(struct echo *echo, const char *address, struct err *e)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	int rc;

	if (getaddrinfo(address, NULL, &hints, &found) != 0)
		return err_set(e, -EINVAL, "--event: '%.60s' is not an address", address);
	echo->ip6 = found->ai_family == AF_INET6;
	rc = open_socket(echo, found->ai_family);
	if (rc == 0 && connect(echo->fd, found->ai_addr, found->ai_addrlen) < 0)
		rc = -errno;
	freeaddrinfo(found);
	if (rc == 0)
		return 0;
	close_fd(&echo->fd);
	if (rc == -EPERM || rc == -EACCES)
		return err_set(e, rc,
			       "ping: not allowed: see net.ipv4.ping_group_range in icmp(7)");
	return err_set(e, rc, "ping %s: %s", address, strerror(-rc));
}

/* RFC 1071; of a header without data. */
static uint16_t checksum(const struct icmphdr *msg)
{
	uint16_t words[sizeof(*msg) / 2];
	uint32_t sum = 0;

	memcpy(words, msg, sizeof(*msg));
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

static void send_echo(struct echo *echo)
{
	struct icmphdr msg = { .type = echo->ip6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO };

	msg.un.echo.id = echo->id;
	msg.un.echo.sequence = htons(++echo->sequence);
	msg.checksum = checksum(&msg); /* the kernel makes the one of IPv6, RFC 3542 section 3.1 */
	(void)send(echo->fd, &msg, sizeof(msg), MSG_NOSIGNAL);
}

/* Is this the answer to one of ours? Any one is good. */
static bool is_answer(const struct echo *echo, const uint8_t *buf, size_t len)
{
	size_t skip = echo->raw && !echo->ip6 && len ? (buf[0] & 0xfU) * 4U : 0;
	struct icmphdr msg;

	if (len < skip + sizeof(msg))
		return false;
	memcpy(&msg, buf + skip, sizeof(msg));
	return msg.type == (echo->ip6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY) &&
	       (!echo->raw || msg.un.echo.id == echo->id);
}

/* What the network reports meanwhile (no such host yet) is read away. */
static bool got_answer(const struct echo *echo)
{
	uint8_t buf[512];
	ssize_t n;

	for (unsigned i = 0; i < 64; i++) {
		n = recv(echo->fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n > 0 && is_answer(echo, buf, (size_t)n))
			return true;
	}
	return false;
}

static int ping_until(const struct control_client *c, struct echo *echo, uint64_t deadline_ns)
{
	struct pollfd pfds[2] = {
		{ .fd = echo->fd, .events = POLLIN },
		{ .fd = c->pidfd, .events = POLLIN },
	};
	uint64_t now_ns, next_ns;

	while ((now_ns = clock_now_ns()) < deadline_ns) {
		next_ns = MIN(deadline_ns, now_ns + INTERVAL_NS);
		send_echo(echo);
		for (; now_ns < next_ns; now_ns = clock_now_ns()) {
			(void)poll(pfds, ARRAY_SIZE(pfds),
				   (int)((next_ns - now_ns) / NSEC_PER_MSEC) + 1);
			if (got_answer(echo))
				return 0;
			if (pfds[1].revents)
				return -EPIPE;
		}
	}
	return -ETIMEDOUT;
}

int wait_ping(const struct control_client *c, const char *address, uint64_t deadline_ns,
	      struct err *e)
{
	struct echo echo = { .fd = -1, .id = (uint16_t)getpid() };
	int rc = open_echo(&echo, address, e);

	if (rc < 0)
		return rc;
	rc = ping_until(c, &echo, deadline_ns);
	close_fd(&echo.fd);
	if (rc == -EPIPE)
		return err_set(e, rc, "the guest has ended");
	return rc < 0 ? err_set(e, rc, "%s does not answer in time", address) : 0;
}
