// SPDX-License-Identifier: MIT
// Fuzz: the kernel loaders. The input is a kernel file.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vmm/boot_impl.h"

#define MEM (4 * MIB)

static void load(const struct boot_format *format, const struct boot_file *file, struct gmem *gm)
{
	struct boot_layout layout = { 0 };
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };
	struct err e;
	uint32_t max;

	if (!format->probe(file) || format->check(file, &max, &e) < 0)
		return;
	if (max == 0 || max > BOOT_CMDLINE_BYTES)
		abort();
	if (format->load(file, gm, &layout, &e) < 0)
		return;
	/* What was loaded is in RAM, above what the loader itself uses. */
	if (layout.entry_gpa < MAP_1M || layout.kernel_end_gpa > MEM)
		abort();
	if (format->enter(file, gm, &layout, &regs, &sregs) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gmem gm;
	static int fd = -1;
	struct boot_file file;

	if (fd < 0) {
		fd = memfd_create("kernel", 0);
		if (fd < 0 || gmem_init(&gm, MEM, 0, NULL) < 0)
			abort();
	}
	if (ftruncate(fd, 0) < 0 || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	file = (struct boot_file){ .path = "kernel", .fd = fd, .bytes = size };
	load(&boot_elf, &file, &gm);
	load(&boot_bzimage, &file, &gm);
	return 0;
}
