// SPDX-License-Identifier: MIT
// The table of commands as data: for clients (query-qmp-schema) and the documentation.
#include <stdio.h>

#include "vmm/control/control.h"

const struct control_arg control_lost_data[] = {
	{ "count", JSON_INTEGER, false, .help = "how many" },
	{ 0 },
};

/* QMP's name of a built-in type. */
static const char *type_name(json_type type)
{
	switch (type) {
	case JSON_STRING:
		return "str";
	case JSON_INTEGER:
		return "int";
	case JSON_REAL:
		return "number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "bool";
	case JSON_NULL:
		return "null";
	case JSON_OBJECT:
	case JSON_ARRAY:
		break;
	}
	return "any";
}

/* --- query-qmp-schema --- */

static void add(json_t *schema, json_t *info)
{
	(void)json_array_append_new(schema, info);
}

static void add_builtins(json_t *schema)
{
	static const char *const types[][2] = {
		{ "str", "string" },   { "int", "int" },   { "number", "number" },
		{ "bool", "boolean" }, { "null", "null" }, { "any", "value" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		add(schema, json_pack("{s:s, s:s, s:s}", "name", types[i][0], "meta-type",
				      "builtin", "json-type", types[i][1]));
}

static json_t *enum_members(const char *const *choices)
{
	json_t *array = json_array();

	for (; *choices; choices++)
		(void)json_array_append_new(array, json_pack("{s:s}", "name", *choices));
	return array;
}

/* The name of @arg's type, which is added where it is an enumeration of its own. */
static json_t *type_of(json_t *schema, const char *owner, const struct control_arg *arg)
{
	json_t *name;

	if (!arg->choices)
		return json_string(type_name(arg->type));
	name = json_sprintf("%s-%s", owner, arg->name);
	add(schema, json_pack("{s:O, s:s, s:o}", "name", name, "meta-type", "enum", "members",
			      enum_members(arg->choices)));
	return name;
}

/* Add the object that @args describes; its name, a new reference. */
static json_t *add_object(json_t *schema, const char *owner, const struct control_arg *args)
{
	json_t *members = json_array();
	json_t *name = args ? json_sprintf("q_obj_%s-arg", owner) : json_string("q_empty");

	for (; args && args->name; args++) {
		json_t *member = json_pack("{s:s, s:o}", "name", args->name, "type",
					   type_of(schema, owner, args));

		if (args->optional)
			(void)json_object_set_new(member, "default", json_null());
		(void)json_array_append_new(members, member);
	}
	add(schema,
	    json_pack("{s:O, s:s, s:o}", "name", name, "meta-type", "object", "members", members));
	return name;
}

/* QMP's SchemaInfo; what a command returns is told in words alone, so it is "any" here. */
int control_cmd_schema(struct control_call *c)
{
	const struct control_table *t = c->table;
	json_t *schema = json_array();

	add_builtins(schema);
	json_decref(add_object(schema, "", NULL));
	for (size_t i = 0; i < t->nr_commands; i++) {
		const struct control_command *cmd = &t->commands[i];

		add(schema, json_pack("{s:s, s:s, s:o, s:s}", "name", cmd->name, "meta-type",
				      "command", "arg-type",
				      cmd->args ? add_object(schema, cmd->name, cmd->args)
						: json_string("q_empty"),
				      "ret-type", cmd->returns ? "any" : "q_empty"));
	}
	for (const struct control_event_info *ev = t->events; ev && ev->name; ev++)
		add(schema,
		    json_pack("{s:s, s:s, s:o}", "name", ev->name, "meta-type", "event", "arg-type",
			      ev->data ? add_object(schema, ev->name, ev->data)
				       : json_string("q_empty")));
	c->ret = schema;
	return 0;
}

/* --- the documentation --- */

static json_t *describe_args(const struct control_arg *args)
{
	json_t *array = json_array();

	for (; args && args->name; args++) {
		json_t *arg = json_pack("{s:s, s:s, s:b, s:s}", "name", args->name, "type",
					type_name(args->type), "optional", args->optional, "help",
					args->help);

		if (args->max)
			(void)json_object_set_new(arg, "range",
						  json_pack("[I, I]", args->min, args->max));
		if (args->choices)
			(void)json_object_set_new(arg, "choices", enum_members(args->choices));
		(void)json_array_append_new(array, arg);
	}
	return array;
}

json_t *control_describe(const struct control_table *table)
{
	static const char *const fd[] = {
		[CONTROL_FD_NONE] = "none",
		[CONTROL_FD_OPTIONAL] = "optional",
		[CONTROL_FD_REQUIRED] = "required",
	};
	json_t *commands = json_array(), *events = json_array();

	for (size_t i = 0; i < table->nr_commands; i++) {
		const struct control_command *cmd = &table->commands[i];

		(void)json_array_append_new(
			commands,
			json_pack("{s:s, s:s, s:s?, s:s, s:b, s:o}", "name", cmd->name, "help",
				  cmd->help, "returns", cmd->returns, "descriptor", fd[cmd->fd],
				  "anytime", cmd->anytime, "arguments", describe_args(cmd->args)));
	}
	for (const struct control_event_info *ev = table->events; ev && ev->name; ev++)
		(void)json_array_append_new(events,
					    json_pack("{s:s, s:s, s:o}", "name", ev->name, "help",
						      ev->help, "data", describe_args(ev->data)));
	return json_pack("{s:o, s:o}", "commands", commands, "events", events);
}
