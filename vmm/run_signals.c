// SPDX-License-Identifier: MIT
// Signals that a running guest's process gets from outside.
#include "vmm/run_signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/io.h"

static const int watched[] = { SIGTERM, SIGINT, SIGHUP };
static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU };

/* nohup and shells without job control ignore signals on purpose. */
static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

static void on_signal(void *opaque, unsigned events)
{
	struct run_signals *s = opaque;
	struct signalfd_siginfo info;

	(void)events;
	if (read(s->watch.fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		s->fn(s->opaque, (int)info.ssi_signo);
}

int run_signals_init(struct run_signals *s)
{
	sigset_t set;
	int rc;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	(void)sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		if (!is_ignored(watched[i]))
			(void)sigaddset(&set, watched[i]);
	}
	rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (rc)
		return -rc;
	s->watch = (struct loop_fd){
		.fn = on_signal,
		.opaque = s,
		.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
		.events = LOOP_READ,
	};
	if (s->watch.fd < 0)
		return -errno;
	rc = loop_add_fd(s->loop, &s->watch);
	if (rc < 0)
		close_fd(&s->watch.fd);
	return rc;
}

void run_signals_fini(struct run_signals *s)
{
	loop_del_fd(s->loop, &s->watch);
	close_fd(&s->watch.fd);
}
