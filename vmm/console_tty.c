// SPDX-License-Identifier: MIT
// The user's terminal: raw mode that always ends, and escape keys.
#include "vmm/console_tty.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <termios.h>
#include <unistd.h>

/*
 * A signal handler gets no pointer of ours, so what it needs to put the
 * terminal back is kept here.
 */
static struct {
	atomic_bool raw; /* set after the rest, taken by whoever restores */
	int fd;
	struct termios saved;
} tty;

/* Signals whose default action ends the process, but for those that are watched. */
static const int fatal_signals[] = {
	SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,    SIGFPE,  SIGUSR1,
	SIGSEGV, SIGUSR2, SIGALRM, SIGXCPU, SIGVTALRM, SIGPROF, SIGSYS,
};

void tty_restore(void)
{
	if (atomic_exchange(&tty.raw, false))
		(void)tcsetattr(tty.fd, TCSANOW, &tty.saved);
}

/* The default action is back already (SA_RESETHAND): it comes on return. */
static void restore_and_die(int sig)
{
	int saved_errno = errno;

	tty_restore();
	(void)raise(sig);
	errno = saved_errno;
}

/* Sanitizers and the vCPUs' own signal keep their handlers. */
static void catch_fatal_signals(void)
{
	struct sigaction sa = { .sa_handler = restore_and_die, .sa_flags = (int)SA_RESETHAND };
	struct sigaction old;

	for (unsigned i = 0; i < ARRAY_SIZE(fatal_signals); i++) {
		if (sigaction(fatal_signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
			(void)sigaction(fatal_signals[i], &sa, NULL);
	}
}

int tty_enter_raw(int fd)
{
	struct termios raw;
	pid_t owner;

	if (tcgetattr(fd, &tty.saved) < 0)
		return -ENOTTY;
	/* Changing it from the background would stop us, and the guest with us.
	 * Where it is not our session's terminal, nobody can tell. */
	owner = tcgetpgrp(fd);
	if (owner >= 0 && owner != getpgrp())
		return -EBUSY;
	raw = tty.saved;
	cfmakeraw(&raw);
	raw.c_oflag |= OPOST; /* messages of ferry keep their line ends */
	tty.fd = fd;
	catch_fatal_signals();
	atomic_store(&tty.raw, true);
	if (tcsetattr(fd, TCSANOW, &raw) < 0) {
		atomic_store(&tty.raw, false);
		return -errno;
	}
	return 0;
}

static void run_key(struct tty_keys *keys, uint8_t key)
{
	if ((key | 0x20) == 'x' && keys->quit)
		keys->quit(keys->opaque);
	else if (((key | 0x20) == 'h' || key == '?') && keys->help)
		keys->help(keys->opaque);
}

size_t tty_filter_keys(struct tty_keys *keys, uint8_t *data, size_t len)
{
	size_t out = 0;

	for (size_t i = 0; i < len; i++) {
		if (!keys->pending && data[i] == keys->prefix) {
			keys->pending = true;
		} else if (keys->pending && data[i] != keys->prefix) {
			keys->pending = false;
			run_key(keys, data[i]);
		} else {
			keys->pending = false;
			data[out++] = data[i];
		}
	}
	return out;
}
