// SPDX-License-Identifier: MIT
// A guest out of a saved file.
#include "vmm/move/restore.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "migration/file.h"
#include "util/io.h"
#include "virtio/blk.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/guest/state.h"
#include "vmm/vm.h"

/* All that a restore holds; see restore_guest(). */
struct restore {
	const struct restore_options *o;
	struct file_reader *file;
	struct guest_spec *spec;
	struct machine_incoming incoming;
	struct run *run;
};

/* --- RAM is a file that somebody may cut --- */

/*
 * The guest's memory is gone with what the file had of it; nothing can be done
 * but to say so. The access is then tried again, and the signal ends the process.
 */
static void on_sigbus(int sig)
{
	static const char text[] =
		"ferry: the saved file that the guest's memory is read from was cut or cannot be "
		"read any more: the guest is lost\n";

	(void)sig;
	(void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

static void watch_file(void)
{
	const struct sigaction act = { .sa_handler = on_sigbus, .sa_flags = SA_RESETHAND };

	(void)sigaction(SIGBUS, &act, NULL);
}

/* --- what the guest is --- */

static int read_config(struct restore *r, struct err *e)
{
	const struct section_source source = file_reader_source(r->file);
	struct section s;
	int rc = source.get(source.opaque, &s, e);

	if (rc < 0)
		return rc;
	if (s.type == SECTION_CONFIG)
		rc = guest_spec_parse(&r->spec, s.payload, s.bytes, e);
	else
		rc = err_set(e, -EPROTO, "it does not begin with the settings of the guest");
	section_fini(&s);
	if (rc == 0 && r->spec->cfg.memory_bytes != file_reader_header(r->file)->memory_bytes)
		rc = err_set(e, -EPROTO, "its memory is of another size than the guest's");
	return rc;
}

static int apply_options(struct restore *r, struct err *e)
{
	const struct restore_options *o = r->o;
	const struct guest_changes changes = {
		.maps = &o->maps,
		.name = o->name,
		.console = o->console,
		.new_macs = o->new_macs,
	};
	struct config *cfg = &r->spec->cfg;

	cfg->ephemeral |= o->ephemeral;
	cfg->hugepages |= o->hugepages;
	if (o->timeout_s)
		cfg->timeout_s = o->timeout_s;
	cfg->json = o->json;
	cfg->verbose = o->verbose;
	return guest_spec_apply(r->spec, &changes, e);
}

/* --- the guest itself --- */

static int make_run(struct restore *r, struct err *e)
{
	const struct file_header *h = file_reader_header(r->file);
	bool packed = h->flags & FILE_ZSTD;
	int rc = sandbox_begin(&r->o->sandbox, e);

	if (rc < 0)
		return rc;
	r->incoming = (struct machine_incoming){
		.spec = r->spec,
		.ram_fd = packed ? -1 : file_reader_fd(r->file),
		.ram_offset = h->ram.offset,
	};
	if (!packed)
		watch_file();
	return run_new(&r->run, &r->spec->cfg, &r->incoming, e);
}

static int load(struct restore *r, struct err *e)
{
	const struct section_source source = file_reader_source(r->file);
	struct machine *m = run_machine(r->run);
	struct boot_part parts[BOOT_NR_PARTS];
	int rc = 0;

	if (r->incoming.ram_fd < 0)
		rc = file_reader_ram(r->file, &machine_vm(m)->gmem, e);
	if (rc == 0)
		rc = guest_state_load(m, &source, e);
	if (rc < 0)
		return rc;
	file_reader_boot(r->file, parts);
	return guest_boot_load_parts(parts, m, e);
}

static int take_locks(struct restore *r, struct err *e)
{
	struct machine *m = run_machine(r->run);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->spec->cfg.disks.nr; i++)
		rc = blk_take_lock(machine_disk(m, i), e);
	return rc;
}

static int bring_up(struct restore *r, const char *path, struct err *e)
{
	int rc = load(r, e);

	if (rc < 0)
		return err_prefix(e, "%s", path);
	rc = take_locks(r, e);
	if (rc < 0)
		return rc;
	if (r->o->paused)
		machine_set_paused(run_machine(r->run));
	if (r->o->clock == RESTORE_CLOCK_REAL)
		machine_set_clock(run_machine(r->run), MACHINE_CLOCK_REALTIME);
	return run_start(r->run, e);
}

int restore_guest(const char *path, const struct restore_options *options, struct err *e)
{
	struct restore r = { .o = options };
	int rc = file_reader_open(&r.file, path, e);

	if (rc < 0)
		return rc;
	rc = read_config(&r, e);
	if (rc < 0)
		(void)err_prefix(e, "%s", path);
	if (rc == 0)
		rc = apply_options(&r, e);
	if (rc == 0)
		rc = guest_spec_check(r.spec, e);
	if (rc == 0)
		rc = make_run(&r, e);
	if (rc == 0)
		rc = bring_up(&r, path, e);
	if (rc == 0)
		rc = run_wait(r.run, e);
	run_free(r.run);
	guest_spec_free(r.spec);
	file_reader_close(r.file);
	return rc;
}
