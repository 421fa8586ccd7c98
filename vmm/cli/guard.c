// SPDX-License-Identifier: MIT
// A file that is not complete yet goes with the command that is interrupted.
#include "vmm/cli/guard.h"

#include <signal.h>
#include <unistd.h>

#include "util/compiler.h"
#include "util/new_file.h"

/* A signal handler has no other way to learn it. */
static const char *volatile guarded;

static void on_signal(int sig)
{
	if (*guarded) /* else it was committed */
		(void)unlink(guarded);
	(void)signal(sig, SIG_DFL);
	(void)raise(sig);
}

void cli_guard_file(const struct new_file *file)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction act = { .sa_handler = on_signal };
	struct sigaction old;

	if (!file->temp[0])
		return;
	guarded = file->temp;
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
		/* Not what nohup(1) and shells have set aside. */
		if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(signals[i], &act, NULL);
	}
}
