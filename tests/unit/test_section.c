// SPDX-License-Identifier: MIT
// Section headers: bytes, limits, checksums.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "migration/frames.h"
#include "migration/section.h"
#include "migration/vstate.h"

static const char payload[] = "the state of a device";

/* A change of these is a change of the format. */
static void test_golden(void **state)
{
	static const uint8_t golden[SECTION_HEADER_BYTES] = {
		4,
		0,
		0,
		0,
		7,
		0,
		0,
		0,
		22,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
		/* XXH3-64 of the payload, seeded with that of the 16 bytes above */
		0xaf,
		0xa1,
		0xbc,
		0x39,
		0x5d,
		0xfe,
		0x9c,
		0xc7,
	};
	uint8_t header[SECTION_HEADER_BYTES];
	struct section s;
	struct err e;

	(void)state;
	section_seal(header, SECTION_VCPU, 7, payload, sizeof(payload));
	assert_memory_equal(header, golden, sizeof(golden));
	assert_int_equal(section_parse_header(header, &s, &e), 0);
	assert_int_equal(s.type, SECTION_VCPU);
	assert_int_equal(s.id, 7);
	assert_int_equal(s.bytes, sizeof(payload));
	assert_null(s.payload);
	assert_int_equal(section_verify(header, payload, &e), 0);
}

/* No bit of header or payload can change unnoticed. */
static void test_flipped_bits(void **state)
{
	uint8_t all[SECTION_HEADER_BYTES + sizeof(payload)];

	(void)state;
	for (size_t bit = 0; bit < 8 * sizeof(all); bit++) {
		struct section s = { 0 };
		struct err e;
		int rc;

		memcpy(all + SECTION_HEADER_BYTES, payload, sizeof(payload));
		section_seal(all, SECTION_VCPU, 7, payload, sizeof(payload));
		all[bit / 8] ^= (uint8_t)(1U << bit % 8);
		rc = section_parse_header(all, &s, &e);
		if (rc == 0 && s.bytes <= sizeof(payload)) /* else the read comes to an end */
			assert_int_equal(section_verify(all, all + SECTION_HEADER_BYTES, &e),
					 -EBADMSG);
		else if (rc < 0)
			assert_int_equal(rc, -EPROTO);
	}
}

static void test_limits(void **state)
{
	static const uint32_t types[] = {
		SECTION_CONFIG,    SECTION_CLOCK,           SECTION_IRQCHIP,
		SECTION_VCPU,      SECTION_DEVICE,          SECTION_END,
		SECTION_RAM_INDEX, SECTION_HELLO,           SECTION_REPLY,
		SECTION_MESSAGE,   SECTION_RAM_SYNC,        SECTION_MACHINE,
		SECTION_BOOT,      1234 | SECTION_OPTIONAL,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		uint8_t header[SECTION_HEADER_BYTES];
		uint64_t max = section_max_bytes(types[i]);
		struct section s = { 0 };
		struct err e;

		assert_in_range(max, types[i] == SECTION_END ? 0 : 4096, 96 * MIB);
		section_seal(header, types[i], 0, "", 0);
		memcpy(header + 8, &max, sizeof(max));
		assert_int_equal(section_parse_header(header, &s, &e), 0);
		for (uint64_t more = max + 1; more > max; more *= 256) {
			memcpy(header + 8, &more, sizeof(more));
			assert_int_equal(section_parse_header(header, &s, &e), -EPROTO);
		}
	}
	assert_in_range(section_max_bytes(SECTION_DEVICE), VSTATE_MAX_BYTES, UINT32_MAX);
}

static void test_unknown(void **state)
{
	static const uint32_t unknown[] = { 0, 9, 15, 22, 99, 0x7fffffff };
	uint8_t header[SECTION_HEADER_BYTES];
	struct section s = { 0 };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		assert_false(section_is_known(unknown[i]));
		assert_int_equal(section_max_bytes(unknown[i]), 0);
		section_seal(header, unknown[i], 0, "", 0);
		assert_int_equal(section_parse_header(header, &s, &e), -EPROTO);
		assert_non_null(strstr(e.text, "unknown type"));
		/* What may be skipped passes, so that it can be. */
		section_seal(header, unknown[i] | SECTION_OPTIONAL, 0, "", 0);
		assert_int_equal(section_parse_header(header, &s, &e), 0);
		assert_false(section_is_known(s.type));
	}
	assert_true(section_is_known(SECTION_END));
}

/* Frames in a payload: what was put is got, and half a frame is none. */
static void test_frames(void **state)
{
	static uint8_t buf[FRAMES_MAX_BYTES];
	static const char first[FRAMES_MIN_FRAME] = "first", other[FRAMES_MIN_FRAME + 1] = "other";
	const size_t middle = 4 + sizeof(first), end = middle + 4 + sizeof(other);
	struct section s = { .payload = buf };
	struct iovec frame;
	struct err e;
	size_t pos = 0;

	(void)state;
	assert_int_equal(frames_put(buf, 0, first, sizeof(first)), middle);
	assert_int_equal(frames_put(buf, middle, other, sizeof(other)), end);
	for (s.bytes = 1; s.bytes < end; s.bytes++) {
		int rc = 1;

		for (pos = 0; rc == 1;)
			rc = frames_get(&s, &pos, &frame, &e);
		assert_int_equal(rc, s.bytes == middle ? 0 : -EPROTO);
	}
	pos = 0;
	assert_int_equal(frames_get(&s, &pos, &frame, &e), 1);
	assert_int_equal(frame.iov_len, sizeof(first));
	assert_memory_equal(frame.iov_base, first, sizeof(first));
	assert_int_equal(frames_get(&s, &pos, &frame, &e), 1);
	assert_int_equal(frame.iov_len, sizeof(other));
	assert_memory_equal(frame.iov_base, other, sizeof(other));
	assert_int_equal(frames_get(&s, &pos, &frame, &e), 0);
	buf[0] = FRAMES_MIN_FRAME - 1;
	pos = 0;
	assert_int_equal(frames_get(&s, &pos, &frame, &e), -EPROTO);
	assert_int_equal(frames_put(buf, FRAMES_MAX_BYTES - 7, "abcd", 4), 0);
	assert_int_equal(frames_put(buf, FRAMES_MAX_BYTES - 8, "abcd", 4), FRAMES_MAX_BYTES);
	assert_int_equal(frames_put(buf, 0, "", FRAMES_MAX_BYTES), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden), cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_limits), cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests_name("section", tests, NULL, NULL);
}
