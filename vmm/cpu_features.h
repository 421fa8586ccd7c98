/* SPDX-License-Identifier: MIT */
/* CPU features as CPUID shows them, with their names. */
#ifndef FERRY_VMM_CPU_FEATURES_H
#define FERRY_VMM_CPU_FEATURES_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The features that @guest has and @host lacks, as "avx512f, pku": names as in
 * /proc/cpuinfo, those without one as "cpuid 7.0 ecx bit 13". What a CPU shows only
 * while the guest has switched it on is left out. @buf gets as many as fit, and
 * "..." for the rest. Returns how many there are.
 */
unsigned cpu_features_missing(const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host,
			      char *buf, size_t len);

/* "GenuineIntel"; empty where leaf 0 is missing. */
void cpu_features_vendor(const struct kvm_cpuid2 *cpuid, char ret[13]);

#endif
