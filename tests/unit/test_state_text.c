// SPDX-License-Identifier: MIT
// ferry state's lines.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migration/vstate.h"
#include "util/compiler.h"
#include "vmm/move/state.h"

/* The lines of a document with these sections; the caller frees. */
static char *print(const char *sections)
{
	json_t *state = json_object();
	char *lines = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&lines, &len);

	assert_non_null(out);
	assert_int_equal(json_object_set_new(state, "sections", json_loads(sections, 0, NULL)), 0);
	state_print(state, out);
	(void)fclose(out);
	json_decref(state);
	return lines;
}

static void test_lines(void **state)
{
	static const struct {
		const char *sections, *line;
	} cases[] = {
		{ "[{\"name\": \"CLOCK\", \"offset\": 7, \"bytes\": 24}]",
		  "           7         24  section CLOCK\n" },
		{ "[{\"name\": \"VCPU\", \"id\": 3}]", "section VCPU 3\n" },
		{ "[{\"type\": 2147483653}]", "unknown optional section 0x80000005\n" },
		{ "[{\"name\": \"DEVICE\", \"device\": \"a\\u001b[2J\", \"device-type\": \"x\"}]",
		  "section DEVICE a?[2J, x\n" }, /* nothing for the terminal */
		{ "[{\"name\": \"DEVICE\", \"device\": \"a\", \"error\": \"cut off\"}]",
		  "section DEVICE a, ?: cut off\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"index\": 2, \"known\": false}]}]",
		  "  p[2], unknown\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"index\": 0, \"known\": true, "
		  "\"xxh3\": \"ab\"}]}]",
		  "  p[0], opaque, XXH3 ab\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"name\": \"f\", \"offset\": 100, "
		  "\"bytes\": 9, \"value\": 5}]}]}]",
		  "         100          9      f = 5\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"tag\": 9, \"optional\": true, "
		  "\"kind\": \"u8\", \"value\": true}]}]}]",
		  "unknown optional field 9 (u8) = true\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"name\": \"f\", \"value\": "
		  "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}]}]}]",
		  "f = [1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 ... (17)]\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"name\": \"f\", "
		  "\"value\": []}]}]}]",
		  "f = []\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"name\": \"f\", \"value\": "
		  "[{\"name\": \"inner\", \"value\": \"0x1\"}]}]}]}]",
		  "        inner = 0x1\n" },
		{ "[{\"parts\": [{\"name\": \"p\", \"fields\": [{\"name\": \"f\", \"value\": "
		  "[[{\"name\": \"inner\", \"value\": 1}], "
		  "[{\"name\": \"inner\", \"value\": 2}]]}]}]}]",
		  "[1]\n" },
		{ "[{\"name\": \"CONFIG\", \"config\": {\"vcpus\": 2}}]", "vcpus = 2\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char *lines = print(cases[i].sections);

		if (!strstr(lines, cases[i].line))
			fail_msg("case %zu: %s", i, lines);
		free(lines);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests_name("state_text", tests, NULL, NULL);
}
