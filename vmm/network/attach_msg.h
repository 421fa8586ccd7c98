/* SPDX-License-Identifier: MIT */
/* What a guest's process asks of ferry-net, and what that answers. */
#ifndef FERRY_VMM_NETWORK_ATTACH_MSG_H
#define FERRY_VMM_NETWORK_ATTACH_MSG_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/mac.h"
#include "net/managed/netlink.h"
#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/runtime.h"

/*
 * Both are one JSON object in one packet of a SOCK_SEQPACKET socket, at most
 * ATTACH_MSG_BYTES long. The answer to a request that was granted brings
 * descriptors: one for each queue pair, and but for a tap one more, which is
 * the lock that says that the nic's owner lives. All keys are always there.
 */
#define ATTACH_MSG_BYTES  2048U
#define ATTACH_MAX_QUEUES 16U
#define ATTACH_MAX_FDS    (ATTACH_MAX_QUEUES + 1)

enum attach_kind {
	ATTACH_NETWORK, /* a managed network */
	ATTACH_TAP,     /* a tap that is there, and gets back what is changed of it */
	ATTACH_MACVTAP, /* an interface of the nic's own on one of the host */
	ATTACH_NR_KINDS
};

struct attach_request {
	enum attach_kind kind;
	char name[IF_NAMESIZE];   /* of the network, the tap, or macvtap's interface below */
	char bridge[IF_NAMESIZE]; /* tap: to put it on; "": none */
	char guest[RUNTIME_NAME_MAX + 1]; /* name of the guest */
	unsigned nic;                     /* which of its nics, from 0 */
	unsigned queues;                  /* 1 to ATTACH_MAX_QUEUES */
	unsigned mtu;                     /* 0: the network's */
	unsigned vlan;                    /* 0: none */
	char mode[12];                    /* macvtap: "bridge", "vepa", "private" */
	bool unfiltered;                  /* may send from any address */
	bool trial;                       /* dry run: a network made for it goes with it */
	uint8_t mac[MAC_BYTES];
	struct net_prefix v4, v6; /* the address that it wants; family 0: any */
};

struct attach_answer {
	struct err e;                /* code 0: granted */
	char interface[IF_NAMESIZE]; /* the tap */
	unsigned mtu;                /* what it has */
	int fds[ATTACH_MAX_FDS];     /* the receiver's own */
	unsigned nr_fds;
};

/*
 * Text of @req into @buf. Parse: of @len bytes from anybody, 0 or -EINVAL with
 * what is wrong.
 */
__must_check int attach_request_format(const struct attach_request *req,
				       char buf[ATTACH_MSG_BYTES]);
__must_check int attach_request_parse(const char *text, size_t len, struct attach_request *ret,
				      struct err *e);

/* The same for answers, without the descriptors. */
__must_check int attach_answer_format(const struct attach_answer *answer,
				      char buf[ATTACH_MSG_BYTES]);
__must_check int attach_answer_parse(const char *text, size_t len, struct attach_answer *ret,
				     struct err *e);

/* One packet with @nr_fds descriptors, which stay the caller's. 0 or -errno; never waits. */
__must_check int attach_send(int sock, const char *text, const int *fds, unsigned nr_fds);

/*
 * Wait @timeout_ms (-1: for ever) for a packet. Bytes of it; 0: the peer is gone;
 * -ETIMEDOUT; -EPROTO: too long, or more than @max_fds descriptors. They are the caller's.
 */
__must_check ssize_t attach_receive(int sock, int timeout_ms, char buf[ATTACH_MSG_BYTES], int *fds,
				    unsigned max_fds, unsigned *ret_nr_fds);

#endif
