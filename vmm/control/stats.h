/* SPDX-License-Identifier: MIT */
/* The control socket's commands that tell counters. */
#ifndef FERRY_VMM_CONTROL_STATS_H
#define FERRY_VMM_CONTROL_STATS_H

#include "vmm/control/control.h"

struct net_counters;

/* query-blockstats: QMP's, with counters of ferry's own and those of each queue. */
int control_cmd_blockstats(struct control_call *c);

/* {"packets": ..., "bytes": ..., "dropped": ..., "errors": ...}. NULL: no memory. */
json_t *stats_counters(const struct net_counters *c);

#endif
