// SPDX-License-Identifier: MIT
// Settings of a guest that runs: disks and nics are added and forgotten.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/mac.h"
#include "vmm/guest/config.h"

static const struct field *find_list(const char *list)
{
	return field_find(config_fields, config_nr_fields, list);
}

static bool is_nics(const char *list)
{
	return !strcmp(list, "net");
}

/* --- ids --- */

static bool has_id(const struct config *cfg, const char *id)
{
	const struct disk_config *disks = cfg->disks.items;
	const struct nic_config *nics = cfg->nics.items;

	for (size_t i = 0; i < cfg->disks.nr; i++) {
		if (disks[i].id && !strcmp(disks[i].id, id))
			return true;
	}
	for (size_t i = 0; i < cfg->nics.nr; i++) {
		if (nics[i].kind != NIC_NONE && nics[i].id && !strcmp(nics[i].id, id))
			return true;
	}
	return false;
}

/* The item is in the list, with no id yet or the user's; *@id is its. */
static int settle_id(const struct config *cfg, const char *list, char **id, struct err *e)
{
	char *wish = *id;
	char text[16];
	int rc = 0;

	*id = NULL;
	if (wish && config_check_id(wish, e) < 0)
		rc = e->code;
	else if (wish && has_id(cfg, wish))
		rc = err_set(e, -EEXIST, "the guest has a device '%s': choose another id", wish);
	for (unsigned n = 0; !wish && (n == 0 || has_id(cfg, text)); n++)
		(void)snprintf(text, sizeof(text), "%s%u", list, n);
	*id = wish ? wish : strdup(text);
	return rc == 0 && !*id ? err_set(e, -ENOMEM, "out of memory") : rc;
}

/* --- MAC addresses: the first of those derived from the name that is free --- */

static bool has_mac(const struct config *cfg, const char *mac)
{
	const struct nic_config *nics = cfg->nics.items;

	for (size_t i = 0; i < cfg->nics.nr; i++) {
		if (nics[i].mac && !strcasecmp(nics[i].mac, mac))
			return true;
	}
	return false;
}

static int settle_mac(const struct config *cfg, struct nic_config *nic, struct err *e)
{
	char text[MAC_TEXT_BYTES], *wish = nic->mac;
	uint8_t mac[MAC_BYTES];
	unsigned n = 0;

	nic->mac = NULL;
	if (wish) {
		n = has_mac(cfg, wish);
		nic->mac = wish;
		return n ? err_set(e, -EEXIST, "the guest has a nic with the address %s", wish) : 0;
	}
	do {
		mac_derive(cfg->name, n++, mac);
		mac_format(mac, text);
	} while (has_mac(cfg, text));
	nic->mac = strdup(text);
	return nic->mac ? 0 : err_set(e, -ENOMEM, "out of memory");
}

/* --- lists --- */

static bool is_none(const struct field_list *nics)
{
	const struct nic_config *first = nics->items;

	return nics->nr == 1 && first->kind == NIC_NONE;
}

static int settle_nic(struct config *cfg, size_t index, struct err *e)
{
	struct nic_config *nic = (struct nic_config *)cfg->nics.items + index;

	if (nic->kind == NIC_NONE)
		return err_set(e, -EINVAL, "none is no nic");
	return settle_mac(cfg, nic, e);
}

int config_plug(struct config *cfg, const char *list, const char *text, size_t *ret_index,
		struct err *e)
{
	const struct field *f = find_list(list);
	struct field_list *items = field_at(f, cfg);
	bool nics = is_nics(list);
	bool none = nics && is_none(items);
	size_t index = items->nr;
	int rc = field_set(f, cfg, text, e);

	if (rc < 0)
		return rc;
	if (nics)
		rc = settle_id(cfg, list, &((struct nic_config *)items->items + index)->id, e);
	else
		rc = settle_id(cfg, list, &((struct disk_config *)items->items + index)->id, e);
	if (rc == 0 && nics)
		rc = settle_nic(cfg, index, e);
	if (rc < 0) {
		field_list_drop(f, items);
		return rc;
	}
	if (none)
		field_list_remove(f, items, 0);
	*ret_index = items->nr - 1;
	return 0;
}

void config_unplug(struct config *cfg, const char *list, size_t index)
{
	const struct field *f = find_list(list);
	struct field_list *items = field_at(f, cfg);
	struct err e = { 0 };

	field_list_remove(f, items, index);
	if (is_nics(list) && items->nr == 0 && field_set(f, cfg, "none", &e) == 0)
		((struct nic_config *)items->items)->id = strdup("none");
}
