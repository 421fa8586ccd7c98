// SPDX-License-Identifier: MIT
// CPUID: topology, hypervisor leaves, TSC (SDM vol. 2, CPUID; cpuid.rst of KVM).
#include "vmm/cpuid.h"

#include "util/compiler.h"

/* 1.EBX and 1.ECX */
#define ECX1_TSC_DEADLINE (1U << 24)
#define ECX1_HYPERVISOR   (1U << 31)
#define EDX1_HTT          (1U << 28)

#define LEAF_HYPERVISOR  0x40000000U
#define LEAF_HV_TIMING   0x40000010U /* EAX: TSC kHz, EBX: APIC bus kHz */
#define KVM_APIC_BUS_KHZ 1000000U    /* KVM's LAPIC timer counts nanoseconds */

/* Levels of leaf 0xb (SDM: ECX[15:8]). */
#define TOPO_SMT  1U
#define TOPO_CORE 2U

/* Bits that an APIC id needs for @n processors. */
static unsigned id_bits(unsigned n)
{
	unsigned bits = 0;

	while ((1U << bits) < n)
		bits++;
	return bits;
}

static struct kvm_cpuid_entry2 *find(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == leaf)
			return &cpuid->entries[i];
	}
	return NULL;
}

static void remove_leaf(struct kvm_cpuid2 *cpuid, uint32_t leaf)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function != leaf)
			cpuid->entries[kept++] = cpuid->entries[i];
	}
	cpuid->nent = kept;
}

static void fill_leaf1(struct kvm_cpuid_entry2 *e, const struct cpuid_params *p)
{
	e->ebx = (e->ebx & 0xffffU) | p->apic_id << 24 | MIN(p->nr_vcpus, 255U) << 16;
	e->ecx |= ECX1_HYPERVISOR;
	if (p->tsc_deadline)
		e->ecx |= ECX1_TSC_DEADLINE;
	if (p->nr_vcpus > 1)
		e->edx |= EDX1_HTT;
}

/* Caches belong to one core, but the last level (3) to all. */
static void fill_leaf4(struct kvm_cpuid_entry2 *e, const struct cpuid_params *p)
{
	uint32_t level = e->eax >> 5 & 7;
	uint32_t sharing = level >= 3 ? (1U << id_bits(p->nr_vcpus)) - 1 : 0;
	uint32_t cores = (1U << id_bits(p->nr_vcpus)) - 1;

	if ((e->eax & 0x1f) == 0)
		return;
	e->eax = (e->eax & 0x3fffU) | sharing << 14 | MIN(cores, 63U) << 26;
}

/* Leaf 0xb: sub-leaf 0 one thread a core, sub-leaf 1 all cores in one socket. */
static void add_topology(struct kvm_cpuid2 *cpuid, const struct cpuid_params *p)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{
			.function = 0xb,
			.index = 0,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = 0,
			.ebx = 1,
			.ecx = 0 | TOPO_SMT << 8,
			.edx = p->apic_id,
		},
		{
			.function = 0xb,
			.index = 1,
			.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = id_bits(p->nr_vcpus),
			.ebx = p->nr_vcpus,
			.ecx = 1 | TOPO_CORE << 8,
			.edx = p->apic_id,
		},
	};

	/* KVM lists the host's levels, at least one; 0x1f would contradict us. */
	remove_leaf(cpuid, 0x1f);
	if (!find(cpuid, 0xb))
		return;
	remove_leaf(cpuid, 0xb);
	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++)
		cpuid->entries[cpuid->nent++] = levels[i];
}

/* The timing leaf that guests of several hypervisors know. */
static void add_timing(struct kvm_cpuid2 *cpuid, const struct cpuid_params *p)
{
	struct kvm_cpuid_entry2 *hv = find(cpuid, LEAF_HYPERVISOR);

	if (!hv || !p->tsc_khz)
		return;
	remove_leaf(cpuid, LEAF_HV_TIMING);
	hv = find(cpuid, LEAF_HYPERVISOR);
	hv->eax = MAX(hv->eax, LEAF_HV_TIMING);
	cpuid->entries[cpuid->nent++] = (struct kvm_cpuid_entry2){
		.function = LEAF_HV_TIMING,
		.eax = p->tsc_khz,
		.ebx = KVM_APIC_BUS_KHZ,
	};
}

/* AMD: 0x80000008.ECX core count and id size, 0x8000001e APIC id (APM vol. 3). */
static void fill_amd(struct kvm_cpuid2 *cpuid, const struct cpuid_params *p)
{
	struct kvm_cpuid_entry2 *e = find(cpuid, 0x80000008U);

	if (e)
		e->ecx = (e->ecx & ~0xf0ffU) | (p->nr_vcpus - 1) | id_bits(p->nr_vcpus) << 12;
	e = find(cpuid, 0x8000001eU);
	if (e) {
		e->eax = p->apic_id;
		e->ebx = p->apic_id & 0xff;
		e->ecx = 0;
	}
}

void cpuid_fill(struct kvm_cpuid2 *cpuid, const struct cpuid_params *params)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == 1)
			fill_leaf1(e, params);
		else if (e->function == 4)
			fill_leaf4(e, params);
	}
	fill_amd(cpuid, params);
	add_topology(cpuid, params);
	add_timing(cpuid, params);
}
