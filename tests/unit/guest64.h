/* SPDX-License-Identifier: MIT */
/* Programs of a few 64-bit instructions on vCPU 0 of a machine, at full speed on any KVM. */
#ifndef FERRY_TESTS_UNIT_GUEST64_H
#define FERRY_TESTS_UNIT_GUEST64_H

#include "tests/unit/guest_event.h"
#include "vmm/vm.h"

/*
 * What the helper itself uses of guest memory: page tables, the program and its
 * stack. The program finds the arguments in rdi, rsi and rdx, may use ports, and
 * all memory up to 1 GiB is mapped at its own address. It runs in CPL 3 without
 * interrupts. Debug-exit is port 0xf4.
 */
#define GUEST64_TABLES  0x1000U /* three pages */
#define GUEST64_PROGRAM 0x4000U
#define GUEST64_FREE    0x5000U

struct guest64_regs {
	uint64_t rdi, rsi, rdx;
};

/* Add the debug-exit port and listen to events; once a machine. */
void guest64_init(struct vm *vm, struct guest_events *events);

/* Let vCPU 0, which is not running, run @code next. Nothing of this is marked dirty. */
void guest64_load(struct vm *vm, const void *code, size_t bytes, const struct guest64_regs *regs);

/* rdi points to addresses, 0 ends them: adds 1 to the word at each, then debug-exit 5. */
extern const uint8_t guest64_touch[];
extern const size_t guest64_touch_bytes;

/* Adds 1 to the first word of each page of [rdi, rsi), for ever; each round also counts at rdx. */
extern const uint8_t guest64_churn[];
extern const size_t guest64_churn_bytes;

#endif
