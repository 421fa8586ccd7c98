// SPDX-License-Identifier: MIT
// The nics of a guest that runs: found, limited, plugged and unplugged.
#include "vmm/guest/machine_nics.h"

#include <errno.h>
#include <string.h>

#include "vmm/guest/machine_impl.h"

int machine_find_nic(const struct machine *m, const char *id, struct err *e)
{
	const struct nic_config *nics = m->cfg->nics.items;
	unsigned nr = 0;
	int found = -1;

	for (unsigned i = 0; i < m->cfg->nics.nr; i++) {
		if (!m->nics[i] || (id && strcmp(id, nics[i].id) != 0))
			continue;
		found = (int)i;
		nr++;
	}
	if (nr == 1)
		return found;
	if (id)
		return err_set(e, -ENOENT, "there is no nic '%.64s'", id);
	if (nr)
		return err_set(e, -EINVAL, "there are %u nics: name one", nr);
	return err_set(e, -ENOENT, "there is no nic");
}

int machine_set_nic_rates(struct machine *m, size_t i, const struct net_rate *rx,
			  const struct net_rate *tx, struct err *e)
{
	struct nic_config *nic = (struct nic_config *)m->cfg->nics.items + i;
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	nic->rx_bps = rx->bps;
	nic->rx_pps = rx->pps;
	nic->tx_bps = tx->bps;
	nic->tx_pps = tx->pps;
	net_set_rates(m->nics[i], rx, tx);
	return 0;
}

int machine_set_nic_link(struct machine *m, size_t i, bool up, struct err *e)
{
	const struct nic_config *nic = (const struct nic_config *)m->cfg->nics.items + i;
	int rc = machine_check_free(m, e);

	if (rc < 0)
		return rc;
	if (up && net_get_link(m->nics[i]) == NET_LINK_FAILED)
		return err_set(e, -EIO, "%s: its interface on the host is gone: detach it",
			       nic->id);
	net_set_link(m->nics[i], up);
	return 0;
}
