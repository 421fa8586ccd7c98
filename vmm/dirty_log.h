/* SPDX-License-Identifier: MIT */
/* Which pages were written: KVM's log of the vCPUs' writes and ferry's own, as one. */
#ifndef FERRY_VMM_DIRTY_LOG_H
#define FERRY_VMM_DIRTY_LOG_H

#include <stdint.h>

#include "util/compiler.h"

struct gmem;
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
 * Ferry's writers set a page's bit after they have written it. Here the bit is
 * taken before the page is read: a write that the reader missed sets the bit
 * again, later. A page may be reported once too often, never once too seldom.
 *
 * Kernels without the manual log, or without INITIALLY_SET, are served by the same
 * map: what KVM does not keep for us (that all pages start dirty; what it
 * forgot when it was read) is put there.
 *
 * Pages are numbered by their offset in RAM; one bitmap covers all slots.
 */
struct dirty_log;

/* How KVM keeps its log, worst first. */
enum dirty_log_mode {
	DIRTY_LOG_READ_CLEARS, /* reading protects all pages that it reports */
	DIRTY_LOG_MANUAL,      /* without INITIALLY_SET: starting protects all pages */
	DIRTY_LOG_INITIALLY_SET,
};

/* The best that KVM can do; @fd is /dev/kvm or a VM. */
enum dirty_log_mode dirty_log_best_mode(int fd);

/*
 * Start logging: every page counts as written. Main thread, or while nothing adds
 * memory; one log a machine. 0 or -errno. The second form asks for less than the
 * best mode.
 */
__must_check int dirty_log_start(struct dirty_log **ret, struct vm *vm);
__must_check int dirty_log_start_as(struct dirty_log **ret, struct vm *vm,
				    enum dirty_log_mode mode);

/* Stop logging and free. As for dirty_log_start(). NULL: no-op. */
void dirty_log_stop(struct dirty_log *log);

/*
 * Read both logs. The bitmap (the log's own, one bit a page, nr_pages bits) then
 * holds what was written since it was cleared. One thread at a time. 0 or -errno.
 */
__must_check int dirty_log_sync(struct dirty_log *log);
const uint64_t *dirty_log_bitmap(const struct dirty_log *log);

/* How many pages RAM has, and RAM itself. */
uint64_t dirty_log_nr_pages(const struct dirty_log *log);
struct gmem *dirty_log_gmem(const struct dirty_log *log);

/*
 * The caller is about to read the pages among [first, first + 64 * nr_words)
 * whose bits are set in @words, as the bitmap had them: take their bits back, so
 * that writes from now on count again; the bitmap stays as it is until the next
 * dirty_log_sync(). @first is a multiple of 64. Several threads may do so at once
 * for different ranges. 0 or -errno.
 */
__must_check int dirty_log_clear(struct dirty_log *log, uint64_t first, const uint64_t *words,
				 unsigned nr_words);

#endif
