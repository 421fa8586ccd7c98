// SPDX-License-Identifier: MIT
// seccomp: a thread takes its filter; a violation is told before the process ends.
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "util/compiler.h"
#include "util/io.h"
#include "vmm/console_tty.h"
#include "vmm/sandbox/filters.h"
#include "vmm/sandbox/filters.inc"
#include "vmm/sandbox/sandbox.h"
#include "vmm/sandbox/sandbox_impl.h"

#define PROGRAM(name)                                                                              \
	{                                                                                          \
		name, ARRAY_SIZE(name)                                                             \
	}

static const struct {
	const struct sock_filter *insns;
	size_t nr;
} programs[THREAD_NR_CLASSES] = {
	[THREAD_MAIN] = PROGRAM(filter_main), [THREAD_VCPU] = PROGRAM(filter_vcpu),
	[THREAD_IO] = PROGRAM(filter_io),     [THREAD_NET] = PROGRAM(filter_net),
	[THREAD_MOVE] = PROGRAM(filter_move),
};

int sandbox_check_seccomp(void)
{
	const uint32_t action = SECCOMP_RET_TRAP;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? -errno : 0;
}

/* --- violations --- */

/* A line made without the C library's formatting, which may lock or allocate. */
struct line {
	char text[160];
	size_t len;
};

static void add_text(struct line *l, const char *text)
{
	while (*text && l->len < sizeof(l->text))
		l->text[l->len++] = *text++;
}

static void add_number(struct line *l, unsigned long long n, unsigned base)
{
	char digits[24];
	size_t at = sizeof(digits) - 1;

	digits[at] = '\0';
	do {
		digits[--at] = "0123456789abcdef"[n % base];
		n /= base;
	} while (n);
	add_text(l, digits + at);
}

static const char *name_of(unsigned nr)
{
	return nr < ARRAY_SIZE(syscall_names) && syscall_names[nr] ? syscall_names[nr] : "unknown";
}

static void on_violation(int sig, siginfo_t *info, void *context)
{
	const ucontext_t *uc = context;
	unsigned nr = (unsigned)info->si_syscall;
	struct line l = { .len = 0 };

	add_text(&l, "ferry: thread ");
	add_text(&l, thread_own_name());
	add_text(&l, ": system call ");
	add_text(&l, name_of(nr));
	add_text(&l, " (");
	add_number(&l, nr, 10);
	add_text(&l, nr == SYS_ioctl ? "), request 0x" : "), first argument 0x");
	add_number(&l,
		   (unsigned long long)uc->uc_mcontext.gregs[nr == SYS_ioctl ? REG_RSI : REG_RDI],
		   16);
	add_text(&l, ", is not allowed: the process ends\n");
	(void)!write(STDERR_FILENO, l.text, l.len);
	tty_restore();
	/* It comes again when this returns, and then it is deadly. */
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

int seccomp_init_handler(void)
{
	const struct sigaction act = { .sa_sigaction = on_violation, .sa_flags = SA_SIGINFO };

	return sigaction(SIGSYS, &act, NULL) < 0 ? -errno : 0;
}

/* --- filters --- */

/* What is known now only: the process's own number; and what a violation does. */
static void settle(struct sock_filter *insn, bool log)
{
	if (insn->code == (BPF_JMP | BPF_JEQ | BPF_K) && insn->k == FILTER_OWN_PID)
		insn->k = (uint32_t)getpid();
	if (log && insn->code == (BPF_RET | BPF_K) && insn->k == SECCOMP_RET_TRAP)
		insn->k = SECCOMP_RET_LOG;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
int seccomp_enter(enum thread_class class, bool log)
{
	size_t nr = programs[class].nr, bytes = nr * sizeof(struct sock_filter);
	_cleanup_free_ struct sock_filter *insns = malloc(bytes);
	const struct sock_fprog prog = { .len = (unsigned short)nr, .filter = insns };

	if (!insns)
		return -ENOMEM;
	memcpy(insns, programs[class].insns, bytes);
	for (size_t i = 0; i < nr; i++)
		settle(&insns[i], log);
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
