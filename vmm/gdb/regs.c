// SPDX-License-Identifier: MIT
// Registers as gdb knows them: one table.
#include "vmm/gdb/regs.h"

#include <stdio.h>
#include <string.h>

#include "vmm/gdb/rsp.h"

#define MAX_REG_BYTES 16U

/*
 * In gdb's order for amd64 (gdb manual, G.5.4): the sizes on the wire are those
 * of its features, what is shorter here is extended by zeroes.
 */
struct reg {
	const char *name, *type;
	size_t offset;
	uint8_t wire_bytes, bytes; /* bytes 0: always zero here */
	bool read_only;
	const char *group;
};

#define GPR(name)                                                                                  \
	{                                                                                          \
#name, "int64", offsetof(struct gdb_regs, regs.name), 8, 8, false, NULL            \
	}
#define SEG(name)                                                                                  \
	{                                                                                          \
#name, "int32", offsetof(struct gdb_regs, sregs.name.selector), 4, 2, true, NULL   \
	}
#define ST(n)                                                                                      \
	{                                                                                          \
		"st" #n, "i387_ext", offsetof(struct gdb_regs, fpu.fpr[n]), 10, 10, false, NULL    \
	}
#define FPU(name, member, size)                                                                    \
	{                                                                                          \
		name, "int", offsetof(struct gdb_regs, fpu.member), 4, size, false, "float"        \
	}
#define NO_FPU(name)                                                                               \
	{                                                                                          \
		name, "int", 0, 4, 0, true, "float"                                                \
	}
#define XMM(n)                                                                                     \
	{                                                                                          \
		"xmm" #n, "vec128", offsetof(struct gdb_regs, fpu.xmm[n]), 16, 16, false, NULL     \
	}
#define BASE(name)                                                                                 \
	{                                                                                          \
#name "_base", "int", offsetof(struct gdb_regs, sregs.name.base), 8, 8, false,     \
			NULL                                                                       \
	}
#define CR(name)                                                                                   \
	{                                                                                          \
#name, "uint64", offsetof(struct gdb_regs, sregs.name), 8, 8, true, "system"       \
	}

static const struct reg core_regs[] = {
	GPR(rax),
	GPR(rbx),
	GPR(rcx),
	GPR(rdx),
	GPR(rsi),
	GPR(rdi),
	{ "rbp", "data_ptr", offsetof(struct gdb_regs, regs.rbp), 8, 8, false, NULL },
	{ "rsp", "data_ptr", offsetof(struct gdb_regs, regs.rsp), 8, 8, false, NULL },
	GPR(r8),
	GPR(r9),
	GPR(r10),
	GPR(r11),
	GPR(r12),
	GPR(r13),
	GPR(r14),
	GPR(r15),
	{ "rip", "code_ptr", offsetof(struct gdb_regs, regs.rip), 8, 8, false, NULL },
	{ "eflags", "i386_eflags", offsetof(struct gdb_regs, regs.rflags), 4, 4, false, NULL },
	SEG(cs),
	SEG(ss),
	SEG(ds),
	SEG(es),
	SEG(fs),
	SEG(gs),
	ST(0),
	ST(1),
	ST(2),
	ST(3),
	ST(4),
	ST(5),
	ST(6),
	ST(7),
	FPU("fctrl", fcw, 2),
	FPU("fstat", fsw, 2),
	FPU("ftag", ftwx, 1),
	NO_FPU("fiseg"),
	FPU("fioff", last_ip, 4),
	NO_FPU("foseg"),
	FPU("fooff", last_dp, 4),
	FPU("fop", last_opcode, 2),
};

static const struct reg sse_regs[] = {
	XMM(0),
	XMM(1),
	XMM(2),
	XMM(3),
	XMM(4),
	XMM(5),
	XMM(6),
	XMM(7),
	XMM(8),
	XMM(9),
	XMM(10),
	XMM(11),
	XMM(12),
	XMM(13),
	XMM(14),
	XMM(15),
	{ "mxcsr", "i386_mxcsr", offsetof(struct gdb_regs, fpu.mxcsr), 4, 4, false, "vector" },
};

static const struct reg segment_regs[] = { BASE(fs), BASE(gs) };

static const struct reg system_regs[] = { CR(cr0), CR(cr2), CR(cr3), CR(cr4), CR(cr8), CR(efer) };

static const struct {
	const char *name, *types;
	const struct reg *regs;
	unsigned nr;
} features[] = {
	{ "org.gnu.gdb.i386.core",
	  "<flags id=\"i386_eflags\" size=\"4\">"
	  "<field name=\"CF\" start=\"0\" end=\"0\"/><field name=\"PF\" start=\"2\" end=\"2\"/>"
	  "<field name=\"AF\" start=\"4\" end=\"4\"/><field name=\"ZF\" start=\"6\" end=\"6\"/>"
	  "<field name=\"SF\" start=\"7\" end=\"7\"/><field name=\"TF\" start=\"8\" end=\"8\"/>"
	  "<field name=\"IF\" start=\"9\" end=\"9\"/><field name=\"DF\" start=\"10\" end=\"10\"/>"
	  "<field name=\"OF\" start=\"11\" end=\"11\"/></flags>",
	  core_regs, ARRAY_SIZE(core_regs) },
	{ "org.gnu.gdb.i386.sse",
	  "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/>"
	  "<vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
	  "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/>"
	  "<vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
	  "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/>"
	  "<vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
	  "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/>"
	  "<field name=\"v2_double\" type=\"v2d\"/><field name=\"v16_int8\" type=\"v16i8\"/>"
	  "<field name=\"v8_int16\" type=\"v8i16\"/><field name=\"v4_int32\" type=\"v4i32\"/>"
	  "<field name=\"v2_int64\" type=\"v2i64\"/><field name=\"uint128\" type=\"uint128\"/>"
	  "</union><flags id=\"i386_mxcsr\" size=\"4\">"
	  "<field name=\"IE\" start=\"0\" end=\"0\"/></flags>",
	  sse_regs, ARRAY_SIZE(sse_regs) },
	{ "org.gnu.gdb.i386.segments", "", segment_regs, ARRAY_SIZE(segment_regs) },
	{ "org.ferry.system", "", system_regs, ARRAY_SIZE(system_regs) },
};

static const struct reg *find(unsigned nr)
{
	for (unsigned f = 0; f < ARRAY_SIZE(features); f++) {
		if (nr < features[f].nr)
			return &features[f].regs[nr];
		nr -= features[f].nr;
	}
	return NULL;
}

unsigned gdb_nr_regs(void)
{
	unsigned nr = 0;

	for (unsigned f = 0; f < ARRAY_SIZE(features); f++)
		nr += features[f].nr;
	return nr;
}

/* --- the description --- */

/* Appends and never overflows; returns the new end. */
static size_t append(char *buf, size_t len, size_t end, const char *text)
{
	int n = end < len ? snprintf(buf + end, len - end, "%s", text) : 0;

	return end + (n > 0 ? (size_t)n : 0);
}

static size_t append_reg(char *buf, size_t len, size_t end, const struct reg *r)
{
	char text[160];

	(void)snprintf(text, sizeof(text), "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"%s%s%s/>",
		       r->name, r->wire_bytes * 8U, r->type, r->group ? " group=\"" : "",
		       r->group ? r->group : "", r->group ? "\"" : "");
	return append(buf, len, end, text);
}

size_t gdb_target_xml(char *buf, size_t len)
{
	size_t end = append(buf, len, 0,
			    "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
			    "<target><architecture>i386:x86-64</architecture>");

	for (unsigned f = 0; f < ARRAY_SIZE(features); f++) {
		end = append(buf, len, end, "<feature name=\"");
		end = append(buf, len, end, features[f].name);
		end = append(buf, len, end, "\">");
		end = append(buf, len, end, features[f].types);
		for (unsigned i = 0; i < features[f].nr; i++)
			end = append_reg(buf, len, end, &features[f].regs[i]);
		end = append(buf, len, end, "</feature>");
	}
	return append(buf, len, end, "</target>");
}

/* --- values --- */

static const char *at(const struct gdb_regs *regs, const struct reg *r)
{
	return (const char *)regs + r->offset;
}

/* The x87 tag word: the FPU keeps one bit a register, gdb wants two: 3 is empty. */
static uint16_t full_tags(uint8_t tags)
{
	uint16_t full = 0;

	for (unsigned i = 0; i < 8; i++)
		full |= (uint16_t)((tags >> i & 1 ? 0U : 3U) << 2 * i);
	return full;
}

static uint8_t short_tags(uint16_t full)
{
	uint8_t tags = 0;

	for (unsigned i = 0; i < 8; i++)
		tags |= (uint8_t)(((full >> 2 * i & 3) != 3 ? 1U : 0U) << i);
	return tags;
}

static bool is_tags(const struct reg *r)
{
	return r->offset == offsetof(struct gdb_regs, fpu.ftwx) && r->bytes == 1;
}

static size_t put(const struct gdb_regs *regs, const struct reg *r, char *out)
{
	uint8_t value[MAX_REG_BYTES] = { 0 };
	uint16_t tags = full_tags(regs->fpu.ftwx);

	if (is_tags(r))
		memcpy(value, &tags, sizeof(tags));
	else
		memcpy(value, at(regs, r), r->bytes);
	rsp_put_hex(out, value, r->wire_bytes);
	return 2U * r->wire_bytes;
}

static void set(struct gdb_regs *regs, const struct reg *r, const uint8_t *value)
{
	uint16_t tags;

	memcpy(&tags, value, sizeof(tags));
	if (is_tags(r))
		regs->fpu.ftwx = short_tags(tags);
	else
		memcpy((char *)regs + r->offset, value, r->bytes);
}

size_t gdb_put_regs(const struct gdb_regs *regs, char out[GDB_REGS_DIGITS])
{
	const struct reg *r;
	size_t len = 0;

	for (unsigned i = 0; (r = find(i)) != NULL; i++)
		len += put(regs, r, out + len);
	return len;
}

size_t gdb_put_reg(const struct gdb_regs *regs, unsigned nr, char out[GDB_REGS_DIGITS])
{
	const struct reg *r = find(nr);

	return r ? put(regs, r, out) : 0;
}

bool gdb_set_regs(struct gdb_regs *regs, const char *text)
{
	struct gdb_regs changed = *regs;
	uint8_t value[MAX_REG_BYTES];
	const struct reg *r;

	for (unsigned i = 0; (r = find(i)) != NULL; i++) {
		if (!rsp_get_hex(value, r->wire_bytes, text))
			return false;
		text += 2U * r->wire_bytes;
		if (!r->read_only)
			set(&changed, r, value);
	}
	*regs = changed;
	return true;
}

bool gdb_set_reg(struct gdb_regs *regs, unsigned nr, const char *text)
{
	const struct reg *r = find(nr);
	uint8_t value[MAX_REG_BYTES];

	if (!r || r->read_only || !rsp_get_hex(value, r->wire_bytes, text))
		return false;
	set(regs, r, value);
	return true;
}
