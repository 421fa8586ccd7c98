// SPDX-License-Identifier: MIT
// Sends the memory of a machine to a process beside it: how fast, and what a clean pass costs.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "migration/channel.h"
#include "migration/ram.h"
#include "util/clock.h"
#include "vmm/dirty_log.h"
#include "vmm/vm.h"

#define CLEAN_PASSES 20U

struct options {
	uint64_t mib, used_mib, streams, again;
	bool text, local; /* compressible contents; UNIX sockets */
	struct ram_options ram;
};

static _Noreturn void die(const char *what, int rc)
{
	(void)fprintf(stderr, "ram: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
	exit(1);
}

/* Connected pairs, [0] the sender's. */
static void connect_tcp(int pair[2])
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(addr);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || pair[0] < 0 ||
	    bind(listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) < 0 ||
	    connect(pair[0], (struct sockaddr *)&addr, sizeof(addr)) < 0)
		die("loopback", 0);
	pair[1] = accept(listener, NULL, NULL);
	if (pair[1] < 0)
		die("accept", 0);
	(void)close(listener);
}

static void open_channels(const struct options *o, struct channel **ours, int *theirs)
{
	struct err e;

	for (unsigned i = 0; i < o->streams; i++) {
		int pair[2];

		if (!o->local)
			connect_tcp(pair);
		else if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0)
			die("socketpair", 0);
		if (channel_new(&ours[i], pair[0], &e) < 0)
			die(e.text, e.code);
		theirs[i] = pair[1];
	}
}

static void receive(const struct options *o, const int *fds)
{
	struct channel *ch[RAM_MAX_STREAMS];
	struct ram_receiver *r = NULL;
	struct gmem gm;
	struct err e;

	if (gmem_init(&gm, o->mib * MIB, 0, &e) < 0)
		die(e.text, e.code);
	for (unsigned i = 0; i < o->streams; i++) {
		if (channel_new(&ch[i], fds[i], &e) < 0)
			die(e.text, e.code);
	}
	if (ram_receiver_new(&r, &gm, ch, (unsigned)o->streams, &e) < 0 ||
	    ram_receiver_wait(r, &e) < 0)
		die(e.text, e.code);
	ram_receiver_free(r);
	_Exit(0);
}

/* No page like another, and none zero. */
static void fill(const struct options *o, struct gmem *gm)
{
	uint64_t x = 88172645463325252ULL;
	uint64_t *p = (uint64_t *)(void *)gm->base;

	for (uint64_t i = 0; i < o->used_mib * MIB / 8; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = o->text ? 0x2020202020202020ULL + (x & 0x0f0f0f) : x;
	}
}

static double cpu_s(int who)
{
	struct rusage u;

	(void)getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double mib_s(const struct ram_pass *p)
{
	return (double)p->pages * RAM_PAGE_BYTES / MIB / ((double)p->duration_ns / 1e9);
}

static struct ram_pass send_pass(struct ram_sender *s, bool last)
{
	struct ram_pass p = { 0 };
	struct err e;

	if (ram_sender_pass(s, last, &p, &e) < 0)
		die(e.text, e.code);
	return p;
}

/* All that was filled counts as written. */
static void dirty_again(const struct options *o, struct vm *vm)
{
	gmem_mark_dirty_hva(&vm->gmem, vm->gmem.base, o->used_mib * MIB);
}

/* The sum of several passes over everything, and what they cost this process. */
struct again {
	struct ram_pass sum;
	double cpu_s;
};

/* To memory that the receiver has by now, as later passes are. */
static struct again send_again(const struct options *o, struct vm *vm, struct ram_sender *s)
{
	struct again a = { .cpu_s = cpu_s(RUSAGE_SELF) };

	for (uint64_t i = 0; i < o->again; i++) {
		struct ram_pass p;

		dirty_again(o, vm);
		p = send_pass(s, false);
		a.sum.pages += p.pages;
		a.sum.duration_ns += p.duration_ns;
	}
	a.cpu_s = cpu_s(RUSAGE_SELF) - a.cpu_s;
	return a;
}

static void send_all(const struct options *o, struct vm *vm, struct channel *const *ch)
{
	double gib = (double)o->used_mib * (double)o->again / 1024;
	uint64_t clean_ns = UINT64_MAX;
	struct dirty_log *log = NULL;
	struct ram_sender *s = NULL;
	struct ram_pass first, last;
	struct again again;
	struct err e;

	if (dirty_log_start(&log, vm) < 0 ||
	    ram_sender_new(&s, log, ch, (unsigned)o->streams, &o->ram, &e) < 0)
		die("sender", 0);
	first = send_pass(s, false);
	for (unsigned i = 0; i < CLEAN_PASSES; i++)
		clean_ns = MIN(clean_ns, send_pass(s, false).duration_ns);
	again = send_again(o, vm, s);
	dirty_again(o, vm);
	last = send_pass(s, true);
	printf("{\"pages\": %llu, \"first_ms\": %.3f, \"first_mib_s\": %.0f, \"wire_mib\": %.1f, ",
	       (unsigned long long)first.pages, (double)first.duration_ns / 1e6, mib_s(&first),
	       (double)first.bytes_wire / MIB);
	if (o->again)
		printf("\"again_mib_s\": %.0f, \"again_cpu_s_per_gib\": %.3f, ", mib_s(&again.sum),
		       again.cpu_s / gib);
	printf("\"last_mib_s\": %.0f, \"clean_ms_per_gib\": %.3f, ", mib_s(&last),
	       (double)clean_ns / 1e6 / ((double)o->mib / 1024));
	ram_sender_free(s);
	dirty_log_stop(log);
}

static enum ram_compress compress_of(const char *name)
{
	static const char *const names[] = { "none", "lz4", "zstd" };

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(name, names[i]))
			return (enum ram_compress)i;
	}
	exit(2);
}

static void parse(struct options *o, int argc, char **argv)
{
	const struct {
		const char *name;
		uint64_t *number;
	} numbers[] = {
		{ "--mib", &o->mib },
		{ "--used-mib", &o->used_mib },
		{ "--streams", &o->streams },
		{ "--again", &o->again },
		{ "--bandwidth", &o->ram.bandwidth_bytes },
	};

	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--compress"))
			o->ram.compress = compress_of(argv[i + 1]);
		if (!strcmp(argv[i], "--contents"))
			o->text = !strcmp(argv[i + 1], "text");
		if (!strcmp(argv[i], "--path"))
			o->local = !strcmp(argv[i + 1], "unix");
		for (unsigned n = 0; n < ARRAY_SIZE(numbers); n++) {
			if (!strcmp(argv[i], numbers[n].name))
				*numbers[n].number = strtoull(argv[i + 1], NULL, 10);
		}
	}
	if (o->streams < 1 || o->streams > RAM_MAX_STREAMS || o->used_mib > o->mib)
		exit(2);
}

int main(int argc, char **argv)
{
	struct options o = { .mib = 1024, .used_mib = 1024, .streams = 1, .again = 4 };
	struct channel *ch[RAM_MAX_STREAMS];
	int theirs[RAM_MAX_STREAMS], status;
	struct loop *loop = NULL;
	struct vm_params params;
	struct vm *vm = NULL;
	struct err e;
	pid_t child;

	parse(&o, argc, argv);
	open_channels(&o, ch, theirs);
	child = fork();
	if (child < 0)
		die("fork", 0);
	if (child == 0)
		receive(&o, theirs);
	for (unsigned i = 0; i < o.streams; i++)
		(void)close(theirs[i]);
	params = (struct vm_params){ .memory_bytes = o.mib * MIB, .nr_vcpus = 1 };
	if (loop_new(&loop, 0) < 0 || vm_new(&vm, &params, loop, &e) < 0)
		die("vm", 0);
	fill(&o, &vm->gmem);
	send_all(&o, vm, ch);
	if (waitpid(child, &status, 0) < 0 || status)
		die("receiver", 0);
	printf("\"cpu_send_s\": %.2f, \"cpu_receive_s\": %.2f}\n", cpu_s(RUSAGE_SELF),
	       cpu_s(RUSAGE_CHILDREN));
	for (unsigned i = 0; i < o.streams; i++)
		channel_free(ch[i]);
	vm_free(vm);
	loop_free(loop);
	return 0;
}
