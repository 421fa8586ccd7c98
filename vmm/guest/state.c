// SPDX-License-Identifier: MIT
// All sections of a machine but its memory, in order, both ways.
#include "vmm/guest/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "migration/vstate.h"
#include "util/io.h"
#include "util/printable.h"
#include "vmm/guest/machine_impl.h"
#include "vmm/vm.h"
#include "vmm/vm_state.h"

/* --- what the machine itself knows --- */

struct machine_travel {
	bool paused; /* by the user */
};

static const struct vstate_field travel_fields[] = {
	VS_BOOL(1, struct machine_travel, paused),
};

const struct vstate_table guest_machine_table = {
	VSTATE_TABLE("machine", struct machine_travel, travel_fields),
};

/* --- out --- */

/* What a DEVICE section begins with: u8 length, id, u8 length, type. */
#define MAX_WORD 255U

static int put_parts(const struct section_sink *sink, uint32_t type, uint32_t id,
		     struct vstate_writer *w, struct err *e)
{
	const void *data;
	size_t len;
	int rc = vstate_writer_finish(w, &data, &len);

	if (rc < 0)
		return err_set(e, rc, "state: %s", strerror(-rc));
	return sink->put(sink->opaque, type, id, data, len, e);
}

static int put_machine(const struct machine *m, const struct section_sink *sink, struct err *e)
{
	const struct machine_travel travel = { .paused = m->paused };
	struct vstate_writer *w;
	int rc = vstate_writer_new(&w);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	vstate_put(w, &guest_machine_table, 0, &travel);
	rc = put_parts(sink, SECTION_MACHINE, 0, w, e);
	vstate_writer_free(w);
	return rc;
}

/* One section of the vm_state. */
static int put_vm_part(const struct vm_state *st, uint32_t type, unsigned id,
		       const struct section_sink *sink, struct err *e)
{
	struct vstate_writer *w;
	int rc = vstate_writer_new(&w);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	if (type == SECTION_CLOCK)
		vm_state_put_clock(st, w);
	else if (type == SECTION_IRQCHIP)
		vm_state_put_irqchip(st, w);
	else
		vm_state_put_vcpu(st, id, w);
	rc = put_parts(sink, type, id, w, e);
	vstate_writer_free(w);
	return rc;
}

static int put_vm(struct vm *vm, const struct section_sink *sink, struct err *e)
{
	struct vm_state *st;
	int rc = vm_state_new(&st, vm->nr_vcpus);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	rc = vm_state_get(vm, st, e);
	if (rc == 0)
		rc = put_vm_part(st, SECTION_CLOCK, 0, sink, e);
	if (rc == 0)
		rc = put_vm_part(st, SECTION_IRQCHIP, 0, sink, e);
	for (unsigned i = 0; rc == 0 && i < vm->nr_vcpus; i++)
		rc = put_vm_part(st, SECTION_VCPU, i, sink, e);
	vm_state_free(st);
	return rc;
}

static size_t put_word(uint8_t *at, const char *word)
{
	size_t len = MIN(strlen(word), (size_t)MAX_WORD);

	*at = (uint8_t)len;
	/* NOLINTNEXTLINE(bugprone-not-null-terminated-result): it is counted */
	memcpy(at + 1, word, len);
	return len + 1;
}

static int put_device(struct device *dev, const struct section_sink *sink, struct err *e)
{
	uint8_t *payload = NULL;
	struct vstate_writer *w;
	const void *data;
	size_t len, head;
	int rc = vstate_writer_new(&w);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	dev->ops->save(dev, w);
	rc = vstate_writer_finish(w, &data, &len);
	if (rc == 0)
		payload = malloc(2UL * (MAX_WORD + 1) + len);
	if (payload) {
		head = put_word(payload, dev->id);
		head += put_word(payload + head, dev->ops->type);
		memcpy(payload + head, data, len);
		rc = sink->put(sink->opaque, SECTION_DEVICE, 0, payload, head + len, e);
	} else {
		rc = err_set(e, rc < 0 ? rc : -ENOMEM, "%s: its state: %s", dev->id,
			     strerror(rc < 0 ? -rc : ENOMEM));
	}
	free(payload);
	vstate_writer_free(w);
	return rc;
}

int guest_state_check(const struct machine *m, struct err *e)
{
	struct device *dev;

	if (m->ended || m->over)
		return err_set(e, -EINVAL, "the guest has %s", m->crashed ? "crashed" : "ended");
	if (m->debugged)
		return err_set(e, -EBUSY, "gdb is attached to the guest: detach it first");
	TAILQ_FOREACH(dev, &m->vm->devices, link)
	{
		if (dev->ops->can_save && dev->ops->can_save(dev, e) < 0)
			return err_prefix(e, "%s", dev->id);
	}
	return guest_boot_check(m, e);
}

int guest_state_save(struct machine *m, const struct section_sink *sink, struct err *e)
{
	struct device *dev;
	int rc = put_machine(m, sink, e);

	if (rc == 0)
		rc = put_vm(m->vm, sink, e);
	TAILQ_FOREACH(dev, &m->vm->devices, link)
	{
		if (rc == 0 && dev->ops->save)
			rc = put_device(dev, sink, e);
	}
	return rc < 0 ? rc : sink->put(sink->opaque, SECTION_END, 0, NULL, 0, e);
}

/* --- in --- */

/* A DEVICE section that waits until all of them are there. */
struct device_state {
	struct device *dev;
	void *payload;
	size_t start, bytes; /* of the parts in it */
	TAILQ_ENTRY(device_state) link;
};

struct loader {
	struct machine *m;
	struct machine_travel travel;
	bool has_machine, has_clock, has_irqchip;
	uint64_t vcpus; /* bit n: its section came */
	TAILQ_HEAD(, device_state) devices;
};

_Static_assert(VM_MAX_VCPUS <= 64, "one bit a vCPU");

static int twice(struct err *e)
{
	return err_set(e, -EPROTO, "it comes twice");
}

static int load_machine(struct loader *l, struct vstate_reader *r, struct err *e)
{
	int rc = vstate_get(r, &guest_machine_table, 0, &l->travel, e);

	return rc < 0 ? rc : vstate_reader_finish(r, e);
}

static int load_vcpu(struct loader *l, const struct section *s, struct vstate_reader *r,
		     struct err *e)
{
	if (s->id >= l->m->vm->nr_vcpus)
		return err_set(e, -EPROTO, "the guest has no vCPU %u", s->id);
	if (l->vcpus >> s->id & 1)
		return twice(e);
	l->vcpus |= 1ULL << s->id;
	return vm_state_load_vcpu(l->m->state, s->id, r, e);
}

/* Sections whose payload is parts from its first byte on. */
static int load_parts(struct loader *l, const struct section *s, struct err *e)
{
	bool *has = s->type == SECTION_MACHINE ? &l->has_machine
		    : s->type == SECTION_CLOCK ? &l->has_clock
					       : &l->has_irqchip;
	struct vstate_reader *r;
	int rc = vstate_reader_new(&r, s->payload, s->bytes, e);

	if (rc < 0)
		return rc;
	if (s->type == SECTION_VCPU) {
		rc = load_vcpu(l, s, r, e);
	} else if (*has) {
		rc = twice(e);
	} else {
		*has = true;
		rc = s->type == SECTION_MACHINE ? load_machine(l, r, e)
		     : s->type == SECTION_CLOCK ? vm_state_load_clock(l->m->state, r, e)
						: vm_state_load_irqchip(l->m->state, r, e);
	}
	vstate_reader_free(r);
	return rc;
}

/* Cut a word off [*at, end) into @ret. */
static int get_word(const uint8_t *data, size_t bytes, size_t *at, char ret[MAX_WORD + 1])
{
	size_t len = *at < bytes ? data[*at] : bytes;

	if (len > bytes - MIN(*at + 1, bytes))
		return -EPROTO;
	memcpy(ret, data + *at + 1, len);
	ret[len] = '\0';
	*at += len + 1;
	return 0;
}

static bool came_before(const struct loader *l, const struct device *dev)
{
	const struct device_state *d;

	TAILQ_FOREACH(d, &l->devices, link)
	{
		if (d->dev == dev)
			return true;
	}
	return false;
}

/* Which device is it for? Its state is kept until the vCPUs' has been loaded. */
static int take_device(struct loader *l, struct section *s, struct err *e)
{
	char id[MAX_WORD + 1], type[MAX_WORD + 1];
	struct device_state *d;
	struct device *dev;
	size_t at = 0;

	if (get_word(s->payload, s->bytes, &at, id) < 0 ||
	    get_word(s->payload, s->bytes, &at, type) < 0)
		return err_set(e, -EPROTO, "id and type are cut off");
	dev = vm_find_device(l->m->vm, id);
	if (!dev || !dev->ops->load || strcmp(dev->ops->type, type) != 0) {
		printable_ascii(id);
		printable_ascii(type);
		return err_set(e, -EPROTO, "this guest has no '%.40s' of type '%.40s'", id, type);
	}
	if (came_before(l, dev))
		return twice(e);
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(e, -ENOMEM, "out of memory");
	*d = (struct device_state){ .dev = dev, .start = at, .bytes = s->bytes - at };
	d->payload = take_ptr(s->payload);
	TAILQ_INSERT_TAIL(&l->devices, d, link);
	return 0;
}

static int take_section(struct loader *l, struct section *s, struct err *e)
{
	switch (s->type) {
	case SECTION_MACHINE:
	case SECTION_CLOCK:
	case SECTION_IRQCHIP:
	case SECTION_VCPU:
		return load_parts(l, s, e);
	case SECTION_DEVICE:
		return take_device(l, s, e);
	default:
		return err_set(e, -EPROTO, "it has no place here");
	}
}

static int take_all(struct loader *l, const struct section_source *source, struct err *e)
{
	for (;;) {
		struct section s = { 0 };
		bool end;
		int rc = source->get(source->opaque, &s, e);

		if (rc < 0)
			return rc;
		end = s.type == SECTION_END;
		rc = end ? 0 : take_section(l, &s, e);
		section_fini(&s);
		if (rc < 0)
			return err_prefix(e, "section %u.%u", s.type, s.id);
		if (end)
			return 0;
	}
}

static int check_complete(const struct loader *l, struct err *e)
{
	uint64_t all = ~0ULL >> (64 - l->m->vm->nr_vcpus);
	const struct device *dev;

	if (!l->has_machine || !l->has_clock || !l->has_irqchip)
		return err_set(e, -EPROTO, "%s is missing",
			       !l->has_machine ? "the state of the machine"
			       : !l->has_clock ? "the clock"
					       : "the state of the interrupt controllers");
	if (l->vcpus != all)
		return err_set(e, -EPROTO, "the state of a vCPU is missing");
	TAILQ_FOREACH(dev, &l->m->vm->devices, link)
	{
		if (dev->ops->save && !came_before(l, dev))
			return err_set(e, -EPROTO, "the state of %s is missing", dev->id);
	}
	return 0;
}

static int load_device(const struct device_state *d, struct err *e)
{
	struct vstate_reader *r;
	int rc = vstate_reader_new(&r, (const uint8_t *)d->payload + d->start, d->bytes, e);

	if (rc < 0)
		return rc;
	rc = d->dev->ops->load(d->dev, r, e);
	if (rc == 0)
		rc = vstate_reader_finish(r, e);
	vstate_reader_free(r);
	return rc;
}

static int apply(struct loader *l, struct err *e)
{
	const struct device_state *d;
	int rc = check_complete(l, e);

	if (rc == 0)
		rc = vm_state_set(l->m->vm, l->m->state, e);
	if (rc < 0)
		return rc;
	TAILQ_FOREACH(d, &l->devices, link)
	{
		if (load_device(d, e) < 0)
			return err_prefix(e, "%s", d->dev->id);
	}
	l->m->paused = l->travel.paused;
	return 0;
}

int guest_state_load(struct machine *m, const struct section_source *source, struct err *e)
{
	struct loader l = { .m = m };
	struct device_state *d;
	int rc = vm_state_new(&m->state, m->vm->nr_vcpus);

	if (rc < 0)
		return err_set(e, rc, "out of memory");
	TAILQ_INIT(&l.devices);
	rc = take_all(&l, source, e);
	if (rc == 0)
		rc = apply(&l, e);
	while ((d = TAILQ_FIRST(&l.devices))) {
		TAILQ_REMOVE(&l.devices, d, link);
		free(d->payload);
		free(d);
	}
	return rc < 0 ? err_prefix(e, "state of the guest") : 0;
}
