// SPDX-License-Identifier: MIT
// The commands of gdb's remote serial protocol: a table, and what each does.
#include "vmm/gdb/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Of memory, in one packet: two digits a byte. */
#define MAX_MEMORY_BYTES (RSP_MAX_BYTES / 2U)
#define MAX_XML_BYTES    16384U

#define TRAP_SIGNAL 5

static void reply(struct gdb_session *s, const char *fmt, ...) __printf_like(2, 3);

/* Adds to the reply. */
static void reply(struct gdb_session *s, const char *fmt, ...)
{
	size_t room = sizeof(s->reply) - s->reply_len;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(s->reply + s->reply_len, room, fmt, ap);
	va_end(ap);
	if (n > 0)
		s->reply_len += MIN((size_t)n, room - 1);
}

static void reply_code(struct gdb_session *s, int rc)
{
	if (rc < 0)
		reply(s, "E%02x", (unsigned)(-rc & 0xff));
	else
		reply(s, "OK");
}

static unsigned nr_cpus(const struct gdb_session *s)
{
	return s->ops->nr_cpus(s->target);
}

/* A thread is a vCPU's number plus 1; 0 and -1 are any or all. False: there is no such. */
static bool parse_thread(const struct gdb_session *s, const char **text, unsigned *ret_cpu)
{
	uint64_t id;

	if (!strncmp(*text, "-1", 2)) {
		*text += 2;
		*ret_cpu = GDB_MAX_CPUS;
		return true;
	}
	if (!rsp_get_number(text, &id) || id > nr_cpus(s))
		return false;
	*ret_cpu = id ? (unsigned)id - 1 : GDB_MAX_CPUS;
	return true;
}

/* --- stops --- */

static void reply_stop(struct gdb_session *s)
{
	static const char *const why[] = {
		[GDB_HIT_SOFTWARE] = "swbreak:;",
		[GDB_HIT_HARDWARE] = "hwbreak:;",
	};

	reply(s, "T%02xthread:%x;", TRAP_SIGNAL, s->stop.cpu + 1);
	switch (s->stop.why) {
	case GDB_STOPPED:
		break;
	case GDB_HIT_SOFTWARE:
	case GDB_HIT_HARDWARE:
		reply(s, "%s", why[s->stop.why]);
		break;
	case GDB_HIT_WRITE:
		reply(s, "watch:%" PRIx64 ";", s->stop.addr);
		break;
	case GDB_HIT_ACCESS:
		reply(s, "awatch:%" PRIx64 ";", s->stop.addr);
		break;
	}
}

void gdb_session_stopped(struct gdb_session *s, const struct gdb_stop *stop)
{
	s->running = false;
	s->stop = *stop;
	s->cpu = stop->cpu;
	s->step_cpu = GDB_MAX_CPUS;
	s->reply_len = 0;
	s->no_reply = false;
	reply_stop(s);
}

void gdb_session_break(struct gdb_session *s)
{
	if (s->running)
		s->ops->stop(s->target);
}

static void resume(struct gdb_session *s, const enum gdb_action *actions)
{
	int rc = s->ops->resume(s->target, actions);

	if (rc < 0) {
		reply_code(s, rc);
		return;
	}
	s->running = true;
	s->no_reply = true;
}

/* --- registers and memory --- */

static void cmd_why(struct gdb_session *s, const char *args)
{
	(void)args;
	reply_stop(s);
}

static void cmd_get_regs(struct gdb_session *s, const char *args)
{
	struct gdb_regs regs;
	int rc = s->ops->get_regs(s->target, s->cpu, &regs);

	(void)args;
	if (rc < 0)
		reply_code(s, rc);
	else
		s->reply_len = gdb_put_regs(&regs, s->reply);
}

static void cmd_set_regs(struct gdb_session *s, const char *args)
{
	struct gdb_regs regs;
	int rc = s->ops->get_regs(s->target, s->cpu, &regs);

	if (rc == 0)
		rc = gdb_set_regs(&regs, args) ? s->ops->set_regs(s->target, s->cpu, &regs)
					       : -EINVAL;
	reply_code(s, rc);
}

static void cmd_get_reg(struct gdb_session *s, const char *args)
{
	struct gdb_regs regs;
	uint64_t nr;
	int rc = rsp_get_number(&args, &nr) && nr < gdb_nr_regs()
			 ? s->ops->get_regs(s->target, s->cpu, &regs)
			 : -EINVAL;

	if (rc < 0)
		reply_code(s, rc);
	else
		s->reply_len = gdb_put_reg(&regs, (unsigned)nr, s->reply);
}

static void cmd_set_reg(struct gdb_session *s, const char *args)
{
	struct gdb_regs regs;
	uint64_t nr;
	int rc = -EINVAL;

	if (rsp_get_number(&args, &nr) && nr < gdb_nr_regs() && *args == '=')
		rc = s->ops->get_regs(s->target, s->cpu, &regs);
	if (rc == 0)
		rc = gdb_set_reg(&regs, (unsigned)nr, args + 1)
			     ? s->ops->set_regs(s->target, s->cpu, &regs)
			     : -EINVAL;
	reply_code(s, rc);
}

/* "ADDR,LENGTH", with @end behind it. */
static bool parse_range(const char **args, char end, uint64_t *addr, uint64_t *len)
{
	if (!rsp_get_number(args, addr) || *(*args)++ != ',' || !rsp_get_number(args, len))
		return false;
	return **args == end;
}

static void cmd_read(struct gdb_session *s, const char *args)
{
	uint8_t buf[MAX_MEMORY_BYTES];
	uint64_t addr, len;
	ssize_t n;

	if (!parse_range(&args, '\0', &addr, &len)) {
		reply_code(s, -EINVAL);
		return;
	}
	n = s->ops->read(s->target, s->cpu, addr, buf, (size_t)MIN(len, sizeof(buf)));
	if (n < 0 || (n == 0 && len)) {
		reply_code(s, n < 0 ? (int)n : -EFAULT);
		return;
	}
	rsp_put_hex(s->reply, buf, (size_t)n);
	s->reply_len = (size_t)n * 2;
}

static void cmd_write(struct gdb_session *s, const char *args)
{
	uint8_t buf[MAX_MEMORY_BYTES];
	uint64_t addr, len;

	if (!parse_range(&args, ':', &addr, &len) || len > sizeof(buf) ||
	    !rsp_get_hex(buf, (size_t)len, args + 1))
		reply_code(s, -EINVAL);
	else
		reply_code(s, s->ops->write(s->target, s->cpu, addr, buf, (size_t)len));
}

/* The only packet with bytes of any kind in it. */
static void write_binary(struct gdb_session *s, const char *args, const char *end)
{
	uint64_t addr, len;

	if (!parse_range(&args, ':', &addr, &len) || len != (uint64_t)(end - (args + 1)))
		reply_code(s, -EINVAL);
	else
		reply_code(s, s->ops->write(s->target, s->cpu, addr, args + 1, (size_t)len));
}

/* --- breakpoints --- */

static void change_break(struct gdb_session *s, const char *args, bool add)
{
	uint64_t kind, addr, len;
	int rc = -EINVAL;

	/* Conditions and commands behind a semicolon were never offered. */
	if (!rsp_get_number(&args, &kind) || *args++ != ',' ||
	    !parse_range(&args, '\0', &addr, &len)) {
		reply_code(s, rc);
		return;
	}
	if (kind > GDB_ACCESS)
		return;
	if (add)
		rc = s->ops->insert(s->target, s->cpu, (enum gdb_break)kind, addr, len);
	else
		rc = s->ops->remove(s->target, s->cpu, (enum gdb_break)kind, addr, len);
	if (rc != -EOPNOTSUPP)
		reply_code(s, rc);
}

static void cmd_insert(struct gdb_session *s, const char *args)
{
	change_break(s, args, true);
}

static void cmd_remove(struct gdb_session *s, const char *args)
{
	change_break(s, args, false);
}

/* --- going on --- */

static void go(struct gdb_session *s, const char *args, enum gdb_action action)
{
	enum gdb_action actions[GDB_MAX_CPUS];

	if (*args) {
		reply_code(s, -EINVAL); /* an address, or a signal that no vCPU could take */
		return;
	}
	for (unsigned i = 0; i < nr_cpus(s); i++) {
		bool mine = s->step_cpu == GDB_MAX_CPUS ? i == s->stop.cpu : i == s->step_cpu;

		actions[i] = mine ? action : GDB_GO;
	}
	resume(s, actions);
}

static void cmd_continue(struct gdb_session *s, const char *args)
{
	go(s, args, GDB_GO);
}

static void cmd_step(struct gdb_session *s, const char *args)
{
	go(s, args, GDB_STEP);
}

/* One of "c", "C05", "s", "S05"; the signal is not the guest's business. */
static bool parse_action(const char **args, enum gdb_action *ret)
{
	char letter = *(*args)++;
	uint64_t signal;

	if (letter != 'c' && letter != 's' && letter != 'C' && letter != 'S')
		return false;
	*ret = letter == 'c' || letter == 'C' ? GDB_GO : GDB_STEP;
	return letter == 'c' || letter == 's' || rsp_get_number(args, &signal);
}

/* "vCont;s:1;c": each thread takes the first that is for it. */
static void cmd_vcont(struct gdb_session *s, const char *args)
{
	enum gdb_action actions[GDB_MAX_CPUS], action;
	bool taken[GDB_MAX_CPUS] = { false };

	memset(actions, 0, sizeof(actions));
	while (*args == ';') {
		unsigned cpu = GDB_MAX_CPUS;

		args++;
		if (!parse_action(&args, &action) ||
		    (*args == ':' && (args++, !parse_thread(s, &args, &cpu)))) {
			reply_code(s, -EINVAL);
			return;
		}
		for (unsigned i = 0; i < nr_cpus(s); i++) {
			if (taken[i] || (cpu != GDB_MAX_CPUS && cpu != i))
				continue;
			taken[i] = true;
			actions[i] = action;
		}
	}
	if (*args)
		reply_code(s, -EINVAL);
	else
		resume(s, actions);
}

static void cmd_vcont_query(struct gdb_session *s, const char *args)
{
	(void)args;
	reply(s, "vCont;c;C;s;S");
}

static void cmd_detach(struct gdb_session *s, const char *args)
{
	(void)args;
	s->detached = true;
	reply(s, "OK");
}

static void cmd_kill(struct gdb_session *s, const char *args)
{
	(void)args;
	s->detached = true;
	s->no_reply = true;
	s->ops->kill(s->target);
}

static void cmd_vkill(struct gdb_session *s, const char *args)
{
	cmd_kill(s, args);
	s->no_reply = false;
	reply(s, "OK");
}

/* --- threads --- */

static void cmd_set_thread(struct gdb_session *s, const char *args)
{
	char what = *args++;
	unsigned cpu;

	if ((what != 'g' && what != 'c') || !parse_thread(s, &args, &cpu)) {
		reply_code(s, -EINVAL);
		return;
	}
	if (what == 'c')
		s->step_cpu = cpu;
	else if (cpu != GDB_MAX_CPUS)
		s->cpu = cpu;
	reply(s, "OK");
}

static void cmd_alive(struct gdb_session *s, const char *args)
{
	unsigned cpu;

	reply_code(s, parse_thread(s, &args, &cpu) && cpu != GDB_MAX_CPUS ? 0 : -ESRCH);
}

static void cmd_first_threads(struct gdb_session *s, const char *args)
{
	(void)args;
	for (unsigned i = 0; i < nr_cpus(s); i++)
		reply(s, "%c%x", i ? ',' : 'm', i + 1);
}

static void cmd_more_threads(struct gdb_session *s, const char *args)
{
	(void)args;
	reply(s, "l");
}

static void cmd_thread_info(struct gdb_session *s, const char *args)
{
	char text[32];
	unsigned cpu;

	if (!parse_thread(s, &args, &cpu) || cpu == GDB_MAX_CPUS) {
		reply_code(s, -ESRCH);
		return;
	}
	(void)snprintf(text, sizeof(text), "vCPU %u", cpu);
	rsp_put_hex(s->reply, text, strlen(text));
	s->reply_len = strlen(text) * 2;
}

static void cmd_current(struct gdb_session *s, const char *args)
{
	(void)args;
	reply(s, "QC%x", s->cpu + 1);
}

/* --- the connection --- */

static void cmd_supported(struct gdb_session *s, const char *args)
{
	(void)args;
	reply(s,
	      "PacketSize=%x;qXfer:features:read+;vContSupported+;swbreak+;hwbreak+;"
	      "QStartNoAckMode+",
	      RSP_MAX_BYTES);
}

static void cmd_no_acks(struct gdb_session *s, const char *args)
{
	(void)args;
	s->no_acks = true;
	reply(s, "OK");
}

static void cmd_attached(struct gdb_session *s, const char *args)
{
	(void)args;
	reply(s, "1");
}

static void cmd_features(struct gdb_session *s, const char *args)
{
	char xml[MAX_XML_BYTES];
	size_t bytes = gdb_target_xml(xml, sizeof(xml));
	uint64_t offset, len;

	if (!parse_range(&args, '\0', &offset, &len)) {
		reply_code(s, -EINVAL);
		return;
	}
	offset = MIN(offset, bytes);
	len = MIN(len, MIN(bytes - offset, RSP_MAX_BYTES / 2 - 1));
	reply(s, "%c%.*s", offset + len < bytes ? 'm' : 'l', (int)len, xml + offset);
}

static void cmd_monitor(struct gdb_session *s, const char *args)
{
	static const char help[] = "ferry's guest: its vCPUs are gdb's threads. There are $cr0, "
				   "$cr2, $cr3, $cr4, $cr8 and $efer; all else is done by the "
				   "commands of ferry, see ferry(1).\n";

	(void)args;
	rsp_put_hex(s->reply, help, strlen(help));
	s->reply_len = strlen(help) * 2;
}

/* --- the table --- */

/* Found by their first letters; the longer ones come first. */
static const struct {
	const char *name;
	void (*fn)(struct gdb_session *s, const char *args);
	bool exact;
} commands[] = {
	{ "?", cmd_why, true },
	{ "g", cmd_get_regs, true },
	{ "G", cmd_set_regs, false },
	{ "p", cmd_get_reg, false },
	{ "P", cmd_set_reg, false },
	{ "m", cmd_read, false },
	{ "M", cmd_write, false },
	{ "Z", cmd_insert, false },
	{ "z", cmd_remove, false },
	{ "c", cmd_continue, false },
	{ "s", cmd_step, false },
	{ "vCont?", cmd_vcont_query, true },
	{ "vCont", cmd_vcont, false },
	{ "vKill", cmd_vkill, false },
	{ "D", cmd_detach, false },
	{ "k", cmd_kill, true },
	{ "H", cmd_set_thread, false },
	{ "T", cmd_alive, false },
	{ "qfThreadInfo", cmd_first_threads, true },
	{ "qsThreadInfo", cmd_more_threads, true },
	{ "qThreadExtraInfo,", cmd_thread_info, false },
	{ "qC", cmd_current, true },
	{ "qSupported", cmd_supported, false },
	{ "QStartNoAckMode", cmd_no_acks, true },
	{ "qAttached", cmd_attached, false },
	{ "qXfer:features:read:target.xml:", cmd_features, false },
	{ "qRcmd,", cmd_monitor, false },
};

void gdb_session_init(struct gdb_session *s, const struct gdb_ops *ops, void *target)
{
	*s = (struct gdb_session){ .ops = ops, .target = target, .step_cpu = GDB_MAX_CPUS };
}

void gdb_session_packet(struct gdb_session *s, const char *packet, size_t len)
{
	s->reply_len = 0;
	s->no_reply = s->running; /* what comes while the guest runs has no answer */
	if (s->running)
		return;
	if (len && *packet == 'X') {
		write_binary(s, packet + 1, packet + len);
		return;
	}
	/* What is not known has an empty answer. */
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		size_t n = strlen(commands[i].name);

		if (!strncmp(packet, commands[i].name, n) &&
		    (!commands[i].exact || packet[n] == '\0')) {
			commands[i].fn(s, packet + n);
			return;
		}
	}
}
