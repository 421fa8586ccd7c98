/* SPDX-License-Identifier: MIT */
/* What CPUID tells a guest. */
#ifndef FERRY_VMM_CPUID_H
#define FERRY_VMM_CPUID_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

struct cpuid_params {
	unsigned apic_id;
	unsigned nr_vcpus;
	uint32_t tsc_khz;  /* 0: unknown */
	bool tsc_deadline; /* KVM_CAP_TSC_DEADLINE_TIMER */
};

/*
 * Make one vCPU's CPUID out of @cpuid, KVM's supported set: its APIC id, the
 * topology (one socket, one thread a core), the hypervisor's leaves and the
 * TSC frequency. In place; @cpuid must have room for 2 more entries than
 * @cpuid->nent says.
 */
void cpuid_fill(struct kvm_cpuid2 *cpuid, const struct cpuid_params *params);

/* Room to leave behind the supported set. */
#define CPUID_EXTRA_ENTRIES 2

#endif
