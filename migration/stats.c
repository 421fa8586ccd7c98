// SPDX-License-Identifier: MIT
// Samples of a migration: a thread, and two buffers.
#include "migration/stats.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "migration/stats_impl.h"
#include "util/clock.h"
#include "util/thread.h"

struct stats {
	/* const after stats_start() */
	void (*read)(void *opaque, struct stats_sample *ret);
	void *opaque;
	pthread_t thread;

	struct mutex lock;    /* protects: the rest; order: a leaf */
	pthread_cond_t ended; /* quit was set */
	bool quit;
	struct stats_buffer buffer;
};

void stats_buffer_add(struct stats_buffer *b, const struct stats_sample *sample)
{
	if (b->every == 0)
		b->every = 1;
	b->fine[b->nr % STATS_MAX_FINE] = *sample;
	if (b->nr++ % b->every)
		return;
	if (b->nr_coarse == STATS_MAX_COARSE) {
		for (unsigned i = 0; i < STATS_MAX_COARSE / 2; i++)
			b->coarse[i] = b->coarse[2ULL * i];
		b->nr_coarse = STATS_MAX_COARSE / 2;
		b->every *= 2;
		/* The sample's number is a multiple of the new distance as well. */
	}
	b->coarse[b->nr_coarse++] = *sample;
}

unsigned stats_buffer_get(const struct stats_buffer *b, struct stats_sample *ret)
{
	uint64_t first = b->nr > STATS_MAX_FINE ? b->nr - STATS_MAX_FINE : 0;
	unsigned nr = 0;

	for (unsigned i = 0; i < b->nr_coarse && i * b->every < first; i++)
		ret[nr++] = b->coarse[i];
	for (uint64_t i = first; i < b->nr; i++)
		ret[nr++] = b->fine[i % STATS_MAX_FINE];
	return nr;
}

static void take_sample(struct stats *s)
{
	struct stats_sample sample = { 0 };

	s->read(s->opaque, &sample);
	MUTEX_SCOPE(&s->lock);
	stats_buffer_add(&s->buffer, &sample);
}

/* True: it is time for the next sample; false: the end. */
static bool wait_until(struct stats *s, uint64_t at_ns)
{
	bool go_on;

	mutex_lock(&s->lock);
	while (!s->quit && cond_wait_until(&s->ended, &s->lock, at_ns) == 0)
		;
	go_on = !s->quit;
	mutex_unlock(&s->lock);
	return go_on;
}

static void *stats_main(void *opaque)
{
	struct stats *s = opaque;
	uint64_t next_ns = clock_now_ns();

	do {
		take_sample(s);
		next_ns = MAX(next_ns + STATS_INTERVAL_NS, clock_now_ns());
	} while (wait_until(s, next_ns));
	return NULL;
}

int stats_start(struct stats **ret, void (*read)(void *opaque, struct stats_sample *ret),
		void *opaque, struct err *e)
{
	struct stats *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->read = read;
	s->opaque = opaque;
	mutex_init(&s->lock);
	cond_init(&s->ended);
	rc = thread_start(&s->thread, THREAD_MOVE, "stats", stats_main, s);
	if (rc < 0) {
		stats_free(s);
		return err_set(e, rc, "cannot start a thread: %s", strerror(-rc));
	}
	*ret = s;
	return 0;
}

void stats_stop(struct stats *s)
{
	mutex_lock(&s->lock);
	s->quit = true;
	(void)pthread_cond_signal(&s->ended);
	mutex_unlock(&s->lock);
	(void)pthread_join(s->thread, NULL);
	take_sample(s);
}

void stats_free(struct stats *s)
{
	if (!s)
		return;
	(void)pthread_cond_destroy(&s->ended);
	mutex_fini(&s->lock);
	free(s);
}

unsigned stats_get(struct stats *s, struct stats_sample *ret)
{
	MUTEX_SCOPE(&s->lock);
	return stats_buffer_get(&s->buffer, ret);
}
