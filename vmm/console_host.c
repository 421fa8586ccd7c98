// SPDX-License-Identifier: MIT
// Where the guest's console goes: terminal, pty, file, UNIX socket, nowhere.
#include "vmm/console_host.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/io.h"
#include "util/log.h"
#include "vmm/acceptor.h"
#include "vmm/console.h"
#include "vmm/console_tty.h"
#include "vmm/loop.h"

#define CTRL_A       0x01
#define UNIX_BACKLOG 4

struct console_host {
	struct console_host_params p;
	struct tty_keys keys;
	bool nonblock_set[2]; /* O_NONBLOCK was set on fd 0, 1: take it back */
	char *path;           /* pty device or socket */
	int pty_slave;        /* held open: without it the master reports EIO */
	int listen_fd;        /* unix */
	struct acceptor acceptor;
	bool made_socket, made_link;
};

/* --- which kind --- */

static const struct {
	const char *word;
	enum console_kind kind;
	bool has_path;
} kinds[] = {
	{ "stdio", CONSOLE_STDIO, false }, { "pty", CONSOLE_PTY, false },
	{ "file:", CONSOLE_FILE, true },   { "unix:", CONSOLE_UNIX, true },
	{ "none", CONSOLE_NONE, false },
};

int console_parse_spec(const char *text, struct console_spec *ret, struct err *e)
{
	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
		size_t len = strlen(kinds[i].word);

		if (kinds[i].has_path ? strncmp(text, kinds[i].word, len) != 0
				      : strcmp(text, kinds[i].word) != 0)
			continue;
		*ret = (struct console_spec){
			.kind = kinds[i].kind,
			.path = kinds[i].has_path ? text + len : NULL,
		};
		if (ret->path && !*ret->path)
			return err_set(e, -EINVAL, "console: the path after %s is missing",
				       kinds[i].word);
		return 0;
	}
	return err_set(e, -EINVAL,
		       "console: '%s' is not one of: stdio, pty, file:PATH, unix:PATH, none", text);
}

/* --- stdio --- */

/*
 * A descriptor of ours for what @fd is, that does not block. O_NONBLOCK belongs
 * to the open file, which others share (the shell, the other end's writer): so
 * the file is opened again if that is possible, and only else the flag is set,
 * and taken back at the end.
 */
static int private_fd(struct console_host *host, int fd, int mode)
{
	char path[32];
	struct stat st;
	int own, flags;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* Files never block, and their position is shared on purpose. */
	if (S_ISREG(st.st_mode) || S_ISSOCK(st.st_mode))
		goto share;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (own >= 0)
		return own;
	flags = fcntl(fd, F_GETFL);
	if (flags >= 0 && !(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
		host->nonblock_set[fd] = true;
share:
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return own < 0 ? -errno : own;
}

static void take_back_nonblock(const struct console_host *host)
{
	for (int fd = 0; fd <= 1; fd++) {
		int flags = host->nonblock_set[fd] ? fcntl(fd, F_GETFL) : -1;

		if (flags >= 0)
			(void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	}
}

static size_t filter_keys(void *opaque, uint8_t *data, size_t len)
{
	struct console_host *host = opaque;

	return tty_filter_keys(&host->keys, data, len);
}

static void show_help(void *opaque)
{
	static const char text[] = "\r\n"
				   "Ctrl-A x       end the guest at once\r\n"
				   "Ctrl-A h       this help\r\n"
				   "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n";

	(void)opaque;
	(void)!write(STDOUT_FILENO, text, sizeof(text) - 1);
}

static int open_stdio(struct console_host *host, struct err *e)
{
	_cleanup_close_ int in = private_fd(host, STDIN_FILENO, O_RDONLY);
	_cleanup_close_ int out = private_fd(host, STDOUT_FILENO, O_WRONLY);
	bool raw = false;
	int rc = 0;

	if (in >= 0)
		rc = tty_enter_raw(STDIN_FILENO);
	raw = rc == 0 && in >= 0;
	if (rc == -EBUSY) {
		log_info("console: in the background, so without input");
		close_fd(&in);
	}
	host->keys = (struct tty_keys){
		.prefix = CTRL_A,
		.quit = host->p.quit,
		.help = show_help,
		.opaque = host->p.opaque,
	};
	rc = console_add_reader(host->p.con, &(struct console_reader_params){
						     .out_fd = MAX(out, -1),
						     .in_fd = MAX(in, -1),
						     .keep_reading = raw,
						     .input_may_end = true,
						     .filter = raw ? filter_keys : NULL,
						     .opaque = host,
					     });
	if (rc < 0)
		return err_set(e, rc, "console: standard input and output: %s", strerror(-rc));
	(void)take_fd(&in);
	(void)take_fd(&out);
	return 0;
}

/* --- pty --- */

static int link_pty(struct console_host *host, struct err *e)
{
	if (!host->p.pty_link)
		return 0;
	(void)unlink(host->p.pty_link); /* a dead guest's */
	if (symlink(host->path, host->p.pty_link) < 0)
		return err_set(e, -errno, "console: cannot make the link %s: %s", host->p.pty_link,
			       strerror(errno));
	host->made_link = true;
	return 0;
}

static int open_pty(struct console_host *host, struct err *e)
{
	_cleanup_close_ int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	_cleanup_close_ int out = -1;
	struct termios raw;
	char name[64];
	int rc;

	if (master < 0 || grantpt(master) < 0 || unlockpt(master) < 0 ||
	    ptsname_r(master, name, sizeof(name)) != 0)
		return err_set(e, -errno, "console: cannot make a pty: %s", strerror(errno));
	host->pty_slave = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (host->pty_slave < 0 || tcgetattr(host->pty_slave, &raw) < 0)
		return err_set(e, -errno, "console: cannot open the pty %s: %s", name,
			       strerror(errno));
	/* Else the pty would echo what the guest prints back to it. */
	cfmakeraw(&raw);
	(void)tcsetattr(host->pty_slave, TCSANOW, &raw);
	host->path = strdup(name);
	out = fcntl(master, F_DUPFD_CLOEXEC, 3);
	if (!host->path || out < 0)
		return err_set(e, -ENOMEM, "console: out of memory or descriptors");
	rc = link_pty(host, e);
	if (rc < 0)
		return rc;
	rc = console_add_reader(host->p.con,
				&(struct console_reader_params){ .out_fd = out, .in_fd = master });
	if (rc < 0)
		return err_set(e, rc, "console: %s", strerror(-rc));
	(void)take_fd(&master);
	(void)take_fd(&out);
	log_info("console is on %s", host->path);
	return 0;
}

/* --- file --- */

static int open_file(struct console_host *host, struct err *e)
{
	const char *path = host->p.spec.path;
	int rc;
	_cleanup_close_ int fd =
		open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);

	if (fd < 0)
		return err_set(e, -errno, "console: cannot open %s: %s", path, strerror(errno));
	rc = console_add_reader(host->p.con,
				&(struct console_reader_params){ .out_fd = fd, .in_fd = -1 });
	if (rc < 0)
		return err_set(e, rc, "console: %s", strerror(-rc));
	(void)take_fd(&fd);
	return 0;
}

/* --- unix --- */

/* The console bounds how many there are. */
static int add_client(void *opaque, int fd)
{
	struct console_host *host = opaque;
	_cleanup_close_ int out = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	int rc;

	if (out < 0)
		return -errno;
	rc = console_add_reader(host->p.con,
				&(struct console_reader_params){ .out_fd = out, .in_fd = fd });
	if (rc == 0)
		(void)take_fd(&out);
	return rc;
}

/* Is there a socket at @path that nobody listens on? */
static bool is_stale_socket(const struct sockaddr_un *sun)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	return fd >= 0 && lstat(sun->sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) < 0 && errno == ECONNREFUSED;
}

static int listen_unix(const char *path, struct err *e)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || fchmod(fd, 0600) < 0)
		return err_set(e, -errno, "console: cannot make a socket: %s", strerror(errno));
	if (strlen(path) >= sizeof(sun.sun_path))
		return err_set(e, -ENAMETOOLONG, "console: the path %s is too long for a socket",
			       path);
	memcpy(sun.sun_path, path, strlen(path) + 1);
	if (is_stale_socket(&sun))
		(void)unlink(path);
	if (bind(fd, (const struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    listen(fd, UNIX_BACKLOG) < 0)
		return err_set(e, -errno, "console: cannot listen on %s: %s", path,
			       strerror(errno));
	return take_fd(&fd);
}

static int open_unix(struct console_host *host, struct err *e)
{
	int rc;

	host->path = strdup(host->p.spec.path);
	if (!host->path)
		return err_set(e, -ENOMEM, "console: out of memory");
	host->listen_fd = listen_unix(host->path, e);
	if (host->listen_fd < 0)
		return host->listen_fd;
	host->made_socket = true;
	host->acceptor = (struct acceptor){
		.loop = host->p.loop,
		.name = "console socket",
		.accepted = add_client,
		.opaque = host,
	};
	rc = acceptor_start(&host->acceptor, host->listen_fd);
	return rc < 0 ? err_set(e, rc, "console: %s", strerror(-rc)) : 0;
}

/* --- nowhere, and all of them --- */

static int open_none(struct console_host *host, struct err *e)
{
	(void)host;
	(void)e;
	return 0;
}

static int (*const open_kind[])(struct console_host *host, struct err *e) = {
	[CONSOLE_STDIO] = open_stdio, [CONSOLE_PTY] = open_pty,   [CONSOLE_FILE] = open_file,
	[CONSOLE_UNIX] = open_unix,   [CONSOLE_NONE] = open_none,
};

int console_host_open(struct console_host **ret, const struct console_host_params *params,
		      struct err *e)
{
	struct console_host *host = calloc(1, sizeof(*host));
	int rc;

	if (!host)
		return err_set(e, -ENOMEM, "console: out of memory");
	host->p = *params;
	host->pty_slave = -1;
	host->listen_fd = -1;
	rc = open_kind[params->spec.kind](host, e);
	if (rc < 0) {
		console_host_close(host);
		return rc;
	}
	*ret = host;
	return 0;
}

const char *console_host_path(const struct console_host *host)
{
	return host->path;
}

void console_host_give_back(const struct console_host *host)
{
	tty_restore();
	take_back_nonblock(host);
	if (host->made_link)
		(void)unlink(host->p.pty_link);
	if (host->made_socket)
		(void)unlink(host->path);
}

void console_host_close(struct console_host *host)
{
	if (!host)
		return;
	console_host_give_back(host);
	acceptor_stop(&host->acceptor);
	close_fd(&host->listen_fd);
	close_fd(&host->pty_slave);
	free(host->path);
	free(host);
}

/* NOLINTBEGIN(clang-analyzer-unix.Malloc): it does not know cleanup attributes */
static int check_file(const char *path, struct err *e)
{
	_cleanup_free_ char *copy = strdup(path);
	char *slash;

	if (!copy)
		return err_set(e, -ENOMEM, "console: out of memory");
	if (access(path, F_OK) == 0)
		return access(path, W_OK) == 0
			       ? 0
			       : err_set(e, -errno, "console: %s: %s", path, strerror(errno));
	slash = strrchr(copy, '/');
	if (slash)
		slash[slash == copy] = '\0';
	if (access(slash ? copy : ".", W_OK | X_OK) < 0)
		return err_set(e, -errno, "console: cannot make %s: %s", path, strerror(errno));
	return 0;
}
/* NOLINTEND(clang-analyzer-unix.Malloc) */

int console_check_spec(const struct console_spec *spec, struct err *e)
{
	return spec->path ? check_file(spec->path, e) : 0;
}
