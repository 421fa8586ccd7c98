// SPDX-License-Identifier: MIT
// Can this host run a guest that comes from elsewhere?
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "util/log.h"
#include "vmm/cpu_features.h"
#include "vmm/cpuid.h"
#include "vmm/guest/runtime.h"
#include "vmm/guest/state.h"
#include "vmm/host_memory.h"
#include "vmm/kvm.h"

/* How many MSRs a warning names. */
#define MAX_NAMED_MSRS 8U

/* What a guest of as many vCPUs would see if it started here. The caller frees it. */
static int host_cpuid(int kvm_fd, const struct guest_spec *spec, struct kvm_cpuid2 **ret)
{
	const struct cpuid_params params = {
		.nr_vcpus = spec->cfg.vcpus,
		.tsc_khz = spec->tsc_khz,
		.tsc_deadline = kvm_check_cap(kvm_fd, KVM_CAP_TSC_DEADLINE_TIMER),
	};
	_cleanup_free_ struct kvm_cpuid2 *supported = NULL;
	struct kvm_cpuid2 *cpuid;
	size_t bytes;
	int rc = kvm_supported_cpuid(kvm_fd, &supported);

	if (rc < 0)
		return rc;
	bytes = sizeof(*cpuid) + supported->nent * sizeof(cpuid->entries[0]);
	cpuid = calloc(1, bytes + CPUID_EXTRA_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		return -ENOMEM;
	memcpy(cpuid, supported, bytes);
	cpuid_fill(cpuid, &params);
	*ret = cpuid;
	return 0;
}

static int check_cpu(int kvm_fd, const struct guest_spec *spec, struct err *e)
{
	_cleanup_free_ struct kvm_cpuid2 *host = NULL;
	char mine[13], theirs[13];
	char missing[256];
	int rc = host_cpuid(kvm_fd, spec, &host);

	if (rc < 0)
		return err_set(e, rc, "KVM: CPUID: %s", strerror(-rc));
	cpu_features_vendor(host, mine);
	cpu_features_vendor(spec->cpuid, theirs);
	if (strcmp(mine, theirs) != 0)
		return err_set(e, -ENOTSUP, "CPU: the guest runs on a %s CPU, and this host has %s",
			       theirs, mine);
	if (cpu_features_missing(spec->cpuid, host, missing, sizeof(missing)))
		return err_set(e, -ENOTSUP, "CPU: the guest has features that this host lacks: %s",
			       missing);
	return 0;
}

static bool has_msr(const struct kvm_msr_list *list, uint32_t index)
{
	for (uint32_t i = 0; i < list->nmsrs; i++) {
		if (list->indices[i] == index)
			return true;
	}
	return false;
}

/* An MSR that KVM lists need not be one that the guest uses: tell, and go on. */
static int warn_about_msrs(int kvm_fd, const struct guest_spec *spec, struct err *e)
{
	_cleanup_free_ struct kvm_msr_list *list = NULL;
	char named[MAX_NAMED_MSRS * 12 + 1] = "";
	unsigned nr = 0;
	int rc = kvm_msr_list(kvm_fd, &list);

	if (rc < 0)
		return err_set(e, rc, "KVM: MSR list: %s", strerror(-rc));
	for (uint32_t i = 0; i < spec->nr_msrs; i++) {
		size_t used = strlen(named);

		if (has_msr(list, spec->msrs[i]))
			continue;
		if (nr++ < MAX_NAMED_MSRS)
			(void)snprintf(named + used, sizeof(named) - used, " 0x%x", spec->msrs[i]);
	}
	if (nr)
		log_warn("this host's KVM does not know %u MSRs of the guest:%s%s", nr, named,
			 nr > MAX_NAMED_MSRS ? " ..." : "");
	return 0;
}

static int check_kvm(const struct guest_spec *spec, struct err *e)
{
	_cleanup_close_ int kvm_fd = kvm_open(e);
	int max;
	int rc;

	if (kvm_fd < 0)
		return kvm_fd;
	rc = kvm_check_host(kvm_fd, e);
	if (rc < 0)
		return rc;
	max = kvm_max_vcpus(kvm_fd);
	if (spec->cfg.vcpus > (unsigned)max)
		return err_set(e, -ENOTSUP,
			       "vcpus: the guest has %u, and this host's KVM allows %d",
			       spec->cfg.vcpus, max);
	rc = check_cpu(kvm_fd, spec, e);
	return rc < 0 ? rc : warn_about_msrs(kvm_fd, spec, e);
}

int guest_spec_check(const struct guest_spec *spec, struct err *e)
{
	int rc = runtime_check_free(spec->cfg.name, e);

	if (rc == 0)
		rc = host_check_memory(spec->cfg.memory_bytes, spec->cfg.hugepages, e);
	return rc < 0 ? rc : check_kvm(spec, e);
}
