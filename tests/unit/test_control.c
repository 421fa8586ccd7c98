// SPDX-License-Identifier: MIT
// Requests on the control socket: arguments are checked before a command sees them.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "vmm/control/cmds.h"
#include "vmm/control/control.h"

static int echo(struct control_call *c)
{
	c->ret = json_incref(c->args);
	return 0;
}

static int fail_device(struct control_call *c)
{
	return err_set(c->e, -ENODEV, "no such device in %s", (const char *)c->opaque);
}

static int fail_silently(struct control_call *c)
{
	c->ret = json_object();
	return -EIO;
}

static const char *const manners[] = { "soft", "hard", NULL };

static const struct control_arg echo_args[] = {
	{ "text", JSON_STRING, false, .help = "said again" },
	{ "count", JSON_INTEGER, true, .help = "of times" },
	{ "loud", JSON_TRUE, true, .help = "or not" },
	{ "many", JSON_INTEGER, true, .help = "few", .min = -1, .max = 3 },
	{ "how", JSON_STRING, true, .help = "of two", .choices = manners },
	{ 0 },
};

static const struct control_command commands[] = {
	{ "qmp_capabilities", control_cmd_capabilities, .help = "" },
	{ "echo", echo, .help = "", .args = echo_args },
	{ "device", fail_device, .help = "" },
	{ "io", fail_silently, .help = "" },
};

static const struct control_table table = { .commands = commands, .nr_commands = 4 };

static json_t *handle(struct control_session *s, const char *line)
{
	char name[] = "guest";
	const struct control_request req = { line, strlen(line), -1 };
	json_t *reply = control_handle(&table, s, name, &req);

	assert_non_null(reply);
	return reply;
}

/* The reply to @line, as text. */
static void expect(const char *line, const char *want)
{
	struct control_session s = { .negotiated = true };
	json_t *reply = handle(&s, line);
	char *text = json_dumps(reply, JSON_COMPACT | JSON_SORT_KEYS);

	assert_string_equal(text, want);
	free(text);
	json_decref(reply);
}

#define ERROR(class, desc) "{\"error\":{\"class\":\"" class "\",\"desc\":\"" desc "\"}}"

static void test_arguments(void **state)
{
	(void)state;
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\"}}",
	       "{\"return\":{\"text\":\"x\"}}");
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"loud\":false},\"id\":null}",
	       "{\"id\":null,\"return\":{\"loud\":false,\"text\":\"x\"}}");
	expect("{\"execute\":\"echo\"}", ERROR("GenericError", "Parameter 'text' is missing"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":1}}",
	       ERROR("GenericError", "Parameter 'text' must be a string"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"count\":1.5}}",
	       ERROR("GenericError", "Parameter 'count' must be an integer"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"loud\":1}}",
	       ERROR("GenericError", "Parameter 'loud' must be a boolean"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"txet\":\"x\"}}",
	       ERROR("GenericError", "Parameter 'txet' is unexpected"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"many\":-1,\"how\":\"hard\"}}",
	       "{\"return\":{\"how\":\"hard\",\"many\":-1,\"text\":\"x\"}}");
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"many\":4}}",
	       ERROR("GenericError", "Parameter 'many' must be -1 to 3"));
	expect("{\"execute\":\"echo\",\"arguments\":{\"text\":\"x\",\"how\":\"\"}}",
	       ERROR("GenericError", "Parameter 'how' must be one of: soft, hard"));
}

static void test_errors(void **state)
{
	(void)state;
	expect("{\"execute\":\"device\",\"id\":7}",
	       "{\"error\":{\"class\":\"DeviceNotActive\",\"desc\":\"no such device in guest\"},"
	       "\"id\":7}");
	expect("{\"execute\":\"io\"}", ERROR("GenericError", "Input/output error"));
	expect("{\"execute\":\"nothing\"}",
	       ERROR("CommandNotFound", "The command nothing has not been found"));
}

/* A long name is cut, perhaps inside of a character: there is a reply all the same. */
static void test_cut_name(void **state)
{
	struct control_session s = { .negotiated = true };
	char name[200], line[400];

	(void)state;
	for (unsigned i = 0; i < sizeof(name); i++)
		name[i] = i % 2 ? '\xc3' : '\xa4';
	name[0] = 'a';
	name[sizeof(name) - 1] = '\0';
	(void)snprintf(line, sizeof(line), "{\"execute\":\"%s\"}", name);
	json_decref(handle(&s, line));
}

static void test_negotiation(void **state)
{
	struct control_session s = { 0 };

	(void)state;
	json_decref(handle(&s, "{\"execute\":\"io\"}"));
	assert_false(s.negotiated);
	json_decref(handle(&s, "{\"execute\":\"qmp_capabilities\"}"));
	assert_true(s.negotiated);
}

static void test_nesting(void **state)
{
	struct control_session s = { .negotiated = true };
	char text[401], line[500];
	json_t *reply;

	(void)state;
	/* Brackets in strings are no nesting, escaped quotes do not end them. */
	for (unsigned i = 0; i < sizeof(text) - 1; i++)
		text[i] = "[\\\"{"[i % 4];
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(line, sizeof(line), "{\"execute\":\"io\",\"x\":\"%s\"}", text);
	reply = handle(&s, line);
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(reply, "error"), "desc")),
		"Input/output error");
	json_decref(reply);
}

/* Each type that the schema names is in it, once. */
static void test_schema(void **state)
{
	struct err e;
	struct control_call c = { .table = &control_guest_table, .e = &e, .fd = -1 };
	json_t *names = json_object(), *info, *member;
	static const char *const refs[] = { "arg-type", "ret-type" };
	size_t i, j;

	(void)state;
	assert_int_equal(control_cmd_schema(&c), 0);
	json_array_foreach(c.ret, i, info)
	{
		const char *name = json_string_value(json_object_get(info, "name"));

		assert_null(json_object_get(names, name));
		(void)json_object_set_new(names, name, json_true());
	}
	json_array_foreach(c.ret, i, info)
	{
		for (j = 0; j < ARRAY_SIZE(refs); j++) {
			const char *ref = json_string_value(json_object_get(info, refs[j]));

			assert_true(!ref || json_object_get(names, ref));
		}
		if (strcmp(json_string_value(json_object_get(info, "meta-type")), "object") != 0)
			continue;
		json_array_foreach(json_object_get(info, "members"), j, member)
		{
			assert_non_null(json_object_get(
				names, json_string_value(json_object_get(member, "type"))));
		}
	}
	json_decref(names);
	json_decref(c.ret);
}

/* What every guest offers can be told apart, and says what it does. */
static void test_guest_table(void **state)
{
	const struct control_table *t = &control_guest_table;

	(void)state;
	for (size_t i = 0; i < t->nr_commands; i++) {
		assert_non_null(t->commands[i].fn);
		assert_non_null(t->commands[i].help);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(t->commands[i].name, t->commands[j].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_cut_name),    cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_nesting),     cmocka_unit_test(test_schema),
		cmocka_unit_test(test_guest_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
