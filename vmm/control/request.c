// SPDX-License-Identifier: MIT
// Requests on the control socket: from a line of bytes to a reply.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/io.h"
#include "vmm/control/control.h"
#include "vmm/json_text.h"

/* --- replies --- */

static json_t *make_error(const char *error_class, const char *desc)
{
	json_t *reply = json_pack("{s:{s:s, s:s}}", "error", "class", error_class, "desc", desc);

	/* A path in the text need not be UTF-8, and then JSON cannot hold it. */
	if (!reply)
		reply = json_pack("{s:{s:s, s:s}}", "error", "class", error_class, "desc",
				  "(the reason cannot be shown: it is not UTF-8)");
	return reply;
}

/* QMP's class for what a command returned. */
static const char *error_class(int code)
{
	return code == -ENODEV ? "DeviceNotActive" : "GenericError";
}

/* --- arguments --- */

static bool type_fits(const struct control_arg *arg, const json_t *value)
{
	if (arg->type == JSON_TRUE)
		return json_is_boolean(value);
	if (arg->type == JSON_REAL)
		return json_is_number(value);
	return json_typeof(value) == arg->type;
}

static const char *type_name(json_type type)
{
	switch (type) {
	case JSON_OBJECT:
		return "an object";
	case JSON_ARRAY:
		return "an array";
	case JSON_STRING:
		return "a string";
	case JSON_INTEGER:
		return "an integer";
	case JSON_REAL:
		return "a number";
	case JSON_TRUE:
	case JSON_FALSE:
		return "a boolean";
	case JSON_NULL:
		break;
	}
	return "null";
}

static int check_range(const struct control_arg *arg, const json_t *value, struct err *e)
{
	if (arg->max == 0 || arg->type != JSON_INTEGER ||
	    (json_integer_value(value) >= arg->min && json_integer_value(value) <= arg->max))
		return 0;
	return err_set(e, -EINVAL,
		       "Parameter '%s' must be %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT,
		       arg->name, arg->min, arg->max);
}

static int check_choice(const struct control_arg *arg, const json_t *value, struct err *e)
{
	char text[256];
	size_t len = 0;

	if (!arg->choices)
		return 0;
	for (const char *const *choice = arg->choices; *choice; choice++) {
		if (!strcmp(*choice, json_string_value(value)))
			return 0;
		if (len < sizeof(text))
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
						len ? ", " : "", *choice);
	}
	return err_set(e, -EINVAL, "Parameter '%s' must be %s%s", arg->name,
		       arg->choices[1] ? "one of: " : "", text);
}

static const struct control_arg *find_arg(const struct control_command *cmd, const char *name)
{
	for (const struct control_arg *a = cmd->args; a && a->name; a++) {
		if (!strcmp(a->name, name))
			return a;
	}
	return NULL;
}

static int check_args(const struct control_command *cmd, json_t *args, struct err *e)
{
	const char *name;
	json_t *value;

	json_object_foreach(args, name, value)
	{
		const struct control_arg *arg = find_arg(cmd, name);

		if (!arg)
			return err_set(e, -EINVAL, "Parameter '%.64s' is unexpected", name);
		if (!type_fits(arg, value))
			return err_set(e, -EINVAL, "Parameter '%s' must be %s", name,
				       type_name(arg->type));
		if (check_range(arg, value, e) < 0 || check_choice(arg, value, e) < 0)
			return -EINVAL;
	}
	for (const struct control_arg *a = cmd->args; a && a->name; a++) {
		if (!a->optional && !json_object_get(args, a->name))
			return err_set(e, -EINVAL, "Parameter '%s' is missing", a->name);
	}
	return 0;
}

static int check_fd(const struct control_command *cmd, int fd, struct err *e)
{
	if (fd == -EMFILE)
		return err_set(e, -EINVAL, "A request brings one descriptor at most");
	if (fd >= 0 && cmd->fd == CONTROL_FD_NONE)
		return err_set(e, -EINVAL, "The command %s takes no descriptor", cmd->name);
	if (fd < 0 && cmd->fd == CONTROL_FD_REQUIRED)
		return err_set(e, -EINVAL, "The command %s wants a descriptor with it", cmd->name);
	return 0;
}

/* --- dispatch --- */

static const struct control_command *find_command(const struct control_table *table,
						  const char *name)
{
	for (size_t i = 0; i < table->nr_commands; i++) {
		if (!strcmp(table->commands[i].name, name))
			return &table->commands[i];
	}
	return NULL;
}

static json_t *call(const struct control_command *cmd, struct control_call *c, json_t *given)
{
	json_t *args = given ? json_incref(given) : json_object();
	json_t *reply;
	int rc;

	c->args = args;
	rc = check_args(cmd, args, c->e);
	if (rc == 0)
		rc = check_fd(cmd, c->fd, c->e);
	if (rc == 0 && !cmd->anytime && c->table->admit)
		rc = c->table->admit(c);
	if (rc == 0)
		rc = cmd->fn(c);
	json_decref(args);
	if (rc < 0) {
		json_decref(c->ret);
		return make_error(error_class(rc), c->e->text[0] ? c->e->text : strerror(-rc));
	}
	reply = json_object();
	(void)json_object_set_new(reply, "return", c->ret ? c->ret : json_object());
	return reply;
}

static json_t *execute(struct control_call *c, json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "execute"));
	json_t *args = json_object_get(request, "arguments");
	const struct control_command *cmd;
	char text[160];

	if (!name)
		return make_error("GenericError", "QMP input lacks member 'execute'");
	if (args && !json_is_object(args))
		return make_error("GenericError", "QMP input member 'arguments' must be an object");
	cmd = find_command(c->table, name);
	if (!c->session->negotiated && (!cmd || cmd->fn != control_cmd_capabilities))
		return make_error("CommandNotFound", "Expecting capabilities negotiation with "
						     "'qmp_capabilities'");
	if (!cmd) {
		(void)snprintf(text, sizeof(text), "The command %.100s has not been found", name);
		return make_error("CommandNotFound", text);
	}
	return call(cmd, c, args);
}

static json_t *handle(struct control_call *c, const struct control_request *req)
{
	json_t *request, *reply, *id;
	json_error_t why;

	if (req->len > CONTROL_MAX_REQUEST_BYTES)
		return make_error("GenericError", "Request is too long");
	if (!json_nesting_ok(req->line, req->len, CONTROL_MAX_NESTING))
		return make_error("GenericError", "Request is nested too deeply");
	request = json_loadb(req->line, req->len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
	if (!json_is_object(request)) {
		json_decref(request);
		return make_error("GenericError", request ? "QMP input must be a JSON object"
							  : "Invalid JSON syntax");
	}
	reply = execute(c, request);
	id = json_object_get(request, "id");
	if (id && reply)
		(void)json_object_set(reply, "id", id);
	json_decref(request);
	return reply;
}

json_t *control_handle(const struct control_table *table, struct control_session *session,
		       void *opaque, const struct control_request *req)
{
	struct err e = { 0 };
	struct control_call c = {
		.opaque = opaque,
		.table = table,
		.session = session,
		.e = &e,
		.fd = req->fd,
	};
	json_t *reply = handle(&c, req);

	close_fd(&c.fd);
	return reply;
}

/* --- commands about the protocol itself --- */

static json_t *version_json(void)
{
	char *rest;
	long major = strtol(FERRY_VERSION, &rest, 10);
	long minor = strtol(rest + 1, &rest, 10);
	long micro = strtol(rest + 1, &rest, 10);

	return json_pack("{s:{s:I, s:I, s:I}, s:s}", "qemu", "major", (json_int_t)major, "minor",
			 (json_int_t)minor, "micro", (json_int_t)micro, "package",
			 "ferry-" FERRY_VERSION);
}

json_t *control_greeting(void)
{
	return json_pack("{s:{s:o, s:[]}}", "QMP", "version", version_json(), "capabilities");
}

int control_cmd_capabilities(struct control_call *c)
{
	c->session->negotiated = true;
	return 0;
}

int control_cmd_version(struct control_call *c)
{
	c->ret = version_json();
	return 0;
}

int control_cmd_commands(struct control_call *c)
{
	c->ret = json_array();
	for (size_t i = 0; i < c->table->nr_commands; i++)
		(void)json_array_append_new(c->ret,
					    json_pack("{s:s}", "name", c->table->commands[i].name));
	return 0;
}

int control_cmd_events(struct control_call *c)
{
	c->ret = json_array();
	for (const struct control_event_info *ev = c->table->events; ev && ev->name; ev++)
		(void)json_array_append_new(c->ret, json_pack("{s:s}", "name", ev->name));
	return 0;
}
