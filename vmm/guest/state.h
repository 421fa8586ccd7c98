/* SPDX-License-Identifier: MIT */
/* A whole guest as sections: what it is (CONFIG), and the state of all but its memory. */
#ifndef FERRY_VMM_GUEST_STATE_H
#define FERRY_VMM_GUEST_STATE_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/pci.h"
#include "migration/section.h"
#include "util/compiler.h"
#include "util/err.h"
#include "vmm/boot.h"
#include "vmm/guest/config.h"

struct machine;
struct vstate_table;

/*
 * Theory of operation
 *
 * Source, the main thread: guest_state_check() while the guest runs, then
 * guest_config_encode() for the CONFIG section, machine_hold(), and
 * guest_state_save(), which puts all other sections into a sink, END included.
 *
 * Destination: guest_spec_parse() makes a spec of CONFIG; guest_spec_apply()
 * changes it to what this host calls its disks and networks; guest_spec_check()
 * compares it with this host. machine_new_incoming() then makes the machine,
 * guest_state_load() takes the other sections from a source until END, and
 * machine_start() lets it run.
 *
 * Sinks and sources (migration/section.h) are a file or a channel: which is not
 * known here.
 */

/* --- what the guest is --- */

#define GUEST_CONFIG_MAX_BYTES   (1024U * 1024) /* of the CONFIG section */
#define GUEST_CONFIG_MAX_NESTING 8
#define GUEST_MAX_CPUID          256U
#define GUEST_MAX_MSRS           1024U

/* Where its PCI devices are; nr 0: where the settings lead to. */
struct guest_slots {
	unsigned nr;
	struct guest_slot {
		char id[32];
		unsigned slot;
	} items[PCI_MAX_DEVICES];
};

/* A guest that comes from a file or a peer. */
struct guest_spec {
	struct config cfg; /* kernel and initrd: for messages, they need not exist here */
	uint64_t disk_bytes[CONFIG_MAX_DISKS];
	/* What the guest's drivers had negotiated when CONFIG was written; 0: nothing yet,
	 * or it is not told. What its state says later counts. */
	uint64_t disk_features[CONFIG_MAX_DISKS], nic_features[CONFIG_MAX_NICS];
	struct guest_slots slots;
	struct kvm_cpuid2 *cpuid; /* of vCPU 0 */
	uint32_t *msrs;           /* the MSRs that the source saves */
	uint32_t nr_msrs;
	uint32_t tsc_khz; /* 0: unknown */
	char version[32]; /* of the ferry that wrote it */
};

/* What this host wants otherwise. Zeroes: nothing. Strings stay the caller's. */
struct guest_changes {
	const struct field_list *maps; /* of char *: "disk:ID=PATH", "net:ID=BACKEND[,...]" */
	const struct field_list
		*disk_dirs; /* of char *: other images are below these; NULL or empty: anywhere */
	/* of char *: see guest_net_rule_check(); NULL: all networks; empty: the safe ones */
	const struct field_list *net_allow;
	const char *name;    /* NULL: as it was */
	const char *console; /* NULL: as it was */
	bool new_macs;       /* derive MACs from the name again */
	bool detached;       /* nobody's terminal is here: a console on stdio becomes none */
};

/*
 * The CONFIG section of @m into *@ret (JSON text of *@ret_len bytes, freed by
 * the caller). 0 or -errno with @e. Main thread.
 */
__must_check int guest_config_encode(const struct machine *m, char **ret, size_t *ret_len,
				     struct err *e);

/*
 * Read a CONFIG section, which is hostile. 0, or -EPROTO, -EINVAL or another
 * -errno with the setting and the reason in @e.
 */
__must_check int guest_spec_parse(struct guest_spec **ret, const void *data, size_t len,
				  struct err *e);

/*
 * The part of it about slots: the object for *@ret, or NULL where the settings say as much;
 * read from an object, which is hostile; and applied to a machine that has its devices,
 * but no state yet. 0 or -errno, with @e where there is one. Main thread.
 */
__must_check int guest_slots_json(const struct machine *m, json_t **ret);
__must_check int guest_slots_parse(struct guest_slots *slots, const json_t *obj);
__must_check int guest_slots_apply(struct machine *m, const struct guest_slots *slots,
				   struct err *e);

/* NULL: no-op. */
void guest_spec_free(struct guest_spec *spec);

/*
 * Change @spec->cfg. 0, or -EINVAL with @e: an id that is not there, a bad value;
 * -EACCES: an image outside of the folders, a network that is not allowed.
 */
__must_check int guest_spec_apply(struct guest_spec *spec, const struct guest_changes *changes,
				  struct err *e);

/*
 * Are all images that no map names below one of @changes->disk_dirs? Their paths
 * are replaced by those that they lead to. 0, or -EACCES with @e. Part of
 * guest_spec_apply().
 */
__must_check int guest_disks_check(struct config *cfg, const struct guest_changes *changes,
				   struct err *e);

/*
 * Is each nic that no map names on a network that @changes->net_allow allows? 0, or
 * -EACCES with the nic and the rule that would do. Part of guest_spec_apply().
 */
__must_check int guest_nets_check(const struct config *cfg, const struct guest_changes *changes,
				  struct err *e);

/*
 * Is @rule one? What allows a nic of a peer: "user" (user networking without forwarded
 * ports), "hostfwd" (with them), "tap", "bridge" and "network", each also with ":NAME",
 * "unfiltered" (nics of networks that may send from any address), "any"; "none"
 * allows nothing. 0 or -EINVAL.
 */
__must_check int guest_net_rule_check(const char *rule, struct err *e);

/* Has this host's user said what @what ("disk", "net") @id is here? */
bool guest_is_mapped(const struct guest_changes *changes, const char *what, const char *id);

/*
 * Can this host run it? Memory, vCPUs, CPU features (by name), name. Disks and
 * networks are checked by machine_new_incoming(), which opens them. Nothing is
 * made. 0, or -errno with the reason in @e; what is merely doubtful is logged.
 */
__must_check int guest_spec_check(const struct guest_spec *spec, struct err *e);

/* --- its state --- */

/* The part of the MACHINE section. */
extern const struct vstate_table guest_machine_table;

/*
 * Can the guest be saved as it is now? 0, or -errno with the device and the
 * reason. The guest may run. Main thread.
 */
__must_check int guest_state_check(const struct machine *m, struct err *e);

/*
 * Put the state of the held machine into @sink: MACHINE, CLOCK, IRQCHIP, the
 * VCPUs, the DEVICEs, END. 0 or -errno with @e; @m is unchanged. Main thread, or
 * any while the main thread leaves @m alone.
 */
__must_check int guest_state_save(struct machine *m, const struct section_sink *sink,
				  struct err *e);

/*
 * Load an incoming machine's state from @source, up to and including END. All
 * sections must come, once each. 0, or -errno with the section and the reason in
 * @e: then @m is of no use but to be freed. Threads as above.
 */
__must_check int guest_state_load(struct machine *m, const struct section_source *source,
				  struct err *e);

/* --- kernel and initrd, which a reset needs again --- */

#define GUEST_BOOT_CHUNK_BYTES (1024U * 1024)
#define GUEST_BOOT_MAX_BYTES   (1024ULL * 1024 * 1024) /* both together */

/*
 * Put kernel and initrd into @sink, as BOOT sections of at most a chunk: the id
 * is 0 for the kernel and 1 for the initrd, the payload the next bytes of it, and
 * an empty one ends it. Any thread; the guest may run. 0 or -errno with @e.
 */
__must_check int guest_boot_save(const struct machine *m, const struct section_sink *sink,
				 struct err *e);

/* Can they travel? 0, or -errno with the reason. */
__must_check int guest_boot_check(const struct machine *m, struct err *e);

/* Collects BOOT sections. */
struct guest_boot_reader;

/* An empty one; free(NULL) is fine. 0 or -errno with @e. */
__must_check int guest_boot_reader_new(struct guest_boot_reader **ret, struct err *e);
void guest_boot_reader_free(struct guest_boot_reader *r);

/* Take one BOOT section, in the order they were put. 0 or -errno with @e. */
__must_check int guest_boot_add(struct guest_boot_reader *r, const struct section *s,
				struct err *e);

/*
 * Give what was collected to the incoming machine @m; the kernel must be complete
 * and a kernel. The reader is then empty. 0 or -errno with @e.
 */
__must_check int guest_boot_load(struct guest_boot_reader *r, struct machine *m, struct err *e);

/* The same for kernel and initrd that are parts of an open file, which stays the caller's. */
__must_check int guest_boot_load_parts(const struct boot_part parts[BOOT_NR_PARTS],
				       struct machine *m, struct err *e);

#endif
