// SPDX-License-Identifier: MIT
// Journals: lines of operations, appended before they are done.
#include "net/managed/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "net/managed/fault.h"
#include "util/io.h"

#define MAX_FILE_BYTES (JOURNAL_MAX_OPS * 640U)

struct journal {
	char *path;
	int fd;
	bool complete;
	unsigned nr, room;
	struct netop *ops;
};

static int push(struct journal *j, const struct netop *op)
{
	if (j->nr == JOURNAL_MAX_OPS)
		return -E2BIG;
	if (j->nr == j->room) {
		unsigned room = j->room ? 2 * j->room : 16;
		struct netop *ops = reallocarray(j->ops, room, sizeof(*ops));

		if (!ops)
			return -ENOMEM;
		j->ops = ops;
		j->room = room;
	}
	j->ops[j->nr++] = *op;
	return 0;
}

static int open_file(struct journal **ret, const char *path, int flags, struct err *e)
{
	struct journal *j = calloc(1, sizeof(*j));
	int rc;

	if (!j)
		return err_set(e, -ENOMEM, "no memory");
	j->path = strdup(path);
	j->fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
	if (!j->path || j->fd < 0) {
		rc = err_set(e, j->path ? -errno : -ENOMEM, "%s: %s", path, strerror(errno));
		journal_close(j);
		return rc;
	}
	*ret = j;
	return 0;
}

void journal_close(struct journal *j)
{
	if (!j)
		return;
	close_fd(&j->fd);
	free(j->path);
	free(j->ops);
	free(j);
}

int journal_create(struct journal **ret, const char *path, struct err *e)
{
	return open_file(ret, path, O_CREAT | O_EXCL, e);
}

/* The last operation that equals @op; j->nr: there is none. */
static unsigned find(const struct journal *j, const struct netop *op)
{
	unsigned i = j->nr;

	while (i > 0 && memcmp(&j->ops[i - 1], op, sizeof(*op)) != 0)
		i--;
	return i == 0 ? j->nr : i - 1;
}

static void take_out(struct journal *j, unsigned i)
{
	if (i >= j->nr)
		return;
	memmove(&j->ops[i], &j->ops[i + 1], (j->nr - i - 1) * sizeof(j->ops[0]));
	j->nr--;
}

/* "kind", "a", "b", ... */
static int read_op(struct netop *op, const char *const args[1 + NETOP_ARGS])
{
	enum netop_kind kind = args[0] ? netop_by_name(args[0]) : NETOP_MAX;

	return kind == NETOP_MAX ? -EBADMSG
				 : netop_set(op, kind, args[1], args[2], args[3], args[4]);
}

/* ["kind", "a", "b", ...], or the same after "undone", or another word alone. */
static int parse_line(struct journal *j, const char *line, size_t len)
{
	json_t *array = json_loadb(line, len, 0, NULL);
	const char *args[2 + NETOP_ARGS] = { NULL };
	struct netop op;
	bool undone;
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		args[i] = json_string_value(json_array_get(array, i));
	if (!args[0]) {
		rc = -EBADMSG;
	} else if (strcmp(args[0], "complete") == 0 || strcmp(args[0], "incomplete") == 0) {
		j->complete = args[0][0] == 'c';
		rc = 0;
	} else {
		undone = strcmp(args[0], "undone") == 0;
		rc = read_op(&op, &args[undone ? 1 : 0]);
		if (rc == 0 && undone)
			take_out(j, find(j, &op));
		else if (rc == 0)
			rc = push(j, &op);
	}
	json_decref(array);
	return rc;
}

/*
 * A last line without its end was never finished, so its operation never begun. It is
 * cut off, or the next line would not stand by itself.
 */
static int parse(struct journal *j, const char *text, size_t len)
{
	const char *at = text, *end;
	int rc = 0;

	for (; rc == 0 && (end = memchr(at, '\n', len - (size_t)(at - text))); at = end + 1)
		rc = parse_line(j, at, (size_t)(end - at));
	if (rc == 0 && at < text + len && ftruncate(j->fd, at - text) < 0)
		rc = -errno;
	return rc;
}

int journal_open(struct journal **ret, const char *path, struct err *e)
{
	_cleanup_free_ char *text = NULL;
	struct journal *j = NULL;
	off_t len;
	int rc = open_file(&j, path, 0, e);

	if (rc < 0 || !j)
		return rc;
	len = lseek(j->fd, 0, SEEK_END);
	text = len >= 0 && len <= MAX_FILE_BYTES ? calloc(1, (size_t)len + 1) : NULL;
	rc = text ? io_pread_full(j->fd, text, (size_t)len, 0) : -EFBIG;
	if (rc == 0)
		rc = parse(j, text, (size_t)len);
	if (rc < 0) {
		rc = err_set(e, rc, "%s: is not one of ferry's journals: remove it", path);
		journal_close(j);
		return rc;
	}
	*ret = j;
	return 0;
}

bool journal_is_long(const struct journal *j)
{
	return lseek(j->fd, 0, SEEK_END) > MAX_FILE_BYTES / 2;
}

static json_t *to_json(const struct netop *op, bool undone)
{
	json_t *array = undone ? json_pack("[s, s]", "undone", netop_name(op->kind))
			       : json_pack("[s]", netop_name(op->kind));
	unsigned nr = NETOP_ARGS;

	while (nr > 0 && !op->arg[nr - 1][0])
		nr--;
	for (unsigned i = 0; i < nr; i++)
		(void)json_array_append_new(array, json_string(op->arg[i]));
	return array;
}

/* One write, so that a line is whole or not there. Takes @array over. */
static int write_line(struct journal *j, json_t *array)
{
	_cleanup_free_ char *text = array ? json_dumps(array, JSON_COMPACT) : NULL;
	_cleanup_free_ char *line = NULL;
	int len = text ? asprintf(&line, "%s\n", text) : -1;

	json_decref(array);
	if (len < 0) {
		line = NULL;
		return -ENOMEM;
	}
	return io_write_full(j->fd, line, (size_t)len);
}

/* A whole line, or an error that names the file. */
static int note(struct journal *j, json_t *array, struct err *e)
{
	int rc = write_line(j, array);

	return rc < 0 ? err_set(e, rc, "%s: %s", j->path, strerror(-rc)) : 0;
}

int journal_do(struct journal *j, const struct netop_env *env, const struct netop *op,
	       const char *text, struct err *e)
{
	int rc = push(j, op);

	if (rc < 0)
		return err_set(e, rc, "%s: %s", j->path, strerror(-rc));
	rc = note(j, to_json(op, false), e);
	if (rc == 0)
		rc = fault_before(j->path, j->nr - 1, e);
	return rc < 0 ? rc : netop_apply(env, op, text, e);
}

bool journal_has(const struct journal *j, const struct netop *op)
{
	return find(j, op) < j->nr;
}

static int set_complete(struct journal *j, bool complete, struct err *e)
{
	int rc = 0;

	if (j->complete != complete)
		rc = note(j, json_pack("[s]", complete ? "complete" : "incomplete"), e);
	if (rc == 0)
		j->complete = complete;
	return rc;
}

int journal_complete(struct journal *j, struct err *e)
{
	return set_complete(j, true, e);
}

bool journal_is_complete(const struct journal *j)
{
	return j->complete;
}

unsigned journal_nr_ops(const struct journal *j)
{
	return j->nr;
}

const struct netop *journal_op(const struct journal *j, unsigned i)
{
	return &j->ops[i];
}

int journal_undo_one(struct journal *j, const struct netop_env *env, const struct netop *op,
		     struct err *e)
{
	unsigned i = find(j, op);
	int rc;

	if (i == j->nr)
		return 0;
	rc = netop_revert(env, op, e);
	if (rc < 0)
		return rc;
	fault_after_undo(j->path, i);
	rc = note(j, to_json(op, true), e);
	if (rc == 0)
		take_out(j, i);
	return rc;
}

/*
 * Who is killed in the middle of it leaves a journal that says so: the first line
 * is written before anything is taken back. Those of single operations are only
 * needed where others stay.
 */
int journal_undo(struct journal *j, const struct netop_env *env, struct err *e)
{
	int first = set_complete(j, false, e);

	for (unsigned i = j->nr; i > 0; i--) {
		const struct netop op = j->ops[i - 1];
		struct err reason = { 0 };
		int rc = netop_revert(env, &op, &reason);

		if (rc < 0) {
			if (first == 0)
				first = err_set(e, rc, "%s", reason.text);
			continue;
		}
		take_out(j, i - 1);
		if (first < 0)
			(void)!write_line(j, to_json(&op, true));
		fault_after_undo(j->path, i - 1);
	}
	if (j->nr == 0)
		return unlink(j->path) < 0 && errno != ENOENT ? -errno : 0;
	return first;
}
