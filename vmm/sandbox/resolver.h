/* SPDX-License-Identifier: MIT */
/* Where user networking reads which name servers there are. */
#ifndef FERRY_VMM_SANDBOX_RESOLVER_H
#define FERRY_VMM_SANDBOX_RESOLVER_H

#include <limits.h>

#include "util/compiler.h"

#define RESOLVER_PATH "/etc/resolv.conf"

/*
 * libslirp opens this path again when the file has changed. @real gets the file that it
 * opens, without links, and @tree what has to be reachable for that: the file, or, where a
 * program writes it into a folder of its own below /run, that folder, since such programs
 * replace the file, and a permission is a file's, not a name's. The folder only if all that
 * is in it is everybody's to read; otherwise the file alone, until it is replaced: what
 * others must not read a guest's process that has root's number must not either. 0, or
 * -ENOENT: there is nothing to read.
 */
__must_check int resolver_find(char real[PATH_MAX], char tree[PATH_MAX]);

#endif
