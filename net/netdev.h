/* SPDX-License-Identifier: MIT */
/* Network back ends: where a virtio-net device's frames go to and come from. */
#ifndef FERRY_NET_NETDEV_H
#define FERRY_NET_NETDEV_H

#include <net/if.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/loop.h"

/*
 * Theory of operation
 *
 * A back end has one or more queue pairs, each worked by one loop, on whose
 * thread everything about that pair happens. The device pulls: it says with
 * ->watch which conditions it waits for, and from the callbacks it receives or
 * sends until -EAGAIN. What nobody pulls stays where it is (in the kernel's
 * queue of a tap, in a bounded queue of ours), so a guest without receive
 * buffers costs nothing.
 *
 * Each frame is preceded by a struct virtio_net_hdr_v1 (VIRTIO 1.2, 5.1.6),
 * NETDEV_HDR_BYTES long, in both directions: the fields of checksum and
 * segmentation offload travel in it between guest and kernel. num_buffers is
 * neither read nor written by back ends.
 */
#define NETDEV_HDR_BYTES   12U
#define NETDEV_FRAME_MAX   65550U /* a 64 KiB segment and its Ethernet header */
#define NETDEV_MAX_PAIRS   64U
#define NETDEV_DEFAULT_MTU 1500U
#define NETDEV_MIN_MTU     68U /* RFC 791; virtio's floor too (5.1.4.1) */
#define NETDEV_MAX_MTU     65521U
#define NETDEV_MAX_SOCKETS 4096U /* of a user network */

/* What may be left to the other side: checksums, segmentation. */
enum netdev_offload {
	NETDEV_CSUM = 1 << 0, /* without it, none of the others */
	NETDEV_TSO4 = 1 << 1,
	NETDEV_TSO6 = 1 << 2,
	NETDEV_ECN = 1 << 3, /* TSO of segments with ECN bits */
	NETDEV_UFO = 1 << 4,
	NETDEV_USO4 = 1 << 5,
	NETDEV_USO6 = 1 << 6,
};

/* Conditions of a queue pair that a device can wait for. */
enum netdev_events {
	NETDEV_READABLE = 1 << 0,
	NETDEV_WRITABLE = 1 << 1,
};

/* What a back end tells the device, on the loop of the queue pair. */
struct netdev_client {
	void (*readable)(void *opaque);
	void (*writable)(void *opaque);
	void *opaque;
};

struct netdev;
struct vstate_reader;
struct vstate_writer;

struct netdev_ops {
	const char *type;               /* "tap", "user" */
	enum thread_class thread_class; /* of the loops that work it */

	/*
	 * The loop that works @pair, and whom to call; nothing is watched yet.
	 * Before the loop runs, or on its thread. 0 or -errno.
	 */
	int (*attach)(struct netdev *nd, unsigned pair, struct loop *loop,
		      const struct netdev_client *client);
	/* No callback comes after this. Loop of the pair. Not attached: no-op. */
	void (*detach)(struct netdev *nd, unsigned pair);

	/*
	 * Call the client while one of @events (NETDEV_*) holds; level
	 * triggered, 0 stops it. Loop of the pair.
	 */
	void (*watch)(struct netdev *nd, unsigned pair, unsigned events);

	/*
	 * Send one frame, header first. Bytes taken; -EAGAIN: not now, watch
	 * for NETDEV_WRITABLE; any other error: the frame is bad or lost.
	 * Loop of the pair.
	 */
	ssize_t (*send)(struct netdev *nd, unsigned pair, const struct iovec *iov, unsigned nr_iov);

	/*
	 * Receive one frame, header first, into @iov, which holds at least the
	 * header. Bytes of header and frame, more than there was room for if
	 * it was cut off; -EAGAIN: none there. Loop of the pair.
	 */
	ssize_t (*receive)(struct netdev *nd, unsigned pair, const struct iovec *iov,
			   unsigned nr_iov);

	/*
	 * Which of nd->offloads frames to the guest may use from now on.
	 * Any thread. 0 or -errno.
	 */
	int (*set_offloads)(struct netdev *nd, unsigned offloads);

	/*
	 * Use the first @nr pairs only; the others get no frames. NULL where
	 * there is one pair. Any thread, one at a time. 0 or -errno.
	 */
	int (*set_pairs)(struct netdev *nd, unsigned nr);

	/*
	 * What must go with the guest of the network itself, as in struct
	 * device_ops. NULL: nothing. Loop of pair 0, which is attached.
	 */
	void (*save)(struct netdev *nd, struct vstate_writer *w);
	int (*load)(struct netdev *nd, struct vstate_reader *r, struct err *e);

	/* Release everything; all pairs are detached. */
	void (*close)(struct netdev *nd);
};

/* Embedded in the back end's own structure; const once open. */
struct netdev {
	const struct netdev_ops *ops;
	unsigned nr_pairs;
	unsigned offloads;         /* NETDEV_*: what it can do, both directions */
	unsigned mtu;              /* of the network behind it */
	char host_if[IF_NAMESIZE]; /* the host's interface; "" where there is none */
};

enum netdev_kind { NETDEV_USER, NETDEV_TAP };

/* Sockets that several user networks share; any of their loops counts. */
struct netdev_sockets {
	unsigned max;        /* const */
	_Atomic unsigned nr; /* open, or about to be; relaxed */
};

/* What to open. Strings are the caller's and needed only during the call. */
struct netdev_config {
	enum netdev_kind kind;
	unsigned nr_pairs; /* 1 to NETDEV_MAX_PAIRS; user: 1 */
	unsigned mtu;      /* 0: the back end's own */

	/*
	 * tap: the interface, used if it exists and else created for as long
	 * as this process lives; NULL creates "ferryN". @bridge: make it a
	 * port of that bridge; NULL: leave it alone. @fds: its queues, one for
	 * each pair, from whoever opened it; they stay the caller's, and are needed
	 * during the call only. They may be anything, and are looked at. Then nothing is done to
	 * the interface, whose MTU is @host_mtu, and @tap is not needed.
	 */
	const char *tap;
	const char *bridge;
	const int *fds;
	unsigned host_mtu;

	/*
	 * user: port forwards "tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:PORT"
	 * (see user_fwd.h), and whether the guest is cut off from everything
	 * but these. @max_sockets: how many the guest may have this process
	 * open at a time; 0: NETDEV_MAX_SOCKETS. @sockets: how many by all networks
	 * that were given the same, which stays until they are closed; NULL: no matter.
	 */
	const char *const *hostfwds;
	unsigned nr_hostfwds;
	bool restricted;
	unsigned max_sockets;
	struct netdev_sockets *sockets;
};

/* Open a back end; @e says in one line what is wrong and how to mend it. */
__must_check int netdev_open(struct netdev **ret, const struct netdev_config *cfg, struct err *e);

/* Close it. NULL: no-op. */
void netdev_close(struct netdev *nd);

#endif
