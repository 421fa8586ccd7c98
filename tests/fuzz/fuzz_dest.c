// SPDX-License-Identifier: MIT
// Fuzz: what a source can say to the destination, in any order, with any contents.
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/dest.h"
#include "migration/frames.h"
#include "migration/ram.h"
#include "migration/talk.h"
#include "util/compiler.h"

/*
 * The input is a list of sections: one byte for the type, one for the id, one for
 * the size, then the payload. They are given right checksums, which no fuzzer
 * finds; the last one, of the rest of the input, is sent as it is.
 */
static const uint32_t types[] = {
	SECTION_HELLO,         SECTION_CONFIG, SECTION_MESSAGE,  SECTION_REPLY,
	SECTION_BOOT,          SECTION_CLOCK,  SECTION_DEVICE,   SECTION_END,
	SECTION_FRAMES,        SECTION_VCPU,   SECTION_RAM_SYNC, 0,
	SECTION_OPTIONAL | 77,
};
#define RAW 0xffU /* instead of a type: the rest as it is */

/* What a well-behaved source says first, so that the fuzzer need not find it. */
static const char hello[] = "{\"protocol\":1,\"page-size\":4096,\"streams\":1,"
			    "\"compress\":\"none\"}";

struct world {
	int stream; /* the source's end */
	bool complete, loaded, locked, committed, ran;
};

/* --- the guest that comes --- */

static int ram_start(void *opaque, struct channel *const *streams, unsigned nr, struct err *e)
{
	(void)opaque;
	(void)streams;
	(void)nr;
	(void)e;
	return 0;
}

static int ram_wait(void *opaque, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	w->complete = true;
	return 0;
}

static void ram_stop(void *opaque)
{
	(void)opaque;
}

static uint64_t checksum(void *opaque)
{
	(void)opaque;
	return 0;
}

static int load_boot(void *opaque, const struct section *piece, struct err *e)
{
	(void)opaque;
	return piece->type == SECTION_BOOT ? 0 : err_set(e, -EPROTO, "no piece of a kernel");
}

static int load(void *opaque, const struct section_source *source, uint64_t flags, struct err *e)
{
	struct world *w = opaque;
	uint32_t type = 0;

	(void)flags;
	while (type != SECTION_END) {
		struct section s;
		int rc = source->get(source->opaque, &s, e);

		if (rc < 0)
			return rc;
		type = s.type;
		section_fini(&s);
	}
	w->loaded = true;
	return 0;
}

static int take_locks(void *opaque, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	if (!w->complete || !w->loaded)
		abort(); /* the source gives up its locks only when all is there */
	w->locked = true;
	return 0;
}

static void release_locks(void *opaque)
{
	struct world *w = opaque;

	if (w->ran)
		abort();
	w->locked = false;
}

static int run(void *opaque, struct err *e)
{
	struct world *w = opaque;

	(void)e;
	if (!w->locked || !w->committed || w->ran)
		abort();
	w->ran = true;
	return 0;
}

static void announce(void *opaque)
{
	if (!((const struct world *)opaque)->ran)
		abort();
}

static int take_frames(void *opaque, const struct section *frames, struct err *e)
{
	struct iovec frame;
	size_t pos = 0;
	int rc = 1;

	if (!((const struct world *)opaque)->ran)
		abort();
	while (rc == 1) {
		rc = frames_get(frames, &pos, &frame, e);
		if (rc == 1 && ((uint8_t *)frame.iov_base < (uint8_t *)frames->payload ||
				pos > frames->bytes || frame.iov_len > pos))
			abort();
	}
	return rc;
}

static const struct dest_guest_ops guest = {
	.ram_start = ram_start,
	.ram_wait = ram_wait,
	.ram_stop = ram_stop,
	.ram_checksum = checksum,
	.load_boot = load_boot,
	.load = load,
	.take_locks = take_locks,
	.release_locks = release_locks,
	.run = run,
	.announce = announce,
	.take_frames = take_frames,
};

/* --- the listener --- */

static void expect_streams(void *opaque, unsigned nr)
{
	(void)opaque;
	if (nr < 1 || nr > RAM_MAX_STREAMS)
		abort();
}

static int get_stream(void *opaque, unsigned index, struct channel **ret, struct err *e)
{
	struct world *w = opaque;
	int fds[2];

	(void)index;
	if (w->stream >= 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return err_set(e, -ETIMEDOUT, "the stream did not come");
	w->stream = fds[1];
	return channel_new(ret, fds[0], e);
}

static void committed(void *opaque)
{
	((struct world *)opaque)->committed = true;
}

static void named(void *opaque, const char *name)
{
	(void)opaque;
	(void)name;
}

static void running(void *opaque, uint64_t after_ns, bool told)
{
	(void)opaque;
	(void)after_ns;
	(void)told;
}

static const struct dest_peer_ops peer = {
	.expect_streams = expect_streams,
	.get_stream = get_stream,
	.committed = committed,
	.named = named,
	.running = running,
};

/* --- the source --- */

static void say(int fd, const void *buf, size_t len)
{
	(void)!send(fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void say_section(int fd, uint32_t type, uint32_t id, const void *payload, size_t bytes)
{
	uint8_t header[SECTION_HEADER_BYTES];

	section_seal(header, type, id, payload, bytes);
	say(fd, header, sizeof(header));
	say(fd, payload, bytes);
}

static void say_all(int fd, const uint8_t *data, size_t size)
{
	while (size >= 3 && data[0] != RAW) {
		size_t bytes = MIN((size_t)data[2], size - 3);

		say_section(fd, types[data[0] % ARRAY_SIZE(types)], data[1], data + 3, bytes);
		data += 3 + bytes;
		size -= 3 + bytes;
	}
	say(fd, data, size);
	(void)shutdown(fd, SHUT_WR);
}

/* --- both --- */

static void converse(struct channel *control, struct world *w)
{
	struct phase_gate gate;
	const struct dest_params params = {
		.control = control,
		.guest = &guest,
		.peer = &peer,
		.opaque = w,
		.gate = &gate,
	};
	struct section config = { 0 };
	struct dest *d = NULL;
	struct err e = { 0 };

	phase_gate_init(&gate, 0, NULL, NULL);
	if (dest_new(&d, &params, &config, &e) == 0) {
		int rc = dest_receive(d, &e);

		if ((rc == 0) != w->ran || (rc < 0 && !*e.text))
			abort();
		section_fini(&config);
		dest_free(d);
	}
	phase_gate_fini(&gate);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct world w = { .stream = -1 };
	struct channel *control;
	struct err e;
	int fds[2];

	if (size > 16384 || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		return 0;
	if (channel_new(&control, fds[0], &e) < 0)
		abort();
	if (size && data[0] != RAW)
		say_section(fds[1], SECTION_HELLO, 0, hello, strlen(hello));
	say_all(fds[1], data, size);
	converse(control, &w);
	channel_free(control);
	(void)close(fds[1]);
	if (w.stream >= 0)
		(void)close(w.stream);
	return 0;
}
