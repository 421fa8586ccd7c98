// SPDX-License-Identifier: MIT
// Kernel settings with users: the first saves the old value, the last restores it.
#include "net/managed/sysctl.h"

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
		file = json_pack("{s:s, s:s, s:[]}", "before", old, "value", value, "users");
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
		rc = write_value(key, before);
	if (rc == 0 && unlink(path) < 0)
		rc = -errno;
out:
	json_decref(file);
	return rc < 0 ? err_set(e, rc, "/proc/sys/%s: cannot put it back: %s", key, strerror(-rc))
		      : 0;
}
