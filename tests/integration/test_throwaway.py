# SPDX-License-Identifier: MIT
"""Throwaway guests: hundreds of them leave nothing."""
import concurrent.futures
import itertools
import os
import signal
import subprocess

from ferrytest import NetNs, alone, no_leaks, require_kvm, require_root, timeout, tmp_dir
from ferrytest.paths import FERRY, GUESTS

RUNS = 200
JOBS = 4
SLACK_KIB = 64 << 10


def shared_memory_kib():
    """What memfds and the like hold on this host."""
    with open("/proc/meminfo", encoding="utf-8") as info:
        return next(int(line.split()[1]) for line in info if line.startswith("Shmem:"))


def throw_away(number, folder, prefix):
    """One guest with all kinds of devices; every fifth is killed. Returns what is wrong."""
    killed = number % 5 == 4
    argv = [*prefix, FERRY, "run", "--ephemeral", "--memory", "32M", "--vcpus", 1 + number % 2,
            "--kernel", GUESTS / ("idle.elf" if killed else "hello.elf"), "--append", "exit=7",
            "--disk", f"{folder}/base.img,overlay", "--rng", "--balloon",
            "--net", ("user", "tap", "none")[number % 3]]
    with subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={**os.environ, "XDG_RUNTIME_DIR": str(folder)}) as child:
        if killed:
            child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
        _, errors = child.communicate(timeout=30)
    wanted = -signal.SIGKILL if killed else 15
    return None if child.returncode == wanted else (number, child.returncode, errors)


def throw_away_many(folder, prefix):
    """All of them, some at a time."""
    (folder / "base.img").write_bytes(bytes(1 << 20))
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
        failures = list(filter(None, pool.map(throw_away, range(RUNS), itertools.repeat(folder),
                                              itertools.repeat(prefix))))
    assert not failures, failures[:3]
    (folder / "base.img").unlink()


@alone
@timeout(120)
def test_many_guests_leave_nothing():
    require_kvm()
    require_root()
    before = shared_memory_kib()
    with tmp_dir() as folder, NetNs() as netns, no_leaks(netns=netns, folders=[folder]):
        throw_away_many(folder, netns.prefix())
    assert shared_memory_kib() < before + SLACK_KIB
