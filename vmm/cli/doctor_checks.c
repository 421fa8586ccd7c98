// SPDX-License-Identifier: MIT
// The host's abilities that ferry uses, each tried by using it.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <liburing.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/io.h"
#include "vmm/cli/doctor.h"
#include "vmm/dirty_log.h"
#include "vmm/guest/runtime.h"
#include "vmm/kvm.h"
#include "vmm/sandbox/jail.h"
#include "vmm/sandbox/sandbox.h"

static __printf_like(2, 3) void detail(struct doctor_finding *f, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
	va_end(ap);
}

static __printf_like(3, 4) void missing(struct doctor_finding *f, enum doctor_verdict verdict,
					const char *fmt, ...)
{
	va_list ap;

	f->verdict = verdict;
	va_start(ap, fmt);
	(void)vsnprintf(f->remedy, sizeof(f->remedy), fmt, ap);
	va_end(ap);
}

/* --- KVM --- */

/* Which module the processor wants. */
static const char *kvm_module(void)
{
	FILE *info = fopen("/proc/cpuinfo", "re");
	const char *module = NULL;
	char line[4096];

	while (info && !module && fgets(line, sizeof(line), info)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		module = strstr(line, " vmx") ? "kvm_intel" : strstr(line, " svm") ? "kvm_amd" : "";
	}
	if (info)
		(void)fclose(info);
	return module ? module : "";
}

/* Debian's udev gives the device to group kvm; others may not. */
static void missing_permission(struct doctor_finding *f)
{
	struct group *group;
	struct stat st;

	if (stat("/dev/kvm", &st) < 0 || (st.st_mode & 0060) != 0060 || st.st_gid == 0) {
		missing(f, DOCTOR_MISSING,
			"as root, give it to a group (chgrp kvm /dev/kvm; chmod 660 /dev/kvm), "
			"and join that: usermod -aG kvm $USER");
		return;
	}
	group = getgrgid(st.st_gid);
	missing(f, DOCTOR_MISSING, "join its group, and log in again: usermod -aG %s $USER",
		group ? group->gr_name : "kvm");
}

static void check_kvm_device(struct doctor_finding *f)
{
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int error = errno;
	const char *module = kvm_module();

	if (fd >= 0) {
		detail(f, "/dev/kvm can be opened");
		return;
	}
	detail(f, "/dev/kvm: %s", strerror(error));
	if (error == EACCES || error == EPERM)
		missing_permission(f);
	else if (*module)
		missing(f, DOCTOR_MISSING, "load the module: modprobe %s", module);
	else
		missing(f, DOCTOR_MISSING,
			"switch virtualisation on in the firmware (or nested virtualisation in "
			"the outer host), then modprobe kvm_intel or kvm_amd");
}

static void check_kvm_version(struct doctor_finding *f)
{
	_cleanup_close_ int fd = -1;
	struct err e = { 0 };

	fd = kvm_open(&e);
	if (fd < 0) {
		detail(f, "unknown: no /dev/kvm");
		missing(f, DOCTOR_MISSING, "see kvm device");
	} else if (kvm_check_host(fd, &e) < 0) {
		detail(f, "%.150s", e.text);
		missing(f, DOCTOR_MISSING, "run a newer kernel");
	} else {
		detail(f, "%d vCPUs recommended, %d possible", kvm_recommended_vcpus(fd),
		       kvm_max_vcpus(fd));
	}
}

static void check_dirty_log(struct doctor_finding *f)
{
	static const char *const modes[] = {
		[DIRTY_LOG_READ_CLEARS] = "simple: each pass of a teleport slows the guest",
		[DIRTY_LOG_MANUAL] = "manual: the start of a teleport slows the guest",
		[DIRTY_LOG_INITIALLY_SET] = "manual, all pages set at the start",
	};
	_cleanup_close_ int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	enum dirty_log_mode mode = dirty_log_best_mode(fd);

	if (fd < 0) {
		detail(f, "unknown: no /dev/kvm");
		missing(f, DOCTOR_MISSING_OPTIONAL, "see kvm device");
		return;
	}
	detail(f, "%s", modes[mode]);
	if (mode != DIRTY_LOG_INITIALLY_SET)
		missing(f, DOCTOR_MISSING_OPTIONAL, "run kernel 5.7 or newer");
}

/* --- memory --- */

/* The number in a file of the kernel's; 0 where there is none. */
static unsigned long read_number(const char *path)
{
	FILE *file = fopen(path, "re");
	char text[32] = "";

	if (!file)
		return 0;
	if (!fgets(text, sizeof(text), file))
		text[0] = '\0';
	(void)fclose(file);
	return strtoul(text, NULL, 10);
}

static void check_hugepages(struct doctor_finding *f)
{
	unsigned long nr = read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	unsigned long left =
		read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");

	detail(f, "%lu of %lu pages of 2 MiB are free", left, nr);
	if (!nr)
		missing(f, DOCTOR_MISSING_OPTIONAL,
			"reserve some: sysctl vm.nr_hugepages=512 (1 GiB)");
}

static void check_thp(struct doctor_finding *f)
{
	char text[64] = "";
	FILE *file = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "re");

	if (file) {
		if (!fgets(text, sizeof(text), file))
			text[0] = '\0';
		(void)fclose(file);
	}
	text[strcspn(text, "\n")] = '\0';
	detail(f, "enabled: %s", *text ? text : "not there");
	if (strstr(text, "[never]") || !*text)
		missing(f, DOCTOR_MISSING_OPTIONAL,
			"echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
}

static void check_memlock(struct doctor_finding *f)
{
	struct rlimit rl = { 0 };

	(void)getrlimit(RLIMIT_MEMLOCK, &rl);
	if (rl.rlim_cur == RLIM_INFINITY)
		detail(f, "no limit");
	else
		detail(f, "%" PRIu64 " KiB", (uint64_t)rl.rlim_cur >> 10);
	if (rl.rlim_cur != RLIM_INFINITY && rl.rlim_cur < 64 * KIB)
		missing(f, DOCTOR_MISSING_OPTIONAL,
			"raise it: ulimit -l, or LimitMEMLOCK= of the service");
}

static void check_nofile(struct doctor_finding *f)
{
	struct rlimit rl = { 0 };

	(void)getrlimit(RLIMIT_NOFILE, &rl);
	detail(f, "%" PRIu64 " descriptors", (uint64_t)rl.rlim_max);
	if (rl.rlim_max < 1024)
		missing(f, DOCTOR_MISSING_OPTIONAL,
			"raise it: ulimit -Hn, or LimitNOFILE= of the service");
}

/* --- I/O --- */

static void check_io_uring(struct doctor_finding *f)
{
	struct io_uring ring;
	int rc = io_uring_queue_init(8, &ring, IORING_SETUP_CLAMP);

	if (rc == 0) {
		io_uring_queue_exit(&ring);
		detail(f, "works");
		return;
	}
	detail(f, "%s; ferry falls back to epoll and threads", strerror(-rc));
	missing(f, DOCTOR_MISSING_OPTIONAL,
		"sysctl kernel.io_uring_disabled=0, or allow it in this container's "
		"seccomp profile");
}

static void check_eventfd(struct doctor_finding *f)
{
	_cleanup_close_ int fd = eventfd(0, EFD_CLOEXEC);

	if (fd >= 0) {
		detail(f, "works");
		return;
	}
	detail(f, "%s", strerror(errno));
	missing(f, DOCTOR_MISSING, "allow eventfd2 in this container's seccomp profile");
}

/* --- networks --- */

/* Make a tap, which vanishes with the descriptor. */
static int try_tap(int fd, unsigned flags)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };

	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

static void check_tap(struct doctor_finding *f)
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int rc;

	if (fd < 0) {
		rc = errno;
		detail(f, "/dev/net/tun: %s", strerror(rc));
		missing(f, DOCTOR_MISSING_OPTIONAL,
			rc == ENOENT || rc == ENODEV
				? "load the module: modprobe tun"
				: "allow it: chmod 666 /dev/net/tun, or the device list of this "
				  "container");
		return;
	}
	rc = try_tap(fd, IFF_VNET_HDR | IFF_MULTI_QUEUE);
	if (rc == 0) {
		detail(f, "taps can be made, with offloads and several queues");
		return;
	}
	detail(f, "making a tap: %s", strerror(-rc));
	missing(f, DOCTOR_MISSING_OPTIONAL,
		"run as root (CAP_NET_ADMIN), or have taps made for you: ip tuntap add NAME "
		"mode tap user $USER");
}

/* --- the user's own --- */

static void check_runtime_dir(struct doctor_finding *f)
{
	char dir[108] = "";
	struct err e = { 0 };

	if (runtime_dir(dir, sizeof(dir), false, &e) == 0 &&
	    (access(dir, F_OK) < 0 || runtime_dir(dir, sizeof(dir), true, &e) == 0)) {
		detail(f, "%.150s", dir);
		return;
	}
	detail(f, "%.150s", e.text);
	missing(f, DOCTOR_MISSING_OPTIONAL, "mend it, or use --ephemeral, which needs none");
}

/* --- confinement --- */

static void check_seccomp(struct doctor_finding *f)
{
	int rc = sandbox_check_seccomp();

	if (rc == 0) {
		detail(f, "works");
		return;
	}
	detail(f, "%s", strerror(-rc));
	missing(f, DOCTOR_MISSING,
		"run a kernel with CONFIG_SECCOMP_FILTER, or guests with --seccomp off");
}

static void check_landlock(struct doctor_finding *f)
{
	int abi = sandbox_landlock_abi();

	if (abi) {
		detail(f, "version %d", abi);
		return;
	}
	detail(f, "none; system calls are filtered all the same");
	missing(f, DOCTOR_MISSING_OPTIONAL,
		"run a kernel with CONFIG_SECURITY_LANDLOCK, and with landlock in its lsm=");
}

static void check_jail(struct doctor_finding *f)
{
	int rc = jail_check();

	if (rc == 0) {
		detail(f, "works");
		return;
	}
	detail(f, "%s", strerror(-rc));
	missing(f, DOCTOR_MISSING_OPTIONAL, "%s", jail_remedy(rc));
}

static void check_user_namespaces(struct doctor_finding *f)
{
	unsigned long max = read_number("/proc/sys/user/max_user_namespaces");

	detail(f, "at most %lu", max);
	if (!max)
		missing(f, DOCTOR_MISSING_OPTIONAL, "sysctl user.max_user_namespaces=10000");
}

const struct doctor_check doctor_checks[] = {
	{ "kvm", "device", "runs guests", check_kvm_device },
	{ "kvm", "version", "runs guests", check_kvm_version },
	{ "kvm", "dirty log", "teleport", check_dirty_log },
	{ "memory", "huge pages", "--hugepages", check_hugepages },
	{ "memory", "transparent huge pages", "fewer page faults", check_thp },
	{ "memory", "locked memory", "registered I/O buffers", check_memlock },
	{ "io", "eventfd", "interrupts and kicks", check_eventfd },
	{ "io", "io_uring", "event loop and disks", check_io_uring },
	{ "io", "descriptors", "many disks and queues", check_nofile },
	{ "net", "tap", "--net tap", check_tap },
	{ "confine", "seccomp", "lists of system calls", check_seccomp },
	{ "confine", "landlock", "files out of reach", check_landlock },
	{ "confine", "jail", "--jail, --jail-net", check_jail },
	{ "user", "runtime directory", "names and control sockets", check_runtime_dir },
	{ "user", "user namespaces", "tests without root", check_user_namespaces },
};
const unsigned doctor_nr_checks = ARRAY_SIZE(doctor_checks);
