// SPDX-License-Identifier: MIT
// nftables through libnftables: one context a transaction.
#include "net/managed/nft.h"

#include <errno.h>
#include <nftables/libnftables.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* nft has no codes, only sentences; these are the kernel's words in them. */
static int code_of(const char *text)
{
	if (strstr(text, strerror(ENOENT)))
		return -ENOENT;
	if (strstr(text, strerror(EPERM)))
		return -EPERM;
	return -EIO;
}

static int failed(struct nft_ctx *ctx, struct err *e)
{
	const char *text = nft_ctx_get_error_buffer(ctx);
	size_t len = strcspn(text, "\n");

	return err_set(e, code_of(text), "nftables: %.*s", (int)len, len ? text : "failed");
}

int nft_list(const char *commands, char **ret, struct err *e)
{
	struct nft_ctx *ctx = nft_ctx_new(NFT_CTX_DEFAULT);
	int rc = 0;

	if (!ctx || nft_ctx_buffer_error(ctx) || nft_ctx_buffer_output(ctx))
		rc = err_set(e, -ENOMEM, "nftables: no memory");
	else if (nft_run_cmd_from_buffer(ctx, commands))
		rc = failed(ctx, e);
	if (rc == 0 && ret) {
		*ret = strdup(nft_ctx_get_output_buffer(ctx));
		if (!*ret)
			rc = err_set(e, -ENOMEM, "nftables: no memory");
	}
	if (ctx)
		nft_ctx_free(ctx);
	return rc;
}

int nft_run(const char *commands, struct err *e)
{
	return nft_list(commands, NULL, e);
}
