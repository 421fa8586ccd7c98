// SPDX-License-Identifier: MIT
// All running guests: from the runtime directory, and from the kernel's table
// of abstract sockets.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/guest/runtime.h"

struct names {
	char **list;
	int nr;
};

static const char suffix[] = ".sock";

/* Take the name out of "NAME.sock". 0, -EINVAL for anything else, -ENOMEM. */
static int add_name(struct names *names, const char *file)
{
	size_t len = strlen(file);
	char **list;
	char *name;

	if (len < sizeof(suffix) || strcmp(file + len - strlen(suffix), suffix) != 0)
		return -EINVAL;
	name = strndup(file, len - strlen(suffix));
	if (!name)
		return -ENOMEM;
	list = reallocarray(names->list, (size_t)names->nr + 1, sizeof(*list));
	if (list)
		names->list = list;
	if (!list || runtime_check_name(name, NULL) < 0) {
		free(name);
		return list ? -EINVAL : -ENOMEM;
	}
	list[names->nr++] = name;
	return 0;
}

static void drop_last(struct names *names)
{
	free(names->list[--names->nr]);
}

static int add_files(struct names *names, const char *dir)
{
	/* Not there: nobody has run a guest yet. Not ours: no guest of ours has files there. */
	DIR *d = runtime_check_dir(dir, NULL) == 0 ? opendir(dir) : NULL;
	const struct dirent *entry;
	int rc = 0;

	if (!d)
		return 0;
	while (rc != -ENOMEM && (entry = readdir(d))) {
		rc = add_name(names, entry->d_name);
		if (rc == 0 && runtime_remove_stale(dir, names->list[names->nr - 1]))
			drop_last(names);
	}
	(void)closedir(d);
	return rc == -ENOMEM ? rc : 0;
}

/*
 * A line of /proc/net/unix ends with the address, "@" standing for the leading
 * zero byte. The listening socket and each connection have a line: only the
 * first one counts (__SO_ACCEPTCON in the fourth column).
 */
static int add_abstract_line(struct names *names, const char *dir, char *line)
{
	unsigned flags;
	char *at = strchr(line, '@');
	size_t len = strlen(dir);

	line[strcspn(line, "\n")] = '\0';
	/* NOLINTNEXTLINE(cert-err34-c): the kernel wrote the number */
	if (!at || sscanf(line, "%*s %*s %*s %x", &flags) != 1 || !(flags & 0x10000))
		return 0;
	at++;
	if (strncmp(at, dir, len) != 0 || at[len] != '/')
		return 0;
	return add_name(names, at + len + 1);
}

static int add_abstract(struct names *names, const char *dir)
{
	FILE *table = fopen("/proc/net/unix", "re");
	char line[512];
	int rc = 0;

	if (!table)
		return 0;
	while (rc != -ENOMEM && fgets(line, sizeof(line), table))
		rc = add_abstract_line(names, dir, line);
	(void)fclose(table);
	return rc == -ENOMEM ? rc : 0;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int runtime_names(char ***ret, struct err *e)
{
	struct names names = { 0 };
	char dir[108];
	int rc = runtime_dir(dir, sizeof(dir), false, e);

	if (rc < 0)
		return rc;
	rc = add_files(&names, dir);
	if (rc == 0)
		rc = add_abstract(&names, dir);
	if (rc < 0) {
		runtime_free_names(names.list, names.nr);
		return err_set(e, rc, "out of memory");
	}
	if (names.nr)
		qsort(names.list, (size_t)names.nr, sizeof(*names.list), compare);
	*ret = names.list;
	return names.nr;
}

void runtime_free_names(char **names, int nr)
{
	for (int i = 0; i < nr; i++)
		free(names[i]);
	free(names);
}
