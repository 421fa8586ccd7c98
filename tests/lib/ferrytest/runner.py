# SPDX-License-Identifier: MIT
"""Running cases: each in a child process, watched.

Theory of operation. The runner has no threads. It forks one child for each
case, up to `jobs` at a time, and polls their pidfds; a child writes its results
to a file and its output to a log. Every child is a subreaper, so all that a
test starts stays below it in the process tree: what is still there when the
test ends is a leak (the test fails) and is killed, and when a test outlives its
time limit its whole tree is killed. Only processes below a test are ever
signalled, by pid.
"""
import ctypes
import dataclasses
import faulthandler
import json
import os
import pathlib
import select
import signal
import sys
import time
import traceback

from .proc import descendants, kill_tree
from .suites import FAIL, PASS, SKIP

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
# How long before the limit a hanging test prints where it hangs.
TRACEBACK_LEAD_S = 0.5
# How long a process may take to notice that its test has ended.
GRACE_S = 0.5

libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass
class Running:
    """A case that has been started."""
    case: object
    pid: int
    pidfd: int
    log: pathlib.Path
    started_s: float

    def deadline_s(self):
        """When the watchdog strikes."""
        return self.started_s + self.case.timeout_s


@dataclasses.dataclass
class Outcome:
    """What came of one test."""
    name: str
    status: str
    reason: str
    seconds: float
    log: pathlib.Path


class Runner:
    """Runs cases and hands each outcome to `report`."""

    def __init__(self, logs, jobs, report):
        self.logs = logs
        self.jobs = jobs
        self.report = report
        self.running = {}
        logs.mkdir(parents=True, exist_ok=True)

    def run(self, cases):
        """Run all of them; those that want to be alone come last."""
        waiting = sorted(cases, key=lambda case: case.alone)
        try:
            while waiting or self.running:
                while waiting and self.may_start(waiting[0]):
                    self.start(waiting.pop(0))
                self.wait()
        finally:
            for running in self.running.values():
                kill_tree(running.pid)

    def may_start(self, case):
        """Is there room for one more?"""
        return not self.running if case.alone else len(self.running) < self.jobs

    def start(self, case):
        """Fork the child of a case."""
        log = self.logs / (case.name.replace("/", ".") + ".log")
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            run_child(case, log)
        pidfd = os.pidfd_open(pid)
        self.running[pidfd] = Running(case, pid, pidfd, log, time.monotonic())

    def wait(self):
        """Wait until a child ends or the next deadline passes."""
        poll = select.poll()
        for pidfd in self.running:
            poll.register(pidfd, select.POLLIN)
        left_s = min(r.deadline_s() for r in self.running.values()) - time.monotonic()
        for pidfd, _ in poll.poll(max(0, left_s * 1000)):
            self.finish(self.running.pop(pidfd), None)
        for running in list(self.running.values()):
            if time.monotonic() >= running.deadline_s():
                del self.running[running.pidfd]
                self.finish(running, f"timed out after {running.case.timeout_s:g} s")

    def finish(self, running, failure):
        """Collect a child that ended, or end one that did not."""
        if failure:
            kill_tree(running.pid)
        status = os.waitstatus_to_exitcode(os.waitpid(running.pid, 0)[1])
        os.close(running.pidfd)
        seconds = time.monotonic() - running.started_s
        results = []
        if not failure:
            results = read_results(running.log)
        if not results:
            results = [(running.case.name, FAIL, failure or f"test process ended with {status}")]
        for name, result, reason in results:
            self.report(Outcome(name, result, reason, seconds, running.log))


def result_file(log):
    """Where the child of a case leaves its results."""
    return log.with_suffix(".json")


def read_results(log):
    """The results a child left, if it did."""
    path = result_file(log)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    finally:
        path.unlink(missing_ok=True)


def run_child(case, log):
    """The child: run one case, leave the results, never return."""
    status = 1
    try:
        os.setsid()
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
        redirect(log)
        faulthandler.dump_traceback_later(max(0.1, case.timeout_s - TRACEBACK_LEAD_S))
        results = case.call()
        faulthandler.cancel_dump_traceback_later()
        results += left_behind(case.name)
        result_file(log).write_text(json.dumps(results), encoding="utf-8")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def redirect(log):
    """Output to the log, input from nowhere."""
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def left_behind(name):
    """A failed result if the test left processes running; they are killed."""
    left = {pid: comm for pid, comm in descendants(os.getpid()).items() if not ends_soon(pid)}
    if not left:
        return []
    names = ", ".join(f"{pid} ({comm})" for pid, comm in left.items())
    for pid in left:
        kill_tree(pid)
    return [(f"{name} (processes)", FAIL, f"left running: {names}")]


def ends_soon(pid):
    """Does the process end by itself, now that whoever used it is gone?"""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([pidfd], [], [], GRACE_S)[0])
    finally:
        os.close(pidfd)


__all__ = ["Outcome", "Runner", "PASS", "FAIL", "SKIP"]
