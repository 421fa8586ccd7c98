/* SPDX-License-Identifier: MIT */
/* Sectors that say what they are, and the table of what each should say. */
#ifndef GUEST_BLK_SECTOR_H
#define GUEST_BLK_SECTOR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A sector on the disk, little-endian. The filling follows from lba, generation
 * and seed; the checksum is over all words but itself.
 */
struct sector {
	uint64_t magic;
	uint64_t checksum;
	uint64_t lba;
	uint32_t generation;
	uint32_t seed;
	uint64_t filling[60];
};
_Static_assert(sizeof(struct sector) == 512, "one sector");

/* What a sector is expected to hold: a generation of ours, or one of these. */
enum { SECTOR_UNKNOWN = 0, SECTOR_ZERO = 0xffffffff };

/* Fills in a sector. */
void sector_make(struct sector *sector, uint64_t lba, uint32_t generation, uint32_t seed);

/* What the sector holds: its generation, SECTOR_ZERO if it is all zeros, or SECTOR_UNKNOWN if it is
 * no sound sector of this LBA and seed. */
uint32_t sector_identify(const struct sector *sector, uint64_t lba, uint32_t seed);

/* Prints what is wrong with a sector that should be @expected. */
void sector_complain(const struct sector *sector, uint64_t lba, uint32_t expected, uint32_t seed);

#endif
