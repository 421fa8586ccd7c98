/* SPDX-License-Identifier: MIT */
/* HELLO: what both sides of a teleport can do, and what they agree on. */
#ifndef FERRY_MIGRATION_HELLO_H
#define FERRY_MIGRATION_HELLO_H

#include "migration/ram.h"
#include "migration/section.h"
#include "migration/ticket.h"
#include "util/compiler.h"
#include "util/err.h"

#define HELLO_PROTOCOL 1

/* What the source asks for, and the destination agrees to. */
struct hello {
	unsigned nr_streams;
	enum ram_compress compress;
	/* the destination's answer: what the source's other connections show */
	bool has_ticket;
	struct ticket ticket;
};

/* The payload of HELLO: JSON text, freed by the caller. NULL: no memory. */
char *hello_encode(const struct hello *hello);

/* Any bytes are possible. 0, or -EPROTO with what cannot be agreed on. */
__must_check int hello_decode(const struct section *s, struct hello *ret, struct err *e);

#endif
