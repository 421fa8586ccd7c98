// SPDX-License-Identifier: MIT
// ELF kernels, started by the PVH entry (Xen's "x86/HVM direct boot ABI").
#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/boot_impl.h"

#define MAX_PHDRS       128U
#define MAX_NOTES_BYTES (64 * KIB)

/* The note whose descriptor is the 32-bit entry point (xen/elfnote.h). */
#define NOTE_NAME         "Xen"
#define NOTE_PHYS32_ENTRY 18U

/* xen/arch-x86/hvm/start_info.h */
#define START_MAGIC   0x336ec578U
#define START_VERSION 1U

struct start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_gpa;
	uint64_t cmdline_gpa;
	uint64_t rsdp_gpa;
	uint64_t memmap_gpa;
	uint32_t memmap_entries;
	uint32_t reserved;
};

struct start_module {
	uint64_t gpa;
	uint64_t bytes;
	uint64_t cmdline_gpa;
	uint64_t reserved;
};

struct start_range {
	uint64_t gpa;
	uint64_t bytes;
	uint32_t type;
	uint32_t reserved;
};

struct start_page {
	struct start_info info;
	struct start_module initrd;
	struct start_range map[BOOT_MAX_RANGES];
};

/* Headers of one image, copied out of the file once. */
struct elf {
	Elf64_Ehdr ehdr;
	Elf64_Phdr *phdrs;
	uint32_t entry;
};

static bool elf_probe(const struct boot_file *kernel)
{
	unsigned char magic[SELFMAG];

	return boot_pread(kernel, magic, sizeof(magic), 0) == 0 && !memcmp(magic, ELFMAG, SELFMAG);
}

static int bad(const struct boot_file *kernel, struct err *e, const char *why)
{
	return err_set(e, -ENOEXEC, "kernel %s: %s", kernel->path, why);
}

/* Does [offset, offset + len) lie in the file? */
static bool in_file(const struct boot_file *f, uint64_t offset, uint64_t len)
{
	return offset <= f->bytes && len <= f->bytes - offset;
}

static int read_headers(const struct boot_file *kernel, struct elf *elf, struct err *e)
{
	const Elf64_Ehdr *h = &elf->ehdr;
	size_t bytes;

	if (boot_pread(kernel, &elf->ehdr, sizeof(elf->ehdr), 0) < 0)
		return bad(kernel, e, "the ELF header is cut off");
	if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
	    h->e_machine != EM_X86_64)
		return bad(kernel, e, "not a 64-bit x86 ELF file");
	if (h->e_phentsize != sizeof(Elf64_Phdr) || h->e_phnum == 0 || h->e_phnum > MAX_PHDRS)
		return bad(kernel, e, "the ELF program headers are damaged");
	bytes = h->e_phnum * sizeof(Elf64_Phdr);
	if (!in_file(kernel, h->e_phoff, bytes))
		return bad(kernel, e, "the ELF program headers lie outside the file");
	elf->phdrs = malloc(bytes);
	if (!elf->phdrs)
		return err_set(e, -ENOMEM, "out of memory");
	if (boot_pread(kernel, elf->phdrs, bytes, h->e_phoff) < 0)
		return bad(kernel, e, "the ELF program headers are cut off");
	return 0;
}

/* Find the entry among the notes in @buf; names and descriptors are 4-byte aligned. */
static bool find_entry(const uint8_t *buf, size_t len, uint32_t *ret_entry)
{
	while (len >= sizeof(Elf64_Nhdr)) {
		Elf64_Nhdr nh;
		uint64_t name, desc;

		memcpy(&nh, buf, sizeof(nh));
		name = ALIGN_UP((uint64_t)nh.n_namesz, 4);
		desc = ALIGN_UP((uint64_t)nh.n_descsz, 4);
		buf += sizeof(nh);
		len -= sizeof(nh);
		if (name > len || desc > len - name)
			return false;
		if (nh.n_type == NOTE_PHYS32_ENTRY && nh.n_namesz == sizeof(NOTE_NAME) &&
		    !memcmp(buf, NOTE_NAME, sizeof(NOTE_NAME)) && nh.n_descsz >= 4) {
			memcpy(ret_entry, buf + name, sizeof(*ret_entry));
			return true;
		}
		buf += name + desc;
		len -= name + desc;
	}
	return false;
}

static int read_entry(const struct boot_file *kernel, struct elf *elf, struct err *e)
{
	for (unsigned i = 0; i < elf->ehdr.e_phnum; i++) {
		const Elf64_Phdr *ph = &elf->phdrs[i];
		_cleanup_free_ uint8_t *notes = NULL;

		if (ph->p_type != PT_NOTE || ph->p_filesz == 0)
			continue;
		if (ph->p_filesz > MAX_NOTES_BYTES || !in_file(kernel, ph->p_offset, ph->p_filesz))
			return bad(kernel, e, "the ELF notes are damaged");
		notes = malloc(ph->p_filesz);
		if (!notes)
			return err_set(e, -ENOMEM, "out of memory");
		if (boot_pread(kernel, notes, ph->p_filesz, ph->p_offset) < 0)
			return bad(kernel, e, "the ELF notes are cut off");
		if (find_entry(notes, ph->p_filesz, &elf->entry))
			return 0;
	}
	return bad(kernel, e, "no PVH entry note: build Linux with CONFIG_PVH, or give a bzImage");
}

static bool segment_is_sane(const struct boot_file *kernel, const Elf64_Phdr *ph)
{
	return ph->p_filesz <= ph->p_memsz && in_file(kernel, ph->p_offset, ph->p_filesz) &&
	       ph->p_paddr <= UINT64_MAX - ph->p_memsz;
}

static int check_segments(const struct boot_file *kernel, const struct elf *elf, struct err *e)
{
	bool entry_found = false;

	for (unsigned i = 0; i < elf->ehdr.e_phnum; i++) {
		const Elf64_Phdr *ph = &elf->phdrs[i];

		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		if (!segment_is_sane(kernel, ph))
			return bad(kernel, e, "an ELF segment lies outside the file");
		if (ph->p_paddr < MAP_1M)
			return bad(kernel, e, "an ELF segment lies below 1 MiB");
		if (elf->entry >= ph->p_paddr && elf->entry - ph->p_paddr < ph->p_memsz)
			entry_found = true;
	}
	return entry_found ? 0 : bad(kernel, e, "the PVH entry lies in no ELF segment");
}

static void elf_fini(struct elf *elf)
{
	free(elf->phdrs);
	elf->phdrs = NULL;
}

static int elf_parse(const struct boot_file *kernel, struct elf *elf, struct err *e)
{
	int rc;

	*elf = (struct elf){ 0 };
	if ((rc = read_headers(kernel, elf, e)) < 0 || (rc = read_entry(kernel, elf, e)) < 0 ||
	    (rc = check_segments(kernel, elf, e)) < 0)
		elf_fini(elf);
	return rc;
}

static int elf_check(const struct boot_file *kernel, uint32_t *ret_cmdline_max, struct err *e)
{
	struct elf elf;
	int rc = elf_parse(kernel, &elf, e);

	if (rc < 0)
		return rc;
	elf_fini(&elf);
	*ret_cmdline_max = BOOT_CMDLINE_BYTES;
	return 0;
}

static int load_segment(const struct boot_file *kernel, const Elf64_Phdr *ph, struct gmem *gm,
			struct err *e)
{
	int rc = boot_copy(kernel, ph->p_offset, gm, ph->p_paddr, ph->p_filesz);

	/* RAM is zero on a cold start, not on a reboot. */
	if (rc == 0)
		rc = gmem_zero(gm, ph->p_paddr + ph->p_filesz, ph->p_memsz - ph->p_filesz);
	if (rc == -EFAULT)
		return err_set(e, rc,
			       "kernel %s: needs RAM up to 0x%" PRIx64
			       ": give the guest more --memory",
			       kernel->path, ph->p_paddr + ph->p_memsz);
	if (rc < 0)
		return err_set(e, rc, "kernel %s: %s", kernel->path, strerror(-rc));
	return 0;
}

static int elf_load(const struct boot_file *kernel, struct gmem *gm, struct boot_layout *layout,
		    struct err *e)
{
	struct elf elf;
	int rc = elf_parse(kernel, &elf, e);

	if (rc < 0)
		return rc;
	for (unsigned i = 0; i < elf.ehdr.e_phnum && rc == 0; i++) {
		const Elf64_Phdr *ph = &elf.phdrs[i];

		if (ph->p_type != PT_LOAD || ph->p_memsz == 0)
			continue;
		rc = load_segment(kernel, ph, gm, e);
		layout->kernel_end_gpa = MAX(layout->kernel_end_gpa, ph->p_paddr + ph->p_memsz);
	}
	layout->entry_gpa = elf.entry;
	layout->initrd_max_gpa = UINT32_MAX;
	elf_fini(&elf);
	return rc;
}

static int write_start_info(struct gmem *gm, const struct boot_layout *l)
{
	struct start_page page = {
		.info = {
			.magic = START_MAGIC,
			.version = START_VERSION,
			.nr_modules = l->initrd_bytes ? 1 : 0,
			.modlist_gpa = BOOT_START_INFO + offsetof(struct start_page, initrd),
			.cmdline_gpa = BOOT_CMDLINE,
			.rsdp_gpa = l->rsdp_gpa,
			.memmap_gpa = BOOT_START_INFO + offsetof(struct start_page, map),
			.memmap_entries = l->map.nr,
		},
		.initrd = { .gpa = l->initrd_gpa, .bytes = l->initrd_bytes },
	};

	for (unsigned i = 0; i < l->map.nr; i++)
		page.map[i] = (struct start_range){
			.gpa = l->map.ranges[i].gpa,
			.bytes = l->map.ranges[i].bytes,
			.type = l->map.ranges[i].type,
		};
	return gmem_write(gm, BOOT_START_INFO, &page, sizeof(page));
}

/* 32-bit protected mode, flat segments, paging off, interrupts off. */
static int elf_enter(const struct boot_file *kernel, struct gmem *gm, const struct boot_layout *l,
		     struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	(void)kernel;
	boot_flat_segments(sregs, false);
	sregs->tr = (struct kvm_segment){ .limit = 0x67, .type = 0xb, .present = 1 };
	sregs->cr0 = 0x11; /* PE, ET */
	sregs->cr4 = 0;
	sregs->efer = 0;
	regs->rip = l->entry_gpa;
	regs->rbx = BOOT_START_INFO;
	return write_start_info(gm, l);
}

const struct boot_format boot_elf = {
	.name = "ELF",
	.probe = elf_probe,
	.check = elf_check,
	.load = elf_load,
	.enter = elf_enter,
};
