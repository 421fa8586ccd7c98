// SPDX-License-Identifier: MIT
// Which system calls a thread of a guest's process may make, and who makes them.
#include "vmm/sandbox/filters.h"

#include <asm/ioctls.h>
#include <asm/unistd.h>
#include <errno.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/io_uring.h>
#include <linux/kvm.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "util/compiler.h"

/* Classes, as bits. */
#define MAIN (1U << THREAD_MAIN)
#define VCPU (1U << THREAD_VCPU)
#define IO   (1U << THREAD_IO)
#define NET  (1U << THREAD_NET)
#define MOVE (1U << THREAD_MOVE)
#define ALL  (MAIN | VCPU | IO | NET | MOVE)
/* The main thread may not do it, although others may. */
#define NOT_MAIN (1U << THREAD_NR_CLASSES)
/* Those that start threads, and the threads that they start. */
#define STARTS (MAIN | IO | MOVE)

/* Conditions on an argument. */
#define IS(n, v)       .when = { true, n, ~0ULL, v }
#define HAS_NONE(n, m) .when = { true, n, m, 0 }
#define RARE           .rare = true

/* What glibc asks for when it starts a thread; a process would lack some. */
#define THREAD_FLAGS                                                                               \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |        \
	 CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

/* _IOWR('f', 16, struct pm_scan_arg), newer than Debian 12's headers; see gmem_scan.c. */
#define PAGEMAP_SCAN_IOCTL 0xc0606610U

#define CALL(name, who, why, ...)                                                                  \
	{                                                                                          \
		.nr = __NR_##name, .classes = (who), .use = (why), ##__VA_ARGS__                   \
	}
#define REQUEST(request, who, why, ...)                                                            \
	{                                                                                          \
		.nr = __NR_ioctl, .classes = (who), .use = (why), IS(1, request), ##__VA_ARGS__    \
	}
#define REFUSE(name, code, who, why, ...)                                                          \
	{                                                                                          \
		.nr = __NR_##name, .classes = (who), .use = (why), .action = FILTER_REFUSE,        \
		.error = (code), ##__VA_ARGS__                                                     \
	}

const struct filter_entry filter_entries[] = {
	/* --- what the C library does in any thread --- */
	CALL(read, ALL, "descriptors that are open: eventfd, disk, console, socket"),
	CALL(write, ALL, "the same; messages on standard error"),
	CALL(close, ALL, "what is not needed any more"),
	CALL(futex, ALL, "mutexes, conditions, semaphores, joining threads"),
	CALL(mmap, ALL, "malloc, stacks of threads; never executable", HAS_NONE(2, PROT_EXEC)),
	CALL(mprotect, ALL, "malloc's heaps, guards of stacks; never executable",
	     HAS_NONE(2, PROT_EXEC)),
	CALL(munmap, ALL, "malloc, stacks of threads, guest memory at the end"),
	CALL(mremap, ALL, "realloc of large blocks"),
	CALL(madvise, ALL, "malloc and stacks give memory back; the balloon; arriving memory"),
	CALL(brk, ALL, "malloc"),
	CALL(sched_getaffinity, ALL, "malloc asks how many processors there are"),
	CALL(sysinfo, ALL, "qsort asks how much memory there is"),
	CALL(rt_sigprocmask, ALL, "pthread_create, abort, pthread_sigmask"),
	CALL(rt_sigreturn, ALL, "the end of a signal handler", RARE),
	CALL(rt_sigaction, ALL, "abort and our handler of violations give SIGABRT and SIGSYS back"),
	CALL(restart_syscall, ALL, "the kernel's, after SIGSTOP and SIGCONT", RARE),
	CALL(exit, ALL, "the end of a thread"),
	CALL(exit_group, ALL, "the end of the process"),
	CALL(getpid, ALL, "raise, pthread_kill"),
	CALL(gettid, ALL, "raise, pthread_kill"),
	CALL(tgkill, ALL, "kicks vCPUs; abort and raise: this process only", IS(0, FILTER_OWN_PID)),
	CALL(clock_gettime, ALL, "processor time; clocks that the vDSO cannot read"),
	CALL(gettimeofday, ALL, "the same", RARE),
	CALL(time, ALL, "the same", RARE),
	CALL(clock_nanosleep, ALL, "event loops wait a little where the kernel lacks memory", RARE),
	CALL(getrandom, ALL, "the entropy device, TLS, malloc's and glibc's own seeds"),
	CALL(poll, ALL, "can standard error take a line? sockets, eventfds"),
	REQUEST(TCSETS, ALL, "a terminal is put right by whichever thread ends the process"),
	REQUEST(TCGETS, ALL, "tcsetattr looks if that did all of it; is it a terminal?"),

	/* --- starting threads: vCPUs, engines and movers come later than confinement --- */
	CALL(clone, STARTS, "pthread_create: a thread, never a process", IS(0, THREAD_FLAGS)),
	REFUSE(clone3, ENOSYS, STARTS, "its flags cannot be judged: glibc then takes clone"),
	CALL(set_robust_list, STARTS, "glibc, as a thread begins"),
	CALL(rseq, STARTS, "glibc, as a thread begins"),
	CALL(prctl, STARTS, "a thread names itself", IS(0, PR_SET_NAME)),
	CALL(seccomp, STARTS, "a thread takes its own, narrower filter; few but main start those",
	     IS(0, SECCOMP_SET_MODE_FILTER), RARE),
	CALL(landlock_restrict_self, STARTS, "the same for its domain", RARE),

	/* --- vCPUs: the guest, and the registers of its devices --- */
	REQUEST(KVM_RUN, VCPU, "runs the guest"),
	REQUEST(KVM_IOEVENTFD, VCPU, "a BAR moves, and with it the queues' doorbells"),
	REQUEST(KVM_IRQFD, VCPU, "MSI-X: a vector is masked, unmasked, given to a queue"),
	REQUEST(KVM_SET_GSI_ROUTING, VCPU, "MSI-X: a vector gets its message"),
	REQUEST(KVM_IRQ_LINE, VCPU | IO | NET, "serial port, RTC, ACPI; virtio without MSI-X"),
	REQUEST(KVM_GET_REGS, VCPU | MOVE, "where it was when the guest crashed; saved state"),
	REQUEST(TUNSETOFFLOAD, VCPU, "a driver negotiates offloads, or resets the card"),
	REQUEST(TUNSETOFFLOAD, IO, "a driver changes them later, as Linux does for XDP", RARE),
	REQUEST(TUNSETQUEUE, VCPU | IO, "a driver uses more queue pairs, or resets the card"),
	CALL(timer_create, VCPU, "auto-converge: rest for vCPUs that write too fast", RARE),
	CALL(timer_settime, VCPU, "the same", RARE),
	CALL(timer_delete, VCPU, "the same", RARE),

	/* --- event loops: of disks, taps, the small devices, and the main loop --- */
	CALL(io_uring_enter, IO | NET, "waits and does I/O; the ring is restricted, loop_uring.c"),
	CALL(io_uring_register, IO | NET,
	     "a thread registers its ring's descriptor, and takes it back",
	     IS(1, IORING_REGISTER_RING_FDS)),
	CALL(io_uring_register, MAIN, "the same; liburing at the end",
	     IS(1, IORING_UNREGISTER_RING_FDS)),
	CALL(io_uring_register, IO | NET, "a loop begins", IS(1, IORING_REGISTER_ENABLE_RINGS)),
	REFUSE(io_uring_setup, EPERM, MAIN,
	       "a new ring would be unrestricted: a loop that comes later uses epoll"),
	CALL(epoll_wait, IO | NET, "loops where io_uring is refused; libslirp's sockets"),
	CALL(epoll_ctl, IO | NET, "the same"),
	CALL(epoll_create1, MAIN, "a loop that comes later"),
	CALL(pread64, MOVE, "kernel and initrd; saved files"),
	CALL(preadv2, IO, "a disk without io_uring"),
	CALL(pwritev2, IO, "a disk without io_uring"),
	CALL(fdatasync, IO, "a disk without io_uring"),
	CALL(fallocate, IO, "a disk without io_uring: discard", RARE),
	CALL(readv, IO, "frames from a tap, input of the console"),
	CALL(writev, IO, "frames to a tap, output of the console"),

	/* --- user networking: libslirp's sockets --- */
	CALL(socket, NET | MOVE, "the guest's connections; teleport", IS(0, AF_INET)),
	CALL(socket, MOVE, "the same", IS(0, AF_INET6)),
	CALL(socket, NET, "the guest's connections by IPv6, where the host has it", IS(0, AF_INET6),
	     RARE),
	CALL(socket, MOVE, "teleport over a UNIX socket", IS(0, AF_UNIX)),
	CALL(socket, NET, "an address names its interface", IS(0, AF_UNIX), RARE),
	CALL(connect, NET | MOVE, "the guest's connections; teleport"),
	CALL(bind, MAIN, "forwarded ports of a nic that comes later; the guest gets another name"),
	CALL(listen, MAIN, "the same"),
	CALL(accept, NET, "connections to forwarded ports"),
	CALL(accept4, MAIN, "control socket, console socket"),
	CALL(getsockname, NET, "addresses of connections, for guests that use FTP", RARE),
	CALL(getpeername, NET | MOVE, "addresses of connections"),
	CALL(getsockopt, NET | MOVE, "errors of connections, credentials of peers, TCP_INFO"),
	CALL(setsockopt, NET | MOVE, "buffers, keep-alive, TCP_NODELAY"),
	CALL(shutdown, NET | MOVE, "connections end"),
	CALL(sendto, VCPU | IO | NOT_MAIN, "what the guest prints, to consoles that are sockets",
	     IS(4, 0)),
	CALL(sendto, NET, "sockets"),
	CALL(recvfrom, NET, "sockets"),
	CALL(sendmsg, MOVE, "sockets; descriptors for other processes"),
	CALL(recvmsg, NET | MOVE, "the same"),
	/* Not all commands: F_SETOWN and F_SETSIG send any signal to any process. */
	CALL(fcntl, NET | MOVE, "O_NONBLOCK", IS(1, F_GETFL)),
	CALL(fcntl, NET | MOVE, "the same", IS(1, F_SETFL)),
	CALL(fcntl, NET, "libslirp: close-on-exec", IS(1, F_SETFD), RARE),
	CALL(fcntl, NET, "the same", IS(1, F_GETFD), RARE),
	CALL(fcntl, MAIN, "duplicates of what clients bring", IS(1, F_DUPFD_CLOEXEC)),
	CALL(fcntl, MOVE, "locks of images and names", IS(1, F_OFD_SETLK)),
	CALL(fcntl, MOVE, "who has the lock of an image?", IS(1, F_OFD_GETLK)),
	CALL(fcntl, MAIN, "the guest gets another name: its lock", IS(1, F_OFD_SETLKW)),
	CALL(lseek, MOVE, "holes of saved files"),
	CALL(lseek, NET, "resolv.conf is closed before its end: many name servers", RARE),
	CALL(newfstatat, NET | MOVE, "the C library's fstat; has resolv.conf changed?"),
	CALL(getppid, MAIN,
	     "glib's seed for a user network that comes later, without /dev/urandom"),
	CALL(openat, NET | NOT_MAIN, "libslirp reads resolv.conf, all that Landlock allows",
	     HAS_NONE(2, ~(uint64_t)O_CLOEXEC)),
	REQUEST(FIONREAD, NET, "libslirp: urgent data", RARE),
	REQUEST(SIOCGIFINDEX, NET | MOVE, "an address names its interface", RARE),

	/* --- teleport, save and restore --- */
	CALL(pwrite64, MOVE, "saved files"),
	CALL(preadv, MOVE, "saved files", RARE),
	CALL(fsync, MOVE, "saved files; a disk's writes before another host has it"),
	CALL(fadvise64, MOVE, "an image that another host wrote to is read anew"),
	REQUEST(BLKFLSBUF, MOVE, "the same for a disk that is a block device"),
	REQUEST(BLKGETSIZE64, MOVE, "has such a disk the size that it had?"),
	CALL(ftruncate, MOVE, "saved files"),
	CALL(membarrier, MAIN, "dirty logging begins"),
	CALL(eventfd2, MOVE, "a teleport that can be cancelled"),
	CALL(dup2, MOVE, "a guest that arrived leaves the listener's pipe"),
	CALL(uname, MOVE, "TLS", RARE),
	REQUEST(PAGEMAP_SCAN_IOCTL, MOVE, "which pages the guest has"),
	REQUEST(KVM_CHECK_EXTENSION, MOVE, "which features the state has"),
	REQUEST(KVM_ENABLE_CAP, MAIN, "dirty logging by hand"),
	REQUEST(KVM_SET_USER_MEMORY_REGION, MAIN, "dirty logging begins, ends"),
	REQUEST(KVM_GET_DIRTY_LOG, MOVE, "pages that the guest wrote"),
	REQUEST(KVM_CLEAR_DIRTY_LOG, MOVE, "pages that are sent next"),
	REQUEST(KVM_GET_SREGS, MOVE, "saved state"),
	REQUEST(KVM_GET_XSAVE, MOVE, "saved state"),
	REQUEST(KVM_GET_XSAVE2, MOVE, "saved state of a processor whose state is large", RARE),
	REQUEST(KVM_GET_XCRS, MOVE, "saved state"),
	REQUEST(KVM_GET_DEBUGREGS, MOVE, "saved state"),
	REQUEST(KVM_GET_LAPIC, MOVE, "saved state"),
	REQUEST(KVM_GET_VCPU_EVENTS, MOVE, "saved state"),
	REQUEST(KVM_GET_MP_STATE, MOVE, "saved state"),
	REQUEST(KVM_GET_MSRS, MOVE, "saved state"),
	REQUEST(KVM_GET_TSC_KHZ, MAIN, "saved state"),
	REQUEST(KVM_GET_DEVICE_ATTR, MOVE, "saved state"),
	REQUEST(KVM_GET_CLOCK, MOVE, "saved state"),
	REQUEST(KVM_GET_IRQCHIP, MOVE, "saved state"),
	REQUEST(KVM_GET_PIT2, MOVE, "saved state"),
	REQUEST(KVM_KVMCLOCK_CTRL, MAIN, "the guest forgives a pause"),

	/* --- the main thread: reset, loaded state, life and end of the guest --- */
	REQUEST(KVM_SET_REGS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_SREGS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_XSAVE, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_XCRS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_DEBUGREGS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_LAPIC, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_VCPU_EVENTS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_MP_STATE, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_MSRS, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_TSC_KHZ, MAIN, "loaded state, from a host of another frequency", RARE),
	REQUEST(KVM_SET_DEVICE_ATTR, MAIN, "loaded state"),
	REQUEST(KVM_SET_CLOCK, MAIN, "loaded state"),
	REQUEST(KVM_SET_IRQCHIP, MAIN, "reset, loaded state"),
	REQUEST(KVM_SET_PIT2, MAIN, "reset, loaded state"),
	REQUEST(BLKSSZGET, MAIN, "a device that comes as a disk: its logical blocks"),
	REQUEST(BLKROGET, MAIN, "the same: may it be written to?"),
	REQUEST(TUNGETIFF, MAIN, "is what came for a new nic the queue of a tap?"),
	REQUEST(TUNSETVNETHDRSZ, MAIN, "the same: its headers get the size that we use"),
	REQUEST(SIOCGIFFLAGS, MAIN, "a tap that was there before is put back"),
	REQUEST(SIOCSIFFLAGS, MAIN, "the same, if something has changed", RARE),
	REQUEST(SIOCGIFMTU, MAIN, "a tap that was there before is put back"),
	REQUEST(SIOCSIFMTU, MAIN, "the same, if something has changed", RARE),
	REQUEST(SIOCBRDELIF, MAIN, "the same, if something has changed", RARE),
	REQUEST(KVM_SET_GUEST_DEBUG, MAIN, "gdb"),
	REQUEST(KVM_TRANSLATE, MAIN, "gdb"),
	REQUEST(KVM_SIGNAL_MSI, MAIN, "the guest gets an NMI"),
	REQUEST(KVM_GET_STATS_FD, MAIN, "counters of KVM's"),
	CALL(sched_setaffinity, MAIN, "vCPUs are pinned"),
	CALL(fchmod, MAIN, "the guest gets another name, and its socket with it"),
	CALL(mkdir, MAIN, "the guest gets another name: is the folder of sockets there?"),
	CALL(wait4, MAIN, "ferry-net has ended"),
	CALL(geteuid, MAIN, "may this client give commands?"),
	CALL(unlink, MAIN, "the guest's socket goes with it; Landlock allows its folder alone"),
	CALL(unlink, MOVE, "a core that fails, where files cannot be without names", RARE),
	REFUSE(openat, EACCES, VCPU | IO,
	       "malloc counts processors, gnutls and glibc look for settings: all do without"),
	CALL(openat, MOVE, "cores, where Landlock allows it; elsewhere it fails, which is fine"),
	CALL(linkat, MOVE, "a core gets its name"),
	CALL(renameat2, MOVE, "the same, where files cannot be without names"),
	CALL(access, MAIN, "is a pty's link there, is a core?"),
	CALL(getdents64, MAIN | MOVE, "glibc counts processors, on kernels without Landlock", RARE),
	REFUSE(readlink, EACCES, MAIN | MOVE, "the same", RARE),
};
const size_t filter_nr_entries = ARRAY_SIZE(filter_entries);
