// SPDX-License-Identifier: MIT
// libferry-client: the client of ferry's own sub-commands, for programs of others.
#include "vmm/control/ferry-client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"
#include "vmm/control/client.h"

struct ferry_client {
	struct control_client c;
	unsigned timeout_s;
	json_t *events; /* an array: heard, and not yet asked for */
};

/* Pass @err on, where the caller wants to know. */
static int tell(int rc, const struct err *err, struct ferry_error *e)
{
	if (rc < 0 && e) {
		e->code = rc;
		memcpy(e->text, err->text, sizeof(e->text));
	}
	return rc;
}

static void keep_event(void *opaque, json_t *event)
{
	struct ferry_client *c = opaque;

	if (json_array_size(c->events) == FERRY_CLIENT_MAX_EVENTS)
		(void)json_array_remove(c->events, 0);
	(void)json_array_append(c->events, event);
}

int ferry_client_connect(struct ferry_client **ret, const char *name, unsigned timeout_s,
			 struct ferry_error *e)
{
	struct ferry_client *c = calloc(1, sizeof(*c));
	struct err err = { 0 };
	int rc;

	if (!c)
		return tell(err_set(&err, -ENOMEM, "out of memory"), &err, e);
	c->timeout_s = timeout_s;
	c->events = json_array();
	rc = client_open(&c->c, name, timeout_s, &err);
	if (rc < 0) {
		json_decref(c->events);
		free(c);
		return tell(rc, &err, e);
	}
	c->c.exact = true;
	c->c.on_event = keep_event;
	c->c.opaque = c;
	*ret = c;
	return 0;
}

void ferry_client_close(struct ferry_client *c)
{
	if (!c)
		return;
	client_close(&c->c);
	json_decref(c->events);
	free(c);
}

int ferry_client_execute(struct ferry_client *c, const char *command, json_t *args, json_t **ret,
			 struct ferry_error *e)
{
	return ferry_client_execute_fd(c, command, args, -1, ret, e);
}

int ferry_client_execute_fd(struct ferry_client *c, const char *command, json_t *args, int fd,
			    json_t **ret, struct ferry_error *e)
{
	struct err err = { 0 };

	client_set_timeout(&c->c, c->timeout_s);
	return tell(client_execute_fd(&c->c, command, args, fd, ret, &err), &err, e);
}

int ferry_client_pass_fd(struct ferry_client *c, const char *name, int fd, struct ferry_error *e)
{
	struct err err = { 0 };

	client_set_timeout(&c->c, c->timeout_s);
	return tell(client_pass_fd(&c->c, name, fd, &err), &err, e);
}

/* The first of the kept events; NULL: there is none. */
static json_t *take_kept(struct ferry_client *c)
{
	json_t *event = json_incref(json_array_get(c->events, 0));

	if (event)
		(void)json_array_remove(c->events, 0);
	return event;
}

int ferry_client_wait_event(struct ferry_client *c, const char *name, int timeout_ms, json_t **ret,
			    struct ferry_error *e)
{
	uint64_t deadline_ns =
		timeout_ms < 0 ? UINT64_MAX
			       : clock_now_ns() + (uint64_t)MAX(timeout_ms, 1) * NSEC_PER_MSEC;
	struct err err = { 0 };

	for (;;) {
		json_t *event = take_kept(c);
		const char *is;
		int rc = event ? 0 : client_next_event_until(&c->c, deadline_ns, &event, &err);

		if (rc < 0)
			return tell(rc, &err, e);
		is = json_string_value(json_object_get(event, "event"));
		if (!name || (is && !strcmp(name, is))) {
			*ret = event;
			return 0;
		}
		json_decref(event);
	}
}

int ferry_client_wait_end(const struct ferry_client *c, unsigned timeout_s, struct ferry_error *e)
{
	struct err err = { 0 };

	return tell(client_wait_end(&c->c, timeout_s, &err), &err, e);
}

int ferry_client_kill(const struct ferry_client *c, struct ferry_error *e)
{
	struct err err = { 0 };

	return tell(client_kill(&c->c, &err), &err, e);
}
