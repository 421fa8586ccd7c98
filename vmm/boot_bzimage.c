// SPDX-License-Identifier: MIT
// Linux bzImages, started by the 64-bit entry (Documentation/arch/x86/boot.rst).
#include <asm/bootparam.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vmm/boot_impl.h"

#define HEADER_OFFSET    0x1f1U
#define HDRS_MAGIC       0x53726448U /* "HdrS" */
#define BOOT_FLAG        0xaa55U
#define MIN_VERSION      0x20cU /* xloadflags, 64-bit entry */
#define ENTRY_64         0x200U
#define SECTOR           512U
#define LOADER_UNDEFINED 0xffU

#define CR0_PE_ET_PG    0x80000011U
#define CR4_PAE         0x20U
#define EFER_LME_LMA    0x500U
#define PAGE_PRESENT_RW 0x3U
#define PAGE_LARGE      0x80U

static bool bzimage_probe(const struct boot_file *kernel)
{
	struct setup_header hdr;

	return boot_pread(kernel, &hdr, sizeof(hdr), HEADER_OFFSET) == 0 &&
	       hdr.boot_flag == BOOT_FLAG && hdr.header == HDRS_MAGIC;
}

static int bad(const struct boot_file *kernel, struct err *e, const char *why)
{
	return err_set(e, -ENOEXEC, "kernel %s: %s", kernel->path, why);
}

/* Where the protected-mode part begins in the file. */
static uint64_t payload_offset(const struct setup_header *hdr)
{
	unsigned sects = hdr->setup_sects ? hdr->setup_sects : 4;

	return (sects + 1) * SECTOR;
}

static int read_header(const struct boot_file *kernel, struct setup_header *hdr, struct err *e)
{
	if (boot_pread(kernel, hdr, sizeof(*hdr), HEADER_OFFSET) < 0)
		return bad(kernel, e, "the bzImage header is cut off");
	if (hdr->version < MIN_VERSION || !(hdr->xloadflags & XLF_KERNEL_64))
		return bad(
			kernel, e,
			"a bzImage without a 64-bit entry: a 64-bit kernel from 3.8 on is needed");
	if (payload_offset(hdr) + ENTRY_64 >= kernel->bytes)
		return bad(kernel, e, "the bzImage is cut off");
	if (hdr->pref_address < MAP_1M)
		return bad(kernel, e, "the bzImage wants to be loaded below 1 MiB");
	return 0;
}

static int bzimage_check(const struct boot_file *kernel, uint32_t *ret_cmdline_max, struct err *e)
{
	struct setup_header hdr;
	int rc = read_header(kernel, &hdr, e);

	if (rc < 0)
		return rc;
	/* cmdline_size does not count the zero; 0 would be a damaged header. */
	*ret_cmdline_max = MIN((uint64_t)hdr.cmdline_size + 1, (uint64_t)BOOT_CMDLINE_BYTES);
	return 0;
}

static int bzimage_load(const struct boot_file *kernel, struct gmem *gm, struct boot_layout *layout,
			struct err *e)
{
	struct setup_header hdr;
	uint64_t offset, bytes;
	int rc = read_header(kernel, &hdr, e);

	if (rc < 0)
		return rc;
	offset = payload_offset(&hdr);
	bytes = kernel->bytes - offset;
	/* init_size: what it needs to unpack itself in place. */
	if (!gmem_ptr(gm, hdr.pref_address, MAX(bytes, (uint64_t)hdr.init_size)))
		return err_set(e, -EFAULT,
			       "kernel %s: needs RAM up to 0x%llx: give the guest more --memory",
			       kernel->path,
			       (unsigned long long)(hdr.pref_address + hdr.init_size));
	rc = boot_copy(kernel, offset, gm, hdr.pref_address, bytes);
	if (rc < 0)
		return err_set(e, rc, "kernel %s: %s", kernel->path, strerror(-rc));
	layout->kernel_end_gpa = hdr.pref_address + MAX(bytes, (uint64_t)hdr.init_size);
	layout->entry_gpa = hdr.pref_address + ENTRY_64;
	layout->initrd_max_gpa = hdr.initrd_addr_max;
	return 0;
}

/*
 * The zero page. Of the image's header only [0x1f1, 0x202 + length byte) is
 * copied, as the protocol says.
 */
static int write_zero_page(const struct boot_file *kernel, struct gmem *gm,
			   const struct boot_layout *l)
{
	struct boot_params params = { 0 };
	struct setup_header hdr;
	uint8_t jump;
	size_t len;
	int rc;

	if ((rc = boot_pread(kernel, &hdr, sizeof(hdr), HEADER_OFFSET)) < 0 ||
	    (rc = boot_pread(kernel, &jump, sizeof(jump), 0x201)) < 0)
		return rc;
	len = MIN((size_t)(0x202 + jump - HEADER_OFFSET), sizeof(hdr));
	memcpy(&params.hdr, &hdr, len);
	params.hdr.type_of_loader = LOADER_UNDEFINED;
	params.hdr.loadflags |= LOADED_HIGH;
	params.hdr.cmd_line_ptr = (uint32_t)BOOT_CMDLINE;
	params.hdr.ramdisk_image = (uint32_t)l->initrd_gpa;
	params.hdr.ramdisk_size = (uint32_t)l->initrd_bytes;
	params.acpi_rsdp_addr = l->rsdp_gpa;
	params.e820_entries = (uint8_t)l->map.nr;
	for (unsigned i = 0; i < l->map.nr; i++)
		params.e820_table[i] = (struct boot_e820_entry){
			.addr = l->map.ranges[i].gpa,
			.size = l->map.ranges[i].bytes,
			.type = l->map.ranges[i].type,
		};
	return gmem_write(gm, BOOT_ZERO_PAGE, &params, sizeof(params));
}

/* 4 GiB one to one: a PML4 entry, four PDPT entries, four directories of 2 MiB pages. */
static int write_page_tables(struct gmem *gm)
{
	const uint64_t pdpt = BOOT_PML4 + 0x1000, pd = BOOT_PML4 + 0x2000;
	uint64_t table[512] = { pdpt | PAGE_PRESENT_RW };
	int rc = gmem_write(gm, BOOT_PML4, table, sizeof(table));

	for (unsigned i = 0; i < 4; i++)
		table[i] = (pd + i * 0x1000) | PAGE_PRESENT_RW;
	if (rc == 0)
		rc = gmem_write(gm, pdpt, table, sizeof(table));
	for (uint64_t i = 0; i < 4 && rc == 0; i++) {
		for (uint64_t j = 0; j < 512; j++)
			table[j] = (i * 512 + j) * 2 * MIB | PAGE_PRESENT_RW | PAGE_LARGE;
		rc = gmem_write(gm, pd + i * 0x1000, table, sizeof(table));
	}
	return rc;
}

/* __BOOT_CS 0x10 and __BOOT_DS 0x18, flat. */
static int write_gdt(struct gmem *gm)
{
	const uint64_t gdt[] = { 0, 0, 0x00af9b000000ffffULL, 0x00cf93000000ffffULL };

	return gmem_write(gm, BOOT_GDT, gdt, sizeof(gdt));
}

static int bzimage_enter(const struct boot_file *kernel, struct gmem *gm,
			 const struct boot_layout *l, struct kvm_regs *regs,
			 struct kvm_sregs *sregs)
{
	int rc;

	boot_flat_segments(sregs, true);
	sregs->gdt.base = BOOT_GDT;
	sregs->gdt.limit = 4 * 8 - 1;
	sregs->cr3 = BOOT_PML4;
	sregs->cr4 = CR4_PAE;
	sregs->cr0 = CR0_PE_ET_PG;
	sregs->efer = EFER_LME_LMA;
	regs->rip = l->entry_gpa;
	regs->rsi = BOOT_ZERO_PAGE;
	if ((rc = write_gdt(gm)) < 0 || (rc = write_page_tables(gm)) < 0)
		return rc;
	return write_zero_page(kernel, gm, l);
}

const struct boot_format boot_bzimage = {
	.name = "bzImage",
	.probe = bzimage_probe,
	.check = bzimage_check,
	.load = bzimage_load,
	.enter = bzimage_enter,
};
