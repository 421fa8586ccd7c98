// SPDX-License-Identifier: MIT
// The same questions to several guests at once, none of which can delay the others' answers.
#include "vmm/control/survey.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "util/clock.h"
#include "vmm/control/client.h"

/*
 * Theory of operation
 *
 * Each guest is told all commands at once, without a wait for its greeting, and then heard as its
 * words come, until the one deadline. A guest whose backlog of connections is full, since it
 * hangs or has many clients, is tried again and again until then.
 */

/* How often, where a connection is not to be had. */
#define RETRY_MS 10

struct asked {
	const char *name;
	struct control_client client;
	struct survey_answer *answer;
	bool connected, done;
	unsigned nr_replies; /* qmp_capabilities' is the first */
};

struct survey {
	struct asked *guests;
	struct pollfd *pfds;
	size_t nr;
	const char *const *commands;
	unsigned nr_commands;
	uint64_t deadline_ns;
};

static void finish(struct asked *g, int error)
{
	if (g->connected)
		client_close(&g->client);
	g->connected = false;
	g->done = true;
	/* What it has said before it ended is true. */
	g->answer->error = g->answer->at_ns ? 0 : error;
}

static void begin(const struct survey *s, struct asked *g)
{
	struct err e;
	int rc = client_connect_now(&g->client, g->name, &e);

	/* Others' ends leave room for its descriptors. */
	if (rc == -EAGAIN || rc == -EMFILE)
		return;
	g->connected = rc == 0;
	if (rc == 0)
		rc = client_tell(&g->client, "qmp_capabilities", &e);
	for (unsigned i = 0; rc == 0 && i < s->nr_commands; i++)
		rc = client_tell(&g->client, s->commands[i], &e);
	if (rc < 0)
		finish(g, rc);
}

static void take_reply(const struct survey *s, struct asked *g, const json_t *message)
{
	json_t *returned = json_object_get(message, "return");

	if (!returned && !json_object_get(message, "error"))
		return; /* the greeting, an event */
	if (g->nr_replies > 0)
		g->answer->returned[g->nr_replies - 1] = json_incref(returned);
	if (g->nr_replies == 1)
		g->answer->at_ns = clock_now_ns();
	if (g->nr_replies++ == s->nr_commands)
		finish(g, 0);
}

/* One that never stops talking is heard for as long as the others may take. */
static void hear(const struct survey *s, struct asked *g)
{
	json_t *message;
	struct err e;
	int rc;

	while (!g->done && clock_now_ns() < s->deadline_ns &&
	       (rc = client_hear(&g->client, &message, &e)) != 0) {
		if (rc < 0) {
			finish(g, rc);
			return;
		}
		take_reply(s, g, message);
		json_decref(message);
	}
}

/* Connect where there is no connection yet. How many guests have not answered. */
static size_t begin_all(const struct survey *s, bool *ret_retry)
{
	size_t left = 0;

	*ret_retry = false;
	for (size_t i = 0; i < s->nr; i++) {
		struct asked *g = &s->guests[i];

		if (!g->connected && !g->done)
			begin(s, g);
		s->pfds[i] =
			(struct pollfd){ .fd = g->connected ? g->client.fd : -1, .events = POLLIN };
		left += !g->done;
		*ret_retry |= !g->connected && !g->done;
	}
	return left;
}

static void run(const struct survey *s)
{
	bool retry;

	while (begin_all(s, &retry) > 0) {
		uint64_t now_ns = clock_now_ns(), left_ms;

		if (now_ns >= s->deadline_ns)
			break;
		left_ms = (s->deadline_ns - now_ns) / NSEC_PER_MSEC + 1;
		if (poll(s->pfds, s->nr, (int)(retry ? MIN(left_ms, RETRY_MS) : left_ms)) <= 0)
			continue;
		for (size_t i = 0; i < s->nr; i++) {
			if (s->pfds[i].revents)
				hear(s, &s->guests[i]);
		}
	}
	for (size_t i = 0; i < s->nr; i++) {
		if (!s->guests[i].done)
			finish(&s->guests[i], -ETIMEDOUT);
	}
}

int survey_ask(char *const *names, size_t nr, const char *const *commands, unsigned nr_commands,
	       unsigned timeout_ms, struct survey_answer *ret)
{
	struct survey s = {
		.guests = calloc(nr + 1, sizeof(*s.guests)),
		.pfds = calloc(nr + 1, sizeof(*s.pfds)),
		.nr = nr,
		.commands = commands,
		.nr_commands = nr_commands,
		.deadline_ns = clock_now_ns() + timeout_ms * NSEC_PER_MSEC,
	};
	int rc = s.guests && s.pfds ? 0 : -ENOMEM;

	for (size_t i = 0; i < nr; i++) {
		ret[i] = (struct survey_answer){ .error = rc };
		if (rc == 0)
			s.guests[i] = (struct asked){ .name = names[i], .answer = &ret[i] };
	}
	if (rc == 0)
		run(&s);
	free(s.guests);
	free(s.pfds);
	return rc;
}

void survey_forget(struct survey_answer *answers, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		for (unsigned k = 0; k < SURVEY_MAX_COMMANDS; k++)
			json_decref(answers[i].returned[k]);
	}
}
