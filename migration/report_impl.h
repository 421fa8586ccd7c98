/* SPDX-License-Identifier: MIT */
/* Inside the report: its forms. */
#ifndef FERRY_MIGRATION_REPORT_IMPL_H
#define FERRY_MIGRATION_REPORT_IMPL_H

#include <stdio.h>

#include "migration/report.h"

/* The table of it, @what a struct report: a struct document_form's put. */
__must_check int report_put_csv(const void *what, FILE *out, struct err *e);

#endif
