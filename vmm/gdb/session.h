/* SPDX-License-Identifier: MIT */
/* The commands of gdb's remote serial protocol (gdb manual, appendix E). */
#ifndef FERRY_VMM_GDB_SESSION_H
#define FERRY_VMM_GDB_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "util/compiler.h"
#include "vmm/gdb/regs.h"
#include "vmm/gdb/rsp.h"

#define GDB_MAX_CPUS 64U

enum gdb_action { GDB_STAY, GDB_GO, GDB_STEP };

/* Kinds of breakpoints, as the packets Z0 to Z4 number them. */
enum gdb_break { GDB_SOFTWARE, GDB_HARDWARE, GDB_WRITE, GDB_READ, GDB_ACCESS };

/* Why a vCPU has stopped. */
struct gdb_stop {
	enum { GDB_STOPPED, GDB_HIT_SOFTWARE, GDB_HIT_HARDWARE, GDB_HIT_WRITE, GDB_HIT_ACCESS } why;
	unsigned cpu;
	uint64_t addr; /* of what was watched */
};

/* What is debugged. All but ->nr_cpus and ->stop only while it stands. 0 or -errno. */
struct gdb_ops {
	unsigned (*nr_cpus)(void *target);
	int (*get_regs)(void *target, unsigned cpu, struct gdb_regs *ret);
	int (*set_regs)(void *target, unsigned cpu, const struct gdb_regs *regs);
	/* By the virtual addresses of @cpu; returns how many bytes there are. */
	ssize_t (*read)(void *target, unsigned cpu, uint64_t addr, void *buf, size_t len);
	int (*write)(void *target, unsigned cpu, uint64_t addr, const void *buf, size_t len);
	int (*insert)(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr, uint64_t len);
	int (*remove)(void *target, unsigned cpu, enum gdb_break kind, uint64_t addr, uint64_t len);
	/* One action a vCPU; gdb_session_stopped() follows. */
	int (*resume)(void *target, const enum gdb_action *actions);
	/* Asked to stop; gdb_session_stopped() follows. */
	void (*stop)(void *target);
	void (*kill)(void *target);
};

/*
 * One client, from the moment when the guest stands. Replies are put into
 * reply[], for the server to send: reply_len says how much, `no_reply` that there
 * is none yet because the guest runs. Main loop.
 */
struct gdb_session {
	const struct gdb_ops *ops;
	void *target;
	bool running;         /* the guest goes on; a stop will be told */
	bool no_acks;         /* of packets: the connection loses nothing */
	bool detached;        /* the client has said goodbye: hang up after the reply */
	unsigned cpu;         /* for registers and memory */
	unsigned step_cpu;    /* for the old packets c and s; GDB_MAX_CPUS: any */
	struct gdb_stop stop; /* the last */
	unsigned listed;      /* threads that were told so far */

	char reply[RSP_MAX_BYTES];
	size_t reply_len;
	bool no_reply;
};

/* Begin, with nothing said yet. */
void gdb_session_init(struct gdb_session *s, const struct gdb_ops *ops, void *target);

/* A packet has come: any bytes, a zero behind them. */
void gdb_session_packet(struct gdb_session *s, const char *packet, size_t len);

/* Ctrl-C has come. No reply. */
void gdb_session_break(struct gdb_session *s);

/* The guest, which ran, has stopped: makes the reply. */
void gdb_session_stopped(struct gdb_session *s, const struct gdb_stop *stop);

#endif
