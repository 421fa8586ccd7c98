/* SPDX-License-Identifier: MIT */
/* Where the guest's console goes: the kinds of --console. */
#ifndef FERRY_VMM_CONSOLE_HOST_H
#define FERRY_VMM_CONSOLE_HOST_H

#include "util/compiler.h"
#include "util/err.h"

struct console;
struct console_host;
struct loop;

enum console_kind {
	CONSOLE_STDIO, /* the terminal or pipes that ferry was started with */
	CONSOLE_PTY,   /* a new pseudo-terminal */
	CONSOLE_FILE,  /* output to a file, appended */
	CONSOLE_UNIX,  /* clients of a UNIX socket */
	CONSOLE_NONE,  /* nobody; output waits for 'ferry console' */
};

struct console_spec {
	enum console_kind kind;
	const char *path; /* of file and socket; points into the text */
};

/* Parse "stdio", "pty", "file:PATH", "unix:PATH" or "none". 0 or -EINVAL. */
__must_check int console_parse_spec(const char *text, struct console_spec *ret, struct err *e);

/* Could console_host_open() work? Makes nothing. 0 or -errno. */
__must_check int console_check_spec(const struct console_spec *spec, struct err *e);

struct console_host_params {
	struct console *con;
	struct loop *loop;
	struct console_spec spec;
	const char *pty_link;       /* make this a symbolic link to the pty; NULL: no link */
	void (*quit)(void *opaque); /* Ctrl-A x in the terminal */
	void *opaque;
};

/*
 * Connect the console to its place; with CONSOLE_PTY the device's path is
 * announced on standard error. Main thread, before the loop runs. 0 or -errno.
 */
__must_check int console_host_open(struct console_host **ret,
				   const struct console_host_params *params, struct err *e);

/* The pty's device or the socket's path; NULL: the kind has none. */
const char *console_host_path(const struct console_host *host);

/*
 * Only that of console_host_close() which outlives the process: the terminal's
 * mode, files that were made. Any thread, when the process ends right afterwards.
 */
void console_host_give_back(const struct console_host *host);

/* Put the terminal back and remove what was made; before console_free(). NULL: no-op. */
void console_host_close(struct console_host *host);

#endif
