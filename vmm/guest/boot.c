// SPDX-License-Identifier: MIT
// Kernel and initrd on their way: a reset needs them where their files are not.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "util/io.h"
#include "vmm/boot.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/state.h"

static int put_part(const struct boot_part *part, uint32_t id, const struct section_sink *sink,
		    void *chunk, struct err *e)
{
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < part->bytes) {
		size_t n = (size_t)MIN(part->bytes - at, (uint64_t)GUEST_BOOT_CHUNK_BYTES);

		rc = io_pread_full(part->fd, chunk, n, (off_t)(part->start + at));
		if (rc < 0)
			return err_set(e, rc, "%s: %s", id ? "initrd" : "kernel", strerror(-rc));
		rc = sink->put(sink->opaque, SECTION_BOOT, id, chunk, n, e);
		at += n;
	}
	return rc < 0 ? rc : sink->put(sink->opaque, SECTION_BOOT, id, NULL, 0, e);
}

int guest_boot_check(const struct machine *m, struct err *e)
{
	struct boot_part kernel, initrd;

	if (!machine_boot(m))
		return err_set(e, -ENOENT, "kernel: the guest came here without it");
	boot_get_part(machine_boot(m), BOOT_PART_KERNEL, &kernel);
	boot_get_part(machine_boot(m), BOOT_PART_INITRD, &initrd);
	if (kernel.bytes > GUEST_BOOT_MAX_BYTES ||
	    initrd.bytes > GUEST_BOOT_MAX_BYTES - kernel.bytes)
		return err_set(e, -E2BIG, "kernel and initrd have more than %llu MiB together",
			       GUEST_BOOT_MAX_BYTES / MIB);
	return 0;
}

int guest_boot_save(const struct machine *m, const struct section_sink *sink, struct err *e)
{
	int rc = guest_boot_check(m, e);
	void *chunk;

	if (rc < 0)
		return rc;
	chunk = malloc(GUEST_BOOT_CHUNK_BYTES);
	if (!chunk)
		return err_set(e, -ENOMEM, "out of memory");
	for (uint32_t id = 0; rc == 0 && id < BOOT_NR_PARTS; id++) {
		struct boot_part part;

		boot_get_part(machine_boot(m), (enum boot_part_id)id, &part);
		rc = put_part(&part, id, sink, chunk, e);
	}
	free(chunk);
	return rc;
}

/* --- the other side --- */

/* Both are kept in one memory file, one after the other. */
struct guest_boot_reader {
	int fd;
	uint64_t bytes[BOOT_NR_PARTS];
	unsigned complete; /* so many of them */
};

int guest_boot_reader_new(struct guest_boot_reader **ret, struct err *e)
{
	struct guest_boot_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return err_set(e, -ENOMEM, "out of memory");
	r->fd = memfd_create("ferry-boot", MFD_CLOEXEC);
	if (r->fd < 0) {
		int rc = -errno;

		free(r);
		return err_set(e, rc, "kernel: %s", strerror(-rc));
	}
	*ret = r;
	return 0;
}

void guest_boot_reader_free(struct guest_boot_reader *r)
{
	if (!r)
		return;
	close_fd(&r->fd);
	free(r);
}

int guest_boot_add(struct guest_boot_reader *r, const struct section *s, struct err *e)
{
	uint64_t all = r->bytes[BOOT_PART_KERNEL] + r->bytes[BOOT_PART_INITRD];
	int rc;

	if (s->type != SECTION_BOOT || s->id != r->complete || r->complete == BOOT_NR_PARTS)
		return err_set(e, -EPROTO, "kernel: a piece that does not follow the others");
	if (s->bytes == 0) {
		r->complete++;
		return 0;
	}
	if (s->bytes > GUEST_BOOT_MAX_BYTES - all)
		return err_set(e, -EPROTO, "kernel and initrd have more than %llu MiB together",
			       GUEST_BOOT_MAX_BYTES / MIB);
	rc = io_write_full(r->fd, s->payload, s->bytes);
	if (rc < 0)
		return err_set(e, rc, "kernel: %s", strerror(-rc));
	r->bytes[s->id] += s->bytes;
	return 0;
}

int guest_boot_load(struct guest_boot_reader *r, struct machine *m, struct err *e)
{
	const struct boot_part parts[BOOT_NR_PARTS] = {
		[BOOT_PART_KERNEL] = { .fd = r->fd, .bytes = r->bytes[BOOT_PART_KERNEL] },
		[BOOT_PART_INITRD] = { .fd = r->fd,
				       .start = r->bytes[BOOT_PART_KERNEL],
				       .bytes = r->bytes[BOOT_PART_INITRD] },
	};

	if (r->complete != BOOT_NR_PARTS)
		return err_set(e, -EPROTO, "kernel: not all of it has come");
	return guest_boot_load_parts(parts, m, e);
}

int guest_boot_load_parts(const struct boot_part parts[BOOT_NR_PARTS], struct machine *m,
			  struct err *e)
{
	const struct config *cfg = machine_config(m);
	const struct boot_params_files names = {
		.kernel = cfg->kernel,
		.initrd = cfg->initrd,
		.cmdline = cfg->append,
	};
	struct boot *boot;
	int rc = boot_open_parts(&boot, &names, parts, e);

	if (rc == 0)
		machine_set_boot(m, boot);
	return rc;
}
