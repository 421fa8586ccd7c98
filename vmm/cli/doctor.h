/* SPDX-License-Identifier: MIT */
/* `ferry doctor`: what this host can do, what is missing, and how to mend it. */
#ifndef FERRY_VMM_CLI_DOCTOR_H
#define FERRY_VMM_CLI_DOCTOR_H

#include <stdbool.h>

#include "util/compiler.h"

enum doctor_verdict {
	DOCTOR_OK,
	DOCTOR_MISSING_OPTIONAL, /* a feature of ferry does not work */
	DOCTOR_MISSING,          /* no guest can run */
};

struct doctor_finding {
	enum doctor_verdict verdict;
	char detail[160]; /* what was found, or what went wrong */
	char remedy[200]; /* what to do about it; empty when all is well */
};

struct doctor_check {
	const char *area; /* "kvm", "net", ... */
	const char *name;
	const char *use; /* what ferry does with it */
	void (*run)(struct doctor_finding *f);
};

/* The checks that are not capabilities of KVM. */
extern const struct doctor_check doctor_checks[];
extern const unsigned doctor_nr_checks;

/*
 * Print all findings, as a table or as JSON. Returns whether guests can run
 * here, by the exit status of the command: 0 or 1.
 */
int doctor_print(bool json);

#endif
