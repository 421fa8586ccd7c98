// SPDX-License-Identifier: MIT
// What a guest is to be: the table of settings, and what they mean together.
#include "vmm/guest/config.h"

#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/mac.h"
#include "net/managed/netdef.h"
#include "net/netdev.h"
#include "util/io.h"
#include "virtio/blk.h"
#include "virtio/net.h"
#include "virtio/queue.h"
#include "vmm/console_host.h"
#include "vmm/device.h"
#include "vmm/gdb/server.h"
#include "vmm/gmem.h"
#include "vmm/guest/runtime.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define MAX_QUEUES   16
#define MAX_BURST_MS (60U * 60 * 1000)
#define MAX_IOPS     (1000ULL * 1000 * 1000)
#define MAX_BPS      (1024 * GIB)

/* --- disks --- */

static const char *const direct_choices[] = { "auto", "on", "off", NULL };
static const char *const engine_choices[] = { "auto", "io_uring", "threads", NULL };

#define DISK(member) offsetof(struct disk_config, member)

static const struct field disk_fields[] = {
	{ "path", &field_string, DISK(path), .arg = "PATH", .help = "raw image or block device" },
	{ "id", &field_string, DISK(id), .arg = "ID", .help = "name of the disk in ferry (disk0)" },
	{ "serial", &field_string, DISK(serial), .arg = "TEXT", .help = "serial number" },
	{ "readonly", &field_flag, DISK(readonly), .help = "refuse writes" },
	{ "overlay", &field_flag, DISK(overlay), .help = "forget writes at the end" },
	{ "size", &field_bytes, DISK(size_bytes), .arg = "SIZE",
	  .help = "of an overlay: what the guest sees (the image's)", .max = INT64_MAX },
	{ "queues", &field_uint, DISK(queues), .arg = "N",
	  .help = "virtqueues (one a vCPU, at most 4)", .min = 1, .max = MAX_QUEUES },
	{ "iops", &field_number, DISK(iops), .arg = "N", .help = "most requests a second",
	  .max = MAX_IOPS },
	{ "bps", &field_bytes, DISK(bytes_per_s), .arg = "SIZE", .help = "most bytes a second",
	  .max = MAX_BPS },
	{ "direct", &field_choice, DISK(direct), .arg = "WHEN",
	  .help = "bypass the page cache: auto, on or off", .choices = direct_choices },
	{ "burst", &field_uint, DISK(burst_ms), .arg = "MS",
	  .help = "unused allowance that may gather (100)", .max = MAX_BURST_MS },
	{ "engine", &field_choice, DISK(engine), .arg = "WHICH",
	  .help = "how to do I/O: auto, io_uring or threads", .choices = engine_choices },
	{ "queue-size", &field_uint, DISK(queue_size), .arg = "N",
	  .help = "entries of a virtqueue (256)", .min = BLK_MIN_QUEUE_SIZE, .max = VQ_MAX_SIZE },
};

static int check_queue_size(unsigned size, struct err *e)
{
	if (size & (size - 1))
		return err_set(e, -EINVAL, "queue-size: %u is not a power of two", size);
	return 0;
}

int config_check_limits(const struct disk_config *disk, struct err *e)
{
	if (disk->iops > MAX_IOPS || disk->bytes_per_s > MAX_BPS || disk->burst_ms > MAX_BURST_MS)
		return err_set(e, -ERANGE,
			       "limits are at most %llu requests and %llu bytes a second, with a "
			       "burst of %u ms",
			       MAX_IOPS, (unsigned long long)MAX_BPS, MAX_BURST_MS);
	if (disk->burst_ms && !disk->iops && !disk->bytes_per_s)
		return err_set(e, -EINVAL, "burst means nothing without iops or bps");
	return 0;
}

static int disk_check(void *item, struct err *e)
{
	const struct disk_config *disk = item;

	if (!*disk->path)
		return err_set(e, -EINVAL, "the path of the image is missing");
	if (disk->readonly && disk->overlay)
		return err_set(e, -EINVAL, "readonly and overlay exclude each other");
	if (disk->size_bytes && !disk->overlay)
		return err_set(e, -EINVAL, "size goes with overlay only: an image has its own");
	if (config_check_limits(disk, e) < 0)
		return -EINVAL;
	return check_queue_size(disk->queue_size, e);
}

static const struct field_record disk_record = {
	.what = "disk",
	.bytes = sizeof(struct disk_config),
	.fields = disk_fields,
	.nr_fields = ARRAY_SIZE(disk_fields),
	.max_items = CONFIG_MAX_DISKS,
	.check = disk_check,
};

int config_parse_disk(struct disk_config *disk, const char *text, struct err *e)
{
	int rc;

	*disk = (struct disk_config){ 0 };
	rc = field_parse_record(&disk_record, disk, text, e);
	if (rc < 0)
		config_free_disk(disk);
	return rc;
}

void config_free_disk(struct disk_config *disk)
{
	fields_free(disk_fields, ARRAY_SIZE(disk_fields), disk);
}

/* --- nics --- */

static const struct field forward_fields[] = {
	{ "forward", &field_string, 0, .arg = "RULE", .help = "PROTO:[ADDR:]PORT-[ADDR:]PORT" },
};

static const struct field_record forward_record = {
	.what = "forward",
	.bytes = sizeof(char *),
	.fields = forward_fields,
	.nr_fields = ARRAY_SIZE(forward_fields),
	.max_items = 64,
};

#define NIC(member) offsetof(struct nic_config, member)

static const char *const offload_choices[] = { "on", "off", NULL };
static const char *const promisc_choices[] = { "auto", "on", "off", NULL };
const char *const nic_macvtap_modes[] = { "bridge", "vepa", "private", NULL };

static const struct field nic_fields[] = {
	{ "backend", &field_string, NIC(backend), .arg = "KIND",
	  .help = "user, tap, tap:NAME, bridge:NAME, macvtap:NAME, none, or a network" },
	{ "id", &field_string, NIC(id), .arg = "ID", .help = "name of the nic in ferry (net0)" },
	{ "mac", &field_string, NIC(mac), .arg = "MAC", .help = "address (derived from the name)" },
	{ "bridge", &field_string, NIC(bridge), .arg = "NAME", .help = "bridge to put the tap on" },
	{ "queues", &field_uint, NIC(queues), .arg = "N", .help = "queue pairs (1)", .min = 1,
	  .max = MAX_QUEUES },
	{ "hostfwd", &field_list, NIC(hostfwd), .arg = "RULE",
	  .help = "forward a host port; repeatable", .record = &forward_record },
	{ "mtu", &field_uint, NIC(mtu), .arg = "BYTES", .help = "largest packet (the network's)",
	  .min = NETDEV_MIN_MTU, .max = NETDEV_MAX_MTU },
	{ "rx-bps", &field_rate, NIC(rx_bps), .arg = "RATE",
	  .help = "most bits a second to the guest", .max = CONFIG_MAX_RATE },
	{ "rx-pps", &field_rate, NIC(rx_pps), .arg = "RATE",
	  .help = "most packets a second to the guest", .max = CONFIG_MAX_RATE },
	{ "tx-bps", &field_rate, NIC(tx_bps), .arg = "RATE",
	  .help = "most bits a second from the guest", .max = CONFIG_MAX_RATE },
	{ "tx-pps", &field_rate, NIC(tx_pps), .arg = "RATE",
	  .help = "most packets a second from the guest", .max = CONFIG_MAX_RATE },
	{ "offloads", &field_choice, NIC(offloads), .arg = "WHEN",
	  .help = "checksums and segmentation by the host: on or off", .choices = offload_choices },
	{ "queue-size", &field_uint, NIC(queue_size), .arg = "N",
	  .help = "entries of a virtqueue (256)", .min = NET_MIN_QUEUE_SIZE, .max = VQ_MAX_SIZE },
	{ "ip", &field_string, NIC(ip), .arg = "ADDRESS",
	  .help = "IPv4 address on its network (derived from the MAC)" },
	{ "ip6", &field_string, NIC(ip6), .arg = "ADDRESS", .help = "IPv6 address there" },
	{ "vlan", &field_uint, NIC(vlan), .arg = "ID", .help = "VLAN of its network", .min = 1,
	  .max = 4094 },
	{ "filter", &field_choice, NIC(filter), .arg = "WHEN",
	  .help = "send from its own addresses only: on or off", .choices = offload_choices },
	{ "promisc", &field_choice, NIC(promisc), .arg = "WHEN",
	  .help = "frames for others: on, off, or auto: on, but off on filtered networks",
	  .choices = promisc_choices },
	{ "mode", &field_choice, NIC(mode), .arg = "MODE",
	  .help = "of a macvtap: bridge, vepa or private", .choices = nic_macvtap_modes },
};

bool nic_own_only(const struct nic_config *nic)
{
	enum { AUTO, ON, OFF };

	if (nic->promisc == AUTO)
		return nic->kind == NIC_NETWORK && !nic->filter;
	return nic->promisc == OFF;
}

static void nic_init(void *item)
{
	*(struct nic_config *)item = (struct nic_config){ .queues = 1 };
}

/* "KIND" or "KIND:NAME"; *@ret_name is "" for the former. False: another kind. */
static bool is_kind(const char *backend, const char *kind, const char **ret_name)
{
	size_t len = strlen(kind);

	if (strncmp(backend, kind, len) != 0 || (backend[len] && backend[len] != ':'))
		return false;
	*ret_name = backend + len + (backend[len] == ':');
	return true;
}

static int missing_name(const char *backend, const char *what, struct err *e)
{
	return err_set(e, -EINVAL, "the name of the %s is missing: write %.*s:NAME", what,
		       (int)strcspn(backend, ":"), backend);
}

static int nic_parse_backend(struct nic_config *nic, struct err *e)
{
	const char *name = "";

	nic->ifname = NULL;
	if (!strcmp(nic->backend, "none")) {
		nic->kind = NIC_NONE;
	} else if (!strcmp(nic->backend, "user")) {
		nic->kind = NIC_USER;
	} else if (is_kind(nic->backend, "tap", &name)) {
		nic->kind = NIC_TAP;
		nic->ifname = *name ? name : NULL;
		if (!*name && strchr(nic->backend, ':'))
			return missing_name(nic->backend, "tap", e);
	} else if (is_kind(nic->backend, "bridge", &name)) {
		nic->kind = NIC_TAP;
		if (!*name)
			return missing_name(nic->backend, "bridge", e);
		free(nic->bridge);
		nic->bridge = strdup(name);
		return nic->bridge ? 0 : err_set(e, -ENOMEM, "no memory");
	} else if (is_kind(nic->backend, "macvtap", &name)) {
		nic->kind = NIC_MACVTAP;
		nic->ifname = name;
		if (!*name)
			return missing_name(nic->backend, "interface", e);
	} else {
		nic->kind = NIC_NETWORK;
		if (netdef_check_name(nic->backend, NULL) < 0)
			return err_set(e, -EINVAL,
				       "'%.60s' is none of user, tap, tap:NAME, bridge:NAME, "
				       "macvtap:NAME, none, nor the name of a network",
				       nic->backend);
	}
	return 0;
}

static int nic_check_network(const struct nic_config *nic, struct err *e)
{
	const char *const texts[] = { nic->ip, nic->ip6 };
	struct net_prefix addr;

	if (nic->kind != NIC_NETWORK && (nic->ip || nic->ip6 || nic->vlan || nic->filter))
		return err_set(e, -EINVAL, "ip, ip6, vlan and filter work with a network only");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (texts[i] && (strchr(texts[i], '/') || net_prefix_parse(texts[i], &addr) < 0 ||
				 addr.family != (i == 0 ? AF_INET : AF_INET6)))
			return err_set(e, -EINVAL, "%s: '%.60s' is not an address",
				       i == 0 ? "ip" : "ip6", texts[i]);
	}
	return 0;
}

static int nic_check(void *item, struct err *e)
{
	struct nic_config *nic = item;
	uint8_t mac[MAC_BYTES];
	int rc = nic_parse_backend(nic, e);

	if (rc < 0)
		return rc;
	if (nic->mac && mac_parse(nic->mac, mac) < 0)
		return err_set(e, -EINVAL,
			       "mac: '%s' is not the address of a nic: write xx:xx:xx:xx:xx:xx",
			       nic->mac);
	if (nic->kind != NIC_USER && nic->hostfwd.nr)
		return err_set(e, -EINVAL, "hostfwd works with user only");
	if (nic->kind != NIC_TAP && nic->bridge)
		return err_set(e, -EINVAL, "bridge works with tap only");
	if (nic->kind != NIC_MACVTAP && nic->mode)
		return err_set(e, -EINVAL, "mode works with macvtap only");
	if (nic->kind == NIC_USER && nic->queues > 1)
		return err_set(e, -EINVAL, "several queues work with taps and networks only");
	rc = nic_check_network(nic, e);
	return rc < 0 ? rc : check_queue_size(nic->queue_size, e);
}

static const struct field_record nic_record = {
	.what = "nic",
	.bytes = sizeof(struct nic_config),
	.fields = nic_fields,
	.nr_fields = ARRAY_SIZE(nic_fields),
	.max_items = CONFIG_MAX_NICS,
	.init = nic_init,
	.check = nic_check,
};

int config_parse_nic(struct nic_config *nic, const char *text, struct err *e)
{
	int rc;

	nic_init(nic);
	rc = field_parse_record(&nic_record, nic, text, e);
	if (rc < 0)
		config_free_nic(nic);
	return rc;
}

int config_parse_nic_limit(const char *text, const char **ret_name, uint64_t *ret_rate,
			   struct err *e)
{
	size_t len = strcspn(text, "=");
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(nic_fields); i++) {
		const struct field *f = &nic_fields[i];
		struct nic_config nic = { 0 };

		if (f->type != &field_rate || strlen(f->name) != len ||
		    strncmp(f->name, text, len) != 0)
			continue;
		if (!text[len])
			return err_set(e, -EINVAL, "%s wants a value: %s=%s", f->name, f->name,
				       f->arg);
		rc = field_set(f, &nic, text + len + 1, e);
		if (rc < 0)
			return err_prefix(e, "%s", f->name);
		*ret_name = f->name;
		*ret_rate = *(uint64_t *)field_at(f, &nic);
		return 0;
	}
	return err_set(e, -EINVAL,
		       "'%.60s' is none of rx-bps=RATE, rx-pps=RATE, tx-bps=RATE and tx-pps=RATE",
		       text);
}

void config_free_nic(struct nic_config *nic)
{
	fields_free(nic_fields, ARRAY_SIZE(nic_fields), nic);
}

/* --- the guest --- */

/* In the order of enum guest_action. */
static const char *const actions[] = { "destroy", "restart", "preserve", "rename-restart", NULL };

#define CFG(member) offsetof(struct config, member)

const struct field config_fields[] = {
	{ "name", &field_string, CFG(name), .arg = "NAME", .help = "what the guest is called" },
	{ "kernel", &field_string, CFG(kernel), .arg = "FILE",
	  .help = "kernel: ELF with PVH entry, or bzImage" },
	{ "initrd", &field_string, CFG(initrd), .arg = "FILE", .help = "initial RAM disk" },
	{ "append", &field_string, CFG(append), .arg = "TEXT", .help = "kernel command line" },
	{ "memory", &field_bytes, CFG(memory_bytes), .arg = "SIZE", .help = "RAM (256M)",
	  .min = GMEM_MIN_BYTES, .max = GMEM_MAX_BYTES },
	{ "vcpus", &field_uint, CFG(vcpus), .arg = "N", .help = "virtual CPUs (1)", .min = 1,
	  .max = VM_MAX_VCPUS },
	{ "disk", &field_list, CFG(disks), .arg = "PATH[,...]", .help = "add a disk",
	  .record = &disk_record },
	{ "net", &field_list, CFG(nics), .arg = "KIND[,...]",
	  .help = "add a nic: user (default), tap, bridge, macvtap, none or a network",
	  .record = &nic_record },
	{ "rng", &field_flag, CFG(rng), .help = "add an entropy device" },
	{ "balloon", &field_flag, CFG(balloon), .help = "add a memory balloon" },
	{ "virtio-console", &field_flag, CFG(virtio_console),
	  .help = "add a virtio console, which then gets the input" },
	{ "hotplug-slots", &field_uint, CFG(hotplug_slots), .arg = "N",
	  .help = "PCI slots whose devices can come and go (8); 0: none", .max = PCI_MAX_HOT_SLOTS,
	  .usual = PCI_STD_HOT_SLOTS },
	{ "console", &field_string, CFG(console), .arg = "WHERE",
	  .help = "stdio (default), pty, file:PATH, unix:PATH or none" },
	{ "ephemeral", &field_flag, CFG(ephemeral), .help = "leave nothing behind" },
	{ "timeout", &field_uint, CFG(timeout_s), .arg = "SECONDS",
	  .help = "end the guest after so long, with status 124" },
	{ "on-poweroff", &field_choice, CFG(on_poweroff), .arg = "ACTION",
	  .help = "destroy (default), restart, preserve or rename-restart", .choices = actions },
	{ "on-reboot", &field_choice, CFG(on_reboot), .arg = "ACTION",
	  .help = "restart (default), destroy, preserve or rename-restart", .choices = actions },
	{ "on-crash", &field_choice, CFG(on_crash), .arg = "ACTION",
	  .help = "destroy (default), restart, preserve or rename-restart", .choices = actions },
	{ "dump-dir", &field_string, CFG(dump_dir), .arg = "DIR",
	  .help = "write a core there when the guest crashes" },
	{ "hugepages", &field_flag, CFG(hugepages), .help = "back RAM by 2 MiB huge pages" },
	{ "gdb", &field_string, CFG(gdb), .arg = "WHERE[,wait]", .cli_only = true,
	  .help = "let gdb debug the guest: unix:PATH or tcp:127.0.0.1:PORT" },
	SANDBOX_FIELDS(CFG(sandbox)),
	{ "dry-run", &field_flag, CFG(dry_run), .cli_only = true,
	  .help = "check everything, print the settings, start nothing" },
	{ "json", &field_flag, CFG(json), .cli_only = true,
	  .help = "report start and end as JSON on standard error" },
	{ "verbose", &field_flag, CFG(verbose), .cli_only = true, .letter = 'v',
	  .help = "log more" },
};
const size_t config_nr_fields = ARRAY_SIZE(config_fields);

void config_init(struct config *cfg)
{
	*cfg = (struct config){ .memory_bytes = 256 * MIB,
				.vcpus = 1,
				.hotplug_slots = PCI_STD_HOT_SLOTS,
				.on_reboot = ACTION_RESTART };
}

void config_fini(struct config *cfg)
{
	fields_free(config_fields, config_nr_fields, cfg);
}

/* What older versions do not know does not bother them where it is as it always was. */
static bool is_usual(const struct field *f, const json_t *value)
{
	return f->usual && json_integer_value(value) == (json_int_t)f->usual;
}

static json_t *to_json(const struct config *cfg, bool portable)
{
	json_t *obj = fields_to_json(config_fields, config_nr_fields, cfg);

	for (size_t i = 0; obj && i < config_nr_fields; i++) {
		const struct field *f = &config_fields[i];

		if (f->cli_only ||
		    (portable && (f->local || is_usual(f, json_object_get(obj, f->name)))))
			(void)json_object_del(obj, f->name);
	}
	return obj;
}

json_t *config_to_json(const struct config *cfg)
{
	return to_json(cfg, false);
}

json_t *config_to_json_portable(const struct config *cfg)
{
	return to_json(cfg, true);
}

/*
 * A name made of the kernel's: "build/hello.elf" gives "hello-PID". No two
 * guests that run have it.
 */
static int derive_name(struct config *cfg, struct err *e)
{
	_cleanup_free_ char *path = strdup(cfg->kernel);
	char stem[24], *base;
	size_t len = 0;

	if (!path)
		return err_set(e, -ENOMEM, "out of memory");
	base = basename(path);
	base[strcspn(base, ".")] = '\0';
	for (; *base && len < sizeof(stem) - 1; base++) {
		if (runtime_name_char(*base) && (len || runtime_name_start(*base)))
			stem[len++] = *base;
	}
	stem[len] = '\0';
	if (asprintf(&cfg->name, "%s-%d", len ? stem : "guest", getpid()) < 0) {
		cfg->name = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

/* Without any --net there is one for user networking; "none" stands alone. */
static int settle_nics(struct config *cfg, struct err *e)
{
	const struct nic_config *nics;

	if (cfg->nics.nr == 0) {
		const struct field *f = field_find(config_fields, config_nr_fields, "net");

		return field_set(f, cfg, "user", e);
	}
	nics = cfg->nics.items;
	for (size_t i = 0; i < cfg->nics.nr; i++) {
		if (nics[i].kind == NIC_NONE && cfg->nics.nr > 1)
			return err_set(e, -EINVAL, "net: none and another nic exclude each other");
	}
	return 0;
}

/* Devices that are called so in each guest, or that an option adds. */
static bool is_own_id(const char *id)
{
	static const char *const own[] = {
		"acpi-pm", "balloon", "console", "pci", "rng", "rtc", "serial",
	};

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		if (!strcmp(id, own[i]))
			return true;
	}
	return false;
}

int config_check_id(const char *id, struct err *e)
{
	if (runtime_check_name(id, e) < 0)
		return err_prefix(e, "id");
	if (strlen(id) >= DEVICE_ID_BYTES)
		return err_set(e, -EINVAL,
			       "id: '%s' has more than %d characters: choose a shorter one", id,
			       DEVICE_ID_BYTES - 1);
	if (is_own_id(id))
		return err_set(e, -EINVAL, "id: '%s' is a device of ferry's own: choose another",
			       id);
	return 0;
}

static int settle_id(char **id, const char *prefix, size_t index, struct err *e)
{
	if (*id)
		return config_check_id(*id, e);
	if (asprintf(id, "%s%zu", prefix, index) < 0) {
		*id = NULL;
		return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

static const char *item_id(const struct config *cfg, size_t i)
{
	if (i < cfg->disks.nr)
		return ((const struct disk_config *)cfg->disks.items)[i].id;
	return ((const struct nic_config *)cfg->nics.items)[i - cfg->disks.nr].id;
}

static int settle_ids(struct config *cfg, struct err *e)
{
	struct disk_config *disks = cfg->disks.items;
	struct nic_config *nics = cfg->nics.items;
	size_t nr = cfg->disks.nr + cfg->nics.nr;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < cfg->disks.nr; i++)
		rc = settle_id(&disks[i].id, "disk", i, e);
	for (size_t i = 0; rc == 0 && i < cfg->nics.nr; i++)
		rc = settle_id(&nics[i].id, "net", i, e);
	for (size_t i = 1; rc == 0 && i < nr; i++) {
		for (size_t j = 0; rc == 0 && j < i; j++) {
			if (!strcmp(item_id(cfg, i), item_id(cfg, j)))
				rc = err_set(e, -EINVAL, "two devices have the id %s",
					     item_id(cfg, i));
		}
	}
	return rc;
}

int config_derive_macs(struct config *cfg, struct err *e)
{
	struct nic_config *nics = cfg->nics.items;
	char text[MAC_TEXT_BYTES];
	uint8_t mac[MAC_BYTES];

	for (unsigned i = 0; i < cfg->nics.nr; i++) {
		if (nics[i].mac || nics[i].kind == NIC_NONE)
			continue;
		mac_derive(cfg->name, i, mac);
		mac_format(mac, text);
		nics[i].mac = strdup(text);
		if (!nics[i].mac)
			return err_set(e, -ENOMEM, "out of memory");
	}
	return 0;
}

static int settle_console(struct config *cfg, struct err *e)
{
	struct console_spec spec;

	if (!cfg->console)
		cfg->console = strdup("stdio");
	if (!cfg->console)
		return err_set(e, -ENOMEM, "out of memory");
	return console_parse_spec(cfg->console, &spec, e);
}

static int check_gdb(const struct config *cfg, struct err *e)
{
	struct gdb_server_spec spec;

	return cfg->gdb ? gdb_parse_spec(&spec, cfg->gdb, e) : 0;
}

static bool keeps_core(const struct config *cfg)
{
	return cfg->on_poweroff == ACTION_RENAME_RESTART ||
	       cfg->on_reboot == ACTION_RENAME_RESTART || cfg->on_crash == ACTION_RENAME_RESTART;
}

int config_finish(struct config *cfg, struct err *e)
{
	int rc;

	if (!cfg->kernel || !*cfg->kernel)
		return err_set(e, -EINVAL, "no kernel given: add --kernel FILE");
	rc = cfg->name ? runtime_check_name(cfg->name, e) : derive_name(cfg, e);
	if (rc == 0 && keeps_core(cfg) && !cfg->dump_dir)
		rc = err_set(
			e, -EINVAL,
			"rename-restart keeps the old guest as a core: say where by --dump-dir");
	if (rc == 0 && cfg->memory_bytes % GMEM_PAGE_BYTES)
		rc = err_set(e, -EINVAL, "memory: not a multiple of 4K");
	if (rc == 0)
		rc = check_gdb(cfg, e);
	if (rc == 0)
		rc = settle_console(cfg, e);
	if (rc == 0)
		rc = settle_nics(cfg, e);
	if (rc == 0)
		rc = settle_ids(cfg, e);
	if (rc == 0)
		rc = config_derive_macs(cfg, e);
	return rc;
}
