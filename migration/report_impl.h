/* SPDX-License-Identifier: MIT */
/* Inside the report: its forms. */
#ifndef FERRY_MIGRATION_REPORT_IMPL_H
#define FERRY_MIGRATION_REPORT_IMPL_H

#include <stdio.h>

#include "migration/report.h"

/* Write one form of it to @out. 0, or -errno with @e. */
__must_check int report_put_json(const struct report *r, FILE *out, struct err *e);
__must_check int report_put_csv(const struct report *r, FILE *out, struct err *e);
__must_check int report_put_svg(const struct report *r, FILE *out, struct err *e);

#endif
