// SPDX-License-Identifier: MIT
/* Sectors that say what they are. */
#include "sector.h"
#include "guest.h"

#define SECTOR_MAGIC 0x31524f5443455346 /* "FSECTOR1" */
#define SECTOR_WORDS 64

static uint64_t sector_checksum(const struct sector *sector)
{
	const uint64_t *word = (const uint64_t *)sector;
	uint64_t sum = sector->magic;

	/* Each step is reversible, so any single changed word changes the result. */
	for (unsigned int i = 2; i < SECTOR_WORDS; i++)
		sum = (sum ^ word[i]) * 0x9e3779b97f4a7c15;
	return sum;
}

void sector_make(struct sector *sector, uint64_t lba, uint32_t generation, uint32_t seed)
{
	uint64_t word = random_mix(lba << 32 ^ generation ^ (uint64_t)seed << 16);

	sector->magic = SECTOR_MAGIC;
	sector->lba = lba;
	sector->generation = generation;
	sector->seed = seed;
	for (unsigned int i = 0; i < ARRAY_SIZE(sector->filling); i++)
		sector->filling[i] = word += 0x9e3779b97f4a7c15;
	sector->checksum = sector_checksum(sector);
}

static bool sector_is_zero(const struct sector *sector)
{
	const uint64_t *word = (const uint64_t *)sector;
	uint64_t any = 0;

	for (unsigned int i = 0; i < SECTOR_WORDS; i++)
		any |= word[i];
	return !any;
}

uint32_t sector_identify(const struct sector *sector, uint64_t lba, uint32_t seed)
{
	if (sector_is_zero(sector))
		return SECTOR_ZERO;
	if (sector->magic != SECTOR_MAGIC || sector->lba != lba || sector->seed != seed ||
	    sector->checksum != sector_checksum(sector))
		return SECTOR_UNKNOWN;
	return sector->generation;
}

void sector_complain(const struct sector *sector, uint64_t lba, uint32_t expected, uint32_t seed)
{
	const char *why = "an older or newer generation";

	if (sector_is_zero(sector))
		why = "zeros";
	else if (sector->magic != SECTOR_MAGIC)
		why = "no sector of ours";
	else if (sector->checksum != sector_checksum(sector))
		why = "a bad checksum";
	else if (sector->lba != lba)
		why = "another sector";
	else if (sector->seed != seed)
		why = "another seed";
	print("blk: CORRUPT lba=%lu: %s: lba=%lu generation=%x seed=%u, expected generation=%x "
	      "seed=%u\n",
	      lba, why, sector->lba, sector->generation, sector->seed, expected, seed);
}
