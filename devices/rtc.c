// SPDX-License-Identifier: MIT
// MC146818 real-time clock: time, alarm, periodic and update interrupts, RAM.
//
// Theory of operation: time is not kept but computed, as the host's wall clock
// plus an offset that changes when the guest sets the clock. Timers belong to
// the main loop, so a vCPU that changes what is awaited posts work there; the
// timer runs only while an interrupt is enabled and not yet reported, so that
// an idle clock costs nothing and a guest cannot make it spin.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "devices/isa.h"
#include "devices/vstate.h"
#include "util/clock.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define RAM_BYTES 128U

enum {
	REG_SECONDS = 0,
	REG_SECONDS_ALARM,
	REG_MINUTES,
	REG_MINUTES_ALARM,
	REG_HOURS,
	REG_HOURS_ALARM,
	REG_WEEKDAY,
	REG_DAY,
	REG_MONTH,
	REG_YEAR,
	REG_A,
	REG_B,
	REG_C,
	REG_D,
	REG_CENTURY = 0x32, /* FADT.century */
};

#define A_UIP     0x80U
#define A_RATE    0x0fU
#define A_DEFAULT 0x26U /* 32,768 Hz base, 1,024 Hz rate */
#define B_24H     0x02U
#define B_BINARY  0x04U
#define B_SET     0x80U
/* Enables in B and flags in C have the same positions. */
#define INT_UPDATE   0x10U
#define INT_ALARM    0x20U
#define INT_PERIODIC 0x40U
#define INT_ALL      (INT_UPDATE | INT_ALARM | INT_PERIODIC)
#define C_IRQF       0x80U
#define D_VALID      0x80U

#define HOUR_PM   0x80U
#define ALARM_ANY 0xc0U /* both top bits: matches always */

#define SECONDS_PER_DAY 86400

#define UPDATE_NS 244000U /* UIP is set this long before the second changes */

struct rtc_state {
	uint8_t index;
	uint8_t regs[RAM_BYTES]; /* time registers are current only while B_SET */
	uint64_t offset_s;       /* guest's clock minus the host's, modulo 2^64 */
	uint8_t irq_level;
	uint64_t paused_s; /* guest's clock at the last pause, modulo 2^64; 0: never */
};

struct rtc {
	struct device device;
	struct vm *vm;     /* const */
	struct mutex lock; /* protects: state; order: before irq */
	struct rtc_state state;

	/* main loop only */
	struct loop_timer timer;
	struct loop_work rearm;
	uint64_t next_periodic_ns; /* on the monotonic clock; 0: not running */
	uint64_t next_second_ns;   /* the same: when update and alarm are due */
};

static uint8_t encode(const struct rtc_state *st, int value)
{
	if (st->regs[REG_B] & B_BINARY)
		return (uint8_t)value;
	return (uint8_t)(value / 10 % 10 << 4 | value % 10);
}

static int decode(const struct rtc_state *st, uint8_t value)
{
	if (st->regs[REG_B] & B_BINARY)
		return value;
	return (value >> 4) * 10 + (value & 0xf);
}

static uint8_t encode_hour(const struct rtc_state *st, int hour)
{
	if (st->regs[REG_B] & B_24H)
		return encode(st, hour);
	return (uint8_t)(encode(st, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0));
}

static int decode_hour(const struct rtc_state *st, uint8_t value)
{
	if (st->regs[REG_B] & B_24H)
		return decode(st, value);
	return decode(st, value & (uint8_t)~HOUR_PM) % 12 + (value & HOUR_PM ? 12 : 0);
}

static int64_t guest_seconds(const struct rtc_state *st)
{
	return (int64_t)(clock_wall_ns() / NSEC_PER_SEC + st->offset_s);
}

/* Let the time registers say @when, unless the guest is setting them. */
static void latch_second(struct rtc_state *st, int64_t when)
{
	const time_t now = (time_t)when;
	unsigned year;
	struct tm tm;

	if (st->regs[REG_B] & B_SET || !gmtime_r(&now, &tm))
		return;
	st->regs[REG_SECONDS] = encode(st, tm.tm_sec);
	st->regs[REG_MINUTES] = encode(st, tm.tm_min);
	st->regs[REG_HOURS] = encode_hour(st, tm.tm_hour);
	st->regs[REG_WEEKDAY] = encode(st, tm.tm_wday + 1);
	st->regs[REG_DAY] = encode(st, tm.tm_mday);
	st->regs[REG_MONTH] = encode(st, tm.tm_mon + 1);
	/* Digits need a positive number, and a guest may choose any year. */
	year = ((unsigned)tm.tm_year + 1900) % 10000;
	st->regs[REG_YEAR] = encode(st, (int)(year % 100));
	st->regs[REG_CENTURY] = encode(st, (int)(year / 100));
}

/* Bring the time registers up to date. */
static void latch_time(struct rtc_state *st)
{
	latch_second(st, guest_seconds(st));
}

/* The guest has set the time registers: derive the offset. Any bytes are fine. */
static void take_time(struct rtc_state *st)
{
	const uint8_t *regs = st->regs;
	int year = decode(st, regs[REG_CENTURY]) * 100 + decode(st, regs[REG_YEAR]);
	struct tm tm = {
		.tm_sec = decode(st, regs[REG_SECONDS]),
		.tm_min = decode(st, regs[REG_MINUTES]),
		.tm_hour = decode_hour(st, regs[REG_HOURS]),
		.tm_mday = decode(st, regs[REG_DAY]),
		.tm_mon = decode(st, regs[REG_MONTH]) - 1,
		.tm_year = year - 1900,
	};

	st->offset_s = 0;
	st->offset_s = (uint64_t)timegm(&tm) - (uint64_t)guest_seconds(st);
}

static bool is_time_register(unsigned reg)
{
	return reg == REG_SECONDS || reg == REG_MINUTES || reg == REG_HOURS ||
	       (reg >= REG_WEEKDAY && reg <= REG_YEAR) || reg == REG_CENTURY;
}

static bool field_matches(uint8_t alarm, uint8_t now)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || alarm == now;
}

static bool alarm_matches(struct rtc_state *st, int64_t when)
{
	latch_second(st, when);
	return field_matches(st->regs[REG_SECONDS_ALARM], st->regs[REG_SECONDS]) &&
	       field_matches(st->regs[REG_MINUTES_ALARM], st->regs[REG_MINUTES]) &&
	       field_matches(st->regs[REG_HOURS_ALARM], st->regs[REG_HOURS]);
}

static void update_irq_locked(struct rtc *rtc)
{
	struct rtc_state *st = &rtc->state;
	bool level = st->regs[REG_B] & st->regs[REG_C] & INT_ALL;

	st->regs[REG_C] = (uint8_t)((st->regs[REG_C] & INT_ALL) | (level ? C_IRQF : 0));
	if (level == st->irq_level)
		return;
	st->irq_level = level;
	irq_set_line(&rtc->vm->irq, GSI_RTC, level);
}

/* Enabled and not yet reported: what a timer is needed for. */
static uint8_t awaited(const struct rtc_state *st)
{
	return st->regs[REG_B] & (uint8_t)~st->regs[REG_C] & INT_ALL;
}

/* 0: no periodic interrupt. Rates 1 and 2 stand for 8 and 9 (data sheet, table 5). */
static uint64_t period_ns(const struct rtc_state *st)
{
	unsigned rate = st->regs[REG_A] & A_RATE;

	if (rate == 0)
		return 0;
	if (rate <= 2)
		rate += 7;
	return (NSEC_PER_SEC << (rate - 1)) / 32768;
}

static uint64_t end_of_second_ns(void)
{
	return clock_now_ns() + NSEC_PER_SEC - clock_wall_ns() % NSEC_PER_SEC;
}

/* Arm the timer for the first thing that is awaited. Main loop. */
static void rearm(void *opaque)
{
	struct rtc *rtc = opaque;
	struct rtc_state *st = &rtc->state;
	uint64_t deadline = UINT64_MAX;
	uint64_t period;
	uint8_t wanted;

	mutex_lock(&rtc->lock);
	wanted = awaited(st);
	period = wanted & INT_PERIODIC ? period_ns(st) : 0;
	mutex_unlock(&rtc->lock);
	if (period) {
		uint64_t now = clock_now_ns();

		/* Keep the beat, but skip beats that were missed. */
		if (rtc->next_periodic_ns + period <= now || rtc->next_periodic_ns > now + period)
			rtc->next_periodic_ns = now + period;
		else if (rtc->next_periodic_ns <= now)
			rtc->next_periodic_ns += period;
		deadline = rtc->next_periodic_ns;
	}
	if (!(wanted & (INT_UPDATE | INT_ALARM))) {
		rtc->next_second_ns = 0;
	} else {
		/* One that is over and was not reported yet stays due. */
		if (!rtc->next_second_ns)
			rtc->next_second_ns = end_of_second_ns();
		deadline = MIN(deadline, rtc->next_second_ns);
	}
	if (deadline == UINT64_MAX)
		loop_disarm(rtc->vm->main_loop, &rtc->timer);
	else
		loop_arm(rtc->vm->main_loop, &rtc->timer, deadline);
}

static void on_timer(void *opaque)
{
	struct rtc *rtc = opaque;
	struct rtc_state *st = &rtc->state;
	uint8_t wanted, flags = 0;
	uint64_t now = clock_now_ns();
	bool beat = rtc->next_periodic_ns <= now;
	bool second = rtc->next_second_ns && rtc->next_second_ns <= now;

	if (second)
		rtc->next_second_ns = 0;
	mutex_lock(&rtc->lock);
	wanted = awaited(st);
	if (wanted & INT_PERIODIC && beat)
		flags |= INT_PERIODIC;
	/* The two clocks may differ a little: too early by the wall's is another time. */
	if (second && clock_wall_ns() % NSEC_PER_SEC < NSEC_PER_SEC / 2)
		flags |= INT_UPDATE | (alarm_matches(st, guest_seconds(st)) ? INT_ALARM : 0);
	st->regs[REG_C] |= flags & wanted;
	update_irq_locked(rtc);
	mutex_unlock(&rtc->lock);
	rearm(rtc);
}

static uint8_t read_reg_locked(struct rtc *rtc)
{
	struct rtc_state *st = &rtc->state;
	unsigned reg = st->index;
	uint8_t value;

	if (is_time_register(reg))
		latch_time(st);
	value = st->regs[reg];
	if (reg == REG_A) {
		bool updating = clock_wall_ns() % NSEC_PER_SEC >= NSEC_PER_SEC - UPDATE_NS;

		value = (uint8_t)((value & ~A_UIP) | (updating ? A_UIP : 0));
	} else if (reg == REG_C) {
		st->regs[REG_C] = 0;
		update_irq_locked(rtc);
		if (st->regs[REG_B] & INT_ALL)
			loop_post(rtc->vm->main_loop, &rtc->rearm);
	} else if (reg == REG_D) {
		value = D_VALID;
	}
	return value;
}

static void write_time_locked(struct rtc_state *st, unsigned reg, uint8_t value)
{
	latch_time(st);
	st->regs[reg] = value;
	if (!(st->regs[REG_B] & B_SET))
		take_time(st);
}

static void write_b_locked(struct rtc_state *st, uint8_t value)
{
	bool was_set = st->regs[REG_B] & B_SET;

	/* While it still runs: latch in the old format, so that SET stops it here. */
	latch_time(st);
	st->regs[REG_B] = value;
	if (was_set && !(value & B_SET))
		take_time(st);
}

static void write_reg_locked(struct rtc *rtc, uint8_t value)
{
	struct rtc_state *st = &rtc->state;
	unsigned reg = st->index;

	if (is_time_register(reg))
		write_time_locked(st, reg, value);
	else if (reg == REG_B)
		write_b_locked(st, value);
	else if (reg != REG_C && reg != REG_D)
		st->regs[reg] = value;
	if (reg != REG_A && reg != REG_B)
		return;
	update_irq_locked(rtc);
	loop_post(rtc->vm->main_loop, &rtc->rearm);
}

static uint64_t rtc_read(void *opaque, uint64_t offset, unsigned size)
{
	struct rtc *rtc = opaque;
	uint8_t value = 0xff; /* the index register is write-only */

	(void)size;
	if (offset == 1) {
		mutex_lock(&rtc->lock);
		value = read_reg_locked(rtc);
		mutex_unlock(&rtc->lock);
	}
	return value;
}

static void rtc_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct rtc *rtc = opaque;

	(void)size;
	mutex_lock(&rtc->lock);
	if (offset == 0)
		rtc->state.index = (uint8_t)(value & (RAM_BYTES - 1));
	else
		write_reg_locked(rtc, (uint8_t)value);
	mutex_unlock(&rtc->lock);
}

static const struct bus_ops rtc_ports = { .read = rtc_read, .write = rtc_write };

/* The battery keeps time and RAM over a reset; interrupts are off. */
static void rtc_reset(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);

	mutex_lock(&rtc->lock);
	rtc->state.regs[REG_B] &= (uint8_t)~INT_ALL;
	rtc->state.regs[REG_C] = 0;
	update_irq_locked(rtc);
	mutex_unlock(&rtc->lock);
	loop_disarm(rtc->vm->main_loop, &rtc->timer);
}

static void rtc_pause(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);

	loop_unpost(rtc->vm->main_loop, &rtc->rearm);
	loop_disarm(rtc->vm->main_loop, &rtc->timer);
	rtc->next_second_ns = 0;
	mutex_lock(&rtc->lock);
	rtc->state.paused_s = (uint64_t)guest_seconds(&rtc->state);
	mutex_unlock(&rtc->lock);
}

/*
 * Would the alarm have come while the guest stood? It comes once a day at
 * least, so the last day says it all, and bounds what it costs to find out.
 */
static bool missed_alarm(struct rtc_state *st)
{
	int64_t now = guest_seconds(st);
	int64_t from = (int64_t)(st->paused_s + 1);

	if (st->paused_s == 0 || from > now || st->regs[REG_B] & B_SET)
		return false;
	/* No calendar goes there. */
	if (now > INT64_MAX / 2 || now < INT64_MIN / 2)
		return false;
	for (from = MAX(from, now - SECONDS_PER_DAY + 1); from <= now; from++) {
		if (alarm_matches(st, from))
			return true;
	}
	return false;
}

/* The clock has gone on by real time, and an alarm on that way is not lost. */
static void rtc_resume(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);

	mutex_lock(&rtc->lock);
	if (awaited(&rtc->state) & INT_ALARM && missed_alarm(&rtc->state)) {
		rtc->state.regs[REG_C] |= INT_ALARM;
		update_irq_locked(rtc);
	}
	mutex_unlock(&rtc->lock);
	rearm(rtc);
}

/* --- saved state ------------------------------------------------------------- */

static const struct vstate_field rtc_fields[] = {
	VS_U8_MAX(1, struct rtc_state, index, RAM_BYTES - 1),
	VS_BYTES(2, struct rtc_state, regs),
	VS_U64(3, struct rtc_state, offset_s),
	VS_U8_MAX(4, struct rtc_state, irq_level, 1),
	VS_U64(5 | VSTATE_OPTIONAL, struct rtc_state, paused_s),
};

const struct vstate_table rtc_vstate = {
	VSTATE_TABLE("rtc", struct rtc_state, rtc_fields),
};

static void rtc_save(struct device *dev, struct vstate_writer *w)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);

	mutex_lock(&rtc->lock);
	vstate_put(w, &rtc_vstate, 0, &rtc->state);
	mutex_unlock(&rtc->lock);
}

/* The offset makes it go on by real time, however long it was on its way. */
static int rtc_load(struct device *dev, struct vstate_reader *r, struct err *e)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);
	int rc;

	mutex_lock(&rtc->lock);
	rc = vstate_get(r, &rtc_vstate, 0, &rtc->state, e);
	mutex_unlock(&rtc->lock);
	return rc;
}

static void rtc_free(struct device *dev)
{
	struct rtc *rtc = container_of(dev, struct rtc, device);

	loop_disarm(rtc->vm->main_loop, &rtc->timer);
	loop_unpost(rtc->vm->main_loop, &rtc->rearm);
	bus_remove(&rtc->vm->pio, PORT_RTC, rtc);
	mutex_fini(&rtc->lock);
	free(rtc);
}

static const struct device_ops rtc_ops = {
	.type = "rtc",
	.reset = rtc_reset,
	.pause = rtc_pause,
	.resume = rtc_resume,
	.save = rtc_save,
	.load = rtc_load,
	.free = rtc_free,
};

int rtc_new(struct vm *vm)
{
	struct rtc *rtc = calloc(1, sizeof(*rtc));
	int rc;

	if (!rtc)
		return -ENOMEM;
	rtc->device = (struct device){ .ops = &rtc_ops, .id = "rtc" };
	rtc->vm = vm;
	rtc->state.regs[REG_A] = A_DEFAULT;
	rtc->state.regs[REG_B] = B_24H;
	rtc->timer = (struct loop_timer){ .fn = on_timer, .opaque = rtc };
	rtc->rearm = (struct loop_work){ .fn = rearm, .opaque = rtc };
	mutex_init(&rtc->lock);
	rc = bus_add(&vm->pio, PORT_RTC, 2, &rtc_ports, rtc);
	if (rc == 0)
		rc = vm_add_device(vm, &rtc->device);
	if (rc < 0)
		rtc_free(&rtc->device);
	return rc;
}
