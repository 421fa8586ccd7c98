# SPDX-License-Identifier: MIT
"""What is measured: each function takes one figure from one side."""
import contextlib
import fcntl
import os
import pathlib
import subprocess
import tempfile
import time

from ferrytest import NetNs
from ferrytest.leaks import mapped_kib
from ferrytest.netns import CLONE_NEWNET, in_thread, libc

from .sides import RAM_MIB
from .tcp import TcpSink, TcpSource
from .udp import UdpFlood, UdpHole

HOST_ADDR = "10.0.0.1"
GUEST_ADDR = "10.0.0.2"
TAP = "tap0"
WARM_UP_S = 0.3


class Bench:
    """What the measurements share: the image, how long each takes."""

    def __init__(self, image, seconds):
        self.image = image
        self.seconds = seconds


# --- launch, memory ------------------------------------------------------------------
def launch_ms(side, _bench):
    """From the start of the process to the guest's first byte."""
    return side.launch_s() * 1000


def overhead_mib(side, _bench):
    """Proportional set size without the guest's RAM, of an idle guest."""
    with side.idle() as guest:
        guest.wait_for("^idle ready")
        return mapped_kib(guest.pid, RAM_MIB << 20) / 1024


def first_touch_us(side, _bench):
    """A guest's first write to a page of its memory."""
    with side.memory("passes=1 mem=192M", "256M") as guest:
        pages = int(guest.wait_for(r"^dirty start pages=(\d+) ")[1])
        return int(guest.wait_for(r"^dirty pass=1 us=(\d+)\n")[1]) / pages


# --- save and restore ----------------------------------------------------------------
def saved_path(side, size_mib):
    """Where a side's guest is saved: in memory, so that no disk is measured."""
    return pathlib.Path(f"/dev/shm/ferrybench-{os.getpid()}-{side.name}-{size_mib}")


def save_ms(size_mib):
    """From the wish to the complete file, with the guest stopped."""
    def measure(side, _bench):
        path = saved_path(side, size_mib)
        try:
            return side.saved_s(size_mib, path) * 1000
        finally:
            path.unlink(missing_ok=True)
    return measure


def restore_ms(size_mib):
    """From the start of the process to the first byte of the guest that was saved."""
    def measure(side, _bench):
        path = saved_path(side, size_mib)
        try:
            side.saved_s(size_mib, path)
            return side.restored_s(size_mib, path) * 1000
        finally:
            path.unlink(missing_ok=True)
    return measure


# --- blk -----------------------------------------------------------------------------
def blk(words, field="iops", cached=False):
    """A measurement by the blk guest: a field of its report."""
    def measure(side, bench):
        time_s = max(1, round(bench.seconds))
        prepare_image(bench.image, cached)
        with side.disk(bench.image, f"bench=1 span=0 time={time_s} {words}", cached) as guest:
            return float(guest.wait_for(rf"^blk: bench .*\b{field}=([\d.]+) ",
                                        timeout_s=time_s + 20)[1])
    return measure


def prepare_image(image, cached):
    """All of it in the page cache, or none, whatever ran before, and nobody's lock on it.

    The kernel may tear down the io_uring of a process that has ended a moment later.
    """
    with open(image, "r+b", buffering=0) as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        if not cached:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            return
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass


def blk_exits(words):
    """Exits of the vCPU to the monitor for each request."""
    def measure(side, bench):
        prepare_image(bench.image, cached=False)
        with side.disk(bench.image, f"bench=1 span=0 time=2 {words}") as guest:
            guest.wait_for("^blk: capacity")
            exits_per_s = userspace_exits(guest.pid, 1.0)
            return exits_per_s / float(guest.wait_for(r"\biops=(\d+) ")[1])
    return measure


def userspace_exits(pid, seconds):
    """Returns of KVM_RUN a second, of all threads of a process, from KVM's tracepoint."""
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c",
         "[ -e /sys/kernel/tracing/events ] || mount -t tracefs none /sys/kernel/tracing\n"
         f"exec perf stat -x, -e kvm:kvm_userspace_exit -p {pid} sleep {seconds}"],
        capture_output=True, text=True, check=True)
    return int(done.stderr.split(",")[0]) / seconds


# --- net -----------------------------------------------------------------------------
class Counters:
    """Packets and bytes over an interface: where they are counted for both sides alike."""

    FIELDS = {"rx_bytes": 0, "rx_packets": 1, "tx_bytes": 8, "tx_packets": 9}

    def __init__(self, netns, name):
        self.name = name

        def open_table():
            assert libc.setns(netns.fd, CLONE_NEWNET) == 0
            return open("/proc/thread-self/net/dev", encoding="ascii")

        self.table = in_thread(open_table)

    def read(self, field):
        """The counter's value; seen from the host, so rx is what the guest sent."""
        self.table.seek(0)
        line = next(line for line in self.table if line.strip().startswith(f"{self.name}:"))
        return int(line.partition(":")[2].split()[self.FIELDS[field]])

    def rate(self, field, seconds):
        """A second, over so many seconds."""
        first, start_s = self.read(field), time.monotonic()
        time.sleep(seconds)
        return (self.read(field) - first) / (time.monotonic() - start_s)


def net(field, peer, words, scale=1):
    """A measurement at the tap, while a peer and the net guest keep it busy."""
    def measure(side, bench):
        with contextlib.ExitStack() as stack:
            netns = stack.enter_context(NetNs())
            netns.tap(TAP, f"{HOST_ADDR}/24")
            other = peer(netns)
            stack.callback(other.close)
            guest = stack.enter_context(
                side.nic(netns, TAP, f"ip={GUEST_ADDR}/24 {words}"))
            guest.wait_for("^net: up ")
            other.start()
            time.sleep(WARM_UP_S)
            counters = Counters(netns, TAP)
            stack.callback(counters.table.close)
            return counters.rate(field, bench.seconds) / scale
    return measure


def udp_hole(netns):
    """Takes what the guest floods."""
    return UdpHole(netns, HOST_ADDR)


def udp_flood(netns):
    """Floods the guest."""
    return UdpFlood(netns, GUEST_ADDR)


def tcp_sink(netns):
    """Takes the guest's stream."""
    return TcpSink(netns, HOST_ADDR)


def tcp_source(netns):
    """Sends the guest a stream."""
    return TcpSource(netns, GUEST_ADDR)


@contextlib.contextmanager
def bench_folder(below):
    """For the disk image: on a real file system."""
    below.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=below) as path:
        yield path
