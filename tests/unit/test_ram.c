// SPDX-License-Identifier: MIT
// Memory from one process' guest to another: while it is written to, over every number of streams.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "migration/ram.h"
#include "migration/ram_record.h"
#include "tests/unit/guest64.h"
#include "tests/unit/machine.h"
#include "tests/unit/ram_pipe.h"
#include "util/clock.h"
#include "vmm/dirty_log.h"
#include "vmm/gmem_scan.h"

#define RAM_BYTES   (32 * MIB)
#define NR_PAGES    (RAM_BYTES / RAM_PAGE_BYTES)
#define COUNTER_GPA 0x8000U
#define CHURN_GPA   (4 * MIB)
#define CHURN_BYTES (4 * MIB)
#define WAIT_NS     (10 * NSEC_PER_SEC)

struct fixture {
	struct machine m;
	struct guest_events events;
	struct gmem dest;
	struct dirty_log *log;
	struct ram_pipes pipes;
	struct ram_sender *tx;
	struct ram_receiver *rx;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	machine_init(&f->m, RAM_BYTES);
	if (!f->m.vm)
		return 0;
	guest64_init(f->m.vm, &f->events);
	/* Each page for itself, so that what is populated is what was written. */
	(void)madvise(f->m.vm->gmem.base, RAM_BYTES, MADV_NOHUGEPAGE);
	assert_int_equal(gmem_init(&f->dest, RAM_BYTES, 0, NULL), 0);
	(void)madvise(f->dest.base, RAM_BYTES, MADV_NOHUGEPAGE);
	return 0;
}

static void disconnect(struct fixture *f)
{
	ram_sender_free(f->tx);
	ram_receiver_free(f->rx);
	dirty_log_stop(f->log);
	ram_pipes_close(&f->pipes);
	f->tx = NULL;
	f->rx = NULL;
	f->log = NULL;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	disconnect(f);
	gmem_fini(&f->dest);
	machine_fini(&f->m);
	test_free(f);
	return 0;
}

static void connect(struct fixture *f, unsigned nr, bool tcp, const struct ram_options *options)
{
	struct err e;

	ram_pipes_open(&f->pipes, nr, tcp);
	assert_int_equal(dirty_log_start(&f->log, f->m.vm), 0);
	assert_int_equal(ram_sender_new(&f->tx, f->log, f->pipes.tx, nr, options, &e), 0);
	assert_int_equal(ram_receiver_new(&f->rx, &f->dest, f->pipes.rx, nr, &e), 0);
}

static struct ram_pass pass(struct fixture *f, bool last)
{
	struct ram_pass p = { 0 };
	struct err e = { 0 };

	if (ram_sender_pass(f->tx, last, &p, &e) < 0)
		fail_msg("%s", e.text);
	return p;
}

static void check_arrived(struct fixture *f)
{
	struct err e = { 0 };

	if (ram_receiver_wait(f->rx, &e) < 0)
		fail_msg("%s", e.text);
	assert_memory_equal(f->dest.base, f->m.vm->gmem.base, RAM_BYTES);
	assert_true(ram_checksum(&f->dest) == ram_checksum(&f->m.vm->gmem));
}

static void fill(struct fixture *f, gpa_t gpa, size_t bytes, unsigned seed)
{
	uint64_t *p = gmem_ptr(&f->m.vm->gmem, gpa, bytes);

	for (size_t i = 0; i < bytes / 8; i++)
		p[i] = (gpa + i * 8) * 0x9e3779b97f4a7c15ULL + seed;
}

static uint64_t populated(const struct gmem *gm)
{
	uint64_t words[NR_PAGES / 64], n = 0;
	struct gmem_scan *scan = NULL;

	assert_int_equal(gmem_scan_new(&scan, gm), 0);
	gmem_scan_pages(scan, 0, NR_PAGES / 64, words);
	gmem_scan_free(scan);
	for (unsigned i = 0; i < NR_PAGES / 64; i++)
		n += (unsigned)__builtin_popcountll(words[i]);
	return n;
}

/* --- a guest that writes ------------------------------------------------------ */

static void wait_for_rounds(struct fixture *f, unsigned n)
{
	const volatile uint64_t *rounds = gmem_ptr(&f->m.vm->gmem, COUNTER_GPA, 8);
	uint64_t until = *rounds + n, end_ns = clock_now_ns() + WAIT_NS;

	while (*rounds < until) {
		assert_true(clock_now_ns() < end_ns);
		(void)sched_yield();
	}
}

struct live_case {
	unsigned streams;
	bool tcp;
	enum ram_compress compress;
};

static const struct live_case live_cases[] = {
	{ 1, false, RAM_COMPRESS_NONE }, { 2, true, RAM_COMPRESS_NONE },
	{ 8, true, RAM_COMPRESS_LZ4 },   { 16, false, RAM_COMPRESS_ZSTD },
	{ 1, true, RAM_COMPRESS_ZSTD },  { 16, true, RAM_COMPRESS_NONE },
};

static void teleport(struct fixture *f, const struct live_case *c)
{
	const struct ram_options options = { .compress = c->compress };
	struct ram_stats stats;
	struct ram_pass p;

	connect(f, c->streams, c->tcp, &options);
	p = pass(f, false);
	assert_true(p.pages >= (RAM_BYTES - 16 * MIB) / RAM_PAGE_BYTES);
	for (unsigned i = 0; i < 3; i++) {
		/* The first may have begun before its pages were sent. */
		wait_for_rounds(f, 2);
		assert_true(ram_sender_remaining(f->tx) >= CHURN_BYTES / RAM_PAGE_BYTES);
		p = pass(f, false);
		/* What is written again, a few pages of the program, and no others. */
		assert_true(p.pages >= CHURN_BYTES / RAM_PAGE_BYTES);
		assert_true(p.pages <= CHURN_BYTES / RAM_PAGE_BYTES + 64);
	}
	vm_pause(f->m.vm);
	(void)pass(f, true);
	check_arrived(f);
	ram_sender_stats(f->tx, &stats);
	assert_int_equal(stats.bytes_payload, stats.pages_sent * RAM_PAGE_BYTES);
	assert_true(c->compress == RAM_COMPRESS_NONE ? stats.bytes_wire > stats.bytes_payload
						     : stats.bytes_wire < stats.bytes_payload);
	disconnect(f);
	vm_resume(f->m.vm);
}

static void body_live(void *opaque)
{
	const struct guest64_regs regs = { CHURN_GPA, CHURN_GPA + CHURN_BYTES, COUNTER_GPA };
	struct fixture *f = opaque;

	/* Half of it is random, a quarter compresses, the rest was never touched. */
	fill(f, CHURN_GPA, CHURN_BYTES, 1);
	fill(f, 8 * MIB, 8 * MIB, 2);
	memset(gmem_ptr(&f->m.vm->gmem, 16 * MIB, 12 * MIB), 'x', 12 * MIB);
	guest64_load(f->m.vm, guest64_churn, guest64_churn_bytes, &regs);
	assert_int_equal(vm_start(f->m.vm), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(live_cases); i++) {
		teleport(f, &live_cases[i]);
		assert_int_equal(madvise(f->dest.base, RAM_BYTES, MADV_DONTNEED), 0);
	}
}

static void test_live(void **state)
{
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	run_on_loop(f->m.main_loop, body_live, f);
}

/* --- what is sent, and what not ------------------------------------------------ */

static void test_only_what_is_there(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;
	struct gmem *gm;
	struct ram_stats stats;
	struct ram_pass p;
	uint64_t before;

	MACHINE_OR_SKIP(&f->m);
	gm = &f->m.vm->gmem;
	before = populated(gm);
	fill(f, 8 * MIB, 10 * RAM_PAGE_BYTES, 1);
	memset(gmem_ptr(gm, 12 * MIB, 8), 0, 8); /* populated, and zero */
	connect(f, 2, false, &options);
	assert_int_equal(ram_sender_remaining(f->tx), before + 11);
	p = pass(f, false);
	ram_sender_stats(f->tx, &stats);
	assert_int_equal(p.pages, before + 11);
	assert_int_equal(stats.pages_sent + stats.pages_zero, before + 11);
	assert_in_range(stats.pages_zero, 1, before + 1);
	assert_int_equal(stats.pages_skipped, NR_PAGES - before - 11);
	/* Nothing was written: nothing is sent, and nearly nothing goes over the wire. */
	assert_int_equal(ram_sender_remaining(f->tx), 0);
	p = pass(f, false);
	assert_int_equal(p.pages, 0);
	assert_int_equal(p.bytes_wire, 0);
	/* Touched for the first time after all that. */
	assert_int_equal(gmem_write(gm, 20 * MIB, "late", 4), 0);
	assert_int_equal(ram_sender_remaining(f->tx), 1);
	(void)pass(f, true);
	check_arrived(f);
	/* The receiver has no memory for zeroes. */
	assert_true(populated(&f->dest) <= before + 11);
}

/* The balloon takes a page that was sent: the receiver's copy must go as well. */
static void test_given_back(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;
	struct gmem *gm;
	struct ram_pass p;
	uint64_t had;

	MACHINE_OR_SKIP(&f->m);
	gm = &f->m.vm->gmem;
	fill(f, 8 * MIB, 4 * MIB, 1);
	connect(f, 1, false, &options);
	(void)pass(f, false);
	assert_int_equal(gmem_discard(gm, 8 * MIB, 2 * MIB), 0);
	assert_int_equal(gmem_discard(gm, 11 * MIB, 3 * RAM_PAGE_BYTES), 0);
	p = pass(f, false);
	assert_int_equal(p.pages, 512 + 3);
	assert_true(p.bytes_wire < 200);
	/* And is given one again. */
	assert_int_equal(gmem_write(gm, 9 * MIB, "again", 5), 0);
	(void)pass(f, true);
	check_arrived(f);
	had = populated(&f->dest);
	/* The whole chunk went back to the host, but for the page that is used again. */
	assert_true(had <= populated(gm) + 3);
}

/* What the receiver's memory held before is not part of the guest. */
static void test_dirty_destination(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	memset(f->dest.base + 5 * MIB, 0xaa, 3 * MIB);
	fill(f, 8 * MIB, MIB, 1);
	connect(f, 2, true, &options);
	(void)pass(f, true);
	check_arrived(f);
}

/* Every page a run of its own, more than one record has room for. */
static void test_scattered(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	connect(f, 2, false, &options);
	(void)pass(f, false);
	for (uint64_t page = 2048; page < NR_PAGES; page += 2)
		assert_int_equal(
			gmem_write(&f->m.vm->gmem, page * RAM_PAGE_BYTES + page % 4096, "x", 1), 0);
	assert_int_equal(pass(f, false).pages, (NR_PAGES - 2048) / 2);
	for (uint64_t page = 2048; page < NR_PAGES; page += 2)
		assert_int_equal(gmem_zero(&f->m.vm->gmem, page * RAM_PAGE_BYTES, 4096), 0);
	assert_int_equal(pass(f, true).pages, (NR_PAGES - 2048) / 2);
	check_arrived(f);
}

static void test_checksum(void **state)
{
	struct fixture *f = *state;
	struct gmem *gm;
	uint64_t empty, sum;

	MACHINE_OR_SKIP(&f->m);
	gm = &f->dest;
	empty = ram_checksum(gm);
	gm->base[0] = 0; /* populated, and zero */
	assert_true(ram_checksum(gm) == empty);
	gm->base[5 * MIB] = 1;
	sum = ram_checksum(gm);
	assert_true(sum != empty);
	/* The same contents elsewhere are another memory. */
	gm->base[5 * MIB] = 0;
	gm->base[6 * MIB] = 1;
	assert_true(ram_checksum(gm) != sum);
	gm->base[6 * MIB] = 0;
	assert_true(ram_checksum(gm) == empty);
}

/* --- the cap ------------------------------------------------------------------- */

static void test_bandwidth(void **state)
{
	const struct ram_options options = { .bandwidth_bytes = 40 * MIB };
	struct fixture *f = *state;
	struct ram_pass p;
	uint64_t least_ns;

	MACHINE_OR_SKIP(&f->m);
	fill(f, 8 * MIB, 16 * MIB, 1);
	connect(f, 4, false, &options);
	p = pass(f, false);
	/* Never quicker than the cap, but for the burst; how slow, the machine says. */
	least_ns = p.bytes_wire * NSEC_PER_SEC / options.bandwidth_bytes;
	assert_true(p.duration_ns >= least_ns - least_ns / 20);
	/* And not half of it, on any machine that is not stuck. */
	assert_true(p.duration_ns < 2 * least_ns + NSEC_PER_SEC);
	ram_sender_set_bandwidth(f->tx, 0);
	gmem_mark_dirty(&f->m.vm->gmem, 8 * MIB, 16 * MIB);
	p = pass(f, true);
	assert_true(p.duration_ns < least_ns);
	check_arrived(f);
}

/* A cap that holds a record back for long does not hold up a cancel. */
static void *cancel_soon(void *opaque)
{
	struct fixture *f = opaque;
	struct ram_stats stats;

	do {
		(void)sched_yield();
		ram_sender_stats(f->tx, &stats);
	} while (!stats.bytes_wire);
	for (unsigned i = 0; i < f->pipes.nr; i++)
		channel_cancel(f->pipes.tx[i]);
	return NULL;
}

static void test_cancel(void **state)
{
	const struct ram_options options = { .bandwidth_bytes = 64 * KIB };
	struct fixture *f = *state;
	struct ram_pass p;
	struct err e = { 0 };
	pthread_t thread;

	MACHINE_OR_SKIP(&f->m);
	fill(f, 8 * MIB, 16 * MIB, 1);
	connect(f, 2, false, &options);
	assert_int_equal(thread_start(&thread, THREAD_MOVE, "cancel", cancel_soon, f), 0);
	assert_int_equal(ram_sender_pass(f->tx, false, &p, &e), -ECANCELED);
	assert_non_null(strstr(e.text, "memory stream"));
	(void)pthread_join(thread, NULL);
	/* It stays so. */
	assert_int_equal(ram_sender_pass(f->tx, true, &p, &e), -ECANCELED);
}

static void test_peer_goes(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;
	struct ram_pass p;
	struct err e = { 0 };
	int rc;

	MACHINE_OR_SKIP(&f->m);
	fill(f, 8 * MIB, 16 * MIB, 1);
	connect(f, 4, true, &options);
	ram_receiver_free(f->rx);
	f->rx = NULL;
	for (unsigned i = 0; i < f->pipes.nr; i++) {
		channel_free(f->pipes.rx[i]);
		f->pipes.rx[i] = NULL;
	}
	rc = ram_sender_pass(f->tx, false, &p, &e);
	assert_true(rc == -EPIPE || rc == -ECONNRESET);
}

/* A pass is not over before its pages are where they belong. */
static void test_pass_is_there(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;

	MACHINE_OR_SKIP(&f->m);
	connect(f, 2, true, &options);
	for (unsigned i = 1; i < 10; i++) {
		fill(f, 8 * MIB, 4 * MIB, i);
		gmem_mark_dirty(&f->m.vm->gmem, 8 * MIB, 4 * MIB);
		(void)pass(f, false);
		assert_memory_equal(f->dest.base, f->m.vm->gmem.base, RAM_BYTES);
	}
	(void)pass(f, true);
	check_arrived(f);
}

static void test_wrong_mark(void **state)
{
	const struct ram_options options = { 0 };
	const struct ram_header other = { .kind = RAM_MARK };
	struct fixture *f = *state;
	struct ram_pass p;
	struct err e = { 0 };

	MACHINE_OR_SKIP(&f->m);
	ram_pipes_open(&f->pipes, 1, false);
	assert_int_equal(dirty_log_start(&f->log, f->m.vm), 0);
	assert_int_equal(ram_sender_new(&f->tx, f->log, f->pipes.tx, 1, &options, &e), 0);
	fill(f, 8 * MIB, 4 * RAM_PAGE_BYTES, 1);
	assert_int_equal(channel_send(f->pipes.rx[0], &other, sizeof(other)), 0);
	assert_int_equal(ram_sender_pass(f->tx, false, &p, &e), -EPROTO);
}

static void test_number_of_streams(void **state)
{
	const struct ram_options options = { 0 };
	struct fixture *f = *state;
	struct channel *ch[1] = { NULL };
	struct err e;

	MACHINE_OR_SKIP(&f->m);
	assert_int_equal(ram_sender_new(&f->tx, NULL, ch, 0, &options, &e), -EINVAL);
	assert_int_equal(ram_sender_new(&f->tx, NULL, ch, RAM_MAX_STREAMS + 1, &options, &e),
			 -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_live, setup, teardown),
		cmocka_unit_test_setup_teardown(test_only_what_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_given_back, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty_destination, setup, teardown),
		cmocka_unit_test_setup_teardown(test_scattered, setup, teardown),
		cmocka_unit_test_setup_teardown(test_checksum, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bandwidth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_peer_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pass_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wrong_mark, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_of_streams, setup, teardown),
	};

	return cmocka_run_group_tests_name("ram", tests, NULL, NULL);
}
