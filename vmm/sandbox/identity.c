// SPDX-License-Identifier: MIT
// Becoming another user: who that is, and the change itself.
#include "vmm/sandbox/identity.h"

#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The last is what the kernel takes for "no change". */
#define MAX_ID 0xfffffffeUL

/* Is @text a number that can be a user's or group's? */
static bool parse_id(const char *text, unsigned *ret)
{
	unsigned long n;
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || n >= MAX_ID)
		return false;
	*ret = (unsigned)n;
	return true;
}

/* Both, as the list of users has them. -ENOENT: not there. */
static int look_up_user(const char *text, struct identity *id)
{
	bool is_number = parse_id(text, &id->uid);
	const struct passwd *pw = is_number ? getpwuid(id->uid) : getpwnam(text);

	if (!pw)
		return -ENOENT;
	id->uid = pw->pw_uid;
	id->gid = pw->pw_gid;
	return 0;
}

static int look_up_group(const char *text, gid_t *ret)
{
	const struct group *gr;

	if (parse_id(text, ret))
		return 0;
	gr = getgrnam(text);
	if (!gr)
		return -ENOENT;
	*ret = gr->gr_gid;
	return 0;
}

static int look_up(struct identity *id, const char *user, const char *group, struct err *e)
{
	bool both_known = group && parse_id(user, &id->uid);

	if (!both_known && look_up_user(user, id) < 0)
		return err_set(e, -EINVAL,
			       "user: there is no user %s: make one with 'adduser --system', or "
			       "give UID:GID",
			       user);
	if (group && look_up_group(group, &id->gid) < 0)
		return err_set(e, -EINVAL, "user: there is no group %s", group);
	if (id->uid == 0 || id->gid == 0)
		return err_set(e, -EINVAL, "user: %s is root, or of root's group", user);
	return 0;
}

int identity_parse(struct identity *ret, const char *text, struct err *e)
{
	const char *colon = text ? strchr(text, ':') : NULL;
	struct identity id = { .given = true };
	char user[256];
	int rc;

	*ret = (struct identity){ .given = false };
	if (!text)
		return 0;
	if (strlen(text) >= sizeof(user))
		return err_set(e, -EINVAL, "user: the name is too long");
	(void)snprintf(user, sizeof(user), "%.*s", colon ? (int)(colon - text) : -1, text);
	rc = look_up(&id, user, colon ? colon + 1 : NULL, e);
	if (rc < 0)
		return rc;
	if (capng_have_capability(CAPNG_EFFECTIVE, CAP_SETUID) != 1 ||
	    capng_have_capability(CAPNG_EFFECTIVE, CAP_SETGID) != 1)
		return err_set(e, -EPERM,
			       "user: only root can become another user: leave --user "
			       "out, or start ferry as root");
	*ret = id;
	return 0;
}

/* By the system calls: the C library's functions would have all threads do it at once. */
int identity_take(const struct identity *id)
{
	if (!id->given)
		return 0;
	if (syscall(SYS_setgroups, 0, NULL) < 0 ||
	    syscall(SYS_setresgid, id->gid, id->gid, id->gid) < 0 ||
	    syscall(SYS_setresuid, id->uid, id->uid, id->uid) < 0)
		return -errno;
	return 0;
}
