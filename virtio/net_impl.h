/* SPDX-License-Identifier: MIT */
/* Inside virtio-net: what its files share. */
#ifndef FERRY_VIRTIO_NET_IMPL_H
#define FERRY_VIRTIO_NET_IMPL_H

#include <linux/virtio_net.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "net/netdev.h"
#include "util/counter.h"
#include "util/thread.h"
#include "virtio/net.h"
#include "virtio/net_capture.h"
#include "virtio/net_filter.h"
#include "virtio/net_limit.h"
#include "virtio/virtio.h"

/*
 * Theory of operation
 *
 * Each queue pair has a loop, and so a thread, of its own: it works the pair's
 * receive and transmit queue and its half of the back end. The control queue
 * is worked by the loop of the pair in whose place it stands.
 *
 * What the control queue changes is kept in net->state under net->lock. The
 * receive filter is looked at for every frame, so each pair has a copy of it,
 * taken anew when filter_gen has moved (net_rx.c). How many pairs are in use
 * is a plain atomic, and changes are followed by net_pair_refresh() on each
 * loop.
 */

/* VIRTIO 1.2 names that Debian 12's headers do not have. */
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO   56
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/*
 * Buffers of one chain. No driver comes near: a frame in pages has 19. It
 * bounds what we collect before reading a frame.
 */
#define NET_CHAIN_MAX 256U

/* An Ethernet header, the least that is a frame. */
#define NET_FRAME_MIN 14U

struct net;

/* Counted by one thread, read by any: see util/counter.h. */
struct net_count {
	_Atomic uint64_t packets, bytes, dropped, errors;
};

/*
 * Chains that were popped and wait for frames, oldest first; see net_rx.c.
 * They are chains[first_chain ..] with the buffers iov[first_iov ..].
 */
struct net_window {
	struct iovec *iov;
	struct vq_chain *chains;
	unsigned max_chains;
	unsigned first_iov, nr_iov;
	unsigned first_chain, nr_chains;
	size_t bytes; /* that fit into them */
};

/* Frames that came for the guest where it was, oldest first; see net_arrive.c. */
struct net_arrivals {
	STAILQ_HEAD(, net_arrival) list;
	size_t bytes; /* of memory */
};

/* The receive half of a queue pair. Its loop only. */
struct net_rx {
	struct net *net;
	struct virtio_queue *q;
	unsigned pair;
	struct net_window window;
	size_t frame_bytes;  /* the largest frame expected, header included */
	size_t pending;      /* a frame that waits for more buffers: its bytes, or 0 */
	size_t pending_room; /* of them in the window, the rest in the spill */
	uint8_t *spill;
	struct net_arrivals arrivals;
	unsigned nr_filled; /* put into the used ring, not yet published */
	bool starved;       /* waits for a kick */
	bool failed;        /* the back end is gone */
	bool limited;       /* waits for the rate limit */
	struct loop_timer go_on;
	struct net_filter filter;
	uint32_t filter_gen;
	struct net_count count;
};

/* The transmit half. Its loop only. */
struct net_tx {
	struct net *net;
	struct virtio_queue *q;
	unsigned pair;
	bool blocked; /* waits for the back end to take more */
	bool shown;   /* the frame that waits, to those who watch */
	unsigned nr_filled;
	struct loop_timer go_on; /* more than one turn's share, or than the rate limit allows */
	struct iovec iov[NET_CHAIN_MAX + 1];
	struct net_count count;
};

struct net_pair {
	struct net *net;
	struct loop *loop;
	unsigned events; /* NETDEV_*: watched at present; loop only */
	const struct net_forward_client
		*forward; /* where frames go instead; NULL: to the guest; loop */
	struct net_rx rx;
	struct net_tx tx;
	struct loop_work refresh;
};

/* What the guest sees and is saved. */
struct net_state {
	struct net_filter filter;
	uint64_t guest_offloads; /* VIRTIO_NET_F_GUEST_*, as bits */
	uint16_t nr_pairs;       /* in use */
	uint16_t status;         /* VIRTIO_NET_S_* */
};

/* Addresses that the guest was seen to use, so that they can be announced. */
#define NET_ADDRS 4U

struct net_addrs {
	uint32_t nr_v4, nr_v6; /* the latest NET_ADDRS of each, in any order */
	uint8_t v4[4 * NET_ADDRS];
	uint8_t v6[16 * NET_ADDRS];
};

/* What a moment of it looks like in saved state. */
struct net_saved {
	struct net_state guest;
	struct net_addrs addrs;
	/* Tokens that the limits' buckets lack. */
	uint64_t rx_bits_missing, rx_packets_missing, tx_bits_missing, tx_packets_missing;
	uint16_t max_pairs, mtu; /* must be the same */
};

/* Tells the network where the guest is; loop of pair 0. */
struct net_announcer {
	struct loop_work start;
	struct loop_timer timer;
	unsigned rounds_left;
};

struct net {
	struct virtio_dev dev;
	struct netdev *backend; /* const */
	uint8_t mac[MAC_BYTES]; /* const: at power-on */
	bool own_only;          /* const: no unicast for others, see net_config */
	unsigned mtu;           /* const; 0: not told to the guest */
	unsigned nr_pairs;      /* const */

	struct mutex lock; /* protects: state, addrs, failed; order: innermost */
	struct net_state state;
	struct net_addrs addrs;
	struct net_announcer announcer;

	bool failed;            /* the back end is gone: the link stays down */
	_Atomic bool unplugged; /* by the user; set with the lock held; relaxed in pairs */

	struct net_limit rx_limit, tx_limit; /* lock themselves */

	struct net_captures captures;

	_Atomic uint32_t filter_gen; /* release after a change of the filter, acquire in rx */
	_Atomic unsigned nr_active;  /* pairs in use; release in control, acquire in pairs */
	struct net_pair pairs[];
};

static inline struct net *to_net(struct virtio_dev *dev)
{
	return container_of(dev, struct net, dev);
}

/*
 * A device with an open back end, which it owns from now on (also if it
 * fails), not yet attached to a transport. 0 or -errno.
 */
__must_check int net_create(struct net **ret, struct vm *vm, const struct net_config *cfg,
			    struct netdev *nd);

/* Watch the back end for what the halves wait for now. Pair's loop. */
void net_pair_watch(struct net_pair *pair);

/* Is the pair one of those that the driver uses? Any thread. */
bool net_pair_active(const struct net *net, unsigned pair);

/* Is the cable out, so that frames are lost? Any thread. */
static inline bool net_is_unplugged(const struct net *net)
{
	return atomic_load_explicit(&net->unplugged, memory_order_relaxed);
}

/* --- net_link.c: any thread ----------------------------------------------------- */

/* The back end is gone: the guest's link is down for good. */
void net_fail_link(struct net *net);

/* --- net_rx.c: pair's loop ------------------------------------------------------ */

/* Memory for the windows; 0 or -ENOMEM, undone by net_rx_fini(). */
__must_check int net_rx_init(struct net_rx *rx, struct net *net, unsigned pair);
void net_rx_fini(struct net_rx *rx);

/* The driver has added buffers, or just started. */
void net_rx_kick(struct net_rx *rx);

/* The back end has frames. */
void net_rx_readable(struct net_rx *rx);

/* Frames may be there of which neither the back end nor the driver tells. */
void net_rx_look_again(struct net_rx *rx);

/* What it waits for may have changed: the pairs in use, the limits. */
void net_rx_refresh(struct net_rx *rx);

/* Give back what was popped. */
void net_rx_quiesce(struct net_rx *rx);

/* Does it wait for frames? */
bool net_rx_wants_frames(const struct net_rx *rx);

/* Would the guest get a frame that begins with @start, NET_FILTER_BYTES of it? */
bool net_rx_accepts(struct net_rx *rx, const uint8_t *start);

/* --- net_arrive.c: pair's loop; there are some for pair 0 only ---------------------- */

/* Begin with none; forget all that wait, and say how many they were. */
void net_arrivals_init(struct net_arrivals *a);
unsigned net_arrivals_drop(struct net_arrivals *a);

/* netdev_ops.receive() for what has arrived. */
ssize_t net_arrivals_receive(struct net_arrivals *a, const struct iovec *iov, unsigned nr_iov);

/* --- net_forward.c: loop of the pair ------------------------------------------------ */

/* The back end has frames, and net_pair.forward is set. */
void net_forward_readable(struct net_pair *pair);

/* --- net_tx.c: pair's loop ------------------------------------------------------ */

/* Set up; undone by net_tx_quiesce() alone. */
void net_tx_init(struct net_tx *tx, struct net *net, unsigned pair);

/* The driver has frames, or the back end takes more. */
void net_tx_run(struct net_tx *tx);

/* Stop until the next run; nothing stays in flight. */
void net_tx_quiesce(struct net_tx *tx);

/* --- net_ctrl.c ------------------------------------------------------------------- */

/* Execute the commands that wait in @q. Its loop. */
void net_ctrl_run(struct net *net, struct virtio_queue *q);

/* --- net_state.c ------------------------------------------------------------------- */

/* struct virtio_class's. */
void net_save(struct virtio_dev *dev, struct vstate_writer *w);
int net_load(struct virtio_dev *dev, struct vstate_reader *r, struct err *e);

/* --- net_announce.c ---------------------------------------------------------------- */

/* Set up; undone by net_announcer_stop(). */
void net_announcer_init(struct net *net);
void net_announcer_stop(struct net *net);

/* The size of a frame by which a guest may tell its address; for net_announce_learn(). */
static inline bool net_announce_may_learn(size_t frame_bytes)
{
	/* ARP, bare or padded; neighbour advertisements without and with a link address. */
	return frame_bytes == 42 || frame_bytes == 60 || frame_bytes == 78 || frame_bytes == 86;
}

/* The guest sends the frame in @chain: remember its address, if it tells one. Loop of a pair. */
void net_announce_learn(struct net *net, const struct vq_chain *chain);

/* --- net_offload.c ------------------------------------------------------------------ */

/* Features to offer for a back end that can do @offloads (NETDEV_*). */
uint64_t net_offload_features(unsigned offloads);

/* The feature bits that VIRTIO_NET_CTRL_GUEST_OFFLOADS may name. */
uint64_t net_offload_guest_mask(void);

/* NETDEV_* for VIRTIO_NET_F_GUEST_* bits. */
unsigned net_offload_to_guest(uint64_t features);

/*
 * Is a header that the driver sent one it may send, with the features
 * negotiated? What the offsets in it mean is for the kernel to check.
 */
bool net_offload_header_ok(uint64_t features, const struct virtio_net_hdr_v1 *hdr);

#endif
