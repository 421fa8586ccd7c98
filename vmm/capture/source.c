// SPDX-License-Identifier: MIT
// ferry-capture: the guest's side of it, through its control socket.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "util/io.h"
#include "vmm/capture/capture.h"
#include "vmm/control/client.h"

#define REPLY_TIMEOUT_S 5

/* What may wait for us in the kernel; more than that is dropped. */
#define BUFFER_BYTES (8 * 1024 * 1024)

/* A filter must see the headers, however little is to be kept. */
#define FILTER_SNAPLEN 1024U

struct capture_source {
	struct control_client client;
	bool connected;
	int fd;
	char nic[64], text[256], fate[300];
};

/* More than users may have needs a privilege; without it we get what there is. */
static void grow_buffer(int fd)
{
	const int bytes = BUFFER_BYTES;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void describe(struct capture_source *s, const struct capture_options *o, const json_t *reply)
{
	const char *host_if = json_string_value(json_object_get(reply, "host_interface"));
	const char *backend = json_string_value(json_object_get(reply, "backend"));
	const char *id = json_string_value(json_object_get(reply, "id"));

	(void)snprintf(s->nic, sizeof(s->nic), "%s", id ? id : "nic");
	(void)snprintf(s->text, sizeof(s->text), "%s of guest %s (%s%s%s)", s->nic, o->guest,
		       backend ? backend : "?", host_if ? " " : "", host_if ? host_if : "");
}

/* The other end of our socket goes to the guest. */
static int begin(struct capture_source *s, const struct capture_options *o, struct err *e)
{
	uint32_t snaplen = *o->filter ? MAX(o->snaplen, FILTER_SNAPLEN) : o->snaplen;
	json_t *args =
		json_pack("{s:s*, s:i}", "id", *o->nic ? o->nic : NULL, "snaplen", (int)snaplen);
	json_t *reply = NULL;
	int pair[2], rc;

	if (!args)
		return err_set(e, -EINVAL, "%s: not the name of a nic", o->nic);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		json_decref(args);
		return err_set(e, -errno, "socket: %s", strerror(errno));
	}
	s->fd = pair[0];
	grow_buffer(pair[1]);
	rc = client_execute_fd(&s->client, "ferry-capture", args, pair[1], &reply, e);
	close_fd(&pair[1]);
	if (rc == 0)
		describe(s, o, reply);
	json_decref(reply);
	return rc;
}

int capture_source_open(struct capture_source **ret, const struct capture_options *o, struct err *e)
{
	struct capture_source *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->fd = -1;
	rc = client_open(&s->client, o->guest, REPLY_TIMEOUT_S, e);
	s->connected = rc == 0;
	if (rc == 0)
		rc = begin(s, o, e);
	if (rc < 0) {
		capture_source_close(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void capture_source_close(struct capture_source *s)
{
	close_fd(&s->fd);
	if (s->connected)
		client_close(&s->client);
	free(s);
}

int capture_source_fd(const struct capture_source *s)
{
	return s->fd;
}

const char *capture_source_nic(const struct capture_source *s)
{
	return s->nic;
}

const char *capture_source_text(const struct capture_source *s)
{
	return s->text;
}

const char *capture_source_fate(struct capture_source *s)
{
	json_t *info = NULL;
	const char *where = NULL;
	struct err e;

	if (client_execute(&s->client, "ferry-info", &info, &e) == 0)
		where = json_string_value(json_object_get(info, "moved_to"));
	if (where)
		(void)snprintf(s->fate, sizeof(s->fate), "the guest has moved to %s", where);
	else
		(void)snprintf(s->fate, sizeof(s->fate), "the guest has ended");
	json_decref(info);
	return s->fate;
}
