// SPDX-License-Identifier: MIT
// The guest's console: the ring of output, its readers, and the input buffer.
#include "vmm/console.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/clock.h"
#include "util/io.h"
#include "util/log.h"
#include "util/thread.h"
#include "vmm/loop.h"

/*
 * Theory of operation
 *
 * Output is written to the readers by the vCPU thread that produced it, while
 * they keep up: nothing is faster. A reader that does not take all of it is
 * "blocked", and from then on served by the main loop when it can be written
 * to, until it has caught up. Descriptors never block, so neither path waits.
 *
 * Readers come and go on the main thread only, under the lock; the vCPU threads
 * look at the list under the lock. Positions count all bytes ever written.
 */
struct reader {
	struct console *con;
	struct console_reader_params p;
	bool out_is_socket, in_is_socket;
	struct loop_fd out_watch, in_watch; /* main thread */
	bool in_unpollable;                 /* main thread: a file, /dev/null */

	/* con->lock */
	uint64_t pos;
	bool blocked; /* the main loop serves it */
	bool failed;  /* the main loop removes it */
	bool starved; /* main loop does not read in_fd until there is room */

	TAILQ_ENTRY(reader) link; /* con->lock */
};

struct console {
	/* const */
	struct loop *loop;
	uint8_t *ring; /* CONSOLE_RING_BYTES */

	/* main thread */
	TAILQ_HEAD(, console_input) inputs; /* the first gets it */
	struct loop_work service;           /* readers that are blocked, failed or starved */

	struct mutex lock; /* protects: the rest; order: innermost but for loop.lock */
	TAILQ_HEAD(, reader) readers;
	unsigned nr_readers;
	uint64_t head; /* bytes ever written */
	uint64_t seen; /* up to here some reader got it */
	uint64_t lost;
	uint8_t input[CONSOLE_INPUT_BYTES]; /* a ring, as below */
	uint64_t in_head, in_tail;          /* bytes ever put in and taken */
};

/* --- output --- */

static ssize_t write_some(const struct reader *r, const void *data, size_t len)
{
	if (r->out_is_socket)
		return send(r->p.out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return write(r->p.out_fd, data, len);
}

/* Skip what the ring does not hold any more. */
static void skip_lost_locked(struct console *con, struct reader *r)
{
	if (con->head - r->pos <= CONSOLE_RING_BYTES)
		return;
	con->lost += con->head - CONSOLE_RING_BYTES - r->pos;
	r->pos = con->head - CONSOLE_RING_BYTES;
}

/* Give @r what it has not had, as far as it takes it. */
static void flush_reader_locked(struct console *con, struct reader *r)
{
	skip_lost_locked(con, r);
	r->blocked = false;
	while (r->pos < con->head && !r->failed) {
		size_t at = r->pos % CONSOLE_RING_BYTES;
		size_t len = MIN(con->head - r->pos, CONSOLE_RING_BYTES - at);
		ssize_t n = write_some(r, con->ring + at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			r->blocked = true;
			break;
		}
		if (n < 0)
			r->failed = true;
		else
			r->pos += (uint64_t)n;
	}
	con->seen = MAX(con->seen, r->pos);
}

static void put_locked(struct console *con, const uint8_t *data, size_t len)
{
	size_t at, first;

	if (len > CONSOLE_RING_BYTES) {
		con->head += len - CONSOLE_RING_BYTES;
		data += len - CONSOLE_RING_BYTES;
		len = CONSOLE_RING_BYTES;
	}
	at = con->head % CONSOLE_RING_BYTES;
	first = MIN(len, CONSOLE_RING_BYTES - at);
	memcpy(con->ring + at, data, first);
	memcpy(con->ring, data + first, len - first);
	con->head += len;
}

void console_write(struct console *con, const void *data, size_t len)
{
	bool need_service = false;
	struct reader *r;

	mutex_lock(&con->lock);
	put_locked(con, data, len);
	TAILQ_FOREACH(r, &con->readers, link)
	{
		if (r->p.out_fd < 0 || r->blocked || r->failed)
			continue;
		flush_reader_locked(con, r);
		need_service |= r->blocked || r->failed;
	}
	mutex_unlock(&con->lock);
	if (need_service)
		loop_post(con->loop, &con->service);
}

/* --- input --- */

static size_t input_room_locked(const struct console *con)
{
	return CONSOLE_INPUT_BYTES - (size_t)(con->in_head - con->in_tail);
}

size_t console_read(struct console *con, void *data, size_t len)
{
	uint8_t *to = data;
	bool starved = false;
	struct reader *r;
	size_t n;

	mutex_lock(&con->lock);
	n = MIN(len, (size_t)(con->in_head - con->in_tail));
	for (size_t i = 0; i < n; i++)
		to[i] = con->input[con->in_tail++ % CONSOLE_INPUT_BYTES];
	TAILQ_FOREACH(r, &con->readers, link)
	{
		starved |= n && r->starved;
	}
	mutex_unlock(&con->lock);
	if (starved)
		loop_post(con->loop, &con->service);
	return n;
}

static void tell_input(const struct console *con)
{
	const struct console_input *in = TAILQ_FIRST(&con->inputs);

	if (in)
		in->fn(in->opaque);
}

static void put_input(struct console *con, const uint8_t *data, size_t len)
{
	mutex_lock(&con->lock);
	len = MIN(len, input_room_locked(con));
	for (size_t i = 0; i < len; i++)
		con->input[con->in_head++ % CONSOLE_INPUT_BYTES] = data[i];
	mutex_unlock(&con->lock);
	if (len)
		tell_input(con);
}

void console_add_input(struct console *con, struct console_input *in)
{
	TAILQ_INSERT_HEAD(&con->inputs, in, link);
}

void console_remove_input(struct console *con, struct console_input *in)
{
	bool pending;

	TAILQ_REMOVE(&con->inputs, in, link);
	mutex_lock(&con->lock);
	pending = input_room_locked(con) < CONSOLE_INPUT_BYTES;
	mutex_unlock(&con->lock);
	if (pending)
		tell_input(con);
}

/* --- readers, on the main thread --- */

static void remove_reader(struct reader *r)
{
	struct console *con = r->con;

	loop_del_fd(con->loop, &r->out_watch);
	loop_del_fd(con->loop, &r->in_watch);
	mutex_lock(&con->lock);
	TAILQ_REMOVE(&con->readers, r, link);
	con->nr_readers--;
	mutex_unlock(&con->lock);
	close_fd(&r->p.out_fd);
	close_fd(&r->p.in_fd);
	free(r);
}

/* @r sends no input any more. */
static void end_input(struct reader *r)
{
	loop_del_fd(r->con->loop, &r->in_watch);
	if (!r->p.input_may_end || r->p.out_fd < 0) {
		remove_reader(r);
		return;
	}
	mutex_lock(&r->con->lock);
	r->starved = false;
	close_fd(&r->p.in_fd);
	mutex_unlock(&r->con->lock);
}

/* Who types of those that do in turn: they are in the order of their coming. NULL: nobody. */
static const struct reader *typist_locked(const struct console *con)
{
	const struct reader *r;

	TAILQ_FOREACH(r, &con->readers, link)
	{
		if (r->p.typing == CONSOLE_IN_TURN)
			return r;
	}
	return NULL;
}

bool console_is_typed_to(struct console *con)
{
	MUTEX_SCOPE(&con->lock);
	return typist_locked(con) != NULL;
}

static bool may_type(const struct reader *r)
{
	MUTEX_SCOPE(&r->con->lock);
	return r->p.typing == CONSOLE_TYPES ||
	       (r->p.typing == CONSOLE_IN_TURN && r == typist_locked(r->con));
}

/* How much may be read from @r now; 0 marks it starved. */
static size_t input_wanted(struct reader *r)
{
	struct console *con = r->con;
	size_t room;

	mutex_lock(&con->lock);
	room = input_room_locked(con);
	r->starved = room == 0 && !r->p.keep_reading;
	mutex_unlock(&con->lock);
	return r->p.keep_reading ? CONSOLE_INPUT_BYTES : room;
}

/* Read what is there, once. False: nothing came, or @r is gone. */
static bool read_input(struct reader *r)
{
	uint8_t buf[CONSOLE_INPUT_BYTES];
	size_t want = input_wanted(r);
	size_t len;
	ssize_t n;

	if (!want) {
		loop_mod_fd(r->con->loop, &r->in_watch, 0);
		return false;
	}
	n = r->in_is_socket ? recv(r->p.in_fd, buf, want, MSG_DONTWAIT)
			    : read(r->p.in_fd, buf, want);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		end_input(r);
		return false;
	}
	len = may_type(r) ? (size_t)n : 0;
	if (r->p.filter)
		len = r->p.filter(r->p.opaque, buf, len);
	put_input(r->con, buf, len);
	return true;
}

/* A descriptor that cannot be waited for is read as long as there is room. */
static void read_unpollable(struct reader *r)
{
	while (read_input(r))
		;
}

static void on_readable(void *opaque, unsigned events)
{
	(void)events;
	(void)read_input(opaque);
}

static void on_writable(void *opaque, unsigned events)
{
	struct reader *r = opaque;
	bool failed, blocked;

	mutex_lock(&r->con->lock);
	if (events & LOOP_WRITE)
		flush_reader_locked(r->con, r);
	failed = r->failed || (events & LOOP_HANGUP && !(events & LOOP_WRITE));
	blocked = r->blocked;
	mutex_unlock(&r->con->lock);
	if (failed)
		remove_reader(r);
	else if (!blocked)
		loop_mod_fd(r->con->loop, &r->out_watch, 0);
}

static void service_reader(struct reader *r)
{
	bool failed, blocked, hungry;

	mutex_lock(&r->con->lock);
	failed = r->failed;
	blocked = r->blocked;
	hungry = r->starved && input_room_locked(r->con);
	r->starved &= !hungry;
	mutex_unlock(&r->con->lock);
	if (failed) {
		remove_reader(r);
		return;
	}
	if (blocked)
		loop_mod_fd(r->con->loop, &r->out_watch, LOOP_WRITE);
	if (hungry && r->in_unpollable)
		read_unpollable(r);
	else if (hungry)
		loop_mod_fd(r->con->loop, &r->in_watch, LOOP_READ);
}

/* Work: look after the readers that vCPU threads have marked. */
static void service(void *opaque)
{
	struct console *con = opaque;
	struct reader *r, *next;

	for (r = TAILQ_FIRST(&con->readers); r; r = next) {
		next = TAILQ_NEXT(r, link);
		service_reader(r);
	}
}

static bool is_socket(int fd)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Prepare @w and watch its descriptor, if there is one. */
static int watch(struct reader *r, struct loop_fd *w, const struct loop_fd *how)
{
	*w = *how;
	w->opaque = r;
	w->slot = -1;
	return w->fd < 0 ? 0 : loop_add_fd(r->con->loop, w);
}

static int watch_reader(struct reader *r)
{
	const struct loop_fd out = { .fn = on_writable, .fd = r->p.out_fd };
	const struct loop_fd in = { .fn = on_readable, .fd = r->p.in_fd, .events = LOOP_READ };
	int rc = watch(r, &r->out_watch, &out);

	/* Files cannot be waited for, and need not be: they take everything. */
	if (rc < 0 && rc != -EPERM)
		return rc;
	rc = watch(r, &r->in_watch, &in);
	r->in_unpollable = rc == -EPERM;
	if (rc == 0 || rc == -EPERM)
		return 0;
	loop_del_fd(r->con->loop, &r->out_watch);
	return rc;
}

static void enlist(struct console *con, struct reader *r)
{
	mutex_lock(&con->lock);
	r->pos = r->p.history ? con->head - MIN(con->head, CONSOLE_RING_BYTES) : con->seen;
	TAILQ_INSERT_TAIL(&con->readers, r, link);
	con->nr_readers++;
	if (r->p.out_fd >= 0)
		flush_reader_locked(con, r);
	mutex_unlock(&con->lock);
}

int console_add_reader(struct console *con, const struct console_reader_params *p)
{
	struct reader *r;
	int rc;

	if (con->nr_readers == CONSOLE_MAX_READERS)
		return -EMFILE;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->con = con;
	r->p = *p;
	r->out_is_socket = is_socket(p->out_fd);
	r->in_is_socket = is_socket(p->in_fd);
	rc = watch_reader(r);
	if (rc < 0) {
		free(r);
		return rc;
	}
	r->starved = r->in_unpollable; /* service() reads it */
	enlist(con, r);
	loop_post(con->loop, &con->service);
	return 0;
}

int console_new(struct console **ret, struct loop *loop)
{
	struct console *con = calloc(1, sizeof(*con));
	void *ring;

	if (!con)
		return -ENOMEM;
	/* Pages of the ring cost memory only once output has reached them. */
	ring = mmap(NULL, CONSOLE_RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	if (ring == MAP_FAILED) {
		free(con);
		return -ENOMEM;
	}
	con->loop = loop;
	con->ring = ring;
	con->service = (struct loop_work){ .fn = service, .opaque = con };
	mutex_init(&con->lock);
	TAILQ_INIT(&con->readers);
	TAILQ_INIT(&con->inputs);
	*ret = con;
	return 0;
}

void console_free(struct console *con)
{
	struct reader *r;

	if (!con)
		return;
	while ((r = TAILQ_FIRST(&con->readers)))
		remove_reader(r); /* NOLINT(clang-analyzer-unix.Malloc): it is off the list */
	loop_unpost(con->loop, &con->service);
	mutex_fini(&con->lock);
	(void)munmap(con->ring, CONSOLE_RING_BYTES);
	free(con);
}

static void drain_reader(struct console *con, struct reader *r, unsigned idle_ms, uint64_t until_ns)
{
	struct pollfd pfd = { .fd = r->p.out_fd, .events = POLLOUT };

	mutex_lock(&con->lock);
	flush_reader_locked(con, r);
	while (r->blocked && !r->failed && clock_now_ns() < until_ns &&
	       poll(&pfd, 1, (int)idle_ms) > 0)
		flush_reader_locked(con, r);
	con->lost += con->head - r->pos;
	r->pos = con->head;
	mutex_unlock(&con->lock);
}

void console_drain(struct console *con, unsigned idle_ms)
{
	uint64_t until_ns = clock_now_ns() + 10 * idle_ms * NSEC_PER_MSEC;
	struct reader *r;

	TAILQ_FOREACH(r, &con->readers, link)
	{
		if (r->p.out_fd >= 0)
			drain_reader(con, r, idle_ms, until_ns);
	}
}

void console_get_stats(struct console *con, struct console_stats *ret)
{
	mutex_lock(&con->lock);
	*ret = (struct console_stats){
		.written = con->head,
		.lost = con->lost,
		.readers = con->nr_readers,
	};
	mutex_unlock(&con->lock);
}
