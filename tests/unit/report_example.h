/* SPDX-License-Identifier: MIT */
/* A report of a teleport, for tests. */
#ifndef FERRY_TESTS_UNIT_REPORT_EXAMPLE_H
#define FERRY_TESTS_UNIT_REPORT_EXAMPLE_H

#include "migration/report.h"

/* Six samples, three passes, throttled at the end; report_fini() it. */
struct report report_example(void);

#endif
