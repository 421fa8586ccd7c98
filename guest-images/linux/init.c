// SPDX-License-Identifier: MIT
/*
 * Process 1 of the Linux test guest.
 *
 * Theory of operation: mount the kernel's file systems, start a shell on every
 * console, start the network, then wait: for dead children (the shells are
 * started again), for a connection to port 22 (each gets a dropbear of its
 * own), for the power button and for the signals of halt, poweroff and reboot.
 * One process in place of init, getty, inetd and acpid, because a fork with
 * exec takes a noticeable part of a second where kernel mode is emulated; for
 * the same reason children are made with vfork().
 *
 * From the kernel command line it takes
 *   net=none | dhcp | ADDRESS/PREFIX[,GATEWAY]	eth0 (default: dhcp)
 *   -- COMMAND...	run by the shell on the first console in place of an
 *			interactive shell; then the guest powers off
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/input.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS   2000 /* between SIGTERM and SIGKILL at the end */
#define MAX_INPUTS 4

struct console {
	const char *path;
	pid_t pid;
};

static char *const environment[] = {
	"PATH=/bin:/mnt/bin", "HOME=/root", "TERM=linux", "USER=root", "PS1=guest# ", NULL,
};

static const int handled_signals[] = { SIGCHLD, SIGTERM, SIGUSR1, SIGUSR2 };

static void mount_all(void)
{
	static const struct {
		const char *type, *dir;
	} mounts[] = {
		{ "devtmpfs", "/dev" },   { "proc", "/proc" }, { "sysfs", "/sys" },
		{ "devpts", "/dev/pts" }, { "tmpfs", "/tmp" },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		(void)mkdir(mounts[i].dir, 0755);
		if (mount(mounts[i].type, mounts[i].dir, mounts[i].type, 0, "") < 0 &&
		    errno != EBUSY)
			perror(mounts[i].dir);
	}
}

static void __attribute__((noreturn)) run(const char *tty, int fd, char *const argv[])
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if (tty) {
		fd = open(tty, O_RDWR);
		if (fd < 0)
			_exit(127);
		ioctl(fd, TIOCSCTTY, 0);
		dup2(fd, STDERR_FILENO);
	} else {
		/* keep the console quiet */
		dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDERR_FILENO);
	}
	if (fd >= 0) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
	}
	if (fd > STDERR_FILENO)
		close(fd);
	execve(argv[0], argv, environment);
	_exit(127);
}

/* Start a program in a session of its own, on terminal @tty or with @fd as its input and output. */
static pid_t spawn(const char *tty, int fd, char *const argv[])
{
	pid_t pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): see above */

	if (pid == 0)
		run(tty, fd, argv); /* NOLINT(clang-analyzer-unix.Vfork): it does not return */
	return pid;
}

static void start_shell(struct console *con)
{
	static char *const argv[] = { "/bin/sh", NULL };

	con->pid = spawn(con->path, -1, argv);
}

static pid_t start_command(const char *tty, char *const words[])
{
	static char line[2048];
	char *const argv[] = { "/bin/sh", "-c", line, NULL };
	size_t used = 0;

	for (; *words && used < sizeof(line); words++)
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s ", *words);
	return spawn(tty, -1, argv);
}

static bool set_link_up(const char *name)
{
	struct ifreq req = { .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int ret;

	strncpy(req.ifr_name, name, sizeof(req.ifr_name) - 1);
	ret = ioctl(fd, SIOCSIFFLAGS, &req);
	close(fd);
	return ret == 0;
}

static void start_network(void)
{
	/* discover each second, until there is a lease; the script configures the interface */
	static char *const dhcp[] = { "/bin/udhcpc", "-f",  "-ieth0",        "-t30",
				      "-T1",         "-A1", "-s/etc/net.sh", NULL };
	const char *how = getenv("net");
	char *const fixed[] = { "/etc/net.sh", "static", (char *)how, NULL };

	set_link_up("lo");
	if ((how && !strcmp(how, "none")) || !set_link_up("eth0"))
		return;
	(void)spawn(NULL, -1, how && strcmp(how, "dhcp") ? fixed : dhcp);
}

static int listen_ssh(void)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(22) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, 8) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void accept_ssh(int listener)
{
	static char *const argv[] = { "/bin/dropbear", "-i", NULL };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	if (fd < 0)
		return;
	(void)spawn(NULL, fd, argv);
	close(fd);
}

static bool power_pressed(int fd)
{
	struct input_event ev;
	bool pressed = false;

	while (read(fd, &ev, sizeof(ev)) == sizeof(ev))
		pressed |= ev.type == EV_KEY && ev.code == KEY_POWER && ev.value == 1;
	return pressed;
}

/* Take everything down in order; does not return. */
static void __attribute__((noreturn)) finish(int how)
{
	static const struct timespec grace = { .tv_nsec = GRACE_MS % 1000 * 1000000L,
					       .tv_sec = GRACE_MS / 1000 };
	char line[512], dir[256];
	sigset_t child;
	FILE *mounts;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	kill(-1, SIGTERM);
	kill(-1, SIGHUP); /* interactive shells ignore SIGTERM */
	/* several ends may be behind one signal: wait only when there is nobody to collect */
	while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0)
		if (pid == 0 && sigtimedwait(&child, NULL, &grace) < 0)
			break;
	kill(-1, SIGKILL);
	sync();
	mounts = fopen("/proc/mounts", "re");
	while (mounts && fgets(line, sizeof(line), mounts))
		if (!strncmp(line, "/dev/", 5) && sscanf(line, "%*s %255s", dir) == 1)
			if (umount(dir) < 0)
				mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL);
	sync();
	reboot(how);
	for (;;)
		pause();
}

static void reap(struct console *consoles, size_t nr, pid_t command)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == command) {
			printf("guest: command exited with status %d\n",
			       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
			fflush(stdout);
			finish(RB_POWER_OFF);
		}
		for (size_t i = 0; i < nr; i++)
			if (pid == consoles[i].pid)
				start_shell(&consoles[i]);
	}
}

static void take_signal(int fd, struct console *consoles, size_t nr, pid_t command)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return;
	switch (info.ssi_signo) {
	case SIGCHLD:
		reap(consoles, nr, command);
		break;
	case SIGUSR1:
		finish(RB_HALT_SYSTEM);
	case SIGUSR2:
		finish(RB_POWER_OFF);
	default:
		finish(RB_AUTOBOOT);
	}
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(handled_signals) / sizeof(handled_signals[0]); i++)
		sigaddset(&set, handled_signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static nfds_t open_inputs(struct pollfd *fds)
{
	nfds_t nr = 0;

	for (int i = 0; i < MAX_INPUTS; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/dev/input/event%d", i);
		fds[nr] = (struct pollfd){ .fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC),
					   .events = POLLIN };
		if (fds[nr].fd >= 0)
			nr++;
	}
	return nr;
}

static void say_ready(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	printf("guest: ready after %ld.%02ld s\n", (long)now.tv_sec, now.tv_nsec / 10000000);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct console consoles[] = { { "/dev/ttyS0", 0 }, { "/dev/hvc0", 0 } };
	const size_t nr = sizeof(consoles) / sizeof(consoles[0]);
	struct pollfd fds[2 + MAX_INPUTS];
	pid_t command = 0;
	nfds_t nr_fds;

	mount_all();
	(void)sethostname("guest", 5);
	fds[0] = (struct pollfd){ .fd = open_signals(), .events = POLLIN };
	say_ready();
	if (argc > 1)
		command = start_command("/dev/console", argv + 1);
	for (size_t i = 0; i < nr && !command; i++)
		if (access(consoles[i].path, F_OK) == 0)
			start_shell(&consoles[i]);
	start_network();
	fds[1] = (struct pollfd){ .fd = listen_ssh(), .events = POLLIN };
	nr_fds = 2 + open_inputs(fds + 2);

	for (;;) {
		if (poll(fds, nr_fds, -1) < 0)
			continue;
		if (fds[0].revents)
			take_signal(fds[0].fd, consoles, nr, command);
		if (fds[1].revents)
			accept_ssh(fds[1].fd);
		for (nfds_t i = 2; i < nr_fds; i++)
			if (fds[i].revents && power_pressed(fds[i].fd))
				finish(RB_POWER_OFF);
	}
}
