// SPDX-License-Identifier: MIT
// `ferry vcpu`: a guest's CPUs, and which of the host's they run on.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/remote.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5

static int list(const struct cli *cli, bool json, struct control_client *c, struct err *e)
{
	json_t *cpus = NULL, *cpu;
	size_t i;
	int rc = client_execute(c, "query-cpus-fast", &cpus, e);

	(void)cli;
	if (rc < 0)
		return rc;
	if (json)
		return cli_write_json(cpus, JSON_INDENT(2), e);
	(void)printf("%-5s %8s %10s  %s\n", "VCPU", "THREAD", "CPU-TIME", "AFFINITY");
	json_array_foreach(cpus, i, cpu)
	{
		double ns = (double)json_integer_value(json_object_get(cpu, "cpu-time-ns"));
		const char *where = json_string_value(json_object_get(cpu, "affinity"));

		(void)printf("%-5zu %8" JSON_INTEGER_FORMAT " %9.1fs  %s\n", i,
			     json_integer_value(json_object_get(cpu, "thread-id")), ns / 1e9,
			     where ? where : "-");
	}
	json_decref(cpus);
	return 0;
}

static int pin(const struct cli *cli, bool json, struct control_client *c, struct err *e)
{
	json_t *args;
	char *end = NULL;
	long index;
	int rc;

	if (cli->nr_more < 2)
		return err_set(e, -EINVAL, "pin wants the number of a vCPU or all, and CPUs");
	args = json_pack("{s:s}", "cpus", cli->more[1]);
	if (strcmp(cli->more[0], "all") != 0) {
		index = strtol(cli->more[0], &end, 10);
		if (end == cli->more[0] || *end) {
			json_decref(args);
			return err_set(e, -EINVAL, "'%s' is neither the number of a vCPU nor all",
				       cli->more[0]);
		}
		(void)json_object_set_new(args, "cpu-index", json_integer(index));
	}
	rc = client_execute_with(c, "ferry-pin", args, NULL, e);
	return rc == 0 && json ? list(cli, json, c, e) : rc;
}

/* A guest has the CPUs that it was started with: ferry has no hotplug of them. */
static int set(const struct cli *cli, bool json, struct control_client *c, struct err *e)
{
	(void)json;
	(void)c;
	return err_set(
		e, -EPERM,
		"the number of vCPUs stays as the guest was started: in the guest write 0 to "
		"/sys/devices/system/cpu/cpuN/online, or 'ferry vcpu pin %s all CPUS' lets "
		"them share CPUs of the host",
		cli->arg2);
}

static const struct {
	const char *name;
	int (*fn)(const struct cli *cli, bool json, struct control_client *c, struct err *e);
	unsigned max_more;
} actions[] = { { "list", list, 0 }, { "pin", pin, 2 }, { "set", set, 1 } };

int cli_vcpu(const struct cli *cli)
{
	struct plain_options o = { 0 };
	struct control_client c;
	struct err e = { 0 };
	unsigned i = 0;
	int rc;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	while (i < ARRAY_SIZE(actions) && strcmp(cli->arg, actions[i].name) != 0)
		i++;
	if (i == ARRAY_SIZE(actions) || cli->nr_more > actions[i].max_more) {
		(void)err_set(&e, -EINVAL, "ACTION is list NAME, pin NAME VCPU|all CPUS, or set");
		return cli_usage(cli->cmd, &e);
	}
	if (client_open(&c, cli->arg2, REPLY_TIMEOUT_S, &e) < 0)
		return cli_fail(cli, &e);
	rc = actions[i].fn(cli, o.json, &c, &e);
	client_close(&c);
	if (rc < 0)
		return rc == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}
