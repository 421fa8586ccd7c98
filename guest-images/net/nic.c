// SPDX-License-Identifier: MIT
/*
 * virtio-net driver.
 *
 * Theory of operation: receive queues are kept full of buffers; a frame that came in several of
 * them (MRG_RXBUF) is copied together. Transmit buffers belong to a queue and lie in its free list
 * or in the device; finished ones are taken back when the list is empty, so a transmit queue needs
 * no interrupts. The sums of UDP and TCP are left to the device if it offers that.
 */
#include "nic.h"
#include "wire.h"

#define RX_ENTRIES     256
#define TX_ENTRIES     256
#define CTRL_ENTRIES   16
#define RX_MERGE_BYTES 4000u /* a receive buffer when frames may take several */
#define COMMAND_NS     (10 * NS_PER_S)
#define MERGE_SPIN_NS  (10 * NS_PER_MS)

static uint64_t nic_wanted_features(void)
{
	uint64_t wanted = VIRTIO_BIT(NET_F_MAC) | VIRTIO_BIT(NET_F_STATUS);
	bool csum = param_number("csum", 1);

	if (csum)
		wanted |= VIRTIO_BIT(NET_F_CSUM) | VIRTIO_BIT(NET_F_GUEST_CSUM);
	if (csum && param_number("tso", 1))
		wanted |= VIRTIO_BIT(NET_F_HOST_TSO4) | VIRTIO_BIT(NET_F_GUEST_TSO4);
	if (param_number("mrg_rxbuf", 1))
		wanted |= VIRTIO_BIT(NET_F_MRG_RXBUF);
	if (param_number("ctrl_vq", 1))
		wanted |= VIRTIO_BIT(NET_F_CTRL_VQ) | VIRTIO_BIT(NET_F_CTRL_RX) |
			  VIRTIO_BIT(NET_F_CTRL_VLAN) | VIRTIO_BIT(NET_F_CTRL_MAC_ADDR) |
			  VIRTIO_BIT(NET_F_MQ) | VIRTIO_BIT(NET_F_GUEST_ANNOUNCE);
	if (param_number("indirect", 1))
		wanted |= VIRTIO_BIT(VIRTIO_F_INDIRECT_DESC);
	if (param_number("event_idx", 1))
		wanted |= VIRTIO_BIT(VIRTIO_F_EVENT_IDX);
	return wanted;
}

static struct nic_buf *nic_new_buf(uint32_t frame_bytes, unsigned int queue)
{
	struct nic_buf *buf = memory_alloc(sizeof(*buf) + frame_bytes);

	buf->queue = (uint16_t)queue;
	return buf;
}

static void nic_post(struct nic *nic, struct nic_buf *buf)
{
	struct virtq_seg seg = { gpa_of(&buf->header), sizeof(buf->header) + nic->rx_bytes };

	if (!virtq_add(&nic->rx[buf->queue].q.vq, &seg, 0, 1, buf))
		panic("net: no room for a receive buffer");
}

static void nic_setup_pair(struct nic *nic, unsigned int i)
{
	struct nic_queue *rx = &nic->rx[i], *tx = &nic->tx[i];
	uint16_t rx_entries = RX_ENTRIES;

	/* Buffers for whole 64 KiB packets: fewer of them do. */
	if (nic->rx_bytes > RX_MERGE_BYTES)
		rx_entries = RX_ENTRIES / 4;
	virtio_queue_setup(&nic->dev, &rx->q, (uint16_t)(2 * i), rx_entries);
	virtio_queue_setup(&nic->dev, &tx->q, (uint16_t)(2 * i + 1), TX_ENTRIES);
	virtq_set_interrupts(&tx->q.vq, false);
	for (unsigned int n = 0; n < rx->q.vq.size; n++)
		nic_post(nic, nic_new_buf(nic->rx_bytes, i));
	for (unsigned int n = 0; n < tx->q.vq.size; n++) {
		struct nic_buf *buf = nic_new_buf(nic->tx_bytes, i);

		buf->next = tx->free;
		tx->free = buf;
	}
}

static void nic_setup_pairs(struct nic *nic, unsigned int max_pairs)
{
	uint16_t pairs = (uint16_t)nic->pairs;

	for (unsigned int i = 0; i < nic->pairs; i++)
		nic_setup_pair(nic, i);
	/* The control queue is behind all pairs that the device has (5.1.2). */
	if (virtio_has(&nic->dev, NET_F_CTRL_VQ)) {
		virtio_queue_setup(&nic->dev, &nic->ctrl, (uint16_t)(2 * max_pairs), CTRL_ENTRIES);
		virtq_set_interrupts(&nic->ctrl.vq, false);
	}
	virtio_start(&nic->dev);
	for (unsigned int i = 0; i < nic->pairs; i++)
		virtio_kick(&nic->rx[i].q);
	if (nic->pairs > 1 && !nic_command(nic, 4, 0, &pairs, sizeof(pairs)))
		panic("net: the device refuses %u queue pairs", nic->pairs);
}

void nic_open(struct nic *nic)
{
	enum virtio_irq_mode mode = param_number("intx", 0)   ? VIRTIO_INTX
				    : param_number("poll", 1) ? VIRTIO_POLL
							      : VIRTIO_MSIX;
	struct nic_config config = { .max_pairs = 1 };
	unsigned int max_pairs = 1;

	if (!virtio_find(&nic->dev, VIRTIO_ID_NET, (unsigned int)param_number("nic", 0)))
		panic("net: no such virtio-net device");
	virtio_negotiate(&nic->dev, nic_wanted_features(), mode);
	virtio_config_read(&nic->dev, 0, &config, sizeof(config));
	memcpy(nic->mac, config.mac, sizeof(nic->mac));
	if (nic->dev.offered & VIRTIO_BIT(NET_F_MTU))
		nic->mtu = config.mtu;
	if (virtio_has(&nic->dev, NET_F_MQ))
		max_pairs = config.max_pairs;
	nic->pairs = (unsigned int)param_number("mq", 1);
	if (!nic->pairs || nic->pairs > max_pairs || nic->pairs > NIC_MAX_PAIRS)
		panic("net: the device has %u queue pairs", max_pairs);
	nic->rx_bytes = NIC_FRAME_BYTES;
	if (virtio_has(&nic->dev, NET_F_GUEST_TSO4))
		nic->rx_bytes = NIC_GSO_BYTES;
	if (virtio_has(&nic->dev, NET_F_MRG_RXBUF))
		nic->rx_bytes = RX_MERGE_BYTES;
	nic->tx_bytes = nic_can_cut(nic) ? NIC_GSO_BYTES : NIC_FRAME_BYTES;
	nic->linear = memory_alloc(NIC_GSO_BYTES);
	nic_setup_pairs(nic, max_pairs);
}

static void nic_reclaim(struct nic *nic, struct nic_queue *tx)
{
	struct nic_buf *buf;

	while ((buf = virtq_pop(&tx->q.vq, NULL)))
		nic_free(nic, buf);
	if (tx->q.vq.broken)
		panic("net: transmit queue: %s", tx->q.vq.broken);
}

struct nic_buf *nic_alloc(struct nic *nic, uint32_t flow)
{
	struct nic_queue *tx = &nic->tx[flow % nic->pairs];
	struct nic_buf *buf;

	if (!tx->free)
		nic_reclaim(nic, tx);
	buf = tx->free;
	if (!buf) {
		nic->stats.tx_full++;
		virtio_kick(&tx->q);
		return NULL;
	}
	tx->free = buf->next;
	buf->bytes = 0;
	buf->csum_start = buf->csum_offset = buf->gso_bytes = buf->header_bytes = 0;
	return buf;
}

void nic_free(struct nic *nic, struct nic_buf *buf)
{
	struct nic_queue *tx = &nic->tx[buf->queue];

	buf->next = tx->free;
	tx->free = buf;
}

/* Leaves the checksum to the device, or computes it (5.1.6.2). */
static void nic_checksum(const struct nic *nic, struct nic_buf *buf)
{
	uint8_t *start = buf->frame + buf->csum_start;
	uint16_t sum;

	if (virtio_has(&nic->dev, NET_F_CSUM)) {
		buf->header.flags = NET_HDR_NEEDS_CSUM;
		buf->header.csum_start = buf->csum_start;
		buf->header.csum_offset = buf->csum_offset;
		return;
	}
	sum = (uint16_t)~checksum_fold(checksum_add(0, start, buf->bytes - buf->csum_start));
	if (!sum)
		sum = 0xffff; /* zero means none in UDP; TCP does not mind */
	memcpy(start + buf->csum_offset, &sum, sizeof(sum));
}

void nic_send(struct nic *nic, struct nic_buf *buf)
{
	struct nic_queue *tx = &nic->tx[buf->queue];
	struct virtq_seg seg = { gpa_of(&buf->header), sizeof(buf->header) + buf->bytes };

	buf->header = (struct nic_header){ .gso_type = NET_HDR_GSO_NONE };
	if (buf->csum_start)
		nic_checksum(nic, buf);
	if (buf->gso_bytes) {
		buf->header.gso_type = NET_HDR_GSO_TCPV4;
		buf->header.gso_bytes = buf->gso_bytes;
		buf->header.header_bytes = buf->header_bytes;
	}
	nic->stats.tx_frames++;
	nic->stats.tx_bytes += buf->bytes;
	if (!virtq_add(&tx->q.vq, &seg, 1, 0, buf))
		panic("net: no room for a transmit buffer");
}

void nic_flush(struct nic *nic)
{
	for (unsigned int i = 0; i < nic->pairs; i++)
		virtio_kick(&nic->tx[i].q);
}

/* The next buffer of a frame. The device may still be writing its used entry. */
static struct nic_buf *nic_pop_next(struct nic_queue *rx, uint32_t *ret_bytes)
{
	uint64_t end = clock_ns() + MERGE_SPIN_NS;
	struct nic_buf *buf;

	do
		buf = virtq_pop(&rx->q.vq, ret_bytes);
	while (!buf && !rx->q.vq.broken && clock_ns() < end);
	if (!buf)
		panic("net: a frame lacks buffers that its header counts");
	return buf;
}

/* Copies together a frame of several buffers; the first one is @buf (5.1.6.4). */
static void nic_merge(struct nic *nic, struct nic_queue *rx, const struct nic_buf *buf,
		      struct nic_frame *frame)
{
	uint32_t at = frame->bytes;

	memcpy(nic->linear, buf->frame, at);
	for (unsigned int i = 1; i < buf->header.buffers; i++) {
		uint32_t bytes;
		struct nic_buf *more = nic_pop_next(rx, &bytes);

		/* These have no header: data begins where the first one's header is. */
		if (at + bytes > NIC_GSO_BYTES)
			panic("net: a frame of more than 64 KiB");
		memcpy(nic->linear + at, &more->header, bytes);
		at += bytes;
		nic_post(nic, more);
	}
	nic->stats.rx_merged++;
	frame->data = nic->linear;
	frame->bytes = at;
}

static void nic_receive(struct nic *nic, struct nic_queue *rx, struct nic_buf *buf,
			struct nic_frame *frame)
{
	if (frame->bytes < sizeof(buf->header) ||
	    frame->bytes > sizeof(buf->header) + nic->rx_bytes)
		panic("net: the device says it has written %u bytes", frame->bytes);
	frame->bytes -= (uint32_t)sizeof(buf->header);
	frame->data = buf->frame;
	frame->checksum_good = virtio_has(&nic->dev, NET_F_GUEST_CSUM) && buf->header.flags;
	if (buf->header.buffers > 1)
		nic_merge(nic, rx, buf, frame);
	nic->stats.rx_frames++;
	nic->stats.rx_bytes += frame->bytes;
}

static unsigned int nic_poll_queue(struct nic *nic, struct nic_queue *rx, unsigned int limit,
				   nic_input input, void *context)
{
	struct nic_frame frame;
	struct nic_buf *buf;
	unsigned int n = 0;

	while (n < limit && (buf = virtq_pop(&rx->q.vq, &frame.bytes))) {
		nic_receive(nic, rx, buf, &frame);
		input(context, &frame);
		nic_post(nic, buf);
		n++;
	}
	if (rx->q.vq.broken)
		panic("net: receive queue: %s", rx->q.vq.broken);
	if (n)
		virtio_kick(&rx->q);
	return n;
}

unsigned int nic_poll(struct nic *nic, unsigned int limit, nic_input input, void *context)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < nic->pairs; i++)
		n += nic_poll_queue(nic, &nic->rx[i], limit, input, context);
	return n;
}

bool nic_command(struct nic *nic, uint8_t class, uint8_t command, const void *data, uint32_t bytes)
{
	static struct {
		uint8_t class;
		uint8_t command;
		uint8_t ack;
	} request; /* static: the device reads and writes it */
	struct virtq_seg segs[] = { { gpa_of(&request), 2 },
				    { gpa_of(data), bytes },
				    { gpa_of(&request.ack), 1 } };
	uint64_t end = clock_ns() + COMMAND_NS;

	request.class = class;
	request.command = command;
	request.ack = 0xff;
	if (!bytes)
		segs[1] = segs[2];
	if (!virtq_add(&nic->ctrl.vq, segs, bytes ? 2 : 1, 1, &request))
		panic("net: no room for a command");
	virtio_kick(&nic->ctrl);
	while (!virtq_pop(&nic->ctrl.vq, NULL)) {
		if (nic->ctrl.vq.broken || clock_ns() > end)
			panic("net: command %u.%u is not answered", class, command);
	}
	return request.ack == 0;
}

uint16_t nic_status(const struct nic *nic)
{
	uint16_t status = NET_S_LINK_UP;

	if (virtio_has(&nic->dev, NET_F_STATUS))
		virtio_config_read(&nic->dev, offsetof(struct nic_config, status), &status,
				   sizeof(status));
	return status;
}
