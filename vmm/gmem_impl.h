/* SPDX-License-Identifier: MIT */
/* Inside guest memory: what the mapping of a saved file adds. */
#ifndef FERRY_VMM_GMEM_IMPL_H
#define FERRY_VMM_GMEM_IMPL_H

#include "vmm/gmem.h"

/* Keep a mapping out of core dumps and children. Advice only. */
void gmem_keep_private(void *start, uint64_t bytes);

/* gmem_discard_hva() for whole pages of a mapped file. 0 or -errno. */
__must_check int gmem_discard_file(struct gmem *gm, void *start, uint64_t bytes);

/* Release what the file needed, but for the mapping. No file: no-op. */
void gmem_forget_file(struct gmem *gm);

#endif
