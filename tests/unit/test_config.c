// SPDX-License-Identifier: MIT
// Settings: sizes, records, configuration files, and what they mean together.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "util/compiler.h"
#include "vmm/guest/config.h"

/* A file that must be read: then @check looks at what came of it. */
static void with_text(const char *text, void (*check)(struct config *cfg))
{
	struct config cfg;
	struct err e;

	config_init(&cfg);
	if (config_read_text(&cfg, text, "t.conf", &e) < 0)
		fail_msg("refused: %s", e.text);
	check(&cfg);
	config_fini(&cfg);
}

/* A file that must be refused, with @reason in the message. */
static void refused(const char *text, const char *reason)
{
	struct config cfg;
	struct err e = { 0 };
	int rc;

	config_init(&cfg);
	rc = config_read_text(&cfg, text, "t.conf", &e);
	if (rc == 0)
		rc = config_finish(&cfg, &e);
	assert_true(rc < 0);
	if (!strstr(e.text, reason))
		fail_msg("'%s' does not say '%s'", e.text, reason);
	config_fini(&cfg);
}

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} good[] = {
		{ "0", 0 },           { "4096", 4096 },
		{ "1K", 1024 },       { "512M", 512 * MIB },
		{ "2g", 2 * GIB },    { "3GiB", 3 * GIB },
		{ "1T", 1024 * GIB }, { "16777215T", 0xffffff0000000000 },
	};
	static const char *const bad[] = {
		"", "M", "-1", " 1", "+1", "1 M", "1MB", "1.5G", "0x10", "1X", "1MM",
	};
	uint64_t value;

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
		assert_int_equal(field_parse_bytes(good[i].text, &value), 0);
		assert_true(value == good[i].value);
	}
	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(field_parse_bytes(bad[i], &value), -EINVAL);
	assert_int_equal(field_parse_bytes("16777216T", &value), -ERANGE);
	assert_int_equal(field_parse_bytes("99999999999999999999", &value), -ERANGE);
}

static void check_everything(struct config *cfg)
{
	const struct disk_config *disks = cfg->disks.items;
	const struct nic_config *nics = cfg->nics.items;
	struct err e;

	assert_int_equal(config_finish(cfg, &e), 0);
	assert_string_equal(cfg->name, "web");
	assert_string_equal(cfg->append, "console=ttyS0 quiet");
	assert_true(cfg->memory_bytes == 512 * MIB);
	assert_int_equal(cfg->vcpus, 2);
	assert_int_equal(cfg->disks.nr, 2);
	assert_string_equal(disks[0].path, "/images/a,b.img");
	assert_true(disks[0].readonly);
	assert_string_equal(disks[0].id, "disk0");
	assert_string_equal(disks[1].id, "data");
	assert_true(disks[1].overlay);
	assert_true(disks[1].iops == 1000 && disks[1].bytes_per_s == 10 * MIB);
	assert_int_equal(disks[1].direct, DISK_DIRECT_ON);
	assert_int_equal(cfg->nics.nr, 2);
	assert_int_equal(nics[0].kind, NIC_USER);
	assert_int_equal(nics[0].hostfwd.nr, 2);
	assert_int_equal(nics[1].kind, NIC_TAP);
	assert_string_equal(nics[1].ifname, "t0");
	assert_string_equal(nics[1].bridge, "br0");
	assert_true(cfg->rng && !cfg->balloon);
	assert_int_equal(cfg->on_crash, ACTION_PRESERVE);
	assert_int_equal(cfg->on_reboot, ACTION_DESTROY);
	assert_int_equal(cfg->timeout_s, 30);
}

static void test_file(void **state)
{
	(void)state;
	with_text("# a guest\n"
		  "name = web\n"
		  "kernel = \"/boot/vmlinuz\"\n"
		  "append = 'console=ttyS0 quiet'\n"
		  "memory = 512M\n"
		  "vcpus = 2\n"
		  "disk = {\"/images/a,,b.img,readonly\"}\n"
		  "disk += {\"d.img,id=data,overlay,iops=1000,bps=10M,direct=on\"}\n"
		  "net = {\"user,hostfwd=tcp::8022-:22,hostfwd=tcp::8080-:80\", "
		  "\"tap:t0,bridge=br0\"}\n"
		  "rng = true\nballoon = off\n"
		  "on-crash = preserve\non-reboot = destroy\ntimeout = 30\n",
		  check_everything);
}

static void check_defaults(struct config *cfg)
{
	const struct nic_config *nics;
	struct err e;

	assert_int_equal(config_finish(cfg, &e), 0);
	assert_true(cfg->memory_bytes == 256 * MIB);
	assert_int_equal(cfg->vcpus, 1);
	assert_int_equal(cfg->nics.nr, 1);
	nics = cfg->nics.items;
	assert_int_equal(nics[0].kind, NIC_USER);
	assert_string_equal(nics[0].id, "net0");
	assert_ptr_equal(strstr(cfg->name, "vmlinuz-6-"), cfg->name);
}

static void test_defaults(void **state)
{
	(void)state;
	with_text("kernel = /boot/_vmlinuz-6.1.elf\n", check_defaults);
}

#define LONG "x2345678901234567890123456789012" /* a character more than there may be */

static void test_refused(void **state)
{
	static const struct {
		const char *text, *reason;
	} cases[] = {
		{ "", "no kernel" },
		{ "kernel = a\nmemory = lots\n", "t.conf:2: memory: 'lots' is not a size" },
		{ "kernel = a\nmemory = 4K\n", "1M to 64G" },
		{ "kernel = a\nmemory = 65G\n", "out of range" },
		{ "kernel = a\nmemory = 1048577\n", "multiple of 4K" },
		{ "kernel = a\nvcpus = 0\n", "1 to 64" },
		{ "kernel = a\nvcpus = 65\n", "1 to 64" },
		{ "kernel = a\nvcpus = two\n", "not a number" },
		{ "kernel = a\nname = ../x\n", "does not start" },
		{ "kernel = a\nname = 'a b'\n", "only letters" },
		{ "kernel = a\nname = ''\n", "1 to 48" },
		{ "kernel = a\ncolour = red\n", "t.conf:2: no such option 'colour'" },
		{ "kernel = a\ndry-run = true\n", "no such option" },
		{ "kernel = a\non-crash = explode\n", "destroy, restart, preserve" },
		{ "kernel = a\nrng = maybe\n", "neither on nor off" },
		{ "disk = {\"a.img,speed=9\"}\n", "no property 'speed'" },
		{ "disk = {\"a.img,iops\"}\n", "iops wants a value: iops=N" },
		{ "disk = {\"a.img,queues=99\"}\n", "queues: 99 is out of range" },
		{ "disk = {\",readonly\"}\n", "path of the image is missing" },
		{ "disk = {\"a,readonly,overlay\"}\n", "exclude each other" },
		{ "kernel = a\ndisk = {\"a,id=x\", \"b,id=x\"}\n", "two devices have the id x" },
		{ "kernel = a\ndisk = {\"a,id=" LONG "\"}\n", "more than 31 characters" },
		{ "kernel = a\ndisk = {\"a,id=rng\"}\n", "'rng' is a device of ferry's own" },
		{ "kernel = a\nnet = {\"user,id=pci\"}\n", "'pci' is a device of ferry's own" },
		{ "kernel = a\nnet = {\"user,id=" LONG "\"}\n", "more than 31 characters" },
		{ "kernel = a\nnet = {none, user}\n", "none and another" },
		{ "net = {bridge}\n", "name of the bridge is missing" },
		{ "net = {BR}\n", "none of user" },
		{ "net = {\"tap:\"}\n", "name of the tap is missing" },
		{ "net = {\"tap,hostfwd=tcp::1-:1\"}\n", "hostfwd works with user only" },
		{ "net = {\"user,bridge=b\"}\n", "bridge works with tap only" },
		{ "kernel = {a", "t.conf:" },
		{ "kernel\n", "t.conf:" },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		refused(cases[i].text, cases[i].reason);
}

static void test_limits(void **state)
{
	const struct field *f = field_find(config_fields, config_nr_fields, "disk");
	struct config cfg;
	struct err e;

	(void)state;
	config_init(&cfg);
	for (unsigned i = 0; i < CONFIG_MAX_DISKS; i++)
		assert_int_equal(field_set(f, &cfg, "a.img", &e), 0);
	assert_int_equal(field_set(f, &cfg, "a.img", &e), -E2BIG);
	assert_int_equal(cfg.disks.nr, CONFIG_MAX_DISKS);
	config_fini(&cfg);
}

static void check_json(struct config *cfg)
{
	struct err e;
	json_t *json, *disk;

	assert_int_equal(config_finish(cfg, &e), 0);
	json = config_to_json(cfg);
	assert_non_null(json);
	assert_int_equal(json_integer_value(json_object_get(json, "memory")), 1 * GIB);
	assert_string_equal(json_string_value(json_object_get(json, "on-crash")), "destroy");
	assert_true(json_is_null(json_object_get(json, "initrd")));
	assert_null(json_object_get(json, "dry-run"));
	disk = json_array_get(json_object_get(json, "disk"), 0);
	assert_string_equal(json_string_value(json_object_get(disk, "path")), "a.img");
	assert_true(json_is_true(json_object_get(disk, "readonly")));
	assert_string_equal(json_string_value(json_object_get(disk, "direct")), "auto");
	json_decref(json);
}

static void test_json(void **state)
{
	(void)state;
	with_text("kernel = k\nmemory = 1G\ndisk = {\"a.img,readonly\"}\n", check_json);
}

/* Every setting must be usable from the tables: names unique, flags without argument. */
static void test_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_nr_fields; i++) {
		const struct field *f = &config_fields[i];

		assert_ptr_equal(field_find(config_fields, config_nr_fields, f->name), f);
		assert_true((f->arg == NULL) == (f->type->kind == FIELD_FLAG));
		assert_true((f->record != NULL) == (f->type->kind == FIELD_LIST));
		assert_non_null(f->help);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),    cmocka_unit_test(test_file),
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),   cmocka_unit_test(test_json),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
