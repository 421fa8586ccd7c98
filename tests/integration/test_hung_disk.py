# SPDX-License-Identifier: MIT
"""Storage that does not answer any more: the guest still ends, in bounded time."""
import contextlib
import os
import signal
import time

from ferrytest import Guest, HungFs, each, tmp_dir
from ferrytest.leaks import files_below
from ferrytest.seccomp import NoUring

GRACE_S = 5  # vmm/guest/run_signals.h
WORK = "ops=1000000 depth=4"
GIVEN_UP = "the host's storage does not answer: ended without it"


@contextlib.contextmanager
def hung_guest(**kwargs):
    """A guest with requests under way that will not be answered."""
    with tmp_dir() as folder, HungFs(folder, 8 << 20) as files:
        with Guest("blk", append=WORK, disk=files.path, **kwargs) as guest:
            guest.wait_for("^blk: capacity")
            files.hang()
            yield guest


def check_end(guest, status, within_s):
    """It ends so, in time, and leaves no files."""
    start_s = time.monotonic()
    assert guest.wait(within_s + 5) == status
    assert time.monotonic() - start_s < within_s + 2
    assert {os.path.basename(path) for path in files_below(guest.runtime)} <= {"ferry", "lock"}


@each(netns=[None, "no io_uring"])
def test_two_signals(netns):
    with hung_guest(netns=NoUring() if netns else None) as guest:
        guest.signal(signal.SIGTERM)
        guest.err.wait_for("the next signal ends the guest", 5)
        guest.signal(signal.SIGTERM)
        check_end(guest, 128 + signal.SIGTERM, GRACE_S)
        assert GIVEN_UP in guest.err.text


def test_timeout_of_a_main_thread_that_hangs():
    """A reset waits for the disk."""
    with hung_guest(timeout=4, json=True) as guest:
        with guest.control() as control:
            control.send_raw(b'{"execute":"system_reset"}\n')
            check_end(guest, 124, 4 + GRACE_S)
        assert GIVEN_UP in guest.err.text


def test_destroy():
    with hung_guest() as guest, guest.ferry("destroy", guest.name) as destroy:
        check_end(guest, 0, GRACE_S)
        assert destroy.wait() == 0


def test_destroy_of_a_main_thread_that_hangs():
    """It does not answer, so it is killed; the next command removes its files."""
    with hung_guest() as guest, guest.control() as control:
        control.send_raw(b'{"execute":"stop"}\n')
        with guest.ferry("destroy", guest.name) as destroy:
            destroy.err.wait_for("does not answer: killed", 10)
            assert guest.wait(5) == -signal.SIGKILL
            assert destroy.wait() == 0
        with guest.ferry("list") as listing:
            assert listing.wait() == 0
        assert not os.path.exists(guest.socket_path())
