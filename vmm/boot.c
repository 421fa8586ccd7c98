// SPDX-License-Identifier: MIT
// Boot: open kernel and initrd, lay them out in guest memory, set up vCPU 0.
#include "vmm/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/io.h"
#include "vmm/acpi.h"
#include "vmm/boot_impl.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

struct boot {
	const struct boot_format *format;
	struct boot_file kernel, initrd; /* initrd.fd -1: none */
	char *cmdline;
};

static const struct boot_format *const formats[] = { &boot_elf, &boot_bzimage };

static int open_file(struct boot_file *f, const char *what, const char *path, struct err *e)
{
	struct stat st;
	int rc;

	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		return err_set(e, -errno, "%s %s: %s", what, path, strerror(errno));
	rc = fstat(f->fd, &st) < 0 ? -errno : 0;
	if (rc < 0)
		return err_set(e, rc, "%s %s: %s", what, path, strerror(-rc));
	if (!S_ISREG(st.st_mode))
		return err_set(e, -EINVAL, "%s %s: not a regular file", what, path);
	if (st.st_size == 0)
		return err_set(e, -EINVAL, "%s %s: the file is empty", what, path);
	f->bytes = (uint64_t)st.st_size;
	return 0;
}

static int find_format(struct boot *boot, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
		if (formats[i]->probe(&boot->kernel)) {
			boot->format = formats[i];
			return 0;
		}
	}
	return err_set(e, -ENOEXEC,
		       "kernel %s: neither an ELF file nor a Linux bzImage: give a vmlinux with a "
		       "PVH note, or a bzImage",
		       boot->kernel.path);
}

static int take_words(struct boot *boot, const struct boot_params_files *files, struct err *e)
{
	boot->kernel.path = strdup(files->kernel);
	boot->initrd.path = files->initrd ? strdup(files->initrd) : NULL;
	boot->cmdline = strdup(files->cmdline ? files->cmdline : "");
	if (!boot->kernel.path || (files->initrd && !boot->initrd.path) || !boot->cmdline)
		return err_set(e, -ENOMEM, "out of memory");
	return 0;
}

/* Is it a kernel, and does it take the command line? */
static int check_kernel(struct boot *boot, struct err *e)
{
	uint32_t max = BOOT_CMDLINE_BYTES;
	int rc = find_format(boot, e);

	if (rc == 0)
		rc = boot->format->check(&boot->kernel, &max, e);
	if (rc == 0 && strlen(boot->cmdline) >= max)
		rc = err_set(e, -E2BIG, "append: %zu characters: this kernel takes at most %u",
			     strlen(boot->cmdline), max - 1);
	return rc;
}

static int open_all(struct boot *boot, const struct boot_params_files *files, struct err *e)
{
	int rc = take_words(boot, files, e);

	if (rc == 0)
		rc = open_file(&boot->kernel, "kernel", files->kernel, e);
	if (rc == 0)
		rc = check_kernel(boot, e);
	if (rc == 0 && files->initrd)
		rc = open_file(&boot->initrd, "initrd", files->initrd, e);
	return rc;
}

/* Neither file is open yet. NULL: no memory. */
static struct boot *boot_new(void)
{
	struct boot *boot = calloc(1, sizeof(*boot));

	if (boot)
		boot->kernel.fd = boot->initrd.fd = -1;
	return boot;
}

int boot_open(struct boot **ret, const struct boot_params_files *files, struct err *e)
{
	struct boot *boot = boot_new();
	int rc;

	if (!boot)
		return err_set(e, -ENOMEM, "out of memory");
	rc = open_all(boot, files, e);
	if (rc < 0) {
		boot_close(boot);
		return rc;
	}
	*ret = boot;
	return 0;
}

static int take_part(struct boot_file *f, const struct boot_part *part, struct err *e)
{
	f->fd = fcntl(part->fd, F_DUPFD_CLOEXEC, 3);
	if (f->fd < 0)
		return err_set(e, -errno, "kernel: %s", strerror(errno));
	f->start = part->start;
	f->bytes = part->bytes;
	return 0;
}

int boot_open_parts(struct boot **ret, const struct boot_params_files *names,
		    const struct boot_part parts[BOOT_NR_PARTS], struct err *e)
{
	struct boot *boot = boot_new();
	int rc;

	if (!boot)
		return err_set(e, -ENOMEM, "out of memory");
	rc = take_words(boot, names, e);
	if (rc == 0)
		rc = take_part(&boot->kernel, &parts[BOOT_PART_KERNEL], e);
	if (rc == 0)
		rc = check_kernel(boot, e);
	if (rc == 0 && parts[BOOT_PART_INITRD].bytes)
		rc = take_part(&boot->initrd, &parts[BOOT_PART_INITRD], e);
	if (rc < 0) {
		boot_close(boot);
		return rc;
	}
	*ret = boot;
	return 0;
}

void boot_get_part(const struct boot *boot, enum boot_part_id id, struct boot_part *ret)
{
	const struct boot_file *f = id == BOOT_PART_KERNEL ? &boot->kernel : &boot->initrd;

	*ret = (struct boot_part){ .fd = f->fd, .start = f->start, .bytes = f->bytes };
}

static void close_file(struct boot_file *f)
{
	close_fd(&f->fd);
	free((void *)(uintptr_t)f->path);
}

void boot_close(struct boot *boot)
{
	if (!boot)
		return;
	close_file(&boot->kernel);
	close_file(&boot->initrd);
	free(boot->cmdline);
	free(boot);
}

int boot_pread(const struct boot_file *file, void *buf, size_t len, uint64_t offset)
{
	/* Behind the file there may be others, where it is a part of one. */
	if (offset > file->bytes || len > file->bytes - offset)
		return -EIO;
	return io_pread_full(file->fd, buf, len, (off_t)(file->start + offset));
}

int boot_copy(const struct boot_file *file, uint64_t offset, struct gmem *gm, gpa_t gpa,
	      uint64_t len)
{
	void *p = gmem_ptr(gm, gpa, len);
	int rc;

	if (len == 0)
		return 0;
	if (!p)
		return -EFAULT;
	rc = boot_pread(file, p, len, offset);
	gmem_mark_dirty_hva(gm, p, len);
	return rc;
}

void boot_flat_segments(struct kvm_sregs *sregs, bool long_mode)
{
	struct kvm_segment segment = {
		.limit = UINT32_MAX,
		.selector = 0x18,
		.type = 0x3,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};

	sregs->ds = sregs->es = sregs->ss = sregs->fs = sregs->gs = segment;
	segment.selector = 0x10;
	segment.type = 0xb;
	segment.db = !long_mode;
	segment.l = long_mode;
	sregs->cs = segment;
}

static void add_range(struct boot_memmap *map, uint64_t gpa, uint64_t end, uint32_t type)
{
	if (gpa < end)
		map->ranges[map->nr++] = (struct boot_range){ gpa, end - gpa, type };
}

static void make_memmap(struct boot_memmap *map, const struct gmem *gm)
{
	const struct gmem_region *low = &gm->regions[0];

	add_range(map, 0, MAP_EBDA, BOOT_RAM);
	add_range(map, MAP_EBDA, MAP_1M, BOOT_RESERVED);
	add_range(map, MAP_1M, low->bytes, BOOT_RAM);
	add_range(map, MAP_ECAM, MAP_ECAM + MAP_ECAM_BYTES, BOOT_RESERVED);
	add_range(map, MAP_KVM_PAGES, MAP_KVM_PAGES + MAP_KVM_PAGES_BYTES, BOOT_RESERVED);
	if (gm->nr_regions > 1)
		add_range(map, gm->regions[1].gpa, gm->regions[1].gpa + gm->regions[1].bytes,
			  BOOT_RAM);
}

/* As high as the kernel allows, so that it is out of the way while unpacking. */
static int load_initrd(struct boot *boot, struct gmem *gm, struct boot_layout *l, struct err *e)
{
	uint64_t top = MIN(gm->regions[0].bytes, l->initrd_max_gpa + 1);
	uint64_t bytes = boot->initrd.bytes;
	int rc;

	if (boot->initrd.fd < 0)
		return 0;
	if (bytes > top || ALIGN_DOWN(top - bytes, GMEM_PAGE_BYTES) < l->kernel_end_gpa)
		return err_set(e, -ENOSPC,
			       "initrd %s: %llu KiB do not fit behind the kernel: give the guest "
			       "more --memory",
			       boot->initrd.path, (unsigned long long)(bytes / KIB));
	l->initrd_gpa = ALIGN_DOWN(top - bytes, GMEM_PAGE_BYTES);
	l->initrd_bytes = bytes;
	rc = boot_copy(&boot->initrd, 0, gm, l->initrd_gpa, bytes);
	if (rc < 0)
		return err_set(e, rc, "initrd %s: %s", boot->initrd.path, strerror(-rc));
	return 0;
}

static int load_cmdline(struct boot *boot, struct gmem *gm, struct boot_layout *l)
{
	l->cmdline_bytes = (uint32_t)strlen(boot->cmdline) + 1;
	return gmem_write(gm, BOOT_CMDLINE, boot->cmdline, l->cmdline_bytes);
}

/* Registers of vCPU 0 as its kernel's boot protocol wants them. */
static int enter(struct boot *boot, struct vm *vm, const struct boot_layout *layout)
{
	struct kvm_vcpu *vcpu = &vm->vcpus[0]->kvm;
	struct kvm_regs regs = { .rflags = 2 };
	struct kvm_sregs sregs;
	int rc = kvm_get_sregs(vcpu, &sregs);

	if (rc == 0)
		rc = boot->format->enter(&boot->kernel, &vm->gmem, layout, &regs, &sregs);
	if (rc == 0)
		rc = kvm_set_sregs(vcpu, &sregs);
	if (rc == 0)
		rc = kvm_set_regs(vcpu, &regs);
	return rc;
}

int boot_load(struct boot *boot, struct vm *vm, struct err *e)
{
	struct boot_layout layout = { 0 };
	int rc;

	make_memmap(&layout.map, &vm->gmem);
	rc = boot->format->load(&boot->kernel, &vm->gmem, &layout, e);
	if (rc == 0)
		rc = load_initrd(boot, &vm->gmem, &layout, e);
	if (rc < 0)
		return rc;
	if ((rc = load_cmdline(boot, &vm->gmem, &layout)) < 0 ||
	    (rc = acpi_write(&vm->gmem, vm->nr_vcpus, vm->nr_hot_slots, &layout.rsdp_gpa)) < 0 ||
	    (rc = enter(boot, vm, &layout)) < 0)
		return err_set(e, rc, "kernel %s: cannot set up the guest: %s", boot->kernel.path,
			       strerror(-rc));
	return 0;
}
