// SPDX-License-Identifier: MIT
// `ferry memory`: the balloon, and what the guest says of its memory.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util/clock.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/tune.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5
#define LOOK_MS         50

struct memory_options {
	bool json;
	unsigned timeout_s;
};

const struct field memory_fields[] = {
	{ "json", &field_flag, offsetof(struct memory_options, json), .help = "print JSON" },
	{ "timeout", &field_uint, offsetof(struct memory_options, timeout_s), .arg = "SECONDS",
	  .help = "how long the guest may take for set (10)", .max = 86400 },
};
const size_t memory_nr_fields = ARRAY_SIZE(memory_fields);

static int ask_actual(struct control_client *c, uint64_t *ret, struct err *e)
{
	json_t *reply = NULL;
	int rc = client_execute(c, "query-balloon", &reply, e);

	if (rc < 0)
		return rc;
	*ret = (uint64_t)json_integer_value(json_object_get(reply, "actual"));
	json_decref(reply);
	return 0;
}

/* Ask, and see how far the guest gets: the driver follows when and as far as it can. */
static int set_and_wait(struct control_client *c, uint64_t want, unsigned timeout_s,
			uint64_t *ret_actual, struct err *e)
{
	uint64_t deadline_ns = clock_now_ns() + timeout_s * NSEC_PER_SEC;
	int rc = client_execute_with(c, "balloon", json_pack("{s:I}", "value", (json_int_t)want),
				     NULL, e);

	for (;;) {
		if (rc == 0)
			rc = ask_actual(c, ret_actual, e);
		if (rc < 0 || *ret_actual == want || clock_now_ns() >= deadline_ns)
			return rc;
		rc = client_wait_event(c, LOOK_MS, e);
	}
}

static int set(const struct cli *cli, const struct memory_options *o, struct control_client *c,
	       struct err *e)
{
	uint64_t want, actual = 0;
	int rc;

	if (!cli->nr_more || field_parse_bytes(cli->more[0], &want) < 0)
		return err_set(e, -EINVAL, "set wants a size such as 512M");
	want &= ~4095ULL;
	rc = set_and_wait(c, want, o->timeout_s, &actual, e);
	if (rc < 0)
		return rc;
	if (o->json)
		rc = cli_print_json(json_pack("{s:I, s:I}", "target_bytes", (json_int_t)want,
					      "actual_bytes", (json_int_t)actual)) == CLI_OK
			     ? 0
			     : -EIO;
	else
		(void)printf("%s: %.1f MiB\n", cli->arg2, (double)actual / MIB);
	if (rc == 0 && actual != want)
		return err_set(e, -ETIMEDOUT,
			       "%s has reached %.1f MiB of the %.1f MiB asked for in %u s; it may "
			       "go on",
			       cli->arg2, (double)actual / MIB, (double)want / MIB, o->timeout_s);
	return rc;
}

static int stats(const struct cli *cli, const struct memory_options *o, struct control_client *c,
		 struct err *e)
{
	json_t *info = NULL, *balloon, *value;
	const char *key;
	int rc = cli->nr_more ? err_set(e, -EINVAL, "stats takes no size")
			      : client_execute(c, "ferry-info", &info, e);

	if (rc < 0)
		return rc;
	balloon = json_incref(json_object_get(info, "balloon"));
	if (!json_is_object(balloon)) {
		json_decref(balloon);
		balloon = json_object();
	}
	(void)json_object_set(balloon, "memory_bytes", json_object_get(info, "memory"));
	json_decref(info);
	if (o->json)
		return cli_write_json(balloon, JSON_INDENT(2), e);
	json_object_foreach(balloon, key, value)
	{
		if (json_is_integer(value))
			(void)printf("%-24s %" JSON_INTEGER_FORMAT "\n", key,
				     json_integer_value(value));
	}
	json_object_foreach(json_object_get(balloon, "guest"), key, value)
	{
		(void)printf("guest.%-18s %" JSON_INTEGER_FORMAT "\n", key,
			     json_integer_value(value));
	}
	json_decref(balloon);
	return 0;
}

int cli_memory(const struct cli *cli)
{
	struct memory_options o = { .timeout_s = 10 };
	struct control_client c;
	struct err e = { 0 };
	bool is_set = !strcmp(cli->arg, "set");
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (!is_set && strcmp(cli->arg, "stats") != 0) {
		(void)err_set(&e, -EINVAL, "'%s' is neither set nor stats", cli->arg);
		return cli_usage(cli->cmd, &e);
	}
	if (client_open(&c, cli->arg2, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = is_set ? set(cli, &o, &c, &e) : stats(cli, &o, &c, &e);
	client_close(&c);
	if (rc < 0)
		return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
