// SPDX-License-Identifier: MIT
// virtio-blk requests: in every framing, malformed ones, features, configuration.
#include <errno.h>
#include <linux/virtio_config.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/blkdev.h"

/* --- good requests ----------------------------------------------------------- */

static void test_read_and_write(void **state)
{
	struct blkdev *f = *state;
	uint8_t buf[SECTOR];

	blkdev_new(f, (struct blk_config){ 0 });
	blkdev_check_read(f, 0, SECTORS);
	assert_int_equal(blkdev_write_byte(f, 7, 0x77), VIRTIO_BLK_S_OK);
	blkdev_check_read(f, 8, 5);
	assert_int_equal(blkdev_request(f, VIRTIO_BLK_T_FLUSH, 0, (struct piece){ 0 }),
			 VIRTIO_BLK_S_OK);
	tmpdisk_read(&f->disk, 7 * SECTOR, buf, SECTOR);
	assert_int_equal(buf[0], 0x77);
	assert_int_equal(buf[SECTOR - 1], 0x77);
}

/* Descriptor lengths of one request of two sectors: device-readable, then -writable. */
static const struct framing {
	uint32_t out[8], in[8];
} framings[] = {
	{ { 16 }, { 1024, 1 } },
	{ { 16 }, { 1025 } },
	{ { 16 }, { 1000, 25 } },
	{ { 1, 15 }, { 512, 512, 1 } },
	{ { 4, 4, 8 }, { 3, 509, 1, 511, 1 } },
	{ { 15, 1 }, { 1023, 2 } },
};

static void test_read_framings(void **state)
{
	struct blkdev *f = *state;
	uint8_t buf[1025];

	blkdev_new(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(framings); i++) {
		struct piece p[16];
		unsigned n = 0;
		gpa_t at = HEADERS;

		blkdev_put_header(f, HEADERS, VIRTIO_BLK_T_IN, 10 + i);
		memset(buf, PENDING, sizeof(buf));
		blkdev_put(f, DATA, buf, sizeof(buf));
		for (const uint32_t *l = framings[i].out; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, false };
		at = DATA;
		for (const uint32_t *l = framings[i].in; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, true };
		ring_offer(&f->rings[0], blkdev_chain(f, 0, p, n));
		blkdev_kick(f, 0);
		assert_int_equal(blkdev_take_used(f, 0).len, 1025);
		blkdev_get(f, DATA, buf, sizeof(buf));
		assert_true(tmpdisk_is_fresh(buf, 10 + i));
		assert_true(tmpdisk_is_fresh(buf + SECTOR, 11 + i));
		assert_int_equal(buf[1024], VIRTIO_BLK_S_OK);
	}
}

static void test_write_framings(void **state)
{
	static const uint32_t lens[][8] = {
		{ 16, 1024 }, { 1040 }, { 20, 1020 }, { 3, 13, 1000, 24 }, { 15, 513, 512 },
	};
	struct blkdev *f = *state;
	uint8_t buf[1024];

	blkdev_new(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		struct piece p[16];
		unsigned n = 0;
		gpa_t at = DATA;

		blkdev_put_header(f, DATA, VIRTIO_BLK_T_OUT, 20);
		for (size_t b = 0; b < sizeof(buf); b++)
			buf[b] = (uint8_t)(b * 7 + i);
		blkdev_put(f, DATA + 16, buf, sizeof(buf));
		for (const uint32_t *l = lens[i]; *l; at += *l++)
			p[n++] = (struct piece){ at, *l, false };
		p[n++] = (struct piece){ STATUSES, 1, true };
		ring_offer(&f->rings[0], blkdev_chain(f, 0, p, n));
		blkdev_kick(f, 0);
		assert_int_equal(blkdev_take_used(f, 0).len, 1);
		assert_int_equal(blkdev_status(f, 0, 0), VIRTIO_BLK_S_OK);
		tmpdisk_read(&f->disk, 20 * SECTOR, buf, sizeof(buf));
		for (size_t b = 0; b < sizeof(buf); b++)
			assert_int_equal(buf[b], (uint8_t)(b * 7 + i));
	}
}

static void test_get_id(void **state)
{
	struct blkdev *f = *state;
	char id[21] = { 0 };

	blkdev_new(f, (struct blk_config){ .serial = "0123456789abcdefghij" });
	assert_int_equal(
		blkdev_request(f, VIRTIO_BLK_T_GET_ID, 0, (struct piece){ DATA, 20, true }),
		VIRTIO_BLK_S_OK);
	blkdev_get(f, DATA, id, 20);
	assert_string_equal(id, "0123456789abcdefghij");
}

static uint8_t range_request(struct blkdev *f, uint32_t type, uint64_t sector, uint32_t count,
			     uint32_t flags)
{
	const struct virtio_blk_discard_write_zeroes seg = {
		.sector = sector,
		.num_sectors = count,
		.flags = flags,
	};

	blkdev_put(f, DATA, &seg, sizeof(seg));
	return blkdev_request(f, type, 0, (struct piece){ DATA, sizeof(seg), false });
}

static void test_discard_and_write_zeroes(void **state)
{
	struct blkdev *f = *state;
	uint8_t buf[2 * SECTOR];
	static const uint8_t zeroes[SECTOR];

	blkdev_new(f, (struct blk_config){ 0 });
	for (uint32_t flags = 0; flags < 2; flags++) {
		assert_int_equal(
			range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 30 + 10 * flags, 1, flags),
			VIRTIO_BLK_S_OK);
		tmpdisk_read(&f->disk, (30 + 10 * flags) * SECTOR, buf, sizeof(buf));
		assert_memory_equal(buf, zeroes, SECTOR);
		assert_true(tmpdisk_is_fresh(buf + SECTOR, 31 + 10 * flags));
	}
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 64, 8, 0), VIRTIO_BLK_S_OK);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 64, 8, 1), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 64, 8, 2),
			 VIRTIO_BLK_S_UNSUPP);
	blkdev_check_read(f, 72, 2);
}

/* --- requests that break the rules -------------------------------------------- */

static void test_malformed_requests(void **state)
{
	static const struct {
		uint32_t type;
		uint64_t sector;
		struct piece data;
		uint8_t status;
	} cases[] = {
		{ VIRTIO_BLK_T_IN, SECTORS, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, SECTORS - 1, { DATA, 1024, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, UINT64_MAX / SECTOR + 1, { DATA, SECTOR, true }, 1 },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 511, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 513, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { DATA, 3 * MIB, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_IN, 0, { 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, SECTORS - 1, { DATA, 1024, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, UINT64_MAX, { DATA, SECTOR, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { DATA, 100, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_OUT, 0, { 0 }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, { DATA, 19, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_GET_ID, 0, { DATA, 20, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 15, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 32, false }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_DISCARD, 0, { DATA, 16, true }, VIRTIO_BLK_S_IOERR },
		{ VIRTIO_BLK_T_SCSI_CMD, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_UNSUPP },
		{ VIRTIO_BLK_T_BARRIER | 1, 0, { DATA, SECTOR, false }, VIRTIO_BLK_S_UNSUPP },
		{ 0xffffffff, 0, { DATA, SECTOR, true }, VIRTIO_BLK_S_UNSUPP },
	};
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t status = blkdev_request(f, cases[i].type, cases[i].sector, cases[i].data);

		if (status != cases[i].status)
			fail_msg("case %zu: status %u", i, status);
	}
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, SECTORS, 1, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, SECTORS - 1, 2, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 0, 0, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, UINT64_MAX, UINT32_MAX, 0), 1);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, UINT32_MAX, 0), 1);
	blkdev_check_read(f, 0, SECTORS); /* none of them has done anything */
}

/* Requests without room for an answer: the device wants a reset, and gets it. */
static void test_unanswerable_requests(void **state)
{
	static const struct piece cases[][3] = {
		{ { HEADERS, 15, false }, { STATUSES, 1, true } },
		{ { HEADERS, 16, false } },
		{ { HEADERS, 16, false }, { DATA, SECTOR, false } },
		{ { DATA, SECTOR, true } },
		{ { HEADERS, 16, false }, { MEM, SECTOR, true }, { STATUSES, 1, true } },
	};
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ 0 });
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned n = 0, config_irqs = f->nr_config_irqs;

		while (n < 3 && cases[i][n].len)
			n++;
		blkdev_put_header(f, HEADERS, VIRTIO_BLK_T_IN, 0);
		ring_offer(&f->rings[0], blkdev_chain(f, 0, cases[i], n));
		blkdev_kick(f, 0);
		assert_true(f->blk->vdev.broken);
		assert_int_equal(f->nr_config_irqs, config_irqs + 1);
		blkdev_quiesce(f, true);
		assert_int_equal(ring_used_idx(&f->rings[0]), 1 - (i == 0));
		atomic_store(&f->blk->vdev.broken, false);
		f->next_desc = 0;
		blkdev_start(f);
		blkdev_check_read(f, 3, 1);
	}
}

static void test_features_not_negotiated(void **state)
{
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ 0 });
	f->blk->vdev.features = 1ULL << VIRTIO_F_VERSION_1;
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
	assert_int_equal(blkdev_write_byte(f, 0, 1), VIRTIO_BLK_S_OK); /* write-through */
}

/* --- configuration ------------------------------------------------------------- */

static void test_configuration(void **state)
{
	struct blkdev *f = *state;
	const struct virtio_class *cls;
	struct virtio_blk_config c = { 0 };
	uint8_t off = 0;

	blkdev_new(f, (struct blk_config){ .queues = 2 });
	cls = f->blk->vdev.cls;
	assert_int_equal(cls->config_bytes, 60);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.capacity, SECTORS);
	assert_int_equal(c.seg_max, QSIZE - 2);
	assert_int_equal(c.blk_size, 512);
	assert_int_equal(c.physical_block_exp, 3);
	assert_int_equal(c.num_queues, 2);
	assert_int_equal(c.wce, 1);
	cls->config_write(&f->blk->vdev, 0, &c, 8); /* read-only: nothing happens */
	cls->config_write(&f->blk->vdev, offsetof(struct virtio_blk_config, wce), &off, 1);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.wce, 0);
	assert_int_equal(blkdev_write_byte(f, 0, 1), VIRTIO_BLK_S_OK);
	cls->reset(&f->blk->vdev);
	cls->config_read(&f->blk->vdev, 0, &c, cls->config_bytes);
	assert_int_equal(c.wce, 1);
}

static void test_offered_features(void **state)
{
	struct blkdev *f = *state;
	const uint64_t discard = 1ULL << VIRTIO_BLK_F_DISCARD | 1ULL << VIRTIO_BLK_F_WRITE_ZEROES;
	const uint64_t ro = 1ULL << VIRTIO_BLK_F_RO, mq = 1ULL << VIRTIO_BLK_F_MQ;

	blkdev_new(f, (struct blk_config){ .readonly = true });
	assert_int_equal(f->blk->vdev.offered & (discard | ro | mq), ro);
	blkdev_free(f);
	blkdev_new(f, (struct blk_config){ .queues = 2 });
	assert_int_equal(f->blk->vdev.offered & (discard | ro | mq), discard | mq);
}

static void test_readonly(void **state)
{
	struct blkdev *f = *state;

	blkdev_new(f, (struct blk_config){ .readonly = true });
	f->blk->vdev.features = ~0ULL; /* a driver that does not care what was offered */
	assert_int_equal(blkdev_write_byte(f, 3, 9), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_DISCARD, 3, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(range_request(f, VIRTIO_BLK_T_WRITE_ZEROES, 3, 1, 0), VIRTIO_BLK_S_IOERR);
	assert_int_equal(blkdev_request(f, VIRTIO_BLK_T_FLUSH, 0, (struct piece){ 0 }),
			 VIRTIO_BLK_S_OK);
	blkdev_check_read(f, 0, SECTORS);
}

static void test_bad_configurations(void **state)
{
	static const struct blk_config cases[] = {
		{ .queues = BLK_MAX_QUEUES + 1 },
		{ .queue_size = 3 },
		{ .queue_size = 2 },
		{ .queue_size = 2048 },
		{ .serial = "012345678901234567890" },
	};
	struct blkdev *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct blk_config cfg = cases[i];
		struct err e = { 0 };

		cfg.id = "disk0";
		cfg.path = f->disk.path;
		assert_int_equal(blk_check(&cfg, &e), -EINVAL);
		assert_int_equal(blk_dev_new(&f->vm, &cfg, &f->blk, &e), -EINVAL);
		assert_memory_equal(e.text, "disk0: ", 7);
	}
}

#define BLK_TEST(fn) cmocka_unit_test_setup_teardown(fn, blkdev_setup, blkdev_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BLK_TEST(test_read_and_write),
		BLK_TEST(test_read_framings),
		BLK_TEST(test_write_framings),
		BLK_TEST(test_get_id),
		BLK_TEST(test_discard_and_write_zeroes),
		BLK_TEST(test_malformed_requests),
		BLK_TEST(test_unanswerable_requests),
		BLK_TEST(test_features_not_negotiated),
		BLK_TEST(test_configuration),
		BLK_TEST(test_offered_features),
		BLK_TEST(test_readonly),
		BLK_TEST(test_bad_configurations),
	};

	return cmocka_run_group_tests_name("blk", tests, NULL, NULL);
}
