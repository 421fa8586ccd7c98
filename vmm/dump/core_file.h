/* SPDX-License-Identifier: MIT */
/* A guest as an ELF core file, as gdb and crash read it. */
#ifndef FERRY_VMM_DUMP_CORE_FILE_H
#define FERRY_VMM_DUMP_CORE_FILE_H

#include <linux/kvm.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"
#include "util/err.h"
#include "vmm/dump/page_walk.h"

struct gmem;
struct new_file;
struct vm;

/*
 * An ELF64 core of x86-64 (System V gABI, chapters 4 and 5):
 *
 *	header, program headers
 *	PT_NOTE     for each vCPU NT_PRSTATUS ("CORE"), its thread number the vCPU's
 *	            plus 1, and what QEMU writes ("QEMU", type 0: control registers and
 *	            descriptor tables, from which crash finds a relocated kernel)
 *	PT_LOAD     one a run that the page tables map, if they were asked for
 *	PT_LOAD     one a memory slot, its virtual addresses the physical ones
 *	memory      page n of RAM at a fixed offset plus n * 4096; zeroes are holes
 *
 * Runs and slots show the same bytes of the file.
 */

/* The registers of one vCPU. */
struct core_cpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t kernel_gs_base;
};

struct core_params {
	const struct gmem *gm;
	const struct core_cpu *cpus;
	unsigned nr_cpus;
	const struct page_runs *runs; /* nr 0: none */
};

struct core_stats {
	uint64_t pages;      /* that are not zero */
	uint64_t file_bytes; /* holes included */
	uint64_t data_bytes; /* without them */
};

/* Read the registers of all vCPUs, which are parked. @ret has vm->nr_vcpus. 0 or -errno. */
__must_check int core_read_cpus(const struct vm *vm, struct core_cpu *ret);

/*
 * Write all of the core to @file, which stays without a name. Memory may change
 * meanwhile: then each page is as it was at some time. 0 or -errno with @e;
 * -ECANCELED after new_file_cancel(). Any thread but a loop's.
 */
__must_check int core_write(struct new_file *file, const struct core_params *p,
			    struct core_stats *ret, struct err *e);

#endif
