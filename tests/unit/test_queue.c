// SPDX-License-Identifier: MIT
// Split virtqueues: good chains, every kind of bad one, notifications, dirty marks.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/ring.h"
#include "util/bitmap.h"

#define SIZE     8
#define MEM      (1 * MIB)
#define RING     0x1000ULL
#define TABLE    0x8000ULL /* indirect descriptors */
#define DATA     0x10000ULL
#define OUTSIDE  0x40000000ULL
#define NR_IOV   16
#define WRITE    RING_WRITE
#define NEXT     RING_NEXT
#define INDIRECT RING_INDIRECT

struct fixture {
	struct gmem gm;
	struct ring r;
	struct vq q;
	struct iovec iov[NR_IOV];
	struct vq_chain chain;
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	assert_int_equal(gmem_init(&f->gm, MEM, 0, NULL), 0);
	ring_init(&f->r, &f->gm, RING, SIZE);
	f->q.indirect = true;
	assert_int_equal(ring_start_vq(&f->r, &f->q), 0);
	f->chain = (struct vq_chain){ .iov = f->iov, .max_iov = NR_IOV };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	gmem_fini(&f->gm);
	test_free(f);
	return 0;
}

static void desc(struct fixture *f, unsigned i, struct ring_desc d)
{
	ring_put_desc(&f->r, f->r.desc, i, d);
}

static int pop(struct fixture *f)
{
	return vq_pop(&f->q, &f->chain);
}

/* Offer a chain of one write-only buffer at descriptor @head, and take it. */
static void exchange(struct fixture *f, uint16_t head)
{
	desc(f, head, (struct ring_desc){ DATA + head * 0x1000ULL, 64, WRITE, 0 });
	ring_offer(&f->r, head);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, head);
}

/* --- set-up ------------------------------------------------------------------ */

static void test_start_checks_layout(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint64_t desc, avail, used;
		uint16_t size;
		int rc;
	} cases[] = {
		{ RING, RING + 0x100, RING + 0x200, SIZE, 0 },
		{ RING, RING + 0x100, RING + 0x200, 1, 0 },
		{ RING, RING + 0x100, RING + 0x200, 0, -EPROTO },
		{ RING, RING + 0x100, RING + 0x200, 3, -EPROTO },
		{ 0, 0x10000, 0x20000, VQ_MAX_SIZE, 0 },
		{ 0, 0x10000, 0x20000, 2 * VQ_MAX_SIZE, -EPROTO },
		{ RING + 8, RING + 0x100, RING + 0x200, SIZE, -EPROTO },
		{ RING, RING + 0x101, RING + 0x200, SIZE, -EPROTO },
		{ RING, RING + 0x100, RING + 0x202, SIZE, -EPROTO },
		{ OUTSIDE, RING + 0x100, RING + 0x200, SIZE, -EPROTO },
		{ RING, OUTSIDE, RING + 0x200, SIZE, -EPROTO },
		{ RING, RING + 0x100, OUTSIDE, SIZE, -EPROTO },
		/* one byte over the end of memory */
		{ MEM - 16 * SIZE, RING, RING + 0x100, SIZE, 0 },
		{ MEM - 16 * SIZE + 16, RING, RING + 0x100, SIZE, -EPROTO },
		{ RING, MEM - (6 + 2 * SIZE), RING + 0x100, SIZE, 0 },
		{ RING, MEM - (6 + 2 * SIZE) + 2, RING + 0x100, SIZE, -EPROTO },
		{ RING, RING + 0x100, MEM - (8 + 8 * SIZE), SIZE, 0 },
		{ RING, RING + 0x100, MEM - (4 + 8 * SIZE), SIZE, -EPROTO },
		{ UINT64_MAX - 15, RING + 0x100, RING + 0x200, SIZE, -EPROTO },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct vq q = {
			.gm = &f->gm,
			.state = { .desc_gpa = cases[i].desc,
				   .avail_gpa = cases[i].avail,
				   .used_gpa = cases[i].used,
				   .size = cases[i].size },
		};

		if (vq_start(&q) != cases[i].rc)
			fail_msg("case %zu", i);
	}
}

/* --- good chains ------------------------------------------------------------- */

static void test_empty(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(pop(f), 0);
	assert_false(vq_has_work(&f->q));
}

static void test_direct_chain(void **state)
{
	struct fixture *f = *state;
	char text[32] = { 0 };

	assert_int_equal(gmem_write(&f->gm, DATA, "abcd", 4), 0);
	assert_int_equal(gmem_write(&f->gm, DATA + 0x100, "efgh", 4), 0);
	desc(f, 3, (struct ring_desc){ DATA, 4, NEXT, 5 });
	desc(f, 5, (struct ring_desc){ DATA + 0x100, 4, NEXT, 0 });
	desc(f, 0, (struct ring_desc){ DATA + 0x200, 2, WRITE | NEXT, 7 });
	desc(f, 7, (struct ring_desc){ DATA + 0x300, 2, WRITE, 0 });
	ring_offer(&f->r, 3);
	assert_true(vq_has_work(&f->q));
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 3);
	assert_int_equal(f->chain.nr_out, 2);
	assert_int_equal(f->chain.nr_in, 2);
	assert_int_equal(f->chain.out_bytes, 8);
	assert_int_equal(f->chain.in_bytes, 4);

	assert_int_equal(vq_read_out(&f->chain, 2, text, sizeof(text)), 6);
	assert_memory_equal(text, "cdefgh", 6);
	assert_int_equal(vq_read_out(&f->chain, 5, text, 2), 2);
	assert_memory_equal(text, "fg", 2);
	assert_int_equal(vq_read_out(&f->chain, 8, text, 1), 0);
	assert_int_equal(vq_write_in(&f->chain, 1, "xyz!", 4), 3);
	assert_int_equal(gmem_read(&f->gm, DATA + 0x200, text, 2), 0);
	assert_memory_equal(text, "\0x", 2);
	assert_int_equal(gmem_read(&f->gm, DATA + 0x300, text, 2), 0);
	assert_memory_equal(text, "yz", 2);

	assert_int_equal(pop(f), 0);
	assert_false(vq_has_work(&f->q));
}

static void test_indirect_chain(void **state)
{
	struct fixture *f = *state;

	/* One direct buffer, then a table (2.7.5.3.2), with a write flag to ignore. */
	desc(f, 0, (struct ring_desc){ DATA, 16, NEXT, 1 });
	desc(f, 1, (struct ring_desc){ TABLE + 1, 32, INDIRECT | WRITE, 0 });
	ring_put_desc(&f->r, TABLE + 1, 0, (struct ring_desc){ DATA + 0x100, 4, NEXT, 1 });
	ring_put_desc(&f->r, TABLE + 1, 1, (struct ring_desc){ DATA + 0x200, 8, WRITE, 0 });
	ring_offer(&f->r, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nr_out, 2);
	assert_int_equal(f->chain.nr_in, 1);
	assert_int_equal(f->chain.out_bytes, 20);
	assert_int_equal(f->chain.in_bytes, 8);
}

static void test_longest_chain(void **state)
{
	struct fixture *f = *state;

	for (uint16_t i = 0; i < SIZE; i++)
		desc(f, i,
		     (struct ring_desc){ DATA, 1, i == SIZE - 1 ? 0 : NEXT, (uint16_t)(i + 1) });
	ring_offer(&f->r, 0);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.nr_out, SIZE);
}

static void test_unpop(void **state)
{
	struct fixture *f = *state;

	exchange(f, 1);
	exchange(f, 2);
	vq_unpop(&f->q, 2);
	assert_true(vq_has_work(&f->q));
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 1);
	assert_int_equal(pop(f), 1);
	assert_int_equal(f->chain.head, 2);
	assert_int_equal(pop(f), 0);
}

/* --- bad chains -------------------------------------------------------------- */

/* Descriptors of the queue, and of the table at TABLE; the chain starts at 0. */
struct bad_chain {
	const char *name;
	struct ring_desc direct[4];
	struct ring_desc indirect[4];
};

static const struct bad_chain bad_chains[] = {
	{ "loop of one", { { DATA, 4, NEXT, 0 } }, { { 0 } } },
	{ "loop of two", { { DATA, 4, NEXT, 1 }, { DATA, 4, NEXT, 0 } }, { { 0 } } },
	{ "readable after writable",
	  { { DATA, 4, WRITE | NEXT, 1 }, { DATA, 4, 0, 0 } },
	  { { 0 } } },
	{ "next out of range", { { DATA, 4, NEXT, SIZE } }, { { 0 } } },
	{ "next far out of range", { { DATA, 4, NEXT, 0xffff } }, { { 0 } } },
	{ "address outside", { { OUTSIDE, 4, 0, 0 } }, { { 0 } } },
	{ "end outside", { { MEM - 4, 5, 0, 0 } }, { { 0 } } },
	{ "address wraps", { { UINT64_MAX, 2, WRITE, 0 } }, { { 0 } } },
	{ "length zero", { { DATA, 0, 0, 0 } }, { { 0 } } },
	{ "length zero, last", { { DATA, 4, NEXT, 1 }, { DATA, 0, WRITE, 0 } }, { { 0 } } },
	{ "length huge", { { DATA, UINT32_MAX, WRITE, 0 } }, { { 0 } } },
	{ "indirect and next", { { TABLE, 16, INDIRECT | NEXT, 1 } }, { { DATA, 4, 0, 0 } } },
	{ "indirect nested", { { TABLE, 16, INDIRECT, 0 } }, { { TABLE, 16, INDIRECT, 0 } } },
	{ "indirect odd size", { { TABLE, 17, INDIRECT, 0 } }, { { DATA, 4, 0, 0 } } },
	{ "indirect short", { { TABLE, 15, INDIRECT, 0 } }, { { DATA, 4, 0, 0 } } },
	{ "indirect empty", { { TABLE, 0, INDIRECT, 0 } }, { { DATA, 4, 0, 0 } } },
	{ "indirect larger than queue",
	  { { TABLE, 16 * (SIZE + 1), INDIRECT, 0 } },
	  { { DATA, 4, 0, 0 } } },
	{ "indirect huge", { { TABLE, 0xfffffff0, INDIRECT, 0 } }, { { DATA, 4, 0, 0 } } },
	{ "indirect outside", { { OUTSIDE, 16, INDIRECT, 0 } }, { { 0 } } },
	{ "indirect half outside", { { MEM - 16, 32, INDIRECT, 0 } }, { { 0 } } },
	{ "indirect next out of table", { { TABLE, 16, INDIRECT, 0 } }, { { DATA, 4, NEXT, 1 } } },
	{ "indirect loop",
	  { { TABLE, 32, INDIRECT, 0 } },
	  { { DATA, 4, NEXT, 1 }, { DATA, 4, NEXT, 0 } } },
	{ "indirect wrong direction",
	  { { DATA, 4, WRITE | NEXT, 1 }, { TABLE, 16, INDIRECT, 0 } },
	  { { DATA, 4, 0, 0 } } },
};

static void test_bad_chains(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad_chains); i++) {
		const struct bad_chain *c = &bad_chains[i];

		ring_init(&f->r, &f->gm, RING, SIZE);
		assert_int_equal(ring_start_vq(&f->r, &f->q), 0);
		for (unsigned n = 0; n < ARRAY_SIZE(c->direct); n++) {
			desc(f, n, c->direct[n]);
			ring_put_desc(&f->r, TABLE, n, c->indirect[n]);
		}
		ring_offer(&f->r, 0);
		if (pop(f) != -EPROTO)
			fail_msg("%s: was not refused", c->name);
		/* It stays refused, and nothing was consumed. */
		if (pop(f) != -EPROTO || f->q.state.last_avail != 0)
			fail_msg("%s: was consumed", c->name);
	}
}

static void test_bad_head(void **state)
{
	struct fixture *f = *state;

	ring_offer(&f->r, SIZE);
	assert_int_equal(pop(f), -EPROTO);
}

static void test_indirect_not_negotiated(void **state)
{
	struct fixture *f = *state;

	f->q.indirect = false;
	desc(f, 0, (struct ring_desc){ TABLE, 16, INDIRECT, 0 });
	ring_put_desc(&f->r, TABLE, 0, (struct ring_desc){ DATA, 4, 0, 0 });
	ring_offer(&f->r, 0);
	assert_int_equal(pop(f), -EPROTO);
}

static void test_more_buffers_than_allowed(void **state)
{
	struct fixture *f = *state;

	desc(f, 0, (struct ring_desc){ DATA, 4, NEXT, 1 });
	desc(f, 1, (struct ring_desc){ DATA, 4, NEXT, 2 });
	desc(f, 2, (struct ring_desc){ DATA, 4, 0, 0 });
	ring_offer(&f->r, 0);
	f->chain.max_iov = 2;
	assert_int_equal(pop(f), -EPROTO);
	f->chain.max_iov = 3;
	assert_int_equal(pop(f), 1);
}

/* Many buffers over the same bytes: each is good, the sum is beyond 2^32. */
static void test_sum_of_lengths(void **state)
{
	struct gmem big;
	struct iovec iov[NR_IOV];
	struct vq_chain chain = { .iov = iov, .max_iov = NR_IOV };
	struct ring r;
	struct vq q = { 0 };

	(void)state;
	assert_int_equal(gmem_init(&big, 3 * GIB, 0, NULL), 0);
	ring_init(&r, &big, RING, SIZE);
	assert_int_equal(ring_start_vq(&r, &q), 0);
	ring_put_desc(&r, r.desc, 0, (struct ring_desc){ DATA, 0x80000000U, NEXT, 1 });
	ring_put_desc(&r, r.desc, 1, (struct ring_desc){ DATA, 0x80000000U, NEXT, 2 });
	ring_put_desc(&r, r.desc, 2, (struct ring_desc){ DATA, 1, 0, 0 });
	ring_offer(&r, 0);
	assert_int_equal(vq_pop(&q, &chain), -EPROTO);
	ring_put_desc(&r, r.desc, 1, (struct ring_desc){ DATA, 0x80000000U, 0, 0 });
	assert_int_equal(vq_pop(&q, &chain), 1);
	assert_true(chain.out_bytes == 1ULL << 32);
	gmem_fini(&big);
}

static void test_index_jump(void **state)
{
	struct fixture *f = *state;

	desc(f, 0, (struct ring_desc){ DATA, 4, 0, 0 });
	ring_set_avail_idx(&f->r, SIZE + 1);
	assert_int_equal(pop(f), -EPROTO);
	ring_set_avail_idx(&f->r, 0xffff); /* backwards */
	assert_int_equal(pop(f), -EPROTO);
	ring_set_avail_idx(&f->r, SIZE);
	for (unsigned i = 0; i < SIZE; i++)
		assert_int_equal(pop(f), 1);
	assert_int_equal(pop(f), 0);
}

/* --- the ring's indices ------------------------------------------------------ */

static void test_ring_wrap(void **state)
{
	struct fixture *f = *state;
	struct ring_used u;

	/* Over the end of the ring many times, and over the end of 16 bits. */
	f->r.avail_idx = f->r.used_seen = 0xfff0;
	assert_int_equal(ring_start_vq(&f->r, &f->q), 0);
	for (uint32_t i = 0; i < 5U * SIZE; i++) {
		exchange(f, (uint16_t)(i % SIZE));
		vq_push(&f->q, &f->chain, i);
		assert_true(ring_take_used(&f->r, &u));
		assert_int_equal(u.id, i % SIZE);
		assert_int_equal(u.len, i);
		assert_false(ring_take_used(&f->r, &u));
	}
	assert_int_equal(f->r.avail_idx, (uint16_t)(0xfff0 + 5 * SIZE));
}

static void test_fill_then_publish(void **state)
{
	struct fixture *f = *state;
	struct ring_used u;

	exchange(f, 4);
	vq_fill(&f->q, &f->chain, 11, 0);
	exchange(f, 6);
	vq_fill(&f->q, &f->chain, 22, 1);
	assert_int_equal(ring_used_idx(&f->r), 0);
	vq_publish(&f->q, 2);
	assert_int_equal(ring_used_idx(&f->r), 2);
	assert_true(ring_take_used(&f->r, &u));
	assert_int_equal(u.id, 4);
	assert_int_equal(u.len, 11);
	assert_true(ring_take_used(&f->r, &u));
	assert_int_equal(u.id, 6);
	assert_int_equal(u.len, 22);
}

/* --- notifications ----------------------------------------------------------- */

static void test_interrupt_flag(void **state)
{
	struct fixture *f = *state;

	assert_false(vq_wants_interrupt(&f->q));
	exchange(f, 0);
	vq_push(&f->q, &f->chain, 0);
	assert_true(vq_wants_interrupt(&f->q));
	assert_false(vq_wants_interrupt(&f->q)); /* nothing new */

	ring_set_avail_flags(&f->r, 1);
	exchange(f, 0);
	vq_push(&f->q, &f->chain, 0);
	assert_false(vq_wants_interrupt(&f->q));
}

/* After @count elements from @start on: is an interrupt wanted with used_event @event? */
static bool event_decision(struct fixture *f, uint16_t start, unsigned count, uint16_t event)
{
	struct vq *q = &f->q;

	f->r.avail_idx = f->r.used_seen = start;
	ring_set_avail_idx(&f->r, start);
	assert_int_equal(ring_start_vq(&f->r, q), 0);
	q->event_idx = true;
	ring_set_used_event(&f->r, event);
	for (unsigned i = 0; i < count; i++) {
		exchange(f, (uint16_t)(i % SIZE));
		vq_push(q, &f->chain, 0);
	}
	return vq_wants_interrupt(q);
}

static void test_interrupt_event(void **state)
{
	struct fixture *f = *state;

	for (uint32_t base = 0; base <= 0xfffc; base += 0xfffc) {
		uint16_t s = (uint16_t)base;

		assert_false(event_decision(f, s, 0, s));
		assert_true(event_decision(f, s, 1, s));
		assert_false(event_decision(f, s, 1, (uint16_t)(s + 1)));
		assert_false(event_decision(f, s, 1, (uint16_t)(s - 1)));
		assert_true(event_decision(f, s, 6, s));
		assert_true(event_decision(f, s, 6, (uint16_t)(s + 5)));
		assert_false(event_decision(f, s, 6, (uint16_t)(s + 6)));
		assert_false(event_decision(f, s, 6, (uint16_t)(s + 0x8000)));
	}
}

/* A batch covers all since the last question, even more than 16 bits can count. */
static void test_interrupt_batches(void **state)
{
	struct fixture *f = *state;

	assert_true(event_decision(f, 0, 3, 1));
	for (unsigned i = 0; i < 3; i++) {
		exchange(f, 0);
		vq_push(&f->q, &f->chain, 0);
	}
	assert_false(vq_wants_interrupt(&f->q)); /* 1 was before: old ground */
	for (unsigned i = 0; i < 0x10000; i++) {
		exchange(f, 0);
		vq_push(&f->q, &f->chain, 0);
	}
	assert_true(vq_wants_interrupt(&f->q)); /* every index was passed */
}

static void test_kicks_flag(void **state)
{
	struct fixture *f = *state;

	vq_disable_kicks(&f->q);
	assert_int_equal(ring_used_flags(&f->r), 1);
	assert_false(vq_enable_kicks(&f->q));
	assert_int_equal(ring_used_flags(&f->r), 0);
	ring_offer(&f->r, 0);
	assert_true(vq_enable_kicks(&f->q));
}

static void test_kicks_event(void **state)
{
	struct fixture *f = *state;

	f->q.event_idx = true;
	exchange(f, 0);
	exchange(f, 1);
	vq_disable_kicks(&f->q);
	assert_int_equal(ring_used_flags(&f->r), 0);
	assert_int_equal(ring_avail_event(&f->r), 0);
	assert_false(vq_enable_kicks(&f->q));
	assert_int_equal(ring_avail_event(&f->r), 2);
	ring_offer(&f->r, 0);
	assert_true(vq_enable_kicks(&f->q));
}

/* --- dirty marks ------------------------------------------------------------- */

static bool page_dirty(struct fixture *f, gpa_t gpa)
{
	return bitmap_test(atomic_load(&f->gm.dirty), gpa / GMEM_PAGE_BYTES);
}

static void test_dirty(void **state)
{
	struct fixture *f = *state;

	desc(f, 0, (struct ring_desc){ DATA, 4, NEXT, 1 });
	desc(f, 1, (struct ring_desc){ DATA + 0x1000, 0x1001, WRITE, 0 });
	ring_offer(&f->r, 0);
	assert_int_equal(gmem_log_start(&f->gm), 0);
	assert_int_equal(pop(f), 1);
	assert_false(page_dirty(f, f->r.used));
	vq_fill(&f->q, &f->chain, 0x1001, 0);
	assert_true(page_dirty(f, f->r.used));
	assert_false(page_dirty(f, DATA));
	assert_true(page_dirty(f, DATA + 0x1000));
	assert_true(page_dirty(f, DATA + 0x2000));
	assert_false(page_dirty(f, DATA + 0x3000));

	gmem_log_stop(&f->gm);
	assert_int_equal(gmem_log_start(&f->gm), 0);
	vq_publish(&f->q, 1);
	assert_true(page_dirty(f, f->r.used));

	for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
		f->q.event_idx = event_idx;
		gmem_log_stop(&f->gm);
		assert_int_equal(gmem_log_start(&f->gm), 0);
		assert_false(vq_enable_kicks(&f->q));
		assert_true(page_dirty(f, f->r.used));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_start_checks_layout, setup, teardown),
		cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
		cmocka_unit_test_setup_teardown(test_direct_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indirect_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_longest_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unpop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_chains, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_head, setup, teardown),
		cmocka_unit_test_setup_teardown(test_indirect_not_negotiated, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_buffers_than_allowed, setup, teardown),
		cmocka_unit_test(test_sum_of_lengths),
		cmocka_unit_test_setup_teardown(test_index_jump, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring_wrap, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fill_then_publish, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt_flag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_interrupt_batches, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kicks_flag, setup, teardown),
		cmocka_unit_test_setup_teardown(test_kicks_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_dirty, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
