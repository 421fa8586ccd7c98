// SPDX-License-Identifier: MIT
// Anybody's words, before they are shown.
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "util/printable.h"

static void check(void (*clean)(char *), const char *from, const char *to)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%s", from);
	clean(text);
	assert_string_equal(text, to);
}

static void test_text(void **state)
{
	(void)state;
	check(printable, "", "");
	check(printable, "guest \"a\" ~", "guest \"a\" ~");
	check(printable, "\033[31m\a\r\n\t\x7f", "?[31m?????");
	/* C1: CSI, and the first and last of them. */
	check(printable,
	      "\xc2\x9b"
	      "31m \xc2\x80\xc2\x9f",
	      "??31m ????");
	/* Letters and signs that share a byte with them, and a lead at the end. */
	check(printable, "\xc2\xa0\xc3\x9b\xe2\x82\xac \xc2", "\xc2\xa0\xc3\x9b\xe2\x82\xac \xc2");
}

static void test_ascii(void **state)
{
	(void)state;
	check(printable_ascii, "", "");
	check(printable_ascii, " ~\x1f\x7f\x80\xff", " ~????");
}

/* What a JSON parser makes of string @from when it was cleaned. */
static void check_json(const char *from, const char *to)
{
	char text[128];
	json_t *root;
	const char *key;
	json_t *value;

	(void)snprintf(text, sizeof(text), "{\"%s\": [\"%s\"]}", from, from);
	printable_json(text, strlen(text));
	root = json_loads(text, 0, NULL);
	assert_non_null(root);
	json_object_foreach(root, key, value)
	{
		assert_string_equal(key, to);
		assert_string_equal(json_string_value(json_array_get(value, 0)), to);
	}
	json_decref(root);
}

static void test_json(void **state)
{
	(void)state;
	check_json("plain", "plain");
	check_json("\\u001b[31m\\u009B\\u007f\\u0080\\u009f", "?[31m????");
	check_json("\\b\\f\\r", "\t\t\t");
	check_json("a\\nb\\tc\\u000a\\u0009", "a\nb\tc\n\t");
	check_json("\x7f \xc2\x9b", "? ??");
	check_json("\\u00a0\\u0041\\u1b00", "\xc2\xa0"
					    "A\xe1\xac\x80");
	/* A backslash before it, and one that is itself escaped. */
	check_json("\\\\u001b", "\\u001b");
	check_json("\\\\\\u001b\\\"\\/", "\\?\"/");
}

/* Texts that end in the midst of something: nothing is read or written past their end. */
static void test_json_ends(void **state)
{
	static const char *const texts[] = { "",          "\\",          "\"\\u",  "\"\\u001",
					     "\"\\u001g", "\"\\u00zz\"", "\"\xc2", "\\u001b" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
		for (size_t len = 0; len <= strlen(texts[i]); len++) {
			char *text = test_malloc(len + 1);

			memcpy(text, texts[i], len);
			text[len] = '\x7f';
			printable_json(text, len);
			assert_int_equal(text[len], '\x7f');
			test_free(text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_ascii),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_json_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
