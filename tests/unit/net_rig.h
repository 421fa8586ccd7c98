/* SPDX-License-Identifier: MIT */
/* A virtio-net device between a driver and a network that are both the test's. */
#ifndef FERRY_TESTS_UNIT_NET_RIG_H
#define FERRY_TESTS_UNIT_NET_RIG_H

#include "tests/unit/ring.h"
#include "virtio/net_impl.h"

#define NET_RIG_PAIRS  2U
#define NET_RIG_QUEUES (2 * NET_RIG_PAIRS + 1)
#define NET_RIG_SIZE   64U /* of each ring */
#define NET_RIG_FRAME  (NETDEV_FRAME_MAX + NETDEV_HDR_BYTES)
#define NET_RIG_MEM    (4 * MIB)

/* Guest memory: a ring each 16 KiB from here, then buffers. */
#define NET_RIG_RINGS   0x10000ULL
#define NET_RIG_BUFFERS 0x100000ULL

#define NET_RIG_LOG 32U

#define NET_BIT(n) (1ULL << (n))

/* A back end that keeps what is sent and gives what it was told to. */
struct net_rig_backend {
	struct netdev nd;
	struct netdev_client client[NET_RIG_PAIRS];
	unsigned events[NET_RIG_PAIRS]; /* watched */
	unsigned offloads, nr_active;   /* as set by the device */
	int fail;                       /* what setting them returns */

	unsigned nr_room;                 /* frames taken before -EAGAIN */
	_Atomic unsigned nr_sent;         /* after log */
	size_t sent_bytes;                /* of the last one, header included */
	uint8_t sent[NET_RIG_FRAME + 64]; /* the last one */
	uint8_t log[NET_RIG_LOG][128];    /* how the first ones began, without their headers */

	unsigned nr_waiting;  /* frames to receive, all alike */
	size_t waiting_bytes; /* header included */
	uint8_t waiting[NET_RIG_FRAME + 64];
	int receive_error; /* instead of -EAGAIN */
};

struct net_rig {
	struct vm *vm;
	struct net *net;
	struct net_rig_backend *be; /* the device's */
	struct ring rings[NET_RIG_QUEUES];
	_Atomic unsigned interrupts[NET_RIG_QUEUES], config_interrupts;
};

/* Make the device, with a driver that has accepted @features. */
void net_rig_open(struct net_rig *rig, uint64_t features);
void net_rig_close(struct net_rig *rig);

/* Start or stop a queue, as the transport does. */
void net_rig_start(struct net_rig *rig, unsigned queue);
void net_rig_stop(struct net_rig *rig, unsigned queue);

/* A notification by the driver; back when it has been handled. */
void net_rig_kick(struct net_rig *rig, unsigned queue);

/* The back end has frames, or takes more; only if the device waits for that. */
void net_rig_readable(struct net_rig *rig, unsigned pair);
void net_rig_writable(struct net_rig *rig, unsigned pair);

/* Wait until the pair's loop has done what was posted to it. */
void net_rig_settle(struct net_rig *rig, unsigned pair);

/* Offer buffer @head of the queue, one descriptor: @bytes at net_rig_buffer(). */
void net_rig_offer(struct net_rig *rig, unsigned queue, uint16_t head, uint32_t bytes, bool write);

/* Guest memory of that buffer: 4 KiB each, of all queues alike. */
uint8_t *net_rig_buffer(struct net_rig *rig, uint16_t head);

#endif
