# SPDX-License-Identifier: MIT
"""Child processes whose output can be waited for."""
import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import threading
import time

WAIT_S = 20


def descendants(pid):
    """{pid: name} of every live process below `pid`."""
    parent_of, name_of = {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8",
                                                errors="replace") as stat:
            head, _, tail = stat.read().rpartition(")")
            state, parent = tail.split()[:2]
            if state not in "ZX":
                parent_of[int(entry)] = int(parent)
                name_of[int(entry)] = head.partition("(")[2]
    found, border = {}, {pid}
    while border := {child for child, parent in parent_of.items() if parent in border} - set(found):
        found.update((child, name_of[child]) for child in border)
    return found


def kill_tree(pid):
    """Kill `pid` and everything below it.

    The tree is stopped from the root first, so that nothing new is started
    between looking and killing.
    """
    seen = {}
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGSTOP)
    while fresh := {p: n for p, n in descendants(pid).items() if p not in seen}:
        seen.update(fresh)
        for child in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
    for victim in [*seen, pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)


def wait_end(pidfd, timeout_s=WAIT_S):
    """Wait until that process has ended, whose child it ever is; closes the descriptor."""
    ended = select.select([pidfd], [], [], timeout_s)[0]
    os.close(pidfd)
    assert ended, f"a process is still there after {timeout_s:g} s"


def run(*argv, check=True, timeout_s=WAIT_S, **kwargs):
    """Run a command to its end; returns its output. Raises if it fails."""
    done = subprocess.run([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", timeout=timeout_s, check=False, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n"
                             f"{done.stdout}")
    return done.stdout


class Stream:
    """Collects what comes from a descriptor, in a thread, so that the writer never blocks.

    arrivals: the time of each read, by time.monotonic().
    """

    def __init__(self, name, fd):
        self.name = name
        self.fd = fd
        self.text = ""
        self.arrivals = []
        self.mark = 0
        self.closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.collect, daemon=True)
        self.thread.start()

    def collect(self):
        """Thread: read to the end. A pty reports EIO there."""
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            with self.changed:
                self.text += data.decode("utf-8", "replace")
                self.arrivals += [time.monotonic()] if data else []
                self.closed = not data
                self.changed.notify_all()
            if not data:
                return

    def wait_for(self, pattern, timeout_s):
        """Wait for a match after the one before; returns the match object."""
        regex = re.compile(pattern, re.M)
        deadline_s = time.monotonic() + timeout_s
        with self.changed:
            while not (match := regex.search(self.text, self.mark)):
                left_s = deadline_s - time.monotonic()
                if self.closed or left_s <= 0:
                    what = "end of output" if self.closed else f"{timeout_s:g} s"
                    raise AssertionError(f"no {pattern!r} on {self.name} before {what}; "
                                         f"it said:\n{self.text[self.mark:]}")
                self.changed.wait(left_s)
            self.mark = match.end()
            return match

    def finish(self):
        """Wait for the end and close."""
        self.thread.join(WAIT_S)
        os.close(self.fd)


class Proc:
    """A running program. Use as a context manager: it never outlives the block.

    out, err: Stream of its standard output and error; with tty=True both are
    one terminal, and `write` types on its keyboard.
    """

    def __init__(self, *argv, tty=False, env=None, netns=None, pass_fds=(), cwd=None):
        self.argv = [str(arg) for arg in argv]
        if netns:
            self.argv = netns.prefix() + self.argv
        self.status = None
        print("+", *self.argv, flush=True)
        env = {**os.environ, **(env or {})}
        self.cwd = cwd
        if tty:
            self.start_on_tty(env, pass_fds)
        else:
            self.start_on_pipes(env, pass_fds)
        self.pid = self.child.pid
        self.pidfd = os.pidfd_open(self.pid)

    def start_on_pipes(self, env, pass_fds):
        """Three pipes."""
        self.child = subprocess.Popen(self.argv, env=env, cwd=self.cwd, pass_fds=pass_fds,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, start_new_session=True)
        self.input = os.dup(self.child.stdin.fileno())
        self.child.stdin.close()
        self.out = Stream("stdout", os.dup(self.child.stdout.fileno()))
        self.err = Stream("stderr", os.dup(self.child.stderr.fileno()))
        self.child.stdout.close()
        self.child.stderr.close()

    def start_on_tty(self, env, pass_fds):
        """One terminal, whose other end we keep."""
        self.terminal, slave = pty.openpty()
        self.child = subprocess.Popen(self.argv, env=env, cwd=self.cwd, pass_fds=pass_fds,
                                      stdin=slave, stdout=slave, stderr=slave,
                                      start_new_session=True)
        os.close(slave)
        self.input = os.dup(self.terminal)
        self.out = self.err = Stream("terminal", self.terminal)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.stop()
        if kind:
            self.print_output()

    def print_output(self):
        """To the log of the test."""
        for stream in dict.fromkeys([self.out, self.err]):
            print(f"--- {stream.name} of {self.argv[0]} (status {self.status}):", flush=True)
            print(stream.text, flush=True)

    def wait_for(self, pattern, timeout_s=WAIT_S):
        """Wait for standard output to match; see Stream.wait_for."""
        return self.out.wait_for(pattern, timeout_s)

    def write(self, text):
        """To its standard input."""
        data = text.encode()
        while data:
            data = data[os.write(self.input, data):]

    def close_input(self):
        """End of its standard input."""
        if self.input is not None:
            os.close(self.input)
            self.input = None

    def signal(self, number):
        """Send it a signal."""
        signal.pidfd_send_signal(self.pidfd, number)

    def running(self):
        """Has it not ended yet?"""
        return self.status is None and not select.select([self.pidfd], [], [], 0)[0]

    def wait(self, timeout_s=WAIT_S):
        """Wait for its end; returns the exit status, -N for signal N."""
        if self.status is None:
            if not select.select([self.pidfd], [], [], timeout_s)[0]:
                raise AssertionError(f"{self.argv[0]} still runs after {timeout_s:g} s; "
                                     f"output:\n{self.out.text}")
            self.status = self.child.wait()
            for stream in dict.fromkeys([self.out, self.err]):
                stream.thread.join(WAIT_S)
        return self.status

    def stop(self):
        """Kill it if it runs, and release everything."""
        if self.pidfd is None:
            return
        if self.running():
            kill_tree(self.pid)
        self.wait()
        os.close(self.pidfd)
        self.pidfd = None
        self.close_input()
        for stream in dict.fromkeys([self.out, self.err]):
            stream.finish()
