/* SPDX-License-Identifier: MIT */
/* Lines of ferry's log as JSON. */
#ifndef FERRY_VMM_CONTROL_LOG_H
#define FERRY_VMM_CONTROL_LOG_H

#include <jansson.h>

#include "util/log.h"

/* A new reference; NULL: no memory. */
json_t *control_log_line(const struct log_line *line);

#endif
