// SPDX-License-Identifier: MIT
// The machine: construction, parking of vCPUs, events, reset.
#include "vmm/vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/vcpu.h"

/* Power-on state of the controllers that all vCPUs share. */
struct vm_power_on {
	struct kvm_irqchip chips[3]; /* PIC master, PIC slave, IOAPIC */
	struct kvm_pit_state2 pit;
};

static void deliver_event(void *opaque);

static int get_power_on(struct vm *vm)
{
	int rc;

	vm->power_on = calloc(1, sizeof(*vm->power_on));
	if (!vm->power_on)
		return -ENOMEM;
	for (unsigned i = 0; i < ARRAY_SIZE(vm->power_on->chips); i++) {
		vm->power_on->chips[i].chip_id = i;
		rc = kvm_get_irqchip(vm->vm_fd, &vm->power_on->chips[i]);
		if (rc < 0)
			return rc;
	}
	return kvm_get_pit(vm->vm_fd, &vm->power_on->pit);
}

static int set_power_on(struct vm *vm)
{
	for (unsigned i = 0; i < ARRAY_SIZE(vm->power_on->chips); i++) {
		int rc = kvm_set_irqchip(vm->vm_fd, &vm->power_on->chips[i]);

		if (rc < 0)
			return rc;
	}
	return kvm_set_pit(vm->vm_fd, &vm->power_on->pit);
}

static int create_memory(struct vm *vm, const struct vm_params *params, struct err *e)
{
	unsigned flags = params->hugepages ? GMEM_HUGEPAGES : 0;

	if (params->ram)
		return gmem_init_file(&vm->gmem, params->memory_bytes, flags, params->ram, e);
	return gmem_init(&vm->gmem, params->memory_bytes, flags, e);
}

static int map_memory(struct vm *vm)
{
	for (unsigned i = 0; i < vm->gmem.nr_regions; i++) {
		const struct gmem_region *r = &vm->gmem.regions[i];
		int rc = kvm_set_memory(vm->vm_fd, i, 0, r->gpa, r->bytes, r->hva);

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int open_kvm(struct vm *vm, struct err *e)
{
	int rc;

	vm->kvm_fd = kvm_open(e);
	if (vm->kvm_fd < 0)
		return vm->kvm_fd;
	rc = kvm_check_host(vm->kvm_fd, e);
	if (rc < 0)
		return rc;
	vm->vm_fd = kvm_create_vm(vm->kvm_fd);
	if (vm->vm_fd < 0)
		return err_set(e, vm->vm_fd, "KVM_CREATE_VM: %s", strerror(-vm->vm_fd));
	vm->has_tsc_deadline = kvm_check_cap(vm->kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER);
	return 0;
}

static int create_controllers(struct vm *vm, struct err *e)
{
	int rc;

	if ((rc = kvm_create_irqchip(vm->vm_fd)) < 0 || (rc = irq_init(&vm->irq, vm->vm_fd)) < 0 ||
	    (rc = get_power_on(vm)) < 0)
		return err_set(e, rc, "KVM interrupt controllers: %s", strerror(-rc));
	return 0;
}

/* What CPUID is made of, and the MSRs that a vCPU has. */
static int get_lists(struct vm *vm, const struct vm_params *params)
{
	size_t bytes;
	int rc = kvm_msr_list(vm->kvm_fd, &vm->msr_list);

	if (rc < 0 || !params->cpuid)
		return rc < 0 ? rc : kvm_supported_cpuid(vm->kvm_fd, &vm->cpuid);
	bytes = sizeof(*vm->cpuid) + params->cpuid->nent * sizeof(vm->cpuid->entries[0]);
	vm->cpuid = malloc(bytes);
	if (!vm->cpuid)
		return -ENOMEM;
	memcpy(vm->cpuid, params->cpuid, bytes);
	vm->tsc_khz = params->tsc_khz;
	return 0;
}

static int create_vcpus(struct vm *vm, const struct vm_params *params, struct err *e)
{
	unsigned nr = params->nr_vcpus;
	unsigned max = MIN((unsigned)kvm_max_vcpus(vm->kvm_fd), VM_MAX_VCPUS);
	int rc;

	if (nr < 1 || nr > max)
		return err_set(e, -EINVAL, "vcpus: %u: must be 1 to %u", nr, max);
	vm->nr_vcpus = nr;
	rc = get_lists(vm, params);
	if (rc < 0)
		return err_set(e, rc, "KVM: CPUID and MSR lists: %s", strerror(-rc));
	for (unsigned i = 0; i < nr; i++) {
		rc = vcpu_new(vm, i, &vm->vcpus[i]);
		if (rc < 0)
			return err_set(e, rc, "vCPU %u: %s", i, strerror(-rc));
	}
	/*
	 * KVM's map of who has which APIC ID is made while a vCPU is created, and
	 * so lacks the last one: INIT would not reach it. Setting a LAPIC makes
	 * the map again.
	 */
	rc = vcpu_reset(vm->vcpus[nr - 1]);
	return rc < 0 ? err_set(e, rc, "vCPU %u: %s", nr - 1, strerror(-rc)) : 0;
}

static int init(struct vm *vm, const struct vm_params *params, struct err *e)
{
	int rc = open_kvm(vm, e);

	if (rc < 0)
		return rc;
	rc = create_memory(vm, params, e);
	if (rc < 0)
		return rc;
	/*
	 * Before the controllers: a new slot waits for an RCU grace period, and
	 * that takes milliseconds once their ports have been registered.
	 */
	rc = map_memory(vm);
	if (rc < 0)
		return err_set(e, rc, "KVM memory slots: %s", strerror(-rc));
	rc = create_controllers(vm, e);
	if (rc < 0)
		return rc;
	return create_vcpus(vm, params, e);
}

int vm_new(struct vm **ret, const struct vm_params *params, struct loop *main_loop, struct err *e)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	int rc;

	if (!vm)
		return err_set(e, -ENOMEM, "out of memory");
	vm->kvm_fd = vm->vm_fd = -1;
	vm->main_loop = main_loop;
	vm->nr_hot_slots = params->nr_hot_slots;
	vm->event_work = (struct loop_work){ .fn = deliver_event, .opaque = vm };
	TAILQ_INIT(&vm->devices);
	bus_init(&vm->pio);
	bus_init(&vm->mmio);
	mutex_init(&vm->lock);
	cond_init(&vm->parked);
	cond_init(&vm->unpark);
	rc = init(vm, params, e);
	if (rc < 0) {
		vm_free(vm);
		return rc;
	}
	*ret = vm;
	return 0;
}

static void join_vcpus(struct vm *vm)
{
	mutex_lock(&vm->lock);
	vm->quit = true;
	(void)pthread_cond_broadcast(&vm->unpark);
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		if (vm->vcpus[i])
			vcpu_kick(vm->vcpus[i]);
	}
	mutex_unlock(&vm->lock);
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		if (vm->vcpus[i] && vm->vcpus[i]->started)
			(void)pthread_join(vm->vcpus[i]->thread, NULL);
	}
}

static void free_devices(struct vm *vm)
{
	struct device *dev;

	/* Last in, first out: later ones may sit on a bus that an earlier one is. */
	while ((dev = TAILQ_LAST(&vm->devices, vm_devices))) {
		vm_remove_device(vm, dev);
		if (dev->ops->free)
			dev->ops->free(dev);
	}
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	join_vcpus(vm);
	loop_unpost(vm->main_loop, &vm->event_work);
	free_devices(vm);
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		vcpu_free(vm->vcpus[i]);
	free(vm->cpuid);
	free(vm->msr_list);
	free(vm->power_on);
	irq_fini(&vm->irq);
	bus_fini(&vm->pio);
	bus_fini(&vm->mmio);
	close_fd(&vm->vm_fd);
	close_fd(&vm->kvm_fd);
	gmem_fini(&vm->gmem);
	(void)pthread_cond_destroy(&vm->parked);
	(void)pthread_cond_destroy(&vm->unpark);
	mutex_fini(&vm->lock);
	free(vm);
}

struct device *vm_find_device(struct vm *vm, const char *id)
{
	struct device *dev;

	TAILQ_FOREACH(dev, &vm->devices, link)
	{
		if (!strcmp(dev->id, id))
			return dev;
	}
	return NULL;
}

int vm_add_device(struct vm *vm, struct device *dev)
{
	if (vm_find_device(vm, dev->id))
		return -EEXIST;
	TAILQ_INSERT_TAIL(&vm->devices, dev, link);
	if (vm->devices_paused && dev->ops->pause)
		dev->ops->pause(dev);
	return 0;
}

void vm_remove_device(struct vm *vm, struct device *dev)
{
	TAILQ_REMOVE(&vm->devices, dev, link);
}

int vm_start(struct vm *vm)
{
	int rc = 0;

	/*
	 * Under the lock, as kicks are: a vCPU that runs is one that can be kicked.
	 * The first may end the guest before the last has its thread.
	 */
	mutex_lock(&vm->lock);
	if (vm->started) {
		mutex_unlock(&vm->lock);
		return 0;
	}
	vm->started = true;
	for (unsigned i = 0; i < vm->nr_vcpus && rc == 0; i++)
		rc = vcpu_start(vm->vcpus[i]);
	mutex_unlock(&vm->lock);
	return rc;
}

/* Ask every vCPU to park; under the lock, see park() in vcpu.c. */
static void park_vcpus_locked(struct vm *vm)
{
	vm->pause_depth++;
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		vcpu_kick(vm->vcpus[i]);
}

static void release_vcpus_locked(struct vm *vm)
{
	vm->pause_depth--;
	(void)pthread_cond_broadcast(&vm->unpark);
}

static void wait_parked_locked(struct vm *vm)
{
	while (vm->started && vm->nr_parked < vm->nr_vcpus)
		(void)pthread_cond_wait(&vm->parked, &vm->lock.m);
}

void vm_park(struct vm *vm)
{
	mutex_lock(&vm->lock);
	park_vcpus_locked(vm);
	wait_parked_locked(vm);
	mutex_unlock(&vm->lock);
}

void vm_unpark(struct vm *vm)
{
	mutex_lock(&vm->lock);
	release_vcpus_locked(vm);
	mutex_unlock(&vm->lock);
}

void vm_pause(struct vm *vm)
{
	struct device *dev;

	vm_park(vm);
	if (vm->devices_paused++ > 0)
		return;
	vm->paused_at_ns = clock_now_ns();
	TAILQ_FOREACH(dev, &vm->devices, link)
	{
		if (dev->ops->pause)
			dev->ops->pause(dev);
	}
}

void vm_resume(struct vm *vm)
{
	struct device *dev;

	if (--vm->devices_paused == 0) {
		vm->paused_at_ns = 0;
		TAILQ_FOREACH(dev, &vm->devices, link)
		{
			if (dev->ops->resume)
				dev->ops->resume(dev);
		}
		for (unsigned i = 0; i < vm->nr_vcpus; i++)
			(void)kvm_clock_was_stopped(&vm->vcpus[i]->kvm);
	}
	vm_unpark(vm);
}

bool vm_is_paused(struct vm *vm)
{
	return vm->devices_paused > 0;
}

void vm_set_throttle(struct vm *vm, unsigned percent)
{
	mutex_lock(&vm->lock);
	vm->throttle = MIN(percent, VCPU_THROTTLE_MAX);
	for (unsigned i = 0; i < vm->nr_vcpus; i++)
		vcpu_kick(vm->vcpus[i]);
	(void)pthread_cond_broadcast(&vm->unpark);
	mutex_unlock(&vm->lock);
}

void vm_freeze_vcpu(struct vm *vm, unsigned cpu, bool frozen)
{
	mutex_lock(&vm->lock);
	vm->vcpus[cpu]->frozen = frozen;
	vcpu_kick(vm->vcpus[cpu]);
	(void)pthread_cond_broadcast(&vm->unpark);
	mutex_unlock(&vm->lock);
}

int vm_reset(struct vm *vm)
{
	struct device *dev;
	int rc;

	TAILQ_FOREACH(dev, &vm->devices, link)
	{
		if (dev->ops->reset)
			dev->ops->reset(dev);
	}
	rc = set_power_on(vm);
	for (unsigned i = 0; i < vm->nr_vcpus && rc == 0; i++)
		rc = vcpu_reset(vm->vcpus[i]);
	return rc;
}

void vm_raise_event(struct vm *vm, enum vm_event event, unsigned code)
{
	bool first;

	mutex_lock(&vm->lock);
	first = vm->event == VM_EVENT_NONE;
	if (first) {
		vm->event = event;
		vm->event_code = code;
		park_vcpus_locked(vm);
	}
	mutex_unlock(&vm->lock);
	if (first)
		loop_post(vm->main_loop, &vm->event_work);
}

static void deliver_event(void *opaque)
{
	struct vm *vm = opaque;
	enum vm_event event;
	unsigned code;

	mutex_lock(&vm->lock);
	wait_parked_locked(vm);
	event = vm->event;
	code = vm->event_code;
	mutex_unlock(&vm->lock);
	if (vm->on_event)
		vm->on_event(vm->on_event_opaque, event, code);
}

bool vm_has_event(struct vm *vm)
{
	MUTEX_SCOPE(&vm->lock);
	return vm->event != VM_EVENT_NONE;
}

void vm_event_done(struct vm *vm)
{
	mutex_lock(&vm->lock);
	vm->event = VM_EVENT_NONE;
	release_vcpus_locked(vm);
	mutex_unlock(&vm->lock);
}
