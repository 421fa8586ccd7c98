/* SPDX-License-Identifier: MIT */
/* What memory the host has left for a guest. */
#ifndef FERRY_VMM_HOST_MEMORY_H
#define FERRY_VMM_HOST_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "util/err.h"

/* The memory that the host can give now, in bytes; 0: unknown. */
uint64_t host_available_memory(void);

/* What the process @pid has of it already, in bytes; 0: nothing, or there is none. */
uint64_t host_resident_memory(pid_t pid);

/*
 * Does the host have @bytes that a guest may come to use? 0, or -ENOMEM with both
 * numbers in @e. With @hugepages the answer is left to the mapping itself.
 */
__must_check int host_check_memory(uint64_t bytes, bool hugepages, struct err *e);

/* Where host_resident_bytes() reads. */
#define HOST_STATM_PATH "/proc/self/statm"

/*
 * Memory of the process that is in RAM now, shared pages included; 0: unknown. @fd is
 * of HOST_STATM_PATH, which may be out of reach by the time of the call. Any thread.
 */
uint64_t host_resident_bytes(int fd);

#endif
