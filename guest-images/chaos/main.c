// SPDX-License-Identifier: MIT
/*
 * A hostile driver. All CPUs do what comes into their minds to the same devices; after each round
 * the first one puts them in order and looks whether they work.
 */
#include "chaos.h"

struct chaos chaos;

static uint64_t seed;
static uint32_t cpu_count, steps;
static uint64_t rounds, end_ns;    /* 0: no limit */
static uint32_t arrived, round_nr; /* atomic */
static bool over;                  /* atomic: no round comes any more */

static void one_round(unsigned int cpu, uint64_t round)
{
	struct dice d = { random_mix(seed + random_mix(round * MAX_CPUS + cpu)) };

	for (uint32_t i = 0; i < steps; i++) {
		if (chaos.ports && (!chaos.nr_targets || one_in(&d, 4)))
			ports_poke(&d);
		else
			mutate(&d, &chaos.targets[roll(&d, chaos.nr_targets)]);
	}
}

/* Waits for the first CPU to begin a round; false: none comes. */
static bool wait_for_round(uint32_t nr)
{
	while (__atomic_load_n(&round_nr, __ATOMIC_ACQUIRE) != nr) {
		if (__atomic_load_n(&over, __ATOMIC_ACQUIRE))
			return false;
		cpu_relax();
	}
	return true;
}

static void follow(void *argument)
{
	(void)argument;
	for (uint32_t nr = 1; wait_for_round(nr); nr++) {
		one_round(cpu_self()->index, nr);
		__atomic_add_fetch(&arrived, 1, __ATOMIC_RELEASE);
	}
}

static bool is_over(uint64_t done)
{
	return (rounds && done >= rounds) || (end_ns && clock_ns() >= end_ns);
}

static void lead(void)
{
	uint64_t served = 0;
	uint32_t nr = 0;

	while (!is_over(nr)) {
		nr++;
		__atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
		__atomic_store_n(&round_nr, nr, __ATOMIC_RELEASE);
		one_round(0, nr);
		while (__atomic_load_n(&arrived, __ATOMIC_ACQUIRE) < cpu_count - 1)
			cpu_relax();
		ports_mend();
		served += targets_mend();
		if (nr == 1)
			print("chaos: at work\n");
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	print("chaos: seed=%lu rounds=%u steps=%lu served=%lu\n", seed, nr,
	      (uint64_t)nr * steps * cpu_count, served);
}

static void find_arena(void)
{
	struct memory_range free = memory_free_range(0);

	if (free.bytes < 4 * ARENA_BYTES)
		panic("chaos: too little memory");
	chaos.arena = free.gpa + free.bytes - ARENA_BYTES;
}

int guest_main(void)
{
	const char *device = param_get("device");

	seed = param_number("seed", 1);
	steps = (uint32_t)param_number("steps", 400);
	rounds = param_number("rounds", 0);
	cpu_count = (uint32_t)param_number("cpus", acpi_cpu_count());
	chaos.wild = param_number("wild", 0);
	chaos.ports = param_number("ports", 0);
	if (cpu_count < 1 || cpu_count > acpi_cpu_count())
		power_usage("cpus");
	find_arena();
	if (!targets_find(device ? device : "all") && !chaos.ports)
		panic("chaos: no such device");
	print("chaos: seed=%lu devices=%u cpus=%u\n", seed, chaos.nr_targets, cpu_count);
	end_ns = param_number("time", 0) * NS_PER_S;
	end_ns += end_ns ? clock_ns() : 0;
	clock_ns();
	for (uint32_t i = 1; i < cpu_count; i++)
		if (!smp_start(i, follow, NULL))
			panic("chaos: CPU %u did not start", i);
	(void)targets_mend();
	lead();
	print("chaos ok\n");
	return EXIT_OK;
}
