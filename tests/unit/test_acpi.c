// SPDX-License-Identifier: MIT
// ACPI tables as a guest finds them: read by the offsets of the specification.
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/acpi.h"
#include "vmm/memmap.h"
#include "vmm/vm.h"

#define HEADER_BYTES 36U

struct fixture {
	struct gmem gm;
	gpa_t rsdp;
	char folder[32]; /* of test_slots */
};

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	struct err e;

	*state = f;
	return gmem_init(&f->gm, 2 * MIB, 0, &e);
}

static void remove_folder(const struct fixture *f)
{
	static const char *const names[] = { "dsdt.aml", "dsdt.dsl", "again.aml", "log" };
	char path[PATH_MAX];

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", f->folder, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(f->folder);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (*f->folder)
		remove_folder(f);
	gmem_fini(&f->gm);
	test_free(f);
	return 0;
}

static uint64_t get(struct fixture *f, gpa_t gpa, unsigned size)
{
	uint64_t value = 0;

	assert_int_equal(gmem_read(&f->gm, gpa, &value, size), 0);
	return value;
}

static uint8_t sum(struct fixture *f, gpa_t gpa, size_t bytes)
{
	uint8_t total = 0;

	for (size_t i = 0; i < bytes; i++)
		total = (uint8_t)(total + get(f, gpa + i, 1));
	return total;
}

static bool is_signed(struct fixture *f, gpa_t gpa, const char *signature)
{
	char found[4];

	assert_int_equal(gmem_read(&f->gm, gpa, found, sizeof(found)), 0);
	return !memcmp(found, signature, sizeof(found));
}

/* Inside the area, aligned, with a length and a checksum that are right. */
static void check_table(struct fixture *f, gpa_t gpa, const char *signature)
{
	uint64_t length = get(f, gpa + 4, 4);

	assert_true(gpa >= MAP_ACPI && gpa % 4 == 0);
	assert_true(is_signed(f, gpa, signature));
	assert_in_range(length, HEADER_BYTES, MAP_ACPI_BYTES);
	assert_true(gpa + length <= MAP_ACPI + MAP_ACPI_BYTES);
	assert_int_equal(sum(f, gpa, length), 0);
}

static void write_tables(struct fixture *f, unsigned nr_vcpus)
{
	assert_int_equal(acpi_write(&f->gm, nr_vcpus, PCI_STD_HOT_SLOTS, &f->rsdp), 0);
}

static gpa_t find_table(struct fixture *f, const char *signature)
{
	gpa_t xsdt = get(f, f->rsdp + 24, 8);
	uint64_t end = xsdt + get(f, xsdt + 4, 4);

	for (gpa_t at = xsdt + HEADER_BYTES; at < end; at += 8) {
		gpa_t table = get(f, at, 8);

		if (is_signed(f, table, signature))
			return table;
	}
	fail_msg("no table %s", signature);
	return 0;
}

static void test_root(void **state)
{
	static const char *const tables[] = { "FACP", "APIC", "MCFG" };
	struct fixture *f = *state;
	char signature[8];
	gpa_t xsdt;

	write_tables(f, 1);
	/* 5.2.5.1: on a boundary of 16, in the last 128 KiB below 1 MiB. */
	assert_true(f->rsdp % 16 == 0 && f->rsdp >= 0xe0000 && f->rsdp < 0x100000);
	assert_int_equal(gmem_read(&f->gm, f->rsdp, signature, sizeof(signature)), 0);
	assert_memory_equal(signature, "RSD PTR ", sizeof(signature));
	assert_int_equal(get(f, f->rsdp + 15, 1), 2);
	assert_int_equal(get(f, f->rsdp + 20, 4), 36);
	assert_int_equal(sum(f, f->rsdp, 20), 0);
	assert_int_equal(sum(f, f->rsdp, 36), 0);
	xsdt = get(f, f->rsdp + 24, 8);
	check_table(f, xsdt, "XSDT");
	assert_int_equal(get(f, xsdt + 4, 4), HEADER_BYTES + 8 * ARRAY_SIZE(tables));
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		check_table(f, find_table(f, tables[i]), tables[i]);
}

/* 5.2.9, table 5.9: offset, size, value. */
static void test_fadt(void **state)
{
	static const struct {
		unsigned offset, size;
		uint64_t value;
	} fields[] = {
		{ 8, 1, 6 },       /* revision */
		{ 46, 2, 9 },      /* SCI_INT */
		{ 48, 4, 0 },      /* SMI_CMD: ACPI mode is the only one */
		{ 56, 4, 0x600 },  /* PM1a_EVT_BLK */
		{ 60, 4, 0 },      /* PM1b_EVT_BLK */
		{ 64, 4, 0x604 },  /* PM1a_CNT_BLK */
		{ 76, 4, 0x608 },  /* PM_TMR_BLK */
		{ 80, 4, 0x620 },  /* GPE0_BLK */
		{ 88, 1, 4 },      /* PM1_EVT_LEN */
		{ 89, 1, 2 },      /* PM1_CNT_LEN */
		{ 91, 1, 4 },      /* PM_TMR_LEN */
		{ 92, 1, 2 },      /* GPE0_BLK_LEN */
		{ 108, 1, 0x32 },  /* CENTURY */
		{ 116, 1, 1 },     /* RESET_REG: I/O space, */
		{ 117, 1, 8 },     /* 8 bits, */
		{ 120, 8, 0xcf9 }, /* address */
		{ 128, 1, 6 },     /* RESET_VALUE */
		{ 131, 1, 4 },     /* minor version */
		{ 148, 1, 1 },     /* X_PM1a_EVT_BLK */
		{ 152, 8, 0x600 }, /* */
		{ 176, 8, 0x604 }, /* X_PM1a_CNT_BLK */
		{ 212, 8, 0x608 }, /* X_PM_TMR_BLK */
		{ 224, 8, 0x620 }, /* X_GPE0_BLK */
	};
	struct fixture *f = *state;
	gpa_t fadt, facs, dsdt;
	uint64_t flags;

	write_tables(f, 2);
	fadt = find_table(f, "FACP");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		assert_int_equal(get(f, fadt + fields[i].offset, fields[i].size), fields[i].value);
	flags = get(f, fadt + 112, 4);
	assert_true(flags & 1U << 10);  /* RESET_REG_SUP */
	assert_false(flags & 1U << 4);  /* the power button is fixed hardware */
	assert_false(flags & 1U << 20); /* not hardware-reduced */
	facs = get(f, fadt + 36, 4);
	assert_true(facs % 64 == 0 && is_signed(f, facs, "FACS"));
	assert_int_equal(get(f, facs + 4, 4), 64);
	dsdt = get(f, fadt + 40, 4);
	assert_int_equal(get(f, fadt + 140, 8), dsdt);
	check_table(f, dsdt, "DSDT");
}

struct madt_seen {
	unsigned lapics, ioapics, timer, sci;
};

static void see_entry(struct fixture *f, gpa_t at, struct madt_seen *seen)
{
	switch (get(f, at, 1)) {
	case 0: /* local APIC: uid, id, flags */
		assert_int_equal(get(f, at + 2, 1), seen->lapics);
		assert_int_equal(get(f, at + 3, 1), seen->lapics);
		assert_int_equal(get(f, at + 4, 4), 1);
		seen->lapics++;
		break;
	case 1:
		assert_int_equal(get(f, at + 4, 4), 0xfec00000);
		assert_int_equal(get(f, at + 8, 4), 0);
		seen->ioapics++;
		break;
	case 2: /* override: bus, source, GSI, flags */
		assert_int_equal(get(f, at + 2, 1), 0);
		seen->timer += get(f, at + 3, 1) == 0 && get(f, at + 4, 4) == 2;
		/* active high, level-triggered */
		seen->sci += get(f, at + 3, 1) == 9 && get(f, at + 4, 4) == 9 &&
			     get(f, at + 8, 2) == 0xd;
		break;
	default:
		fail_msg("entry of type %u", (unsigned)get(f, at, 1));
	}
}

static void test_madt(void **state)
{
	static const unsigned counts[] = { 1, 2, 3, 64 };
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct madt_seen seen = { 0 };
		gpa_t madt, end, at;

		write_tables(f, counts[i]);
		madt = find_table(f, "APIC");
		check_table(f, madt, "APIC");
		assert_int_equal(get(f, madt + 36, 4), 0xfee00000);
		assert_int_equal(get(f, madt + 40, 4), 1); /* there is an 8259 too */
		end = madt + get(f, madt + 4, 4);
		for (at = madt + 44; at < end; at += get(f, at + 1, 1)) {
			assert_true(get(f, at + 1, 1) >= 2);
			see_entry(f, at, &seen);
		}
		assert_true(at == end);
		assert_int_equal(seen.lapics, counts[i]);
		assert_int_equal(seen.ioapics, 1);
		assert_int_equal(seen.timer, 1);
		assert_int_equal(seen.sci, 1);
	}
}

static void test_mcfg(void **state)
{
	struct fixture *f = *state;
	gpa_t mcfg;

	write_tables(f, 1);
	mcfg = find_table(f, "MCFG");
	assert_int_equal(get(f, mcfg + 4, 4), 60); /* one range */
	assert_int_equal(get(f, mcfg + 44, 8), MAP_ECAM);
	assert_int_equal(get(f, mcfg + 52, 2), 0);
	assert_int_equal(get(f, mcfg + 54, 1), 0);
	assert_int_equal((get(f, mcfg + 55, 1) + 1) * MIB, MAP_ECAM_BYTES);
}

/* The tables do not depend on when they were made, so a reset brings the same. */
static void test_same_again(void **state)
{
	static uint8_t first[MAP_ACPI_BYTES], second[MAP_ACPI_BYTES];
	struct fixture *f = *state;

	write_tables(f, 4);
	assert_int_equal(gmem_read(&f->gm, MAP_ACPI, first, sizeof(first)), 0);
	write_tables(f, 4);
	assert_int_equal(gmem_read(&f->gm, MAP_ACPI, second, sizeof(second)), 0);
	assert_memory_equal(first, second, sizeof(first));
}

/* --- slots for hotplug: what iasl makes of the DSDT --- */

static gpa_t write_slots(struct fixture *f, unsigned nr)
{
	gpa_t dsdt;

	assert_int_equal(acpi_write(&f->gm, VM_MAX_VCPUS, nr, &f->rsdp), 0);
	dsdt = get(f, find_table(f, "FACP") + 40, 4);
	check_table(f, dsdt, "DSDT");
	return dsdt;
}

/* @name in @folder; freed by the caller. */
static char *read_file(const char *folder, const char *name, size_t *ret_bytes)
{
	char path[PATH_MAX];
	char *text;
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "re");
	assert_non_null(file);
	text = test_calloc(1, MAP_ACPI_BYTES);
	*ret_bytes = fread(text, 1, MAP_ACPI_BYTES - 1, file);
	assert_int_equal(fclose(file), 0);
	return text;
}

static void write_file(const char *folder, const char *name, const void *data, size_t bytes)
{
	char path[PATH_MAX];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, bytes, file), bytes);
	assert_int_equal(fclose(file), 0);
}

/* iasl, which built ferry, in the fixture's folder; "log" there tells what it said. */
static void run_iasl(const struct fixture *f, const char *const argv[])
{
	posix_spawn_file_actions_t files;
	size_t len;
	int status;
	pid_t pid;

	assert_int_equal(posix_spawn_file_actions_init(&files), 0);
	assert_int_equal(posix_spawn_file_actions_addchdir_np(&files, f->folder), 0);
	assert_int_equal(posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "log",
							  O_WRONLY | O_CREAT | O_TRUNC, 0600),
			 0);
	assert_int_equal(posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO), 0);
	assert_int_equal(
		posix_spawnp(&pid, "iasl", &files, NULL, (char *const *)(uintptr_t)argv, environ),
		0);
	(void)posix_spawn_file_actions_destroy(&files);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status)
		fail_msg("iasl %s: status %d: %s", argv[1], status,
			 read_file(f->folder, "log", &len));
}

static unsigned count(const char *text, const char *part)
{
	unsigned n = 0;

	for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
		n++;
	return n;
}

/* iasl breaks lines where it likes. */
static void squeeze(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++) {
		if (!isspace((unsigned char)*from))
			*to++ = *from;
	}
	*to = '\0';
}

static void check_once(const char *text, const char *format, ...)
{
	char part[128];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(part, sizeof(part), format, args);
	va_end(args);
	if (count(text, part) != 1)
		fail_msg("%u times: %s", count(text, part), part);
}

static void check_source(const char *text, unsigned nr)
{
	assert_int_equal(count(text, "Device(S"), nr);
	assert_int_equal(count(text, "Method(_EJ0"), nr);
	assert_int_equal(count(text, "Method(_OST,3,Serialized)"), nr);
	assert_int_equal(count(text, "PCST=((((Arg0&0xFFFF)<<0x08)|(Arg1&0xFF))|0x"), nr);
	assert_int_equal(count(text, "Notify("), nr ? 1 + 2 * nr : 0);
	assert_int_equal(count(text, "_E01"), nr ? 1 : 0);
	assert_int_equal(count(text, "OperationRegion"), nr ? 1 : 0);
	for (unsigned n = 1; n <= nr; n++) {
		check_once(text, "Device(S%02u)", n);
		check_once(text, "Name(_ADR,0x%08X)", n << 16);
		check_once(text, "{PCEJ=0x%0*X}", n < 8 ? 2 : n < 16 ? 4 : 8, 1U << n);
		check_once(text, "(Arg1&0xFF))|0x%08X)}", n << 24);
		check_once(text, "Notify(S%02u,One)", n);
		check_once(text, "Notify(S%02u,0x03)", n);
	}
}

/*
 * What is written is AML, means what it should, and is coded as iasl would: compiled again,
 * its disassembly gives the same bytes (dsdt.asl, before it, has longer numbers than need be).
 */
static void test_slots(void **state)
{
	static const unsigned numbers[] = { 0, 1, 2, 8, 9, 16, 17, PCI_MAX_HOT_SLOTS };
	static const char *const take_apart[] = { "iasl", "-p", "dsdt", "-d", "dsdt.aml", NULL };
	static const char *const build[] = {
		"iasl", "-we", "-on", "-p", "again", "dsdt.dsl", NULL
	};
	static uint8_t aml[MAP_ACPI_BYTES];
	size_t none_bytes = 0, dsdt_bytes = 0; /* without slots, from the disassembly and ours */
	struct fixture *f = *state;
	const char *folder = f->folder;

	(void)snprintf(f->folder, sizeof(f->folder), "/tmp/ferry-acpi-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		gpa_t dsdt = write_slots(f, numbers[i]);
		size_t bytes = get(f, dsdt + 4, 4), text_bytes, again_bytes;
		char *text, *again;

		assert_int_equal(gmem_read(&f->gm, dsdt, aml, bytes), 0);
		write_file(folder, "dsdt.aml", aml, bytes);
		run_iasl(f, take_apart);
		run_iasl(f, build);
		text = read_file(folder, "dsdt.dsl", &text_bytes);
		squeeze(text);
		check_source(text, numbers[i]);
		again = read_file(folder, "again.aml", &again_bytes);
		if (numbers[i] == 0) {
			none_bytes = again_bytes;
			dsdt_bytes = bytes;
		}
		assert_int_equal(again_bytes - none_bytes, bytes - dsdt_bytes);
		assert_memory_equal(again + none_bytes, aml + dsdt_bytes, bytes - dsdt_bytes);
		test_free(text);
		test_free(again);
	}
}

/* Each costs the guest's boot: what it is made of must not grow unseen. */
static void test_slots_size(void **state)
{
	struct fixture *f = *state;
	size_t none = get(f, write_slots(f, 0) + 4, 4);
	size_t some = get(f, write_slots(f, PCI_STD_HOT_SLOTS) + 4, 4);
	size_t all = get(f, write_slots(f, PCI_MAX_HOT_SLOTS) + 4, 4);
	gpa_t fadt;

	assert_in_range(some - none, 1, 160 + 120 * PCI_STD_HOT_SLOTS);
	assert_in_range(all - none, 1, 160 + 130 * PCI_MAX_HOT_SLOTS);
	/* Without them there is no event: no GPE block. */
	(void)write_slots(f, 0);
	fadt = find_table(f, "FACP");
	assert_int_equal(get(f, fadt + 80, 4), 0);
	assert_int_equal(get(f, fadt + 92, 1), 0);
	assert_int_equal(get(f, fadt + 224, 8), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_root, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fadt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_madt, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mcfg, setup, teardown),
		cmocka_unit_test_setup_teardown(test_same_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slots, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slots_size, setup, teardown),
	};

	return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
