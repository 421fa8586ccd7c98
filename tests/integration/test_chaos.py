# SPDX-License-Identifier: MIT
"""A guest that does to its devices whatever comes into its mind: ferry lives, and so do others.

The seed is printed: `append="... seed=N"` with one CPU does the same again. CHAOS=SECONDS says how
long each device is troubled.
"""
import os
import re
import select
import time

from ferrytest import Guest, Lab, NetNs, Restored, each, timeout, tmp_dir
from ferrytest.leaks import mapped_kib
from ferrytest.proc import WAIT_S

SECONDS = int(os.environ.get("CHAOS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
RAM_MIB = 64
DISK_BYTES = 512 << 20  # more than one request of the guest's can ask for
CPUS = 2
LOOK_S = 0.1            # between two questions at the control socket
ANSWER_S = 5            # the socket answers within this, whatever the guest does
OWN_KIB = 64 << 10      # all of the process but the guest's memory
# util/log.h: lines of one source that may repeat, in so many seconds.
BURST, WINDOW_S = 5, 5

DEVICES = {
    "blk": {"disk": "{disk}"},
    "overlay": {"disk": "{disk},overlay"},
    "threads": {"disk": "{disk},engine=threads"},
    "net-user": {"net": "user"},
    "net-tap": {"net": "tap:chaos0"},
    "rng": {"rng": True},
    "balloon": {"balloon": True},
    "console": {"virtio_console": True},
    "all": {"rng": True, "virtio_console": True, "disk": "{disk}", "net": "user"},
}
NAMES = ("before.img", "disk.img", "vicinity.img")
# The guest's names where they are not the same.
KINDS = {"overlay": "blk", "threads": "blk", "net-user": "net", "net-tap": "net"}


def words(device, limit):
    """What the guest is told; the last one of a kind counts."""
    ports = " ports=1" if device in ("all", "rng") else ""
    return f"device={KINDS.get(device, device)} seed={SEED}{ports} {limit}"


def make_disks(folder):
    """The guest's disk, and its neighbours."""
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 4096)
    os.truncate(folder / "disk.img", DISK_BYTES)


def chaos(device, folder, limit, **kwargs):
    """A guest of that device."""
    options = {key: value.format(disk=folder / "disk.img") if isinstance(value, str) else value
               for key, value in DEVICES[device].items()}
    kwargs = {"net": "none", "vcpus": CPUS, **options, **kwargs}
    make_disks(folder)
    return Guest("chaos", append=words(device, limit), memory=f"{RAM_MIB}M", **kwargs)


def look_of(path):
    """What no write leaves as it was; the file is large."""
    stat = path.stat()
    with open(path, "rb") as file:
        return stat.st_size, stat.st_blocks, stat.st_mtime_ns, file.read(64 << 10)


def others(folder, device):
    """All that the guest must not change."""
    return {name: look_of(folder / name) for name in NAMES
            if name != "disk.img" or device == "overlay"}


def most_lines(device, uptime_s):
    """What may have been logged: by each device, its storage or network and its MSI-X, and the
    machine."""
    return (3 * len(DEVICES[device]) + 1) * BURST * (uptime_s / WINDOW_S + 2)


class Watch:
    """Asks the control socket again and again, and remembers the worst."""

    def __init__(self, guest, device):
        self.guest = guest
        self.device = device
        self.questions, self.slowest_s, self.most_kib = 0, 0.0, 0
        self.info = {}

    def look(self, control):
        """Once; sometimes the guest is made to stand still, which waits for its devices."""
        start_s = time.monotonic()
        self.info = control.execute("ferry-info")
        if self.questions % 5 == 0:
            control.execute("stop")
            control.execute("cont")
        self.slowest_s = max(self.slowest_s, time.monotonic() - start_s)
        self.questions += 1
        self.most_kib = max(self.most_kib, mapped_kib(self.guest.pid, RAM_MIB << 20))

    def until_end(self):
        """As long as the guest runs."""
        with self.guest.control() as control:
            while not select.select([self.guest.pidfd], [], [], LOOK_S)[0]:
                try:
                    self.look(control)
                except (AssertionError, OSError):
                    # It has ended meanwhile; whoever is stuck has not.
                    assert select.select([self.guest.pidfd], [], [], ANSWER_S)[0]

    def check(self):
        """Nothing stalled, nothing grew, nothing flooded; what happened can be seen."""
        print(f"questions={self.questions} slowest_s={self.slowest_s:.3f} "
              f"most_kib={self.most_kib} log={self.info['log']}", flush=True)
        assert self.questions > 0 and self.slowest_s < ANSWER_S
        assert self.most_kib < OWN_KIB
        lines = self.guest.err.text.count("\n")
        assert lines <= most_lines(self.device, self.info["uptime_s"]), lines


@each(device=list(DEVICES))
@timeout(120 + 3 * SECONDS)
def test_hostile_driver(device):
    with tmp_dir() as folder, NetNs() as net, Guest("hello", append="echo") as neighbour:
        if device == "net-tap":
            net.tap("chaos0", "10.0.0.1/24")
        neighbour.wait_for("^hello echo")
        with chaos(device, folder, f"time={SECONDS}", netns=net) as guest:
            before = others(folder, device)
            watch = Watch(guest, device)
            guest.wait_for("chaos: at work", 60)
            watch.until_end()
            assert guest.wait() == 0
            assert re.search("chaos ok", guest.out.text, re.M)
            watch.check()
        assert others(folder, device) == before
        neighbour.write("alive\n")
        neighbour.wait_for("^echo alive")


@each(seed=range(6))
def test_driver_that_kills_itself(seed):
    """Where devices may write to all memory and send any interrupt, the guest does not get far."""
    with tmp_dir() as folder, \
            chaos("all", folder, f"time=2 wild=1 seed={seed}", timeout=4) as guest:
        status = guest.wait(4 + WAIT_S)
        print(f"seed={seed} status={status}", flush=True)
        # Power-off, its own or anybody's word at the debug port, time over, crash: no signal, no
        # failure of ferry itself.
        assert status in (0, 124, 125) or status & 1 and status > 1, status


def test_log_is_not_flooded():
    """Hundreds of mistakes are a few lines, and `info` counts the rest."""
    with tmp_dir() as folder, chaos("rng", folder, "steps=20") as guest, \
            guest.control() as control:
        guest.wait_for("chaos: at work", 60)
        while control.execute("ferry-info")["log"]["suppressed"] < 2 * BURST:
            assert not select.select([guest.pidfd], [], [], LOOK_S)[0]
        info = control.execute("ferry-info")
        assert info["log"]["warnings"] >= BURST
        lines = guest.err.text.count("\n")
        assert lines <= most_lines("rng", info["uptime_s"]), lines


@each(device=["blk", "overlay", "net-user", "rng", "balloon", "console"])
@timeout(120)
def test_saved_at_work(device):
    """It is saved in whatever state it is, and goes on."""
    with tmp_dir() as folder:
        saved = folder / "chaos.ferry"
        with chaos(device, folder, "rounds=12 steps=200") as guest:
            guest.wait_for("chaos: at work", 60)
            guest.save(saved)
            assert guest.wait() == 0
        with Restored(saved) as guest:
            guest.wait_for("chaos ok", 60)
            assert guest.wait() == 0


@each(device=["blk", "rng", "balloon"])
@timeout(120)
def test_teleports_at_work(device):
    """It arrives, or stays and goes on: one of the two."""
    with Lab() as lab:
        words_of = {"blk": {"disk": lab.disk()}, "rng": {"rng": True}, "balloon": {"balloon": True}}
        with lab.host1.guest("chaos", append=words(device, "rounds=12 steps=200"), vcpus=CPUS,
                             net="none", **words_of[device]) as guest, \
                lab.host2.receive() as receive:
            lab.console().wait_for("chaos: at work", 60)
            result = lab.host1.teleport("g", receive).result(60)
            print(result, flush=True)
            lab.console().wait_for("chaos ok", 60)
            if result["status"] != "completed":
                assert result["error"] and guest.wait() == 0
