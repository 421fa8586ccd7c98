/* SPDX-License-Identifier: MIT */
/* Which pages were written: KVM's log of the vCPUs' writes and ferry's own, as one. */
#ifndef FERRY_VMM_DIRTY_LOG_H
#define FERRY_VMM_DIRTY_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#include "util/compiler.h"

struct vm;

/*
 * Theory of operation
 *
 * KVM's manual-protect log (KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 with
 * INITIALLY_SET, api.rst 7.18): reading the log changes nothing; a page is
 * write-protected, and its bit taken back, by KVM_CLEAR_DIRTY_LOG, which is
 * called just before the page is read. At the start every page counts as dirty
 * at no cost. KVM does not see what ferry itself writes (virtio, io_uring):
 * that is in gmem's map (gmem_log_start()), and merged here.
 *
 * Pages are numbered by their offset in RAM; one bitmap covers all slots.
 */
struct dirty_log;

/* Start logging. Main thread, or while nothing adds memory. 0 or -errno. */
__must_check int dirty_log_start(struct dirty_log **ret, struct vm *vm);

/* Stop logging and free. NULL: no-op. */
void dirty_log_stop(struct dirty_log *log);

/*
 * Read both logs. The bitmap (the log's own, one bit a page, nr_pages bits) then
 * holds what was written since it was cleared. One thread at a time. 0 or -errno.
 */
__must_check int dirty_log_sync(struct dirty_log *log);
const uint64_t *dirty_log_bitmap(const struct dirty_log *log);
uint64_t dirty_log_nr_pages(const struct dirty_log *log);

/*
 * The caller is about to read the pages among [first, first + 64 * nr_words)
 * whose bits are set in @words, as the bitmap had them: take their bits back, so
 * that writes from now on count again. @first is a multiple of 64. Several
 * threads may do so at once for different ranges. 0 or -errno.
 */
__must_check int dirty_log_clear(struct dirty_log *log, uint64_t first, const uint64_t *words,
				 unsigned nr_words);

#endif
