// SPDX-License-Identifier: MIT
// Programs beside ferry: finding them, and running one to its end.
#include "util/helper.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/io.h"

#define MAX_ARGS 64U

/* Where to look, from the directory of the running program. */
static const char *const places[] = { "", "../libexec/ferry/" };

int helper_find(const char *name, char *buf, size_t len, struct err *e)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		return err_set(e, -errno, "/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	*(strrchr(self, '/') + 1) = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if ((size_t)snprintf(buf, len, "%s%s%s", self, places[i], name) < len &&
		    access(buf, X_OK) == 0)
			return 0;
	}
	return err_set(e, -ENOENT, "%s is not installed: it is neither in %.150s nor in %.150s%s",
		       name, self, self, places[1]);
}

/* --- one run --- */

/* What a run needs of descriptors; -1: not there. */
struct run {
	int in, out, said; /* memory files; what it says on standard error */
};

static void close_run(struct run *r)
{
	close_fd(&r->in);
	close_fd(&r->out);
	close_fd(&r->said);
}

/* 0 or -errno. */
static int memory_file(int *ret, const void *data, size_t len)
{
	int rc;

	*ret = memfd_create("ferry-helper", MFD_CLOEXEC);
	if (*ret < 0)
		return -errno;
	rc = len ? io_write_full(*ret, data, len) : 0;
	if (rc == 0 && lseek(*ret, 0, SEEK_SET) < 0)
		rc = -errno;
	return rc;
}

static int open_run(struct run *r, const struct helper_call *call)
{
	int rc = memory_file(&r->in, call->in, call->in_bytes);

	if (rc == 0)
		rc = memory_file(&r->said, NULL, 0);
	if (rc == 0 && call->out_fd < 0)
		rc = memory_file(&r->out, NULL, 0);
	return rc;
}

/* Standard input, output and error, and nothing else. 0 or -errno. */
static int set_files(posix_spawn_file_actions_t *files, const struct run *r, int out_fd)
{
	const int fds[] = { r->in, out_fd < 0 ? r->out : out_fd, r->said };
	int rc = 0;

	for (int i = 0; i < (int)ARRAY_SIZE(fds) && rc == 0; i++)
		rc = -posix_spawn_file_actions_adddup2(files, fds[i], i);
	if (rc == 0)
		rc = -posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
	return rc;
}

/* As a shell would start it: no signal blocked, none ignored. 0 or -errno. */
static int set_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	int rc;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	rc = -posix_spawnattr_setsigmask(attr, &none);
	if (rc == 0)
		rc = -posix_spawnattr_setsigdefault(attr, &all);
	if (rc == 0)
		rc = -posix_spawnattr_setflags(attr,
					       POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	return rc;
}

static int spawn(pid_t *ret, const char *path, char **argv, const struct run *r, int out_fd)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	int rc = -posix_spawn_file_actions_init(&files);

	if (rc < 0)
		return rc;
	rc = -posix_spawnattr_init(&attr);
	if (rc == 0) {
		rc = set_files(&files, r, out_fd);
		if (rc == 0)
			rc = set_signals(&attr);
		if (rc == 0)
			rc = -posix_spawn(ret, path, &files, &attr, argv, environ);
		(void)posix_spawnattr_destroy(&attr);
	}
	(void)posix_spawn_file_actions_destroy(&files);
	return rc;
}

/* The first line it said, without its name. */
static void read_words(int fd, const char *name, char *buf, size_t len)
{
	ssize_t n = pread(fd, buf, len - 1, 0);
	size_t prefix = strlen(name);

	buf[n > 0 ? n : 0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	if (!strncmp(buf, name, prefix) && !strncmp(buf + prefix, ": ", 2))
		memmove(buf, buf + prefix + 2, strlen(buf + prefix + 2) + 1);
}

static int judge(int status, const struct run *r, const char *name, struct err *e)
{
	char words[400];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	read_words(r->said, name, words, sizeof(words));
	if (WIFEXITED(status) && *words)
		return err_set(e, -EREMOTEIO, "%s", words);
	return err_set(e, -EREMOTEIO, "%s %s %d", name,
		       WIFEXITED(status) ? "failed with status" : "was ended by signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static int wait_for(pid_t pid, int *ret)
{
	while (waitpid(pid, ret, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* @argv has room for MAX_ARGS + 2. */
static void fill_argv(const char **argv, const char *path, const char *const *args)
{
	unsigned nr = 0;

	*argv++ = path;
	while (args && args[nr] && nr < MAX_ARGS)
		*argv++ = args[nr++];
	*argv = NULL;
}

static int run_it(const struct helper_call *call, const char *path, const struct run *r,
		  struct err *e)
{
	const char *argv[MAX_ARGS + 2];
	int status = 0, rc;
	pid_t pid = 0;

	fill_argv(argv, path, call->args);
	/* posix_spawn() does not change them; its prototype cannot say so. */
	rc = spawn(&pid, path, (char **)(uintptr_t)argv, r, call->out_fd);
	if (rc == 0)
		rc = wait_for(pid, &status);
	if (rc < 0)
		return err_set(e, rc, "%s: %s", path, strerror(-rc));
	return judge(status, r, call->name, e);
}

/* What is in @fd, whose end we know. */
static int collect(int fd, char **ret, size_t max)
{
	struct stat st;
	char *text;
	int rc;

	if (fstat(fd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size > max)
		return -EFBIG;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	rc = io_pread_full(fd, text, (size_t)st.st_size, 0);
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[st.st_size] = '\0';
	*ret = text;
	return 0;
}

int helper_run_for(const struct helper_call *call, char **ret, size_t max, struct err *e)
{
	struct run r = { -1, -1, -1 };
	char path[PATH_MAX];
	int rc = helper_find(call->name, path, sizeof(path), e);

	if (rc < 0)
		return rc;
	rc = open_run(&r, call);
	if (rc < 0)
		(void)err_set(e, rc, "%s: %s", call->name, strerror(-rc));
	else
		rc = run_it(call, path, &r, e);
	if (rc == 0 && ret) {
		rc = collect(r.out, ret, max);
		if (rc < 0)
			(void)err_set(e, rc, "%s: its answer: %s", call->name, strerror(-rc));
	}
	close_run(&r);
	return rc;
}

int helper_run(const struct helper_call *call, struct err *e)
{
	return helper_run_for(call, NULL, 0, e);
}

int helper_exec(const char *name, const char *const *args, struct err *e)
{
	const char *argv[MAX_ARGS + 2];
	char path[PATH_MAX];
	int rc = helper_find(name, path, sizeof(path), e);

	if (rc < 0)
		return rc;
	fill_argv(argv, path, args);
	(void)execv(path, (char **)(uintptr_t)argv);
	rc = -errno;
	return err_set(e, rc, "%s: %s", path, strerror(-rc));
}
