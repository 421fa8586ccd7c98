# SPDX-License-Identifier: MIT
"""The command line of tests/run."""
import argparse
import os
import re
import signal
import sys

from .paths import LOGS
from .runner import FAIL, PASS, SKIP, Runner
from .suites import ONLY_WHEN_ASKED, SUITES

LOG_TAIL_LINES = 60


def arguments(argv):
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="tests/run", description="Run tests of ferry.")
    parser.add_argument("suites", nargs="*", metavar="suite",
                        help=f"any of: {' '.join(SUITES)} (default: all but soak)")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only tests whose name matches this regular expression")
    parser.add_argument("-j", metavar="N", type=int, default=min(4, os.cpu_count() or 1),
                        help="how many at a time (default: one for each CPU, at most 4)")
    parser.add_argument("-l", "--list", action="store_true", help="print the names and stop")
    parser.add_argument("-v", "--verbose", action="store_true",
                        help="print the log of every test")
    args = parser.parse_args(argv)
    if unknown := set(args.suites) - set(SUITES):
        parser.error(f"no such suite: {' '.join(sorted(unknown))}")
    return args


class Report:
    """One line a test, logs of what failed, and the summary."""

    def __init__(self, verbose):
        self.verbose = verbose
        self.count = {PASS: 0, FAIL: 0, SKIP: 0}

    def add(self, outcome):
        """Print one outcome."""
        self.count[outcome.status] += 1
        reason = outcome.reason
        if outcome.status == SKIP:
            reason = f"skipped: {reason}" if reason else "skipped"
        print(f"{outcome.status} {outcome.name} {outcome.seconds:.2f}s"
              f"{'  ' + reason if reason else ''}", flush=True)
        if outcome.status == FAIL or self.verbose:
            self.print_log(outcome.log)

    def print_log(self, path):
        """The end of a log, and where the whole of it is."""
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        if not self.verbose and len(lines) > LOG_TAIL_LINES:
            print(f"  | ... whole log in {path}")
            lines = lines[-LOG_TAIL_LINES:]
        print(*(f"  | {line}" for line in lines), sep="\n", flush=True)

    def summary(self):
        """The last line."""
        return (f"{self.count[PASS]} passed, {self.count[FAIL]} failed, "
                f"{self.count[SKIP]} skipped")


def default_signals():
    """Whoever started us in the background, or by nohup, may have had these ignored: every
    program that a test starts would inherit that."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main(argv=None):
    """Run what the command line asks for; the exit status says if all is well."""
    args = arguments(argv)
    wanted = re.compile(args.k)
    suites = args.suites or [name for name in SUITES if name not in ONLY_WHEN_ASKED]
    cases = [case for suite in suites for case in SUITES[suite]()
             if wanted.search(case.name)]
    if args.list:
        print(*(case.name for case in cases), sep="\n")
        return 0
    default_signals()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    report = Report(args.verbose)
    Runner(LOGS, args.j, report.add).run(cases)
    print(report.summary(), flush=True)
    return 1 if report.count[FAIL] else 0
