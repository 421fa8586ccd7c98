// SPDX-License-Identifier: MIT
// The list of who may attach guests to networks.
#include "vmm/network/access.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/managed/netdef.h"
#include "util/io.h"

#define MAX_GROUPS 1024U
#define MAX_LINE   256U

/* --- lines --- */

struct verdict {
	bool allowed, denied;
};

static bool fits_user(const char *word, const struct access_user *user)
{
	return word[0] == '@' ? user->in_group(user, word + 1) : strcmp(word, user->name) == 0;
}

/* "allow|deny USER|@GROUP NETWORK|*", or nothing. 0 or -EINVAL. */
static int judge_line(char *line, const struct access_user *user, const char *network,
		      struct verdict *v)
{
	static const char blanks[] = " \t";
	char *save = NULL, *verb, *who, *what;

	line[strcspn(line, "#")] = '\0';
	verb = strtok_r(line, blanks, &save);
	if (!verb)
		return 0;
	who = strtok_r(NULL, blanks, &save);
	what = strtok_r(NULL, blanks, &save);
	if (!who || !what || strtok_r(NULL, blanks, &save) || (who[0] == '@' && !who[1]) ||
	    (strcmp(verb, "allow") != 0 && strcmp(verb, "deny") != 0) ||
	    (strcmp(what, "*") != 0 && netdef_check_name(what, NULL) < 0))
		return -EINVAL;
	if ((strcmp(what, "*") == 0 || strcmp(what, network) == 0) && fits_user(who, user)) {
		v->allowed |= verb[0] == 'a';
		v->denied |= verb[0] == 'd';
	}
	return 0;
}

int access_judge(const char *text, size_t len, const struct access_user *user, const char *network,
		 struct err *e)
{
	struct verdict v = { 0 };
	unsigned number = 0;

	while (len > 0) {
		const char *end = memchr(text, '\n', len);
		size_t line_len = end ? (size_t)(end - text) : len;
		char line[MAX_LINE];

		number++;
		if (line_len >= sizeof(line) || memchr(text, '\0', line_len))
			return err_set(e, -EINVAL, "line %u is not one of a list", number);
		memcpy(line, text, line_len);
		line[line_len] = '\0';
		if (judge_line(line, user, network, &v) < 0)
			return err_set(e, -EINVAL,
				       "line %u is not 'allow|deny USER|@GROUP NETWORK|*'", number);
		text += line_len + (end != NULL);
		len -= line_len + (end != NULL);
	}
	if (v.allowed && !v.denied)
		return 0;
	return err_set(e, -EACCES, "user %s may not join network %s", user->name, network);
}

/* --- the file --- */

static int check_stat(const struct stat *st, bool folder, const char *path, struct err *e)
{
	if (folder ? !S_ISDIR(st->st_mode) : !S_ISREG(st->st_mode))
		return err_set(e, -EPERM, "%s: not a %s", path, folder ? "folder" : "file");
	if (st->st_uid != 0 || (st->st_mode & 022))
		return err_set(e, -EPERM,
			       "%s: others than root can change it: 'chown root:root' and 'chmod "
			       "go-w' it",
			       path);
	return 0;
}

int access_check_trusted(const char *path, bool folder, struct err *e)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	return check_stat(&st, folder, path, e);
}

/* Bytes, or -errno. The file that was checked is the one that is read. */
static ssize_t read_list(const char *path, char *text, struct err *e)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	int rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set(e, -errno, "%s: %s", path, strerror(errno));
	rc = check_stat(&st, false, path, e);
	if (rc == 0 && st.st_size > ACCESS_MAX_BYTES)
		rc = err_set(e, -EFBIG, "%s: larger than %u bytes", path, ACCESS_MAX_BYTES);
	if (rc == 0)
		rc = io_read_full(fd, text, (size_t)st.st_size);
	return rc < 0 ? rc : (ssize_t)st.st_size;
}

static bool has_group(const struct access_user *user, const char *group)
{
	const struct group *found = getgrnam(group);

	for (size_t i = 0; found && i < user->nr_gids; i++) {
		if (user->gids[i] == found->gr_gid)
			return true;
	}
	return false;
}

/* Those that the databases give the user: what he has dropped of them counts too. */
static int groups_of(const struct passwd *pw, gid_t gids[MAX_GROUPS])
{
	int nr = MAX_GROUPS;

	return getgrouplist(pw->pw_name, pw->pw_gid, gids, &nr) < 0 ? -E2BIG : nr;
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
int access_check(const char *path, uid_t uid, const char *network, struct err *e)
{
	_cleanup_free_ char *text = malloc(ACCESS_MAX_BYTES + 1);
	const struct passwd *pw = getpwuid(uid);
	struct access_user user = { .in_group = has_group };
	gid_t gids[MAX_GROUPS];
	ssize_t len;
	int nr;

	if (!text)
		return err_set(e, -ENOMEM, "no memory");
	if (!pw)
		return err_set(e, -EACCES,
			       "user %u has no name, so no list can allow anything to it",
			       (unsigned)uid);
	nr = groups_of(pw, gids);
	if (nr < 0)
		return err_set(e, nr, "user %s is in too many groups", pw->pw_name);
	user.name = pw->pw_name;
	user.gids = gids;
	user.nr_gids = (size_t)nr;
	len = read_list(path, text, e);
	if (len == -ENOENT)
		return err_set(e, -EACCES, "no user but root may join networks: there is no %s",
			       path);
	if (len < 0)
		return (int)len;
	return access_judge(text, (size_t)len, &user, network, e) < 0 ? err_prefix(e, "%s", path)
								      : 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */
