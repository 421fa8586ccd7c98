// SPDX-License-Identifier: MIT
// Run by the build: the table of filters.c as BPF programs in C arrays, or as a list.
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/compiler.h"
#include "vmm/sandbox/filters.h"

#define MAX_INSNS 4096
#define MAX_CALLS 1024

static const char *const class_names[THREAD_NR_CLASSES] = {
	[THREAD_MAIN] = "main", [THREAD_VCPU] = "vcpu", [THREAD_IO] = "io",
	[THREAD_NET] = "net",   [THREAD_MOVE] = "move",
};

static int fail(const char *what, int rc)
{
	(void)fprintf(stderr, "seccomp filters: %s: %s\n", what, strerror(-rc));
	return 1;
}

static int add_entry(scmp_filter_ctx ctx, const struct filter_entry *f)
{
	const struct filter_arg *w = &f->when;
	const struct scmp_arg_cmp cmp = {
		.arg = w->arg,
		.op = w->mask == ~0ULL ? SCMP_CMP_EQ : SCMP_CMP_MASKED_EQ,
		.datum_a = w->mask == ~0ULL ? w->value : w->mask,
		.datum_b = w->value,
	};
	uint32_t action =
		f->action == FILTER_ALLOW ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)f->error);

	return seccomp_rule_add_array(ctx, action, f->nr, w->given, &cmp);
}

/*
 * Repeat the last instruction, which nothing reaches then, until the length tells the
 * class: scripts/seccomp-coverage knows a thread's class by it. The length in bytes.
 */
static int pad(enum thread_class class, struct sock_filter *insns, int bytes)
{
	unsigned nr = (unsigned)bytes / sizeof(insns[0]);

	for (; nr % THREAD_NR_CLASSES != class && nr < MAX_INSNS; nr++)
		insns[nr] = insns[nr - 1];
	return (int)(nr * sizeof(insns[0]));
}

/* The program of one class. Its length in bytes; -errno. */
static int compile(enum thread_class class, struct sock_filter *insns, size_t room)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_TRAP);
	FILE *file = tmpfile();
	int rc = ctx && file ? 0 : -ENOMEM;

	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	if (rc == 0) /* a binary tree over the numbers */
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < filter_nr_entries && rc == 0; i++) {
		if (filter_applies(&filter_entries[i], class))
			rc = add_entry(ctx, &filter_entries[i]);
	}
	if (rc == 0)
		rc = seccomp_export_bpf(ctx, fileno(file));
	if (rc == 0)
		rc = (int)pread(fileno(file), insns, room, 0);
	seccomp_release(ctx);
	if (file)
		(void)fclose(file);
	return rc < 0 ? rc : pad(class, insns, rc);
}

static int print_program(enum thread_class class)
{
	static struct sock_filter insns[MAX_INSNS];
	int bytes = compile(class, insns, sizeof(insns));

	if (bytes < 0)
		return fail(class_names[class], bytes);
	(void)printf("static const struct sock_filter filter_%s[] = {\n", class_names[class]);
	for (unsigned i = 0; i < (unsigned)bytes / sizeof(insns[0]); i++)
		(void)printf("\t{ 0x%x, %u, %u, 0x%x },\n", insns[i].code, insns[i].jt, insns[i].jf,
			     insns[i].k);
	(void)printf("};\n\n");
	return 0;
}

static void print_names(void)
{
	(void)printf("static const char *const syscall_names[] = {\n");
	for (int nr = 0; nr < MAX_CALLS; nr++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, nr);

		if (name)
			(void)printf("\t[%d] = \"%s\",\n", nr, name);
		free(name);
	}
	(void)printf("};\n");
}

/* One line an entry: classes, call, its number, argument, value, mask, error, rare, use. */
static void print_list(void)
{
	for (size_t i = 0; i < filter_nr_entries; i++) {
		const struct filter_entry *f = &filter_entries[i];
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, f->nr);
		const char *comma = "";

		for (unsigned c = 0; c < THREAD_NR_CLASSES; c++) {
			if (!(f->classes & 1U << c))
				continue;
			(void)printf("%s%s", comma, class_names[c]);
			comma = ",";
		}
		(void)printf("\t%s\t%d\t%d\t%#llx\t%#llx\t%d\t%s\t%s\n", name ? name : "?", f->nr,
			     f->when.given ? f->when.arg : -1, (unsigned long long)f->when.value,
			     (unsigned long long)f->when.mask, f->error, f->rare ? "rare" : "-",
			     f->use);
		free(name);
	}
}

/* One line a class, and how many instructions its program has. */
static int print_lengths(void)
{
	static struct sock_filter insns[MAX_INSNS];

	for (unsigned c = 0; c < THREAD_NR_CLASSES; c++) {
		int bytes = compile((enum thread_class)c, insns, sizeof(insns));

		if (bytes < 0)
			return fail(class_names[c], bytes);
		(void)printf("%s\t%d\n", class_names[c], bytes / (int)sizeof(insns[0]));
	}
	return 0;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc == 2 && !strcmp(argv[1], "--list")) {
		print_list();
		return 0;
	}
	if (argc == 2 && !strcmp(argv[1], "--lengths"))
		return print_lengths();
	(void)printf("/* Written by filters_main.c from the table in filters.c. */\n");
	for (unsigned c = 0; c < THREAD_NR_CLASSES && status == 0; c++)
		status = print_program((enum thread_class)c);
	print_names();
	return status;
}
