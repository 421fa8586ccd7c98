// SPDX-License-Identifier: MIT
// Faults that tests ask for.
#include "net/managed/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Does the variable say @action for this step of the journal? */
static bool asks_for(const char *action, const char *path, long step)
{
	const char *asked = secure_getenv("FERRY_NET_FAULT"), *slash = strrchr(path, '/');
	char text[256];

	if (!asked)
		return false;
	(void)snprintf(text, sizeof(text), "%s@%.200s:%ld", action, slash ? slash + 1 : path, step);
	return strcmp(asked, text) == 0;
}

int fault_before(const char *path, unsigned index, struct err *e)
{
	if (asks_for("kill", path, (long)index + 1))
		(void)raise(SIGKILL);
	if (asks_for("fail", path, (long)index + 1))
		return err_set(e, -EIO, "a fault was asked for (FERRY_NET_FAULT)");
	return 0;
}

void fault_after_undo(const char *path, unsigned index)
{
	if (asks_for("kill", path, -(long)index - 1))
		(void)raise(SIGKILL);
}
