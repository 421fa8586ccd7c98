/* SPDX-License-Identifier: MIT */
/* Small JSON files that are whole or not there. */
#ifndef FERRY_NET_MANAGED_JSONFILE_H
#define FERRY_NET_MANAGED_JSONFILE_H

#include <jansson.h>
#include <stdbool.h>

#include "util/compiler.h"

/*
 * Write @json, which is taken over, beside @path and give it that name: a reader
 * finds the old file, or the new one. @flags are json_dumps()'s. 0, -EEXIST without
 * @replace where it is there, or another -errno; NULL: -ENOMEM.
 */
__must_check int jsonfile_save(const char *path, json_t *json, size_t flags, bool replace);

#endif
