// SPDX-License-Identifier: MIT
// Memory streams: any records leave the receiver's memory within its bounds.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/ram_record.h"
#include "vmm/gmem.h"

#define RAM_BYTES  (4 * MIB)
#define INPUT_MAX  (128 * KIB)
#define NR_STREAMS 2U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* No fuzzer finds a checksum: put the right one into each record that is there as a whole. */
static void seal(uint8_t *bytes, size_t size)
{
	XXH3_state_t *state = XXH3_createState();
	size_t at = 0;

	while (state && size - at >= RAM_HEADER_BYTES) {
		struct ram_header h;
		struct iovec payload;
		size_t runs_bytes;

		memcpy(&h, bytes + at, sizeof(h));
		runs_bytes = (size_t)h.nr_runs * RAM_RUN_BYTES;
		if (size - at - sizeof(h) < runs_bytes ||
		    size - at - sizeof(h) - runs_bytes < h.bytes)
			break;
		payload = (struct iovec){ bytes + at + sizeof(h) + runs_bytes, h.bytes };
		h.checksum = ram_record_checksum(
			state, &h, (const struct ram_run *)(const void *)(bytes + at + sizeof(h)),
			&payload, 1);
		memcpy(bytes + at, &h, sizeof(h));
		at += sizeof(h) + runs_bytes + h.bytes;
	}
	(void)XXH3_freeState(state);
}

/* The channel of a stream that brings @bytes. */
static struct channel *bring(const uint8_t *bytes, size_t size)
{
	const int room = 2 * INPUT_MAX;
	struct channel *ch = NULL;
	struct err e;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		abort();
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (channel_new(&ch, pair[1], &e) < 0 || write(pair[0], bytes, size) != (ssize_t)size)
		abort();
	(void)close(pair[0]);
	return ch;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct ram_header end = { .kind = RAM_END };
	struct channel *ch[NR_STREAMS] = { NULL };
	struct ram_receiver *r = NULL;
	struct gmem gm = { 0 };
	uint8_t *copy, other[RAM_HEADER_BYTES];
	struct err e;

	if (size > INPUT_MAX || gmem_init(&gm, RAM_BYTES, 0, &e) < 0)
		return 0;
	copy = aligned_alloc(8, ALIGN_UP(size + 1, 8UL));
	if (!copy)
		abort();
	memcpy(copy, data, size);
	seal(copy, size);
	memcpy(other, &end, sizeof(other));
	seal(other, sizeof(other));
	ch[0] = bring(copy, size);
	ch[1] = bring(other, sizeof(other));
	if (ram_receiver_new(&r, &gm, ch, NR_STREAMS, &e) == 0)
		(void)!ram_receiver_wait(r, &e);
	ram_receiver_free(r);
	for (unsigned i = 0; i < NR_STREAMS; i++)
		channel_free(ch[i]);
	gmem_fini(&gm);
	free(copy);
	return 0;
}
