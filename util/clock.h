/* SPDX-License-Identifier: MIT */
/* The host's monotonic clock. */
#ifndef FERRY_UTIL_CLOCK_H
#define FERRY_UTIL_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL
#define NSEC_PER_USEC 1000ULL

/* CLOCK_MONOTONIC in nanoseconds; never 0. */
uint64_t clock_now_ns(void);

/* CLOCK_REALTIME in nanoseconds since the epoch. */
uint64_t clock_wall_ns(void);

/* CPU time of the process and of a thread that runs or is not joined yet; 0: unknown. */
uint64_t clock_process_cpu_ns(void);
uint64_t clock_thread_cpu_ns(pthread_t thread);

#endif
