// SPDX-License-Identifier: MIT
// Signals that a running guest's process gets from outside, and its deadline.
#include "vmm/guest/run_signals.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"

#define STATUS_SIGNAL 128

static const int watched[] = { SIGTERM, SIGINT, SIGHUP };
static const int ignored[] = { SIGPIPE, SIGXFSZ, SIGTTIN, SIGTTOU };

static_assert(ARRAY_SIZE(watched) == ARRAY_SIZE(((struct run_signals *)0)->pending),
	      "one counter each");

/* nohup and shells without job control ignore signals on purpose. */
static bool is_ignored(int sig)
{
	struct sigaction sa;

	return sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN;
}

void run_signals_end_within(struct run_signals *s, uint64_t seconds, int status)
{
	if (!s->started)
		return;
	mutex_lock(&s->lock);
	s->set.ns = clock_now_ns() + seconds * NSEC_PER_SEC;
	s->set.status = status;
	s->by_signal.ns = UINT64_MAX;
	mutex_unlock(&s->lock);
	eventfd_signal(s->wake_fd);
}

void run_signals_refused(struct run_signals *s)
{
	MUTEX_SCOPE(&s->lock);
	s->by_signal.ns = UINT64_MAX;
	s->nr_signals = 0;
}

/* On the main loop, once for each signal. */
static void deliver(void *opaque)
{
	struct run_signals *s = opaque;

	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		unsigned n = atomic_exchange(&s->pending[i], 0);

		while (n-- > 0)
			s->fn(s->opaque, watched[i]);
	}
}

static void bring_forward(struct run_signals *s, int status)
{
	uint64_t deadline_ns = clock_now_ns();

	MUTEX_SCOPE(&s->lock);
	deadline_ns += (RUN_GRACE_S + (s->nr_signals++ ? 0 : RUN_SHUTDOWN_S)) * NSEC_PER_SEC;
	if (deadline_ns >= s->by_signal.ns)
		return;
	s->by_signal.ns = deadline_ns;
	s->by_signal.status = status;
}

static void take_signal(struct run_signals *s)
{
	struct signalfd_siginfo info;

	if (read(s->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		if (watched[i] == (int)info.ssi_signo)
			atomic_fetch_add(&s->pending[i], 1);
	}
	/* First: whoever refuses the signal takes the deadline back. */
	bring_forward(s, STATUS_SIGNAL + (int)info.ssi_signo);
	loop_post(s->loop, &s->deliver);
}

/* Milliseconds until the deadline, rounded up; -1: there is none. */
static int left_ms(struct run_signals *s)
{
	uint64_t now = clock_now_ns();
	uint64_t deadline_ns;

	mutex_lock(&s->lock);
	deadline_ns = MIN(s->set.ns, s->by_signal.ns);
	mutex_unlock(&s->lock);
	if (deadline_ns == UINT64_MAX)
		return -1;
	if (deadline_ns <= now)
		return 0;
	return (int)MIN((deadline_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC, 60000ULL);
}

static int status_at_end(struct run_signals *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->by_signal.ns < s->set.ns ? s->by_signal.status : s->set.status;
}

/* Has the main thread come this far after all? */
static bool has_quit(struct run_signals *s)
{
	MUTEX_SCOPE(&s->lock);
	return s->quit;
}

static void *thread_main(void *opaque)
{
	struct run_signals *s = opaque;
	struct pollfd fds[] = {
		{ .fd = s->signal_fd, .events = POLLIN },
		{ .fd = s->wake_fd, .events = POLLIN },
	};
	uint64_t count;
	int timeout_ms;

	while (!has_quit(s)) {
		timeout_ms = left_ms(s);
		if (timeout_ms == 0) {
			s->give_up(s->opaque);
			_exit(status_at_end(s));
		}
		if (poll(fds, ARRAY_SIZE(fds), timeout_ms) <= 0)
			continue;
		if (fds[1].revents)
			(void)!read(s->wake_fd, &count, sizeof(count));
		if (fds[0].revents)
			take_signal(s);
	}
	return NULL;
}

static int open_fds(struct run_signals *s)
{
	sigset_t set;
	int rc;

	(void)sigemptyset(&set);
	for (unsigned i = 0; i < ARRAY_SIZE(watched); i++) {
		if (!is_ignored(watched[i]))
			(void)sigaddset(&set, watched[i]);
	}
	rc = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (rc)
		return -rc;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return s->signal_fd < 0 || s->wake_fd < 0 ? -errno : 0;
}

int run_signals_init(struct run_signals *s)
{
	int rc;

	for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
		(void)signal(ignored[i], SIG_IGN);
	s->signal_fd = s->wake_fd = -1;
	s->set.ns = s->by_signal.ns = UINT64_MAX;
	s->deliver = (struct loop_work){ .fn = deliver, .opaque = s };
	mutex_init(&s->lock);
	rc = open_fds(s);
	if (rc == 0)
		rc = thread_start(&s->thread, THREAD_MAIN, "signals", thread_main, s);
	s->started = rc == 0;
	if (rc < 0) {
		close_fd(&s->signal_fd);
		close_fd(&s->wake_fd);
		mutex_fini(&s->lock);
	}
	return rc;
}

void run_signals_fini(struct run_signals *s)
{
	if (!s->started)
		return;
	mutex_lock(&s->lock);
	s->quit = true;
	mutex_unlock(&s->lock);
	eventfd_signal(s->wake_fd);
	(void)pthread_join(s->thread, NULL);
	s->started = false;
	loop_unpost(s->loop, &s->deliver);
	close_fd(&s->signal_fd);
	close_fd(&s->wake_fd);
	mutex_fini(&s->lock);
}
