/* SPDX-License-Identifier: MIT */
/* The PVH start info, version 1 (Xen's include/public/arch-x86/hvm/start_info.h). */
#ifndef GUEST_PVH_H
#define GUEST_PVH_H

#include <stdint.h>

#define PVH_MAGIC 0x336ec578

struct pvh_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t modules;
	uint64_t modules_gpa;
	uint64_t cmdline_gpa;
	uint64_t rsdp_gpa;
	uint64_t memmap_gpa; /* from version 1 on */
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct pvh_memmap_entry {
	uint64_t gpa;
	uint64_t bytes;
	uint32_t type; /* as e820: 1 is RAM */
	uint32_t reserved;
};

#endif
