// SPDX-License-Identifier: MIT
// The ferry command.
#include <malloc.h>

#include "util/compiler.h"
#include "util/io.h"
#include "vmm/cli/cli.h"

/*
 * What is as large as this has a mapping of its own, which is gone when it is freed. Left to
 * itself malloc() takes more and more from its heap instead: there calloc() clears, so touches,
 * what a disk's queue has for its requests (a MiB), and a guest that lets go of a disk
 * keeps two or three MiB, or does not, as it happens.
 */
#define LARGE_BYTES ((int)(128 * KIB))

int main(int argc, char **argv)
{
	(void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
	if (io_open_missing_stdio() < 0)
		return CLI_FAILED;
	return cli_main(argc, argv);
}
