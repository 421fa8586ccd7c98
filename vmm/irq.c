// SPDX-License-Identifier: MIT
// GSI routing and irqfds.
#include "vmm/irq.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "vmm/kvm.h"
#include "vmm/memmap.h"

#define NR_IOAPIC_PINS 24
#define NR_PIC_PINS    16
#define NR_FIXED       (NR_IOAPIC_PINS + NR_PIC_PINS)

static struct kvm_irq_routing_entry pin_route(uint32_t gsi, uint32_t chip, uint32_t pin)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_IRQCHIP,
		.u.irqchip = { .irqchip = chip, .pin = pin },
	};
}

/* As KVM's own default: every ISA line reaches the PIC and the IOAPIC; 0 is the PIT on pin 2. */
static void add_fixed_routes(struct kvm_irq_routing *routes)
{
	for (uint32_t pin = 0; pin < NR_PIC_PINS; pin++)
		routes->entries[routes->nr++] = pin_route(
			pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
	for (uint32_t gsi = 0; gsi < NR_IOAPIC_PINS; gsi++) {
		if (gsi == 2)
			continue;
		routes->entries[routes->nr++] =
			pin_route(gsi, KVM_IRQCHIP_IOAPIC, gsi == 0 ? 2 : gsi);
	}
}

int irq_init(struct irq *irq, int vm_fd)
{
	const size_t entries = NR_FIXED + IRQ_MAX_MSIS;
	int rc;

	*irq = (struct irq){ .vm_fd = vm_fd };
	irq->routes = calloc(1, sizeof(*irq->routes) + entries * sizeof(irq->routes->entries[0]));
	if (!irq->routes)
		return -ENOMEM;
	add_fixed_routes(irq->routes);
	irq->nr_fixed = irq->routes->nr;
	rc = kvm_set_routes(vm_fd, irq->routes);
	if (rc < 0) {
		free(irq->routes);
		irq->routes = NULL;
		return rc;
	}
	mutex_init(&irq->lock);
	return 0;
}

void irq_fini(struct irq *irq)
{
	if (!irq->routes)
		return;
	free(irq->routes);
	irq->routes = NULL;
	mutex_fini(&irq->lock);
}

void irq_set_line(struct irq *irq, uint32_t gsi, bool level)
{
	/* Fails for a GSI that does not exist only: our bug, and harmless. */
	int rc = kvm_irq_line(irq->vm_fd, gsi, level);

	(void)rc;
}

static int take_gsi_locked(struct irq *irq, uint32_t *ret_gsi)
{
	for (uint32_t w = 0; w < ARRAY_SIZE(irq->used); w++) {
		uint32_t bit;

		if (irq->used[w] == UINT64_MAX)
			continue;
		bit = (uint32_t)__builtin_ctzll(~irq->used[w]);
		irq->used[w] |= 1ULL << bit;
		*ret_gsi = GSI_MSI_FIRST + w * 64 + bit;
		return 0;
	}
	return -ENOSPC;
}

static void give_gsi_locked(struct irq *irq, uint32_t gsi)
{
	uint32_t n = gsi - GSI_MSI_FIRST;

	irq->used[n / 64] &= ~(1ULL << (n % 64));
}

int irq_msi_init(struct irq *irq, struct irq_msi *msi)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t gsi = 0;
	int rc;

	if (fd < 0)
		return -errno;
	mutex_lock(&irq->lock);
	rc = take_gsi_locked(irq, &gsi);
	mutex_unlock(&irq->lock);
	if (rc < 0) {
		(void)close(fd);
		return rc;
	}
	*msi = (struct irq_msi){ .fd = fd, .gsi = gsi };
	return 0;
}

static struct kvm_irq_routing_entry msi_route(uint32_t gsi, uint64_t addr, uint32_t data)
{
	return (struct kvm_irq_routing_entry){
		.gsi = gsi,
		.type = KVM_IRQ_ROUTING_MSI,
		.u.msi = {
			.address_lo = (uint32_t)addr,
			.address_hi = (uint32_t)(addr >> 32),
			.data = data,
		},
	};
}

static bool is_same_message(const struct kvm_irq_routing_msi *a,
			    const struct kvm_irq_routing_msi *b)
{
	return a->address_lo == b->address_lo && a->address_hi == b->address_hi &&
	       a->data == b->data;
}

/*
 * Set or replace the message of @gsi in the table, and tell KVM. It takes the
 * table as a whole, so what it refuses must not stay in there.
 */
static int route_locked(struct irq *irq, uint32_t gsi, uint64_t addr, uint32_t data)
{
	const struct kvm_irq_routing_entry entry = msi_route(gsi, addr, data);
	struct kvm_irq_routing_entry old;
	uint32_t old_nr = irq->routes->nr;
	uint32_t i = irq->nr_fixed;
	int rc;

	while (i < old_nr && irq->routes->entries[i].gsi != gsi)
		i++;
	old = irq->routes->entries[i];
	if (i < old_nr && is_same_message(&old.u.msi, &entry.u.msi))
		return 0;
	irq->routes->entries[i] = entry;
	irq->routes->nr = MAX(old_nr, i + 1);
	rc = kvm_set_routes(irq->vm_fd, irq->routes);
	if (rc < 0) {
		irq->routes->entries[i] = old;
		irq->routes->nr = old_nr;
	}
	return rc;
}

/* Without its route a GSI injects nothing; KVM learns of it with the next change. */
static void unroute_locked(struct irq *irq, uint32_t gsi)
{
	for (uint32_t i = irq->nr_fixed; i < irq->routes->nr; i++) {
		if (irq->routes->entries[i].gsi != gsi)
			continue;
		irq->routes->entries[i] = irq->routes->entries[--irq->routes->nr];
		return;
	}
}

static void unwire_locked(struct irq *irq, struct irq_msi *msi)
{
	if (msi->wired && kvm_irqfd(irq->vm_fd, false, msi->fd, msi->gsi) == 0)
		msi->wired = false;
}

void irq_msi_fini(struct irq *irq, struct irq_msi *msi)
{
	if (!msi->gsi)
		return;
	mutex_lock(&irq->lock);
	unwire_locked(irq, msi);
	unroute_locked(irq, msi->gsi);
	give_gsi_locked(irq, msi->gsi);
	mutex_unlock(&irq->lock);
	(void)close(msi->fd);
	*msi = (struct irq_msi){ .fd = -1 };
}

int irq_msi_unmask(struct irq *irq, struct irq_msi *msi, uint64_t addr, uint32_t data)
{
	MUTEX_SCOPE(&irq->lock);
	int rc = route_locked(irq, msi->gsi, addr, data);
	uint64_t count;
	bool pending;

	if (rc < 0 || msi->wired)
		return rc;
	/*
	 * KVM injects what is pending when the irqfd is attached, but leaves it in
	 * the eventfd, where it would look pending again after the next mask.
	 */
	pending = read(msi->fd, &count, sizeof(count)) > 0;
	rc = kvm_irqfd(irq->vm_fd, true, msi->fd, msi->gsi);
	msi->wired = rc == 0;
	if (pending)
		eventfd_signal(msi->fd);
	return rc;
}

void irq_msi_mask(struct irq *irq, struct irq_msi *msi)
{
	MUTEX_SCOPE(&irq->lock);
	unwire_locked(irq, msi);
}

bool irq_msi_pending(const struct irq_msi *msi)
{
	struct pollfd pfd = { .fd = msi->fd, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1;
}

void irq_msi_clear(struct irq_msi *msi)
{
	uint64_t count;

	(void)!read(msi->fd, &count, sizeof(count));
}
