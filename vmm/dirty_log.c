// SPDX-License-Identifier: MIT
// The dirty log: KVM's protocols, and the merge with what ferry itself wrote.
#include "vmm/dirty_log.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/bitmap.h"
#include "vmm/vm.h"

struct dirty_log {
	struct vm *vm;
	enum dirty_log_mode mode;
	uint64_t nr_pages;
	size_t nr_words;
	uint64_t *bitmap;
};

enum dirty_log_mode dirty_log_best_mode(int fd)
{
	int flags = kvm_check_cap(fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2);

	if (!(flags & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE))
		return DIRTY_LOG_READ_CLEARS;
	return flags & KVM_DIRTY_LOG_INITIALLY_SET ? DIRTY_LOG_INITIALLY_SET : DIRTY_LOG_MANUAL;
}

/* api.rst 7.18. A kernel that lacks the capability needs not be told to leave it off. */
static int set_mode(struct vm *vm, enum dirty_log_mode mode)
{
	static const uint64_t flags[] = {
		[DIRTY_LOG_READ_CLEARS] = 0,
		[DIRTY_LOG_MANUAL] = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE,
		[DIRTY_LOG_INITIALLY_SET] =
			KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET,
	};

	if (dirty_log_best_mode(vm->vm_fd) == DIRTY_LOG_READ_CLEARS)
		return mode == DIRTY_LOG_READ_CLEARS ? 0 : -ENOTSUP;
	return kvm_enable_cap(vm->vm_fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, flags[mode]);
}

/* Switch KVM's log on or off for all slots; off again where one refuses. */
static int log_slots(struct vm *vm, uint32_t flags)
{
	for (unsigned i = 0; i < vm->gmem.nr_regions; i++) {
		const struct gmem_region *r = &vm->gmem.regions[i];
		int rc = kvm_set_memory(vm->vm_fd, i, flags, r->gpa, r->bytes, r->hva);

		if (rc < 0) {
			if (flags)
				(void)log_slots(vm, 0);
			return rc;
		}
	}
	return 0;
}

/*
 * A thread that wrote to guest memory and then found gmem not logging may have
 * that write in its store buffer still. After a barrier in every thread either
 * the write can be seen, or the thread sees the map.
 */
static void wait_for_writers(void)
{
	(void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

int dirty_log_start_as(struct dirty_log **ret, struct vm *vm, enum dirty_log_mode mode)
{
	struct dirty_log *log = calloc(1, sizeof(*log));
	int rc = -ENOMEM;

	if (!log)
		return -ENOMEM;
	log->vm = vm;
	log->mode = mode;
	log->nr_pages = vm->gmem.bytes / GMEM_PAGE_BYTES;
	log->nr_words = BITMAP_WORDS(log->nr_pages);
	log->bitmap = calloc(log->nr_words, sizeof(*log->bitmap));
	if (!log->bitmap)
		goto fail;
	rc = gmem_log_start(&vm->gmem);
	if (rc < 0)
		goto fail;
	rc = set_mode(vm, mode);
	if (rc == 0)
		rc = log_slots(vm, KVM_MEM_LOG_DIRTY_PAGES);
	if (rc < 0)
		goto fail_log;
	if (mode != DIRTY_LOG_INITIALLY_SET)
		bitmap_set_range(vm->gmem.dirty_map, 0, log->nr_pages);
	wait_for_writers();
	*ret = log;
	return 0;
fail_log:
	gmem_log_stop(&vm->gmem);
fail:
	free(log->bitmap);
	free(log);
	return rc;
}

int dirty_log_start(struct dirty_log **ret, struct vm *vm)
{
	return dirty_log_start_as(ret, vm, dirty_log_best_mode(vm->vm_fd));
}

void dirty_log_stop(struct dirty_log *log)
{
	if (!log)
		return;
	/* What fails here costs the guest speed, nothing else. */
	(void)log_slots(log->vm, 0);
	gmem_log_stop(&log->vm->gmem);
	free(log->bitmap);
	free(log);
}

const uint64_t *dirty_log_bitmap(const struct dirty_log *log)
{
	return log->bitmap;
}

uint64_t dirty_log_nr_pages(const struct dirty_log *log)
{
	return log->nr_pages;
}

struct gmem *dirty_log_gmem(const struct dirty_log *log)
{
	return &log->vm->gmem;
}

int dirty_log_sync(struct dirty_log *log)
{
	const struct gmem *gm = &log->vm->gmem;
	bool forgets = log->mode == DIRTY_LOG_READ_CLEARS;

	/* Regions start at multiples of 2 MiB, and so at words of their own. */
	for (unsigned i = 0; i < gm->nr_regions; i++) {
		uint64_t first = gm->regions[i].offset / GMEM_PAGE_BYTES;
		int rc = kvm_get_dirty_log(log->vm->vm_fd, i, log->bitmap + first / 64);

		if (rc < 0)
			return rc;
	}
	for (size_t i = 0; i < log->nr_words; i++) {
		_Atomic uint64_t *own = &gm->dirty_map[i];

		/* Bits that KVM has no more are kept until they are cleared here. */
		if (forgets && log->bitmap[i])
			atomic_fetch_or_explicit(own, log->bitmap[i], memory_order_relaxed);
		log->bitmap[i] |= atomic_load_explicit(own, memory_order_relaxed);
	}
	return 0;
}

/* Words [first_word, end_word) of the map are in region @slot. */
static int clear_slot(struct dirty_log *log, unsigned slot, uint64_t first_word, uint64_t end_word,
		      const uint64_t *words)
{
	const struct gmem_region *r = &log->vm->gmem.regions[slot];
	uint64_t first = first_word * 64 - r->offset / GMEM_PAGE_BYTES;
	uint64_t nr = MIN((end_word - first_word) * 64, r->bytes / GMEM_PAGE_BYTES - first);

	return kvm_clear_dirty_log(log->vm->vm_fd, slot, first, (uint32_t)nr, words);
}

static int clear_kvm(struct dirty_log *log, uint64_t first_word, const uint64_t *words,
		     unsigned nr_words)
{
	const struct gmem *gm = &log->vm->gmem;
	int rc = 0;

	for (unsigned i = 0; i < gm->nr_regions && rc == 0; i++) {
		const struct gmem_region *r = &gm->regions[i];
		uint64_t start = MAX(first_word, r->offset / GMEM_PAGE_BYTES / 64);
		uint64_t end = MIN(first_word + nr_words,
				   BITMAP_WORDS((r->offset + r->bytes) / GMEM_PAGE_BYTES));

		if (start < end)
			rc = clear_slot(log, i, start, end, words + (start - first_word));
	}
	return rc;
}

int dirty_log_clear(struct dirty_log *log, uint64_t first, const uint64_t *words, unsigned nr_words)
{
	_Atomic uint64_t *own = log->vm->gmem.dirty_map + first / 64;
	uint64_t any = 0;

	if (first % 64 || first / 64 > log->nr_words || nr_words > log->nr_words - first / 64)
		return -EINVAL;
	/* acquire: pairs with the release of who set the bit after it had written. */
	for (unsigned i = 0; i < nr_words; i++) {
		if (words[i])
			atomic_fetch_and_explicit(&own[i], ~words[i], memory_order_acquire);
		any |= words[i];
	}
	if (!any || log->mode == DIRTY_LOG_READ_CLEARS)
		return 0;
	return clear_kvm(log, first / 64, words, nr_words);
}
