/* SPDX-License-Identifier: MIT */
/* Which system calls a thread of a guest's process may make: one const table. */
#ifndef FERRY_VMM_SANDBOX_FILTERS_H
#define FERRY_VMM_SANDBOX_FILTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/thread.h"

/*
 * Theory of operation
 *
 * The table is read by vmm/sandbox/filters_main.c, a program that runs when ferry
 * is built: it has libseccomp translate the table into one program of BPF for each
 * class of threads, and writes these as C arrays. ferry itself only hands them to
 * the kernel: that takes microseconds, and a guest is to start in few milliseconds.
 *
 * A thread's filters pile up: who starts a thread cannot give it what he has not.
 * All threads but those that a guest begins with are started by the main thread.
 * So its filter allows whatever any class may do, with the exceptions that the
 * table names, and the others' are parts of it.
 */
enum filter_action {
	FILTER_ALLOW,
	FILTER_REFUSE, /* fails, and the caller goes on without: with @error */
};

/* What argument @arg must be for the entry to hold: (argument & mask) == value. */
struct filter_arg {
	bool given;
	uint8_t arg;
	uint64_t mask, value;
};

struct filter_entry {
	int nr;           /* of the system call, __NR_... */
	unsigned classes; /* bits 1 << enum thread_class; see filter_applies() */
	struct filter_arg when;
	enum filter_action action;
	int error;       /* of FILTER_REFUSE */
	bool rare;       /* seen only where something fails, or on other kernels: @use says when */
	const char *use; /* who calls it, what for */
};

extern const struct filter_entry filter_entries[];
extern const size_t filter_nr_entries;

/* In place of the process's own id, which is known when a filter is loaded. */
#define FILTER_OWN_PID 0x0f1e2d3cU

/* Is @f an entry of the class's filter? */
static inline bool filter_applies(const struct filter_entry *f, enum thread_class class)
{
	if (f->classes & 1U << class)
		return true;
	return class == THREAD_MAIN && f->action == FILTER_ALLOW &&
	       !(f->classes & 1U << THREAD_NR_CLASSES);
}

#endif
