/* SPDX-License-Identifier: MIT */
/* nftables through libnftables. */
#ifndef FERRY_NET_MANAGED_NFT_H
#define FERRY_NET_MANAGED_NFT_H

#include "util/compiler.h"
#include "util/err.h"

/*
 * Run @commands (nft(8) syntax) as one transaction: all or nothing. 0; -ENOENT
 * where something that is named does not exist; otherwise -EIO or -EPERM, with
 * nft's first line in @e.
 */
__must_check int nft_run(const char *commands, struct err *e);

/* The same for a listing, in JSON or text as asked; *@ret is the caller's to free. */
__must_check int nft_list(const char *commands, char **ret, struct err *e);

#endif
