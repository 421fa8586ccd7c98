// SPDX-License-Identifier: MIT
// ferry-capture: frames from the nic's socket into the file, until the end.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "util/clock.h"
#include "util/io.h"
#include "vmm/capture/capture.h"
#include "vmm/capture/pcapng.h"

/* How long a nic may take to answer that it has stopped. */
#define END_NS (2 * NSEC_PER_SEC)

/*
 * Theory of operation
 *
 *   running -- limit or signal --> ending (the nic is asked to stop) --> over
 *   running -- the nic goes, or its process --> over
 *
 * Signals are let in only while we wait, so none is missed. While ending, frames
 * that are on their way are still written.
 */
enum state { RUNNING, ENDING, OVER };

struct run {
	struct capture_source *source;
	const struct capture_filter *filter;
	const struct capture_options *options;
	struct pcapng file;
	enum state state;
	bool gone; /* though nobody had asked */
	uint64_t end_ns;
	uint64_t start_wall_ns;
	uint64_t seen, dropped, accepted;
	uint64_t dropped_written; /* as the last packet's block says */
	struct capture_record *message;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/* Signals come in ppoll() alone, with the mask *@ret. */
static void catch_signals(sigset_t *ret)
{
	const struct sigaction sa = { .sa_handler = on_interrupt };
	sigset_t block;

	(void)sigemptyset(&block);
	(void)sigaddset(&block, SIGINT);
	(void)sigaddset(&block, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &block, ret);
	(void)sigdelset(ret, SIGINT);
	(void)sigdelset(ret, SIGTERM);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigaction(SIGTERM, &sa, NULL);
}

/* Ask the nic to stop; it may be gone, which we hear next. */
static void ask_end(struct run *r)
{
	if (r->state != RUNNING)
		return;
	r->state = ENDING;
	r->end_ns = clock_now_ns() + END_NS;
	(void)!send(capture_source_fd(r->source), "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static bool is_full(const struct run *r)
{
	return r->options->count && r->file.packets >= r->options->count;
}

static int take_frame(struct run *r, const struct capture_record *record, size_t bytes)
{
	const void *data = record + 1;
	int rc;

	if (!capture_filter_passes(r->filter, data, (uint32_t)bytes, record->frame_bytes))
		return 0;
	if (is_full(r))
		return 0;
	r->accepted++;
	rc = pcapng_packet(&r->file,
			   &(struct pcapng_packet){
				   .time_ns = record->time_ns,
				   .data = data,
				   .bytes = MIN((uint32_t)bytes, r->options->snaplen),
				   .frame_bytes = record->frame_bytes,
				   .direction = record->kind == CAPTURE_TO_GUEST ? PCAPNG_INBOUND
										 : PCAPNG_OUTBOUND,
				   .dropped = record->dropped - r->dropped_written,
			   });
	r->dropped_written = record->dropped;
	if (is_full(r))
		ask_end(r);
	return rc;
}

static int take_message(struct run *r, size_t len)
{
	const struct capture_record *record = r->message;

	if (len < sizeof(*record))
		return -EPROTO;
	r->seen = record->seen;
	r->dropped = record->dropped;
	if (record->kind == CAPTURE_END || record->kind == CAPTURE_GONE) {
		r->gone = record->kind == CAPTURE_GONE && r->state == RUNNING;
		r->state = OVER;
		return 0;
	}
	return take_frame(r, record, len - sizeof(*record));
}

/* All that is there. 0, or -errno of the file. */
static int take_messages(struct run *r)
{
	int rc = 0;

	while (r->state != OVER && rc == 0) {
		ssize_t n = recv(capture_source_fd(r->source), r->message, CAPTURE_MAX_BYTES,
				 MSG_DONTWAIT);

		/* A reset is told once, before what there is to read, and then the end. */
		if (n < 0 && (errno == EINTR || errno == ECONNRESET))
			continue;
		if (n < 0 && errno == EAGAIN)
			return pcapng_flush(&r->file);
		if (n <= 0) {
			r->gone = r->state == RUNNING;
			r->state = OVER;
			return 0;
		}
		rc = take_message(r, (size_t)n);
	}
	return rc;
}

/* Until something comes, a signal or the end of the time. */
static void wait_for_more(struct run *r, const sigset_t *signals)
{
	struct pollfd pfd = { .fd = capture_source_fd(r->source), .events = POLLIN };
	uint64_t now = clock_now_ns(), left = r->end_ns > now ? r->end_ns - now : 0;
	struct timespec ts = { .tv_sec = (time_t)(left / NSEC_PER_SEC),
			       .tv_nsec = (long)(left % NSEC_PER_SEC) };

	(void)ppoll(&pfd, 1, r->end_ns == UINT64_MAX ? NULL : &ts, signals);
	if (clock_now_ns() < r->end_ns && !interrupted)
		return;
	if (r->state == ENDING && clock_now_ns() >= r->end_ns)
		r->state = OVER; /* it does not answer */
	ask_end(r);
}

static int capture(struct run *r)
{
	sigset_t signals;
	int rc = 0;

	catch_signals(&signals);
	/* Who reads this may send a signal at once. */
	(void)fprintf(stderr, "ferry capture: %s; Ctrl-C ends it\n",
		      capture_source_text(r->source));
	r->start_wall_ns = clock_wall_ns();
	while (r->state != OVER && rc == 0) {
		wait_for_more(r, &signals);
		rc = take_messages(r);
	}
	if (rc == 0)
		rc = pcapng_statistics(&r->file, &(struct pcapng_statistics){
							 .start_ns = r->start_wall_ns,
							 .end_ns = clock_wall_ns(),
							 .seen = r->seen,
							 .dropped = r->dropped,
							 .accepted = r->accepted,
						 });
	return rc < 0 ? rc : pcapng_flush(&r->file);
}

/* "-" is standard output. */
static int open_file(const char *path, struct err *e)
{
	int fd = strcmp(path, "-") != 0 ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
					: fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

	return fd < 0 ? err_set(e, -errno, "%s: %s", path, strerror(errno)) : fd;
}

static int capture_to(struct run *r, int fd, struct err *e)
{
	const struct pcapng_interface interface = {
		.name = capture_source_nic(r->source),
		.description = capture_source_text(r->source),
		.filter = *r->options->filter ? r->options->filter : NULL,
		.snaplen = r->options->snaplen,
	};
	int rc = pcapng_open(&r->file, fd, &interface);

	r->message = malloc(CAPTURE_MAX_BYTES);
	if (rc == 0 && !r->message)
		rc = -ENOMEM;
	if (rc == 0)
		rc = capture(r);
	if (r->gone)
		(void)fprintf(stderr, "ferry capture: %s: the capture ends here\n",
			      capture_source_fate(r->source));
	(void)fprintf(stderr, "ferry capture: %llu of %llu frames written, %llu dropped\n",
		      (unsigned long long)r->file.packets, (unsigned long long)r->seen,
		      (unsigned long long)r->dropped);
	pcapng_close(&r->file);
	free(r->message);
	return rc < 0 ? err_set(e, rc, "%s: %s", r->options->path, strerror(-rc)) : 0;
}

int capture_run(struct capture_source *s, const struct capture_filter *f,
		const struct capture_options *o, struct err *e)
{
	struct run r = {
		.source = s,
		.filter = f,
		.options = o,
		.end_ns = o->duration_ms ? clock_now_ns() + o->duration_ms * NSEC_PER_MSEC
					 : UINT64_MAX,
	};
	int fd = open_file(o->path, e), rc;

	if (fd < 0)
		return fd;
	rc = capture_to(&r, fd, e);
	close_fd(&fd);
	return rc;
}
