# SPDX-License-Identifier: MIT
"""The control socket, and many guests at once: what a test harness has to do with."""
import contextlib
import os
import select
import statistics
import tempfile
import time

from ferrytest import Control, guest_image

from .sides import start_for_output, wait_for_end
from .table import Row

# One by one, of which the median is taken: a guest's answer may have to wait for a CPU.
QUESTIONS_MIN = 200
GUESTS = 50


def round_trip_us(side, bench):
    """From a question to its answer; the client does no more than write and read."""
    question = b'{"execute": "query-status"}\n'
    took_ns = []
    with side.idle() as guest:
        guest.wait_for("^idle ready")
        with Control(guest.socket_path(), negotiate=True) as control:
            until_s = time.monotonic() + bench.seconds
            while len(took_ns) < QUESTIONS_MIN or time.monotonic() < until_s:
                start_ns = time.perf_counter_ns()
                control.socket.sendall(question)
                answer = control.socket.recv(65536)
                took_ns.append(time.perf_counter_ns() - start_ns)
                assert answer.endswith(b"\n") and b'"running"' in answer, answer
    return statistics.median(took_ns) / 1000


def first_bytes(fds):
    """Wait until each has something to read; every first byte must be the hello guest's."""
    waiting = set(fds)
    while waiting:
        for fd in select.select(list(waiting), [], [])[0]:
            first = os.read(fd, 1)
            assert first == b"h", f"first byte {first!r}"
            waiting.remove(fd)


def parallel_ms(side, _bench):
    """From the start of the first of many processes to the last guest's first byte."""
    with tempfile.TemporaryDirectory(prefix="ferrybench-") as runtime, \
            contextlib.ExitStack() as stack:
        started = []
        start_s = time.monotonic()
        for _ in range(GUESTS):
            pid, fd = start_for_output(side.launch_argv(guest_image("hello")),
                                       {"XDG_RUNTIME_DIR": runtime})
            started.append((pid, fd))
            stack.callback(os.close, fd)
        first_bytes([fd for _, fd in started])
        took_s = time.monotonic() - start_s
        for pid, fd in started:
            wait_for_end(pid, fd)
    return took_s * 1000


def rows():
    """A table of their own."""
    return [
        Row("control", "control round trip: query-status, idle guest", "us", round_trip_us,
            more_is_better=False, table="control"),
        Row("parallel", f"start {GUESTS} guests at once, to the last one's first byte", "ms",
            parallel_ms, more_is_better=False, table="control"),
    ]
