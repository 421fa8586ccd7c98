# SPDX-License-Identifier: MIT
"""What is left when all should be gone."""
import contextlib
import json
import os
import re
import time

from .case import sanitizer_flags
from .proc import WAIT_S, descendants, run


def fds(pid="self"):
    """{number: target} of the open descriptors of a process."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
    return found


def links(netns=None):
    """Names of the network interfaces, here or in a namespace."""
    text = (netns.run if netns else run)("ip", "-j", "link", "show")
    return {link["ifname"] for link in json.loads(text or "[]")}


def vanishes(netns, name):
    """Wait until an interface is gone.

    The kernel lets go of a tap when it has taken the process's io_uring apart, which
    is a moment after the process ended.
    """
    deadline_s = time.monotonic() + WAIT_S
    while name in links(netns):
        assert time.monotonic() < deadline_s, f"{name} is still there"


def unix_sockets():
    """Paths of the bound UNIX sockets of this network namespace."""
    with open("/proc/self/net/unix", encoding="utf-8") as table:
        rows = [line.split() for line in list(table)[1:]]
    return {row[7] for row in rows if len(row) > 7}


def memory_of(pid):
    """Fields of smaps_rollup in KiB: Rss, Pss, Pss_Anon, Private_Dirty, ..."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as rollup:
        rows = [line.split() for line in list(rollup)[1:]]
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) == 3}


def mapped_kib(pid, ram_bytes=0, field="Pss"):
    """Sum of a field over all mappings but the guest's RAM, which its size tells apart. 0 where
    ferry has a sanitizer in it: that holds on to memory which has been freed."""
    if sanitizer_flags():
        return 0
    total, found, counts = 0, 0, True
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            if mapping := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
                counts = int(mapping[2], 16) - int(mapping[1], 16) != ram_bytes
                found += not counts
            elif line.startswith(f"{field}:") and counts:
                total += int(line.split()[1])
    assert found == bool(ram_bytes), f"{found} mappings of {ram_bytes} bytes in process {pid}"
    return total


def files_below(folder):
    """Every path below a folder."""
    return {os.path.join(base, name) for base, dirs, names in os.walk(folder)
            for name in [*dirs, *names]}


@contextlib.contextmanager
def no_leaks(netns=None, folders=()):
    """Fail if the block leaves processes, interfaces or descriptors behind.

    Files and bound sockets are looked for below `folders`, interfaces in `netns`:
    this machine has other users.
    """
    below = tuple(map(str, folders))

    def snapshot():
        return {
            "process": {f"{pid} {name}" for pid, name in descendants(os.getpid()).items()},
            "interface": links(netns) if netns else set(),
            "descriptor": {f"{number} {target}" for number, target in fds().items()},
            "socket": {path for path in unix_sockets() if path.startswith(below)},
            "file": set().union(*(files_below(folder) for folder in folders)),
        }
    before = snapshot()
    yield
    after = snapshot()
    left = [f"{kind} {name}" for kind, names in after.items() for name in names - before[kind]]
    assert not left, "left behind: " + ", ".join(sorted(left))
