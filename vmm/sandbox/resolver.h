/* SPDX-License-Identifier: MIT */
/* Where user networking reads which name servers there are. */
#ifndef FERRY_VMM_SANDBOX_RESOLVER_H
#define FERRY_VMM_SANDBOX_RESOLVER_H

#include <limits.h>

#include "util/compiler.h"

#define RESOLVER_PATH "/etc/resolv.conf"

/*
 * libslirp reads the name servers again when they change. @real gets the file that it
 * opens, without links, and @tree what has to be reachable for that: the file, or,
 * where it is one that a program writes into a folder of its own below /run, that
 * folder, since such programs replace the file. 0, or -ENOENT: there is nothing to read.
 */
__must_check int resolver_find(char real[PATH_MAX], char tree[PATH_MAX]);

#endif
