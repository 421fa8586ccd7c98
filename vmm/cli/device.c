// SPDX-License-Identifier: MIT
// Devices of a running guest: what the commands for disks and for nics share.
#include "vmm/cli/device.h"

#include <errno.h>
#include <stdio.h>

#include "util/clock.h"

#define REPLY_TIMEOUT_S 5

#define OPT(member) offsetof(struct device_options, member)

const struct field device_fields[] = {
	{ "json", &field_flag, OPT(json), .help = "print JSON" },
	{ "timeout", &field_uint, OPT(timeout_s), .arg = "SECONDS",
	  .help = "detach: how long the guest may take (10)", .max = 86400 },
	{ "force", &field_flag, OPT(force), .help = "detach: take it away without asking" },
};
const size_t device_nr_fields = ARRAY_SIZE(device_fields);

int device_perform(const struct cli *cli, const struct device_options *o, device_action fn)
{
	struct control_client client;
	struct err e = { 0 };
	const struct device_call call = { .cli = cli, .o = o, .client = &client, .e = &e };
	int rc;

	if (client_open(&client, cli->arg2, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = fn(&call);
	client_close(&client);
	if (rc < 0)
		return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int device_print_reply(const struct device_call *c, json_t *ret)
{
	if (c->o->json)
		return cli_write_json(ret, JSON_INDENT(2), c->e);
	json_decref(ret);
	return 0;
}

int device_execute(const struct device_call *c, const char *command, json_t *args)
{
	json_t *ret = NULL;
	int rc = client_execute_with(c->client, command, args, &ret, c->e);

	return rc < 0 ? rc : device_print_reply(c, ret);
}

int device_print_added(const struct device_call *c, json_t *ret)
{
	const char *id = json_string_value(json_object_get(ret, "id"));

	if (!c->o->json)
		(void)printf("%s\n", id ? id : "?");
	return device_print_reply(c, ret);
}

/* --- leaving --- */

struct farewell {
	const struct device_kind *kind;
	const char *id;
	bool gone, refused;
	unsigned status; /* of a refusal */
};

static void on_event(void *opaque, json_t *event)
{
	struct farewell *f = opaque;
	const json_t *data = json_object_get(event, "data");
	const json_t *info = json_object_get(data, "info");

	f->gone |= client_says(event, "event", f->kind->event) &&
		   client_says(data, f->kind->event_id, f->id);
	f->refused |= client_says(event, "event", "DEVICE_UNPLUG_GUEST_ERROR") &&
		      client_says(data, "device", f->id);
	/* It comes before the other. */
	if (client_says(event, "event", "ACPI_DEVICE_OST") && client_says(info, "device", f->id))
		f->status = (unsigned)json_integer_value(json_object_get(info, "status"));
}

/* ACPI 6.4, 6.3.5: the status codes of an ejection. */
static int tell_refusal(const struct farewell *f, struct err *e)
{
	static const struct {
		unsigned status;
		const char *why;
	} reasons[] = {
		{ 0x80, "it cannot do without" },
		{ 0x81, "an application uses it" },
		{ 0x82, "it is busy" },
		{ 0x83, "something that depends on it is busy" },
	};
	const char *why = "it does not say why";

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (reasons[i].status == f->status)
			why = reasons[i].why;
	}
	return err_set(e, -EBUSY,
		       "the guest refuses to let go of %s: %s (status 0x%02x); --force takes it "
		       "away",
		       f->id, why, f->status);
}

/* device_del takes any device; a command for one kind does not. */
static int check_kind(const struct device_call *c, const struct device_kind *kind, const char *id)
{
	json_t *all = NULL, *one;
	int rc = client_execute(c->client, kind->query, &all, c->e);
	bool found = false;
	size_t i;

	if (rc < 0)
		return rc;
	json_array_foreach(all, i, one)
	{
		found |= client_says(one, kind->query_id, id);
	}
	json_decref(all);
	return found ? 0 : err_set(c->e, -ENOENT, "%s '%.64s'", kind->none, id);
}

static int await_end(const struct device_call *c, struct farewell *f)
{
	uint64_t deadline_ns = clock_now_ns() + c->o->timeout_s * NSEC_PER_SEC;

	while (!f->gone) {
		json_t *event;
		int rc;

		if (f->refused)
			return tell_refusal(f, c->e);
		rc = client_next_event_until(c->client, deadline_ns, &event, c->e);

		if (rc == -ETIMEDOUT)
			return err_set(c->e, rc,
				       "the guest has not let go of %s in %u s: it still may; "
				       "--force takes it away",
				       f->id, c->o->timeout_s);
		if (rc < 0)
			return rc;
		on_event(f, event);
		json_decref(event);
	}
	return 0;
}

int device_leave(const struct device_call *c, const struct device_kind *kind)
{
	struct farewell f = { .kind = kind, .id = c->cli->more[0] };
	int rc = check_kind(c, kind, f.id);

	if (rc < 0)
		return rc;
	c->client->on_event = on_event;
	c->client->opaque = &f;
	rc = client_execute_with(c->client, "device_del",
				 json_pack("{s:s, s:b}", "id", f.id, "force", c->o->force), NULL,
				 c->e);
	if (rc == 0)
		rc = await_end(c, &f);
	c->client->on_event = NULL;
	return rc < 0 ? rc : device_print_reply(c, json_pack("{s:s}", "id", f.id));
}
