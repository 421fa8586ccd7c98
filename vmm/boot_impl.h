/* SPDX-License-Identifier: MIT */
/* Inside the boot loader: the formats, and what they share. */
#ifndef FERRY_VMM_BOOT_IMPL_H
#define FERRY_VMM_BOOT_IMPL_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/boot.h"
#include "vmm/memmap.h"

/*
 * Low memory at the moment the guest starts. Kernels are loaded from 1 MiB on,
 * so nothing of this can be overwritten by one.
 */
#define BOOT_GDT        0x500ULL
#define BOOT_START_INFO 0x6000ULL  /* PVH: hvm_start_info, module list, memory map */
#define BOOT_ZERO_PAGE  0x7000ULL  /* Linux: struct boot_params */
#define BOOT_PML4       0x9000ULL  /* and 5 more pages: identity map of 4 GiB */
#define BOOT_CMDLINE    0x20000ULL /* BOOT_CMDLINE_BYTES */

/* A file that was opened for loading. */
struct boot_file {
	const char *path; /* for messages */
	int fd;
	uint64_t start; /* where it begins in fd */
	uint64_t bytes;
};

/* The guest's memory map (ACPI 6.4, 15: types). */
#define BOOT_MAX_RANGES 8
enum { BOOT_RAM = 1, BOOT_RESERVED = 2 };

struct boot_range {
	uint64_t gpa, bytes;
	uint32_t type;
};

struct boot_memmap {
	unsigned nr;
	struct boot_range ranges[BOOT_MAX_RANGES];
};

/* What a loader hands to the next step. */
struct boot_layout {
	uint64_t kernel_end_gpa; /* first byte behind what the kernel needs */
	uint64_t entry_gpa;
	uint64_t initrd_gpa, initrd_bytes; /* 0: none */
	uint64_t initrd_max_gpa;           /* last byte an initrd may occupy */
	uint64_t rsdp_gpa;
	uint32_t cmdline_bytes; /* with its zero */
	struct boot_memmap map;
};

/* A kernel format. All functions read from an image that nobody vouches for. */
struct boot_format {
	const char *name;
	/* Is this the format? Reads only the magic. */
	bool (*probe)(const struct boot_file *kernel);
	/* Check the headers; the most that a command line may have, zero included. */
	int (*check)(const struct boot_file *kernel, uint32_t *ret_cmdline_max, struct err *e);
	/* Copy the kernel to guest memory; fill in the first two fields and initrd_max_gpa. */
	int (*load)(const struct boot_file *kernel, struct gmem *gm, struct boot_layout *layout,
		    struct err *e);
	/* Write the parameters that the kernel reads, and set its first registers. */
	int (*enter)(const struct boot_file *kernel, struct gmem *gm,
		     const struct boot_layout *layout, struct kvm_regs *regs,
		     struct kvm_sregs *sregs);
};

extern const struct boot_format boot_elf;
extern const struct boot_format boot_bzimage;

/* Read [offset, offset + len) of a file. 0, or -errno; -EIO where it ends early. */
__must_check int boot_pread(const struct boot_file *file, void *buf, size_t len, uint64_t offset);

/*
 * Copy [offset, offset + len) of a file to @gpa. -EFAULT where that is not
 * RAM, -EIO where the file ends early.
 */
__must_check int boot_copy(const struct boot_file *file, uint64_t offset, struct gmem *gm,
			   gpa_t gpa, uint64_t len);

/*
 * Code and data segments that cover all addresses, selectors 0x10 and 0x18 as
 * both boot protocols have them; @long_mode: 64-bit code.
 */
void boot_flat_segments(struct kvm_sregs *sregs, bool long_mode);

#endif
