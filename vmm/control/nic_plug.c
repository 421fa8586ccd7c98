// SPDX-License-Identifier: MIT
// Commands of the control socket: a nic comes to a guest that runs.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/io.h"
#include "vmm/control/nics.h"
#include "vmm/guest/hotplug.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/machine_nics.h"
#include "vmm/guest/net_helper.h"
#include "vmm/guest/run.h"
#include "vmm/guest/runtime.h"

static const char *text_arg(const struct control_call *c, const char *name)
{
	return json_string_value(json_object_get(c->args, name));
}

/* --- ferry-nic-check --- */

const struct control_arg control_nic_check_args[] = {
	{ .name = "net", .type = JSON_STRING, .help = "as `--net` has it" },
	{ 0 },
};

int control_cmd_nic_check(struct control_call *c)
{
	struct machine *m = run_machine(c->opaque);
	struct machine_nic_plan plan;
	int rc = machine_check_nic(m, text_arg(c, "net"), &plan, c->e);

	if (rc == 0)
		c->ret = json_pack("{s:s, s:s, s:s, s:i}", "guest", machine_config(m)->name, "id",
				   plan.id, "mac", plan.mac, "number", (int)plan.number);
	return rc;
}

/* --- device_add --- */

/* What came with the request; all descriptors are ours. */
struct parcel {
	struct machine_nic_given given;
	struct net_helper helper;
	int fds[ATTACH_MAX_QUEUES];
	char *net; /* with id and MAC address */
};

static void drop(struct parcel *p)
{
	while (p->given.nr_fds > 0)
		close_fd(&p->fds[--p->given.nr_fds]);
	net_helper_forget(&p->helper);
	free(take_ptr(p->net));
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/* "a:b": descriptors that getfd has left. */
static int take_queues(struct control_call *c, struct parcel *p)
{
	const char *names = text_arg(c, "fds");
	_cleanup_free_ char *copy = strdup(names ? names : "");
	char *rest = NULL;

	if (!copy)
		return err_set(c->e, -ENOMEM, "out of memory");
	for (char *name = strtok_r(copy, ":", &rest); name; name = strtok_r(NULL, ":", &rest)) {
		int fd;

		if (p->given.nr_fds == ARRAY_SIZE(p->fds))
			return err_set(c->e, -EINVAL, "Parameter 'fds' must name at most %zu",
				       ARRAY_SIZE(p->fds));
		fd = control_take_fd(c, name);
		if (fd < 0)
			return fd;
		p->fds[p->given.nr_fds++] = fd;
	}
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

/* We wait for its end and close it, no more: of this kind neither can keep us. */
static int take_helper(struct control_call *c, struct parcel *p)
{
	const char *sock = text_arg(c, "ferry-net"), *lock = text_arg(c, "lock");
	struct stat st;

	p->helper.sock = sock ? control_take_fd(c, sock) : -1;
	if (sock && p->helper.sock < 0)
		return p->helper.sock;
	p->helper.lock = lock ? control_take_fd(c, lock) : -1;
	if (lock && p->helper.lock < 0)
		return p->helper.lock;
	if (sock && !io_is_packet_socket(p->helper.sock))
		return err_set(c->e, -EINVAL,
			       "Parameter 'ferry-net' must name a connected SOCK_SEQPACKET socket");
	if (lock && (!sock || fstat(p->helper.lock, &st) < 0 || !S_ISREG(st.st_mode)))
		return err_set(c->e, -EINVAL, "Parameter 'lock' must name ferry-net's lock");
	return 0;
}

static int take_numbers(struct control_call *c, struct parcel *p)
{
	const json_t *mtu = json_object_get(c->args, "host-mtu");
	const json_t *number = json_object_get(c->args, "number");
	const struct machine *m = run_machine(c->opaque);

	p->given.host_mtu = mtu ? (unsigned)json_integer_value(mtu) : NETDEV_DEFAULT_MTU;
	while (!number && p->given.number < CONFIG_MAX_NICS &&
	       !machine_nic_number_is_free(m, p->given.number))
		p->given.number++;
	if (!number)
		return 0;
	p->given.number = (unsigned)json_integer_value(number);
	if (machine_nic_number_is_free(m, p->given.number))
		return 0;
	return err_set(c->e, -EEXIST, "Parameter 'number': another nic has come meanwhile");
}

/* What --net would say, with id and address: neither may bring more than that. */
static int make_text(struct control_call *c, struct parcel *p)
{
	const char *net = text_arg(c, "net"), *id = text_arg(c, "id"), *mac = text_arg(c, "mac");
	uint8_t bytes[MAC_BYTES];

	if (!net)
		return err_set(c->e, -EINVAL, "Parameter 'net' is missing");
	if (id && runtime_check_name(id, c->e) < 0)
		return err_prefix(c->e, "id");
	if (mac && mac_parse(mac, bytes) < 0)
		return err_set(c->e, -EINVAL, "Parameter 'mac' must be the address of a nic");
	if (asprintf(&p->net, "%s%s%s%s%s", net, id ? ",id=" : "", id ? id : "", mac ? ",mac=" : "",
		     mac ? mac : "") >= 0)
		return 0;
	p->net = NULL;
	return err_set(c->e, -ENOMEM, "out of memory");
}

static int take_parcel(struct control_call *c, struct parcel *p)
{
	int rc = take_queues(c, p);

	if (rc == 0)
		rc = take_helper(c, p);
	if (rc == 0)
		rc = take_numbers(c, p);
	return rc < 0 ? rc : make_text(c, p);
}

int control_add_nic(struct control_call *c)
{
	struct machine *m = run_machine(c->opaque);
	struct parcel p = { .net = NULL };
	struct machine_plug plug = { .kind = MACHINE_PLUG_NIC, .nic = &p.given };
	const char *id = NULL;
	int rc;

	net_helper_init(&p.helper);
	p.given.fds = p.fds;
	p.given.helper = &p.helper;
	rc = take_parcel(c, &p);
	plug.text = p.net;
	if (rc == 0)
		rc = machine_plug(m, &plug, &id, c->e);
	if (rc == 0) {
		c->ret = json_pack("{s:s, s:i}", "id", id, "slot", (int)machine_slot(m, id));
		net_helper_init(&p.helper); /* the machine has it */
	}
	drop(&p);
	return rc;
}
