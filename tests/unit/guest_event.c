// SPDX-License-Identifier: MIT
// Tests on a running main loop, which wait for what a guest does to itself.
#include "tests/unit/guest_event.h"

#include <assert.h>

struct body {
	struct loop *loop;
	void (*fn)(void *opaque);
	void *opaque;
};

static void run_body(void *opaque)
{
	const struct body *body = opaque;

	body->fn(body->opaque);
	loop_stop(body->loop);
}

void run_on_loop(struct loop *loop, void (*body)(void *opaque), void *opaque)
{
	struct body b = { .loop = loop, .fn = body, .opaque = opaque };
	struct loop_work work = { .fn = run_body, .opaque = &b };
	int rc;

	loop_post(loop, &work);
	rc = loop_run(loop);
	assert(rc == 0);
	(void)rc;
}

static void on_event(void *opaque, enum vm_event event, unsigned code)
{
	struct guest_events *ev = opaque;

	ev->nr++;
	ev->event = event;
	ev->code = code;
}

void guest_events_listen(struct guest_events *ev, struct vm *vm)
{
	*ev = (struct guest_events){ .vm = vm };
	vm->on_event = on_event;
	vm->on_event_opaque = ev;
}

static bool has_event(void *opaque)
{
	const struct guest_events *ev = opaque;

	return ev->nr > ev->taken;
}

void guest_events_wait(struct guest_events *ev)
{
	loop_drain(ev->vm->main_loop, has_event, ev);
	ev->taken++;
}
