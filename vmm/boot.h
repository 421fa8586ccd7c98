/* SPDX-License-Identifier: MIT */
/* Kernels: from a file to a guest that is ready to run it. */
#ifndef FERRY_VMM_BOOT_H
#define FERRY_VMM_BOOT_H

#include "util/err.h"
#include "vmm/gmem.h"

struct boot;
struct vm;

/* Longest command line, its final zero included; a bzImage names a lower limit. */
#define BOOT_CMDLINE_BYTES 65536U

struct boot_params_files {
	const char *kernel;  /* PVH ELF or bzImage */
	const char *initrd;  /* NULL: none */
	const char *cmdline; /* NULL: empty */
};

/*
 * Open and check kernel and initrd. The files are read anew on each load, so a
 * guest that reboots starts from the same open files. @e names the file and
 * what is wrong with it. Images are hostile: every number in them is checked.
 */
__must_check int boot_open(struct boot **ret, const struct boot_params_files *files, struct err *e);
void boot_close(struct boot *boot);

/* Kernel and initrd as parts of open files: how they travel with a guest. */
enum boot_part_id { BOOT_PART_KERNEL, BOOT_PART_INITRD, BOOT_NR_PARTS };

struct boot_part {
	int fd;
	uint64_t start, bytes; /* in fd; 0 bytes: there is none */
};

/*
 * boot_open() for files that are open, whose descriptors stay the caller's; the
 * paths in @names are for messages alone.
 */
__must_check int boot_open_parts(struct boot **ret, const struct boot_params_files *names,
				 const struct boot_part parts[BOOT_NR_PARTS], struct err *e);

/* Where the bytes of one are; the descriptor stays the boot's. */
void boot_get_part(const struct boot *boot, enum boot_part_id id, struct boot_part *ret);

/*
 * Copy kernel, initrd, command line and memory map into the memory of @vm,
 * write the ACPI tables, and point vCPU 0 at the entry. The vCPUs are in
 * power-on state and parked. Main thread.
 */
__must_check int boot_load(struct boot *boot, struct vm *vm, struct err *e);

#endif
