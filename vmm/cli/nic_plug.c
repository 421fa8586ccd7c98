// SPDX-License-Identifier: MIT
// `ferry nic attach` and `detach`: nics of a running guest come and go.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/tap_host.h"
#include "vmm/cli/cli.h"
#include "vmm/cli/nic.h"
#include "vmm/guest/config.h"
#include "vmm/guest/nic_host.h"

/*
 * Theory of operation
 *
 * The guest's process has no privilege any more, and opens nothing: this one does. It asks
 * the guest what the nic will be called (ferry-nic-check, which also finds what is in the
 * way), opens the tap, or has ferry-net do that, leaves all descriptors with the guest
 * (getfd), and has it make the device (device_add). From then on the guest's process alone
 * holds them, as if it had been started with the nic. Whatever fails before, and should
 * this process be killed, the tap vanishes and ferry-net takes back what it did, since nobody
 * holds them any more.
 */
struct opened {
	struct net_helper helper;
	int fds[NETDEV_MAX_PAIRS];
	unsigned nr_fds;
	unsigned mtu;
};

/* What is left with the guest, by name; see device_add in docs/control.md. */
#define HELPER_NAME "ferry-net"
#define LOCK_NAME   "lock"

static void close_opened(struct opened *o)
{
	while (o->nr_fds > 0)
		(void)close(o->fds[--o->nr_fds]);
}

/* --- the host's side --- */

static int open_by_helper(struct opened *o, const struct nic_owner *owner,
			  const struct nic_config *nic, struct err *e)
{
	struct attach_answer answer = { .nr_fds = 0 };
	int rc = nic_host_ask(&o->helper, owner, nic, &answer, e);

	if (rc < 0)
		return rc;
	memcpy(o->fds, answer.fds, answer.nr_fds * sizeof(answer.fds[0]));
	o->nr_fds = answer.nr_fds;
	o->mtu = answer.mtu;
	return 0;
}

/* One that vanishes with its descriptors, or one that is there and stays as it is. */
static int open_tap(struct opened *o, const struct nic_config *nic, struct err *e)
{
	const struct netdev_config cfg = {
		.nr_pairs = nic->queues,
		.tap = nic->ifname,
		.bridge = nic->bridge,
		.mtu = nic->mtu,
	};
	struct tap_host tap;
	int rc;

	if (tap_host_changes(&cfg))
		return err_set(e, -EPERM,
			       "tap %s: its bridge, MTU or state must be changed, and put back "
			       "later, which root can do while a guest runs: or let it be as it "
			       "is wanted before",
			       nic->ifname);
	rc = tap_host_open(&tap, &cfg, e);
	if (rc < 0)
		return rc;
	memcpy(o->fds, tap.fds, tap.nr_fds * sizeof(tap.fds[0]));
	o->nr_fds = tap.nr_fds;
	o->mtu = tap.mtu;
	return 0;
}

static int open_host(struct opened *o, const struct nic_owner *owner, const struct nic_config *nic,
		     struct err *e)
{
	net_helper_init(&o->helper);
	if (nic->kind == NIC_USER)
		return 0;
	return nic_host_needs_helper(nic) ? open_by_helper(o, owner, nic, e) : open_tap(o, nic, e);
}

/* --- the guest's side --- */

/* Leave the queues' descriptors there; @names gets what device_add calls them. */
static int pass_queues(const struct device_call *c, const struct opened *o, char *names, size_t len)
{
	size_t at = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < o->nr_fds; i++) {
		char name[16];
		int rc;

		(void)snprintf(name, sizeof(name), "queue%u", i);
		rc = client_pass_fd(c->client, name, o->fds[i], c->e);
		if (rc < 0)
			return rc;
		at += (size_t)snprintf(names + at, len - at, "%s%s", i ? ":" : "", name);
	}
	return 0;
}

static int pass_all(const struct device_call *c, const struct opened *o, json_t *args)
{
	char names[NETDEV_MAX_PAIRS * 10];
	int rc = pass_queues(c, o, names, sizeof(names));

	if (rc == 0 && o->nr_fds) {
		(void)json_object_set_new(args, "fds", json_string(names));
		(void)json_object_set_new(args, "host-mtu", json_integer(o->mtu));
	}
	if (rc == 0 && o->helper.sock >= 0) {
		rc = client_pass_fd(c->client, HELPER_NAME, o->helper.sock, c->e);
		(void)json_object_set_new(args, "ferry-net", json_string(HELPER_NAME));
	}
	if (rc == 0 && o->helper.lock >= 0) {
		rc = client_pass_fd(c->client, LOCK_NAME, o->helper.lock, c->e);
		(void)json_object_set_new(args, "lock", json_string(LOCK_NAME));
	}
	return rc;
}

static int add_device(const struct device_call *c, const json_t *plan, const struct opened *o,
		      json_t **ret)
{
	json_t *args =
		json_pack("{s:s, s:s, s:O, s:O, s:O}", "driver", "virtio-net-pci", "net",
			  c->cli->more[0], "id", json_object_get(plan, "id"), "mac",
			  json_object_get(plan, "mac"), "number", json_object_get(plan, "number"));
	int rc = args ? pass_all(c, o, args) : err_set(c->e, -EPROTO, "not a guest of ferry");

	if (rc < 0) {
		json_decref(args);
		return rc;
	}
	return client_execute_with(c->client, "device_add", args, ret, c->e);
}

/*
 * What the guest chose for the nic, put into its settings. Whom the nic is for is not for its
 * process to say: that may be in others' hands, and what is opened is opened with our rights.
 */
static int take_plan(struct nic_config *nic, struct nic_owner *owner, const json_t *plan,
		     struct err *e)
{
	const char *mac = json_string_value(json_object_get(plan, "mac"));
	json_int_t number = json_integer_value(json_object_get(plan, "number"));

	if (!mac || number < 0 || number >= CONFIG_MAX_NICS)
		return err_set(e, -EPROTO, "not a guest of ferry");
	owner->number = (unsigned)number;
	if (!nic->mac)
		nic->mac = strdup(mac);
	return nic->mac ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int open_and_add(const struct device_call *c, struct nic_config *nic, const json_t *plan,
			json_t **ret)
{
	struct nic_owner owner = { .guest = c->cli->arg2 };
	struct opened o = { .nr_fds = 0 };
	int rc = take_plan(nic, &owner, plan, c->e);

	if (rc == 0)
		rc = open_host(&o, &owner, nic, c->e);
	if (rc < 0)
		return rc;
	rc = add_device(c, plan, &o, ret);
	close_opened(&o);
	if (rc < 0)
		net_helper_end(&o.helper);
	else
		net_helper_forget(&o.helper);
	return rc;
}

int nic_attach(const struct device_call *c)
{
	json_t *plan = NULL, *added = NULL;
	struct nic_config nic;
	int rc = config_parse_nic(&nic, c->cli->more[0], c->e);

	if (rc < 0)
		return rc;
	rc = client_execute_with(c->client, "ferry-nic-check",
				 json_pack("{s:s}", "net", c->cli->more[0]), &plan, c->e);
	if (rc == 0)
		rc = open_and_add(c, &nic, plan, &added);
	json_decref(plan);
	config_free_nic(&nic);
	if (rc < 0) /* it was asked for rightly */
		return rc == -EINVAL ? -ENOTSUP : rc;
	return device_print_added(c, added);
}

/* --- detach --- */

int nic_detach(const struct device_call *c)
{
	static const struct device_kind nics = {
		.query = "ferry-nics",
		.query_id = "id",
		.none = "there is no nic",
		.event = "NIC_RELEASED",
		.event_id = "id",
	};

	return device_leave(c, &nics);
}
