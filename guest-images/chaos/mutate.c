// SPDX-License-Identifier: MIT
/* What a hostile driver may do to a device, one act at a time. */
#include "chaos.h"

#define BAR0_BYTES      0x4000u
#define COMMON_BYTES    0x40u
#define QUEUE_ADDRS     0x20u /* in the common configuration (VIRTIO 1.2, 4.1.4.3) ... */
#define QUEUE_ADDRS_END 0x38u

enum {
	STATUS = 0x14,
	QUEUE_SELECT = 0x16,
	QUEUE_SIZE_REG = 0x18,
	QUEUE_ENABLE = 0x1c,
	QUEUE_RESET = 0x3a,

	WINDOW_BAR = 4, /* struct virtio_pci_cfg_cap, 4.1.4.9 */
	WINDOW_OFFSET = 8,
	WINDOW_LENGTH = 12,
	WINDOW_DATA = 16,
};

static uint32_t any32(struct dice *d)
{
	return (uint32_t)random_next(&d->state);
}

/*
 * The low half of an address. With whatever high half it has, it is either in the arena or not in
 * memory at all.
 */
static uint32_t low_address(struct dice *d)
{
	static const uint32_t nowhere[] = { 0xc0000000, 0xdffff000, 0xe0000000, 0xe0008000,
					    0xfec00000, 0xfee00000, 0xfffff000, 0xfffffff0 };

	if (chaos.wild && one_in(d, 4))
		return roll(d, (uint32_t)(one_in(d, 2) ? 2 * MIB : memory_total_bytes()));
	if (one_in(d, 8))
		return nowhere[roll(d, ARRAY_SIZE(nowhere))];
	if (one_in(d, 8)) /* at its end, or just behind */
		return (uint32_t)(chaos.arena + ARENA_BYTES) - roll(d, 64);
	return (uint32_t)chaos.arena + (roll(d, ARENA_BYTES) & (one_in(d, 4) ? ~0u : ~4095u));
}

static uint64_t any_address(struct dice *d)
{
	uint64_t high = one_in(d, 16) ? any32(d) : 0;

	return low_address(d) | high << 32;
}

static uint32_t any_length(struct dice *d)
{
	static const uint32_t lengths[] = {
		0,       1,        4,        12,   16,     17, 512, 4096,       0x10000,
		0x10001, 0x100000, 0x400000, 1526, 0x8000, 64, 20,  0x7fffffff, 0xffffffff
	};

	return one_in(d, 4) ? roll(d, 8192) : lengths[roll(d, ARRAY_SIZE(lengths))];
}

/* --- registers ---------------------------------------------------------------------- */

static void write_at(uint64_t gpa, uint32_t size_log2, uint64_t value)
{
	if (size_log2 == 0)
		mmio_write8(gpa, (uint8_t)value);
	else if (size_log2 == 1)
		mmio_write16(gpa, (uint16_t)value);
	else if (size_log2 == 2)
		mmio_write32(gpa, (uint32_t)value);
	else
		mmio_write64(gpa, value);
}

static void read_at(uint64_t gpa, uint32_t size_log2)
{
	if (size_log2 == 0)
		(void)mmio_read8(gpa);
	else if (size_log2 == 1)
		(void)mmio_read16(gpa);
	else if (size_log2 == 2)
		(void)mmio_read32(gpa);
	else
		(void)mmio_read64(gpa);
}

/* A value for BAR 0: where it may become part of a ring's address, one that does no harm. */
static uint64_t bar0_value(struct dice *d, uint32_t offset)
{
	if (offset + 8 > QUEUE_ADDRS && offset < QUEUE_ADDRS_END)
		return low_address(d) | (uint64_t)low_address(d) << 32;
	return one_in(d, 2) ? random_next(&d->state) : roll(d, 16);
}

static void poke_common(struct dice *d, struct target *t)
{
	uint32_t offset = roll(d, COMMON_BYTES) & (one_in(d, 8) ? ~0u : ~1u);

	write_at(t->dev.common_gpa + offset, roll(d, 4), bar0_value(d, offset));
}

static void poke_bar(struct dice *d, struct target *t)
{
	uint64_t bar_gpa = t->dev.pci.bar_gpa[0] ? t->dev.pci.bar_gpa[0] : t->dev.common_gpa;
	uint32_t offset = roll(d, BAR0_BYTES - 8);

	if (one_in(d, 2))
		read_at(bar_gpa + offset, roll(d, 4));
	else
		write_at(bar_gpa + offset, roll(d, 4), bar0_value(d, offset));
}

static void change_status(struct dice *d, struct target *t)
{
	static const uint8_t values[] = { 0, 1, 3, 0xb, 0xf, 0xf, 0x40, 0x80, 0xff };

	mmio_write8(t->dev.common_gpa + STATUS, values[roll(d, ARRAY_SIZE(values))]);
}

/* A ring somewhere else, of another size; not always in an order that makes sense. */
static void move_queue(struct dice *d, struct target *t)
{
	static const uint16_t sizes[] = { 0, 1, 2, 3, 16, 64, 256, 1024, 2048, 0xffff };
	uint64_t gpa = t->dev.common_gpa;

	mmio_write16(gpa + QUEUE_SELECT, (uint16_t)roll(d, t->nr_queues + 1));
	if (one_in(d, 2))
		mmio_write16(gpa + QUEUE_RESET, 1);
	mmio_write16(gpa + QUEUE_SIZE_REG, sizes[roll(d, ARRAY_SIZE(sizes))]);
	for (uint32_t reg = QUEUE_ADDRS; reg < QUEUE_ADDRS_END; reg += 8)
		mmio_write64(gpa + reg, any_address(d) & (one_in(d, 8) ? ~0ull : ~15ull));
	mmio_write16(gpa + QUEUE_ENABLE, (uint16_t)!one_in(d, 8));
	if (one_in(d, 2))
		mmio_write8(gpa + STATUS, 0xf);
}

static void notify(struct dice *d, struct target *t)
{
	uint64_t offset = (uint64_t)roll(d, t->nr_queues + 2) * t->dev.notify_multiplier;

	write_at(t->dev.notify_gpa + offset, roll(d, 4), any32(d));
}

/* NMI, INIT and SMI would end this guest; every other interrupt stays pending. */
static uint32_t message_data(struct dice *d)
{
	return any32(d) & (chaos.wild ? ~0u : ~0x600u);
}

static void poke_msix(struct dice *d, struct target *t)
{
	uint64_t gpa = t->msix_gpa + (one_in(d, 4) ? roll(d, 0x1000) & ~3u : roll(d, 16) * 16);

	if (!t->msix_gpa)
		return;
	switch (roll(d, 4)) {
	case 0:
		read_at(gpa, roll(d, 4));
		break;
	case 1:
		mmio_write32((gpa & ~15ull) + 12, any32(d));
		break;
	case 2:
		mmio_write32((gpa & ~15ull) + 8, message_data(d));
		break;
	default:
		mmio_write64(gpa & ~15ull,
			     one_in(d, 2) ? MSI_ADDRESS(roll(d, 256)) : random_next(&d->state));
		break;
	}
}

/* --- configuration space ---------------------------------------------------------------- */

static uint32_t bar_value(struct dice *d)
{
	const struct target *other = &chaos.targets[roll(d, chaos.nr_targets)];
	const uint32_t values[] = { 0,
				    0xffffffff,
				    0xfee00000,
				    0xfec00000,
				    0xe0000000,
				    0xfffff000,
				    (uint32_t)chaos.arena,
				    other->bars[roll(d, PCI_BARS)] };

	if (one_in(d, 2))
		return 0xc0000000 + roll(d, 0x20000) * 0x1000;
	return values[roll(d, ARRAY_SIZE(values))];
}

static void poke_config(struct dice *d, struct target *t)
{
	uint32_t size = 1u << roll(d, 3), offset = roll(d, 256) & ~(size - 1);

	/* The window reaches the queues' addresses, too: with care, see below. */
	if (t->window_cap && offset >= t->window_cap && offset < t->window_cap + 24u)
		return;
	if (one_in(d, 3))
		(void)pci_read(&t->dev.pci, offset, size);
	else
		pci_write(&t->dev.pci, offset, size, any32(d));
}

static void move_bar(struct dice *d, struct target *t)
{
	pci_write(&t->dev.pci, PCI_BAR0 + 4 * roll(d, PCI_BARS), 4, bar_value(d));
}

static void change_command(struct dice *d, struct target *t)
{
	static const uint16_t values[] = { 0,
					   PCI_COMMAND_MEMORY,
					   PCI_COMMAND_MASTER,
					   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
					   PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
					   0xffff };

	pci_write(&t->dev.pci, PCI_COMMAND, 2, values[roll(d, ARRAY_SIZE(values))]);
}

static void poke_window(struct dice *d, struct target *t)
{
	uint32_t offset = one_in(d, 2) ? roll(d, COMMON_BYTES) : roll(d, 2 * BAR0_BYTES);

	if (!t->window_cap)
		return;
	pci_write(&t->dev.pci, t->window_cap + WINDOW_BAR, 1, one_in(d, 8) ? roll(d, 256) : 0);
	pci_write(&t->dev.pci, t->window_cap + WINDOW_OFFSET, 4, offset);
	pci_write(&t->dev.pci, t->window_cap + WINDOW_LENGTH, 4,
		  one_in(d, 8) ? any32(d) : 1u << roll(d, 3));
	/* Another CPU may have moved it: every value must do no harm anywhere. */
	if (one_in(d, 2))
		(void)pci_read(&t->dev.pci, t->window_cap + WINDOW_DATA, 4);
	else
		pci_write(&t->dev.pci, t->window_cap + WINDOW_DATA, 4, low_address(d));
}

/* --- rings ------------------------------------------------------------------------------- */

/* Of the queue as it was set up in good order: the device may have it, or another one. */
static struct virtq *any_ring(struct dice *d, struct target *t)
{
	return &t->queues[roll(d, t->nr_queues)].vq;
}

static struct virtq_desc any_desc(struct dice *d)
{
	return (struct virtq_desc){
		.addr = any_address(d),
		.len = any_length(d),
		.flags = (uint16_t)(one_in(d, 16) ? any32(d) : roll(d, 8)),
		.next = (uint16_t)(one_in(d, 16) ? any32(d) : roll(d, QUEUE_SIZE)),
	};
}

/* What a balloon reads are pages to throw away: in the arena alone may be such numbers. */
static bool is_delicate(const struct target *t)
{
	return t->type == VIRTIO_ID_BALLOON && !chaos.wild;
}

static uint32_t any_page(struct dice *d)
{
	return (uint32_t)(chaos.arena / PAGE_BYTES) + roll(d, ARENA_BYTES / PAGE_BYTES);
}

static void offer(struct dice *d, struct virtq *vq, uint16_t head)
{
	uint16_t idx = vq->avail->idx;

	vq->avail->ring[idx % vq->size] = head;
	__atomic_store_n(&vq->avail->idx, (uint16_t)(idx + (one_in(d, 64) ? any32(d) : 1)),
			 __ATOMIC_RELEASE);
}

/* Descriptors at random: loops, tables in tables, what is not in memory. */
static void offer_garbage(struct dice *d, struct target *t)
{
	struct virtq_desc *table = (void *)chaos.arena;
	struct virtq *vq = any_ring(d, t);

	for (uint32_t n = roll(d, QUEUE_SIZE); n > 0; n--)
		vq->desc[roll(d, vq->size)] = any_desc(d);
	if (one_in(d, 4) && !is_delicate(t))
		for (uint32_t i = 0; i < 512; i++)
			table[i] = any_desc(d);
	offer(d, vq, (uint16_t)(one_in(d, 16) ? any32(d) : roll(d, vq->size)));
	notify(d, t);
}

/* A chain in good order, of a header, data, and room for an answer: with one mistake at most. */
static void offer_request(struct dice *d, struct target *t)
{
	struct virtq *vq = any_ring(d, t);
	uint16_t head = (uint16_t)roll(d, vq->size - 3u);
	uint32_t *header = (void *)(chaos.arena + roll(d, 64) * PAGE_BYTES);
	uint32_t out = roll(d, 3), last = out + roll(d, 2);

	header[0] = is_delicate(t) ? any_page(d) : roll(d, 16) | roll(d, 6) << 8;
	header[1] = is_delicate(t) ? any_page(d) : 0;
	header[2] = is_delicate(t) ? any_page(d) : roll(d, 0x20000);
	header[3] = header[1];
	for (uint32_t i = 0; i <= last; i++)
		vq->desc[head + i] = (struct virtq_desc){
			.addr = i == 0 ? gpa_of(header) : chaos.arena + roll(d, 512) * PAGE_BYTES,
			.len = i == 0                      ? (one_in(d, 2) ? 16 : roll(d, 128) + 1)
			       : i == last && one_in(d, 2) ? 1
							   : 512u << roll(d, 10),
			.flags = (uint16_t)((i >= out ? VIRTQ_DESC_WRITE : 0) |
					    (i < last ? VIRTQ_DESC_NEXT : 0)),
			.next = (uint16_t)(head + i + 1),
		};
	if (one_in(d, 4))
		vq->desc[head + roll(d, last + 1)] = any_desc(d);
	offer(d, vq, head);
	notify(d, t);
}

/* All entries at once, of one large chain: as much work as a driver can ask for. */
static void offer_much(struct dice *d, struct target *t)
{
	struct virtq *vq = any_ring(d, t);
	uint32_t len = one_in(d, 2) ? ARENA_BYTES : 1u << (12 + roll(d, 8));
	bool write = one_in(d, 2);

	for (uint16_t i = 0; i < vq->size; i++) {
		vq->desc[i] = (struct virtq_desc){
			.addr = chaos.arena,
			.len = i == 0              ? 16
			       : i + 1 == vq->size ? 1
						   : len,
			.flags = (uint16_t)((i > 0 && write ? VIRTQ_DESC_WRITE : 0) |
					    (i + 1 < vq->size ? VIRTQ_DESC_NEXT : 0)),
			.next = (uint16_t)(i + 1),
		};
		vq->avail->ring[i] = 0;
	}
	__atomic_store_n(&vq->avail->idx, (uint16_t)(vq->avail->idx + vq->size), __ATOMIC_RELEASE);
	notify(d, t);
}

static void spoil_ring(struct dice *d, struct target *t)
{
	struct virtq *vq = any_ring(d, t);

	vq->avail->flags = (uint16_t)roll(d, 3);
	vq->avail->ring[vq->size] = (uint16_t)any32(d); /* used_event */
	vq->used->idx = (uint16_t)any32(d);
	vq->used->flags = (uint16_t)any32(d);
	if (one_in(d, 8))
		vq->avail->idx = (uint16_t)any32(d);
	notify(d, t);
}

/* Fills memory that requests refer to with numbers that mean something to some device. */
static void stir(struct dice *d, struct target *t)
{
	uint32_t *words = (void *)(chaos.arena + roll(d, 512) * PAGE_BYTES);
	uint32_t first = any_page(d), step = roll(d, 3);

	(void)t;
	for (uint32_t i = 0; i < 1024; i++)
		words[i] =
			one_in(d, 32) ? any32(d) | 1u << 31 : first - first % 256 + i * step % 256;
}

void mutate(struct dice *d, struct target *t)
{
	static void (*const acts[])(struct dice *, struct target *) = {
		poke_common,    poke_common,   poke_bar,      change_status, move_queue,
		notify,         poke_msix,     poke_msix,     poke_config,   move_bar,
		change_command, poke_window,   offer_garbage, offer_garbage, offer_request,
		offer_request,  offer_request, offer_request, offer_much,    spoil_ring,
		stir,
	};

	acts[roll(d, ARRAY_SIZE(acts))](d, t);
}
