// SPDX-License-Identifier: MIT
// Descriptors that a client left for commands to come, by name: getfd and closefd.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "util/io.h"
#include "vmm/control/control.h"

#define FD_PREFIX "fd:"

static struct control_named_fd *find(struct control_fds *fds, const char *name)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fds->named); i++) {
		if (!strcmp(fds->named[i].name, name))
			return &fds->named[i];
	}
	return NULL;
}

/* What @slot holds, which is free from now on. */
static int vacate(struct control_fds *fds, struct control_named_fd *slot)
{
	slot->name[0] = '\0';
	if (fds->nr_all)
		--*fds->nr_all;
	return take_fd(&slot->fd);
}

void control_fds_close(struct control_fds *fds)
{
	for (unsigned i = 0; i < ARRAY_SIZE(fds->named); i++) {
		int fd = fds->named[i].name[0] ? vacate(fds, &fds->named[i]) : -1;

		close_fd(&fd);
	}
}

static int no_such(const char *name, struct err *e)
{
	return err_set(e, -ENOENT, "File descriptor named '%.64s' has not been found", name);
}

int control_take_fd(struct control_call *c, const char *name)
{
	struct control_fds *fds = &c->session->fds;
	struct control_named_fd *slot = *name ? find(fds, name) : NULL;

	return slot ? vacate(fds, slot) : no_such(name, c->e);
}

int control_take_fd_arg(struct control_call *c, const char *arg)
{
	const char *text = json_string_value(json_object_get(c->args, arg));

	if (strncmp(text, FD_PREFIX, strlen(FD_PREFIX)) != 0)
		return err_set(c->e, -EINVAL,
			       "Parameter '%s' must be fd:NAME, a descriptor that getfd has left: "
			       "a guest's process opens no files",
			       arg);
	return control_take_fd(c, text + strlen(FD_PREFIX));
}

/* As QMP has it: what begins with a digit would be a number. */
static int check_name(const char *name, struct err *e)
{
	if (!*name || isdigit((unsigned char)*name))
		return err_set(e, -EINVAL,
			       "Parameter 'fdname' must be a name that does not begin with a "
			       "digit");
	if (strlen(name) >= CONTROL_FD_NAME_BYTES)
		return err_set(e, -EINVAL, "Parameter 'fdname' must have at most %d bytes",
			       CONTROL_FD_NAME_BYTES - 1);
	return 0;
}

int control_cmd_getfd(struct control_call *c)
{
	const char *name = json_string_value(json_object_get(c->args, "fdname"));
	struct control_fds *fds = &c->session->fds;
	struct control_named_fd *slot;
	int rc = check_name(name, c->e);

	if (rc < 0)
		return rc;
	slot = find(fds, name);
	if (slot) { /* a name stands for what came last */
		close_fd(&slot->fd);
		slot->fd = take_fd(&c->fd);
		return 0;
	}
	slot = find(fds, "");
	if (!slot)
		return err_set(c->e, -EMFILE, "A client leaves at most %d descriptors here",
			       CONTROL_MAX_FDS);
	if (fds->nr_all && *fds->nr_all == CONTROL_MAX_ALL_FDS)
		return err_set(c->e, -EMFILE,
			       "All clients together leave at most %d descriptors here",
			       CONTROL_MAX_ALL_FDS);
	(void)snprintf(slot->name, sizeof(slot->name), "%s", name);
	slot->fd = take_fd(&c->fd);
	if (fds->nr_all)
		++*fds->nr_all;
	return 0;
}

int control_cmd_closefd(struct control_call *c)
{
	_cleanup_close_ int fd =
		control_take_fd(c, json_string_value(json_object_get(c->args, "fdname")));

	return fd < 0 ? fd : 0;
}

const struct control_arg control_getfd_args[] = {
	{ "fdname", JSON_STRING, false,
	  .help = "at most 63 bytes, the first no digit; the descriptor that has this name already "
		  "is closed" },
	{ 0 },
};

const struct control_arg control_closefd_args[] = {
	{ "fdname", JSON_STRING, false, .help = "which" },
	{ 0 },
};
