/* SPDX-License-Identifier: MIT */
/* Pairs of channels for memory streams, and raw ends to write bad records to. */
#ifndef FERRY_TESTS_UNIT_RAM_PIPE_H
#define FERRY_TESTS_UNIT_RAM_PIPE_H

#include <stdbool.h>

#include "migration/channel.h"
#include "migration/ram.h"

struct ram_pipes {
	unsigned nr;
	struct channel *tx[RAM_MAX_STREAMS], *rx[RAM_MAX_STREAMS];
};

/* @nr connected pairs, over loopback or as socketpairs. */
void ram_pipes_open(struct ram_pipes *p, unsigned nr, bool tcp);
void ram_pipes_close(struct ram_pipes *p);

/* A receiving channel, and the descriptor that writes to it (a big buffer, never blocks). */
struct channel *ram_pipe_raw(int *ret_fd);

#endif
