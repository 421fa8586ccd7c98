# SPDX-License-Identifier: MIT
"""What is left of a guest when something breaks while it moves: each fault in each phase.

After each there is exactly one running copy, or none if the host that held the guest was
killed; its disk is locked by that copy alone; and nothing else is left on either host.
docs/teleport.md has the table, which test_table() writes with FERRY_WRITE_DOCS=1.
"""
import contextlib
import fcntl
import os
import pathlib
import signal
import struct

from ferrytest import Lab, each, timeout
from ferrytest.lab import FLOCK, F_WRLCK, PORT, Copy
from ferrytest.moves import DIRTY, check_result, dirty_goes_on, stays
from ferrytest.proxy import Proxy

F_OFD_SETLK = 37

PHASES = ["connect", "negotiate", "reserve", "precopy", "stop", "state", "ready", "release",
          "commit", "running"]
DOC = pathlib.Path(__file__).resolve().parents[2] / "docs" / "teleport.md"
SOURCE, DESTINATION, NOBODY = "source", "destination", "nobody"
UNKNOWN = "handover-unknown"

# fault: what is done while the source stands before the phase
FAULTS = {
    "kill source": "kill -9 of the guest's process at the source",
    "kill destination": "kill -9 of the guest's process at the destination",
    "reset": "all TCP connections are reset, at both ends",
    "cut": "the cable is cut, and whole again after both sides have noticed",
    "stall": "the destination's process stands still for a while",
    "corrupt": "one bit of what the source sends next is changed on the way",
}


def holder(phase):
    """Who holds the guest: the destination from when it has the commit."""
    return DESTINATION if phase == "running" else SOURCE


def outcome(fault, phase):
    """Who has the guest afterwards; None: the fault cannot happen there."""
    if fault == "kill source":
        return NOBODY if holder(phase) == SOURCE else DESTINATION
    if phase == "connect":
        return SOURCE if fault in ("cut", "corrupt") else None
    if fault == "kill destination":
        return NOBODY if holder(phase) == DESTINATION else SOURCE
    if fault == "corrupt" and phase == "running":
        return None  # the source has nothing more to send
    # The commit waits in the destination's socket until it goes on.
    if fault == "stall" and phase == "commit":
        return DESTINATION
    return holder(phase)


class Broken:
    """A teleport that is held before a phase, and what happens to it."""

    def __init__(self, lab, guest, receive, proxy, phase):
        self.lab, self.guest, self.receive, self.phase = lab, guest, receive, phase
        self.proxy = proxy
        self.move = lab.host1.teleport("g", proxy.address if proxy else receive, hold=phase)
        self.move.wait_held(phase)
        self.copy = receive.arrived("g") if phase == "running" else None

    def child(self):
        """The destination's process."""
        return self.copy.pid if self.copy else self.receive.children()[0]

    def go_on(self):
        """The source leaves the phase, if it is still there."""
        self.lab.host1.ferry("teleport", "g", "--continue", check=False)

    def wait_source(self, status):
        """Wait until query-migrate says that at the source."""
        with self.lab.host1.control("g") as control:
            while control.execute("query-migrate")["status"] != status:
                control.wait_event("MIGRATION", 60)

    def destination_ends(self):
        """Wait for it, if it had begun, and has not got the guest."""
        if self.phase not in ("connect", "running"):
            self.receive.failed(timeout_s=60)

    def kill_source(self):
        self.guest.signal(signal.SIGKILL)
        self.guest.wait()
        self.destination_ends()

    def kill_destination(self):
        copy = self.copy or Copy(self.lab.host2, "g", self.child())
        copy.stop()
        self.go_on()

    def reset(self):
        self.lab.reset(self.lab.host2)
        self.lab.reset(self.lab.host1)
        self.go_on()
        self.destination_ends()

    def cut(self):
        self.lab.cut(self.lab.host2)
        self.go_on()
        if self.phase != "running":  # its answer was there before the fault
            self.wait_source(UNKNOWN if self.phase == "commit" else "failed")
        self.destination_ends()
        self.lab.mend(self.lab.host2)

    def stall(self):
        child = self.child()
        os.kill(child, signal.SIGSTOP)
        self.go_on()
        if self.phase != "running":
            self.wait_source(UNKNOWN if self.phase == "commit" else "failed")
        os.kill(child, signal.SIGCONT)
        if self.phase == "commit":
            self.receive.arrived("g")
        else:
            self.destination_ends()

    def corrupt(self):
        self.proxy.spoil()
        self.go_on()
        assert self.proxy.spoiled.wait(60)
        self.receive.failed(timeout_s=60)


def proxy_to(lab, fault):
    """Something in the middle, for those faults that need it."""
    if fault != "corrupt":
        return contextlib.nullcontext()
    return Proxy(lab.peer.net, lab.peer.address, 8003, (lab.host2.address, PORT))


def check(lab, expected):
    """Where the guest is, that it is well, that it has its disk, and that nothing is left."""
    where = {SOURCE: lab.host1, DESTINATION: lab.host2}.get(expected)
    if where:
        lab.check_one_copy("g", where)
        dirty_goes_on(lab)
    else:
        lab.check_no_copy("g")
    lab.check_disk(lab.folder / "disk.img", where is not None)
    for host in lab.hosts:
        if host is not where:
            lab.check_clean_host(host)


CASES = [(fault, phase) for fault in FAULTS for phase in PHASES if outcome(fault, phase)]


@timeout(240)
@each(case=CASES)
def test_fault(case):
    fault, phase = case
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY, disk=lab.disk()) as guest, \
            lab.host2.receive() as receive, proxy_to(lab, fault) as proxy:
        lab.console().wait_for("^dirty pass=2 ")
        broken = Broken(lab, guest, receive, proxy, phase)
        getattr(broken, fault.replace(" ", "_"))()
        if fault != "kill source":
            broken.move.result(120)
        check(lab, outcome(fault, phase))
        if outcome(fault, phase) == SOURCE:  # and the next try works
            check_result(lab.host1.teleport("g", receive, verify=True).result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)


def test_refused_lock():
    """Somebody else has the destination's disk: seen before the commit."""
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY, disk=lab.disk()) as _, \
            open(lab.disk("other.img"), "r+b") as other, \
            lab.host2.receive(map=f"disk:disk0={other.name}") as receive:
        lab.console().wait_for("^dirty pass=2 ")
        fcntl.fcntl(other, F_OFD_SETLK, struct.pack(FLOCK, F_WRLCK, os.SEEK_SET, 0, 0, 0))
        result = lab.host1.teleport("g", receive).result()
        stays(lab, result, "other.img")
        receive.failed("g")
        check(lab, SOURCE)


def table():
    """The cases as Markdown."""
    lines = ["| fault \\ before the phase | " + " | ".join(PHASES) + " |",
             "| --- |" + " --- |" * len(PHASES)]
    for fault in FAULTS:
        cells = [outcome(fault, phase) or "-" for phase in PHASES]
        lines.append(f"| {fault} | " + " | ".join(cells) + " |")
    return "\n".join(lines + [""] + [f"- *{fault}*: {text}" for fault, text in FAULTS.items()])


def test_table():
    """What docs/teleport.md promises is what was tested."""
    begin, end = "<!-- faults: written by the test -->\n", "\n<!-- end of faults -->"
    text = DOC.read_text(encoding="utf-8")
    head, rest = text.split(begin)
    old, tail = rest.split(end)
    if os.environ.get("FERRY_WRITE_DOCS"):
        DOC.write_text(head + begin + table() + end + tail, encoding="utf-8")
        return
    assert old == table(), "run it with FERRY_WRITE_DOCS=1"
