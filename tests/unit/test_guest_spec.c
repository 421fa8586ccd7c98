// SPDX-License-Identifier: MIT
// Settings of a guest that comes from elsewhere: read, changed, compared with the host.
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "util/io.h"
#include "vmm/cpu_features.h"
#include "vmm/guest/state.h"

#define SETTINGS                                                                                   \
	"{'name':'web','kernel':'/k','initrd':null,'append':'a b','memory':67108864,'vcpus':2,"    \
	"'disk':[{'path':'/d,d','id':'root','serial':null,'readonly':true,'overlay':false,"        \
	"'queues':0,'iops':7,'bps':0,'direct':'on'}],"                                             \
	"'net':[{'backend':'tap:t0','id':'lan','mac':'02:00:00:00:00:05','bridge':'br0',"          \
	"'queues':4,'hostfwd':[]},{'backend':'user','id':'wan','mac':'02:00:00:00:00:06',"         \
	"'bridge':null,'queues':1,'hostfwd':['tcp:1-:2','udp:3-:4']}],"                            \
	"'rng':true,'balloon':false,'console':'stdio','timeout':9,'on-crash':'preserve'%s}"
#define REST  ",'disk_bytes':[1048576],'cpuid':[[1,0,0,1,2,3,4]],'msrs':[16,17],'tsc_khz':2300000"
#define WHOLE "{'format':1,'version':'0.1.0','config':" SETTINGS "%s" REST "}"

/* JSON with the quotes that C does not mind. */
static int parse(struct guest_spec **ret, const char *text, struct err *e)
{
	char *json = strdup(text);
	int rc;

	assert_non_null(json);
	for (char *p = json; *p; p++) {
		if (*p == '\'')
			*p = '"';
	}
	rc = guest_spec_parse(ret, json, strlen(json), e);
	free(json);
	return rc;
}

static struct guest_spec *parse_good(void)
{
	struct guest_spec *spec = NULL;
	char text[4096];
	struct err e = { 0 };

	(void)snprintf(text, sizeof(text), WHOLE, "", "");
	if (parse(&spec, text, &e) < 0)
		fail_msg("%s", e.text);
	return spec;
}

static void test_reads(void **state)
{
	struct guest_spec *spec = parse_good();
	const struct disk_config *disk = spec->cfg.disks.items;
	const struct nic_config *nics = spec->cfg.nics.items;

	(void)state;
	assert_string_equal(spec->cfg.name, "web");
	assert_null(spec->cfg.initrd);
	assert_int_equal(spec->cfg.memory_bytes, 64 * MIB);
	assert_int_equal(spec->cfg.vcpus, 2);
	assert_true(spec->cfg.rng && !spec->cfg.balloon);
	assert_int_equal(spec->cfg.on_crash, ACTION_PRESERVE);
	assert_int_equal(spec->cfg.disks.nr, 1);
	assert_string_equal(disk->path, "/d,d");
	assert_true(disk->readonly);
	assert_int_equal(disk->iops, 7);
	assert_int_equal(disk->direct, DISK_DIRECT_ON);
	assert_int_equal(spec->cfg.nics.nr, 2);
	assert_string_equal(nics[0].ifname, "t0");
	assert_int_equal(nics[0].queues, 4);
	assert_int_equal(nics[1].hostfwd.nr, 2);
	assert_string_equal(((char **)nics[1].hostfwd.items)[1], "udp:3-:4");
	assert_int_equal(spec->disk_bytes[0], MIB);
	assert_int_equal(spec->cpuid->nent, 1);
	assert_int_equal(spec->cpuid->entries[0].edx, 4);
	assert_int_equal(spec->nr_msrs, 2);
	assert_int_equal(spec->tsc_khz, 2300000);
	guest_spec_free(spec);
}

/* What config_to_json_portable() made is what config_from_json() reads. */
static void test_round_trip(void **state)
{
	struct guest_spec *spec = parse_good();
	json_t *once = config_to_json_portable(&spec->cfg), *twice;
	struct config cfg;
	struct err e;

	(void)state;
	config_init(&cfg);
	assert_int_equal(config_from_json(&cfg, once, &e), 0);
	twice = config_to_json_portable(&cfg);
	assert_true(json_equal(once, twice));
	json_decref(once);
	json_decref(twice);
	config_fini(&cfg);
	guest_spec_free(spec);
}

/* A state that does not tell has the slots that all had once, and one that has them does not. */
static void test_hotplug_slots(void **state)
{
	static const struct {
		const char *told;
		unsigned slots;
		bool tells;
	} cases[] = {
		{ "", 8, false },
		{ ",'hotplug-slots':8", 8, false },
		{ ",'hotplug-slots':null", 8, false },
		{ ",'hotplug-slots':0", 0, true },
		{ ",'hotplug-slots':31", 31, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_spec *spec = NULL;
		struct err e = { 0 };
		char text[4096];
		json_t *out;

		(void)snprintf(text, sizeof(text), WHOLE, cases[i].told, "");
		if (parse(&spec, text, &e) < 0)
			fail_msg("%s", e.text);
		assert_int_equal(spec->cfg.hotplug_slots, cases[i].slots);
		out = config_to_json_portable(&spec->cfg);
		assert_int_equal(json_object_get(out, "hotplug-slots") != NULL, cases[i].tells);
		json_decref(out);
		out = config_to_json(&spec->cfg);
		assert_int_equal(json_integer_value(json_object_get(out, "hotplug-slots")),
				 cases[i].slots);
		json_decref(out);
		guest_spec_free(spec);
	}
}

static void test_refuses(void **state)
{
	/* more settings, more beside them, what the message names */
	static const char *const cases[][3] = {
		{ ",'teleporter':true", "", "teleporter" },
		{ ",'dry-run':true", "", "dry-run" },
		{ ",'verbose':true", "", "verbose" },
		{ ",'hugepages':'yes'", "", "hugepages" },
		{ ",'virtio-console':1", "", "virtio-console" },
		{ ",'memory':1", "", "not JSON" }, /* twice the same key */
		{ ",'virtio-console':[]", ",'format':1", "not JSON" },
		{ ",'on-reboot':'explode'", "", "on-reboot" },
		{ ",'on-reboot':3", "", "on-reboot" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_spec *spec = NULL;
		char text[4096];
		struct err e = { 0 };

		(void)snprintf(text, sizeof(text), WHOLE, cases[i][0], cases[i][1]);
		if (parse(&spec, text, &e) == 0)
			fail_msg("accepted: %s%s", cases[i][0], cases[i][1]);
		if (!strstr(e.text, cases[i][2]))
			fail_msg("'%s' does not name %s", e.text, cases[i][2]);
	}
}

/* The same for one text in another's place. */
static void test_refuses_values(void **state)
{
	static const char *const cases[][3] = {
		{ "'format':1", "'format':3", "format 3" },
		{ "'format':1", "'format':2", "slots" },
		{ "'format':1", "'format':2,'slots':{}", "slots" },
		{ "'format':1", "'format':2,'slots':[1]", "slots" },
		{ "'format':1", "'format':2,'slots':{'root':0}", "slots" },
		{ "'format':1", "'format':2,'slots':{'root':32}", "slots" },
		{ "'format':1", "'format':2,'slots':{'root':'1'}", "slots" },
		{ "'format':1", "'format':2,'slots':{'a2345678901234567890123456789012':1}",
		  "slots" },
		{ "'version':'0.1.0'", "'version':'\\u001b[2J'", "version" },
		{ "'version':'0.1.0'", "'version':7", "version" },
		{ "'memory':67108864", "'memory':67108865", "memory" },
		{ "'memory':67108864", "'memory':-4096", "memory" },
		{ "'memory':67108864", "'memory':9223372036854775807", "memory" },
		{ "'vcpus':2", "'vcpus':65", "vcpus" },
		{ "'name':'web'", "'name':'../web'", "name" },
		{ "'kernel':'/k'", "'kernel':null", "kernel" },
		{ "'id':'root'", "'id':'lan'", "two devices" },
		{ "'id':'root'", "'id':'a/b'", "id" },
		{ "'id':'root'", "'id':'x2345678901234567890123456789012'", "more than 31" },
		{ "'path':'/d,d'", "'path':null", "path" },
		{ "'path':'/d,d'", "'path':{}", "path" },
		{ "'backend':'user'", "'backend':'tap:'", "name of the tap" },
		{ "'backend':'user'", "'backend':null", "backend" },
		{ "'hostfwd':['tcp", "'hostfwd':[1,'tcp", "hostfwd" },
		{ "'queues':1", "'queues':3", "queues" },
		{ "[1048576]", "[]", "disk_bytes" },
		{ "[1048576]", "[-1]", "disk_bytes" },
		{ "'cpuid'", "'disk_features':[1,2],'cpuid'", "disk_features" },
		{ "'cpuid'", "'disk_features':7,'cpuid'", "disk_features" },
		{ "'cpuid'", "'nic_features':[1],'cpuid'", "nic_features" },
		{ "'cpuid'", "'nic_features':[1,'2'],'cpuid'", "nic_features" },
		{ "[[1,0,0,1,2,3,4]]", "[]", "cpuid" },
		{ "[[1,0,0,1,2,3,4]]", "[[1]]", "cpuid" },
		{ "[[1,0,0,1,2,3,4]]", "[[1,0,0,1,2,3,4294967296]]", "cpuid" },
		{ "[16,17]", "['16']", "msrs" },
		{ "[16,17]", "{}", "msrs" },
		{ "2300000", "-1", "tsc_khz" },
		{ "'console':'stdio'", "'console':'fax'", "fax" },
		{ "'memory':67108864", "'x':[[[[[[[[[[]]]]]]]]]]", "not JSON" },
	};
	char good[4096];

	(void)state;
	(void)snprintf(good, sizeof(good), WHOLE, "", "");
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *at = strstr(good, cases[i][0]);
		struct guest_spec *spec = NULL;
		char text[8192];
		struct err e = { 0 };

		assert_non_null(at);
		(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, cases[i][1],
			       at + strlen(cases[i][0]));
		if (parse(&spec, text, &e) == 0)
			fail_msg("accepted: %s", cases[i][1]);
		if (!strstr(e.text, cases[i][2]))
			fail_msg("'%s' does not name %s", e.text, cases[i][2]);
	}
}

/* What drivers use is told as signed numbers, or not at all. */
static void test_virtio_features(void **state)
{
	const char *const rest = ",'disk_features':[-9223372036854775808],'nic_features':[32,0]";
	struct guest_spec *spec = parse_good();
	char text[4096];
	struct err e = { 0 };

	(void)state;
	assert_true(spec->disk_features[0] == 0 && spec->nic_features[0] == 0);
	guest_spec_free(spec);
	(void)snprintf(text, sizeof(text), WHOLE, "", rest);
	assert_int_equal(parse(&spec, text, &e), 0);
	assert_true(spec->disk_features[0] == 1ULL << 63);
	assert_true(spec->nic_features[0] == 32 && spec->nic_features[1] == 0);
	guest_spec_free(spec);
}

/* Every beginning of a good text is none. */
static void test_refuses_prefixes(void **state)
{
	struct guest_spec *spec = NULL;
	char text[4096];
	struct err e;

	(void)state;
	(void)snprintf(text, sizeof(text), WHOLE, "", "");
	for (size_t len = strlen(text) - 1; len; len--) {
		text[len] = '\0';
		assert_true(parse(&spec, text, &e) < 0);
	}
}

static void test_changes(void **state)
{
	struct guest_spec *spec = parse_good();
	const struct disk_config *disk = spec->cfg.disks.items;
	const struct nic_config *nics = spec->cfg.nics.items;
	char a[] = "disk:root=/other=x", b[] = "net:lan=tap:t9,bridge=br7",
	     c[] = "net:wan=user,hostfwd=tcp:9-:9,mac=02:00:00:00:00:99";
	char *texts[] = { a, b, c };
	const struct field_list maps = { .items = texts, .nr = 3 };
	const struct guest_changes changes = { .maps = &maps, .name = "new", .detached = true };
	struct err e = { 0 };

	(void)state;
	if (guest_spec_apply(spec, &changes, &e) < 0)
		fail_msg("%s", e.text);
	assert_string_equal(spec->cfg.name, "new");
	assert_string_equal(spec->cfg.console, "none");
	assert_string_equal(disk->path, "/other=x");
	assert_string_equal(nics[0].ifname, "t9");
	assert_string_equal(nics[0].bridge, "br7");
	assert_string_equal(nics[0].mac, "02:00:00:00:00:05");
	assert_string_equal(nics[0].id, "lan");
	assert_int_equal(nics[0].queues, 4);
	assert_string_equal(nics[1].mac, "02:00:00:00:00:99");
	assert_int_equal(nics[1].hostfwd.nr, 1);
	guest_spec_free(spec);
}

static void test_refuses_changes(void **state)
{
	static const char *const cases[][2] = {
		{ "disk:root", "write disk:ID=PATH" },  { "disk:root=", "write disk:ID=PATH" },
		{ "disk", "write disk:ID=PATH" },       { "", "write disk:ID=PATH" },
		{ "disk:lan=/x", "no disk 'lan'" },     { "net:root=user", "no nic 'root'" },
		{ "tape:root=/x", "neither disk nor" }, { "net:lan=user", "nic with 4 queues" },
		{ "net:wan=none", "cannot take the" },  { "net:wan=tap,bridge", "bridge" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct guest_spec *spec = parse_good();
		_cleanup_free_ char *text = strdup(cases[i][0]);
		const struct field_list maps = { .items = &text, .nr = 1 };
		const struct guest_changes changes = { .maps = &maps };
		struct err e = { 0 };

		if (guest_spec_apply(spec, &changes, &e) == 0)
			fail_msg("accepted: %s", cases[i][0]);
		if (!strstr(e.text, cases[i][1]))
			fail_msg("'%s' does not say %s", e.text, cases[i][1]);
		guest_spec_free(spec);
	}
}

/* --- folders of images --- */

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
/* What becomes of the disk called root, whose image is @path; NULL: refused. */
static char *settled(const char *path, const char *folder, const char *map)
{
	struct guest_spec *spec = parse_good();
	struct disk_config *disk = spec->cfg.disks.items;
	_cleanup_free_ char *dir = strdup(folder), *text = strdup(map ? map : "");
	const struct field_list dirs = { .items = &dir, .nr = 1 };
	const struct field_list maps = { .items = &text, .nr = map ? 1 : 0 };
	const struct guest_changes changes = { .maps = &maps, .disk_dirs = &dirs };
	struct err e = { 0 };
	char *ret = NULL;
	int rc;

	free(disk->path);
	disk->path = strdup(path);
	rc = guest_spec_apply(spec, &changes, &e);
	if (rc == 0)
		ret = strdup(disk->path);
	else
		assert_int_equal(rc, -EACCES);
	guest_spec_free(spec);
	return ret;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

static void check_refused(const char *image, const char *dir, const char *map)
{
	char *got = settled(image, dir, map);

	assert_null(got);
	free(got);
}

/* The peer says what is opened, so what it says must not lead out. */
static void test_disk_dirs(void **state)
{
	char top[] = "/tmp/ferry-spec-XXXXXX", dir[32], beside[32], image[64], other[64], link[64];
	char dots[128];
	char *got;

	(void)state;
	assert_non_null(mkdtemp(top));
	(void)snprintf(dir, sizeof(dir), "%s/in", top);
	(void)snprintf(beside, sizeof(beside), "%s/in2", top);
	(void)snprintf(image, sizeof(image), "%s/a.img", dir);
	(void)snprintf(other, sizeof(other), "%s/b.img", beside);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	(void)snprintf(dots, sizeof(dots), "%s/../in2/b.img", dir);
	assert_int_equal(mkdir(dir, 0700) | mkdir(beside, 0700), 0);
	assert_int_equal(mknod(image, S_IFREG | 0600, 0) | mknod(other, S_IFREG | 0600, 0), 0);
	assert_int_equal(symlink(other, link), 0);

	got = settled(image, dir, NULL);
	assert_string_equal(got, image);
	free(got);
	got = settled(link, top, NULL); /* what it leads to is what is opened */
	assert_string_equal(got, other);
	free(got);
	got = settled(other, "/", NULL);
	assert_string_equal(got, other);
	free(got);
	check_refused(other, dir, NULL);
	check_refused(dots, dir, NULL);
	check_refused(link, dir, NULL);
	check_refused(dir, dir, NULL);
	check_refused(image, "/no/such/folder", NULL);
	check_refused("/no/such/image", dir, NULL);
	/* This host's user may say anything. */
	got = settled("/no/such/image", dir, "disk:root=/x");
	assert_string_equal(got, "/x");
	free(got);
	check_refused(other, dir, "net:wan=user");

	(void)unlink(link);
	(void)unlink(image);
	(void)unlink(other);
	(void)rmdir(dir);
	(void)rmdir(beside);
	(void)rmdir(top);
}

/* --- networks --- */

/* The spec's nics, with "net" in place of the first, and @rules (ends with NULL). */
static int try_nic(const char *net, const char *const *rules, struct err *e)
{
	const struct field_list none = { 0 };
	struct field_list list = { .items = (void *)(uintptr_t)rules };
	const struct guest_changes changes = { .maps = &none, .net_allow = &list };
	struct nic_config nic;
	const struct config cfg = { .nics = { .items = &nic, .nr = 1 } };
	int rc;

	while (rules[list.nr])
		list.nr++;
	assert_int_equal(config_parse_nic(&nic, net, e), 0);
	if (!nic.id)
		nic.id = strdup("net0");
	rc = guest_nets_check(&cfg, &changes, e);
	config_free_nic(&nic);
	return rc;
}

/* What a peer says that a nic is on must be what this host's user allows. */
static void test_net_rules(void **state)
{
	static const struct {
		const char *net;
		const char *rules[3];
		bool good;
	} cases[] = {
		{ "none", { "none" }, true },
		{ "user", { NULL }, true },
		{ "lan", { NULL }, true },
		{ "lan,vlan=7", { NULL }, true },
		{ "lan,filter=off", { NULL }, false },
		{ "user,hostfwd=tcp::80-:80", { NULL }, false },
		{ "tap", { NULL }, false },
		{ "tap:tap0", { NULL }, false },
		{ "bridge:br0", { NULL }, false },
		{ "user", { "network" }, false },
		{ "user", { "hostfwd" }, true },
		{ "user,hostfwd=tcp::80-:80", { "user" }, false },
		{ "user,hostfwd=tcp::80-:80", { "hostfwd" }, true },
		{ "lan", { "network:lan" }, true },
		{ "lan", { "network:la" }, false },
		{ "lan", { "network:lan2" }, false },
		{ "lan,filter=off", { "network", "unfiltered" }, true },
		{ "lan,filter=off", { "unfiltered" }, false },
		{ "tap", { "tap" }, true },
		{ "tap", { "tap:tap0" }, false },
		{ "tap:tap0", { "tap:tap0" }, true },
		{ "tap:tap1", { "tap:tap0" }, false },
		{ "tap:tap0,bridge=br0", { "tap:tap0" }, false },
		{ "tap:tap0,bridge=br0", { "bridge:br0" }, false },
		{ "tap:tap0,bridge=br0", { "tap:tap0", "bridge:br0" }, true },
		{ "tap,bridge=br0", { "bridge" }, true },
		{ "bridge:br0", { "bridge:br0" }, true },
		{ "bridge:br0", { "tap" }, false },
		{ "bridge:br0", { "any" }, true },
		{ "user,hostfwd=tcp::80-:80", { "none", "any" }, true },
		{ "user", { "none" }, false },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int rc = try_nic(cases[i].net, cases[i].rules, &e);

		if (rc != (cases[i].good ? 0 : -EACCES))
			fail_msg("%s, %s: %d", cases[i].net, cases[i].rules[0], rc);
		if (rc < 0)
			assert_non_null(strstr(e.text, "net0: "));
	}
}

static void test_net_rule_texts(void **state)
{
	static const char *const good[] = { "user",       "hostfwd",    "tap",     "tap:a",
					    "bridge",     "bridge:b:c", "network", "network:x",
					    "unfiltered", "any",        "none" };
	static const char *const bad[] = { "",    "users", "user:x",   "tap:",      "bridge=br0",
					   "br0", "any:x", "networks", "hostfwd:80" };
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		assert_int_equal(guest_net_rule_check(good[i], &e), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(guest_net_rule_check(bad[i], &e), -EINVAL);
}

/* --- CPU features --- */

static struct kvm_cpuid2 *make_cpuid(uint32_t edx1, uint32_t ebx7, uint32_t edx7)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 3 * sizeof(cpuid->entries[0]));

	assert_non_null(cpuid);
	cpuid->nent = 3;
	cpuid->entries[0] = (struct kvm_cpuid_entry2){
		.function = 0, .ebx = 0x756e6547, .ecx = 0x6c65746e, .edx = 0x49656e69
	};
	cpuid->entries[1] = (struct kvm_cpuid_entry2){
		.function = 1, .edx = edx1, .ecx = 1U << 27 /* osxsave: of no importance */
	};
	cpuid->entries[2] = (struct kvm_cpuid_entry2){ .function = 7, .ebx = ebx7, .edx = edx7 };
	return cpuid;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
static void test_features(void **state)
{
	_cleanup_free_ struct kvm_cpuid2 *guest = make_cpuid(1, 1U << 16 | 1U << 3, 1U << 0);
	_cleanup_free_ struct kvm_cpuid2 *host = make_cpuid(0xffffffff, 1U << 3, 0);
	char text[256], tiny[24], vendor[13];

	(void)state;
	host->entries[1].ecx = 0;
	assert_int_equal(cpu_features_missing(guest, host, text, sizeof(text)), 2);
	assert_string_equal(text, "avx512f, cpuid 7.0 edx bit 0");
	assert_int_equal(cpu_features_missing(guest, host, tiny, sizeof(tiny)), 2);
	assert_string_equal(tiny, "avx512f, ...");
	assert_int_equal(cpu_features_missing(guest, guest, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	cpu_features_vendor(guest, vendor);
	assert_string_equal(vendor, "GenuineIntel");
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads),           cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_virtio_features), cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_refuses_values),  cmocka_unit_test(test_refuses_prefixes),
		cmocka_unit_test(test_changes),         cmocka_unit_test(test_refuses_changes),
		cmocka_unit_test(test_disk_dirs),       cmocka_unit_test(test_net_rules),
		cmocka_unit_test(test_net_rule_texts),  cmocka_unit_test(test_features),
		cmocka_unit_test(test_hotplug_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
