// SPDX-License-Identifier: MIT
// Journals of networks: any file is refused, or read as often as it is asked for.
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/managed/journal.h"
#include "util/io.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char path[64];

static void remove_it(void)
{
	(void)unlink(path);
}

static void put(const uint8_t *data, size_t size)
{
	int fd;

	if (!path[0]) {
		(void)snprintf(path, sizeof(path), "/dev/shm/ferry-fuzz-journal-%d", (int)getpid());
		(void)atexit(remove_it);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || io_write_full(fd, data, size) < 0)
		abort();
	(void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct journal *j, *again;
	struct err e = { 0 };

	put(data, size);
	if (journal_open(&j, path, &e) < 0)
		return 0;
	/* What was torn is gone, and nothing else. */
	if (journal_open(&again, path, &e) < 0 || journal_nr_ops(j) != journal_nr_ops(again) ||
	    journal_is_complete(j) != journal_is_complete(again))
		abort();
	for (unsigned i = 0; i < journal_nr_ops(j); i++) {
		if (!journal_has(again, journal_op(j, i)))
			abort();
	}
	journal_close(again);
	journal_close(j);
	return 0;
}
