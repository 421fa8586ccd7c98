// SPDX-License-Identifier: MIT
// Tries what a confined thread must not be able to do. For tests: never part of ferry.
//
//   ferry-probe MODE WHEN CLASS ACTION [jail] [jail-net] [user=USER] [chroot=DIR]
//
// MODE: on, log, off. WHEN: "early" threads start before the main thread is confined, "late"
// ones after. "connect" goes to port PROBE_PORT of 127.0.0.1. Prints "ACTION: done", or
// "ACTION: " and why it failed; or dies.
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/compiler.h"
#include "util/io.h"
#include "util/thread.h"
#include "vmm/sandbox/sandbox.h"

static long try_open(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long try_create(void)
{
	return open("/tmp/ferry-probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_open_folder(void)
{
	return open("/etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_mkdir(void)
{
	return mkdir("/tmp/ferry-probe", 0700);
}

/* A name in the file system, which is a control socket for whoever finds it. */
static long try_socket_file(void)
{
	const struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "/tmp/ferry-probe" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? fd : bind(fd, (const struct sockaddr *)&sun, sizeof(sun));
}

static long try_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long try_netlink_socket(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
}

static long try_execve(void)
{
	char name[] = "/bin/true";
	char *const argv[] = { name, NULL };

	return execve(name, argv, NULL);
}

static long try_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
}

static long try_ptrace(void)
{
	return ptrace(PTRACE_ATTACH, 0x7fffffff, NULL, NULL);
}

static long try_mount(void)
{
	return mount("none", "/tmp", "tmpfs", 0, NULL);
}

static long try_unshare(void)
{
	return syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */);
}

static long try_kill(void)
{
	return kill(1, 0);
}

static long try_tgkill(void)
{
	return syscall(SYS_tgkill, 1, 1, 0);
}

/* Whom the kernel signals about a descriptor: the first step to any signal for any process. */
static long try_set_owner(void)
{
	return fcntl(STDIN_FILENO, F_SETOWN, 1);
}

static long try_ioctl(void)
{
	char key = 'x';

	return ioctl(STDIN_FILENO, TIOCSTI, &key);
}

static long try_executable_memory(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : 0;
}

static long try_new_ring(void)
{
	struct io_uring_params params = { 0 };

	return syscall(SYS_io_uring_setup, 8, &params);
}

static long try_setuid(void)
{
	return syscall(SYS_setuid, 0);
}

static long try_bpf(void)
{
	return syscall(SYS_bpf, 0, NULL, 0);
}

static long try_chmod(void)
{
	return syscall(SYS_fchmodat, AT_FDCWD, "/etc/passwd", 0644);
}

static long try_unlink(void)
{
	return unlink("/proc/version");
}

static long try_tcp_socket(void)
{
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static long try_connect(void)
{
	const char *port = getenv("PROBE_PORT");
	const struct sockaddr_in sin = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)strtoul(port ? port : "1", NULL, 10)),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? fd : connect(fd, (const struct sockaddr *)&sin, sizeof(sin));
}

static long try_list_root(void)
{
	return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static long try_climb(void)
{
	return open("/../../../../etc/passwd", O_RDONLY | O_CLOEXEC);
}

static long try_write_root(void)
{
	return open("/probe", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
}

static long try_tcp_listen(void)
{
	const struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? fd : bind(fd, (const struct sockaddr *)&at, sizeof(at));
}

/* One that somebody else listens at: the test's own, by this name. */
static long try_abstract_socket(void)
{
	const struct sockaddr_un sun = { .sun_family = AF_UNIX, .sun_path = "\0ferry-probe" };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 ? fd : connect(fd, (const struct sockaddr *)&sun, sizeof(sun));
}

static long try_resolver(void)
{
	return open("/etc/resolv.conf", O_RDONLY | O_CLOEXEC);
}

/* A file beside that of the name servers: the test's own, by this name. */
static long try_beside_resolver(void)
{
	return open("/run/ferry-probe/beside", O_RDONLY | O_CLOEXEC);
}

static const struct {
	const char *name;
	long (*fn)(void);
} actions[] = {
	{ "resolver", try_resolver },
	{ "beside-resolver", try_beside_resolver },
	{ "open", try_open },
	{ "open-folder", try_open_folder },
	{ "mkdir", try_mkdir },
	{ "socket-file", try_socket_file },
	{ "tcp-listen", try_tcp_listen },
	{ "abstract-socket", try_abstract_socket },
	{ "create", try_create },
	{ "packet-socket", try_packet_socket },
	{ "netlink-socket", try_netlink_socket },
	{ "tcp-socket", try_tcp_socket },
	{ "connect", try_connect },
	{ "list-root", try_list_root },
	{ "climb", try_climb },
	{ "write-root", try_write_root },
	{ "execve", try_execve },
	{ "fork", try_fork },
	{ "ptrace", try_ptrace },
	{ "mount", try_mount },
	{ "unshare", try_unshare },
	{ "kill", try_kill },
	{ "tgkill", try_tgkill },
	{ "set-owner", try_set_owner },
	{ "ioctl", try_ioctl },
	{ "executable-memory", try_executable_memory },
	{ "new-ring", try_new_ring },
	{ "setuid", try_setuid },
	{ "bpf", try_bpf },
	{ "chmod", try_chmod },
	{ "unlink", try_unlink },
};

static const char *const class_names[THREAD_NR_CLASSES] = {
	[THREAD_MAIN] = "main", [THREAD_VCPU] = "vcpu", [THREAD_IO] = "io",
	[THREAD_NET] = "net",   [THREAD_MOVE] = "move",
};

struct probe {
	struct mutex lock; /* held until the main thread is confined */
	long (*fn)(void);
	const char *name;
	enum thread_class class;
};

static void *act(void *opaque)
{
	struct probe *p = opaque;
	char line[128];
	long rc;

	mutex_lock(&p->lock);
	errno = 0;
	rc = p->fn();
	(void)snprintf(line, sizeof(line), "%s: %s\n", p->name,
		       rc < 0 ? strerrorname_np(errno) : "done");
	(void)!write(STDOUT_FILENO, line, strlen(line));
	mutex_unlock(&p->lock);
	return NULL;
}

static int fail(const struct err *e)
{
	(void)fprintf(stderr, "ferry-probe: %s\n", e->text);
	return 1;
}

static int run(struct probe *p, const struct sandbox_options *o, bool early)
{
	pthread_t thread;
	struct err e;
	int rc = sandbox_begin(o, &e);

	if (rc < 0)
		return fail(&e);
	mutex_init(&p->lock);
	mutex_lock(&p->lock);
	if (early && thread_start(&thread, p->class, "probe", act, p) < 0)
		return 1;
	rc = sandbox_enter(&e);
	if (rc < 0)
		return fail(&e);
	mutex_unlock(&p->lock);
	if (p->class == THREAD_MAIN && !early) {
		(void)act(p);
		return 0;
	}
	if (!early && thread_start(&thread, p->class, "probe", act, p) < 0)
		return 1;
	return pthread_join(thread, NULL);
}

static void read_word(struct sandbox_options *o, char *word)
{
	o->jail |= !strcmp(word, "jail");
	o->jail_net |= !strcmp(word, "jail-net");
	if (!strncmp(word, "user=", 5))
		o->user = word + 5;
	if (!strncmp(word, "chroot=", 7))
		o->chroot_dir = word + 7;
}

int main(int argc, char **argv)
{
	struct sandbox_options o = { .seccomp = SANDBOX_SECCOMP_ON };
	struct probe p = { .class = THREAD_NR_CLASSES };

	if (argc < 5)
		return 2;
	for (int i = 5; i < argc; i++)
		read_word(&o, argv[i]);
	for (unsigned i = 0; sandbox_seccomp_choices[i]; i++) {
		if (!strcmp(sandbox_seccomp_choices[i], argv[1]))
			o.seccomp = i;
	}
	for (unsigned i = 0; i < THREAD_NR_CLASSES; i++) {
		if (!strcmp(class_names[i], argv[3]))
			p.class = (enum thread_class)i;
	}
	for (unsigned i = 0; i < ARRAY_SIZE(actions); i++) {
		if (!strcmp(actions[i].name, argv[4])) {
			p.name = actions[i].name;
			p.fn = actions[i].fn;
		}
	}
	if (!p.fn || p.class == THREAD_NR_CLASSES)
		return 2;
	return run(&p, &o, !strcmp(argv[2], "early"));
}
