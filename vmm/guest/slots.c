// SPDX-License-Identifier: MIT
// The slots of a guest's PCI devices, where they are not those that its settings lead to.
#include <errno.h>
#include <string.h>

#include "virtio/virtio.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/guest/state.h"
#include "vmm/vm.h"

/* --- written --- */

struct count {
	unsigned slot;  /* of the last device, in the order of the settings */
	bool different; /* a device is elsewhere */
};

static void count(struct count *c, struct virtio_dev *dev)
{
	if (dev && virtio_pci_slot(&dev->device) != ++c->slot)
		c->different = true;
}

static void count_id(struct count *c, const struct machine *m, const char *id)
{
	struct device *dev = vm_find_device(m->vm, id);

	if (dev && virtio_pci_slot(dev) != ++c->slot)
		c->different = true;
}

/* In the order of machine_add_devices(). */
static bool are_usual(const struct machine *m)
{
	struct count c = { 0 };

	for (size_t i = 0; i < m->cfg->disks.nr; i++)
		count(&c, m->disks[i]);
	for (size_t i = 0; i < m->cfg->nics.nr; i++)
		count(&c, m->nics[i]);
	count_id(&c, m, MACHINE_RNG);
	count(&c, m->balloon);
	count_id(&c, m, MACHINE_CONSOLE);
	return !c.different;
}

int guest_slots_json(const struct machine *m, json_t **ret)
{
	struct device *dev;
	json_t *slots;

	*ret = NULL;
	if (are_usual(m))
		return 0;
	slots = json_object();
	TAILQ_FOREACH(dev, &m->vm->devices, link)
	{
		unsigned slot = virtio_pci_slot(dev);

		if (slot && json_object_set_new(slots, dev->id, json_integer(slot)) < 0) {
			json_decref(slots);
			return -ENOMEM;
		}
	}
	*ret = slots;
	return 0;
}

/* --- read --- */

int guest_slots_parse(struct guest_slots *slots, const json_t *obj)
{
	const char *id;
	json_t *value;

	if (!json_is_object(obj) || json_object_size(obj) > ARRAY_SIZE(slots->items))
		return -EPROTO;
	json_object_foreach((json_t *)(uintptr_t)obj, id, value)
	{
		struct guest_slot *s = &slots->items[slots->nr];
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number < 1 || number >= PCI_MAX_DEVICES ||
		    strlen(id) >= sizeof(s->id))
			return -EPROTO;
		memcpy(s->id, id, strlen(id) + 1);
		s->slot = (unsigned)number;
		slots->nr++;
	}
	return slots->nr ? 0 : -EPROTO;
}

/* --- applied --- */

static int place(struct machine *m, const struct guest_slot *s, struct err *e)
{
	struct device *dev = vm_find_device(m->vm, s->id);
	int rc;

	if (!dev || !virtio_pci_slot(dev))
		return err_set(e, -EPROTO, "slots: there is no device '%s'", s->id);
	rc = virtio_pci_put_in(dev, m->pci, s->slot);
	return rc < 0 ? err_set(e, rc, "slots: %s: slot %u: %s", s->id, s->slot, strerror(-rc)) : 0;
}

int guest_slots_apply(struct machine *m, const struct guest_slots *slots, struct err *e)
{
	struct device *dev;
	unsigned nr = 0;
	int rc = 0;

	if (slots->nr == 0)
		return 0;
	TAILQ_FOREACH(dev, &m->vm->devices, link)
	{
		if (virtio_pci_slot(dev)) {
			virtio_pci_take_out(dev);
			nr++;
		}
	}
	if (nr != slots->nr)
		return err_set(e, -EPROTO, "slots: %u for %u devices", slots->nr, nr);
	for (unsigned i = 0; rc == 0 && i < slots->nr; i++)
		rc = place(m, &slots->items[i], e);
	return rc;
}
