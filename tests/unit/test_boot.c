// SPDX-License-Identifier: MIT
// Boot loaders: good images, damaged ones, every truncated prefix.
#include <asm/bootparam.h>
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/boot_impl.h"

#define MEM        (4 * MIB)
#define LOAD       0x100000U
#define CODE_BYTES 16U

/* A PVH ELF file: header, one segment, one note. */
struct elf_image {
	Elf64_Ehdr ehdr;
	Elf64_Phdr load, note;
	struct {
		Elf64_Nhdr head;
		char name[4];
		uint32_t entry;
	} note_data;
	uint8_t code[CODE_BYTES];
};

/* A bzImage: one sector of boot code, one of set-up, and the 64-bit part. */
struct bz_image {
	uint8_t boot[0x1f1];
	struct setup_header hdr;
	uint8_t fill[1024 - 0x1f1 - sizeof(struct setup_header)];
	uint8_t payload[1024];
};

struct fixture {
	struct gmem gm;
	struct boot_file file;
	struct boot_layout layout;
	struct elf_image elf;
	struct bz_image bz;
	struct err e;
};

static void make_elf(struct elf_image *i)
{
	*i = (struct elf_image){
		.ehdr = {
			.e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_phoff = offsetof(struct elf_image, load),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 2,
		},
		.load = {
			.p_type = PT_LOAD,
			.p_offset = offsetof(struct elf_image, code),
			.p_paddr = LOAD,
			.p_filesz = CODE_BYTES,
			.p_memsz = 2 * CODE_BYTES,
		},
		.note = {
			.p_type = PT_NOTE,
			.p_offset = offsetof(struct elf_image, note_data),
			.p_filesz = sizeof(i->note_data),
		},
		.note_data = { { 4, 4, 18 }, "Xen", LOAD + 4 },
		.code = { 0xf4, 1, 2, 3 },
	};
	memcpy(i->ehdr.e_ident, ELFMAG, SELFMAG);
	i->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	i->ehdr.e_ident[EI_DATA] = ELFDATA2LSB;
}

static void make_bz(struct bz_image *i)
{
	*i = (struct bz_image){
		.hdr = {
			.setup_sects = 1,
			.boot_flag = 0xaa55,
			.header = 0x53726448,
			.jump = 0x66eb,
			.version = 0x20f,
			.xloadflags = XLF_KERNEL_64,
			.cmdline_size = 2047,
			.initrd_addr_max = 0x7fffffff,
			.pref_address = LOAD,
			.init_size = 0x2000,
		},
	};
	i->payload[0x200] = 0xf4;
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	make_elf(&f->elf);
	make_bz(&f->bz);
	f->file = (struct boot_file){ .path = "image", .fd = memfd_create("image", MFD_CLOEXEC) };
	*state = f;
	return gmem_init(&f->gm, MEM, 0, NULL) < 0 || f->file.fd < 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	close_fd(&f->file.fd);
	gmem_fini(&f->gm);
	test_free(f);
	return 0;
}

static void put_file(struct fixture *f, const void *data, size_t len)
{
	assert_int_equal(ftruncate(f->file.fd, 0), 0);
	assert_int_equal(pwrite(f->file.fd, data, len, 0), len);
	f->file.bytes = len;
}

static int try_format(struct fixture *f, const struct boot_format *format, const void *data,
		      size_t len)
{
	uint32_t max = 0;
	int rc;

	put_file(f, data, len);
	memset(&f->layout, 0, sizeof(f->layout));
	f->e.text[0] = '\0';
	if (!format->probe(&f->file))
		return -ENOEXEC;
	rc = format->check(&f->file, &max, &f->e);
	if (rc < 0)
		return rc;
	assert_in_range(max, 1, BOOT_CMDLINE_BYTES);
	return format->load(&f->file, &f->gm, &f->layout, &f->e);
}

static int try_elf(struct fixture *f)
{
	return try_format(f, &boot_elf, &f->elf, sizeof(f->elf));
}

static int try_bz(struct fixture *f)
{
	return try_format(f, &boot_bzimage, &f->bz, sizeof(f->bz));
}

static void elf_is_loaded(void **state)
{
	struct fixture *f = *state;
	uint8_t mem[2 * CODE_BYTES];

	/* What follows the file's bytes is cleared: on a reboot RAM is old. */
	memset(gmem_ptr(&f->gm, LOAD, 64), 0xaa, 64);
	assert_int_equal(try_elf(f), 0);
	assert_int_equal(gmem_read(&f->gm, LOAD, mem, sizeof(mem)), 0);
	assert_memory_equal(mem, f->elf.code, CODE_BYTES);
	assert_int_equal(mem[CODE_BYTES], 0);
	assert_int_equal(mem[2 * CODE_BYTES - 1], 0);
	assert_int_equal(f->layout.entry_gpa, LOAD + 4);
	assert_int_equal(f->layout.kernel_end_gpa, LOAD + 2 * CODE_BYTES);
}

static void elf_enters_in_protected_mode(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };
	uint32_t magic = 0;

	assert_int_equal(try_elf(f), 0);
	assert_int_equal(boot_elf.enter(&f->file, &f->gm, &f->layout, &regs, &sregs), 0);
	assert_int_equal(regs.rip, LOAD + 4);
	assert_int_equal(sregs.cr0 & 0x80000001U, 1); /* PE without PG */
	assert_int_equal(gmem_read(&f->gm, regs.rbx, &magic, sizeof(magic)), 0);
	assert_int_equal(magic, 0x336ec578);
}

/* Each row damages one field of a good file. */
#define DAMAGE(member, value)                                                                      \
	{                                                                                          \
#member, offsetof(struct elf_image, member),                                       \
			sizeof(((struct elf_image *)0)->member), value                             \
	}

static void damaged_elf_files_are_refused(void **state)
{
	static const struct {
		const char *what;
		size_t offset, size;
		uint64_t value;
	} rows[] = {
		DAMAGE(ehdr.e_ident[EI_CLASS], ELFCLASS32),
		DAMAGE(ehdr.e_ident[EI_DATA], ELFDATA2MSB),
		DAMAGE(ehdr.e_machine, EM_AARCH64),
		DAMAGE(ehdr.e_phentsize, 0),
		DAMAGE(ehdr.e_phentsize, 0xffff),
		DAMAGE(ehdr.e_phnum, 0),
		DAMAGE(ehdr.e_phnum, 0xffff),
		DAMAGE(ehdr.e_phoff, UINT64_MAX),
		DAMAGE(ehdr.e_phoff, UINT64_MAX - 100),
		DAMAGE(ehdr.e_phoff, sizeof(struct elf_image)),
		DAMAGE(load.p_offset, UINT64_MAX),
		DAMAGE(load.p_offset, sizeof(struct elf_image)),
		DAMAGE(load.p_filesz, UINT64_MAX),
		DAMAGE(load.p_filesz, 2 * CODE_BYTES + 1), /* more than memsz */
		DAMAGE(load.p_memsz, UINT64_MAX),
		DAMAGE(load.p_memsz, MEM),
		DAMAGE(load.p_memsz, 0), /* the entry is nowhere */
		DAMAGE(load.p_paddr, 0),
		DAMAGE(load.p_paddr, LOAD - 1),
		DAMAGE(load.p_paddr, MEM),
		DAMAGE(load.p_paddr, UINT64_MAX),
		DAMAGE(load.p_type, PT_NULL),
		DAMAGE(note.p_type, PT_NULL),
		DAMAGE(note.p_offset, UINT64_MAX),
		DAMAGE(note.p_filesz, UINT64_MAX),
		DAMAGE(note.p_filesz, 1),
		DAMAGE(note_data.head.n_namesz, 0),
		DAMAGE(note_data.head.n_namesz, UINT32_MAX),
		DAMAGE(note_data.head.n_descsz, 0),
		DAMAGE(note_data.head.n_descsz, UINT32_MAX),
		DAMAGE(note_data.head.n_type, 17),
		DAMAGE(note_data.name[0], 'x'),
		DAMAGE(note_data.entry, 0),
		DAMAGE(note_data.entry, LOAD + 2 * CODE_BYTES),
	};
	struct fixture *f = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		make_elf(&f->elf);
		memcpy((uint8_t *)&f->elf + rows[i].offset, &rows[i].value, rows[i].size);
		if (try_elf(f) == 0)
			fail_msg("row %u: %s = 0x%llx was accepted", i, rows[i].what,
				 (unsigned long long)rows[i].value);
		assert_non_null(strstr(f->e.text, "kernel image: "));
	}
}

static void truncated_elf_files_are_refused(void **state)
{
	struct fixture *f = *state;

	/* The code comes last; behind it there is only padding. */
	for (size_t len = 0; len < offsetof(struct elf_image, code) + CODE_BYTES; len++)
		assert_int_not_equal(try_format(f, &boot_elf, &f->elf, len), 0);
}

static void bzimage_is_loaded(void **state)
{
	struct fixture *f = *state;
	uint8_t byte = 0;

	assert_int_equal(try_bz(f), 0);
	assert_int_equal(f->layout.entry_gpa, LOAD + 0x200);
	assert_int_equal(f->layout.kernel_end_gpa, LOAD + 0x2000);
	assert_int_equal(gmem_read(&f->gm, LOAD + 0x200, &byte, 1), 0);
	assert_int_equal(byte, 0xf4);
}

static void bzimage_enters_in_long_mode(void **state)
{
	struct fixture *f = *state;
	struct kvm_regs regs = { 0 };
	struct kvm_sregs sregs = { 0 };
	struct boot_params params;
	uint64_t pte = 0;

	assert_int_equal(try_bz(f), 0);
	f->layout.rsdp_gpa = 0xe0000;
	f->layout.map.nr = 1;
	f->layout.map.ranges[0] = (struct boot_range){ 0, MEM, BOOT_RAM };
	assert_int_equal(boot_bzimage.enter(&f->file, &f->gm, &f->layout, &regs, &sregs), 0);
	assert_int_equal(regs.rip, LOAD + 0x200);
	assert_int_equal(sregs.efer, 0x500); /* LME, LMA */
	assert_int_equal(gmem_read(&f->gm, regs.rsi, &params, sizeof(params)), 0);
	assert_int_equal(params.hdr.header, 0x53726448);
	assert_int_equal(params.e820_entries, 1);
	assert_int_equal(params.e820_table[0].size, MEM);
	assert_int_equal(params.acpi_rsdp_addr, 0xe0000);
	/* The last 2 MiB below 4 GiB map to themselves. */
	assert_int_equal(gmem_read(&f->gm, BOOT_PML4 + 0x2000 + 2047 * 8, &pte, 8), 0);
	assert_int_equal(pte & ~0xfffULL, 0xffe00000);
}

static void damaged_bzimages_are_refused(void **state)
{
	struct fixture *f = *state;

	f->bz.hdr.version = 0x20b;
	assert_int_equal(try_bz(f), -ENOEXEC);
	make_bz(&f->bz);
	f->bz.hdr.xloadflags = 0;
	assert_int_equal(try_bz(f), -ENOEXEC);
	make_bz(&f->bz);
	f->bz.hdr.setup_sects = 255;
	assert_int_equal(try_bz(f), -ENOEXEC);
	make_bz(&f->bz);
	f->bz.hdr.pref_address = 0;
	assert_int_equal(try_bz(f), -ENOEXEC);
	make_bz(&f->bz);
	f->bz.hdr.pref_address = UINT64_MAX;
	assert_int_equal(try_bz(f), -EFAULT);
	make_bz(&f->bz);
	f->bz.hdr.init_size = UINT32_MAX;
	assert_int_equal(try_bz(f), -EFAULT);
	make_bz(&f->bz);
	f->bz.hdr.boot_flag = 0;
	assert_int_equal(try_bz(f), -ENOEXEC);
}

/* The protected-mode part may have any length that reaches the entry. */
static void truncated_bzimages_are_refused(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 0; len <= 1024 + 0x200; len++)
		assert_int_not_equal(try_format(f, &boot_bzimage, &f->bz, len), 0);
}

static void missing_files_are_named(void **state)
{
	struct boot_params_files files = { .kernel = "/nonexistent/kernel" };
	struct fixture *f = *state;
	struct boot *boot = NULL;

	assert_int_equal(boot_open(&boot, &files, &f->e), -ENOENT);
	assert_string_equal(f->e.text, "kernel /nonexistent/kernel: No such file or directory");
	files.kernel = "/";
	assert_int_equal(boot_open(&boot, &files, &f->e), -EINVAL);
	files.kernel = "/dev/null";
	assert_int_equal(boot_open(&boot, &files, &f->e), -EINVAL);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(elf_is_loaded),
		TEST(elf_enters_in_protected_mode),
		TEST(damaged_elf_files_are_refused),
		TEST(truncated_elf_files_are_refused),
		TEST(bzimage_is_loaded),
		TEST(bzimage_enters_in_long_mode),
		TEST(damaged_bzimages_are_refused),
		TEST(truncated_bzimages_are_refused),
		TEST(missing_files_are_named),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
