// SPDX-License-Identifier: MIT
// The devices of a guest, made from its settings.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "devices/isa.h"
#include "devices/pci.h"
#include "devices/serial.h"
#include "virtio/balloon.h"
#include "virtio/blk.h"
#include "virtio/console.h"
#include "virtio/net.h"
#include "virtio/rng.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/guest/machine_nics.h"
#include "vmm/guest/nic_host.h"
#include "vmm/sandbox/sandbox.h"
#include "vmm/vm.h"

int machine_add_platform(struct machine *m, struct err *e)
{
	static int (*const add[])(struct vm * vm) = { rtc_new, i8042_new, pvpanic_new,
						      debug_exit_new };
	int rc = pci_host_new(m->vm, &m->pci);

	if (rc == 0)
		rc = acpi_pm_new(m->vm, &m->pm);
	if (rc == 0)
		rc = serial_new(m->vm, m->con);
	for (unsigned i = 0; i < ARRAY_SIZE(add) && rc == 0; i++)
		rc = add[i](m->vm);
	return rc < 0 ? err_set(e, rc, "platform devices: %s", strerror(-rc)) : 0;
}

/* A guest that arrives names files as they were called where it comes from. */
static int err_elsewhere(const char *id, struct err *e)
{
	const struct err why = *e;

	return err_set(e, why.code, "%s: where the guest arrives --map disk:%s=PATH names it",
		       why.text, id);
}

int machine_add_disk(struct machine *m, size_t i, struct block_given *given, struct err *e)
{
	const struct disk_config *disk = (const struct disk_config *)m->cfg->disks.items + i;
	static const enum block_direct direct[] = {
		[DISK_DIRECT_AUTO] = BLOCK_DIRECT_AUTO,
		[DISK_DIRECT_ON] = BLOCK_DIRECT_ON,
		[DISK_DIRECT_OFF] = BLOCK_DIRECT_OFF,
	};
	static const enum blk_engine engines[] = {
		[DISK_ENGINE_AUTO] = BLK_ENGINE_AUTO,
		[DISK_ENGINE_URING] = BLK_ENGINE_URING,
		[DISK_ENGINE_THREADS] = BLK_ENGINE_THREADS,
	};
	struct blk_config cfg = {
		.id = disk->id,
		.path = disk->path,
		.serial = disk->serial,
		.readonly = disk->readonly,
		.overlay = disk->overlay,
		.incoming = m->arriving,
		.queues = disk->queues,
		.overlay_bytes = disk->size_bytes,
		.iops = disk->iops,
		.bps = disk->bytes_per_s,
		.burst_ms = disk->burst_ms,
		.direct = direct[disk->direct],
		.engine = engines[disk->engine],
		.queue_size = (uint16_t)disk->queue_size,
		.given = given,
	};
	int rc;

	if (m->started) {
		if (machine_run_disk_loops(m, e) < 0)
			return e->code;
		cfg.loops = m->disk_loops;
		cfg.nr_loops = m->nr_disk_loops;
	}
	rc = blk_new(m->vm, m->pci, &cfg, &m->disks[i], e);
	return rc == -ENOENT && m->arriving ? err_elsewhere(disk->id, e) : rc;
}

/*
 * The user networks share half of what this process may open: the rest is for
 * the control socket, consoles and whatever else the guest must not take. Those that
 * were there before one comes keep their share, so the sum is counted as well (sockets).
 */
static unsigned max_sockets(const struct machine *m)
{
	const struct nic_config *nics = m->cfg->nics.items;
	unsigned users = 0;

	for (unsigned i = 0; i < m->cfg->nics.nr; i++)
		users += nics[i].kind == NIC_USER;
	return (unsigned)MAX(1, MIN(m->max_files / 2 / MAX(users, 1U), NETDEV_MAX_SOCKETS));
}

/* What changes more of the host than a tap that vanishes with this process. */
static int add_by_helper(struct machine *m, const struct nic_config *nic, unsigned index,
			 struct net_config *cfg, struct err *e)
{
	const struct nic_owner owner = {
		.guest = m->cfg->name,
		.number = m->nic_hosts[index].number,
		.trial = m->cfg->dry_run,
	};
	struct attach_answer answer = { .nr_fds = 0 };
	int rc = nic_host_ask(&m->nic_hosts[index].helper, &owner, nic, &answer, e);

	if (rc < 0)
		return rc;
	cfg->backend.tap = answer.interface;
	cfg->backend.fds = answer.fds;
	cfg->backend.host_mtu = answer.mtu;
	rc = net_new(m->vm, m->pci, cfg, &m->nics[index], e);
	for (unsigned i = 0; i < answer.nr_fds; i++)
		(void)close(answer.fds[i]);
	return rc;
}

/* What came from whoever asked for the nic; all of it is looked at by net_new(). */
static int add_given(struct machine *m, const struct machine_nic_given *given, unsigned index,
		     struct net_config *cfg, struct err *e)
{
	int rc;

	if (given->nr_fds != cfg->backend.nr_pairs)
		return err_set(e, -EINVAL, "%u queue pairs, but %u descriptors of queues",
			       cfg->backend.nr_pairs, given->nr_fds);
	cfg->backend.fds = given->fds;
	cfg->backend.host_mtu = given->host_mtu;
	rc = net_new(m->vm, m->pci, cfg, &m->nics[index], e);
	if (rc == 0)
		m->nic_hosts[index].helper = *given->helper;
	return rc;
}

/* User networking has nothing on the host; what the process sees of its network by now. */
static int check_given_user(const struct machine_nic_given *given, struct err *e)
{
	if (given->nr_fds || given->helper->sock >= 0)
		return err_set(e, -EINVAL, "user networking takes no descriptors");
	if (sandbox_hides_net())
		return err_set(e, -EINVAL,
			       "user networking makes connections of the host's, which the guest "
			       "with its --jail-net cannot: give another net");
	return 0;
}

static int add_nic(struct machine *m, unsigned index, const struct machine_nic_given *given,
		   struct err *e)
{
	const struct nic_config *nic = (const struct nic_config *)m->cfg->nics.items + index;
	struct net_config cfg = {
		.id = nic->id,
		.backend =
			{
				.kind = nic->kind == NIC_USER ? NETDEV_USER : NETDEV_TAP,
				.nr_pairs = nic->queues,
				.tap = nic->ifname,
				.bridge = nic->bridge,
				.hostfwds = nic->hostfwd.items,
				.nr_hostfwds = (unsigned)nic->hostfwd.nr,
				.max_sockets = max_sockets(m),
				.sockets = &m->sockets,
				.mtu = nic->mtu,
			},
		.queue_size = nic->queue_size,
		.own_only = nic_own_only(nic),
		.no_offloads = nic->offloads,
		.rx_rate = { nic->rx_bps, nic->rx_pps },
		.tx_rate = { nic->tx_bps, nic->tx_pps },
	};

	if (mac_parse(nic->mac, cfg.mac) < 0) /* config_finish() saw to it */
		return err_set(e, -EINVAL, "mac: missing");
	if (given && nic->kind != NIC_USER)
		return add_given(m, given, index, &cfg, e);
	if (given && check_given_user(given, e) < 0)
		return e->code;
	if (!given && nic_host_needs_helper(nic))
		return add_by_helper(m, nic, index, &cfg, e);
	return net_new(m->vm, m->pci, &cfg, &m->nics[index], e);
}

int machine_add_nic(struct machine *m, size_t i, const struct machine_nic_given *given,
		    struct err *e)
{
	const struct nic_config *nic = (const struct nic_config *)m->cfg->nics.items + i;

	m->nic_hosts[i].number = given ? given->number : machine_free_nic_number(m, i);
	return add_nic(m, (unsigned)i, given, e) < 0 ? err_prefix(e, "%s", nic->id) : 0;
}

/* Small devices are seldom busy, so one thread works all of them. 0 or -errno. */
static int need_io_loop(struct machine *m)
{
	int rc;

	if (m->io_loop)
		return 0;
	rc = loop_new(&m->io_loop, 0);
	if (rc == 0)
		rc = loop_start(m->io_loop, THREAD_IO, "io");
	if (rc < 0)
		loop_free(take_ptr(m->io_loop));
	return rc;
}

int machine_add_rng(struct machine *m, struct err *e)
{
	int rc = need_io_loop(m);

	if (rc == 0)
		rc = rng_new(m->vm, m->pci, MACHINE_RNG, m->io_loop);
	return rc < 0 ? err_set(e, rc, "rng: %s", strerror(-rc)) : 0;
}

static int add_small_devices(struct machine *m, struct err *e)
{
	int rc = 0;

	if (m->cfg->rng && machine_add_rng(m, e) < 0)
		return e->code;
	if (m->cfg->balloon || m->cfg->virtio_console)
		rc = need_io_loop(m);
	if (rc == 0 && m->cfg->balloon)
		rc = balloon_new(m->vm, m->pci, MACHINE_BALLOON, m->io_loop, &m->balloon);
	if (rc == 0 && m->cfg->virtio_console)
		rc = vcon_new(m->vm, m->pci, MACHINE_CONSOLE, m->io_loop, m->con);
	return rc < 0 ? err_set(e, rc, "balloon and console: %s", strerror(-rc)) : 0;
}

int machine_add_devices(struct machine *m, struct err *e)
{
	const struct nic_config *nics = m->cfg->nics.items;
	int rc = machine_make_disk_loops(m, e);

	for (size_t i = 0; rc == 0 && i < m->cfg->disks.nr; i++)
		rc = machine_add_disk(m, i, NULL, e);
	for (size_t i = 0; rc == 0 && i < m->cfg->nics.nr; i++) {
		if (nics[i].kind != NIC_NONE)
			rc = machine_add_nic(m, i, NULL, e);
	}
	return rc < 0 ? rc : add_small_devices(m, e);
}
