# SPDX-License-Identifier: MIT
"""The same guests teleport again and again: nothing grows, nothing is lost.

SOAK=n is the number of rounds; in each, both guests go to the other host at once.
"""
import contextlib
import dataclasses
import os
import pathlib
import time

from ferrytest import Lab, fds, timeout
from ferrytest.leaks import files_below, links, mapped_kib
from ferrytest.moves import check_result

ROUNDS = int(os.environ.get("SOAK", "200"))
# What is kept after the first times is no leak.
WARM_UP = min(10, ROUNDS // 2)
# An allocator may hold so much more than before.
SLACK_KIB = 256
RAM_MIB = 32
# Each guest has a console, and so listeners, of its own.
PORTS = {"disk": 8002, "ram": 8003}
ROUND_S = 30


def threads(pid):
    """How many threads a process has, without the kernel's own for io_uring, which come and go."""
    names = [task.read_text(encoding="utf-8") for task in
             pathlib.Path(f"/proc/{pid}/task").glob("*/comm")]
    return sum(not name.startswith("iou-") for name in names)


@dataclasses.dataclass
class Use:
    """What a process holds."""

    descriptors: int
    threads: int
    kib: int

    @staticmethod
    def of(pid, ram_mib=0):
        """What it holds now, without guest RAM, and without files: what it shares of those
        depends on others."""
        return Use(len(fds(pid)), threads(pid),
                   mapped_kib(pid, ram_mib << 20, "Anonymous"))


class Soak:
    """Two guests, two listeners."""

    def __init__(self, lab, listeners):
        self.lab = lab
        self.listeners = listeners  # by host and guest
        self.here, self.there = lab.hosts
        self.copies = {}
        self.first = {}
        self.downtimes_ms = []  # and what they consist of

    def move_all(self):
        """One round."""
        moves = {name: self.here.teleport(name, self.listeners[self.there.name, name], streams=2)
                 for name in PORTS}
        for name, move in moves.items():
            result = check_result(move.result())
            self.downtimes_ms.append((result["downtime"], result["ferry"]["phases-us"]))
            left = self.copies.get(name)
            self.copies[name] = self.listeners[self.there.name, name].arrived(name)
            if left:
                left.wait()
            self.lab.check_one_copy(name, self.there)
        self.lab.console("ram").wait_for("^dirty pass=[0-9]+ ")
        self.here, self.there = self.there, self.here

    def use(self):
        """{who: what it holds}, when both guests are at one host and the other has none."""
        held = {f"guest {name}": Use.of(copy.pid, RAM_MIB) for name, copy in self.copies.items()}
        held |= {f"listener {host} {name}": Use.of(listener.pid)
                 for (host, name), listener in self.listeners.items()}
        return held

    def check_use(self, first):
        """Nothing holds more than after the first rounds."""
        for who, now in self.use().items():
            was = first[who]
            print(f"{who}: {was}, in the end {now}")
            assert now.descriptors <= was.descriptors and now.threads <= was.threads \
                and now.kib <= was.kib + SLACK_KIB, f"{who}: {was}, in the end {now}"

    def things(self):
        """Interfaces and files of both hosts."""
        return {host.name: (len(links(host.net)), len(files_below(host.runtime)))
                for host in self.lab.hosts}

    def finish(self):
        """All that they read and wrote was right, and nothing of them is left."""
        for name in PORTS:
            self.here.ferry("shutdown", name)
        self.lab.console("disk").wait_for("^blk: verify .* errors=0 corrupt=0\n", ROUND_S)
        self.lab.console("ram").wait_for("^dirty stopped pass=")
        assert "CORRUPT" not in self.lab.console("ram").out.text
        for copy in self.copies.values():
            copy.wait()
        self.lab.check_clean()


def rounds(soak):
    """All of them; what is held after the first ones, of the first host, is the measure."""
    for number in range(2 * (ROUNDS // 2)):
        soak.move_all()
        if number + 1 == 2 * (WARM_UP // 2):
            held, things = soak.use(), soak.things()
    soak.check_use(held)
    assert soak.things() == things, f"{things}, in the end {soak.things()}"


@contextlib.contextmanager
def two_guests():
    """A Soak of a guest that verifies its disk all the time and one that does so with its RAM."""
    common = {"memory": f"{RAM_MIB}M", "net": "tap,bridge=br0"}
    with Lab() as lab, contextlib.ExitStack() as stack:
        # More operations than there is time for: a button ends it.
        stack.enter_context(lab.host1.guest("blk", name="disk", disk=lab.disk(), **common,
                                            append="ops=1000000000 depth=8 span=4M flush=50"))
        stack.enter_context(lab.host1.guest("dirty", name="ram", **common,
                                            append="mem=8M rate=16"))
        listeners = {(host.name, name): stack.enter_context(
            host.receive(listen=f"tcp:0.0.0.0:{port}", console_of=name))
                     for host in lab.hosts for name, port in PORTS.items()}
        lab.console("disk").wait_for("^blk: capacity")
        lab.console("ram").wait_for("^dirty pass=1 ")
        yield Soak(lab, listeners)


@timeout(60 + ROUNDS * ROUND_S)
def test_there_and_back():
    start_s = time.monotonic()
    with two_guests() as soak:
        rounds(soak)
        soak.finish()
    worst_ms, phases = max(soak.downtimes_ms, key=lambda each: each[0])
    median_ms = sorted(ms for ms, _ in soak.downtimes_ms)[len(soak.downtimes_ms) // 2]
    print(f"{len(soak.downtimes_ms)} teleports in {time.monotonic() - start_s:.0f} s, downtime "
          f"{median_ms} ms (median), {worst_ms} ms (most: {phases} us)")
