// SPDX-License-Identifier: MIT
// A guest as an ELF core file.
#include "vmm/dump/core_file.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"
#include "util/new_file.h"
#include "util/page.h"
#include "vmm/gmem.h"
#include "vmm/gmem_scan.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

#define MSR_KERNEL_GS_BASE 0xc0000102U
#define CHUNK_PAGES        256U

/* --- registers --- */

static int read_kernel_gs(struct kvm_vcpu *vcpu, uint64_t *ret)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entry;
	} msrs = { .head.nmsrs = 1, .entry.index = MSR_KERNEL_GS_BASE };
	int rc = kvm_get_msrs(vcpu, &msrs.head);

	*ret = rc == 1 ? msrs.entry.data : 0;
	return rc < 0 ? rc : 0;
}

int core_read_cpus(const struct vm *vm, struct core_cpu *ret)
{
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < vm->nr_vcpus; i++) {
		struct kvm_vcpu *vcpu = &vm->vcpus[i]->kvm;

		if ((rc = kvm_get_regs(vcpu, &ret[i].regs)) == 0 &&
		    (rc = kvm_get_sregs(vcpu, &ret[i].sregs)) == 0)
			rc = read_kernel_gs(vcpu, &ret[i].kernel_gs_base);
	}
	return rc;
}

/* --- notes --- */

/* A segment register as QEMU's note has it. */
struct qemu_segment {
	uint32_t selector, limit, flags, pad;
	uint64_t base;
};

/* The note itself, version 1. The flags are those of a descriptor's second half. */
struct qemu_cpu {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};

/* A note's name has four letters, its zero, and is padded to eight bytes. */
#define NOTE_NAME_BYTES  8U
#define NOTE_BYTES(desc) (sizeof(Elf64_Nhdr) + NOTE_NAME_BYTES + ALIGN_UP(sizeof(desc), 4))
#define CPU_NOTES_BYTES  (NOTE_BYTES(struct elf_prstatus) + NOTE_BYTES(struct qemu_cpu))

static uint8_t *put_note(uint8_t *at, const char *name, uint32_t type, const void *desc,
			 size_t bytes)
{
	const Elf64_Nhdr head = {
		.n_namesz = (uint32_t)strlen(name) + 1,
		.n_descsz = (uint32_t)bytes,
		.n_type = type,
	};

	memcpy(at, &head, sizeof(head));
	memcpy(at + sizeof(head), name, head.n_namesz);
	memcpy(at + sizeof(head) + NOTE_NAME_BYTES, desc, bytes);
	return at + sizeof(head) + NOTE_NAME_BYTES + ALIGN_UP(bytes, 4);
}

static void fill_prstatus(struct elf_prstatus *st, const struct core_cpu *cpu, unsigned index)
{
	const struct kvm_regs *r = &cpu->regs;
	const struct kvm_sregs *s = &cpu->sregs;
	/* In the order of struct user_regs_struct (<sys/user.h>). */
	const uint64_t regs[] = {
		r->r15,         r->r14,         r->r13,         r->r12,
		r->rbp,         r->rbx,         r->r11,         r->r10,
		r->r9,          r->r8,          r->rax,         r->rcx,
		r->rdx,         r->rsi,         r->rdi,         0,
		r->rip,         s->cs.selector, r->rflags,      r->rsp,
		s->ss.selector, s->fs.base,     s->gs.base,     s->ds.selector,
		s->es.selector, s->fs.selector, s->gs.selector,
	};

	_Static_assert(sizeof(regs) == sizeof(st->pr_reg), "all registers of a thread");
	st->pr_pid = (pid_t)index + 1;
	memcpy(st->pr_reg, regs, sizeof(regs));
}

static struct qemu_segment segment(const struct kvm_segment *s)
{
	return (struct qemu_segment){
		.selector = s->selector,
		.limit = s->limit,
		.base = s->base,
		.flags = (uint32_t)s->type << 8 | (uint32_t)s->s << 12 | (uint32_t)s->dpl << 13 |
			 (uint32_t)s->present << 15 | (uint32_t)s->avl << 20 |
			 (uint32_t)s->l << 21 | (uint32_t)s->db << 22 | (uint32_t)s->g << 23,
	};
}

static struct qemu_segment table(const struct kvm_dtable *t)
{
	return (struct qemu_segment){ .limit = t->limit, .base = t->base };
}

static struct qemu_cpu qemu_cpu(const struct core_cpu *cpu)
{
	const struct kvm_regs *r = &cpu->regs;
	const struct kvm_sregs *s = &cpu->sregs;

	return (struct qemu_cpu){
		.version = 1,
		.size = sizeof(struct qemu_cpu),
		.rax = r->rax,
		.rbx = r->rbx,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.rsp = r->rsp,
		.rbp = r->rbp,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = segment(&s->cs),
		.ds = segment(&s->ds),
		.es = segment(&s->es),
		.fs = segment(&s->fs),
		.gs = segment(&s->gs),
		.ss = segment(&s->ss),
		.ldt = segment(&s->ldt),
		.tr = segment(&s->tr),
		.gdt = table(&s->gdt),
		.idt = table(&s->idt),
		.cr = { s->cr0, 0, s->cr2, s->cr3, s->cr4 },
		.kernel_gs_base = cpu->kernel_gs_base,
	};
}

static uint8_t *put_notes(uint8_t *at, const struct core_cpu *cpu, unsigned index)
{
	const struct qemu_cpu qemu = qemu_cpu(cpu);
	struct elf_prstatus status = { 0 };

	fill_prstatus(&status, cpu, index);
	at = put_note(at, "CORE", NT_PRSTATUS, &status, sizeof(status));
	return put_note(at, "QEMU", 0, &qemu, sizeof(qemu));
}

/* --- headers --- */

/* Where things are in the file. */
struct layout {
	size_t nr_phdrs, notes_bytes;
	uint64_t notes_offset, ram_offset;
};

static struct layout lay_out(const struct core_params *p)
{
	struct layout l = {
		.nr_phdrs = 1 + p->runs->nr + p->gm->nr_regions,
		.notes_bytes = p->nr_cpus * CPU_NOTES_BYTES,
	};

	l.notes_offset = sizeof(Elf64_Ehdr) + l.nr_phdrs * sizeof(Elf64_Phdr);
	l.ram_offset = ALIGN_UP(l.notes_offset + l.notes_bytes, GMEM_PAGE_BYTES);
	return l;
}

static const struct gmem_region *region_of(const struct gmem *gm, gpa_t gpa)
{
	const struct gmem_region *r = gm->regions;

	while (gpa - r->gpa >= r->bytes)
		r++;
	return r;
}

static Elf64_Phdr load(const struct core_params *p, const struct layout *l,
		       const struct page_run *run)
{
	const struct gmem_region *r = region_of(p->gm, run->gpa);

	/* No p_align: crash takes a file whose segments have one for another format, netdump's. */
	return (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_flags = PF_R | PF_W | PF_X,
		.p_offset = l->ram_offset + r->offset + (run->gpa - r->gpa),
		.p_vaddr = run->va,
		.p_paddr = run->gpa,
		.p_filesz = run->bytes,
		.p_memsz = run->bytes,
	};
}

static void fill_phdrs(Elf64_Phdr *phdr, const struct core_params *p, const struct layout *l)
{
	*phdr++ = (Elf64_Phdr){
		.p_type = PT_NOTE,
		.p_offset = l->notes_offset,
		.p_filesz = l->notes_bytes,
		.p_memsz = l->notes_bytes,
		.p_align = 4,
	};
	for (size_t i = 0; i < p->runs->nr; i++)
		*phdr++ = load(p, l, &p->runs->runs[i]);
	for (unsigned i = 0; i < p->gm->nr_regions; i++) {
		const struct gmem_region *r = &p->gm->regions[i];
		const struct page_run slot = { .va = r->gpa, .gpa = r->gpa, .bytes = r->bytes };

		*phdr++ = load(p, l, &slot);
	}
}

static Elf64_Ehdr elf_header(const struct layout *l)
{
	return (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB,
			     EV_CURRENT },
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (Elf64_Half)l->nr_phdrs,
	};
}

/* All that comes before memory; at most 4 MiB, since runs and vCPUs have limits. */
static int write_front(const struct new_file *file, const struct core_params *p,
		       const struct layout *l)
{
	const Elf64_Ehdr header = elf_header(l);
	uint8_t *front = calloc(1, l->ram_offset);
	uint8_t *at;
	int rc;

	if (!front)
		return -ENOMEM;
	memcpy(front, &header, sizeof(header));
	fill_phdrs((Elf64_Phdr *)(void *)(front + sizeof(header)), p, l);
	at = front + l->notes_offset;
	for (unsigned i = 0; i < p->nr_cpus; i++)
		at = put_notes(at, &p->cpus[i], i);
	rc = io_pwrite_full(file->fd, front, l->ram_offset, 0);
	free(front);
	return rc;
}

/* --- memory --- */

struct ram_copy {
	const struct new_file *file;
	const struct gmem *gm;
	uint64_t offset; /* of RAM in the file */
	uint64_t pages;
};

static bool wanted(const struct gmem *gm, const uint64_t *bits, uint64_t first, uint64_t page)
{
	uint64_t i = page - first;

	return page < gm->bytes / GMEM_PAGE_BYTES && (bits[i / 64] >> (i % 64) & 1) &&
	       !page_is_zero(gm->base + page * GMEM_PAGE_BYTES);
}

/* Runs of pages that are not zero, among CHUNK_PAGES from @first. */
static int write_chunk(struct ram_copy *c, uint64_t first, const uint64_t *bits)
{
	uint64_t page = first;
	int rc = 0;

	while (rc == 0 && page < first + CHUNK_PAGES) {
		uint64_t end = page;

		while (end < first + CHUNK_PAGES && wanted(c->gm, bits, first, end))
			end++;
		if (end == page) {
			page++;
			continue;
		}
		rc = io_pwrite_full(c->file->fd, c->gm->base + page * GMEM_PAGE_BYTES,
				    (end - page) * GMEM_PAGE_BYTES,
				    (off_t)(c->offset + page * GMEM_PAGE_BYTES));
		c->pages += end - page;
		page = end;
	}
	return rc;
}

static int write_ram(struct ram_copy *c)
{
	uint64_t nr_pages = c->gm->bytes / GMEM_PAGE_BYTES;
	uint64_t bits[CHUNK_PAGES / 64];
	struct gmem_scan *scan;
	int rc = gmem_scan_new(&scan, c->gm);

	if (rc < 0)
		return rc;
	for (uint64_t page = 0; rc == 0 && page < nr_pages; page += CHUNK_PAGES) {
		gmem_scan_pages(scan, page, ARRAY_SIZE(bits), bits);
		rc = atomic_load(&c->file->cancelled) ? -ECANCELED : write_chunk(c, page, bits);
	}
	gmem_scan_free(scan);
	return rc;
}

static void get_stats(const struct new_file *file, struct core_stats *ret)
{
	struct stat st = { 0 };

	if (fstat(file->fd, &st) < 0)
		return;
	ret->file_bytes = (uint64_t)st.st_size;
	ret->data_bytes = (uint64_t)st.st_blocks * 512;
}

int core_write(struct new_file *file, const struct core_params *p, struct core_stats *ret,
	       struct err *e)
{
	const struct layout l = lay_out(p);
	struct ram_copy copy = { .file = file, .gm = p->gm, .offset = l.ram_offset };
	/* What is adopted need not be empty, and what is zero is not written. */
	int rc = ftruncate(file->fd, 0) < 0 ? -errno : 0;

	if (rc == 0 && ftruncate(file->fd, (off_t)(l.ram_offset + p->gm->bytes)) < 0)
		rc = -errno;
	if (rc == 0)
		rc = write_front(file, p, &l);
	if (rc == 0)
		rc = write_ram(&copy);
	if (rc < 0)
		return new_file_fail(file, rc, e);
	ret->pages = copy.pages;
	get_stats(file, ret);
	return 0;
}
