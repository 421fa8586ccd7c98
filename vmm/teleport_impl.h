/* SPDX-License-Identifier: MIT */
/* Inside the teleport of a guest: what its files share. */
#ifndef FERRY_VMM_TELEPORT_IMPL_H
#define FERRY_VMM_TELEPORT_IMPL_H

#include "migration/preamble.h"
#include "util/thread.h"
#include "vmm/loop.h"
#include "vmm/run_mover.h"
#include "vmm/teleport.h"

#define TELEPORT_MAX_NEWS 32U

/* A pass that is over, for an event. */
struct teleport_news {
	unsigned number;
	struct source_pass pass;
};

struct teleport {
	struct run_mover mover;
	/* const after teleport_start() */
	struct run *run;
	struct loop *loop;
	struct machine *machine;
	struct source *source;
	struct preamble_target target;
	struct tls_credentials *creds;
	char *tls_name;
	char dest[256];
	int cancel_fd; /* an eventfd: stop connecting */

	/* the migration's thread */
	struct dirty_log *log;
	struct ram_sender *sender;

	/* main loop */
	struct loop_work changed_work, done_work;
	struct loop_timer timeout;
	enum source_state told; /* by the last event */
	bool told_any, told_held;
	struct source_status last; /* once the source has been freed */

	struct mutex lock; /* protects: the news; order: a leaf */
	struct teleport_news news[TELEPORT_MAX_NEWS];
	unsigned nr_news;
};

/* What the source does with the guest; opaque: the teleport. */
extern const struct source_guest_ops teleport_guest_ops;

#endif
