/* SPDX-License-Identifier: MIT */
/* virtio-net: the network device (VIRTIO 1.2, 5.1). */
#ifndef FERRY_VIRTIO_NET_H
#define FERRY_VIRTIO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "net/mac.h"
#include "net/netdev.h"
#include "util/compiler.h"
#include "util/err.h"

struct pci_host;
struct virtio_dev;
struct vm;

#define NET_DEFAULT_QUEUE_SIZE 256U
#define NET_MIN_QUEUE_SIZE     16U
#define NET_MAX_CAPTURES       4U

/* Bits and packets a second; 0: no limit. */
struct net_rate {
	uint64_t bps, pps;
};

struct net_config {
	const char *id;               /* "net0" */
	struct netdev_config backend; /* with the number of queue pairs and the MTU */
	uint8_t mac[MAC_BYTES];       /* see mac_derive() */
	unsigned queue_size;          /* a power of two up to 1024; 0: the default */
	bool own_only;    /* no frames for other stations, whatever its driver asks for */
	bool no_offloads; /* offer the guest neither checksums nor segmentation */
	struct net_rate rx_rate, tx_rate; /* to and from the guest */
};

/* Since the device was made. */
struct net_counters {
	uint64_t packets, bytes;
	uint64_t dropped; /* filtered out, or no room for them */
	uint64_t errors;  /* malformed, or refused by the back end */
};

struct net_stats {
	struct net_counters rx, tx; /* to and from the guest */
};

/*
 * Open the back end and put a virtio-net device with it into the machine,
 * which owns it then. Main thread. 0, or -errno and the reason in @e.
 */
__must_check int net_new(struct vm *vm, struct pci_host *pci, const struct net_config *cfg,
			 struct virtio_dev **ret, struct err *e);

/*
 * Ask the guest to announce itself on its network (5.1.6.5.4), as after a
 * move. False: its driver cannot. Any thread.
 */
bool net_announce(struct virtio_dev *dev);

/*
 * The guest is on another host now: tell its network, so that switches and
 * neighbours send its frames here. RARP and, for addresses that it was seen to
 * use, gratuitous ARP and neighbour advertisements, five times within a second; a guest
 * that can is asked to announce itself as well. Without a network of the host's
 * (user) nothing is sent. A pause ends it. Any thread.
 */
void net_send_announce(struct virtio_dev *dev);

/*
 * The guest has left for another host, and will not run here again: what still comes for
 * it goes to the client. That is unicast only, which its driver would have got: anything
 * else reaches it where it is. A client is called on the loops of the device.
 */
struct net_forward_client {
	/* A frame behind its header of NETDEV_HDR_BYTES, which @bytes count too. */
	void (*frame)(void *opaque, const void *frame, size_t bytes);
	/* What net_send_announce() sends has come by: no more will follow. May be told twice. */
	void (*announced)(void *opaque);
	void *opaque;
};

/*
 * Begin; the device is paused, and stays so. False: nothing can come, as it has no network of
 * the host's, or its cable is out. Not from a loop of the device, as the next two.
 */
bool net_forward_start(struct virtio_dev *dev, const struct net_forward_client *client);

/* Tell what waits, then no more. */
void net_forward_stop(struct virtio_dev *dev);

/*
 * Give the guest frames that came for it where it was, each as net_forward has it, ahead of
 * what comes from its network. They are copied; any bytes are possible. What there is no room
 * for, or its driver does not want, is counted as dropped.
 */
void net_arrive(struct virtio_dev *dev, const struct iovec *frames, unsigned nr);

/*
 * Put the guest's cable in or take it out; it is in at first. It is told, and frames
 * of either direction are lost meanwhile. Saved with the device. Any thread.
 */
void net_set_link(struct virtio_dev *dev, bool up);

enum net_link {
	NET_LINK_UP,
	NET_LINK_DOWN,   /* by net_set_link() */
	NET_LINK_FAILED, /* the back end is gone: it will not come back */
};

/* What the guest is told, and why. Any thread. */
enum net_link net_get_link(struct virtio_dev *dev);

/* Other limits from now on, for what waits too. Any thread. */
void net_set_rates(struct virtio_dev *dev, const struct net_rate *rx, const struct net_rate *tx);

/* What went through so far. Any thread. */
void net_get_stats(struct virtio_dev *dev, struct net_stats *ret);

/* The same of one queue pair; how many there are. Any thread. */
void net_get_pair_stats(struct virtio_dev *dev, unsigned pair, struct net_stats *ret);
unsigned net_nr_pairs(struct virtio_dev *dev);

/*
 * From now on send a copy of each frame that goes through, up to @snaplen bytes of it,
 * to the socket @fd, as net/capture.h has it; @fd is taken over if 0 is returned. Ends
 * by itself when the other end asks for it or is closed, and with the device. -EBUSY:
 * as many as are possible watch already; another -errno. Not from a loop of the device.
 */
__must_check int net_capture(struct virtio_dev *dev, int fd, unsigned snaplen);

/* The back end, for those who show it. Const. */
const struct netdev *net_backend(struct virtio_dev *dev);

#endif
