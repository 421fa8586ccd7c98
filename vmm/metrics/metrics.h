/* SPDX-License-Identifier: MIT */
/* All counters of a guest in Prometheus' text format. */
#ifndef FERRY_VMM_METRICS_METRICS_H
#define FERRY_VMM_METRICS_METRICS_H

#include "util/compiler.h"

struct run;

/*
 * The counters of @run, which is here, as Prometheus' text exposition format 0.0.4; each family
 * has its HELP and TYPE even if it has no samples. The caller frees it. NULL: no
 * memory. Main loop; nothing is stopped for it.
 */
__must_check char *metrics_text(const struct run *run);

#endif
