/* SPDX-License-Identifier: MIT */
/* Guest memory: the only way in ferry to reach a guest-physical address. */
#ifndef FERRY_VMM_GMEM_H
#define FERRY_VMM_GMEM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "util/compiler.h"
#include "util/err.h"

typedef uint64_t gpa_t;

#define GMEM_PAGE_BYTES  4096ULL
#define GMEM_MAX_REGIONS 2
#define GMEM_MIN_BYTES   (1 * MIB)
#define GMEM_MAX_BYTES   (64 * GIB)

/* A run of RAM without holes: one KVM memory slot. */
struct gmem_region {
	gpa_t gpa;
	uint64_t bytes;
	uint8_t *hva;
	uint64_t offset; /* in guest RAM, which has no hole: first byte of it is 0 */
};

/*
 * All RAM of a guest: one private anonymous mapping, cut into regions by the
 * hole below 4 GiB. It is not a memfd because the kernel uses huge pages for
 * anonymous memory where it is asked to, but for shared memory on most hosts
 * not at all. The RAM of a restored guest is a private mapping of the saved
 * file: a page is the file's until it is written or discarded.
 *
 * Guest addresses come from the guest and are hostile: every function below
 * checks the whole range, overflow included, and answers -EFAULT (or NULL) for
 * anything that is not RAM. A range never spans two regions, because regions
 * are never adjacent.
 *
 * KVM's dirty log does not see what ferry itself writes. While logging is on,
 * the writing functions therefore set bits in the map below; the migration
 * code merges the two. Any thread.
 *
 * Whoever writes through a pointer, or lets the kernel write there (readv, recv,
 * io_uring), marks the range AFTER the write is done, whatever came of it, a
 * request that was cancelled or a frame that nobody wants included. A mark
 * before it is worth nothing: the page may be read and its bit taken in between.
 * docs/locking.md has the other half.
 */
struct gmem {
	/* const after gmem_init() */
	uint64_t bytes;
	uint8_t *base;
	bool hugepages;
	unsigned nr_regions;
	struct gmem_region regions[GMEM_MAX_REGIONS];
	int file_fd;          /* RAM is a private mapping of it; -1: of nothing */
	int pagemap_fd;       /* of this process, for gmem_scan.h; -1: there is none */
	uint64_t file_offset; /* of the first byte of RAM */

	/* One bit a page that was the file's and has been discarded; NULL without file. */
	_Atomic uint64_t *discarded;

	/*
	 * One bit a page, in order of the offset in guest RAM. The map is kept from the
	 * first start of logging to gmem_fini(), so that a writer which saw it just
	 * before logging stopped may still set its bits; dirty is NULL while nobody asks.
	 */
	_Atomic uint64_t *dirty_map; /* who starts and stops logging */
	_Atomic(_Atomic uint64_t *) dirty;
};

enum gmem_flags {
	GMEM_HUGEPAGES = 1 << 0, /* back RAM by 2 MiB hugetlbfs pages, or fail */
};

/*
 * Create @bytes of zeroed RAM (a multiple of the page size, GMEM_MIN_BYTES to
 * GMEM_MAX_BYTES). Memory is committed as the guest touches it. @e says why
 * not: no memory, no huge pages.
 */
__must_check int gmem_init(struct gmem *gm, uint64_t bytes, unsigned flags, struct err *e);

/* A saved file that holds the RAM of a guest. */
struct gmem_file {
	int fd;          /* open for reading; the caller's */
	uint64_t offset; /* a multiple of the page size; the file reaches to the end of RAM */
};

/*
 * The same, with what is in @file: mapped, so that a page is read when it is first
 * touched, or with GMEM_HUGEPAGES copied. A file that is truncated while it is
 * mapped ends the process with SIGBUS at the next access.
 */
__must_check int gmem_init_file(struct gmem *gm, uint64_t bytes, unsigned flags,
				const struct gmem_file *file, struct err *e);

/*
 * Set the bits of those pages among [first, first + 64 * nr_words) that the
 * mapped file has data for, as far as they have not been discarded; bits
 * that are set stay. @first is a multiple of 64. Such pages may be in use
 * though /proc/self/pagemap knows nothing of them. 0 or -errno. Any thread.
 */
__must_check int gmem_file_pages(const struct gmem *gm, uint64_t first, uint64_t *words,
				 unsigned nr_words);

/* Has somebody cut the mapped file, so that accesses fault? */
bool gmem_file_is_cut(const struct gmem *gm);

/* Unmap; no thread may use @gm any more. */
void gmem_fini(struct gmem *gm);

/* Copy from or to guest memory. 0 or -EFAULT (then nothing was copied). */
__must_check int gmem_read(const struct gmem *gm, gpa_t gpa, void *buf, size_t len);
__must_check int gmem_write(struct gmem *gm, gpa_t gpa, const void *buf, size_t len);

/* Fill with zeroes. 0 or -EFAULT. */
__must_check int gmem_zero(struct gmem *gm, gpa_t gpa, size_t len);

/*
 * The host address of [gpa, gpa + len), or NULL where that is not all RAM.
 * @len 0 gives NULL. The guest can change the bytes at any time: copy before
 * you check. Who writes through the pointer calls gmem_mark_dirty() after.
 */
__must_check void *gmem_ptr(const struct gmem *gm, gpa_t gpa, size_t len);

/* Mark a range of guest memory as written by ferry; no-op unless logging. */
void gmem_mark_dirty(struct gmem *gm, gpa_t gpa, size_t len);

/* The same for a host address that gmem_ptr() gave. */
void gmem_mark_dirty_hva(struct gmem *gm, const void *hva, size_t len);

/*
 * Start or stop collecting ferry's own writes. Start: 0 or -ENOMEM.
 * The bitmap then covers guest RAM, one bit a page, in order of region.offset.
 */
__must_check int gmem_log_start(struct gmem *gm);
void gmem_log_stop(struct gmem *gm);

/*
 * Give pages that lie wholly inside [gpa, gpa + len) back to the host; they
 * read as zero afterwards. Huge pages stay where they are, and as they are: a
 * hole would give up the reservation, and then touching it can fault. 0 or
 * -errno.
 */
__must_check int gmem_discard(struct gmem *gm, gpa_t gpa, uint64_t len);

/* The same for a range that gmem_ptr() gave. */
__must_check int gmem_discard_hva(struct gmem *gm, void *hva, uint64_t len);

#endif
