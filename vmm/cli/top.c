// SPDX-License-Identifier: MIT
// `ferry top`: a live table of the guests.
#include "vmm/cli/top.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/cli/cli.h"
#include "vmm/console_tty.h"

#define MAX_LINE_BYTES 256
#define CTRL_C         0x03

/* ANSI: another screen, no cursor; and back. */
#define SCREEN_ENTER "\033[?1049h\033[?25l"
#define SCREEN_LEAVE "\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H"
#define CLEAR_LINE   "\033[K"
#define CLEAR_BELOW  "\033[J"
#define REVERSE      "\033[7m"
#define NORMAL       "\033[m"

struct top_options {
	bool batch, json, reverse;
	unsigned count, delay_s;
	char *sort;
};

#define TOP(member) offsetof(struct top_options, member)

const struct field top_fields[] = {
	{ "batch", &field_flag, TOP(batch), .letter = 'b',
	  .help = "print tables one after the other, for a file or a program" },
	{ "count", &field_uint, TOP(count), .arg = "N", .letter = 'n', .min = 1,
	  .help = "end after so many tables" },
	{ "delay", &field_uint, TOP(delay_s), .arg = "SECONDS", .letter = 'd', .min = 1,
	  .max = 3600, .help = "time between them (2)" },
	{ "sort", &field_string, TOP(sort), .arg = "COLUMN",
	  .help = "name (default), cpu_percent, memory, iops, ...: as --json calls them" },
	{ "reverse", &field_flag, TOP(reverse), .help = "sort the other way" },
	{ "json", &field_flag, TOP(json), .help = "print a line of JSON for each; means --batch" },
};
const size_t top_nr_fields = ARRAY_SIZE(top_fields);

struct top {
	const struct top_options *o;
	unsigned column; /* that sorts */
	bool reverse;
	bool help;      /* tell the keys, rather than what guests do */
	unsigned first; /* of the columns after the name that are seen */
	bool follow;    /* show the column that sorts */
	size_t skip;    /* so many guests are above the screen */
	struct top_sample sample;
	int signal_fd;
	bool quit;
};

/* --- what comes between two tables --- */

static void on_key(struct top *t, char key)
{
	int column = top_column_by_key(key);
	bool help = t->help;

	t->help = false;
	if (key == 'q' || key == CTRL_C)
		t->quit = true;
	else if (key == '?' || key == 'h')
		t->help = !help;
	else if (key == 'R')
		t->reverse = !t->reverse;
	else if (column >= 0) {
		t->column = (unsigned)column;
		t->follow = true;
	}
}

/* Another part of the table; draw() keeps it where there is something. */
static void on_arrow(struct top *t, char key)
{
	t->follow = false;
	if (key == 'A' && t->skip > 0)
		t->skip--;
	else if (key == 'B')
		t->skip++;
	else if (key == 'C' && t->first + 1 < top_nr_columns)
		t->first++;
	else if (key == 'D' && t->first > 1)
		t->first--;
}

static void on_signal(struct top *t)
{
	struct signalfd_siginfo info;

	if (read(t->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
	    info.ssi_signo != SIGWINCH)
		t->quit = true;
}

static void read_keys(struct top *t)
{
	char keys[16];
	ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
		t->quit = true;
	for (ssize_t i = 0; i < n; i++) {
		/* An arrow is "ESC [ A" or "ESC O A": not a handful of keys. */
		if (keys[i] != '\033')
			on_key(t, keys[i]);
		else if ((i += 2) < n)
			on_arrow(t, keys[i]);
	}
}

/* Wait until @deadline_ns, a key (on the screen) or a signal. True: it is time for a sample. */
static bool wait_until(struct top *t, uint64_t deadline_ns, bool screen)
{
	struct pollfd pfds[2] = {
		{ .fd = t->signal_fd, .events = POLLIN },
		{ .fd = screen ? STDIN_FILENO : -1, .events = POLLIN },
	};
	uint64_t now_ns = clock_now_ns();

	if (now_ns >= deadline_ns)
		return true;
	if (poll(pfds, 2, (int)((deadline_ns - now_ns) / NSEC_PER_MSEC) + 1) <= 0)
		return clock_now_ns() >= deadline_ns;
	if (pfds[0].revents)
		on_signal(t);
	if (pfds[1].revents)
		read_keys(t);
	return false;
}

/* The next sample in place of the last, with the rates between them. */
static int take(struct top *t, struct err *e)
{
	struct top_sample next;
	int rc = top_take(&next, &t->sample, e);

	if (rc < 0)
		return rc;
	top_free(&t->sample);
	t->sample = next;
	return 0;
}

/* --- tables one after the other --- */

static int print_table(struct top *t, bool first, struct err *e)
{
	struct top_view view = top_fit(&t->sample, 0, 1, 0);
	char line[MAX_LINE_BYTES];

	top_show_heading(line, sizeof(line), &view);
	(void)printf("%s%s\n", first ? "" : "\n", line);
	for (size_t i = 0; i < t->sample.nr; i++) {
		top_show_guest(line, sizeof(line), &t->sample.guests[i], &view);
		(void)printf("%s\n", line);
	}
	return fflush(stdout) == 0 ? 0 : err_set(e, -EIO, "cannot write to standard output");
}

static int run_batch(struct top *t, struct err *e)
{
	uint64_t delay_ns = t->o->delay_s * NSEC_PER_SEC;
	uint64_t next_ns = clock_now_ns();
	int rc = take(t, e);

	for (unsigned i = 0; rc == 0 && (!t->o->count || i < t->o->count); i++) {
		next_ns += delay_ns;
		while (!t->quit && !wait_until(t, next_ns, false))
			;
		if (t->quit)
			break;
		rc = take(t, e);
		if (rc < 0)
			break;
		top_sort(&t->sample, t->column, t->reverse);
		rc = t->o->json ? cli_write_json(top_json(&t->sample), JSON_COMPACT, e)
				: print_table(t, i == 0, e);
	}
	return rc;
}

/* --- the screen --- */

static void screen_size(unsigned *ret_rows, unsigned *ret_columns)
{
	struct winsize size;
	bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col;

	*ret_rows = known ? size.ws_row : 24;
	*ret_columns = known ? size.ws_col : 80;
}

static void put_line(const char *before, const char *line, unsigned columns, const char *after)
{
	(void)printf("%s%.*s%s" CLEAR_LINE "\r\n", before, (int)columns, line, after);
}

/* What each key does, as far as there is room. */
static void draw_help(unsigned rows, unsigned columns)
{
	static const char *const lines[] = {
		"ferry top: any key goes back, q quits",
		"?       this",
		"R       sort the other way",
		"arrows  other columns, other guests",
	};
	char line[MAX_LINE_BYTES];

	for (unsigned i = 0; i < ARRAY_SIZE(lines) && i + 1 < rows; i++)
		put_line("", lines[i], columns, "");
	for (unsigned i = 0; i < top_nr_columns && i + ARRAY_SIZE(lines) + 1 < rows; i++) {
		(void)snprintf(line, sizeof(line), "%c       sort by %s", top_columns[i].key,
			       top_columns[i].title);
		put_line("", line, columns, "");
	}
}

static void draw_table(struct top *t, unsigned rows, unsigned columns)
{
	const struct top_column *by = &top_columns[t->column];
	unsigned room = rows > 3 ? rows - 3 : 0;
	struct top_view view;
	char line[MAX_LINE_BYTES];

	top_sort(&t->sample, t->column, t->reverse);
	view = top_fit(&t->sample, columns, t->first, t->follow ? t->column : 0);
	t->first = view.first;
	t->skip = MIN(t->skip, t->sample.nr > room ? t->sample.nr - room : 0);
	(void)snprintf(line, sizeof(line), "ferry top: %zu guest%s, by %s%s; q quits, ? helps%s",
		       t->sample.nr, t->sample.nr == 1 ? "" : "s", by->title,
		       t->reverse ? " reversed" : "",
		       view.first > 1 || view.end < top_nr_columns || t->sample.nr > room
			       ? ", arrows show more"
			       : "");
	put_line("", line, columns, "");
	top_show_heading(line, sizeof(line), &view);
	put_line(REVERSE, line, columns, NORMAL);
	/* The last line stays empty: what ends there would scroll the screen. */
	for (size_t i = 0; i < room && t->skip + i < t->sample.nr; i++) {
		top_show_guest(line, sizeof(line), &t->sample.guests[t->skip + i], &view);
		put_line("", line, columns, "");
	}
}

static void draw(struct top *t)
{
	unsigned rows, columns;

	screen_size(&rows, &columns);
	(void)fputs(SCREEN_HOME, stdout);
	if (t->help)
		draw_help(rows, columns);
	else
		draw_table(t, rows, columns);
	(void)fputs(CLEAR_BELOW, stdout);
	(void)fflush(stdout);
}

static int run_screen(struct top *t, struct err *e)
{
	uint64_t delay_ns = t->o->delay_s * NSEC_PER_SEC;
	uint64_t next_ns = clock_now_ns();
	unsigned shown = 0;
	int rc = take(t, e);

	(void)fputs(SCREEN_ENTER, stdout);
	while (rc == 0 && !t->quit) {
		draw(t);
		if (t->o->count && shown == t->o->count)
			break;
		if (!wait_until(t, next_ns + delay_ns, true))
			continue;
		next_ns += delay_ns;
		shown++;
		rc = take(t, e);
	}
	(void)fputs(SCREEN_LEAVE, stdout);
	(void)fflush(stdout);
	return rc;
}

/* --- all of it --- */

/* The screen is left properly whatever ends us. */
static int open_signals(void)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGHUP);
	(void)sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int show(struct top *t, struct err *e)
{
	int rc;

	if (t->o->batch || t->o->json)
		return run_batch(t, e);
	if (!isatty(STDOUT_FILENO) || tty_enter_raw(STDIN_FILENO) < 0)
		return err_set(e, -ENOTTY, "this is no terminal: give --batch");
	rc = run_screen(t, e);
	tty_restore();
	return rc;
}

static int top(const struct cli *cli, const struct top_options *o)
{
	struct top t = { .o = o, .reverse = o->reverse, .first = 1, .follow = true };
	int column = o->sort ? top_column_by_name(o->sort) : 0;
	struct err e;
	int rc;

	if (column < 0) {
		(void)err_set(&e, -EINVAL, "--sort: there is no column '%.40s'", o->sort);
		return cli_usage(cli->cmd, &e);
	}
	t.column = (unsigned)column;
	t.signal_fd = open_signals();
	rc = show(&t, &e);
	top_free(&t.sample);
	close_fd(&t.signal_fd);
	return rc < 0 ? cli_fail(cli, &e) : CLI_OK;
}

int cli_top(const struct cli *cli)
{
	struct top_options o = { .delay_s = 2 };
	struct err e;
	int rc;

	rc = cli_apply(cli, &o, &e) < 0 ? cli_usage(cli->cmd, &e) : top(cli, &o);
	fields_free(top_fields, top_nr_fields, &o);
	return rc;
}
