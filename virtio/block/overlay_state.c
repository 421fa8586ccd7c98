// SPDX-License-Identifier: MIT
// Overlays on their way: what the guest wrote goes with it.
//
// Three parts: how much there is; the runs of sectors that the guest wrote, in
// order; and the contents of those that are not all zeroes, one after the
// other. A guest may have written zeroes over a whole disk at no cost: such runs have
// no contents here either.
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "migration/vstate.h"
#include "util/io.h"
#include "virtio/block/block.h"
#include "virtio/block/overlay.h"
#include "virtio/vstate.h"

#define MAX_RUNS    (1U << 18)
#define CHUNK_BYTES (64 * KIB)

struct overlay_state {
	uint64_t bytes; /* of the disk */
	uint64_t base_bytes;
	uint64_t data_bytes;
	uint32_t nr_runs;
};

/* Little-endian, as it travels. */
struct run {
	uint64_t first, count; /* sectors */
	uint32_t zero;         /* 1: no contents */
	uint32_t reserved;
};

_Static_assert(sizeof(struct run) == 24, "no padding");

static const struct vstate_field overlay_fields[] = {
	VS_U64(1, struct overlay_state, bytes),
	VS_U64(2, struct overlay_state, data_bytes),
	VS_U32_MAX(3, struct overlay_state, nr_runs, MAX_RUNS),
	VS_U64(4 | VSTATE_OPTIONAL, struct overlay_state, base_bytes),
};

const struct vstate_table overlay_vstate = {
	VSTATE_TABLE("overlay", struct overlay_state, overlay_fields),
};

int overlay_can_save(const struct overlay *ov, struct err *e)
{
	struct stat st;
	uint64_t bytes;

	if (fstat(ov->fd, &st) < 0)
		return err_set(e, -errno, "overlay: %s", strerror(errno));
	/* No less than what will be counted, and known at once. */
	bytes = (uint64_t)st.st_blocks * 512;
	if (bytes <= OVERLAY_MAX_SAVED_BYTES)
		return 0;
	return err_set(e, -ENOTSUP,
		       "the guest has written %llu MiB to its overlay, and at most %llu MiB can go "
		       "with it: use the image without overlay",
		       (unsigned long long)(bytes / MIB),
		       (unsigned long long)(OVERLAY_MAX_SAVED_BYTES / MIB));
}

/* --- save ------------------------------------------------------------------ */

struct collector {
	struct overlay_state head;
	struct run *runs;
	size_t room_runs;
	uint8_t *data;
	size_t room_data;
};

static int add_run(struct collector *c, uint64_t first, uint64_t count, bool zero)
{
	struct run *last = c->head.nr_runs ? &c->runs[c->head.nr_runs - 1] : NULL;

	if (last && last->zero == zero && last->first + last->count == first) {
		last->count += count;
		return 0;
	}
	if (c->head.nr_runs == MAX_RUNS)
		return -E2BIG;
	if (c->head.nr_runs == c->room_runs) {
		size_t room = MAX(2 * c->room_runs, (size_t)64);
		struct run *runs = realloc(c->runs, room * sizeof(*runs));

		if (!runs)
			return -ENOMEM;
		c->runs = runs;
		c->room_runs = room;
	}
	c->runs[c->head.nr_runs++] = (struct run){ .first = first, .count = count, .zero = zero };
	return 0;
}

static int add_data(struct collector *c, const uint8_t *data, size_t len)
{
	if (len > OVERLAY_MAX_SAVED_BYTES - c->head.data_bytes)
		return -E2BIG;
	if (len > c->room_data - c->head.data_bytes) {
		size_t room = MAX(2 * c->room_data, (size_t)MIB);
		uint8_t *larger = realloc(c->data, room);

		if (!larger)
			return -ENOMEM;
		c->data = larger;
		c->room_data = room;
	}
	memcpy(c->data + c->head.data_bytes, data, len);
	c->head.data_bytes += len;
	return 0;
}

static bool is_zero(const uint8_t *sector)
{
	return sector[0] == 0 && memcmp(sector, sector + 1, BLOCK_SECTOR_BYTES - 1) == 0;
}

static int add_sectors(struct collector *c, uint64_t offset, const uint8_t *data, size_t len)
{
	int rc = 0;

	for (size_t at = 0; at < len && rc == 0; at += BLOCK_SECTOR_BYTES) {
		bool zero = is_zero(data + at);

		rc = add_run(c, (offset + at) / BLOCK_SECTOR_BYTES, 1, zero);
		if (rc == 0 && !zero)
			rc = add_data(c, data + at, BLOCK_SECTOR_BYTES);
	}
	return rc;
}

/* How many of @bytes at @offset are a hole of the file, in whole sectors? */
static uint64_t hole_bytes(const struct overlay *ov, uint64_t offset, uint64_t bytes)
{
	off_t data = lseek(ov->fd, (off_t)offset, SEEK_DATA);

	if (data < 0)
		return errno == ENXIO ? bytes : 0;
	return MIN(ALIGN_DOWN((uint64_t)data, BLOCK_SECTOR_BYTES) - offset, bytes);
}

/* A run of sectors that the guest wrote. */
static int collect_run(const struct overlay *ov, struct collector *c, uint64_t offset,
		       uint64_t bytes)
{
	uint8_t buf[CHUNK_BYTES];

	while (bytes > 0) {
		uint64_t n = hole_bytes(ov, offset, bytes);
		int rc;

		if (n > 0) {
			rc = add_run(c, offset / BLOCK_SECTOR_BYTES, n / BLOCK_SECTOR_BYTES, true);
		} else {
			n = MIN(bytes, sizeof(buf));
			rc = io_pread_full(ov->fd, buf, n, (off_t)offset);
			if (rc == 0)
				rc = add_sectors(c, offset, buf, n);
		}
		if (rc < 0)
			return rc;
		offset += n;
		bytes -= n;
	}
	return 0;
}

static int collect(const struct overlay *ov, struct collector *c)
{
	for (uint64_t at = 0; at < ov->bytes;) {
		bool written;
		uint64_t n = overlay_run(ov, at, ov->bytes - at, &written);
		int rc = written ? collect_run(ov, c, at, n) : 0;

		if (rc < 0)
			return rc;
		at += n;
	}
	return 0;
}

static void put_runs(struct vstate_writer *w, struct collector *c)
{
	for (uint32_t i = 0; i < c->head.nr_runs; i++) {
		struct run *run = &c->runs[i];

		*run = (struct run){
			.first = htole64(run->first),
			.count = htole64(run->count),
			.zero = htole32(run->zero),
		};
	}
	vstate_put_blob(w, "overlay-runs", 0, c->runs, c->head.nr_runs * sizeof(*c->runs));
}

void overlay_save(const struct overlay *ov, struct vstate_writer *w)
{
	struct collector c = { .head = { .bytes = ov->bytes, .base_bytes = ov->base_bytes } };
	int rc = collect(ov, &c);

	if (rc < 0) {
		vstate_put_error(w, rc);
	} else {
		vstate_put(w, &overlay_vstate, 0, &c.head);
		put_runs(w, &c);
		vstate_put_blob(w, "overlay-data", 0, c.data, c.head.data_bytes);
	}
	free(c.runs);
	free(c.data);
}

/* --- load ------------------------------------------------------------------ */

struct contents {
	const struct run *runs;
	uint32_t nr_runs;
	const uint8_t *data;
	size_t data_bytes;
};

static struct run get_run(const struct contents *c, uint32_t i)
{
	struct run run;

	memcpy(&run, &c->runs[i], sizeof(run));
	return (struct run){
		.first = le64toh(run.first),
		.count = le64toh(run.count),
		.zero = le32toh(run.zero),
		.reserved = le32toh(run.reserved),
	};
}

/* In order, inside the disk, and with as much contents as there is. */
static int check_runs(const struct overlay *ov, const struct contents *c, struct err *e)
{
	uint64_t end = ov->bytes / BLOCK_SECTOR_BYTES, next = 0, data = 0;

	for (uint32_t i = 0; i < c->nr_runs; i++) {
		struct run run = get_run(c, i);

		if (run.first < next || run.first >= end || run.count == 0 ||
		    run.count > end - run.first || run.zero > 1 || run.reserved)
			return err_set(e, -EINVAL, "overlay-runs: number %u makes no sense", i);
		next = run.first + run.count;
		data += run.zero ? 0 : run.count * BLOCK_SECTOR_BYTES;
	}
	if (data != c->data_bytes)
		return err_set(e, -EINVAL, "overlay-data: has %zu bytes for runs of %llu",
			       c->data_bytes, (unsigned long long)data);
	return 0;
}

static int get_contents(struct vstate_reader *r, const struct overlay_state *head,
			struct contents *ret, struct err *e)
{
	struct vstate_blob runs = { 0 }, data = { 0 };
	int rc = vstate_get_blob(r, "overlay-runs", 0, MAX_RUNS * sizeof(struct run), &runs, e);

	if (rc == 0)
		rc = vstate_get_blob(r, "overlay-data", 0, OVERLAY_MAX_SAVED_BYTES, &data, e);
	if (rc < 0)
		return rc;
	if (runs.len != head->nr_runs * sizeof(struct run) || data.len != head->data_bytes)
		return err_set(e, -EINVAL, "overlay: has not the size that it says");
	*ret = (struct contents){
		.runs = runs.data,
		.nr_runs = head->nr_runs,
		.data = data.data,
		.data_bytes = data.len,
	};
	return 0;
}

static int fill(struct overlay *ov, const struct contents *c, struct err *e)
{
	const uint8_t *data = c->data;

	for (uint32_t i = 0; i < c->nr_runs; i++) {
		struct run run = get_run(c, i);
		uint64_t offset = run.first * BLOCK_SECTOR_BYTES;
		uint64_t bytes = run.count * BLOCK_SECTOR_BYTES;
		int rc = 0;

		if (!run.zero) {
			rc = io_pwrite_full(ov->fd, data, bytes, (off_t)offset);
			data += bytes;
		}
		if (rc < 0)
			return err_set(
				e, rc,
				"overlay: cannot write the temporary file: %s: set TMPDIR to "
				"a directory with room for it",
				strerror(-rc));
		overlay_mark(ov, offset, bytes);
	}
	return 0;
}

int overlay_load(struct overlay *ov, struct vstate_reader *r, struct err *e)
{
	/* Who does not say has an overlay as large as its base. */
	struct overlay_state head = { .base_bytes = ov->bytes };
	struct contents c = { 0 };
	int rc = vstate_get(r, &overlay_vstate, 0, &head, e);

	if (rc < 0)
		return rc;
	if (head.bytes != ov->bytes)
		return err_set(e, -EINVAL, "overlay: of a disk of %llu bytes, but of %llu here",
			       (unsigned long long)head.bytes, (unsigned long long)ov->bytes);
	if (head.base_bytes != ov->base_bytes)
		return err_set(e, -EINVAL, "overlay: over an image of %llu bytes, but of %llu here",
			       (unsigned long long)head.base_bytes,
			       (unsigned long long)ov->base_bytes);
	rc = get_contents(r, &head, &c, e);
	if (rc == 0)
		rc = check_runs(ov, &c, e);
	return rc < 0 ? rc : fill(ov, &c, e);
}
