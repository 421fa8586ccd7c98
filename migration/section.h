/* SPDX-License-Identifier: MIT */
/* Sections: the framing of everything but memory, in a stream and in a file. */
#ifndef FERRY_MIGRATION_SECTION_H
#define FERRY_MIGRATION_SECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "util/compiler.h"
#include "util/err.h"

/*
 * A section is a header and a payload, little-endian:
 *
 *	u32 type       enum section_type
 *	u32 id         which one of its type (vCPU number); 0 otherwise
 *	u64 bytes      of the payload
 *	u64 checksum   XXH3-64 of the payload, with that of the 16 bytes above as its seed
 *
 * A section of an unknown type refuses the stream, unless its type has
 * SECTION_OPTIONAL: then it is skipped. Each type has a largest size, which is
 * looked at before anything is allocated.
 */
#define SECTION_HEADER_BYTES 24U
#define SECTION_OPTIONAL     0x80000000U

enum section_type {
	/* what the guest is; one each */
	SECTION_CONFIG = 1,  /* JSON: settings (config_to_json()), disks with sizes, CPUID */
	SECTION_CLOCK = 2,   /* vstate parts: kvmclock, TSC frequency, time of the pause */
	SECTION_IRQCHIP = 3, /* vstate parts: PIC, IOAPIC, PIT */
	SECTION_VCPU = 4,    /* vstate parts; id: the vCPU */
	SECTION_DEVICE = 5,  /* u8 length, id ("disk0"), u8 length, type, then vstate parts */
	SECTION_END = 6,     /* nothing follows; empty */
	SECTION_MACHINE = 8, /* vstate parts: whether the guest was paused */
	/* file only */
	SECTION_RAM_INDEX = 7, /* checksums of the memory behind the sections */
	/* teleport only: the conversation, in docs/teleport.md's order */
	SECTION_HELLO = 16,
	SECTION_REPLY = 17, /* u32 code (0 or errno), text: the reason */
	SECTION_MESSAGE = 18,
	SECTION_RAM_SYNC = 19,
	/* kernel (id 0) and initrd (id 1), which a reset needs: pieces of at most 1 MiB in
	 * order, an empty one at the end of each; before the guest is paused */
	SECTION_BOOT = 20,
	/* what came for the guest after it had left; id: its nic; see migration/frames.h */
	SECTION_FRAMES = SECTION_OPTIONAL | 21,
};

struct section {
	uint32_t type, id;
	uint64_t bytes;
	void *payload; /* malloc()ed; the receiver's */
};

/* One to send, which is only read: @payload stays the caller's. */
static inline struct section section_of(uint32_t type, uint32_t id, const void *payload,
					size_t bytes)
{
	return (struct section){
		.type = type,
		.id = id,
		.bytes = bytes,
		.payload = (void *)(uintptr_t)payload,
	};
}

/* One of enum section_type? Others are skipped, and only if they are optional. */
bool section_is_known(uint32_t type);

/* Largest payload of a type, unknown optional ones included; 0: empty, or unknown. */
uint64_t section_max_bytes(uint32_t type);

/* Write a header for @payload to @header. */
void section_seal(uint8_t header[SECTION_HEADER_BYTES], uint32_t type, uint32_t id,
		  const void *payload, size_t bytes);

/*
 * Read a header: type, id and size into @ret (payload NULL), with the size
 * checked against its limit. Unknown optional types pass, for the caller to
 * skip. 0 or -EPROTO with the reason.
 */
__must_check int section_parse_header(const uint8_t header[SECTION_HEADER_BYTES],
				      struct section *ret, struct err *e);

/* Compare the checksum once the payload is there. 0 or -EBADMSG. */
__must_check int section_verify(const uint8_t header[SECTION_HEADER_BYTES], const void *payload,
				struct err *e);

/*
 * Where sections go, and where they come from: a channel, a file, memory. Whoever
 * writes or reads a machine's state does not know which. 0, or -errno with @e;
 * the first failure ends it.
 */
struct section_sink {
	int (*put)(void *opaque, uint32_t type, uint32_t id, const void *payload, size_t bytes,
		   struct err *e);
	/* The same for several, where together is cheaper; NULL: it is not. */
	int (*put_all)(void *opaque, const struct section *items, size_t nr, struct err *e);
	void *opaque;
};

/* The payload is then the caller's. */
struct section_source {
	int (*get)(void *opaque, struct section *ret, struct err *e);
	void *opaque;
};

struct channel;

/* The same on a channel. Receive skips unknown optional sections. 0 or -errno. */
__must_check int section_send(struct channel *ch, uint32_t type, uint32_t id, const void *payload,
			      size_t bytes, struct err *e);
__must_check int section_send_all(struct channel *ch, const struct section *items, size_t nr,
				  struct err *e);
__must_check int section_recv(struct channel *ch, struct section *ret, struct err *e);

static inline void section_fini(struct section *s)
{
	free(s->payload);
	s->payload = NULL;
}

#endif
