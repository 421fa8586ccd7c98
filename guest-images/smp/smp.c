// SPDX-License-Identifier: MIT
/*
 * Starts every CPU and makes them work at the same time: an interrupt to all
 * lets them count, then one goes round from each to the next, then a last one
 * goes to all. CPUs that wait are halted: there may be more than the host has.
 */
#include "guest.h"

struct player {
	struct cpu *cpu;
	struct player *next;
	volatile uint64_t count;
};

static struct player players[MAX_CPUS];
static unsigned int cpu_count;
static unsigned int token_vector, broadcast_vector;
static uint32_t rounds;
static uint64_t count_ns;
static uint32_t waiting; /* atomic: CPUs that irq_send_others() will reach */

static void wait_for(unsigned int vector, uint32_t count)
{
	uint64_t seq = irq_seq();

	while (irq_count(vector) < count) {
		irq_wait(seq);
		seq = irq_seq();
	}
}

/* The boot CPU has the token first; it is back where it was after each round. */
static void pass_token(struct player *self)
{
	bool first = self == players;

	for (uint32_t round = 1; round <= rounds; round++) {
		if (!first)
			wait_for(token_vector, round);
		irq_send(self->next->cpu->apic_id, token_vector);
		if (first)
			wait_for(token_vector, round);
	}
}

static void count(struct player *self)
{
	uint64_t end_ns = clock_ns() + count_ns;

	while (clock_ns() < end_ns)
		self->count++;
}

static void play(struct player *self)
{
	count(self);
	if (cpu_count > 1)
		pass_token(self);
}

static void play_on_call(void *argument)
{
	irq_init();
	__atomic_add_fetch(&waiting, 1, __ATOMIC_RELEASE);
	wait_for(broadcast_vector, 1);
	play(argument);
	wait_for(broadcast_vector, 2);
}

static void call_others(void)
{
	while (__atomic_load_n(&waiting, __ATOMIC_ACQUIRE) < cpu_count - 1)
		cpu_relax();
	irq_send_others(broadcast_vector);
}

static bool report(void)
{
	bool good = true;

	for (unsigned int i = 0; i < cpu_count; i++) {
		const struct player *player = &players[i];
		uint32_t tokens = player->cpu->irq_count[token_vector];
		uint32_t broadcasts = player->cpu->irq_count[broadcast_vector];

		print("smp cpu=%u apic=%u count=%lu ipis=%u broadcasts=%u\n", i,
		      player->cpu->apic_id, player->count, tokens, broadcasts);
		good &= player->count > 0 && tokens == (cpu_count > 1 ? rounds : 0) &&
			broadcasts == (i ? 2 : 0);
	}
	return good;
}

int guest_main(void)
{
	bool good;

	cpu_count = (unsigned int)param_number("cpus", acpi_cpu_count());
	rounds = (uint32_t)param_number("rounds", 100);
	count_ns = param_number("ms", 50) * NS_PER_MS;
	if (cpu_count < 1 || cpu_count > MAX_CPUS)
		power_usage("cpus");
	token_vector = irq_alloc();
	broadcast_vector = irq_alloc();
	clock_ns(); /* finds the frequency, before several CPUs want it */

	for (unsigned int i = 0; i < cpu_count; i++)
		players[i].next = &players[(i + 1) % cpu_count];
	players[0].cpu = cpu_self();
	for (unsigned int i = 1; i < cpu_count; i++) {
		players[i].cpu = smp_start(i, play_on_call, &players[i]);
		if (!players[i].cpu) {
			print("smp cpu=%u did not start\n", i);
			return EXIT_FAILED;
		}
	}
	print("smp started=%u\n", cpu_count);

	irq_init();
	call_others();
	play(&players[0]);
	irq_send_others(broadcast_vector);
	for (unsigned int i = 1; i < cpu_count; i++)
		smp_join(players[i].cpu);
	good = report();
	print(good ? "smp ok\n" : "smp FAILED\n");
	return good ? EXIT_OK : EXIT_FAILED;
}
