// SPDX-License-Identifier: MIT
// Sends the memory of a machine to a process beside it: how fast, and what a clean pass costs.
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
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
	uint64_t mib, used_mib;
	unsigned streams, again;
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
	if (ram_receiver_new(&r, &gm, ch, o->streams, &e) < 0 || ram_receiver_wait(r, &e) < 0)
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

static void send_all(const struct options *o, struct vm *vm, struct channel *const *ch)
{
	uint64_t clean_ns = UINT64_MAX, again_pages = 0, again_ns = 0;
	double cpu;
	struct dirty_log *log = NULL;
	struct ram_sender *s = NULL;
	struct ram_pass first, last;
	struct err e;

	if (dirty_log_start(&log, vm) < 0 ||
	    ram_sender_new(&s, &vm->gmem, log, ch, o->streams, &o->ram, &e) < 0)
		die("sender", 0);
	first = send_pass(s, false);
	for (unsigned i = 0; i < CLEAN_PASSES; i++)
		clean_ns = MIN(clean_ns, send_pass(s, false).duration_ns);
	/* To memory that the receiver has by now, as later passes are. */
	cpu = cpu_s(RUSAGE_SELF);
	for (unsigned i = 0; i < o->again; i++) {
		struct ram_pass p;

		dirty_again(o, vm);
		p = send_pass(s, false);
		again_pages += p.pages;
		again_ns += p.duration_ns;
	}
	cpu = cpu_s(RUSAGE_SELF) - cpu;
	dirty_again(o, vm);
	last = send_pass(s, true);
	printf("{\"pages\": %llu, \"first_ms\": %.3f, \"first_mib_s\": %.0f, \"wire_mib\": %.1f, "
	       "\"again_cpu_s_per_gib\": %.3f, \"again_mib_s\": %.0f, \"last_mib_s\": %.0f, \"clean_ms_per_gib\": %.3f, ",
	       (unsigned long long)first.pages, (double)first.duration_ns / 1e6, mib_s(&first),
	       (double)first.bytes_wire / MIB, cpu / ((double)again_pages * RAM_PAGE_BYTES / GIB),
	       mib_s(&(struct ram_pass){ .pages = again_pages, .duration_ns = MAX(again_ns, 1) }),
	       mib_s(&last), (double)clean_ns / 1e6 / ((double)o->mib / 1024));
	ram_sender_free(s);
	dirty_log_stop(log);
}

static const struct option long_options[] = {
	{ "mib", required_argument, NULL, 'm' },
	{ "used-mib", required_argument, NULL, 'u' },
	{ "streams", required_argument, NULL, 's' },
	{ "text", no_argument, NULL, 't' },
	{ "unix", no_argument, NULL, 'x' },
	{ "compress", required_argument, NULL, 'c' },
	{ "bandwidth", required_argument, NULL, 'b' },
	{ "again", required_argument, NULL, 'a' },
	{ 0 },
};

static void parse(struct options *o, int argc, char **argv)
{
	static const char *const compress[] = { "none", "lz4", "zstd" };
	int opt;

	while ((opt = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		uint64_t n = optarg ? strtoull(optarg, NULL, 10) : 0;

		switch (opt) {
		case 'm':
			o->mib = n;
			break;
		case 'u':
			o->used_mib = n;
			break;
		case 's':
			o->streams = (unsigned)n;
			break;
		case 't':
			o->text = true;
			break;
		case 'x':
			o->local = true;
			break;
		case 'a':
			o->again = (unsigned)n;
			break;
		case 'b':
			o->ram.bandwidth_bytes = n;
			break;
		case 'c':
			for (unsigned i = 0; i < ARRAY_SIZE(compress); i++) {
				if (!strcmp(optarg, compress[i]))
					o->ram.compress = (enum ram_compress)i;
			}
			break;
		default:
			exit(2);
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
