/* SPDX-License-Identifier: MIT */
/* What a guest is to be: settings of the command line and configuration file. */
#ifndef FERRY_VMM_GUEST_CONFIG_H
#define FERRY_VMM_GUEST_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/guest/config_field.h"
#include "vmm/sandbox/sandbox.h"

#define CONFIG_MAX_DISKS 16
#define CONFIG_MAX_NICS  8
#define CONFIG_MAX_RATE  1000000000000LL /* of a nic, a second: bits or packets */

/* What to do when the guest crashes, switches itself off, or asks for a reset. */
enum guest_action {
	ACTION_DESTROY,
	ACTION_RESTART,
	ACTION_PRESERVE,       /* keep it, stopped, for whoever wants to look */
	ACTION_RENAME_RESTART, /* keep it as a core file of another name, and restart */
};

enum disk_direct { DISK_DIRECT_AUTO, DISK_DIRECT_ON, DISK_DIRECT_OFF };
enum disk_engine { DISK_ENGINE_AUTO, DISK_ENGINE_URING, DISK_ENGINE_THREADS };

/* One --disk. */
struct disk_config {
	char *path;
	char *id;
	char *serial;
	bool readonly, overlay;
	uint64_t size_bytes;        /* of an overlay; 0: the image's */
	unsigned queues;            /* 0: as many as are useful */
	uint64_t iops, bytes_per_s; /* 0: no limit */
	unsigned burst_ms;          /* 0: the default */
	unsigned direct;            /* enum disk_direct */
	unsigned engine;            /* enum disk_engine */
	unsigned queue_size;        /* 0: the default */
};

enum nic_kind { NIC_NONE, NIC_USER, NIC_TAP, NIC_NETWORK, NIC_MACVTAP };

extern const char *const nic_macvtap_modes[]; /* up to NULL */

/* One --net. */
struct nic_config {
	char *backend; /* "user", "tap", "tap:NAME", "bridge:NAME", "none", a network, ... */
	char *id;
	unsigned kind;      /* enum nic_kind, from backend */
	const char *ifname; /* of a tap, from backend; NULL: a new one; macvtap: the one below */
	char *bridge;
	char *mac;                 /* NULL until config_finish(): derived from the guest's name */
	struct field_list hostfwd; /* of char * */
	unsigned queues;
	unsigned mtu;            /* 0: the network's */
	uint64_t rx_bps, rx_pps; /* bits and packets a second to the guest; 0: no limit */
	uint64_t tx_bps, tx_pps; /* the same from the guest */
	unsigned offloads;       /* 0: on, 1: off */
	unsigned queue_size;     /* 0: the default */
	/* of a network */
	char *ip, *ip6;   /* NULL: derived from the MAC */
	unsigned vlan;    /* 0: none */
	unsigned filter;  /* 0: on, 1: may send from any address */
	unsigned promisc; /* 0: on but for filtered nics of a network, 1: on, 2: off */
	unsigned mode;    /* of a macvtap: which of nic_macvtap_modes[] */
};

/* Is the guest kept from frames that are for other stations? */
bool nic_own_only(const struct nic_config *nic);

struct config {
	char *name;
	char *kernel, *initrd, *append;
	uint64_t memory_bytes;
	unsigned vcpus;
	struct field_list disks; /* of struct disk_config */
	struct field_list nics;  /* of struct nic_config */
	bool rng, balloon, virtio_console, hugepages;
	unsigned hotplug_slots; /* PCI slots 1 to this one; 0: no device comes or goes */
	char *console;          /* "stdio", "pty", "file:PATH", "unix:PATH", "none" */
	bool ephemeral;
	unsigned timeout_s;                        /* 0: none */
	unsigned on_poweroff, on_reboot, on_crash; /* enum guest_action */
	char *dump_dir; /* where cores of crashed guests go; NULL: none are written */
	struct sandbox_options sandbox; /* this host's */

	/* the command line's alone */
	char *gdb; /* see gdb_parse_spec(); NULL: nobody debugs it */
	bool dry_run, json, verbose;
};

/* All settings of a guest. */
extern const struct field config_fields[];
extern const size_t config_nr_fields;

/* Defaults. */
void config_init(struct config *cfg);
void config_fini(struct config *cfg);

/*
 * Read @path, over what @cfg has; lists are appended to. 0, or -errno with the
 * file, the line and the reason in @e.
 */
__must_check int config_read_file(struct config *cfg, const char *path, struct err *e);

/* The same for text that is already in memory; @name is for messages. */
__must_check int config_read_text(struct config *cfg, const char *text, const char *name,
				  struct err *e);

/*
 * Judge settings together once all are known, and derive those that were not
 * given: the name, a nic, the ids of disks and nics, MAC addresses. 0 or -EINVAL.
 */
__must_check int config_finish(struct config *cfg, struct err *e);

/* Give each nic that has none its address, from the guest's name. 0 or -ENOMEM. */
__must_check int config_derive_macs(struct config *cfg, struct err *e);

/* The effective settings as an object; NULL: no memory. */
json_t *config_to_json(const struct config *cfg);

/* The same without what is this host's: what a guest takes along. NULL: no memory. */
json_t *config_to_json_portable(const struct config *cfg);

/*
 * The other way: settings of a guest from a file or a peer, which are hostile,
 * over what config_init() made; finished, as by config_finish(). 0, or -errno with
 * the setting and the reason in @e: then @cfg is fit for config_fini() alone.
 */
__must_check int config_from_json(struct config *cfg, const json_t *obj, struct err *e);

/*
 * May a disk or nic be called @id? 0, or -EINVAL with @e: not a name, too long a one, or what
 * a device of another kind is called.
 */
__must_check int config_check_id(const char *id, struct err *e);

/* Do these limits of a disk make sense together? 0, -EINVAL or -ERANGE with @e. */
__must_check int config_check_limits(const struct disk_config *disk, struct err *e);

/* --- devices that come and go: the list "disk" or "net" --- */

/*
 * Append what --@list takes, with an id and a MAC address of its own; *@ret_index is
 * where. A nic takes the place of "none". 0, or -errno with @e and nothing changed.
 */
__must_check int config_plug(struct config *cfg, const char *list, const char *text,
			     size_t *ret_index, struct err *e);

/*
 * Forget item @index; those behind it move up. The last nic leaves a "none", which means
 * the same at another host.
 */
void config_unplug(struct config *cfg, const char *list, size_t index);

/* Parse what --disk takes. 0, or -errno with @e. */
__must_check int config_parse_disk(struct disk_config *disk, const char *text, struct err *e);
void config_free_disk(struct disk_config *disk);

/* Parse what --net takes, without the defaults that a guest's number gives. */
__must_check int config_parse_nic(struct nic_config *nic, const char *text, struct err *e);
void config_free_nic(struct nic_config *nic);

/*
 * Parse "rx-bps=100M" and the like, what of --net can be changed while the guest runs.
 * @ret_name is the limit's name, a literal. 0, or -EINVAL or -ERANGE with @e.
 */
__must_check int config_parse_nic_limit(const char *text, const char **ret_name, uint64_t *ret_rate,
					struct err *e);

#endif
