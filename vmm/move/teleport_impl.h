/* SPDX-License-Identifier: MIT */
/* Inside the teleport of a guest: what its files share. */
#ifndef FERRY_VMM_MOVE_TELEPORT_IMPL_H
#define FERRY_VMM_MOVE_TELEPORT_IMPL_H

#include <semaphore.h>

#include "migration/preamble.h"
#include "migration/stats.h"
#include "util/thread.h"
#include "vmm/loop.h"
#include "vmm/move/run_mover.h"
#include "vmm/move/teleport.h"

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
	struct section_list *state; /* begun; the main loop's until state_ready */

	struct loop_work state_work;
	struct err state_err;
	int state_rc;
	sem_t state_ready;

	/* main loop */
	struct loop_work changed_work, done_work;
	struct loop_timer timeout;
	enum source_state told; /* by the last event */
	bool told_any, told_held;
	struct source_status last;  /* once the source has been freed */
	struct source_pass *passes; /* for the report; and once the source has been freed */
	unsigned nr_passes;
	struct stats *stats; /* NULL: nobody wants a report */

	struct mutex lock; /* protects: the news; order: a leaf */
	struct teleport_news news[TELEPORT_MAX_NEWS];
	unsigned nr_news;
};

/* What the source does with the guest; opaque: the teleport. */
extern const struct source_guest_ops teleport_guest_ops;

/* source_guest_ops.carry. */
uint64_t teleport_carry_frames(void *opaque, const struct section_sink *sink);

/* The source's status, or the last one. Main loop, as all below. */
void teleport_get_status(struct teleport *t, struct source_status *ret);

/* Collect for a report; stop before the source is freed. */
void teleport_report_start(struct teleport *t);
void teleport_report_stop(struct teleport *t);
void teleport_report_free(struct teleport *t);

/* So far. A new reference; NULL: it was not asked for, or no memory. */
json_t *teleport_report_json(struct teleport *t);

#endif
