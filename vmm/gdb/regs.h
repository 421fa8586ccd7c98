/* SPDX-License-Identifier: MIT */
/* Registers as gdb knows them: numbers, sizes, and the description it reads. */
#ifndef FERRY_VMM_GDB_REGS_H
#define FERRY_VMM_GDB_REGS_H

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/compiler.h"

/* The first part of the extended state, as FXSAVE has it (SDM vol. 1, 10.5.1). */
struct gdb_fpu {
	uint16_t fcw, fsw;
	uint8_t ftwx, reserved; /* one bit a register: it holds something */
	uint16_t last_opcode;
	uint64_t last_ip, last_dp;
	uint32_t mxcsr, mxcsr_mask;
	uint8_t fpr[8][16], xmm[16][16], unused[96];
};

/* What the registers of a vCPU are made from. */
struct gdb_regs {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct gdb_fpu fpu;
};

/* All registers in hexadecimal, as `g` has them; fits a packet. */
#define GDB_REGS_DIGITS 1400U

/*
 * target.xml: gdb's own features of amd64, and ours for control registers. Returns its
 * bytes, of which @buf gets what it has room for.
 */
size_t gdb_target_xml(char *buf, size_t len);

/* How many there are. */
unsigned gdb_nr_regs(void);

/* The digits of all, or of number @nr; returns how many. */
size_t gdb_put_regs(const struct gdb_regs *regs, char out[GDB_REGS_DIGITS]);
size_t gdb_put_reg(const struct gdb_regs *regs, unsigned nr, char out[GDB_REGS_DIGITS]);

/*
 * Set all, or one, from digits. Of all, those that cannot be written are
 * skipped. False: too few digits, no such register, or it cannot be written.
 */
__must_check bool gdb_set_regs(struct gdb_regs *regs, const char *text);
__must_check bool gdb_set_reg(struct gdb_regs *regs, unsigned nr, const char *text);

#endif
