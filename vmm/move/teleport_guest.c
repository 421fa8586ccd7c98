// SPDX-License-Identifier: MIT
// What a teleport does with the guest that leaves.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "migration/ram.h"
#include "migration/section_list.h"
#include "util/clock.h"
#include "virtio/blk.h"
#include "vmm/dirty_log.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/state.h"
#include "vmm/move/teleport_impl.h"
#include "vmm/vm.h"

/*
 * The source's operations run on its thread. What touches the machine is called on
 * the main loop, by on_main(); what sends to the peer is not, for the main loop
 * must not wait for the network: the state is collected there, and sent here.
 */
struct call {
	struct teleport *t;
	int (*fn)(struct call *c);
	struct err *e;
	int rc;
	void *arg;
};

static void do_call(void *opaque)
{
	struct call *c = opaque;

	if (run_is_ending(c->t->run))
		c->rc = err_set(c->e, -ECANCELED, "the guest has ended");
	else
		c->rc = c->fn(c);
}

/* Call @fn on the main loop, unless the guest has ended. */
static int on_main(struct teleport *t, int (*fn)(struct call *c), void *arg, struct err *e)
{
	struct call c = { .t = t, .fn = fn, .e = e, .arg = arg };

	loop_call_sync(t->loop, do_call, &c);
	return c.rc;
}

/* --- what it is --- */

struct description {
	char *text;
	size_t bytes;
};

static int describe_on_main(struct call *c)
{
	struct description *d = c->arg;
	int rc = guest_state_check(c->t->machine, c->e);

	return rc < 0 ? rc : guest_config_encode(c->t->machine, &d->text, &d->bytes, c->e);
}

static int describe(void *opaque, void **ret, size_t *ret_bytes, struct err *e)
{
	struct description d = { 0 };
	int rc = on_main(opaque, describe_on_main, &d, e);

	if (rc < 0)
		return rc;
	*ret = d.text;
	*ret_bytes = d.bytes;
	return 0;
}

static int save_boot(void *opaque, const struct section_sink *sink, struct err *e)
{
	const struct teleport *t = opaque;

	return guest_boot_save(t->machine, sink, e);
}

/* --- stop and go --- */

static int pause_on_main(struct call *c)
{
	*(uint64_t *)c->arg = clock_now_ns();
	return machine_hold(c->t->machine, "it is being handed over", c->e);
}

static int pause_guest(void *opaque, uint64_t *ret_ns, struct err *e)
{
	return on_main(opaque, pause_on_main, ret_ns, e);
}

static int resume_on_main(struct call *c)
{
	machine_release(c->t->machine);
	return 0;
}

static void resume_guest(void *opaque)
{
	struct err e;

	(void)!on_main(opaque, resume_on_main, NULL, &e);
}

static void collect(void *opaque)
{
	struct teleport *t = opaque;

	if (run_is_ending(t->run))
		t->state_rc = err_set(&t->state_err, -ECANCELED, "the guest has ended");
	else
		t->state_rc =
			guest_state_save(t->machine, section_list_sink(t->state), &t->state_err);
	(void)sem_post(&t->state_ready);
}

/* Without memory save() will say so. */
static void begin_save(void *opaque)
{
	struct teleport *t = opaque;

	t->state = section_list_new();
	if (!t->state)
		return;
	t->state_work = (struct loop_work){ .fn = collect, .opaque = t };
	(void)sem_init(&t->state_ready, 0, 0);
	loop_post(t->loop, &t->state_work);
}

/* Wait until the main loop has done it. 0, or -errno with what it said. */
static int await_state(struct teleport *t, struct err *e)
{
	if (!t->state)
		return err_set(e, -ENOMEM, "out of memory");
	while (sem_wait(&t->state_ready) < 0)
		;
	if (t->state_rc < 0)
		*e = t->state_err;
	return t->state_rc;
}

static void drop_state(struct teleport *t)
{
	if (!t->state)
		return;
	(void)sem_destroy(&t->state_ready);
	section_list_free(t->state);
	t->state = NULL;
}

static int save_state(void *opaque, const struct section_sink *sink, struct err *e)
{
	struct teleport *t = opaque;
	int rc;

	if (!t->state)
		begin_save(t);
	rc = await_state(t, e);
	if (rc == 0)
		rc = section_list_put(t->state, sink, e);
	drop_state(t);
	return rc;
}

/* --- disks --- */

/* Take or release the locks of all disks: the whole list, or up to the first failure. */
static int for_all_disks(const struct teleport *t, int (*fn)(struct virtio_dev *dev, struct err *e),
			 struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < machine_config(t->machine)->disks.nr && rc == 0; i++)
		rc = fn(machine_disk(t->machine, i), e);
	return rc;
}

static bool has_locks(void *opaque)
{
	const struct teleport *t = opaque;

	return machine_config(t->machine)->disks.nr > 0;
}

static int release_locks(void *opaque, struct err *e)
{
	return for_all_disks(opaque, blk_release_lock, e);
}

static int take_locks(void *opaque, struct err *e)
{
	return for_all_disks(opaque, blk_take_lock, e);
}

/* --- memory --- */

static void throttle(void *opaque, unsigned percent)
{
	const struct teleport *t = opaque;

	vm_set_throttle(machine_vm(t->machine), percent);
}

static int start_log(struct call *c)
{
	int rc = dirty_log_start(&c->t->log, machine_vm(c->t->machine));

	return rc < 0 ? err_set(c->e, rc, "dirty log: %s", strerror(-rc)) : 0;
}

static void stop_log(void *opaque)
{
	struct teleport *t = opaque;

	dirty_log_stop(t->log);
	t->log = NULL;
}

static int ram_start(void *opaque, struct channel *const *streams, unsigned nr_streams,
		     const struct ram_options *options, struct err *e)
{
	struct teleport *t = opaque;
	int rc = on_main(t, start_log, NULL, e);

	if (rc < 0)
		return rc;
	rc = ram_sender_new(&t->sender, t->log, streams, nr_streams, options, e);
	if (rc < 0)
		loop_call_sync(t->loop, stop_log, t);
	return rc;
}

static void ram_stop(void *opaque)
{
	struct teleport *t = opaque;

	ram_sender_free(t->sender);
	t->sender = NULL;
	loop_call_sync(t->loop, stop_log, t);
	drop_state(t); /* the main loop has come past it by now */
}

static int ram_pass(void *opaque, bool last, struct ram_pass *ret, struct err *e)
{
	const struct teleport *t = opaque;

	return ram_sender_pass(t->sender, last, ret, e);
}

static uint64_t ram_remaining(void *opaque)
{
	const struct teleport *t = opaque;

	return ram_sender_remaining(t->sender);
}

static void ram_stats(void *opaque, struct ram_stats *ret)
{
	const struct teleport *t = opaque;

	ram_sender_stats(t->sender, ret);
}

static uint64_t checksum(void *opaque)
{
	const struct teleport *t = opaque;

	return ram_checksum(&machine_vm(t->machine)->gmem);
}

/* Its status says so (run_mover_ops.status). */
static void unknown(void *opaque)
{
	(void)opaque;
}

const struct source_guest_ops teleport_guest_ops = {
	.describe = describe,
	.save_boot = save_boot,
	.pause = pause_guest,
	.resume = resume_guest,
	.begin_save = begin_save,
	.save = save_state,
	.has_locks = has_locks,
	.release_locks = release_locks,
	.take_locks = take_locks,
	.throttle = throttle,
	.unknown = unknown,
	.ram_start = ram_start,
	.ram_pass = ram_pass,
	.ram_remaining = ram_remaining,
	.ram_stats = ram_stats,
	.ram_checksum = checksum,
	.ram_stop = ram_stop,
	.carry = teleport_carry_frames,
};
