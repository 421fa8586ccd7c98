/* SPDX-License-Identifier: MIT */
/* ferry-capture: from a guest's nic into a file. */
#ifndef FERRY_VMM_CAPTURE_CAPTURE_H
#define FERRY_VMM_CAPTURE_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/capture.h"
#include "util/compiler.h"
#include "util/err.h"

/* What is wanted; "" or 0: no such limit. */
struct capture_options {
	const char *guest, *nic, *path, *filter;
	uint32_t snaplen;
	uint64_t count;
	unsigned duration_ms;
};

/* A compiled filter, see filter.c. */
struct capture_filter;

/*
 * Compile @text in libpcap's language, for Ethernet. 0 or -errno with @e, libpcap's
 * words among it; "": *@ret is NULL, which lets everything pass.
 */
__must_check int capture_filter_new(struct capture_filter **ret, const char *text, struct err *e);
void capture_filter_free(struct capture_filter *f);

/* Does a frame pass, @bytes of @frame_bytes of which are at @data? */
bool capture_filter_passes(const struct capture_filter *f, const void *data, uint32_t bytes,
			   uint32_t frame_bytes);

/* The nic's socket, and what is known of who is behind it. */
struct capture_source;

/* Begin a capture of the nic @nic ("": the only one) of @guest. 0 or -errno with @e. */
__must_check int capture_source_open(struct capture_source **ret, const struct capture_options *o,
				     struct err *e);
void capture_source_close(struct capture_source *s);

/* Its socket; the nic's name; a sentence about it. */
int capture_source_fd(const struct capture_source *s);
const char *capture_source_nic(const struct capture_source *s);
const char *capture_source_text(const struct capture_source *s);

/* Why it has ended, though nobody asked: "the guest has ended". */
const char *capture_source_fate(struct capture_source *s);

/*
 * Capture until a limit is reached, a signal (SIGINT, SIGTERM) comes or the source ends,
 * and say on standard error what came of it. 0 or -errno with @e.
 */
__must_check int capture_run(struct capture_source *s, const struct capture_filter *f,
			     const struct capture_options *o, struct err *e);

#endif
