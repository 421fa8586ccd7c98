/* SPDX-License-Identifier: MIT */
/* Tests on a running main loop, which wait for what a guest does to itself. */
#ifndef FERRY_TESTS_UNIT_GUEST_EVENT_H
#define FERRY_TESTS_UNIT_GUEST_EVENT_H

#include <stdbool.h>

#include "vmm/vm.h"

/* Run @body on @loop, once; then the loop ends. */
void run_on_loop(struct loop *loop, void (*body)(void *opaque), void *opaque);

/* The events of one guest, as its owner gets them. */
struct guest_events {
	unsigned nr;    /* delivered */
	unsigned taken; /* by guest_events_wait() */
	enum vm_event event;
	unsigned code;
	struct vm *vm;
};

/* Be the owner of @vm. */
void guest_events_listen(struct guest_events *ev, struct vm *vm);

/* Wait for the next event, on the main loop; @ev tells which it was. */
void guest_events_wait(struct guest_events *ev);

#endif
