// SPDX-License-Identifier: MIT
// The guest's side of ferry-net: started, asked, let go.
#include "vmm/guest/net_helper.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/helper.h"
#include "util/io.h"
#include "util/log.h"
#include "vmm/sandbox/keeper.h"

/* It may have to wait for others who change networks, and to make one. */
#define ANSWER_MS 60000
#define END_MS    10000

int net_helper_spawn(int its_end, pid_t *ret, struct err *e)
{
	char path[PATH_MAX], name[] = "ferry-net", action[] = "attach";
	char *const argv[] = { name, action, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc = helper_find(name, path, sizeof(path), e);

	if (rc < 0)
		return rc;
	(void)sigemptyset(&none);
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, its_end, STDIN_FILENO);
	(void)posix_spawnattr_init(&attr);
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	(void)posix_spawnattr_setsigmask(&attr, &none);
	rc = posix_spawn(ret, path, &actions, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&actions);
	if (rc == 0)
		return 0;
	*ret = 0;
	return err_set(e, -rc, "cannot start %.200s: %s", path, strerror(rc));
}

static int start(struct net_helper *h, struct err *e)
{
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_set(e, -errno, "socketpair: %s", strerror(errno));
	rc = keeper_exists() ? keeper_spawn(pair[1], e) : net_helper_spawn(pair[1], &h->pid, e);
	(void)close(pair[1]);
	if (rc < 0) {
		(void)close(pair[0]);
		return rc;
	}
	h->sock = pair[0];
	return 0;
}

static int await(struct net_helper *h, struct attach_answer *ret, struct err *e)
{
	char text[ATTACH_MSG_BYTES];
	int fds[ATTACH_MAX_FDS], rc;
	unsigned nr;
	ssize_t len = attach_receive(h->sock, ANSWER_MS, text, fds, ATTACH_MAX_FDS, &nr);

	if (len == 0)
		return err_set(e, -EPIPE, "ferry-net has ended: run 'ferry net repair'");
	if (len < 0)
		return err_set(e, (int)len, "ferry-net does not answer: %s", strerror((int)-len));
	rc = attach_answer_parse(text, (size_t)len, ret, e);
	for (unsigned i = 0; i < nr; i++) {
		if (rc < 0)
			(void)close(fds[i]);
		else
			ret->fds[ret->nr_fds++] = fds[i];
	}
	return rc;
}

static void drop_fds(struct attach_answer *answer)
{
	while (answer->nr_fds > 0)
		(void)close(answer->fds[--answer->nr_fds]);
}

/* What it granted has a descriptor for each queue, and the lock after them. */
static int take(struct net_helper *h, const struct attach_request *req,
		struct attach_answer *answer, struct err *e)
{
	unsigned nr_locks = req->kind == ATTACH_TAP ? 0 : 1;

	if (answer->e.code) {
		drop_fds(answer);
		return err_set(e, answer->e.code, "%s", answer->e.text);
	}
	if (answer->nr_fds != req->queues + nr_locks) {
		drop_fds(answer);
		return err_set(e, -EPROTO, "ferry-net is of another version than ferry");
	}
	if (nr_locks)
		h->lock = answer->fds[--answer->nr_fds];
	return 0;
}

int net_helper_attach(struct net_helper *h, const struct attach_request *req,
		      struct attach_answer *answer, struct err *e)
{
	char text[ATTACH_MSG_BYTES];
	int rc = attach_request_format(req, text);

	if (rc < 0)
		return err_set(e, rc, "the request to ferry-net is too long");
	rc = start(h, e);
	if (rc < 0)
		return rc;
	rc = attach_send(h->sock, text, NULL, 0);
	if (rc < 0 && rc != -EPIPE)
		(void)err_set(e, rc, "ferry-net: %s", strerror(-rc));
	else
		rc = await(h, answer, e);
	if (rc == 0)
		rc = take(h, req, answer, e);
	if (rc < 0)
		net_helper_end(h);
	return rc;
}

void net_helper_begin_end(const struct net_helper *h)
{
	if (h->sock >= 0)
		(void)shutdown(h->sock, SHUT_WR);
}

void net_helper_end(struct net_helper *h)
{
	struct pollfd ended = { .fd = h->sock, .events = POLLIN };
	int n;

	if (h->sock < 0)
		return;
	net_helper_begin_end(h);
	do {
		n = poll(&ended, 1, END_MS);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		log_warn("ferry-net does not end: run 'ferry net repair'");
	while (n != 0 && h->pid && waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
	net_helper_forget(h);
}

void net_helper_forget(struct net_helper *h)
{
	close_fd(&h->lock);
	close_fd(&h->sock);
	net_helper_init(h);
}
