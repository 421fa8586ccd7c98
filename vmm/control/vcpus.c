// SPDX-License-Identifier: MIT
// Commands of the control socket about vCPUs and the host's CPUs they run on.
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "util/cpulist.h"
#include "vmm/control/cmds.h"
#include "vmm/guest/machine.h"
#include "vmm/guest/run.h"
#include "vmm/vcpu.h"
#include "vmm/vm.h"

static json_t *affinity_json(pid_t tid)
{
	char text[1024];
	cpu_set_t set;

	if (sched_getaffinity(tid, sizeof(set), &set) < 0)
		return json_null();
	cpulist_format(&set, text, sizeof(text));
	return json_string(text);
}

/* What its thread has used, in nanoseconds. */
static json_int_t cpu_time_ns(const struct vm *vm, unsigned i)
{
	struct timespec ts = { 0 };
	clockid_t clock;

	if (!vm->started || pthread_getcpuclockid(vm->vcpus[i]->thread, &clock) != 0 ||
	    clock_gettime(clock, &ts) < 0)
		return 0;
	return (json_int_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int control_cmd_query_cpus(struct control_call *c)
{
	const struct vm *vm = machine_vm(run_machine(c->opaque));

	c->ret = json_array();
	for (unsigned i = 0; i < vm->nr_vcpus; i++) {
		pid_t tid = atomic_load(&vm->vcpus[i]->tid);

		(void)json_array_append_new(
			c->ret,
			json_pack("{s:i, s:i, s:s, s:{s:i}, s:o, s:I}", "cpu-index", i, "thread-id",
				  tid, "target", "x86_64", "props", "core-id", i, "affinity",
				  affinity_json(tid), "cpu-time-ns", cpu_time_ns(vm, i)));
	}
	return 0;
}

const struct control_arg control_pin_args[] = {
	{ "cpus", JSON_STRING, false,
	  .help = "of the host: numbers and ranges, `^` before those to leave out, or `all`" },
	{ "cpu-index", JSON_INTEGER, true, .help = "which vCPU; without it all of them", .min = 0,
	  .max = VM_MAX_VCPUS - 1 },
	{ 0 },
};

static int pin(const struct vm *vm, unsigned i, const cpu_set_t *set, struct err *e)
{
	pid_t tid = atomic_load(&vm->vcpus[i]->tid);

	if (tid == 0)
		return err_set(e, -EINVAL, "the guest has not started");
	if (sched_setaffinity(tid, sizeof(*set), set) == 0)
		return 0;
	return err_set(e, -errno, "vCPU %u: %s", i,
		       errno == EINVAL ? "the host has none of these CPUs" : strerror(errno));
}

int control_cmd_pin(struct control_call *c)
{
	const struct vm *vm = machine_vm(run_machine(c->opaque));
	const json_t *index = json_object_get(c->args, "cpu-index");
	unsigned first = index ? (unsigned)json_integer_value(index) : 0;
	unsigned end = index ? first + 1 : vm->nr_vcpus;
	cpu_set_t set;
	int rc = cpulist_parse(json_string_value(json_object_get(c->args, "cpus")), &set, c->e);

	if (rc == 0 && end > vm->nr_vcpus)
		return err_set(c->e, -EINVAL, "the guest has vCPUs 0 to %u", vm->nr_vcpus - 1);
	for (unsigned i = first; rc == 0 && i < end; i++)
		rc = pin(vm, i, &set, c->e);
	return rc;
}
