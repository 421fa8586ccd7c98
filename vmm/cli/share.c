// SPDX-License-Identifier: MIT
// `ferry weight` and `ferry cap`: how much of the host's CPUs a guest gets.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/io.h"
#include "vmm/cli/cgroup.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/remote.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5
#define MAX_CAP_PERCENT 100000U

/* The guest's process as this namespace numbers it. */
static int guest_pid(const char *name, pid_t *ret, struct err *e)
{
	struct control_client c;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int rc = client_open(&c, name, REPLY_TIMEOUT_S, e);

	if (rc < 0)
		return rc;
	if (getsockopt(c.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		rc = err_set(e, -errno, "control socket: %s", strerror(errno));
	*ret = cred.pid;
	client_close(&c);
	return rc;
}

static int find_cgroup(const char *name, char dir[PATH_MAX], struct err *e)
{
	static const char *const roots[] = CGROUP_ROOTS;
	char path[64], membership[8192];
	pid_t pid = 0;
	FILE *file;
	size_t n;
	int rc = guest_pid(name, &pid, e);

	if (rc < 0)
		return rc;
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	n = fread(membership, 1, sizeof(membership) - 1, file);
	membership[n] = '\0';
	(void)fclose(file);
	for (unsigned i = 0; i < ARRAY_SIZE(roots); i++) {
		rc = cgroup_find(roots[i], membership, pid, dir, e);
		if (rc != -ENOTSUP)
			break;
	}
	return rc;
}

struct share {
	const char *key;
	unsigned min, max;
	int (*get)(const char *dir, unsigned *ret, struct err *e);
	int (*set)(const char *dir, unsigned value, struct err *e);
};

/* Set it if a value was given; then tell what it is. */
static int apply(const struct cli *cli, const struct share *s, unsigned *ret, struct err *e)
{
	char dir[PATH_MAX], *end;
	unsigned long value = 0;
	int rc;

	if (cli->arg2) {
		value = strtoul(cli->arg2, &end, 10);
		if (end == cli->arg2 || *end || value < s->min || value > s->max)
			return err_set(e, -EINVAL, "'%s' is not a number from %u to %u", cli->arg2,
				       s->min, s->max);
	}
	rc = find_cgroup(cli->arg, dir, e);
	if (rc == 0 && cli->arg2)
		rc = s->set(dir, (unsigned)value, e);
	return rc < 0 ? rc : s->get(dir, ret, e);
}

static int share(const struct cli *cli, const struct share *s)
{
	struct plain_options o = { 0 };
	unsigned value = 0;
	struct err e;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	if (apply(cli, s, &value, &e) < 0)
		return e.code == -EINVAL ? cli_usage(cli->cmd, &e) : cli_fail(cli, &e);
	if (o.json)
		return cli_print_json(json_pack("{s:I}", s->key, (json_int_t)value));
	(void)printf("%u\n", value);
	return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
}

int cli_weight(const struct cli *cli)
{
	return share(cli, &(struct share){ "weight", 1, CGROUP_MAX_WEIGHT, cgroup_get_weight,
					   cgroup_set_weight });
}

int cli_cap(const struct cli *cli)
{
	return share(cli, &(struct share){ "cap_percent", 0, MAX_CAP_PERCENT, cgroup_get_cap,
					   cgroup_set_cap });
}
