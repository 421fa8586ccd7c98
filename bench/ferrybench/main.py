# SPDX-License-Identifier: MIT
"""The command line of bench/run."""
import argparse
import contextlib
import io
import json
import pathlib
import re
import sys

from ferrytest import Skip, require_kvm, require_root, require_tool
from ferrytest.paths import BUILD

from . import control, cost, host, measure, netmodes
from .sides import disk_image
from .table import Row, markdown


def all_rows():
    """In the order of the table."""
    blk, net = measure.blk, measure.net
    depth = {"d1": "depth=1", "d32": "depth=32 batch=4"}
    rows = [
        Row("launch", "launch to the guest's first byte", "ms", measure.launch_ms,
            more_is_better=False, ratio_max=0.2),
        Row("memory", "memory without guest RAM (PSS), idle", "MiB", measure.overhead_mib,
            more_is_better=False, ferry_max=5),
        Row("touch", "first write to a page of guest memory", "us", measure.first_touch_us,
            more_is_better=False),
    ]
    for size_mib in (256, 1024, 4096):
        rows += [
            Row(f"save-{size_mib}", f"save a guest of {size_mib} MiB, all of it in use", "ms",
                measure.save_ms(size_mib), more_is_better=False),
            Row(f"restore-{size_mib}", f"restore it, to the guest's next byte, {size_mib} MiB",
                "ms", measure.restore_ms(size_mib), more_is_better=False, ratio_max=0.1),
        ]
    for where, cached in (("O_DIRECT", False), ("page cache", True)):
        name = "blk" if not cached else "blk-cached"
        for rw in ("read", "write"):
            for at, words in depth.items():
                title = f"blk 4 KiB random {rw}, depth {at[1:]}, {where}"
                rows.append(Row(f"{name}-{rw}-{at}", title, "IOPS",
                                blk(f"{words} rw={rw}", cached=cached), ratio_min=1))
            rows.append(Row(f"{name}-{rw}-seq", f"blk 128 KiB sequential {rw}, depth 4, {where}",
                            "MiB/s", blk(f"mode=seq bs=128K depth=4 rw={rw}", "mib_s", cached),
                            ratio_min=1))
    rows += [
        Row("blk-irq-d1", "blk 4 KiB random read, depth 1, page cache, interrupts", "IOPS",
            blk("depth=1 poll=0 rw=read", cached=True), ratio_min=1),
        Row("blk-irq-d32", "blk 4 KiB random read, depth 32, page cache, interrupts", "IOPS",
            blk("depth=32 poll=0 rw=read", cached=True), ratio_min=1),
        Row("net-tx-pps", "net guest to host, UDP of 64 bytes", "packets/s",
            net("rx_packets", measure.udp_hole, f"flood={measure.HOST_ADDR}:9"), ratio_min=1),
        Row("net-rx-pps", "net host to guest, UDP of 64 bytes", "packets/s",
            net("tx_packets", measure.udp_flood, "udp_sink=9"), ratio_min=1),
        Row("net-tx-tcp", "net guest to host, TCP with TSO", "MiB/s",
            net("rx_bytes", measure.tcp_sink, f"tcp_source={measure.HOST_ADDR}:5001", 1 << 20),
            ratio_min=1),
        Row("net-rx-tcp", "net host to guest, TCP with large receive", "MiB/s",
            net("tx_bytes", measure.tcp_source, "tcp_sink=5002 check=0", 1 << 20), ratio_min=1),
        Row("exits-poll", "vCPU exits to the monitor a request, guest polls", "",
            measure.blk_exits("depth=32 rw=read"), more_is_better=False, ferry_max=0.001),
        Row("exits-irq", "vCPU exits to the monitor a request, interrupts", "",
            measure.blk_exits("depth=32 poll=0 rw=read"), more_is_better=False, ferry_max=0.001),
    ]
    return rows + control.rows() + cost.rows() + netmodes.rows()


def parse_args():
    """Options."""
    parser = argparse.ArgumentParser(
        description="Run the same guests under ferry and QEMU in turn and compare.")
    parser.add_argument("--quick", action="store_true",
                        help="two short pairs of each, no cached rows")
    parser.add_argument("--pairs", type=int, help="pairs of runs of each row (5)")
    parser.add_argument("--seconds", type=float, help="how long one I/O run takes (2)")
    parser.add_argument("-k", metavar="REGEX", default="", help="only rows whose key matches")
    parser.add_argument("--list", action="store_true", help="show the keys")
    parser.add_argument("--patience", type=float, default=5,
                        help="wait so many seconds for a quiet machine before each run (5)")
    parser.add_argument("--folder", type=pathlib.Path, default=BUILD / "bench",
                        help="where the disk image goes: a file system with O_DIRECT")
    parser.add_argument("--doc", type=pathlib.Path, help="put the table into this document")
    parser.add_argument("--json", type=pathlib.Path, help="write every figure to this file")
    args = parser.parse_args()
    args.pairs = args.pairs or (2 if args.quick else 5)
    args.seconds = args.seconds or (1 if args.quick else 2)
    return args


def say(text):
    """Progress."""
    print(text, file=sys.stderr, flush=True)


class Runner:
    """Measures rows, and remembers how quiet it was meanwhile."""

    def __init__(self, args, bench):
        self.args = args
        self.bench = bench
        self.noisy = 0
        self.runs = 0

    def one(self, row, side):
        """One figure."""
        self.runs += 1
        if not host.wait_for_quiet(self.args.patience):
            self.noisy += 1
        log = io.StringIO()
        try:
            with contextlib.redirect_stdout(log):
                return row.measure(side, self.bench)
        except Exception:
            say(log.getvalue())
            raise

    def measure(self, row):
        """All pairs of a row."""
        for _ in range(self.args.pairs):
            row.pairs.append(tuple(self.one(row, side) for side in row.sides))
        figures = "  ".join(f"{side.name} {figure:12.3f}"
                            for side, figure in zip(row.sides, row.pairs[-1]))
        say(f"{row.key:20} {figures}  {row.unit}")

    def measure_all(self, rows):
        """A row that cannot be measured here is told and left out; one that fails, too."""
        failed = []
        for row in rows:
            try:
                self.measure(row)
            except Skip as reason:
                say(f"{row.key}: skipped: {reason}")
            except Exception as error:  # pylint: disable=broad-except
                say(f"{row.key}: FAILED: {type(error).__name__}: {error}")
                row.pairs.clear()
                failed.append(row.key)
        return failed

    def report(self, rows):
        """The table and what to know about it."""
        noise = (f"{self.noisy} of {self.runs} runs began while somebody else used the machine."
                 if self.noisy else "The machine was otherwise idle.")
        return (f"{markdown(rows)}\nMedian (minimum–maximum) of {self.args.pairs} pairs, "
                f"{self.args.seconds:g} s each run. Host: {host.describe()}. {noise}\n")


def marks_of(table):
    """What stands around a table in the document."""
    return f"<!-- {table}: written by make bench -->", "<!-- end -->"


def update_doc(path, text, marks):
    """Replace what is between the marks."""
    begin, end = marks
    old = path.read_text(encoding="utf-8")
    assert begin in old and end in old, f"{path} has no place for the table"
    head, _, rest = old.partition(begin)
    path.write_text(f"{head}{begin}\n{text}{end}{rest.partition(end)[2]}", encoding="utf-8")


def main():
    """Returns the exit status."""
    args = parse_args()
    rows = [row for row in all_rows() if re.search(args.k, row.key)
            and not (args.quick and not args.k and "cached" in row.key)]
    if args.list:
        print(*(row.key for row in rows), sep="\n")
        return 0
    try:
        require_kvm()
        require_root()
        require_tool("qemu-system-x86_64", "perf", "ip", "unshare")
    except Skip as reason:
        print(f"skipped: {reason}")
        return 77
    with measure.bench_folder(args.folder) as folder:
        needs_disk = any(row.table in ("measured", "cost") for row in rows)
        image = needs_disk and disk_image(folder, (128 if args.quick else 1024) << 20)
        runner = Runner(args, measure.Bench(image, args.seconds))
        failed = runner.measure_all(rows)
    for table in sorted({row.table for row in rows if row.pairs}):
        report = runner.report([row for row in rows if row.table == table])
        print(report)
        if args.doc and not failed:
            update_doc(args.doc, report, marks_of(table))
    if args.json:
        figures = {row.key: row.pairs for row in rows}
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0
