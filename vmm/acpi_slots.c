// SPDX-License-Identifier: MIT
// The part of the DSDT about hotplug, written as AML (ACPI 6.4, 20.2).
#include "vmm/acpi_slots.h"

#include <assert.h>
#include <string.h>

#include "util/compiler.h"
#include "vmm/memmap.h"

#define REGION_BYTES 16
#define FIRST_SLOT   1U
#define GROUP        8U /* slots that are asked for together */

/* 20.2.3 and 20.2.5 */
#define ZERO      0x00
#define ONE       0x01
#define NAME      0x08
#define BYTE      0x0a
#define WORD      0x0b
#define DWORD     0x0c
#define SCOPE     0x10
#define METHOD    0x14
#define EXT       0x5b
#define LOCAL0    0x60
#define LOCAL1    0x61
#define ARG0      0x68
#define ARG1      0x69
#define STORE     0x70
#define SHL       0x79
#define AND       0x7b
#define OR        0x7d
#define NOTIFY    0x86
#define IF        0xa0
#define NO_TARGET 0x00

#define SERIALIZED 0x08 /* MethodFlags; the low bits count the arguments */

#define ROOT_SB_PCI0 '\\', 0x2e, '_', 'S', 'B', '_', 'P', 'C', 'I', '0'

struct aml {
	uint8_t *buf;
	size_t used;
};

static void put(struct aml *a, const void *bytes, size_t len)
{
	assert(len <= ACPI_SLOTS_MAX_BYTES - a->used); /* test_acpi writes the most there is */
	memcpy(a->buf + a->used, bytes, len);
	a->used += len;
}

#define PUT(a, ...)                                                                                \
	do {                                                                                       \
		static const uint8_t bytes_[] = { __VA_ARGS__ };                                   \
		put(a, bytes_, sizeof(bytes_));                                                    \
	} while (0)

/* In as few bytes as it takes: a guest reads each. */
static void put_integer(struct aml *a, uint32_t value)
{
	const uint8_t bytes[] = { value > UINT16_MAX  ? DWORD
				  : value > UINT8_MAX ? WORD
						      : BYTE,
				  (uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
				  (uint8_t)(value >> 24) };

	if (value == 1)
		PUT(a, ONE);
	else
		put(a, bytes, bytes[0] == DWORD ? 5 : bytes[0] == WORD ? 3 : 2);
}

/* S01 to S31 */
static void put_slot(struct aml *a, unsigned slot)
{
	const char name[] = { 'S', (char)('0' + slot / 10), (char)('0' + slot % 10), '_' };

	put(a, name, sizeof(name));
}

/* A package is what comes between these two. Its length stands before it, and counts itself. */
static size_t begin(const struct aml *a)
{
	return a->used;
}

static void end(struct aml *a, size_t start)
{
	size_t len = a->used - start;
	unsigned nr = len + 1 < 1U << 6 ? 1 : len + 2 < 1U << 12 ? 2 : 3;
	uint8_t bytes[3];

	len += nr;
	bytes[0] = nr == 1 ? (uint8_t)len : (uint8_t)((nr - 1) << 6 | (len & 0xf));
	bytes[1] = (uint8_t)(len >> 4);
	bytes[2] = (uint8_t)(len >> 12);
	assert(nr <= ACPI_SLOTS_MAX_BYTES - a->used);
	memmove(a->buf + start + nr, a->buf + start, a->used - start);
	memcpy(a->buf + start, bytes, nr);
	a->used += nr;
}

static void put_registers(struct aml *a)
{
	size_t field;

	PUT(a, EXT, 0x80, 'H', 'P', 'R', 'G', 1, WORD, PORT_HOTPLUG & 0xff, PORT_HOTPLUG >> 8, BYTE,
	    REGION_BYTES);
	PUT(a, EXT, 0x81);
	field = begin(a);
	/* DWordAcc, NoLock, WriteAsZeros; each has 32 bits */
	PUT(a, 'H', 'P', 'R', 'G', 0x43, 'P', 'C', 'U', 'P', 32, 'P', 'C', 'D', 'N', 32, 'P', 'C',
	    'E', 'J', 32, 'P', 'C', 'S', 'T', 32);
	end(a, field);
}

/* Or (Or (ShiftLeft (And (Arg0, 0xffff), 8), And (Arg1, 0xff)), slot << 24, PCST) */
static void put_ost(struct aml *a, unsigned slot)
{
	size_t method;

	PUT(a, METHOD);
	method = begin(a);
	PUT(a, '_', 'O', 'S', 'T', 3 | SERIALIZED, OR, OR);
	PUT(a, SHL, AND, ARG0, WORD, 0xff, 0xff, NO_TARGET, BYTE, 8, NO_TARGET);
	PUT(a, AND, ARG1, BYTE, 0xff, NO_TARGET, NO_TARGET);
	put_integer(a, slot << 24);
	PUT(a, 'P', 'C', 'S', 'T');
	end(a, method);
}

static void put_device(struct aml *a, unsigned slot)
{
	size_t device, method;

	PUT(a, EXT, 0x82);
	device = begin(a);
	put_slot(a, slot);
	PUT(a, NAME, '_', 'A', 'D', 'R');
	put_integer(a, slot << 16);
	PUT(a, NAME, '_', 'S', 'U', 'N');
	put_integer(a, slot);
	PUT(a, METHOD);
	method = begin(a);
	PUT(a, '_', 'E', 'J', '0', 1 | SERIALIZED, STORE);
	put_integer(a, 1U << slot);
	PUT(a, 'P', 'C', 'E', 'J');
	end(a, method);
	put_ost(a, slot);
	end(a, device);
}

/* If (@local & @bits) { */
static size_t begin_if(struct aml *a, uint8_t local, uint32_t bits)
{
	const uint8_t and[] = { AND, local };
	size_t start;

	PUT(a, IF);
	start = begin(a);
	put(a, and, sizeof(and));
	put_integer(a, bits);
	PUT(a, NO_TARGET);
	return start;
}

/* The slots 1 to @nr, each with @value if its bit in @local is set. */
static void put_notifies(struct aml *a, unsigned nr, uint8_t local, unsigned value)
{
	for (unsigned first = FIRST_SLOT; first <= nr; first += GROUP) {
		unsigned last = MIN(first + GROUP - 1, nr);
		size_t group = begin_if(a, local, PCI_HOT_SLOTS(last) & ~PCI_HOT_SLOTS(first - 1));

		for (unsigned slot = first; slot <= last; slot++) {
			size_t one = begin_if(a, local, 1U << slot);

			PUT(a, NOTIFY);
			put_slot(a, slot);
			put_integer(a, value);
			end(a, one);
		}
		end(a, group);
	}
}

static void put_event(struct aml *a, unsigned nr)
{
	size_t method, any;

	PUT(a, METHOD);
	method = begin(a);
	PUT(a, 'H', 'P', 'E', 'V', SERIALIZED);
	PUT(a, STORE, 'P', 'C', 'U', 'P', LOCAL0, STORE, LOCAL0, 'P', 'C', 'U', 'P');
	PUT(a, STORE, 'P', 'C', 'D', 'N', LOCAL1, STORE, LOCAL1, 'P', 'C', 'D', 'N');
	any = begin_if(a, LOCAL0, 1);
	PUT(a, NOTIFY, ROOT_SB_PCI0, ZERO);
	end(a, any);
	put_notifies(a, nr, LOCAL0, 1);
	put_notifies(a, nr, LOCAL1, 3);
	end(a, method);
}

static void put_gpe(struct aml *a)
{
	size_t scope, method;

	PUT(a, SCOPE);
	scope = begin(a);
	PUT(a, '\\', '_', 'G', 'P', 'E', METHOD);
	method = begin(a);
	PUT(a, '_', 'E', '0', '1', SERIALIZED);
	PUT(a, '\\', 0x2f, 3, '_', 'S', 'B', '_', 'P', 'C', 'I', '0', 'H', 'P', 'E', 'V');
	end(a, method);
	end(a, scope);
}

size_t acpi_slots_write(uint8_t *buf, unsigned nr)
{
	struct aml a = { .buf = buf };
	size_t scope;

	assert(nr <= PCI_MAX_HOT_SLOTS);
	if (nr == 0)
		return 0;
	PUT(&a, SCOPE);
	scope = begin(&a);
	PUT(&a, ROOT_SB_PCI0);
	put_registers(&a);
	for (unsigned slot = FIRST_SLOT; slot <= nr; slot++)
		put_device(&a, slot);
	put_event(&a, nr);
	end(&a, scope);
	put_gpe(&a);
	return a.used;
}
