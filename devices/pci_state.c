// SPDX-License-Identifier: MIT
// PCI functions on their way: pause, save and load.
#include <errno.h>

#include "devices/pci_impl.h"
#include "devices/vstate.h"

static const struct vstate_field pci_fields[] = {
	VS_BYTES(1, struct pci_state, cfg),
};

const struct vstate_table pci_vstate = {
	VSTATE_TABLE("pci", struct pci_state, pci_fields),
};

void pci_pause(struct pci_func *f)
{
	msix_pause(&f->msix);
}

void pci_resume(struct pci_func *f)
{
	msix_resume(&f->msix);
}

void pci_save(struct pci_func *f, struct vstate_writer *w)
{
	mutex_lock(&f->host->lock);
	vstate_put(w, &pci_vstate, 0, &f->state);
	mutex_unlock(&f->host->lock);
	msix_save(&f->msix, w);
}

/* Which bits of byte @i may differ from their power-on value? */
static uint8_t changeable(const struct pci_func *f, unsigned i)
{
	return f->writable[i] | (i == PCI_STATUS ? PCI_STATUS_INTERRUPT : 0);
}

/*
 * Identity, capabilities and sizes are all in here: a function that differs in
 * one of them is not the one that was saved.
 */
static int compare(const struct pci_func *f, const uint8_t *cfg, struct err *e)
{
	for (unsigned i = 0; i < PCI_CFG_BYTES; i++) {
		if (!((cfg[i] ^ f->power_on[i]) & ~changeable(f, i)))
			continue;
		return err_set(e, -EINVAL,
			       "pci: the byte at %#x is %#x, but %#x here: another device, or "
			       "other settings",
			       i, cfg[i], f->power_on[i]);
	}
	return 0;
}

static int load_cfg(struct pci_func *f, struct vstate_reader *r, struct err *e)
{
	struct pci_state state = { 0 };
	int rc = vstate_get(r, &pci_vstate, 0, &state, e);

	if (rc == 0)
		rc = compare(f, state.cfg, e);
	if (rc < 0)
		return rc;
	MUTEX_SCOPE(&f->host->lock);
	f->state = state;
	(void)pci_count_intx_locked(f);
	pci_apply_master_locked(f);
	/* Where the guest has moved several BARs, the last function's load settles it. */
	pci_map_bars_locked(f->host);
	return 0;
}

int pci_load(struct pci_func *f, struct vstate_reader *r, struct err *e)
{
	unsigned flags = f->msix_cap + PCI_MSIX_FLAGS;
	int rc = load_cfg(f, r, e);

	if (rc == 0)
		rc = msix_load(&f->msix, r, e);
	if (rc == 0 && f->msix_cap)
		msix_set_control(&f->msix, cfg_get16(f->state.cfg, flags) & PCI_MSIX_FLAGS_ENABLE,
				 cfg_get16(f->state.cfg, flags) & PCI_MSIX_FLAGS_MASKALL);
	return rc;
}
