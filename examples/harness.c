// SPDX-License-Identifier: MIT
// A test harness: ten throwaway guests at once, their exit statuses and logs.
//
//	cc -o harness harness.c $(pkg-config --cflags --libs ferry-client) -pthread
//	./harness KERNEL FOLDER [ferry run's options ...]
//
// Each guest prints to FOLDER/guest-N.log and ends by itself, or after a minute. A line for
// each tells how; the exit status is 0 if all of them ended with 0.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ferry-client.h>

#define GUESTS    10
#define TIMEOUT   "60" /* seconds, for ferry run --timeout */
#define MAX_WORDS 64

struct guest {
	pthread_t thread;
	char name[48], log[4096];
	char *const *argv;
	pid_t pid;
	int status;       /* as a shell would tell; -1: it did not start */
	char reason[512]; /* as the SHUTDOWN event says, or what went wrong */
};

/* Start ferry with its console in the log; *@ret_err reads what it says of itself. */
static int start(struct guest *g, int *ret_err)
{
	posix_spawn_file_actions_t actions;
	int pipe_fds[2], rc;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, g->log, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], 2);
	rc = posix_spawnp(&g->pid, "ferry", &actions, NULL, g->argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(pipe_fds[1]);
	if (rc) {
		close(pipe_fds[0]);
		return -rc;
	}
	*ret_err = pipe_fds[0];
	return 0;
}

/* With --json the first line comes when the guest runs, or says why it does not. */
static int wait_started(struct guest *g, FILE *err)
{
	char line[4096];

	while (fgets(line, sizeof(line), err)) {
		if (strstr(line, "\"started\""))
			return 0;
		snprintf(g->reason, sizeof(g->reason), "%.*s", (int)strcspn(line, "\n"), line);
	}
	return -1;
}

/* A guest that is faster than we are is gone already: its exit status tells the rest. */
static void watch(struct guest *g)
{
	struct ferry_client *client;
	struct ferry_error error;
	json_t *event, *reason;

	if (ferry_client_connect(&client, g->name, 5, &error) < 0) {
		snprintf(g->reason, sizeof(g->reason), "%s", error.text);
		return;
	}
	if (ferry_client_wait_event(client, "SHUTDOWN", -1, &event, &error) == 0) {
		reason = json_object_get(json_object_get(event, "data"), "reason");
		snprintf(error.text, sizeof(error.text), "%s", json_string_value(reason));
		json_decref(event);
	}
	memcpy(g->reason, error.text, sizeof(g->reason));
	ferry_client_close(client);
}

static void *run(void *opaque)
{
	struct guest *g = opaque;
	int err_fd = -1, rc = start(g, &err_fd), status;
	FILE *err;

	if (rc < 0) {
		snprintf(g->reason, sizeof(g->reason), "cannot start ferry: %s", strerror(-rc));
		return NULL;
	}
	err = fdopen(err_fd, "r");
	if (wait_started(g, err) == 0)
		watch(g);
	/* Read on, so that ferry is never held up by what it says. */
	while (fgetc(err) != EOF)
		;
	fclose(err);
	if (waitpid(g->pid, &status, 0) == g->pid)
		g->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return NULL;
}

static long size_of(const char *path)
{
	FILE *file = fopen(path, "r");
	long size = -1;

	if (file) {
		fseek(file, 0, SEEK_END);
		size = ftell(file);
		fclose(file);
	}
	return size;
}

int main(int argc, char **argv)
{
	static struct guest guests[GUESTS];
	static char *words[GUESTS][MAX_WORDS];
	int failed = 0;

	if (argc < 3 || argc > MAX_WORDS - 16) {
		fprintf(stderr, "usage: harness KERNEL FOLDER [ferry run's options ...]\n");
		return 2;
	}
	for (int i = 0; i < GUESTS; i++) {
		struct guest *g = &guests[i];
		char *const head[] = { "ferry", "run",      "--ephemeral", "--json", "--timeout",
				       TIMEOUT, "--kernel", argv[1],       "--name", g->name };

		snprintf(g->name, sizeof(g->name), "harness-%d-%d", (int)getpid(), i);
		snprintf(g->log, sizeof(g->log), "%s/guest-%d.log", argv[2], i);
		memcpy(words[i], head, sizeof(head));
		memcpy(words[i] + sizeof(head) / sizeof(*head), argv + 3,
		       (size_t)(argc - 3) * sizeof(*argv));
		g->argv = words[i];
		g->status = -1;
		if (pthread_create(&g->thread, NULL, run, g) != 0)
			return 1;
	}
	for (int i = 0; i < GUESTS; i++) {
		pthread_join(guests[i].thread, NULL);
		printf("%s status=%d log=%ld reason=%s\n", guests[i].name, guests[i].status,
		       size_of(guests[i].log), guests[i].reason);
		failed += guests[i].status != 0;
	}
	return failed ? 1 : 0;
}
