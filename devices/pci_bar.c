// SPDX-License-Identifier: MIT
// BARs: their homes in the PCI window, and their ranges on the MMIO bus.
#include <errno.h>

#include "devices/pci_impl.h"
#include "vmm/vm.h"

static bool meets(uint64_t addr, uint64_t bytes, uint64_t other, uint64_t other_bytes)
{
	return other && addr < other + other_bytes && other < addr + bytes;
}

/*
 * Does [addr, addr + bytes) meet the home of some BAR, or the place where the guest has
 * it? Then *ret_end is the end of that.
 */
static bool is_taken(const struct pci_host *host, uint64_t addr, uint64_t bytes, uint64_t *ret_end)
{
	for (unsigned d = 0; d < PCI_MAX_DEVICES; d++) {
		const struct pci_func *f = host->funcs[d];

		for (unsigned n = 0; f && n < PCI_NR_BARS; n++) {
			const struct pci_bar *b = &f->bars[n];

			if (meets(addr, bytes, b->home_addr, b->bytes))
				*ret_end = b->home_addr + b->bytes;
			else if (meets(addr, bytes, b->addr, b->bytes))
				*ret_end = b->addr + b->bytes;
			else
				continue;
			return true;
		}
	}
	return false;
}

/* The lowest address in the window that is aligned and free; 0: none. */
static uint64_t find_home(const struct pci_host *host, uint64_t bytes)
{
	const uint64_t window_end = MAP_PCI_WINDOW + MAP_PCI_WINDOW_BYTES;
	/* Pages of their own, so that a guest can map one BAR without another. */
	uint64_t align = MAX(bytes, 4 * KIB);
	uint64_t addr = ALIGN_UP(MAP_PCI_WINDOW, align);
	uint64_t end;

	while (addr + align <= window_end) {
		if (!is_taken(host, addr, align, &end))
			return addr;
		addr = ALIGN_UP(end, align);
	}
	return 0;
}

int pci_assign_bars(struct pci_host *host, struct pci_func *f)
{
	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		struct pci_bar *b = &f->bars[n];
		unsigned reg = PCI_BASE_ADDRESS_0 + 4 * n;

		if (!b->bytes)
			continue;
		b->home_addr = find_home(host, b->bytes);
		if (!b->home_addr)
			return -ENOSPC;
		/* The type bits are there already; the window lies below 4 GiB. */
		cfg_set32(f->power_on, reg,
			  (cfg_get32(f->power_on, reg) & 0xfU) | (uint32_t)b->home_addr);
	}
	return 0;
}

/* Where the guest wants BAR @n decoded; 0: nowhere. */
static uint64_t wanted_addr(const struct pci_func *f, unsigned n)
{
	const uint8_t *cfg = f->state.cfg;
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * n;
	uint64_t addr = cfg_get32(cfg, reg) & ~0xfU;

	if (f->hidden || !f->bars[n].bytes || !(cfg_get16(cfg, PCI_COMMAND) & PCI_COMMAND_MEMORY))
		return 0;
	if (f->bars[n].is_64bit)
		addr |= (uint64_t)cfg_get32(cfg, reg + 4) << 32;
	return addr;
}

static void unmap(struct pci_func *f, struct pci_bar *b)
{
	if (b->mapped)
		b->mapped(b->opaque, 0);
	bus_remove(&f->vm->mmio, b->addr, b->opaque);
	b->addr = 0;
}

/* --- ghosts: pci_yank() ------------------------------------------------------ */

static uint64_t ghost_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque, (void)offset, (void)size;
	return 0;
}

static void ghost_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)opaque, (void)offset, (void)value, (void)size;
}

static const struct bus_ops ghost_ops = { .read = ghost_read, .write = ghost_write };

static void drop_ghost(struct pci_host *host, uint64_t *addr)
{
	if (*addr)
		bus_remove(&host->vm->mmio, *addr, &host->ghosts);
	*addr = 0;
}

void pci_drop_ghosts_locked(struct pci_host *host)
{
	for (unsigned i = 0; i < PCI_MAX_GHOSTS; i++)
		drop_ghost(host, &host->ghosts.addrs[i]);
}

static void add_ghost(struct pci_host *host, uint64_t addr, uint64_t bytes)
{
	struct pci_ghosts *g = &host->ghosts;
	uint64_t *place = &g->addrs[g->next++ % PCI_MAX_GHOSTS];

	drop_ghost(host, place);
	if (bus_add(&host->vm->mmio, addr, bytes, &ghost_ops, g) == 0)
		*place = addr;
}

/*
 * What overlaps something else is decoded nowhere until one of them moves: on
 * real hardware both would answer.
 */
static void map(struct pci_func *f, struct pci_bar *b, uint64_t addr)
{
	int rc = bus_add(&f->vm->mmio, addr, b->bytes, b->ops, b->opaque);

	if (rc == -EEXIST) {
		pci_drop_ghosts_locked(f->host);
		rc = bus_add(&f->vm->mmio, addr, b->bytes, b->ops, b->opaque);
	}
	if (rc < 0)
		return;
	b->addr = addr;
	if (b->mapped)
		b->mapped(b->opaque, addr);
}

static void map_func_locked(struct pci_func *f, bool add)
{
	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		struct pci_bar *b = &f->bars[n];
		uint64_t want = wanted_addr(f, n);

		if (want == b->addr)
			continue;
		if (!add && b->addr)
			unmap(f, b);
		else if (add && want)
			map(f, b, want);
	}
}

void pci_map_bars_locked(struct pci_host *host)
{
	/* Everything leaves its old place first: BARs may change places. */
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned d = 0; d < PCI_MAX_DEVICES; d++) {
			if (host->funcs[d])
				map_func_locked(host->funcs[d], pass == 1);
		}
	}
}

void pci_unmap_bars_locked(struct pci_func *f)
{
	for (unsigned n = 0; n < PCI_NR_BARS; n++) {
		uint64_t addr = f->bars[n].addr;

		if (!addr)
			continue;
		unmap(f, &f->bars[n]);
		if (f->yanked)
			add_ghost(f->host, addr, f->bars[n].bytes);
	}
}
