// SPDX-License-Identifier: MIT
// `ferry wait`: until something happens to a guest.
#include "vmm/cli/wait.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/printable.h"
#include "vmm/cli/cli.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S  10
#define CONSOLE_PREFIX   "console:"
#define PING_PREFIX      "ping:"
#define MAX_LINE_BYTES   4096
#define MAX_NAME_BYTES   48
#define WAIT_FOR_EVER_NS UINT64_MAX

struct wait_options {
	char *event;
	unsigned timeout_s;
	bool json;
};

#define WAIT(member) offsetof(struct wait_options, member)

const struct field wait_fields[] = {
	{ "event", &field_string, WAIT(event), .arg = "EVENT",
	  .help = "shutdown (default), running, panic, pause, reset, console:REGEX, "
		  "ping:ADDRESS, ..." },
	{ "timeout", &field_uint, WAIT(timeout_s), .arg = "SECONDS",
	  .help = "give up after so long, with status 124" },
	{ "json", &field_flag, WAIT(json), .help = "print what happened as JSON" },
};
const size_t wait_nr_fields = ARRAY_SIZE(wait_fields);

struct waiting {
	struct control_client *c;
	const struct wait_options *o;
	const char *name;
	uint64_t deadline_ns;
	json_t *what; /* that happened */
};

/* --- events of the control socket --- */

/* Names of our own for some. */
static const struct {
	const char *word, *event;
} words[] = {
	{ "panic", "GUEST_PANICKED" },
	{ "pause", "STOP" },
	{ "running", "RESUME" },
};

/* "save-completed" is SAVE_COMPLETED. */
static void event_name(const char *word, char *name)
{
	size_t i = 0;

	for (unsigned w = 0; w < ARRAY_SIZE(words); w++) {
		if (!strcmp(words[w].word, word))
			word = words[w].event;
	}
	for (; i < MAX_NAME_BYTES - 1 && word[i]; i++)
		name[i] = (char)(word[i] == '-' ? '_' : toupper((unsigned char)word[i]));
	name[i] = '\0';
}

/* Does the guest know such an event? -EINVAL with @e if not. */
static int check_event(struct waiting *w, const char *name, struct err *e)
{
	json_t *events, *event;
	size_t i;
	int rc = client_execute(w->c, "query-events", &events, e);

	if (rc < 0)
		return rc;
	rc = -EINVAL;
	json_array_foreach(events, i, event)
	{
		if (client_says(event, "name", name))
			rc = 0;
	}
	json_decref(events);
	return rc < 0 ? err_set(e, rc, "--event: there is no event '%.60s'", w->o->event) : 0;
}

static int await_event(struct waiting *w, const char *name, struct err *e)
{
	int rc = 0;

	while (!w->what && rc == 0) {
		json_t *event = NULL;

		rc = client_next_event_until(w->c, w->deadline_ns, &event, e);
		if (rc == 0 && client_says(event, "event", name))
			w->what = json_incref(event);
		json_decref(event);
	}
	return rc;
}

/* What is so already need not happen again. */
static int is_running(struct waiting *w, struct err *e)
{
	json_t *status;
	int rc = client_execute(w->c, "query-status", &status, e);

	if (rc < 0)
		return rc;
	rc = json_is_true(json_object_get(status, "running"));
	json_decref(status);
	return rc;
}

static int wait_event(struct waiting *w, struct err *e)
{
	char name[MAX_NAME_BYTES];
	int rc;

	event_name(w->o->event, name);
	rc = check_event(w, name, e);
	if (rc == 0 && !strcmp(name, "RESUME")) {
		rc = is_running(w, e);
		if (rc > 0)
			return 0;
	}
	return rc < 0 ? rc : await_event(w, name, e);
}

/* --- the console --- */

/* A line as far as it has come; what is longer than the buffer is looked at in pieces. */
struct line {
	char text[MAX_LINE_BYTES + 1];
	size_t bytes;
};

static bool line_matches(struct waiting *w, struct line *line, const regex_t *re)
{
	line->text[line->bytes] = '\0';
	if (regexec(re, line->text, 0, NULL, 0) != 0)
		return false;
	w->what = json_pack("{s:s, s:s%}", "event", "console", "line", line->text, line->bytes);
	if (!w->what)
		w->what = json_pack("{s:s}", "event", "console"); /* not UTF-8 */
	if (!w->o->json) {
		printable(line->text);
		(void)printf("%s\n", line->text);
	}
	return true;
}

static bool look_at(struct waiting *w, struct line *line, const regex_t *re, const char *buf,
		    size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char ch = buf[i];

		if (ch == '\n' || line->bytes == MAX_LINE_BYTES) {
			if (line_matches(w, line, re))
				return true;
			line->bytes = 0;
		}
		if (ch != '\n' && ch != '\r')
			line->text[line->bytes++] = (char)(ch ? ch : ' ');
	}
	/* A prompt is a line that does not end. */
	return line->bytes && line_matches(w, line, re);
}

static int left_ms(const struct waiting *w)
{
	uint64_t now_ns = clock_now_ns();

	if (w->deadline_ns == WAIT_FOR_EVER_NS)
		return -1;
	if (now_ns >= w->deadline_ns)
		return 0;
	return (int)MIN((w->deadline_ns - now_ns) / NSEC_PER_MSEC + 1, INT32_MAX);
}

static int read_console(struct waiting *w, const regex_t *re, struct err *e)
{
	struct pollfd pfd = { .fd = w->c->fd, .events = POLLIN };
	struct line line = { .bytes = 0 };
	char buf[16384];
	ssize_t n;

	/* What came in one piece with the reply is output already. */
	if (look_at(w, &line, re, w->c->buf, w->c->bytes))
		return 0;
	for (;;) {
		int rc = poll(&pfd, 1, left_ms(w));

		if (rc == 0)
			return err_set(e, -ETIMEDOUT, "it did not happen in time");
		n = recv(w->c->fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n <= 0)
			return err_set(e, -EPIPE, "the guest has ended");
		if (look_at(w, &line, re, buf, (size_t)n))
			return 0;
	}
}

static int wait_console(struct waiting *w, const char *pattern, struct err *e)
{
	regex_t re;
	char text[160];
	int rc = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);

	if (rc != 0) {
		(void)regerror(rc, &re, text, sizeof(text));
		return err_set(e, -EINVAL, "--event: '%.100s': %s", pattern, text);
	}
	rc = client_execute_with(w->c, "ferry-console",
				 json_pack("{s:b, s:b}", "history", 1, "read-only", 1), NULL, e);
	if (rc == 0)
		rc = read_console(w, &re, e);
	regfree(&re);
	return rc;
}

/* --- all of it --- */

static int wait_for(struct waiting *w, struct err *e)
{
	const char *event = w->o->event;
	int rc = client_negotiate(w->c, e);

	if (rc < 0)
		return rc;
	if (!strncmp(event, CONSOLE_PREFIX, strlen(CONSOLE_PREFIX)))
		return wait_console(w, event + strlen(CONSOLE_PREFIX), e);
	if (!strncmp(event, PING_PREFIX, strlen(PING_PREFIX)))
		return wait_ping(w->c, event + strlen(PING_PREFIX), w->deadline_ns, e);
	return wait_event(w, e);
}

/* The process is gone, and with it its name. */
static int wait_gone(struct waiting *w, struct err *e)
{
	uint64_t now_ns = clock_now_ns();
	unsigned left_s = 0;

	if (w->deadline_ns != WAIT_FOR_EVER_NS)
		left_s = (unsigned)((MAX(w->deadline_ns, now_ns) - now_ns) / NSEC_PER_SEC) + 1;
	return client_wait_end(w->c, left_s, e);
}

/* Its end may be what is waited for, whether it told of it or was killed. */
static int wait_for_or_end(struct waiting *w, struct err *e)
{
	int rc = wait_for(w, e);

	if (!strcmp(w->o->event, "shutdown") && (rc == 0 || rc == -EPIPE))
		rc = wait_gone(w, e);
	return rc;
}

static int status_of(const struct cli *cli, int rc, const struct err *e)
{
	if (rc == -EINVAL)
		return cli_usage(cli->cmd, e);
	if (rc < 0)
		(void)cli_fail(cli, e);
	return rc == -ETIMEDOUT ? WAIT_TIMEOUT : CLI_FAILED;
}

static int wait_guest(const struct cli *cli, const struct wait_options *o)
{
	struct control_client c;
	struct waiting w = { .c = &c, .o = o, .name = cli->arg, .deadline_ns = WAIT_FOR_EVER_NS };
	struct err e;
	int rc;

	if (o->timeout_s)
		w.deadline_ns = clock_now_ns() + o->timeout_s * NSEC_PER_SEC;
	rc = client_connect(&c, cli->arg, REPLY_TIMEOUT_S, &e);
	if (rc < 0)
		return cli_fail(cli, &e);
	rc = wait_for_or_end(&w, &e);
	client_close(&c);
	if (rc < 0) {
		json_decref(w.what);
		return status_of(cli, rc, &e);
	}
	if (!o->json) {
		json_decref(w.what);
		return fflush(stdout) == 0 ? CLI_OK : CLI_FAILED;
	}
	return cli_print_json(w.what ? w.what : json_pack("{s:s}", "event", o->event));
}

int cli_wait(const struct cli *cli)
{
	struct wait_options o = { 0 };
	struct err e = { 0 };
	int rc;

	if (cli_apply(cli, &o, &e) < 0 ||
	    (!o.event && field_set(&wait_fields[0], &o, "shutdown", &e) < 0))
		rc = cli_usage(cli->cmd, &e);
	else
		rc = wait_guest(cli, &o);
	fields_free(wait_fields, wait_nr_fields, &o);
	return rc;
}
