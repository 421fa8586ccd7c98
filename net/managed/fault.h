/* SPDX-License-Identifier: MIT */
/* Tests of what a crash leaves: this process dies, or an operation fails, where they say. */
#ifndef FERRY_NET_MANAGED_FAULT_H
#define FERRY_NET_MANAGED_FAULT_H

#include "util/compiler.h"
#include "util/err.h"

/*
 * $FERRY_NET_FAULT is "kill@JOURNAL:N", "fail@JOURNAL:N" or "kill@JOURNAL:-N", where
 * JOURNAL is the name of a journal's file ("lab.journal"), N counts its operations
 * from 1, and minus means: once it has been taken back. See docs/testing.md. Anything else, or
 * nothing, has no effect.
 */

/* Operation @index of the journal at @path is written down and not done. 0, or -EIO. */
__must_check int fault_before(const char *path, unsigned index, struct err *e);

/* Operation @index has been taken back. */
void fault_after_undo(const char *path, unsigned index);

#endif
