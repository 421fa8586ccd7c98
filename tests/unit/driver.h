/* SPDX-License-Identifier: MIT */
/* A virtio driver for tests: finds a device on PCI and sets it up by its registers. */
#ifndef FERRY_TESTS_UNIT_DRIVER_H
#define FERRY_TESTS_UNIT_DRIVER_H

#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "tests/unit/machine.h"
#include "tests/unit/ring.h"

#define DRIVER_MAX_QUEUES 4
#define DRIVER_VECTOR     0x40 /* interrupt of MSI-X vector 0; the next ones follow */

/* Where rings are put in guest memory; data goes above. */
#define DRIVER_RING(i) (0x10000ULL * ((i) + 1))
#define DRIVER_DATA    0x80000ULL

#define S_ACK       VIRTIO_CONFIG_S_ACKNOWLEDGE
#define S_DRIVER    VIRTIO_CONFIG_S_DRIVER
#define S_DRIVER_OK VIRTIO_CONFIG_S_DRIVER_OK
#define S_FEATURES  VIRTIO_CONFIG_S_FEATURES_OK
#define S_BROKEN    VIRTIO_CONFIG_S_NEEDS_RESET
#define S_RUNNING   (S_ACK | S_DRIVER | S_FEATURES | S_DRIVER_OK)

#define F_VERSION_1 (1ULL << VIRTIO_F_VERSION_1)

struct driver {
	struct machine *m;
	unsigned slot;
	uint64_t common, isr, device, notify, msix; /* addresses; 0: there is none */
	uint32_t notify_multiplier;
	unsigned cfg_cap, msix_cap; /* in configuration space */
	struct ring rings[DRIVER_MAX_QUEUES];
};

/* Find the structures of the device at @slot by its capabilities (4.1.4). */
void driver_init(struct driver *d, struct machine *m, unsigned slot);

/* Registers of the common configuration. */
uint32_t driver_read(struct driver *d, unsigned reg, unsigned size);
void driver_write(struct driver *d, unsigned reg, uint32_t value, unsigned size);
uint8_t driver_status(struct driver *d);
void driver_set_status(struct driver *d, uint8_t status);
void driver_set_features(struct driver *d, uint64_t features);
uint64_t driver_offered(struct driver *d);
void driver_select(struct driver *d, uint16_t queue);
void driver_set_address(struct driver *d, unsigned reg, uint64_t addr);

/* Reset, then up to FEATURES_OK (3.1.1) with VERSION_1 and @features; false: refused. */
bool driver_negotiate(struct driver *d, uint64_t features);

/* Lay out queue @i with @size entries and enable it. */
void driver_enable_queue(struct driver *d, uint16_t i, uint16_t size);

/* All at once: negotiate, enable queues [0, nr_queues), DRIVER_OK. */
bool driver_bring_up(struct driver *d, uint64_t features, uint16_t nr_queues, uint16_t size);

/* Switch MSI-X on, all vectors unmasked, with interrupts from DRIVER_VECTOR on. */
void driver_use_msix(struct driver *d);

/* Offer one buffer at descriptor @i % size of queue @q; @flags: RING_WRITE or 0. */
void driver_offer(struct driver *d, unsigned q, uint64_t addr, uint32_t len, uint16_t flags);

/* Notify the device of work in @q. */
void driver_kick(struct driver *d, unsigned q);

/* Wait for the next used element of @q; fails the test if none comes. */
struct ring_used driver_await_used(struct driver *d, unsigned q);

/* Wait for these status bits; fails the test if they do not come. */
void driver_await_status(struct driver *d, uint8_t bits);

#endif
