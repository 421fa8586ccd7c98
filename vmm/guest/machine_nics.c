// SPDX-License-Identifier: MIT
// The nics of a guest that runs: found, limited, plugged and unplugged.
#include "vmm/guest/machine_nics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/io.h"
#include "virtio/virtio.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/memmap.h"

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

/* --- coming --- */

bool machine_nic_number_is_free(const struct machine *m, unsigned number)
{
	for (size_t i = 0; i < m->cfg->nics.nr; i++) {
		if (m->nics[i] && m->nic_hosts[i].number == number)
			return false;
	}
	return number < CONFIG_MAX_NICS;
}

unsigned machine_free_nic_number(const struct machine *m, size_t i)
{
	unsigned number = (unsigned)i;

	/* Some number is: there are as many as nics, and one of them is asked for. */
	for (unsigned n = 0; !machine_nic_number_is_free(m, number) && n < CONFIG_MAX_NICS; n++)
		number = n;
	return number;
}

int machine_check_nic(struct machine *m, const char *text, struct machine_nic_plan *ret,
		      struct err *e)
{
	const struct nic_config *nic;
	int rc = machine_check_changeable(m, e);
	size_t i = 0;

	if (rc == 0)
		rc = machine_check_slot(m, e);
	if (rc == 0)
		rc = config_plug(m->cfg, "net", text, &i, e);
	if (rc < 0)
		return rc;
	nic = (const struct nic_config *)m->cfg->nics.items + i;
	(void)snprintf(ret->id, sizeof(ret->id), "%s", nic->id);
	(void)snprintf(ret->mac, sizeof(ret->mac), "%s", nic->mac);
	ret->number = machine_free_nic_number(m, i);
	config_unplug(m->cfg, "net", i);
	return 0;
}

/* --- going --- */

void machine_nics_init(struct machine *m)
{
	for (unsigned i = 0; i < CONFIG_MAX_NICS; i++) {
		net_helper_init(&m->nic_hosts[i].helper);
		net_helper_init(&m->nics_leaving[i].helper);
	}
}

void machine_take_nic_host(struct machine *m, size_t i, struct machine_nic_host *ret)
{
	struct machine_nic_host *hosts = m->nic_hosts;

	*ret = hosts[i];
	memmove(&hosts[i], &hosts[i + 1], (CONFIG_MAX_NICS - i - 1) * sizeof(*hosts));
	net_helper_init(&hosts[CONFIG_MAX_NICS - 1].helper);
}

static void tell_released(struct machine *m, const char *id)
{
	machine_tell(m, "NIC_RELEASED", json_pack("{s:s}", "id", id));
}

static void on_helper_ended(void *opaque, unsigned events)
{
	struct machine_nic_leaving *l = opaque;

	(void)events;
	loop_del_fd(l->m->loop, &l->ended);
	net_helper_end(&l->helper);
	tell_released(l->m, l->id);
}

/* A place to wait for a helper without keeping the main loop; NULL: all are taken. */
static struct machine_nic_leaving *find_place(struct machine *m)
{
	for (unsigned i = 0; i < CONFIG_MAX_NICS; i++) {
		if (m->nics_leaving[i].helper.sock < 0)
			return &m->nics_leaving[i];
	}
	return NULL;
}

void machine_release_nic(struct machine *m, struct machine_nic_host *host, const char *id)
{
	struct machine_nic_leaving *l = host->helper.sock >= 0 ? find_place(m) : NULL;

	net_helper_begin_end(&host->helper);
	if (l) {
		l->m = m;
		(void)snprintf(l->id, sizeof(l->id), "%s", id);
		l->ended = (struct loop_fd){ .fn = on_helper_ended,
					     .opaque = l,
					     .fd = host->helper.sock,
					     .events = LOOP_READ,
					     .slot = -1 };
	}
	if (l && loop_add_fd(m->loop, &l->ended) == 0) {
		l->helper = host->helper;
		return;
	}
	net_helper_end(&host->helper);
	tell_released(m, id);
}

void machine_nics_fini(struct machine *m)
{
	/* The last comes first: what it found made was made for others. */
	for (unsigned i = CONFIG_MAX_NICS; i > 0; i--)
		net_helper_end(&m->nic_hosts[i - 1].helper);
	for (unsigned i = 0; i < CONFIG_MAX_NICS; i++) {
		if (m->nics_leaving[i].helper.sock >= 0)
			loop_del_fd(m->loop, &m->nics_leaving[i].ended);
		net_helper_end(&m->nics_leaving[i].helper);
	}
}
