// SPDX-License-Identifier: MIT
// Fuzz: PCI configuration space by ports and ECAM, BAR moves, the MSI-X table.
//
// The input is a list of accesses of eight bytes: kind, size, offset, value.
#include <linux/pci_regs.h>
#include <string.h>

#include "tests/fuzz/bare_vm.h"
#include "vmm/memmap.h"

#define NR_FUNCS   3
#define BAR0_BYTES 0x4000U

struct access {
	uint8_t kind, size_log2;
	uint16_t offset;
	uint32_t value;
};

static const struct pci_ids ids = { .vendor = 0x1234, .device = 0x5678, .class_code = 0xff };

static uint64_t bar_read(void *opaque, uint64_t offset, unsigned size)
{
	(void)opaque;
	fuzz_require(offset + size <= BAR0_BYTES);
	return offset;
}

static void bar_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	(void)opaque;
	(void)value;
	fuzz_require(offset + size <= BAR0_BYTES);
}

static const struct bus_ops bar_ops = { .read = bar_read, .write = bar_write };

static uint32_t window(struct pci_func *f, bool write, uint32_t data)
{
	(void)f;
	return write ? 0 : ~data;
}

static void add_func(struct vm *vm, struct pci_host *pci, struct pci_func *f)
{
	const struct pci_bar bar = {
		.bytes = BAR0_BYTES,
		.ops = &bar_ops,
		.opaque = f,
		.is_64bit = true,
	};
	const uint8_t cap[8] = { 0 };

	pci_func_init(f, vm, &ids);
	pci_set_bar(f, 0, &bar);
	fuzz_require(pci_add_msix(f, 2, 5) == 0);
	f->window = window;
	f->window_offset = pci_add_cap(f, PCI_CAP_ID_VNDR, cap, sizeof(cap)) + 4;
	memset(f->writable + f->window_offset, 0xff, 4);
	fuzz_require(pci_add(pci, f, 0) == 0);
}

/* What no access may break. */
static void check(const struct pci_func *f)
{
	fuzz_require(!memcmp(f->state.cfg, f->power_on, 4));
	for (unsigned i = 0; i < PCI_CFG_BYTES; i++) {
		bool dynamic =
			i == PCI_STATUS || (i >= f->window_offset && i < f->window_offset + 4);

		fuzz_require(dynamic ||
			     !((f->state.cfg[i] ^ f->power_on[i]) & (uint8_t)~f->writable[i]));
	}
	for (unsigned n = 0; n < PCI_NR_BARS; n++)
		fuzz_require(!f->bars[n].addr || f->bars[n].addr % f->bars[n].bytes == 0);
}

static void do_access(struct vm *vm, struct pci_func *f, const struct access *a)
{
	unsigned size = 1U << (a->size_log2 % 4);
	uint64_t addr = a->offset, data = a->value;
	/* Functions 0 and 1 of the device: the second is not there. */
	uint64_t ecam = MAP_ECAM + f->device * 0x8000ULL + addr % 0x2000;

	switch (a->kind % 8) {
	case 0:
		(void)bus_write(&vm->pio, 0xcf8 + a->offset % 8, &data, MIN(size, 4U));
		break;
	case 1:
		(void)bus_read(&vm->pio, 0xcf8 + a->offset % 8, &data, MIN(size, 4U));
		break;
	case 2:
		(void)bus_write(&vm->mmio, ecam, &data, size);
		break;
	case 3:
		(void)bus_read(&vm->mmio, ecam, &data, size);
		break;
	case 4:
		(void)bus_write(&vm->mmio, f->bars[2].addr + addr % MSIX_BAR_BYTES, &data, size);
		break;
	case 5:
		(void)bus_read(&vm->mmio, f->bars[2].addr + addr % MSIX_BAR_BYTES, &data, size);
		break;
	case 6:
		(void)bus_read(&vm->mmio, f->bars[0].addr + addr, &data, size);
		break;
	default:
		pci_set_intx(f, a->value & 1);
		msix_raise(&f->msix, a->offset);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct vm vm;
	static struct pci_func funcs[NR_FUNCS];
	struct access a;

	if (!vm.main_loop) {
		struct pci_host *pci = bare_vm_init(&vm, 1 * MIB);

		log_init(LOG_ERROR, NULL);
		for (unsigned i = 0; i < NR_FUNCS; i++)
			add_func(&vm, pci, &funcs[i]);
	}
	for (; len >= sizeof(a); data += sizeof(a), len -= sizeof(a)) {
		memcpy(&a, data, sizeof(a));
		do_access(&vm, &funcs[a.kind / 8 % NR_FUNCS], &a);
		for (unsigned i = 0; i < NR_FUNCS; i++)
			check(&funcs[i]);
	}
	for (unsigned i = 0; i < NR_FUNCS; i++) {
		pci_reset(&funcs[i]);
		fuzz_require(!memcmp(funcs[i].state.cfg, funcs[i].power_on, PCI_CFG_BYTES));
	}
	/* Everybody left: each is at home again, once a second look found room. */
	for (unsigned i = 0; i < NR_FUNCS; i++) {
		pci_reset(&funcs[i]);
		fuzz_require(funcs[i].bars[0].addr == funcs[i].bars[0].home_addr);
	}
	return 0;
}
