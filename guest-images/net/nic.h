/* SPDX-License-Identifier: MIT */
/* virtio-net driver (VIRTIO 1.2, section 5.1). */
#ifndef GUEST_NET_NIC_H
#define GUEST_NET_NIC_H

#include "guest.h"
#include "virtio.h"

#define NIC_MAX_PAIRS   16
#define NIC_FRAME_BYTES 1518u  /* with a VLAN tag */
#define NIC_GSO_BYTES   65550u /* Ethernet header and the largest IP packet */

enum { /* 5.1.3 */
       NET_F_CSUM = 0,
       NET_F_GUEST_CSUM = 1,
       NET_F_MTU = 3,
       NET_F_MAC = 5,
       NET_F_GUEST_TSO4 = 7,
       NET_F_HOST_TSO4 = 11,
       NET_F_MRG_RXBUF = 15,
       NET_F_STATUS = 16,
       NET_F_CTRL_VQ = 17,
       NET_F_CTRL_RX = 18,
       NET_F_CTRL_VLAN = 19,
       NET_F_GUEST_ANNOUNCE = 21,
       NET_F_MQ = 22,
       NET_F_CTRL_MAC_ADDR = 23,
};

enum { /* 5.1.4, status */
       NET_S_LINK_UP = 1,
       NET_S_ANNOUNCE = 2,
};

enum { /* 5.1.6 */
       NET_HDR_NEEDS_CSUM = 1,
       NET_HDR_DATA_VALID = 2,
       NET_HDR_GSO_NONE = 0,
       NET_HDR_GSO_TCPV4 = 1,
};

struct nic_config { /* 5.1.4 */
	uint8_t mac[6];
	uint16_t status;
	uint16_t max_pairs;
	uint16_t mtu;
} __attribute__((packed));

struct nic_header { /* 5.1.6 */
	uint8_t flags;
	uint8_t gso_type;
	uint16_t header_bytes;
	uint16_t gso_bytes;
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t buffers;
};

/* A buffer of a queue. The frame follows the header at once. */
struct nic_buf {
	struct nic_buf *next; /* of the free list */
	uint32_t bytes;       /* of the frame */
	uint16_t queue;
	/* To send: where to put the checksum of all from there on, 0: nowhere; and to cut TCP into
	 * segments of that many bytes of data, 0: not. */
	uint16_t csum_start;
	uint16_t csum_offset;
	uint16_t gso_bytes;
	uint16_t header_bytes; /* of all layers, when it is to be cut */
	struct nic_header header;
	uint8_t frame[];
};

struct nic_queue {
	struct virtio_queue q;
	struct nic_buf *free; /* of a transmit queue */
};

struct nic_stats {
	uint64_t rx_frames, rx_bytes, rx_merged;
	uint64_t tx_frames, tx_bytes, tx_full;
	uint64_t kicks;
};

struct nic {
	struct virtio_dev dev;
	struct nic_queue rx[NIC_MAX_PAIRS];
	struct nic_queue tx[NIC_MAX_PAIRS];
	struct virtio_queue ctrl;
	unsigned int pairs;
	unsigned int mtu;  /* that the device tells; 0: nothing */
	uint32_t rx_bytes; /* of a receive buffer's frame */
	uint32_t tx_bytes;
	uint8_t mac[6];
	uint8_t *linear; /* a frame that came in several buffers */
	struct nic_stats stats;
};

/* A frame that came; valid during the call of nic_input. */
struct nic_frame {
	uint8_t *data;
	uint32_t bytes;
	bool checksum_good; /* of TCP and UDP: the device vouches for it */
};

typedef void (*nic_input)(void *context, const struct nic_frame *frame);

_Static_assert((offsetof(struct nic_buf, frame) + 14) % 16 == 0, "the IP header is aligned");

/* Finds nic `nic=` and brings it up with the offloads that the parameters ask for. */
void nic_open(struct nic *nic);

/* A free buffer to send, NULL if all are in use. @flow selects the queue. */
struct nic_buf *nic_alloc(struct nic *nic, uint32_t flow);

/* Sends, or gives back unsent. The checksum field holds the pseudo header's sum already. */
void nic_send(struct nic *nic, struct nic_buf *buf);
void nic_free(struct nic *nic, struct nic_buf *buf);

/* Tells the device about what was sent. */
void nic_flush(struct nic *nic);

/* Gives what has come to @input, at most @limit frames; returns how many. */
unsigned int nic_poll(struct nic *nic, unsigned int limit, nic_input input, void *context);

/* True if data may be handed over in pieces of up to 64 KiB for the device to cut. */
static inline bool nic_can_cut(const struct nic *nic)
{
	return virtio_has(&nic->dev, NET_F_HOST_TSO4);
}

/* One command on the control queue (5.1.6.5): true if the device acknowledges it with OK. */
bool nic_command(struct nic *nic, uint8_t class, uint8_t command, const void *data, uint32_t bytes);

/* The status field of the configuration; LINK_UP if the device has none. */
uint16_t nic_status(const struct nic *nic);

#endif
