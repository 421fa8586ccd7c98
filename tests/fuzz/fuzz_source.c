// SPDX-License-Identifier: MIT
// Fuzz: what a destination can answer to the source, in any order, with any contents.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/source.h"
#include "migration/talk.h"
#include "util/clock.h"
#include "util/compiler.h"

/* The input is a list of sections as in fuzz_dest.c; all of it is there before it is asked for. */
static const uint32_t types[] = {
	SECTION_HELLO,         SECTION_REPLY, SECTION_MESSAGE, SECTION_END, SECTION_CONFIG, 0,
	SECTION_OPTIONAL | 77,
};
#define RAW 0xffU

struct world {
	int control;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool runs, locked, done;
};

static int describe(void *opaque, void **ret, size_t *ret_bytes, struct err *e)
{
	(void)opaque;
	(void)e;
	*ret = strdup("{}");
	*ret_bytes = 2;
	return *ret ? 0 : -ENOMEM;
}

static int save_nothing(void *opaque, const struct section_sink *sink, struct err *e)
{
	(void)opaque;
	return sink->put(sink->opaque, SECTION_END, 0, NULL, 0, e);
}

static int pause_guest(void *opaque, uint64_t *ret_ns, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	*ret_ns = clock_now_ns();
	w->runs = false;
	return 0;
}

static void resume_guest(void *opaque)
{
	struct world *w = opaque;

	if (!w->locked || w->runs)
		abort();
	w->runs = true;
}

static int release_locks(void *opaque, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	if (w->runs)
		abort();
	w->locked = false;
	return 0;
}

static int take_locks(void *opaque, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	w->locked = true;
	return 0;
}

static void throttle(void *opaque, unsigned percent)
{
	(void)opaque;
	(void)percent;
}

static void nothing(void *opaque)
{
	(void)opaque;
}

static bool has_locks(void *opaque)
{
	(void)opaque;
	return true;
}

static int ram_start(void *opaque, struct channel *const *streams, unsigned nr,
		     const struct ram_options *options, struct err *e)
{
	(void)opaque;
	(void)streams;
	(void)nr;
	(void)options;
	(void)e;
	return 0;
}

static int ram_pass(void *opaque, bool last, struct ram_pass *ret, struct err *e)
{
	(void)opaque;
	(void)last;
	(void)e;
	*ret = (struct ram_pass){ 0 };
	return 0;
}

static uint64_t zero(void *opaque)
{
	(void)opaque;
	return 0;
}

static void ram_stats(void *opaque, struct ram_stats *ret)
{
	(void)opaque;
	*ret = (struct ram_stats){ 0 };
}

static uint64_t carry(void *opaque, const struct section_sink *sink)
{
	(void)opaque;
	(void)sink;
	return 0;
}

static const struct source_guest_ops guest = {
	.describe = describe,
	.save_boot = save_nothing,
	.pause = pause_guest,
	.resume = resume_guest,
	.begin_save = nothing,
	.save = save_nothing,
	.has_locks = has_locks,
	.release_locks = release_locks,
	.take_locks = take_locks,
	.throttle = throttle,
	.unknown = nothing,
	.ram_start = ram_start,
	.ram_pass = ram_pass,
	.ram_remaining = zero,
	.ram_stats = ram_stats,
	.ram_checksum = zero,
	.ram_stop = nothing,
	.carry = carry,
};

static int open_control(void *opaque, struct channel **ret, struct err *e)
{
	return channel_new(ret, ((const struct world *)opaque)->control, e);
}

static int open_stream(void *opaque, unsigned index, const struct ticket *ticket,
		       struct channel **ret, struct err *e)
{
	int fds[2];
	int rc;

	(void)opaque;
	(void)index;
	(void)ticket;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		abort();
	rc = channel_new(ret, fds[0], e);
	(void)close(fds[1]);
	return rc;
}

/* Whoever breaks off after the commit gets the guest back: nobody ran it. */
static int ask(void *opaque, const struct ticket *ticket, enum handover_answer *ret, struct err *e)
{
	(void)opaque;
	(void)ticket;
	(void)e;
	*ret = HANDOVER_NEVER;
	return 0;
}

static const struct source_peer_ops peer = {
	.open_control = open_control,
	.open_stream = open_stream,
	.ask = ask,
	.cancel = nothing,
};

static void on_pass(void *opaque, unsigned number, const struct source_pass *pass)
{
	(void)opaque;
	(void)number;
	(void)pass;
}

static void on_done(void *opaque)
{
	struct world *w = opaque;

	(void)pthread_mutex_lock(&w->lock);
	w->done = true;
	(void)pthread_cond_signal(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
}

static const struct source_listener listener = {
	.changed = nothing,
	.pass = on_pass,
	.done = on_done,
};

/* --- the destination --- */

static void say(int fd, const void *buf, size_t len)
{
	(void)!send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_all(int fd, const uint8_t *data, size_t size)
{
	while (size >= 3 && data[0] != RAW) {
		uint8_t header[SECTION_HEADER_BYTES];
		size_t bytes = MIN((size_t)data[2], size - 3);

		section_seal(header, types[data[0] % ARRAY_SIZE(types)], data[1], data + 3, bytes);
		say(fd, header, sizeof(header));
		say(fd, data + 3, bytes);
		data += 3 + bytes;
		size -= 3 + bytes;
	}
	say(fd, data, size);
	(void)shutdown(fd, SHUT_WR);
}

static void migrate(struct world *w)
{
	const struct source_params params = {
		.options = { .nr_streams = 1, .max_downtime_ns = NSEC_PER_SEC },
		.guest = &guest,
		.peer = &peer,
		.listener = &listener,
		.opaque = w,
		.ram_bytes = RAM_PAGE_BYTES,
	};
	struct source_status st;
	struct source *s;
	struct err e;

	if (source_start(&s, &params, &e) < 0)
		abort();
	(void)pthread_mutex_lock(&w->lock);
	while (!w->done)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
	source_get_status(s, &st);
	source_free(s);
	if (w->runs == (st.state == SOURCE_COMPLETED))
		abort(); /* it runs here, unless it was handed over */
	if (!w->runs && w->locked)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = {
		.runs = true,
		.locked = true,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.changed = PTHREAD_COND_INITIALIZER,
	};
	int fds[2];

	if (size > 16384 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return 0;
	w.control = fds[0];
	say_all(fds[1], data, size);
	migrate(&w);
	(void)close(fds[1]);
	return 0;
}
