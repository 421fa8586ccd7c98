# SPDX-License-Identifier: MIT
"""Live migration of one guest, by ferry and by QEMU, between the same two hosts."""
import contextlib
import dataclasses
import json
import mmap
import os
import resource
import time

from ferrytest import Control, Lab, Qemu

from .pings import Announcements, Pinger

PORT = 8002
LIMIT_MS = 300
MOVE_S = 120
TICK_MS = 1
AROUND_S = 0.005  # between the hand-over and that the guest is announced, at most
GUEST_ADDR = "10.77.0.50"
MIB = 1 << 20
CAN_FILL_S = 60
QEMU_POLL_S = 0.01
CONVERGE_S = 15  # who has not come to an end then hands over whatever the downtime
ANY_DOWNTIME_MS = 1_000_000


@dataclasses.dataclass(frozen=True)
class Scene:
    """A guest and a way to move it."""

    image: str = "idle"
    words: str = ""
    memory_mib: int = 256
    vcpus: int = 1
    streams: int = 1
    ping_ms: int = 0    # it has a nic, and is pinged each so many ms
    warm: bool = False  # the destination finds its memory at once

    def ready(self):
        """What it prints when it may be moved: its memory has contents."""
        return {"idle": "^idle ready", "dirty": "^dirty pass=1 ", "net": "^net: up "}[self.image]


@dataclasses.dataclass
class Moved:
    """What one migration cost."""

    silence_ms: float = 0  # at the hand-over, as who watches the guest sees it
    longest_ms: float = 0  # at any time of the migration
    own_ms: float = 0      # downtime, as its monitor tells
    total_ms: float = 0
    wire_mib: float = 0    # at the source's network interface
    cpu_s: float = 0       # of both processes, the guest's work included
    phases_us: dict = dataclasses.field(default_factory=dict)
    passes: int = 0
    memory_ms: float = 0   # of all that, while the guest ran: passes


# --- what is measured from outside ---------------------------------------------------
def cpu_s(pid):
    """CPU seconds of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children_cpu_s():
    """CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def warm_up(scene):
    """Let the host find as much memory as the guest has, and give it back.

    Where the host is a virtual machine, the one below has to find it first: seconds for
    a GiB, unless somebody has just freed some.
    """
    if not scene.warm:
        return
    with mmap.mmap(-1, scene.memory_mib * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, len(memory), mmap.PAGESIZE):
            memory[at] = 1


def sent_bytes(host):
    """What a host has sent to the others."""
    links = json.loads(host.net.ip("-s -j link show up0"))
    return links[0]["stats64"]["tx"]["bytes"]


class Ticks:
    """The consoles, here and there, of a guest that speaks all the time."""

    def __init__(self, here, there):
        self.here, self.there = here, there
        self.start_s = time.monotonic()

    def moved(self):
        """Which words are whose is known."""

    def look(self, moved):
        """Fill in what was seen."""
        moved.silence_ms = 1000 * (self.there.arrivals[0] - self.here.arrivals[-1])
        times = [at for at in self.here.arrivals + self.there.arrivals if at >= self.start_s]
        moved.longest_ms = 1000 * max(b - a for a, b in zip(times, times[1:]))

    def close(self):
        """Nothing to end."""

    def wait_alive(self):
        """The guest is heard there."""
        deadline_s = time.monotonic() + MOVE_S
        while len(self.there.arrivals) < 3:
            assert time.monotonic() < deadline_s, "the guest says nothing more"
            time.sleep(TICK_MS / 1000)


class Pings:
    """A third host that pings the guest."""

    def __init__(self, lab, interval_ms):
        self.announcements = Announcements(lab.peer.net)
        self.pinger = Pinger(lab.peer.net, GUEST_ADDR, interval_ms)
        self.wait_replies(20)
        self.start_s = time.time()

    def moved(self):
        """That is heard."""

    def look(self, moved):
        """Fill in the longest times without a reply."""
        times = [at for at in self.pinger.arrivals if at >= self.start_s]
        gaps = list(zip(times, times[1:]))
        there_s = self.announcements.first_s(self.start_s)
        here_s = there_s - moved.own_ms / 1000
        moved.longest_ms = 1000 * max(b - a for a, b in gaps)
        moved.silence_ms = 1000 * max(b - a for a, b in gaps
                                      if b >= here_s - AROUND_S and a <= there_s + AROUND_S)

    def wait_replies(self, more):
        """So many that are not there yet."""
        assert self.pinger.wait_replies(more, MOVE_S), "the guest does not answer any more"

    def wait_alive(self):
        """A few replies more."""
        self.wait_replies(20)

    def close(self):
        """No more of it."""
        self.pinger.close()
        self.announcements.close()


def watch(scene, lab, *streams):
    """The one who watches this guest."""
    watcher = Pings(lab, scene.ping_ms) if scene.ping_ms else Ticks(*streams)
    lab.stack.callback(watcher.close)
    return watcher


# --- ferry ---------------------------------------------------------------------------
def ferry_guest(scene, lab):
    """The guest on host1, ready."""
    nic = "tap,bridge=br0" if scene.ping_ms else "none"
    guest = lab.stack.enter_context(
        lab.host1.guest(scene.image, append=scene.words, memory=f"{scene.memory_mib}M",
                        vcpus=scene.vcpus, net=nic))
    lab.console().wait_for(scene.ready(), CAN_FILL_S)
    return guest


def ferry_move(scene):
    """One move by ferry."""
    with Lab() as lab:
        guest = ferry_guest(scene, lab)
        listener = lab.stack.enter_context(lab.host2.receive(console_of="there"))
        warm_up(scene)
        watcher = watch(scene, lab, lab.console().out, lab.console("there").out)
        cpu_before_s, sent = cpu_s(guest.pid), sent_bytes(lab.host1)
        move = lab.host1.teleport("g", listener, max_downtime=f"{LIMIT_MS}ms",
                                  streams=scene.streams, timeout=CONVERGE_S, on_timeout="switch")
        result = move.result(MOVE_S)
        watcher.moved()
        assert result["status"] == "completed", result
        copy = listener.arrived("g")
        destination_s = cpu_s(copy.pid)
        moved = Moved(own_ms=result["ferry"]["downtime-us"] / 1000,
                      total_ms=result["total-time"], phases_us=result["ferry"]["phases-us"],
                      passes=result["ram"]["dirty-sync-count"],
                      memory_ms=result["ferry"]["phases-us"]["precopy"] / 1000,
                      wire_mib=(sent_bytes(lab.host1) - sent) / MIB)
        ended_s = children_cpu_s()
        guest.wait()
        moved.cpu_s = children_cpu_s() - ended_s - cpu_before_s + destination_s
        watcher.wait_alive()
        watcher.look(moved)
        return moved


# --- QEMU ----------------------------------------------------------------------------
def qemu_guest(scene, host, *extra):
    """The same guest under QEMU, on a host of the lab."""
    words = scene.words
    nic = ()
    if scene.ping_ms:
        host.net.tap("tap0", bridge="br0")
        nic = "tap:tap0,mac=02:00:00:00:00:50"
        words += " ecam=0xe0000000"
    return host.lab.stack.enter_context(
        Qemu(scene.image, *extra, append=words, memory=f"{scene.memory_mib}M",
             vcpus=scene.vcpus, net=nic, netns=host.net))


def qemu_set_up(control, scene):
    """As fast as it can: its own limit of 128 MiB/s is raised, channels as ferry has streams."""
    wanted = ["events"] + (["multifd"] if scene.streams > 1 else [])
    control.execute("migrate-set-capabilities",
                    capabilities=[{"capability": name, "state": True} for name in wanted])
    parameters = {"max-bandwidth": 1 << 40, "downtime-limit": LIMIT_MS}
    if scene.streams > 1:
        parameters["multifd-channels"] = scene.streams
    control.execute("migrate-set-parameters", **parameters)


def qemu_wait(control, timeout_s):
    """Until the migration is complete. False: it was not in that time."""
    deadline_s = time.monotonic() + timeout_s
    while (status := control.execute("query-migrate")["status"]) != "completed":
        assert status != "failed", control.execute("query-migrate")
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(QEMU_POLL_S)
    return True


def qemu_move(scene):
    """One move by QEMU."""
    with Lab() as lab, contextlib.ExitStack() as stack:
        source = qemu_guest(scene, lab.host1)
        destination = qemu_guest(scene, lab.host2, "-incoming", "defer")
        controls = [stack.enter_context(Control(guest.socket_path(), MOVE_S, negotiate=True))
                    for guest in (source, destination)]
        for control in controls:
            qemu_set_up(control, scene)
        uri = f"tcp:{lab.host2.address}:{PORT}"
        controls[1].execute("migrate-incoming", uri=uri)
        source.wait_for(scene.ready(), CAN_FILL_S)
        warm_up(scene)
        watcher = watch(scene, lab, source.out, destination.out)
        cpu_before_s = cpu_s(source.pid) + cpu_s(destination.pid)
        sent = sent_bytes(lab.host1)
        controls[0].execute("migrate", uri=uri)
        if not qemu_wait(controls[0], CONVERGE_S):
            # As ferry's --on-timeout switch.
            controls[0].execute("migrate-set-parameters", **{"downtime-limit": ANY_DOWNTIME_MS})
            assert qemu_wait(controls[0], MOVE_S), "it never ended"
        controls[1].wait_event("RESUME", MOVE_S)
        watcher.moved()
        result = controls[0].execute("query-migrate")
        moved = Moved(own_ms=result["downtime"], total_ms=result["total-time"],
                      passes=result["ram"]["dirty-sync-count"],
                      memory_ms=result["total-time"] - result["downtime"] - result["setup-time"],
                      wire_mib=(sent_bytes(lab.host1) - sent) / MIB,
                      cpu_s=cpu_s(source.pid) + cpu_s(destination.pid) - cpu_before_s)
        watcher.wait_alive()
        watcher.look(moved)
        return moved


# --- iperf3 --------------------------------------------------------------------------
def iperf_mib_s(streams, seconds):
    """What the path between the two hosts can do, with so many connections."""
    with Lab() as lab, lab.host2.net.proc("iperf3", "-s", "-1", "--forceflush") as server:
        server.wait_for("listening")
        text = lab.host1.net.run("iperf3", "-J", "-c", lab.host2.address, "-P", streams,
                                 "-t", seconds)
        server.wait()
    received = json.loads(text)["end"]["sum_received"]
    return received["bits_per_second"] / 8 / MIB
