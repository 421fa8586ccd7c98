// SPDX-License-Identifier: MIT
// Kernel settings with users: the first saves the old value, the last restores it.
#include "net/managed/sysctl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "net/managed/jsonfile.h"
#include "util/io.h"

#define VALUE_BYTES 32

static void proc_path(const char *key, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "/proc/sys/%s", key);
}

/* A flat name for the key: "sysctl.net.ipv4.ip_forward". */
static void file_path(const char *dir, const char *key, char path[PATH_MAX])
{
	size_t used = (size_t)snprintf(path, PATH_MAX, "%s/sysctl.", dir);

	(void)snprintf(path + used, PATH_MAX - used, "%s", key);
	for (char *p = path + used; *p; p++) {
		if (*p == '/')
			*p = '.';
	}
}

static int read_value(const char *key, char value[VALUE_BYTES])
{
	char path[PATH_MAX];
	ssize_t got;

	proc_path(key, path);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	got = read(fd, value, VALUE_BYTES - 1);
	if (got < 0)
		return -errno;
	value[got] = '\0';
	value[strcspn(value, "\n")] = '\0';
	return 0;
}

bool sysctl_is(const char *key, const char *value)
{
	char now[VALUE_BYTES];

	return read_value(key, now) == 0 && strcmp(now, value) == 0;
}

static int write_value(const char *key, const char *value)
{
	char path[PATH_MAX];

	proc_path(key, path);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return io_write_full(fd, value, strlen(value));
}

static int save_users(const char *path, json_t *file)
{
	return jsonfile_save(path, json_incref(file), JSON_COMPACT, true);
}

/* --- settings that set others --- */

/*
 * Forwarding for all interfaces is written to each of them, and IPv4 stops to heed
 * redirects: whoever had said otherwise for one interface must find that again.
 */
static const struct spill {
	const char *key, *folder;
	const char *also, *also_becomes;
} spills[] = {
	{ "net/ipv4/ip_forward", "net/ipv4/conf", "net/ipv4/conf/all/accept_redirects", "0" },
	{ "net/ipv6/conf/all/forwarding", "net/ipv6/conf", NULL, NULL },
};

static const struct spill *find_spill(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(spills); i++) {
		if (strcmp(spills[i].key, key) == 0)
			return &spills[i];
	}
	return NULL;
}

static void note_value(json_t *others, const char *key)
{
	char value[VALUE_BYTES];

	if (read_value(key, value) == 0)
		(void)json_object_set_new(others, key, json_string(value));
}

/* What else @key sets, as it is now: { "net/ipv4/conf/eth0/forwarding": "0" }. */
static json_t *read_others(const char *key)
{
	const struct spill *spill = find_spill(key);
	json_t *others = json_object();
	char path[PATH_MAX], other[PATH_MAX];
	struct dirent *entry;
	DIR *dir;

	if (!spill)
		return others;
	if (spill->also)
		note_value(others, spill->also);
	proc_path(spill->folder, path);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		(void)snprintf(other, sizeof(other), "%.64s/%.64s/forwarding", spill->folder,
			       entry->d_name);
		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0)
			note_value(others, other);
	}
	if (dir)
		(void)closedir(dir);
	return others;
}

/* @now: as they were until @key was written back. Who has changed one meanwhile keeps it. */
static void restore_others(const char *key, const char *value, const json_t *before,
			   const json_t *now)
{
	const struct spill *spill = find_spill(key);
	const char *other;
	json_t *old;

	json_object_foreach((json_t *)(uintptr_t)before, other, old)
	{
		const char *was = json_string_value(json_object_get(now, other));
		const char *ours = spill && spill->also && strcmp(other, spill->also) == 0
					   ? spill->also_becomes
					   : value;

		if (was && json_is_string(old) && strcmp(was, ours) == 0 &&
		    !sysctl_is(other, json_string_value(old)))
			(void)!write_value(other, json_string_value(old));
	}
}

/* --- users --- */

static size_t find_user(const json_t *users, const char *user)
{
	size_t i;
	json_t *entry;

	json_array_foreach(users, i, entry)
	{
		const char *name = json_string_value(entry);

		if (name && strcmp(name, user) == 0)
			break;
	}
	return i;
}

int sysctl_need(const char *dir, const char *key, const char *value, const char *user,
		struct err *e)
{
	char path[PATH_MAX], old[VALUE_BYTES];
	json_t *file, *users;
	int rc = read_value(key, old);

	if (rc < 0)
		return err_set(e, rc, "/proc/sys/%s: %s", key, strerror(-rc));
	file_path(dir, key, path);
	file = json_load_file(path, 0, NULL);
	if (!file)
		file = json_pack("{s:s, s:s, s:[], s:o}", "before", old, "value", value, "users",
				 "others", read_others(key));
	users = json_object_get(file, "users");
	if (find_user(users, user) == json_array_size(users))
		rc = json_array_append_new(users, json_string(user)) < 0 ? -ENOMEM : 0;
	if (rc == 0)
		rc = save_users(path, file);
	json_decref(file);
	if (rc == 0 && strcmp(old, value) != 0)
		rc = write_value(key, value);
	return rc < 0 ? err_set(e, rc, "/proc/sys/%s: cannot set it to %s: %s", key, value,
				strerror(-rc))
		      : 0;
}

static int put_back(const char *key, const json_t *file, const char *before, const char *value)
{
	json_t *now = read_others(key);
	int rc = write_value(key, before);

	if (rc == 0)
		restore_others(key, value, json_object_get(file, "others"), now);
	json_decref(now);
	return rc;
}

int sysctl_drop(const char *dir, const char *key, const char *user, struct err *e)
{
	char path[PATH_MAX], now[VALUE_BYTES];
	const char *before = NULL, *value = NULL;
	json_t *file, *users = NULL;
	int rc = 0;

	file_path(dir, key, path);
	file = json_load_file(path, 0, NULL);
	if (!file || json_unpack(file, "{s:s, s:s, s:o}", "before", &before, "value", &value,
				 "users", &users) < 0)
		goto out;
	(void)json_array_remove(users, find_user(users, user));
	if (json_array_size(users) > 0) {
		rc = save_users(path, file);
		goto out;
	}
	/* A setting of an interface that is gone went with it. */
	if (read_value(key, now) == 0 && strcmp(now, value) == 0 && strcmp(now, before) != 0)
		rc = put_back(key, file, before, value);
	if (rc == 0 && unlink(path) < 0)
		rc = -errno;
out:
	json_decref(file);
	return rc < 0 ? err_set(e, rc, "/proc/sys/%s: cannot put it back: %s", key, strerror(-rc))
		      : 0;
}
