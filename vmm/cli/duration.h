/* SPDX-License-Identifier: MIT */
/* Options that are times: "300ms", "2s", "5m". */
#ifndef FERRY_VMM_CLI_DURATION_H
#define FERRY_VMM_CLI_DURATION_H

#include "vmm/guest/config_field.h"

/* An unsigned of milliseconds, as the field's limits are; a plain number means ms, or s. */
extern const struct field_type field_milliseconds, field_seconds;

#endif
