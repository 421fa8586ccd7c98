// SPDX-License-Identifier: MIT
// A hostile client of --gdb: any bytes, on a target of memory alone.
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "vmm/gdb/session.h"

#define MEMORY_BYTES 4096U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gdb_regs regs[2];
static uint8_t memory[MEMORY_BYTES];

static unsigned nr_cpus(void *target)
{
	(void)target;
	return 2;
}

static int get_regs(void *target, unsigned cpu, struct gdb_regs *ret)
{
	(void)target;
	assert(cpu < 2);
	*ret = regs[cpu];
	return 0;
}

static int set_regs(void *target, unsigned cpu, const struct gdb_regs *from)
{
	(void)target;
	assert(cpu < 2);
	regs[cpu] = *from;
	return 0;
}

static ssize_t read_memory(void *target, unsigned cpu, uint64_t addr, void *buf, size_t len)
{
	(void)target, (void)cpu;
	if (addr >= MEMORY_BYTES)
		return -EFAULT;
	len = len < MEMORY_BYTES - addr ? len : MEMORY_BYTES - addr;
	memcpy(buf, memory + addr, len);
	return (ssize_t)len;
}

static int write_memory(void *target, unsigned cpu, uint64_t addr, const void *buf, size_t len)
{
	(void)target, (void)cpu;
	if (addr > MEMORY_BYTES || len > MEMORY_BYTES - addr)
		return -EFAULT;
	memcpy(memory + addr, buf, len);
	return 0;
}

static int change(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr, uint64_t len)
{
	(void)target, (void)addr, (void)len;
	assert(cpu < 2 && kind <= GDB_ACCESS);
	return 0;
}

static int resume(void *target, const enum gdb_action *actions)
{
	(void)target;
	for (unsigned i = 0; i < 2; i++)
		assert(actions[i] <= GDB_STEP);
	return 0;
}

static void nothing(void *target)
{
	(void)target;
}

static const struct gdb_ops ops = {
	.nr_cpus = nr_cpus,
	.get_regs = get_regs,
	.set_regs = set_regs,
	.read = read_memory,
	.write = write_memory,
	.insert = change,
	.remove = change,
	.resume = resume,
	.stop = nothing,
	.kill = nothing,
};

static void packet(struct gdb_session *s, const char *payload, size_t len)
{
	static char wire[RSP_WIRE_BYTES];
	const struct gdb_stop stop = { GDB_HIT_SOFTWARE, 1, 0 };

	gdb_session_packet(s, payload, len);
	assert(s->reply_len <= sizeof(s->reply));
	assert(rsp_encode(s->reply, s->reply_len, wire) <= sizeof(wire));
	if (s->running)
		gdb_session_stopped(s, &stop);
}

/* Lines are payloads, so that the fuzzer need not find checksums; then all of it as bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rsp_parser parser;
	static struct gdb_session s;
	char line[512];
	size_t len = 0;

	gdb_session_init(&s, &ops, NULL);
	for (size_t i = 0; i < size; i++) {
		if (data[i] != '\n' && len < sizeof(line) - 1) {
			line[len++] = (char)data[i];
			continue;
		}
		line[len] = '\0';
		packet(&s, line, len);
		len = 0;
	}
	memset(&parser, 0, sizeof(parser));
	for (size_t i = 0; i < size; i++) {
		if (rsp_feed(&parser, data[i]) == RSP_PACKET)
			packet(&s, parser.payload, parser.len);
	}
	return 0;
}
