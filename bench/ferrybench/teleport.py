# SPDX-License-Identifier: MIT
"""The rows of bench/teleport, and their tables."""
import argparse
import dataclasses
import itertools
import json
import os
import pathlib
import re
import statistics
import time

from ferrytest import Skip, require_kvm, require_root, require_tool

from . import host, streams
from .main import say, update_doc
from .moves import GUEST_ADDR, LIMIT_MS, TICK_MS, Scene, ferry_move, iperf_mib_s, qemu_move
from .table import Row, markdown, number

BEGIN, END = "<!-- teleport: written by make bench-teleport -->", "<!-- end of teleport -->"
TICK = f"tick={TICK_MS}"


def dirty(rate, mem_mib=128):
    """A guest that writes so many MiB a second, over and over the same memory."""
    return f"mem={mem_mib}M {TICK}" + (f" rate={rate}" if rate else "")


SCENES = {
    "idle-256": ("idle, 256 MiB", Scene("idle", TICK)),
    "idle-1024": ("idle, 1 GiB, 0.9 in use", Scene("idle", f"{TICK} fill=920M", 1024, warm=True)),
    "idle-1024-s4": ("the same, 4 streams",
                     Scene("idle", f"{TICK} fill=920M", 1024, streams=4, warm=True)),
    "idle-4096": ("idle, 4 GiB, 1 in use", Scene("idle", f"{TICK} fill=1024M", 4096)),
    "dirty-10": ("10 MiB/s, 256 MiB", Scene("dirty", dirty(10, 32))),
    "dirty-100": ("100 MiB/s, 256 MiB", Scene("dirty", dirty(100))),
    "dirty-max": ("as fast as it can, 256 MiB", Scene("dirty", dirty(0, 64))),
    "dirty-max-s4": ("the same, 4 streams", Scene("dirty", dirty(0, 64), streams=4)),
    "dirty-100-2": ("100 MiB/s, 2 vCPUs", Scene("dirty", dirty(100), vcpus=2)),
    "dirty-100-4": ("100 MiB/s, 4 vCPUs", Scene("dirty", dirty(100), vcpus=4)),
    "dirty-1024": ("100 MiB/s, 1 GiB", Scene("dirty", dirty(100, 512), 1024)),
    "dirty-1024-s4": ("the same, 4 streams",
                      Scene("dirty", dirty(100, 512), 1024, streams=4)),
    "dirty-4096": ("100 MiB/s, 4 GiB", Scene("dirty", dirty(100, 512), 4096)),
    "ping-1": ("it answers a ping each ms", Scene("net", f"ip={GUEST_ADDR}/24", ping_ms=1)),
    "ping-10": ("it answers a ping each 10 ms", Scene("net", f"ip={GUEST_ADDR}/24", ping_ms=10)),
}
QUICK = ("idle-256", "dirty-100", "ping-1", "ping-10")
RATES = {"idle-1024": 1, "idle-1024-s4": 4}
STREAMS_MIB = 256
CLEAN_MIB = 4096
CLEAN_MAX_MS = 1
GAP_MS = 10  # of pings, more than the downtime


@dataclasses.dataclass
class Measured:
    """All pairs of a scene."""

    key: str
    title: str
    scene: Scene
    pairs: list = dataclasses.field(default_factory=list)
    iperf: list = dataclasses.field(default_factory=list)  # one figure for each pair

    def row(self, field, **aims):
        """One figure of them, as a row."""
        return Row(self.key, self.title, "", None, more_is_better=False, **aims,
                   pairs=[(getattr(f, field), getattr(q, field)) for f, q in self.pairs])


def memory_mib_s(moved):
    """How fast memory went, while it went."""
    return moved.wire_mib / (moved.memory_ms / 1000)


# --- tables --------------------------------------------------------------------------
def downtime_table(measured):
    """What somebody sees of it. Who looks each 10 ms cannot tell 2 ms from 8."""
    return markdown([m.row("silence_ms", ratio_max=0.5) for m in measured
                     if m.scene.ping_ms <= TICK_MS])


def limit_row(m):
    """Own figures, and whether ferry keeps the limit: always, not only half of the time."""
    ours, theirs = ([pair[i].own_ms for pair in m.pairs] for i in (0, 1))
    return [m.title, number(statistics.median(ours)), number(max(ours)),
            "met" if max(ours) <= LIMIT_MS else "MISSED", number(statistics.median(theirs)),
            number(max(theirs))]


def cost_row(m):
    """Medians of the rest."""
    cells = [m.title]
    for field in ("longest_ms", "total_ms", "passes", "wire_mib", "cpu_s"):
        cells.append(" / ".join(number(statistics.median(getattr(pair[i], field)
                                                         for pair in m.pairs)) for i in (0, 1)))
    return cells


def rate_cells(pairs, ratio_min=None):
    """Medians beside iperf3's."""
    row = Row("", "", "", None, ratio_min=ratio_min, pairs=pairs)
    ratios = row.ratios()
    return [number(statistics.median(f for f, _ in pairs)),
            number(statistics.median(rate for _, rate in pairs)),
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})", row.aim(),
            {True: "met", False: "MISSED", None: ""}[row.met()]]


def rate_row(m):
    """A whole move."""
    pairs = [(memory_mib_s(pair[0]), rate) for pair, rate in zip(m.pairs, m.iperf)]
    theirs = [memory_mib_s(pair[1]) / rate for pair, rate in zip(m.pairs, m.iperf)]
    return [str(m.scene.streams), *rate_cells(pairs)[:3], f"{statistics.median(theirs):.2f}"]


def streams_parts(runner):
    """The streams by themselves."""
    worst = max(runner.clean_ms)
    return ["Memory streams to a receiver that has its memory, beside iperf3 with as many\n"
            "connections, over loopback (MiB/s).\n\n" +
            plain(["streams", "ferry", "iperf3", "ferry / iperf3", "aim", ""],
                  [[str(nr), *rate_cells(pairs, 0.8)] for nr, pairs in runner.streams.items()]),
            f"A pass over {CLEAN_MIB // 1024} GiB that nobody wrote to: "
            f"{statistics.median(runner.clean_ms):.3f} ms a GiB, at most {worst:.3f} (aim: at most "
            f"{CLEAN_MAX_MS}, {'met' if worst <= CLEAN_MAX_MS else 'MISSED'}).\n"]


def ping_row(m, side):
    """The gap without the downtime."""
    gaps = [pair[side].silence_ms for pair in m.pairs]
    over = [pair[side].silence_ms - pair[side].own_ms for pair in m.pairs]
    met = "met" if statistics.median(over) <= GAP_MS else "MISSED"
    return [f"{m.scene.ping_ms} ms", ("ferry", "QEMU 7.2")[side], number(statistics.median(gaps)),
            number(statistics.median(pair[side].own_ms for pair in m.pairs)),
            f"{statistics.median(over):.1f} ({min(over):.1f}–{max(over):.1f})",
            f"≤ {GAP_MS}" if side == 0 else "", met if side == 0 else ""]


def plain(head, rows):
    """A table of cells."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def report(measured, runner):
    """All tables."""
    done = [m for m in measured if m.pairs]
    parts = ["The downtime as it is seen from outside (ms): from the guest's last word here to\n"
             f"its first there, where it says something every {TICK_MS} ms; of the pings the\n"
             "longest gap at the hand-over.\n\n" + downtime_table(done)]
    parts.append(f"The monitors' own figures of the downtime (ms; the limit was {LIMIT_MS}).\n\n" +
                 plain(["", "ferry, median", "most", f"≤ {LIMIT_MS}", "QEMU, median", "most"],
                       map(limit_row, done)))
    parts.append("What it cost, ferry / QEMU (medians).\n\n" +
                 plain(["", "longest silence ms", "total ms", "passes", "MiB sent",
                        "CPU seconds of both processes"], map(cost_row, done)))
    if runner.streams:
        parts += streams_parts(runner)
    if rates := [m for m in done if m.iperf]:
        parts.append("The passes of a whole move to a destination that takes fresh memory, beside\n"
                     "iperf3, which needs none, on the same path (MiB/s).\n\n" +
                     plain(["streams", "ferry", "iperf3", "ferry / iperf3", "QEMU / iperf3"],
                           map(rate_row, rates)))
    if pings := [m for m in done if m.scene.ping_ms]:
        parts.append("Somebody pings the guest: the longest time without a reply at the hand-over\n"
                     "(ms).\n\n" +
                     plain(["each", "", "gap", "downtime", "gap less downtime", "aim", ""],
                           [ping_row(m, side) for m in pings for side in (0, 1)]))
    return "\n".join(parts) + "\n" + runner.footer()


# --- running -------------------------------------------------------------------------
class Runner:
    """Measures, and remembers how quiet it was."""

    def __init__(self, args):
        self.args = args
        self.noisy = self.runs = self.failures = 0
        self.clean_ms = []
        self.streams = {}  # how many: pairs of rates
        self.end_s = time.monotonic() + 60 * args.minutes

    def set_priority(self, scene):
        """Of this program and all that it starts from now on.

        Taps are made and end by help of the kernel's threads, which would be kept waiting.
        """
        if self.args.realtime and not scene.nic:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        else:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def quiet(self, function, *words):
        """Call it when the machine is quiet, or has not become so."""
        self.runs += 1
        self.noisy += not host.wait_for_quiet(self.args.patience)
        return function(*words)

    def pair(self, m):
        """ferry, QEMU, and iperf3 where the rate is compared."""
        # In turn, also in who is first: memory that was just freed is cheaper than fresh memory.
        sides = [ferry_move, qemu_move]
        self.set_priority(m.scene)
        order = sides[::-1] if len(m.pairs) % 2 else sides
        figures = {side: self.quiet(side, m.scene) for side in order}
        pair = tuple(figures[side] for side in sides)
        if m.key in RATES:
            m.iperf.append(self.quiet(iperf_mib_s, RATES[m.key], 1))
        m.pairs.append(pair)
        say(f"{m.key:14} " + "  ".join(
            f"{name} {x.silence_ms:.0f} own {x.own_ms:.1f} total {x.total_ms:.0f} ms"
            for name, x in zip(("ferry", "QEMU"), pair)) + f"  {pair[0].phases_us}")

    def try_pair(self, m, failed):
        """The others are measured all the same."""
        try:
            self.pair(m)
        except Exception as error:  # pylint: disable=broad-except
            say(f"{m.key}: FAILED: {type(error).__name__}: {error}")
            failed.add(m.key)
            self.failures += 1

    def measure(self, measured):
        """Round after round, so that all rows see the same hours; returns what failed.

        Ctrl-C ends that; what was measured until then is reported.
        """
        failed = set()
        try:
            for nr, m in itertools.product(range(self.args.pairs), measured):
                if nr == 0 or time.monotonic() < self.end_s:
                    self.try_pair(m, failed)
        except KeyboardInterrupt:
            say("interrupted")
        return failed

    def measure_streams(self):
        """By themselves; and a pass over memory that nobody wrote to."""
        self.set_priority(Scene())
        clean = [streams.ram("--mib", CLEAN_MIB, "--used-mib", 64, "--again", 0)
                 for _ in range(self.args.pairs)]
        self.clean_ms = [run["clean_ms_per_gib"] for run in clean]
        for nr in sorted(set(RATES.values())):
            self.streams[nr] = self.quiet(streams.pairs_of, nr, self.args.pairs, STREAMS_MIB, 1)
            say(f"streams-{nr:<6} " + "  ".join(f"{ours:.0f} / {rate:.0f} MiB/s"
                                              for ours, rate in self.streams[nr]))

    def footer(self):
        """What to know about the figures."""
        noise = (f"{self.noisy} of {self.runs} runs began while somebody else used the machine."
                 if self.noisy else "The machine was otherwise idle.")
        priority = (" All but the pings ran with real-time priority, both sides."
                    if self.args.realtime else "")
        failures = f" {self.failures} pairs failed." if self.failures else ""
        return (f"At most {self.args.pairs} pairs of each. Host: {host.describe()}. "
                f"{noise}{failures}{priority}\n")


def parse_args():
    """Options."""
    parser = argparse.ArgumentParser(description="Move the same guests by ferry and by QEMU.")
    parser.add_argument("--quick", action="store_true", help="one pair of a few rows")
    parser.add_argument("--pairs", type=int, help="of each row (3)")
    parser.add_argument("-k", metavar="REGEX", default="", help="only rows whose key matches")
    parser.add_argument("--list", action="store_true", help="show the keys")
    parser.add_argument("--patience", type=float, default=2,
                        help="wait so many seconds for a quiet machine before each run (2)")
    parser.add_argument("--realtime", action="store_true",
                        help="with real-time priority: for a machine that others use")
    parser.add_argument("--minutes", type=float, default=6.5,
                        help="after these only the first pair of a row is begun (6.5)")
    parser.add_argument("--doc", type=pathlib.Path, help="put the tables into this document")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure to this file")
    args = parser.parse_args()
    args.pairs = args.pairs or (1 if args.quick else 3)
    return args


def main():
    """Returns the exit status."""
    args = parse_args()
    measured = [Measured(key, title, scene) for key, (title, scene) in SCENES.items()
                if re.search(args.k, key) and (not args.quick or args.k or key in QUICK)]
    if args.list:
        print(*(m.key for m in measured), sep="\n")
        return 0
    try:
        require_kvm()
        require_root()
        require_tool("qemu-system-x86_64", "iperf3", "ip")
    except Skip as reason:
        print(f"skipped: {reason}")
        return 77
    runner = Runner(args)
    if any(m.key in RATES for m in measured):
        runner.measure_streams()
    failed = runner.measure(measured)
    text = report(measured, runner)
    print(text)
    if args.doc and all(m.pairs for m in measured):
        update_doc(args.doc, text, (BEGIN, END))
    if args.json:
        figures = {m.key: {"pairs": [[dataclasses.asdict(x) for x in pair] for pair in m.pairs],
                           "iperf": m.iperf} for m in measured}
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0
