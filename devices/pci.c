// SPDX-License-Identifier: MIT
// PCI functions: header, capabilities, configuration accesses, INTA.
#include "devices/pci.h"

#include <assert.h>
#include <errno.h>

#include "devices/pci_impl.h"
#include "vmm/vm.h"

#define COMMAND_WRITABLE                                                                           \
	(PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR |         \
	 PCI_COMMAND_INTX_DISABLE)

/* PCIe 4.0, 7.5.3: version 2 of the capability, links left out. */
#define EXPRESS_BYTES           60
#define EXPRESS_DEVCTL_POWER_ON 0x2810 /* 7.5.3.4: relaxed ordering, no snoop, 512-byte reads */
#define EXPRESS_DEVCTL_WRITABLE 0x781f

static void add_express(struct pci_func *f)
{
	uint8_t body[EXPRESS_BYTES] = { 0 };
	unsigned cap;

	cfg_set16(body, PCI_EXP_FLAGS, 2 | PCI_EXP_TYPE_RC_END << 4);
	cfg_set32(body, PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER);
	cfg_set16(body, PCI_EXP_DEVCTL, EXPRESS_DEVCTL_POWER_ON);
	cap = pci_add_cap(f, PCI_CAP_ID_EXP, body, sizeof(body));
	cfg_set16(f->writable, cap + PCI_EXP_DEVCTL, EXPRESS_DEVCTL_WRITABLE);
}

void pci_func_init(struct pci_func *f, struct vm *vm, const struct pci_ids *ids)
{
	uint8_t *cfg = f->power_on;

	*f = (struct pci_func){ .vm = vm, .next_cap = PCI_STD_HEADER_SIZEOF };
	cfg_set16(cfg, PCI_VENDOR_ID, ids->vendor);
	cfg_set16(cfg, PCI_DEVICE_ID, ids->device);
	cfg_set16(cfg, PCI_SUBSYSTEM_VENDOR_ID, ids->subsystem_vendor);
	cfg_set16(cfg, PCI_SUBSYSTEM_ID, ids->subsystem);
	cfg[PCI_REVISION_ID] = ids->revision;
	cfg[PCI_CLASS_PROG] = ids->prog_if;
	cfg[PCI_CLASS_DEVICE] = ids->subclass;
	cfg[PCI_CLASS_DEVICE + 1] = ids->class_code;
	cfg_set16(f->writable, PCI_COMMAND, COMMAND_WRITABLE);
	f->writable[PCI_CACHE_LINE_SIZE] = 0xff;
	add_express(f);
}

void pci_func_fini(struct pci_func *f)
{
	msix_fini(&f->msix);
}

unsigned pci_add_cap(struct pci_func *f, uint8_t id, const void *body, unsigned bytes)
{
	unsigned cap = f->next_cap;

	assert(bytes >= 2 && cap + bytes <= PCI_CFG_BYTES);
	memcpy(f->power_on + cap, body, bytes);
	f->power_on[cap + PCI_CAP_LIST_ID] = id;
	f->power_on[cap + PCI_CAP_LIST_NEXT] = 0;
	f->power_on[f->last_cap ? f->last_cap + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST] =
		(uint8_t)cap;
	f->power_on[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
	f->last_cap = cap;
	f->next_cap = ALIGN_UP(cap + bytes, 4U);
	return cap;
}

void pci_set_bar(struct pci_func *f, unsigned n, const struct pci_bar *bar)
{
	unsigned reg = PCI_BASE_ADDRESS_0 + 4 * n;
	uint64_t mask = ~(bar->bytes - 1);

	assert(n + bar->is_64bit < PCI_NR_BARS);
	assert(bar->bytes >= 16 && (bar->bytes & (bar->bytes - 1)) == 0);
	f->bars[n] = *bar;
	f->bars[n].home_addr = f->bars[n].addr = 0;
	cfg_set32(f->writable, reg, (uint32_t)mask);
	if (bar->is_64bit) {
		cfg_set32(f->power_on, reg, PCI_BASE_ADDRESS_MEM_TYPE_64);
		cfg_set32(f->writable, reg + 4, (uint32_t)(mask >> 32));
	}
}

int pci_add_msix(struct pci_func *f, unsigned bar, unsigned nr_vectors)
{
	const struct pci_bar desc = {
		.bytes = MSIX_BAR_BYTES,
		.ops = &msix_bar_ops,
		.opaque = &f->msix,
	};
	uint8_t body[PCI_CAP_MSIX_SIZEOF] = { 0 };
	int rc = msix_init(&f->msix, &f->vm->irq, nr_vectors);

	if (rc < 0)
		return rc;
	pci_set_bar(f, bar, &desc);
	cfg_set16(body, PCI_MSIX_FLAGS, (uint16_t)(nr_vectors - 1));
	cfg_set32(body, PCI_MSIX_TABLE, MSIX_TABLE_OFFSET | bar);
	cfg_set32(body, PCI_MSIX_PBA, MSIX_PBA_OFFSET | bar);
	f->msix_cap = pci_add_cap(f, PCI_CAP_ID_MSIX, body, sizeof(body));
	cfg_set16(f->writable, f->msix_cap + PCI_MSIX_FLAGS,
		  PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	return 0;
}

/* --- on and off the bus ------------------------------------------------------ */

static unsigned find_device(const struct pci_host *host)
{
	uint32_t slots = host->vm->started ? PCI_HOT_SLOTS(host->vm->nr_hot_slots) : UINT32_MAX;
	unsigned d = 1;

	while (d < PCI_MAX_DEVICES && (host->funcs[d] || !(slots >> d & 1)))
		d++;
	return d;
}

int pci_add(struct pci_host *host, struct pci_func *f, unsigned device)
{
	MUTEX_SCOPE(&host->lock);
	int rc;

	if (device == 0 && f != &host->bridge)
		device = find_device(host);
	if (device >= PCI_MAX_DEVICES)
		return -ENOSPC;
	if (host->funcs[device])
		return -EEXIST;
	/* In the table first: its own BARs must not overlap either. */
	host->funcs[device] = f;
	rc = pci_assign_bars(host, f);
	if (rc < 0) {
		host->funcs[device] = NULL;
		return rc;
	}
	f->host = host;
	f->device = device;
	cfg_set16(f->power_on, PCI_COMMAND, PCI_COMMAND_MEMORY);
	if (f != &host->bridge) {
		f->power_on[PCI_INTERRUPT_PIN] = 1;
		f->power_on[PCI_INTERRUPT_LINE] = (uint8_t)pci_intx_gsi(device);
		f->writable[PCI_INTERRUPT_LINE] = 0xff;
	}
	memcpy(f->state.cfg, f->power_on, sizeof(f->state.cfg));
	/* No firmware has seen to it; its addresses may be in use by now. */
	if (host->vm->started)
		cfg_set16(f->state.cfg, PCI_COMMAND, 0);
	pci_apply_master_locked(f);
	pci_map_bars_locked(host);
	return 0;
}

void pci_remove(struct pci_func *f)
{
	struct pci_host *host = f->host;

	if (!host)
		return;
	mutex_lock(&host->lock);
	f->state.cfg[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
	pci_update_intx_locked(f);
	pci_unmap_bars_locked(f);
	host->funcs[f->device] = NULL;
	f->host = NULL;
	f->hidden = f->yanked = false;
	/* Its place may be what another one waits for. */
	pci_map_bars_locked(host);
	mutex_unlock(&host->lock);
}

void pci_yank(struct pci_func *f)
{
	f->yanked = true;
}

uint32_t pci_hide(struct pci_host *host, uint32_t slots)
{
	uint32_t there = 0;

	MUTEX_SCOPE(&host->lock);
	for (unsigned d = 1; d < PCI_MAX_DEVICES; d++) {
		struct pci_func *f = host->funcs[d];

		if (!f || f->hidden || !(slots >> d & 1))
			continue;
		there |= 1U << d;
		f->hidden = true;
		pci_update_intx_locked(f);
		pci_unmap_bars_locked(f);
	}
	/* Its place may be what another one waits for. */
	if (there)
		pci_map_bars_locked(host);
	return there;
}

void pci_reset(struct pci_func *f)
{
	MUTEX_SCOPE(&f->host->lock);
	memcpy(f->state.cfg, f->power_on, sizeof(f->state.cfg));
	if (f->msix_cap)
		msix_reset(&f->msix);
	pci_apply_master_locked(f);
	pci_update_intx_locked(f);
	pci_map_bars_locked(f->host);
}

/* --- INTA -------------------------------------------------------------------- */

unsigned pci_intx_gsi(unsigned device)
{
	return GSI_PCI_FIRST + device % GSI_PCI_COUNT;
}

bool pci_count_intx_locked(struct pci_func *f)
{
	const uint8_t *cfg = f->state.cfg;
	uint32_t *users = &f->host->line_users[f->device % GSI_PCI_COUNT];
	uint32_t before = *users;

	if (!f->hidden && (cfg_get16(cfg, PCI_STATUS) & PCI_STATUS_INTERRUPT) &&
	    !(cfg_get16(cfg, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE))
		*users |= 1U << f->device;
	else
		*users &= ~(1U << f->device);
	return !before != !*users;
}

static void set_line_locked(const struct pci_host *host, unsigned line)
{
	irq_set_line(&host->vm->irq, GSI_PCI_FIRST + line, host->line_users[line] != 0);
}

void pci_update_intx_locked(struct pci_func *f)
{
	if (pci_count_intx_locked(f))
		set_line_locked(f->host, f->device % GSI_PCI_COUNT);
}

void pci_set_lines_locked(struct pci_host *host)
{
	for (unsigned line = 0; line < GSI_PCI_COUNT; line++)
		set_line_locked(host, line);
}

void pci_set_intx(struct pci_func *f, bool level)
{
	uint8_t *status = &f->state.cfg[PCI_STATUS];

	MUTEX_SCOPE(&f->host->lock);
	/* 6.2.3: the bit shows the request, whether the line may follow or not. */
	if (level)
		*status |= PCI_STATUS_INTERRUPT;
	else
		*status &= (uint8_t)~PCI_STATUS_INTERRUPT;
	pci_update_intx_locked(f);
}

/* --- configuration accesses -------------------------------------------------- */

static bool overlaps(unsigned offset, unsigned size, unsigned start, unsigned bytes)
{
	return offset < start + bytes && start < offset + size;
}

static bool is_window(const struct pci_func *f, unsigned offset, unsigned size)
{
	return f->window && overlaps(offset, size, f->window_offset, 4);
}

uint32_t pci_cfg_read(struct pci_func *f, unsigned offset, unsigned size)
{
	bool window = is_window(f, offset, size);
	uint32_t shown = window ? f->window(f, false, 0) : 0;
	uint32_t value = 0;

	MUTEX_SCOPE(&f->host->lock);
	if (window)
		cfg_set32(f->state.cfg, f->window_offset, shown);
	if (offset + size <= PCI_CFG_BYTES)
		memcpy(&value, f->state.cfg + offset, size);
	return value;
}

void pci_apply_master_locked(struct pci_func *f)
{
	msix_set_muted(&f->msix, !(cfg_get16(f->state.cfg, PCI_COMMAND) & PCI_COMMAND_MASTER));
}

bool pci_is_master(struct pci_func *f)
{
	MUTEX_SCOPE(&f->host->lock);
	return cfg_get16(f->state.cfg, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* Let what depends on the registers in [offset, offset + size) follow. */
static void apply_write_locked(struct pci_func *f, unsigned offset, unsigned size)
{
	const uint8_t *cfg = f->state.cfg;
	unsigned msix_flags = f->msix_cap + PCI_MSIX_FLAGS;

	if (overlaps(offset, size, PCI_COMMAND, 2)) {
		pci_apply_master_locked(f);
		pci_update_intx_locked(f);
	}
	if (overlaps(offset, size, PCI_COMMAND, 2) ||
	    overlaps(offset, size, PCI_BASE_ADDRESS_0, 4 * PCI_NR_BARS))
		pci_map_bars_locked(f->host);
	if (f->msix_cap && overlaps(offset, size, msix_flags, 2))
		msix_set_control(&f->msix, cfg_get16(cfg, msix_flags) & PCI_MSIX_FLAGS_ENABLE,
				 cfg_get16(cfg, msix_flags) & PCI_MSIX_FLAGS_MASKALL);
}

void pci_cfg_write(struct pci_func *f, unsigned offset, uint32_t value, unsigned size)
{
	bool window = is_window(f, offset, size);
	uint32_t data = 0;

	if (offset + size > PCI_CFG_BYTES)
		return;
	mutex_lock(&f->host->lock);
	for (unsigned i = 0; i < size; i++) {
		uint8_t *reg = &f->state.cfg[offset + i];
		uint8_t mask = f->writable[offset + i];

		*reg = (uint8_t)((*reg & ~mask) | (value >> (8 * i) & mask));
	}
	apply_write_locked(f, offset, size);
	if (window)
		data = cfg_get32(f->state.cfg, f->window_offset);
	mutex_unlock(&f->host->lock);
	if (f->command_written && overlaps(offset, size, PCI_COMMAND, 2))
		f->command_written(f);
	if (window)
		(void)f->window(f, true, data);
}
