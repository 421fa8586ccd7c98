// SPDX-License-Identifier: MIT
// CPU features as CPUID shows them, with their names.
#include "vmm/cpu_features.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/compiler.h"
#include "util/printable.h"

enum reg { EAX, EBX, ECX, EDX };

/*
 * One register of feature bits. Names from bit 0 on, "-" where there is none
 * (SDM vol. 2, CPUID; APM vol. 3, appendix E; Linux' cpuid.rst of KVM).
 */
struct feature_word {
	uint32_t leaf, index;
	enum reg reg;
	uint32_t ignored; /* bits that show what the guest does, not what the CPU can */
	const char *names;
};

static const struct feature_word words[] = {
	{ 0x1, 0, EDX, 0,
	  "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - "
	  "dts acpi mmx fxsr sse sse2 ss ht tm ia64 pbe" },
	{ 0x1, 0, ECX, 1U << 27, /* osxsave */
	  "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - "
	  "pcid dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx "
	  "f16c rdrand hypervisor" },
	{ 0x7, 0, EBX, 0,
	  "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm "
	  "zero_fcs_fds mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma pcommit clflushopt "
	  "clwb intel_pt avx512pf avx512er avx512cd sha_ni avx512bw avx512vl" },
	{ 0x7, 0, ECX, 1U << 4, /* ospke */
	  "prefetchwt1 avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq "
	  "avx512_vnni avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid key_locker "
	  "bus_lock_detect cldemote - movdiri movdir64b enqcmd sgx_lc pks" },
	{ 0x7, 0, EDX, 0,
	  "- sgx_keys avx512_4vnniw avx512_4fmaps fsrm uintr - - avx512_vp2intersect srbds_ctrl "
	  "md_clear rtm_always_abort - tsx_force_abort serialize hybrid_cpu tsxldtrk - pconfig "
	  "arch_lbr ibt - amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d "
	  "arch_capabilities core_capabilities ssbd" },
	{ 0x7, 1, EAX, 0,
	  "sha512 sm3 sm4 rao_int avx_vnni avx512_bf16 lass cmpccxadd arch_perfmon_ext - fzrm fsrs "
	  "fsrc - - - - fred lkgs wrmsrns nmi_src amx_fp16 hreset avx_ifma - - lam msrlist" },
	{ 0xd, 1, EAX, 0, "xsaveopt xsavec xgetbv1 xsaves xfd" },
	{ 0xd, 0, EAX, 0, /* XCR0 */
	  "xcr0_x87 xcr0_sse xcr0_avx xcr0_bndregs xcr0_bndcsr xcr0_opmask xcr0_zmm_hi256 "
	  "xcr0_hi16_zmm - xcr0_pkru - - - - - - - xcr0_tilecfg xcr0_tiledata" },
	{ 0x80000001, 0, EDX, 0,
	  "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp "
	  "- lm 3dnowext 3dnow" },
	{ 0x80000001, 0, ECX, 0,
	  "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs "
	  "xop skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - "
	  "bpext ptsc perfctr_llc mwaitx" },
	{ 0x80000007, 0, EDX, 0, "- - - - - - - - constant_tsc" },
	{ 0x80000008, 0, EBX, 0,
	  "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - ibpb - ibrs stibp - "
	  "stibp_always_on - - - - - amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc amd_psfd" },
	{ 0x80000021, 0, EAX, 0,
	  "no_nested_data_bp - lfence_rdtsc - - - null_sel_clr_base - autoibrs" },
	{ 0x40000001, 0, EAX, 0,
	  "kvmclock kvm_nop_io_delay kvm_mmu kvmclock2 kvm_asyncpf kvm_steal_time kvm_pv_eoi "
	  "kvm_pv_unhalt - kvm_pv_tlb_flush kvm_asyncpf_vmexit kvm_pv_send_ipi kvm_poll_control "
	  "kvm_pv_sched_yield kvm_asyncpf_int kvm_msi_ext_dest_id kvm_hc_map_gpa_range "
	  "kvm_migration_control - - - - - - kvmclock_stable" },
};

static uint32_t get_word(const struct kvm_cpuid2 *cpuid, const struct feature_word *w)
{
	for (uint32_t i = 0; i < cpuid->nent; i++) {
		const struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		if (e->function == w->leaf && e->index == w->index)
			return w->reg == EAX   ? e->eax
			       : w->reg == EBX ? e->ebx
			       : w->reg == ECX ? e->ecx
					       : e->edx;
	}
	return 0;
}

static void feature_name(const struct feature_word *w, unsigned bit, char *buf, size_t len)
{
	static const char *const regs[] = { "eax", "ebx", "ecx", "edx" };
	const char *name = w->names;

	for (unsigned i = 0; i < bit && *name; i++) {
		name += strcspn(name, " ");
		name += strspn(name, " ");
	}
	if (*name && *name != '-')
		(void)snprintf(buf, len, "%.*s", (int)strcspn(name, " "), name);
	else
		(void)snprintf(buf, len, "cpuid %x.%u %s bit %u", w->leaf, w->index, regs[w->reg],
			       bit);
}

/* Append "NAME" or ", NAME"; "..." once what follows does not fit. */
static void append(char *buf, size_t len, const char *name)
{
	size_t used = strlen(buf);
	size_t need = strlen(name) + 2;

	if (used + need + strlen(", ...") < len)
		(void)snprintf(buf + used, len - used, "%s%s", used ? ", " : "", name);
	else if (used >= 3 && strcmp(buf + used - 3, "...") != 0)
		(void)snprintf(buf + used, len - used, ", ...");
}

unsigned cpu_features_missing(const struct kvm_cpuid2 *guest, const struct kvm_cpuid2 *host,
			      char *buf, size_t len)
{
	unsigned nr = 0;

	buf[0] = '\0';
	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		const struct feature_word *w = &words[i];
		uint32_t lacks = get_word(guest, w) & ~get_word(host, w) & ~w->ignored;

		for (unsigned bit = 0; bit < 32; bit++) {
			char name[48];

			if (!(lacks >> bit & 1))
				continue;
			feature_name(w, bit, name, sizeof(name));
			append(buf, len, name);
			nr++;
		}
	}
	return nr;
}

void cpu_features_vendor(const struct kvm_cpuid2 *cpuid, char ret[13])
{
	static const struct feature_word vendor[] = {
		{ 0, 0, EBX, 0, "" },
		{ 0, 0, EDX, 0, "" },
		{ 0, 0, ECX, 0, "" },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(vendor); i++) {
		uint32_t word = get_word(cpuid, &vendor[i]);

		memcpy(ret + 4UL * i, &word, sizeof(word));
	}
	ret[12] = '\0';
	/* It may come from a peer, and goes into messages. */
	printable_ascii(ret);
}
