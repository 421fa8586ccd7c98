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
 * comes back: two rounds of them, see net_announce.c.
 */
#define LINGER_NS (100 * NSEC_PER_MSEC)

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

static bool is_over_locked(const struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++) {
		if (c->leavers[i].nic && !c->leavers[i].announced)
			return c->total_bytes > FRAMES_MAX_TOTAL / 2;
	}
	return true;
}

/* The next nic for which something has come; NULL: none. */
static struct leaver *find_locked(struct carrier *c)
{
	for (size_t i = 0; i < CONFIG_MAX_NICS; i++) {
		if (c->leavers[i].bytes)
			return &c->leavers[i];
	}
	return NULL;
}

/* Wait until a network has brought something. False: the time for it is over. */
static bool wait_for_frames(struct carrier *c, uint64_t until_ns)
{
	int rc = 0;

	MUTEX_SCOPE(&c->lock);
	while (!is_over_locked(c) && !find_locked(c) && rc == 0)
		rc = cond_wait_until(&c->changed, &c->lock, until_ns);
	return !is_over_locked(c) && clock_now_ns() < until_ns;
}

/* Take what has come for one of them; the payload is the caller's. False: nothing has. */
static bool take_payload(struct carrier *c, struct section *ret)
{
	struct leaver *l;

	MUTEX_SCOPE(&c->lock);
	l = find_locked(c);
	if (!l)
		return false;
	*ret = (struct section){ .id = l->index, .bytes = l->bytes };
	ret->payload = take_ptr(l->payload);
	c->total_bytes += l->bytes;
	l->bytes = 0;
	return true;
}

/* Send all that has come. 0 or -errno. */
static int send_frames(struct carrier *c, const struct section_sink *sink)
{
	struct section s;
	struct err e;
	int rc = 0;

	while (rc == 0 && take_payload(c, &s)) {
		rc = sink->put(sink->opaque, SECTION_FRAMES, s.id, s.payload, s.bytes, &e);
		section_fini(&s);
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
	uint64_t until_ns = clock_now_ns() + LINGER_NS;
	struct carrier c = { 0 };
	int rc = 0;

	mutex_init(&c.lock);
	cond_init(&c.changed);
	start(&c, t->machine);
	while (rc == 0 && wait_for_frames(&c, until_ns))
		rc = send_frames(&c, sink);
	stop(&c);
	if (rc == 0)
		(void)!send_frames(&c, sink);
	fini(&c);
	return c.nr_frames;
}
