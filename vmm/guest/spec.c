// SPDX-License-Identifier: MIT
// The CONFIG section: what a guest is, written, read, and changed for another host.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "migration/vstate.h"
#include "util/io.h"
#include "virtio/blk.h"
#include "vmm/console_host.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/runtime.h"
#include "vmm/guest/state.h"
#include "vmm/json_text.h"
#include "vmm/kvm.h"
#include "vmm/vm.h"

/* What the keys of CONFIG mean; a reader refuses a number that it does not know. */
#define FORMAT       1
#define FORMAT_SLOTS 2 /* with "slots", which a reader must not overlook */

#define CPUID_WORDS 7 /* of one entry */

/* --- written --- */

static json_t *disks_json(const struct machine *m)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < machine_config(m)->disks.nr; i++) {
		json_int_t bytes = (json_int_t)blk_capacity_bytes(machine_disk(m, i));

		if (json_array_append_new(array, json_integer(bytes)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* What their drivers use now, of @nr devices, each found by @get. */
static json_t *features_json(const struct machine *m, size_t nr,
			     struct virtio_dev *(*get)(const struct machine *m, size_t i))
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < nr; i++) {
		const struct virtio_dev *dev = get(m, i);
		json_int_t features = dev ? (json_int_t)dev->features : 0;

		if (json_array_append_new(array, json_integer(features)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *cpuid_json(const struct kvm_cpuid2 *cpuid)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];
		json_t *one =
			json_pack("[I,I,I,I,I,I,I]", (json_int_t)e->function, (json_int_t)e->index,
				  (json_int_t)e->flags, (json_int_t)e->eax, (json_int_t)e->ebx,
				  (json_int_t)e->ecx, (json_int_t)e->edx);

		if (json_array_append_new(array, one) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static json_t *msrs_json(const struct kvm_msr_list *list)
{
	json_t *array = json_array();

	for (uint32_t i = 0; array && i < list->nmsrs; i++) {
		if (json_array_append_new(array, json_integer(list->indices[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* Everything; NULL: no memory, or not UTF-8. */
static json_t *root_json(const struct machine *m)
{
	const struct vm *vm = machine_vm(m);
	const struct config *cfg = machine_config(m);
	json_t *slots = NULL;
	json_t *root;

	if (guest_slots_json(m, &slots) < 0)
		return NULL;
	root = json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I}", "format",
			 slots ? FORMAT_SLOTS : FORMAT, "version", FERRY_VERSION, "config",
			 config_to_json_portable(cfg), "disk_bytes", disks_json(m), "disk_features",
			 features_json(m, cfg->disks.nr, machine_disk), "nic_features",
			 features_json(m, cfg->nics.nr, machine_nic), "cpuid",
			 cpuid_json(vm->cpuid), "msrs", msrs_json(vm->msr_list), "tsc_khz",
			 (json_int_t)vm->tsc_khz);
	if (slots && json_object_set_new(root, "slots", slots) < 0) {
		json_decref(root);
		return NULL;
	}
	return root;
}

int guest_config_encode(const struct machine *m, char **ret, size_t *ret_len, struct err *e)
{
	json_t *root = root_json(m);
	char *text = NULL;

	if (root)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!text)
		return err_set(e, -ENOMEM, "settings: out of memory, or not UTF-8");
	if (strlen(text) > GUEST_CONFIG_MAX_BYTES) {
		free(text);
		return err_set(e, -E2BIG, "settings: they are too long to travel");
	}
	*ret_len = strlen(text);
	*ret = text;
	return 0;
}

/* --- read --- */

static int get_u32(const json_t *value, uint32_t *ret)
{
	json_int_t number = json_integer_value(value);

	if (!json_is_integer(value) || number < 0 || number > UINT32_MAX)
		return -EPROTO;
	*ret = (uint32_t)number;
	return 0;
}

static int parse_cpuid(struct guest_spec *spec, const json_t *array)
{
	size_t nr = json_array_size(array);
	const json_t *one;
	size_t i;

	if (nr < 1 || nr > GUEST_MAX_CPUID)
		return -EPROTO;
	spec->cpuid = calloc(1, sizeof(*spec->cpuid) + nr * sizeof(spec->cpuid->entries[0]));
	if (!spec->cpuid)
		return -ENOMEM;
	json_array_foreach(array, i, one)
	{
		struct kvm_cpuid_entry2 *e = &spec->cpuid->entries[i];
		uint32_t *const words[CPUID_WORDS] = { &e->function, &e->index, &e->flags, &e->eax,
						       &e->ebx,      &e->ecx,   &e->edx };

		for (size_t w = 0; w < CPUID_WORDS; w++) {
			if (get_u32(json_array_get(one, w), words[w]) < 0)
				return -EPROTO;
		}
	}
	spec->cpuid->nent = (uint32_t)nr;
	return 0;
}

static int parse_msrs(struct guest_spec *spec, const json_t *array)
{
	size_t nr = json_array_size(array);

	if (!json_is_array(array) || nr > GUEST_MAX_MSRS)
		return -EPROTO;
	spec->msrs = calloc(nr + 1, sizeof(*spec->msrs));
	if (!spec->msrs)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		if (get_u32(json_array_get(array, i), &spec->msrs[i]) < 0)
			return -EPROTO;
	}
	spec->nr_msrs = (uint32_t)nr;
	return 0;
}

static int parse_disks(struct guest_spec *spec, const json_t *array)
{
	if (!json_is_array(array) || json_array_size(array) != spec->cfg.disks.nr)
		return -EPROTO;
	for (size_t i = 0; i < spec->cfg.disks.nr; i++) {
		const json_t *bytes = json_array_get(array, i);

		if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
			return -EPROTO;
		spec->disk_bytes[i] = (uint64_t)json_integer_value(bytes);
	}
	return 0;
}

/* As a signed number: JSON has no other of 64 bits. An older ferry does not tell. */
static int parse_features(uint64_t *features, size_t nr, const json_t *array)
{
	if (!array)
		return 0;
	if (!json_is_array(array) || json_array_size(array) != nr)
		return -EPROTO;
	for (size_t i = 0; i < nr; i++) {
		const json_t *one = json_array_get(array, i);

		if (!json_is_integer(one))
			return -EPROTO;
		features[i] = (uint64_t)json_integer_value(one);
	}
	return 0;
}

/* A version is printed, and so must be a word. */
static int parse_version(struct guest_spec *spec, const json_t *value)
{
	const char *text = json_string_value(value);
	size_t len = text ? strlen(text) : 0;

	if (len < 1 || len >= sizeof(spec->version) ||
	    strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz.+~-") != len)
		return -EPROTO;
	memcpy(spec->version, text, len + 1);
	return 0;
}

static int parse_rest(struct guest_spec *spec, const json_t *root, struct err *e)
{
	if (parse_disks(spec, json_object_get(root, "disk_bytes")) < 0)
		return err_set(e, -EPROTO, "disk_bytes: not the sizes of its disks");
	if (parse_features(spec->disk_features, spec->cfg.disks.nr,
			   json_object_get(root, "disk_features")) < 0)
		return err_set(e, -EPROTO, "disk_features: not those of its disks");
	if (parse_features(spec->nic_features, spec->cfg.nics.nr,
			   json_object_get(root, "nic_features")) < 0)
		return err_set(e, -EPROTO, "nic_features: not those of its nics");
	if (parse_cpuid(spec, json_object_get(root, "cpuid")) < 0)
		return err_set(e, -EPROTO, "cpuid: not a list of CPUID entries");
	if (parse_msrs(spec, json_object_get(root, "msrs")) < 0)
		return err_set(e, -EPROTO, "msrs: not a list of MSR numbers");
	if (get_u32(json_object_get(root, "tsc_khz"), &spec->tsc_khz) < 0)
		return err_set(e, -EPROTO, "tsc_khz: not a frequency");
	if (json_integer_value(json_object_get(root, "format")) == FORMAT_SLOTS &&
	    guest_slots_parse(&spec->slots, json_object_get(root, "slots")) < 0)
		return err_set(e, -EPROTO, "slots: not numbers of slots");
	return 0;
}

static int parse_root(struct guest_spec *spec, const json_t *root, struct err *e)
{
	json_int_t format = json_integer_value(json_object_get(root, "format"));
	int rc;

	if (parse_version(spec, json_object_get(root, "version")) < 0)
		return err_set(e, -EPROTO, "version: not a version of ferry");
	if (format != FORMAT && format != FORMAT_SLOTS)
		return err_set(e, -EPROTONOSUPPORT,
			       "ferry %s wrote it, in format %" JSON_INTEGER_FORMAT
			       "; ferry " FERRY_VERSION " reads formats %d and %d",
			       spec->version, format, FORMAT, FORMAT_SLOTS);
	rc = config_from_json(&spec->cfg, json_object_get(root, "config"), e);
	/* A directory of the host that it comes from; and no peer chooses one of ours. */
	free(spec->cfg.dump_dir);
	spec->cfg.dump_dir = NULL;
	return rc < 0 ? rc : parse_rest(spec, root, e);
}

int guest_spec_parse(struct guest_spec **ret, const void *data, size_t len, struct err *e)
{
	json_t *root = NULL;
	struct guest_spec *spec;
	int rc;

	if (len <= GUEST_CONFIG_MAX_BYTES && json_nesting_ok(data, len, GUEST_CONFIG_MAX_NESTING))
		root = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(root)) {
		json_decref(root);
		return err_set(e, -EPROTO, "settings of the guest: not JSON");
	}
	spec = calloc(1, sizeof(*spec));
	if (!spec) {
		json_decref(root);
		return err_set(e, -ENOMEM, "out of memory");
	}
	config_init(&spec->cfg);
	rc = parse_root(spec, root, e);
	json_decref(root);
	if (rc < 0) {
		guest_spec_free(spec);
		(void)err_prefix(e, "settings of the guest");
		return rc;
	}
	*ret = spec;
	return 0;
}

void guest_spec_free(struct guest_spec *spec)
{
	if (!spec)
		return;
	config_fini(&spec->cfg);
	free(spec->cpuid);
	free(spec->msrs);
	free(spec);
}

/* --- changed --- */

static int replace_text(char **text, const char *value, struct err *e)
{
	char *copy = strdup(value);

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	free(*text);
	*text = copy;
	return 0;
}

static int map_disk(struct config *cfg, const char *id, const char *path, struct err *e)
{
	struct disk_config *disks = cfg->disks.items;

	for (size_t i = 0; i < cfg->disks.nr; i++) {
		if (!strcmp(disks[i].id, id))
			return replace_text(&disks[i].path, path, e);
	}
	return err_set(e, -EINVAL, "the guest has no disk '%s'", id);
}

/*
 * What the guest sees of a nic stays: its address, its queues, what it was
 * offered. How fast it may be is the host's matter.
 */
static int map_nic(struct config *cfg, const char *id, const char *text, struct err *e)
{
	struct nic_config *nics = cfg->nics.items;
	struct nic_config mapped = { 0 };
	size_t i = 0;
	int rc;

	while (i < cfg->nics.nr && strcmp(nics[i].id, id) != 0)
		i++;
	if (i == cfg->nics.nr || nics[i].kind == NIC_NONE)
		return err_set(e, -EINVAL, "the guest has no nic '%s'", id);
	rc = config_parse_nic(&mapped, text, e);
	if (rc < 0)
		return rc;
	if (mapped.kind == NIC_NONE || (mapped.kind == NIC_USER && nics[i].queues > 1)) {
		rc = err_set(e, -EINVAL, "%s cannot take the place of a nic with %u queues",
			     mapped.backend, nics[i].queues);
		config_free_nic(&mapped);
		return rc;
	}
	free(mapped.id);
	mapped.id = take_ptr(nics[i].id);
	if (!mapped.mac)
		mapped.mac = take_ptr(nics[i].mac);
	if (!mapped.mtu)
		mapped.mtu = nics[i].mtu;
	mapped.queues = nics[i].queues;
	mapped.queue_size = nics[i].queue_size;
	mapped.offloads = nics[i].offloads;
	if (!mapped.promisc)
		mapped.promisc = nics[i].promisc;
	config_free_nic(&nics[i]);
	nics[i] = mapped;
	return 0;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/* "disk:ID=VALUE" or "net:ID=VALUE" */
static int apply_map(struct config *cfg, const char *text, struct err *e)
{
	_cleanup_free_ char *copy = strdup(text);
	char *id = copy ? strchr(copy, ':') : NULL;
	char *value = id ? strchr(id, '=') : NULL;

	if (!copy)
		return err_set(e, -ENOMEM, "out of memory");
	if (!value || !value[1])
		return err_set(e, -EINVAL, "write disk:ID=PATH or net:ID=BACKEND");
	*id++ = '\0';
	*value++ = '\0';
	if (!strcmp(copy, "disk"))
		return map_disk(cfg, id, value, e);
	if (!strcmp(copy, "net"))
		return map_nic(cfg, id, value, e);
	return err_set(e, -EINVAL, "'%s' is neither disk nor net", copy);
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

bool guest_is_mapped(const struct guest_changes *changes, const char *what, const char *id)
{
	char **texts = changes->maps ? changes->maps->items : NULL;
	size_t what_len = strlen(what), id_len = strlen(id);

	for (size_t i = 0; changes->maps && i < changes->maps->nr; i++) {
		const char *text = texts[i];

		if (!strncmp(text, what, what_len) && text[what_len] == ':' &&
		    !strncmp(text + what_len + 1, id, id_len) && text[what_len + 1 + id_len] == '=')
			return true;
	}
	return false;
}

static int apply_maps(struct config *cfg, const struct field_list *maps, struct err *e)
{
	char **texts = maps ? maps->items : NULL;

	for (size_t i = 0; maps && i < maps->nr; i++) {
		if (apply_map(cfg, texts[i], e) < 0)
			return err_prefix(e, "map %s", texts[i]);
	}
	return 0;
}

static int apply_console(struct config *cfg, const struct guest_changes *c, struct err *e)
{
	struct console_spec spec;
	int rc = console_parse_spec(c->console ? c->console : cfg->console, &spec, e);

	if (rc < 0)
		return err_prefix(e, "console");
	/* Only this host's user may name files on it. */
	if (c->detached && !c->console && spec.kind != CONSOLE_PTY)
		return replace_text(&cfg->console, "none", e);
	return c->console ? replace_text(&cfg->console, c->console, e) : 0;
}

int guest_spec_apply(struct guest_spec *spec, const struct guest_changes *changes, struct err *e)
{
	struct config *cfg = &spec->cfg;
	struct nic_config *nics = cfg->nics.items;
	int rc = 0;

	if (changes->name) {
		rc = runtime_check_name(changes->name, e);
		if (rc == 0)
			rc = replace_text(&cfg->name, changes->name, e);
	}
	for (size_t i = 0; changes->new_macs && i < cfg->nics.nr; i++)
		free(take_ptr(nics[i].mac));
	if (rc == 0)
		rc = config_derive_macs(cfg, e);
	if (rc == 0)
		rc = apply_console(cfg, changes, e);
	if (rc == 0)
		rc = apply_maps(cfg, changes->maps, e);
	if (rc == 0)
		rc = guest_nets_check(cfg, changes, e);
	return rc == 0 ? guest_disks_check(cfg, changes, e) : rc;
}
