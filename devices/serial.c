// SPDX-License-Identifier: MIT
// 16550A: registers, FIFO, interrupts.
//
// Theory of operation: vCPU threads access registers, the main loop announces
// input. Both take the lock; console functions are called with it held. The
// interrupt line follows from the state (update_irq_locked) and is set under
// the lock too, so that two changes cannot overtake each other.
#include "devices/serial.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "devices/vstate.h"
#include "vmm/console.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define FIFO_BYTES 16U
#define PORTS      8U

enum { RBR_THR_DLL = 0, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define IER_RDA  0x01U /* received data available */
#define IER_THRE 0x02U /* transmitter empty */
#define IER_MASK 0x0fU

#define IIR_NONE    0x01U
#define IIR_THRE    0x02U
#define IIR_RDA     0x04U
#define IIR_TIMEOUT 0x0cU
#define IIR_FIFO    0xc0U

#define FCR_ENABLE   0x01U
#define FCR_CLEAR_RX 0x02U
#define FCR_TRIGGER  0xc0U

#define LCR_DLAB 0x80U

#define MCR_OUT2 0x08U /* gates the interrupt on a PC */
#define MCR_LOOP 0x10U
#define MCR_MASK 0x1fU

#define LSR_DR        0x01U
#define LSR_OE        0x02U
#define LSR_BI        0x10U
#define LSR_THRE_TEMT 0x60U

#define MSR_CTS_DSR_DCD 0xb0U

/* What the guest can see; saved. */
struct serial_state {
	uint8_t ier, lcr, mcr, scr, fcr;
	uint8_t dll, dlm;
	uint8_t overrun;      /* LSR_OE is to be reported */
	uint8_t thre_pending; /* a transmitter-empty interrupt was not yet read */
	uint8_t rx[FIFO_BYTES];
	uint8_t rx_head, rx_count;
	uint8_t irq_level;
};

struct serial {
	struct device device;
	struct vm *vm;       /* const */
	struct console *con; /* const */
	struct console_input input;
	struct mutex lock; /* protects: state; order: before console locks */
	struct serial_state state;
	bool paused; /* input stays in the console */
	/* A break and the key after it, which the guest has not read yet: lock. Nobody
	 * waits for them, so a guest that moves leaves them behind. */
	enum { BREAK_NONE, BREAK_WAITS, BREAK_IN_FIFO } brk;
	uint8_t brk_key;
};

static unsigned rx_room(const struct serial_state *st)
{
	return (st->fcr & FCR_ENABLE ? FIFO_BYTES : 1U) - st->rx_count;
}

static void push_rx(struct serial_state *st, uint8_t byte)
{
	if (rx_room(st) == 0) {
		st->overrun = 1;
		return;
	}
	st->rx[(st->rx_head + st->rx_count++) % FIFO_BYTES] = byte;
}

/*
 * Receive trigger level. Below it a real chip waits four character times and
 * reports a timeout; here that time is over at once.
 */
static unsigned rx_trigger(const struct serial_state *st)
{
	static const uint8_t levels[] = { 1, 4, 8, 14 };

	return st->fcr & FCR_ENABLE ? levels[(st->fcr & FCR_TRIGGER) >> 6] : 1;
}

static uint8_t interrupt_id(const struct serial_state *st)
{
	if (st->ier & IER_RDA && st->rx_count > 0)
		return st->rx_count >= rx_trigger(st) ? IIR_RDA : IIR_TIMEOUT;
	if (st->ier & IER_THRE && st->thre_pending)
		return IIR_THRE;
	return IIR_NONE;
}

static void update_irq_locked(struct serial *s)
{
	struct serial_state *st = &s->state;
	bool level = interrupt_id(st) != IIR_NONE && st->mcr & MCR_OUT2;

	if (level == st->irq_level)
		return;
	st->irq_level = level;
	irq_set_line(&s->vm->irq, GSI_SERIAL, level);
}

/* Take what the console has as long as it fits. */
static void fill_rx_locked(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t buf[FIFO_BYTES];
	size_t n;

	if (st->mcr & MCR_LOOP || s->paused)
		return;
	/* A break is a zero that comes with LSR_BI (8.6.3): alone, so that the flag is its own. */
	if (s->brk == BREAK_WAITS && st->rx_count == 0) {
		s->brk = BREAK_IN_FIFO;
		push_rx(st, 0);
	}
	if (s->brk != BREAK_NONE)
		return;
	n = console_read(s->con, buf, rx_room(st));
	for (size_t i = 0; i < n; i++)
		push_rx(st, buf[i]);
}

static void on_input(void *opaque)
{
	struct serial *s = opaque;

	mutex_lock(&s->lock);
	fill_rx_locked(s);
	update_irq_locked(s);
	mutex_unlock(&s->lock);
}

int serial_send_break(struct device *dev, uint8_t key)
{
	struct serial *s = container_of(dev, struct serial, device);
	int rc = 0;

	mutex_lock(&s->lock);
	if (s->brk == BREAK_NONE) {
		s->brk = BREAK_WAITS;
		s->brk_key = key;
		fill_rx_locked(s);
		update_irq_locked(s);
	} else {
		rc = -EBUSY;
	}
	mutex_unlock(&s->lock);
	return rc;
}

static void transmit_locked(struct serial *s, uint8_t byte)
{
	struct serial_state *st = &s->state;

	if (st->mcr & MCR_LOOP)
		push_rx(st, byte);
	else
		console_write(s->con, &byte, 1);
	st->thre_pending = 1;
}

static uint8_t read_rbr_locked(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t byte = 0;

	if (st->rx_count > 0) {
		byte = st->rx[st->rx_head];
		st->rx_head = (uint8_t)((st->rx_head + 1) % FIFO_BYTES);
		st->rx_count--;
	}
	if (s->brk == BREAK_IN_FIFO) {
		s->brk = BREAK_NONE;
		push_rx(st, s->brk_key);
	} else if (st->rx_count == 0) {
		fill_rx_locked(s);
	}
	return byte;
}

static uint8_t read_iir_locked(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t id = interrupt_id(st);

	/* Reading it is what acknowledges a transmitter interrupt. */
	if (id == IIR_THRE)
		st->thre_pending = 0;
	return id | (st->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static uint8_t read_lsr_locked(struct serial *s)
{
	struct serial_state *st = &s->state;
	uint8_t lsr = LSR_THRE_TEMT;

	if (st->rx_count > 0)
		lsr |= LSR_DR;
	if (s->brk == BREAK_IN_FIFO)
		lsr |= LSR_BI;
	if (st->overrun)
		lsr |= LSR_OE;
	st->overrun = 0;
	return lsr;
}

/* In loopback the modem outputs are wired to the inputs (8.6.7). */
static uint8_t modem_status(const struct serial_state *st)
{
	uint8_t mcr = st->mcr;

	if (!(mcr & MCR_LOOP))
		return MSR_CTS_DSR_DCD;
	return (uint8_t)((mcr & 0x02) << 3 | (mcr & 0x01) << 5 | (mcr & 0x0c) << 4);
}

static uint8_t read_locked(struct serial *s, uint64_t offset)
{
	struct serial_state *st = &s->state;
	bool dlab = st->lcr & LCR_DLAB;

	switch (offset) {
	case RBR_THR_DLL:
		return dlab ? st->dll : read_rbr_locked(s);
	case IER_DLM:
		return dlab ? st->dlm : st->ier;
	case IIR_FCR:
		return read_iir_locked(s);
	case LCR:
		return st->lcr;
	case MCR:
		return st->mcr;
	case LSR:
		return read_lsr_locked(s);
	case MSR:
		return modem_status(st);
	default:
		return st->scr;
	}
}

static void write_ier(struct serial_state *st, uint8_t value)
{
	/* Enabling it while the transmitter is empty raises it at once. */
	if (value & IER_THRE && !(st->ier & IER_THRE))
		st->thre_pending = 1;
	st->ier = value & IER_MASK;
}

static void write_fcr_locked(struct serial *s, uint8_t value)
{
	struct serial_state *st = &s->state;

	if (value & FCR_CLEAR_RX || (value ^ st->fcr) & FCR_ENABLE)
		st->rx_count = 0;
	st->fcr = value & (FCR_ENABLE | FCR_TRIGGER);
	fill_rx_locked(s);
}

static void write_locked(struct serial *s, uint64_t offset, uint8_t value)
{
	struct serial_state *st = &s->state;
	bool dlab = st->lcr & LCR_DLAB;

	switch (offset) {
	case RBR_THR_DLL:
		if (dlab)
			st->dll = value;
		else
			transmit_locked(s, value);
		break;
	case IER_DLM:
		if (dlab)
			st->dlm = value;
		else
			write_ier(st, value);
		break;
	case IIR_FCR:
		write_fcr_locked(s, value);
		break;
	case LCR:
		st->lcr = value;
		break;
	case MCR:
		st->mcr = value & MCR_MASK;
		fill_rx_locked(s);
		break;
	case SCR:
		st->scr = value;
		break;
	default: /* LSR and MSR are read-only */
		break;
	}
}

/* Registers are bytes: wider accesses see one register after the other. */
static uint64_t serial_read(void *opaque, uint64_t offset, unsigned size)
{
	struct serial *s = opaque;
	uint64_t value = 0;

	mutex_lock(&s->lock);
	for (unsigned i = 0; i < size; i++)
		value |= (uint64_t)read_locked(s, offset + i) << (8 * i);
	update_irq_locked(s);
	mutex_unlock(&s->lock);
	return value;
}

static void serial_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
	struct serial *s = opaque;

	mutex_lock(&s->lock);
	for (unsigned i = 0; i < size; i++)
		write_locked(s, offset + i, (uint8_t)(value >> (8 * i)));
	update_irq_locked(s);
	mutex_unlock(&s->lock);
}

static const struct bus_ops serial_ports = {
	.read = serial_read,
	.write = serial_write,
};

static void reset_state(struct serial_state *st)
{
	*st = (struct serial_state){ .dll = 12 }; /* 9600 baud */
}

static void serial_reset(struct device *dev)
{
	struct serial *s = container_of(dev, struct serial, device);

	mutex_lock(&s->lock);
	irq_set_line(&s->vm->irq, GSI_SERIAL, false);
	reset_state(&s->state);
	s->brk = BREAK_NONE;
	mutex_unlock(&s->lock);
}

static void set_paused(struct device *dev, bool paused)
{
	struct serial *s = container_of(dev, struct serial, device);

	mutex_lock(&s->lock);
	s->paused = paused;
	fill_rx_locked(s);
	update_irq_locked(s);
	mutex_unlock(&s->lock);
}

static void serial_pause(struct device *dev)
{
	set_paused(dev, true);
}

static void serial_resume(struct device *dev)
{
	set_paused(dev, false);
}

/* --- saved state ------------------------------------------------------------- */

/* The FIFO's indexes are used without a further look. */
static int check_state(const void *state, struct err *e)
{
	const struct serial_state *st = state;

	if (st->rx_count > (st->fcr & FCR_ENABLE ? FIFO_BYTES : 1U))
		return err_set(e, -EINVAL, "rx_count: %u bytes are more than the FIFO has",
			       st->rx_count);
	if (st->fcr & ~(FCR_ENABLE | FCR_TRIGGER))
		return err_set(e, -EINVAL, "fcr: %#x has bits that do not exist", st->fcr);
	return 0;
}

static const struct vstate_field serial_fields[] = {
	VS_U8_MAX(1, struct serial_state, ier, IER_MASK),
	VS_U8(2, struct serial_state, lcr),
	VS_U8_MAX(3, struct serial_state, mcr, MCR_MASK),
	VS_U8(4, struct serial_state, scr),
	VS_U8(5, struct serial_state, fcr),
	VS_U8(6, struct serial_state, dll),
	VS_U8(7, struct serial_state, dlm),
	VS_U8_MAX(8, struct serial_state, overrun, 1),
	VS_U8_MAX(9, struct serial_state, thre_pending, 1),
	VS_BYTES(10, struct serial_state, rx),
	VS_U8_MAX(11, struct serial_state, rx_head, FIFO_BYTES - 1),
	VS_U8_MAX(12, struct serial_state, rx_count, FIFO_BYTES),
	VS_U8_MAX(13, struct serial_state, irq_level, 1),
};

const struct vstate_table serial_vstate = {
	VSTATE_TABLE("serial", struct serial_state, serial_fields),
	.check = check_state,
};

static void serial_save(struct device *dev, struct vstate_writer *w)
{
	struct serial *s = container_of(dev, struct serial, device);

	mutex_lock(&s->lock);
	vstate_put(w, &serial_vstate, 0, &s->state);
	mutex_unlock(&s->lock);
}

/* The level of the line comes with the interrupt controllers' own state. */
static int serial_load(struct device *dev, struct vstate_reader *r, struct err *e)
{
	struct serial *s = container_of(dev, struct serial, device);
	int rc;

	mutex_lock(&s->lock);
	s->paused = true;
	rc = vstate_get(r, &serial_vstate, 0, &s->state, e);
	mutex_unlock(&s->lock);
	return rc;
}

/* --- life cycle -------------------------------------------------------------- */

static void serial_free(struct device *dev)
{
	struct serial *s = container_of(dev, struct serial, device);

	console_remove_input(s->con, &s->input);
	bus_remove(&s->vm->pio, PORT_SERIAL, s);
	mutex_fini(&s->lock);
	free(s);
}

static const struct device_ops serial_ops = {
	.type = "serial",
	.reset = serial_reset,
	.pause = serial_pause,
	.resume = serial_resume,
	.save = serial_save,
	.load = serial_load,
	.free = serial_free,
};

int serial_new(struct vm *vm, struct console *con)
{
	struct serial *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	s->device = (struct device){ .ops = &serial_ops, .id = "serial" };
	s->vm = vm;
	s->con = con;
	mutex_init(&s->lock);
	reset_state(&s->state);
	rc = bus_add(&vm->pio, PORT_SERIAL, PORTS, &serial_ports, s);
	if (rc == 0)
		rc = vm_add_device(vm, &s->device);
	if (rc < 0) {
		bus_remove(&vm->pio, PORT_SERIAL, s);
		mutex_fini(&s->lock);
		free(s);
		return rc;
	}
	s->input = (struct console_input){ .fn = on_input, .opaque = s };
	console_add_input(con, &s->input);
	return 0;
}
