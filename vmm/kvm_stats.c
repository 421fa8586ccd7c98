// SPDX-License-Identifier: MIT
// What KVM itself counts: its file of descriptors and numbers.
#include "vmm/kvm_stats.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"

/* Far above what any kernel has; these are the kernel's words, but sizes are checked. */
#define MAX_STATS      1024U
#define MAX_NAME_BYTES 256U

struct stats_file {
	int fd;
	struct kvm_stats_header head;
	void (*fn)(void *opaque, const char *name, uint64_t value);
	void *opaque;
};

static bool is_number(const struct kvm_stats_desc *desc)
{
	uint32_t type = desc->flags & KVM_STATS_TYPE_MASK;

	return desc->size == 1 && (type == KVM_STATS_TYPE_CUMULATIVE ||
				   type == KVM_STATS_TYPE_INSTANT || type == KVM_STATS_TYPE_PEAK);
}

static int read_one(const struct stats_file *s, const uint8_t *bytes)
{
	struct kvm_stats_desc desc;
	uint64_t value;
	int rc;

	memcpy(&desc, bytes, sizeof(desc));
	if (!is_number(&desc))
		return 0;
	rc = io_pread_full(s->fd, &value, sizeof(value),
			   (off_t)s->head.data_offset + (off_t)desc.offset);
	if (rc == 0)
		s->fn(s->opaque, (const char *)bytes + sizeof(desc), value);
	return rc;
}

static int read_all(struct stats_file *s)
{
	size_t one;
	uint8_t *descs;
	int rc = io_pread_full(s->fd, &s->head, sizeof(s->head), 0);

	if (rc < 0)
		return rc;
	if (s->head.num_desc > MAX_STATS || s->head.name_size > MAX_NAME_BYTES ||
	    s->head.name_size == 0)
		return -EPROTO;
	one = sizeof(struct kvm_stats_desc) + s->head.name_size;
	descs = malloc(s->head.num_desc * one + 1);
	if (!descs)
		return -ENOMEM;
	rc = io_pread_full(s->fd, descs, s->head.num_desc * one, (off_t)s->head.desc_offset);
	for (uint32_t i = 0; rc == 0 && i < s->head.num_desc; i++) {
		descs[(i + 1) * one - 1] = '\0';
		rc = read_one(s, descs + i * one);
	}
	free(descs);
	return rc;
}

int kvm_stats_read(int stats_fd, void (*fn)(void *opaque, const char *name, uint64_t value),
		   void *opaque)
{
	struct stats_file s = { .fd = stats_fd, .fn = fn, .opaque = opaque };

	return read_all(&s);
}
