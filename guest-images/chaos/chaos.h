/* SPDX-License-Identifier: MIT */
/*
 * A hostile driver: what its files share.
 *
 * Whatever a device may write to lies in the arena, the end of memory: so the guest itself
 * survives what it does, unless it is to be wild.
 */
#ifndef GUEST_CHAOS_H
#define GUEST_CHAOS_H

#include "guest.h"
#include "virtio.h"

#define MAX_TARGETS 8u
#define MAX_QUEUES  8u
#define QUEUE_SIZE  64u
#define ARENA_BYTES (4 * MIB)

/* VIRTIO 1.2, chapter 5, beside those that virtio.h has. */
enum { VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4, VIRTIO_ID_BALLOON = 5 };

struct target {
	unsigned int type;
	struct virtio_dev dev;
	struct virtio_queue queues[MAX_QUEUES];
	unsigned int nr_queues;  /* that the device has, at most MAX_QUEUES */
	uint32_t bars[PCI_BARS]; /* as they were found */
	uint64_t msix_gpa;       /* the table; 0: none */
	uint8_t window_cap;      /* configuration access by configuration space; 0: none */
};

/* Numbers that repeat: one stream for each CPU. */
struct dice {
	uint64_t state;
};

struct chaos {
	struct target targets[MAX_TARGETS];
	unsigned int nr_targets;
	uint64_t arena; /* address of ARENA_BYTES of memory */
	bool ports;     /* the platform's ports, too */
	bool wild;      /* may kill itself */
};

extern struct chaos chaos;

static inline uint32_t roll(struct dice *d, uint32_t sides)
{
	return (uint32_t)random_below(&d->state, sides);
}

static inline bool one_in(struct dice *d, uint32_t n)
{
	return roll(d, n) == 0;
}

/* --- target.c ----------------------------------------------------------------- */

/* Finds the devices of this name, or of all; returns how many. */
unsigned int targets_find(const char *name);

/* Puts every device back in order, and has each do what it is for. Ends the guest if one does not
 * recover. Returns the number of requests that were served. */
unsigned int targets_mend(void);

/* --- mutate.c ----------------------------------------------------------------- */

/* One act against a device. Any CPU. */
void mutate(struct dice *d, struct target *t);

/* --- ports.c ------------------------------------------------------------------ */

/* One access to a port of the platform. Any CPU. */
void ports_poke(struct dice *d);

/* Makes the serial port usable again. */
void ports_mend(void);

#endif
