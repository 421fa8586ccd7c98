// SPDX-License-Identifier: MIT
// What the networks of a guest that has left still bring here: it is sent after the guest.
#include <stdlib.h>

#include "migration/frames.h"
#include "util/clock.h"
#include "util/io.h"
#include "virtio/net.h"
#include "vmm/guest/machine.h"
#include "vmm/move/teleport_impl.h"

/*
 * Theory of operation
 *
 * Each nic has a payload that its loops fill, and which the migration's thread takes away
 * and sends. It is over when every network has seen the guest where it is now, which takes
 * a fraction of a millisecond as a rule; or after LINGER_NS, for where no announcement
 * comes back (two rounds of them, see net_announce.c); or when so much has come that the
 * peer would take no more.
 */
#define LINGER_NS (100 * NSEC_PER_MSEC)
/* Between payloads, but for the first. */
#define INTERVAL_NS (1 * NSEC_PER_MSEC)

struct carrier;

struct leaver {
	struct carrier *c;
	uint32_t index;
	struct net_forward_client client;
	struct virtio_dev *nic; /* NULL: nothing comes for it; const after the start */
	uint8_t *payload;       /* of FRAMES_MAX_BYTES; NULL: empty */
	size_t bytes;
	bool announced;
};

struct carrier {
	struct mutex lock; /* protects: all below, and of leavers what changes; order: a leaf */
	pthread_cond_t changed;
	struct leaver leavers[CONFIG_MAX_NICS];
	uint64_t nr_frames, total_bytes;
};

/* --- from the networks: loops of the nics --- */

/* Out of memory, or faster than the way to the peer: lost, as on any link. */
static void on_frame(void *opaque, const void *frame, size_t bytes)
{
	struct leaver *l = opaque;
	size_t used;

	MUTEX_SCOPE(&l->c->lock);
	if (!l->payload)
		l->payload = malloc(FRAMES_MAX_BYTES);
	used = l->payload ? frames_put(l->payload, l->bytes, frame, bytes) : 0;
	if (!used)
		return;
	l->bytes = used;
	l->c->nr_frames++;
	(void)pthread_cond_signal(&l->c->changed);
}

static void on_announced(void *opaque)
{
	struct leaver *l = opaque;

	MUTEX_SCOPE(&l->c->lock);
	l->announced = true;
	(void)pthread_cond_signal(&l->c->changed);
}

static void start(struct carrier *c, const struct machine *m)
{
	for (size_t i = 0; i < machine_config(m)->nics.nr && i < CONFIG_MAX_NICS; i++) {
		struct leaver *l = &c->leavers[i];
		struct virtio_dev *nic = machine_nic(m, i);

		l->c = c;
		l->index = (uint32_t)i;
		l->client = (struct net_forward_client){
			.frame = on_frame,
			.announced = on_announced,
			.opaque = l,
		};
		if (nic && net_forward_start(nic, &l->client))
			l->nic = nic;
	}
}

static void stop(struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++) {
		if (c->leavers[i].nic)
			net_forward_stop(c->leavers[i].nic);
	}
}

/* --- to the peer: the migration's thread --- */

/* The peer takes no more than FRAMES_MAX_TOTAL; what comes at the end has to fit, too. */
static bool is_over_locked(const struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++) {
		if (c->leavers[i].nic && !c->leavers[i].announced)
			return c->total_bytes > FRAMES_MAX_TOTAL / 2;
	}
	return true;
}

static bool has_any_locked(const struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++) {
		if (c->leavers[i].bytes)
			return true;
	}
	return false;
}

/*
 * Wait until a network has brought something, and @not_before_ns, so that many frames become
 * few sections. False: the time for it is over.
 */
static bool wait_for_frames(struct carrier *c, uint64_t not_before_ns, uint64_t until_ns)
{
	MUTEX_SCOPE(&c->lock);
	while (!is_over_locked(c) && clock_now_ns() < until_ns) {
		bool any = has_any_locked(c);

		if (any && clock_now_ns() >= not_before_ns)
			return true;
		(void)!cond_wait_until(&c->changed, &c->lock,
				       any ? MIN(not_before_ns, until_ns) : until_ns);
	}
	return false;
}

/* Take what has come for one of them; the payload is the caller's. False: nothing has. */
static bool take_payload(struct leaver *l, struct section *ret)
{
	MUTEX_SCOPE(&l->c->lock);
	if (!l->bytes)
		return false;
	*ret = (struct section){ .id = l->index, .bytes = l->bytes };
	ret->payload = take_ptr(l->payload);
	l->c->total_bytes += l->bytes;
	l->bytes = 0;
	return true;
}

/* Send what has come by now, each nic's once. 0 or -errno. */
static int send_frames(struct carrier *c, const struct section_sink *sink)
{
	struct section s;
	struct err e;
	int rc = 0;

	for (size_t i = 0; i < CONFIG_MAX_NICS && rc == 0; i++) {
		if (!c->leavers[i].nic || !take_payload(&c->leavers[i], &s))
			continue;
		rc = sink->put(sink->opaque, SECTION_FRAMES, s.id, s.payload, s.bytes, &e);
		section_fini(&s);
	}
	return rc;
}

static int carry(struct carrier *c, const struct section_sink *sink)
{
	uint64_t until_ns = clock_now_ns() + LINGER_NS, next_ns = 0;
	int rc = 0;

	while (rc == 0 && wait_for_frames(c, next_ns, until_ns)) {
		rc = send_frames(c, sink);
		next_ns = clock_now_ns() + INTERVAL_NS;
	}
	return rc;
}

static void fini(struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++)
		free(c->leavers[i].payload);
	(void)pthread_cond_destroy(&c->changed);
	mutex_fini(&c->lock);
}

uint64_t teleport_carry_frames(void *opaque, const struct section_sink *sink)
{
	const struct teleport *t = opaque;
	struct carrier c = { 0 };
	int rc;

	mutex_init(&c.lock);
	cond_init(&c.changed);
	start(&c, t->machine);
	rc = carry(&c, sink);
	stop(&c);
	if (rc == 0)
		(void)!send_frames(&c, sink);
	fini(&c);
	return c.nr_frames;
}
