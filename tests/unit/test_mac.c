// SPDX-License-Identifier: MIT
// MAC addresses: derivation is stable, parsing is strict.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "net/mac.h"

static void derived(const char *name, unsigned index, char text[MAC_TEXT_BYTES])
{
	uint8_t mac[MAC_BYTES];

	mac_derive(name, index, mac);
	mac_format(mac, text);
}

/* Computed by hand from the description in mac.h: guests rely on it. */
static void test_derive_golden(void **state)
{
	char text[MAC_TEXT_BYTES];

	(void)state;
	derived("web", 0, text);
	assert_string_equal(text, "02:2e:09:fe:10:96");
	derived("web", 1, text);
	assert_string_equal(text, "02:2e:09:fe:12:e8");
	derived("", 255, text);
	assert_string_equal(text, "02:07:b4:e2:1a:a9");
}

static void test_derive_differs(void **state)
{
	char a[MAC_TEXT_BYTES], b[MAC_TEXT_BYTES];

	(void)state;
	derived("web1", 0, a);
	derived("web", 1, b);
	assert_string_not_equal(a, b);
	derived("db1", 0, b);
	assert_string_not_equal(a, b);
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int rc;
	} cases[] = {
		{ "02:00:00:00:00:01", 0 },
		{ "52:54:00:aB:Cd:eF", 0 },
		{ "", -EINVAL },
		{ "02:00:00:00:00", -EINVAL },
		{ "02:00:00:00:00:0", -EINVAL },
		{ "02:00:00:00:00:011", -EINVAL },
		{ "02-00-00-00-00-01", -EINVAL },
		{ "02:00:00:00:00:0g", -EINVAL },
		{ "02:00:00:00:00:0\x11", -EINVAL },
		{ "01:00:5e:00:00:01", -EINVAL }, /* multicast */
		{ "ff:ff:ff:ff:ff:ff", -EINVAL },
		{ "00:00:00:00:00:00", -EINVAL },
	};
	uint8_t mac[MAC_BYTES];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(mac_parse(cases[i].text, mac), cases[i].rc);
}

static void test_parse_and_format(void **state)
{
	static const uint8_t want[MAC_BYTES] = { 0x52, 0x54, 0x00, 0xab, 0xcd, 0xef };
	char text[MAC_TEXT_BYTES];
	uint8_t mac[MAC_BYTES];

	(void)state;
	assert_int_equal(mac_parse("52:54:00:AB:cd:ef", mac), 0);
	assert_memory_equal(mac, want, MAC_BYTES);
	mac_format(mac, text);
	assert_string_equal(text, "52:54:00:ab:cd:ef");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_derive_golden),
		cmocka_unit_test(test_derive_differs),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_and_format),
	};

	return cmocka_run_group_tests_name("mac", tests, NULL, NULL);
}
