// SPDX-License-Identifier: MIT
// `ferry disk`: a running guest's disks.
#include "vmm/cli/disk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- list --- */

static json_int_t get_int(const json_t *obj, const char *key)
{
	return json_integer_value(json_object_get(obj, key));
}

static const char *get_string(const json_t *obj, const char *key)
{
	const char *text = json_string_value(json_object_get(obj, key));

	return text ? text : "-";
}

/* The counters of the disk called @id, of what query-blockstats returned. */
static json_t *find_stats(const json_t *all, const char *id)
{
	json_t *one;
	size_t i;

	json_array_foreach(all, i, one)
	{
		if (!strcmp(get_string(one, "device"), id))
			return json_object_get(one, "stats");
	}
	return NULL;
}

/* One disk, from QMP's words to those of --disk. */
static json_t *disk_json(const json_t *block, const json_t *all_stats)
{
	static const struct {
		const char *name, *from;
		bool own; /* in "ferry", otherwise in "inserted" */
	} members[] = {
		{ "slot", "slot", true },    { "path", "file", false },
		{ "readonly", "ro", false }, { "overlay", "overlay", true },
		{ "iops", "iops", false },   { "bps", "bps", false },
		{ "burst", "burst", true },  { "how", "how", true },
	};
	const json_t *inserted = json_object_get(block, "inserted");
	const json_t *own = json_object_get(block, "ferry");
	const char *id = get_string(block, "device");
	json_t *stats = find_stats(all_stats, id);
	json_t *json = json_pack("{s:s, s:I}", "id", id, "size",
				 get_int(json_object_get(inserted, "image"), "virtual-size"));

	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		(void)json_object_set(
			json, members[i].name,
			json_object_get(members[i].own ? own : inserted, members[i].from));
	if (stats)
		(void)json_object_set(json, "stats", stats);
	return json;
}

/* "64M", "1.5G"; @buf has room for it. */
static const char *show_bytes(json_int_t bytes, char *buf, size_t len)
{
	static const char units[] = "BKMGTP";
	double value = (double)bytes;
	unsigned i = 0;

	while (value >= 1024 && units[i + 1]) {
		value /= 1024;
		i++;
	}
	(void)snprintf(buf, len, "%.*f%c", value < 10 && i ? 1 : 0, value, units[i]);
	return buf;
}

static void print_disk(const json_t *disk)
{
	const json_t *stats = json_object_get(disk, "stats");
	bool ro = json_is_true(json_object_get(disk, "readonly"));
	bool overlay = json_is_true(json_object_get(disk, "overlay"));
	char size[16], bps[16], limits[64] = "-";
	int len = 0;

	if (get_int(disk, "iops"))
		len = snprintf(limits, sizeof(limits), "iops=%" JSON_INTEGER_FORMAT "%s",
			       get_int(disk, "iops"), get_int(disk, "bps") ? "," : "");
	if (get_int(disk, "bps"))
		(void)snprintf(limits + len, sizeof(limits) - (size_t)len, "bps=%s",
			       show_bytes(get_int(disk, "bps"), bps, sizeof(bps)));
	(void)printf("%-12s %4" JSON_INTEGER_FORMAT " %7s %-9s %-20s %10" JSON_INTEGER_FORMAT
		     " %10" JSON_INTEGER_FORMAT "  %s\n",
		     get_string(disk, "id"), get_int(disk, "slot"),
		     show_bytes(get_int(disk, "size"), size, sizeof(size)),
		     ro        ? "readonly"
		     : overlay ? "throwaway"
			       : "-",
		     limits, get_int(stats, "rd_operations"), get_int(stats, "wr_operations"),
		     get_string(disk, "path"));
}

static int list(const struct device_call *c)
{
	json_t *blocks = NULL, *stats = NULL, *disks = json_array(), *one;
	int rc = client_execute(c->client, "query-block", &blocks, c->e);
	size_t i;

	if (rc == 0)
		rc = client_execute(c->client, "query-blockstats", &stats, c->e);
	json_array_foreach(blocks, i, one)
	{
		(void)json_array_append_new(disks, disk_json(one, stats));
	}
	json_decref(blocks);
	json_decref(stats);
	if (rc == 0 && !c->o->json) {
		(void)printf("%-12s %4s %7s %-9s %-20s %10s %10s  %s\n", "ID", "SLOT", "SIZE",
			     "MODE", "LIMITS", "READS", "WRITES", "PATH");
		json_array_foreach(disks, i, one)
		{
			print_disk(one);
		}
	}
	if (rc == 0)
		return device_print_reply(c, disks);
	json_decref(disks);
	return rc;
}

/* --- resize and limit --- */

static int resize(const struct device_call *c)
{
	json_t *args = json_pack("{s:s}", "device", c->cli->more[0]), *ret = NULL;
	uint64_t bytes = 0;
	int rc = 0;

	if (c->cli->nr_more > 1 &&
	    (field_parse_bytes(c->cli->more[1], &bytes) < 0 || bytes > INT64_MAX || bytes == 0))
		rc = err_set(c->e, -EINVAL, "'%s' is not a size: write for example 512M or 2G",
			     c->cli->more[1]);
	if (rc < 0) {
		json_decref(args);
		return rc;
	}
	if (c->cli->nr_more > 1)
		(void)json_object_set_new(args, "size", json_integer((json_int_t)bytes));
	rc = client_execute_with(c->client, "block_resize", args, &ret, c->e);
	if (rc < 0)
		return rc;
	if (!c->o->json)
		(void)printf("%s: %" JSON_INTEGER_FORMAT " bytes\n", c->cli->more[0],
			     get_int(ret, "size"));
	return device_print_reply(c, ret);
}

/* What `limit` takes: properties of --disk. */
static const struct field limit_fields[] = {
	{ .name = "iops", .type = &field_number },
	{ .name = "bps", .type = &field_bytes },
	{ .name = "burst", .type = &field_number },
};

/* "iops=500" into @args. */
static int add_limit(json_t *args, const char *word, struct err *e)
{
	const char *value = strchr(word, '=');
	uint64_t number = 0;
	char name[16];

	(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	for (size_t i = 0; i < ARRAY_SIZE(limit_fields); i++) {
		const struct field *f = &limit_fields[i];

		if (!value || strcmp(f->name, name) != 0)
			continue;
		if (field_set(f, &number, value + 1, e) < 0) {
			(void)err_prefix(e, "%s", name);
			return -EINVAL;
		}
		(void)json_object_set_new(
			args, name, json_integer((json_int_t)MIN(number, (uint64_t)INT64_MAX)));
		return 0;
	}
	return err_set(e, -EINVAL, "'%s' is none of iops=N, bps=SIZE, burst=MS", word);
}

static int limit(const struct device_call *c)
{
	json_t *args = json_pack("{s:s}", "id", c->cli->more[0]);
	int rc = 0;

	for (unsigned i = 1; i < c->cli->nr_more && rc == 0; i++)
		rc = add_limit(args, c->cli->more[i], c->e);
	if (rc < 0) {
		json_decref(args);
		return rc;
	}
	return device_execute(c, "block_set_io_throttle", args);
}

/* --- all of them --- */

static const struct {
	const char *name;
	device_action fn;
	unsigned min_more, max_more;
	const char *usage;
} actions[] = {
	{ "list", list, 0, 0, "list NAME" },
	{ "attach", disk_attach, 1, 1, "attach NAME PATH[,PROPERTY...]" },
	{ "detach", disk_detach, 1, 1, "detach NAME ID" },
	{ "resize", resize, 1, 2, "resize NAME ID [SIZE]" },
	{ "limit", limit, 2, 4, "limit NAME ID iops=N bps=SIZE burst=MS, or some of them" },
};

int cli_disk(const struct cli *cli)
{
	struct device_options o = DEVICE_OPTIONS;
	struct err e = { 0 };
	unsigned i = 0;

	if (cli_apply(cli, &o, &e) < 0)
		return cli_usage(cli->cmd, &e);
	while (i < ARRAY_SIZE(actions) && strcmp(cli->arg, actions[i].name) != 0)
		i++;
	if (i == ARRAY_SIZE(actions)) {
		(void)err_set(&e, -EINVAL, "ACTION is list, attach, detach, resize or limit");
		return cli_usage(cli->cmd, &e);
	}
	if (cli->nr_more < actions[i].min_more || cli->nr_more > actions[i].max_more) {
		(void)err_set(&e, -EINVAL, "write %s", actions[i].usage);
		return cli_usage(cli->cmd, &e);
	}
	return device_perform(cli, &o, actions[i].fn);
}
