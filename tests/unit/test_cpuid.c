// SPDX-License-Identifier: MIT
// CPUID of a vCPU, made from sets that are written by hand.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "vmm/cpuid.h"

#define MAX_ENTRIES 24
#define HV          0x40000000U
#define INDEXED     KVM_CPUID_FLAG_SIGNIFCANT_INDEX

struct set {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 entries[MAX_ENTRIES];
};

/* Four caches as Intel tells them: L1 data, L1 code, L2, L3. */
#define CACHE(index_, type, level, host_bits)                                                      \
	{                                                                                          \
		.function = 4, .index = (index_), .flags = INDEXED,                                \
		.eax = (type) | (level) << 5 | 1U << 8 | (host_bits)                               \
	}
#define HOST_SHARING 0xfc1fc000U /* 64 cores, 128 threads: bits 31-26 and 25-14 */

static const struct kvm_cpuid_entry2 intel[] = {
	{ .function = 0, .eax = 0x1f, .ebx = 0x756e6547 },
	{ .function = 1, .eax = 0x806f8, .ebx = 0x5a800800, .ecx = 0x1, .edx = 0x2 },
	CACHE(0, 1U, 1U, HOST_SHARING),
	CACHE(1, 2U, 1U, HOST_SHARING),
	CACHE(2, 3U, 2U, HOST_SHARING),
	CACHE(3, 3U, 3U, HOST_SHARING),
	{ .function = 4, .index = 4, .flags = INDEXED },
	{ .function = 7, .ebx = 0x1234, .flags = INDEXED },
	{ .function = 0xb, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 2, .edx = 99 },
	{ .function = 0xb, .index = 1, .flags = INDEXED, .eax = 7, .ebx = 128, .edx = 99 },
	{ .function = 0x1f, .index = 0, .flags = INDEXED, .eax = 1, .ebx = 2, .edx = 99 },
	{ .function = HV, .eax = HV + 1, .ebx = 0x4b4d564b },
	{ .function = HV + 1, .eax = 0x1000000 },
	{ .function = 0x80000000, .eax = 0x80000008 },
};

static const struct kvm_cpuid_entry2 amd[] = {
	{ .function = 0, .eax = 0x10, .ebx = 0x68747541 },
	{ .function = 1, .ebx = 0x5a800800 },
	{ .function = 0x80000008, .eax = 0x3030, .ecx = 0x00007fff },
	{ .function = 0x8000001e, .eax = 0x55, .ebx = 0x155, .ecx = 0x303 },
};

static const struct {
	unsigned nr_vcpus;
	unsigned bits; /* of an APIC id */
} counts[] = { { 1, 0 }, { 2, 1 }, { 3, 2 }, { 64, 6 } };

static void fill(struct set *set, const struct kvm_cpuid_entry2 *host, unsigned nr,
		 const struct cpuid_params *p)
{
	*set = (struct set){ .head.nent = nr };
	memcpy(set->entries, host, nr * sizeof(*host));
	cpuid_fill(&set->head, p);
	assert_in_range(set->head.nent, 1, nr + CPUID_EXTRA_ENTRIES);
}

static const struct kvm_cpuid_entry2 *find(const struct set *set, uint32_t leaf, uint32_t index)
{
	for (uint32_t i = 0; i < set->head.nent; i++) {
		const struct kvm_cpuid_entry2 *e = &set->entries[i];

		if (e->function == leaf && (!(e->flags & INDEXED) || e->index == index))
			return e;
	}
	return NULL;
}

static unsigned count(const struct set *set, uint32_t leaf)
{
	unsigned n = 0;

	for (uint32_t i = 0; i < set->head.nent; i++)
		n += set->entries[i].function == leaf;
	return n;
}

/* SDM vol. 2, CPUID leaf 0xb. */
static void test_topology(void **state)
{
	struct set set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct cpuid_params p = {
			.apic_id = counts[i].nr_vcpus - 1,
			.nr_vcpus = counts[i].nr_vcpus,
		};
		const struct kvm_cpuid_entry2 *e;

		fill(&set, intel, ARRAY_SIZE(intel), &p);
		assert_int_equal(count(&set, 0xb), 2);
		e = find(&set, 0xb, 0);
		assert_int_equal(e->eax, 0);
		assert_int_equal(e->ebx, 1);
		assert_int_equal(e->ecx, 0x100);
		assert_int_equal(e->edx, p.apic_id);
		e = find(&set, 0xb, 1);
		assert_int_equal(e->eax, counts[i].bits);
		assert_int_equal(e->ebx, p.nr_vcpus);
		assert_int_equal(e->ecx, 0x201);
		assert_int_equal(e->edx, p.apic_id);
		/* The host's own view is gone. */
		assert_int_equal(count(&set, 0x1f), 0);
	}
}

static void test_leaf_1(void **state)
{
	struct set set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct cpuid_params p = {
			.apic_id = counts[i].nr_vcpus / 2,
			.nr_vcpus = counts[i].nr_vcpus,
			.tsc_deadline = i % 2,
		};
		const struct kvm_cpuid_entry2 *e;

		fill(&set, intel, ARRAY_SIZE(intel), &p);
		e = find(&set, 1, 0);
		assert_int_equal(e->eax, 0x806f8);
		assert_int_equal(e->ebx, p.apic_id << 24 | p.nr_vcpus << 16 | 0x0800);
		assert_int_equal(e->ecx, 0x80000001U | (i % 2 ? 1U << 24 : 0));
		assert_int_equal(e->edx, 2U | (p.nr_vcpus > 1 ? 1U << 28 : 0));
		assert_int_equal(find(&set, 7, 0)->ebx, 0x1234);
	}
}

/* Leaf 4: sharing in bits 25-14, cores of the socket in bits 31-26. */
static void test_caches(void **state)
{
	struct set set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct cpuid_params p = { .nr_vcpus = counts[i].nr_vcpus };
		uint32_t all = (1U << counts[i].bits) - 1;

		fill(&set, intel, ARRAY_SIZE(intel), &p);
		for (uint32_t index = 0; index < 4; index++) {
			uint32_t eax = find(&set, 4, index)->eax;

			assert_int_equal(eax & 0x3fff, intel[2 + index].eax & 0x3fff);
			assert_int_equal(eax >> 14 & 0xfff, index == 3 ? all : 0);
			assert_int_equal(eax >> 26, all);
		}
		assert_int_equal(find(&set, 4, 4)->eax, 0); /* the end of the list */
	}
}

static void test_timing(void **state)
{
	struct cpuid_params p = { .nr_vcpus = 1, .tsc_khz = 2300000 };
	struct set set;

	(void)state;
	fill(&set, intel, ARRAY_SIZE(intel), &p);
	assert_int_equal(find(&set, HV, 0)->eax, HV + 0x10);
	assert_int_equal(find(&set, HV, 0)->ebx, 0x4b4d564b);
	assert_int_equal(find(&set, HV + 0x10, 0)->eax, 2300000);
	assert_int_equal(find(&set, HV + 0x10, 0)->ebx, 1000000);
	/* Unknown: nothing is claimed. */
	p.tsc_khz = 0;
	fill(&set, intel, ARRAY_SIZE(intel), &p);
	assert_int_equal(find(&set, HV, 0)->eax, HV + 1);
	assert_int_equal(count(&set, HV + 0x10), 0);
}

static void test_amd(void **state)
{
	struct set set;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		const struct cpuid_params p = { .nr_vcpus = counts[i].nr_vcpus, .apic_id = 0 };
		const struct kvm_cpuid_entry2 *e;

		fill(&set, amd, ARRAY_SIZE(amd), &p);
		e = find(&set, 0x80000008, 0);
		assert_int_equal(e->eax, 0x3030);
		assert_int_equal(e->ecx & 0xff, p.nr_vcpus - 1);
		assert_int_equal(e->ecx >> 12 & 0xf, counts[i].bits);
		e = find(&set, 0x8000001e, 0);
		assert_int_equal(e->eax, 0);
		assert_int_equal(e->ebx, 0); /* one thread a core */
		assert_int_equal(e->ecx, 0);
		/* A processor without these leaves does not get them. */
		assert_int_equal(count(&set, 0xb), 0);
		assert_int_equal(count(&set, HV + 0x10), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_topology), cmocka_unit_test(test_leaf_1),
		cmocka_unit_test(test_caches),   cmocka_unit_test(test_timing),
		cmocka_unit_test(test_amd),
	};

	return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}
