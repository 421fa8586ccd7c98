// SPDX-License-Identifier: MIT
// The wire between both sides of a teleport: forwards section by section, or does not.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "handover_rig_impl.h"
#include "migration/section.h"
#include "migration/talk.h"
#include "util/io.h"

struct wire_section {
	uint8_t header[SECTION_HEADER_BYTES];
	struct section s;
};

static int read_section(int fd, struct wire_section *w)
{
	struct err e;
	int rc = io_read_full(fd, w->header, sizeof(w->header));

	if (rc < 0 || (rc = section_parse_header(w->header, &w->s, &e)) < 0)
		return rc;
	w->s.payload = malloc(w->s.bytes + 1);
	return w->s.payload ? io_read_full(fd, w->s.payload, w->s.bytes) : -ENOMEM;
}

static void write_part(int fd, const void *buf, size_t len)
{
	(void)!send(fd, buf, len, MSG_NOSIGNAL);
}

static void write_section(int fd, const struct wire_section *w)
{
	write_part(fd, w->header, sizeof(w->header));
	write_part(fd, w->s.payload, w->s.bytes);
}

/* The plan's fault for a section: forward it, or something else. */
static void deform(struct rig *r, int fd, struct wire_section *w, unsigned direction)
{
	mutex_lock(&r->lock);
	r->hit = true;
	(void)pthread_cond_broadcast(&r->changed);
	mutex_unlock(&r->lock);
	switch ((int)r->plan.fault) {
	case RIG_SWALLOW:
		r->muted[direction] = true;
		break;
	case RIG_TWICE:
		write_section(fd, w);
		write_section(fd, w);
		break;
	case RIG_OTHER:
		section_seal(w->header, SECTION_RAM_SYNC, 0, NULL, 0);
		write_part(fd, w->header, sizeof(w->header));
		break;
	case RIG_GARBLE:
		w->header[SECTION_HEADER_BYTES - 1] ^= 0x10; /* of the checksum */
		write_section(fd, w);
		break;
	case RIG_HALF:
		write_part(fd, w->header, sizeof(w->header) / 2);
		mutex_lock(&r->lock);
		rig_cut_locked(r);
		mutex_unlock(&r->lock);
		break;
	default:
		write_section(fd, w);
		break;
	}
}

static bool is_alive(const struct wire_section *w)
{
	return w->s.type == SECTION_MESSAGE && w->s.id == MESSAGE_ALIVE;
}

static void forward(struct rig *r, struct wire_section *w, unsigned direction)
{
	int fd = r->sockets[!direction][1];
	char what[RIG_NAME_BYTES];

	if (is_alive(w) || r->muted[direction]) {
		if (!r->muted[direction] || is_alive(w))
			write_section(fd, w);
		return;
	}
	(void)snprintf(what, sizeof(what), "%s %u", direction ? "d>s" : "s>d",
		       ++r->sections[direction]);
	if (!rig_point(r, what, "before")) {
		write_section(fd, w);
	} else if (rig_is_whole(r->plan.fault)) {
		rig_strike(r);
		if (r->plan.fault == RIG_CANCEL)
			write_section(fd, w);
	} else {
		deform(r, fd, w, direction);
	}
	if (w->s.type == SECTION_MESSAGE && w->s.id == MESSAGE_COMMIT && !r->hit) {
		mutex_lock(&r->lock);
		r->commit_arrived = true;
		mutex_unlock(&r->lock);
	}
	if (rig_point(r, what, "after") && rig_is_whole(r->plan.fault))
		rig_strike(r);
}

void *rig_forward(void *forwarder)
{
	struct rig_forwarder *f = forwarder;
	int from = f->r->sockets[f->direction][1];
	int to = f->r->sockets[!f->direction][1];
	struct wire_section w = { 0 };

	while (read_section(from, &w) == 0) {
		forward(f->r, &w, f->direction);
		section_fini(&w.s);
	}
	section_fini(&w.s);
	(void)shutdown(to, SHUT_WR);
	return NULL;
}
