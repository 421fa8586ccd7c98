# SPDX-License-Identifier: MIT
"""Control groups of version 2, and their cpu controller."""
import contextlib
import os
import pathlib

from .case import Skip, require_root


def cgroup_root():
    """Where cgroup v2 is mounted."""
    for line in pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, options = line.split()[:4]
        if kind == "cgroup2" and "rw" in options.split(","):
            return pathlib.Path(where)
    raise Skip("cgroup v2 is not mounted, or cannot be written to")


def words(path):
    """Of a small file."""
    return path.read_text(encoding="ascii").split()


def set_controller(root, word):
    """"+cpu" or "-cpu" for the groups below root."""
    (root / "cgroup.subtree_control").write_text(word, encoding="ascii")


@contextlib.contextmanager
def cpu_controller():
    """The root of cgroup v2, whose groups have the cpu controller meanwhile: for tests that run
    alone. Skips where version 2 does not have it."""
    require_root()
    root = cgroup_root()
    if "cpu" not in words(root / "cgroup.controllers"):
        raise Skip("cgroup v2 has no cpu controller here: version 1 has it, or nobody")
    was_there = "cpu" in words(root / "cgroup.subtree_control")
    if not was_there:
        try:
            set_controller(root, "+cpu")
        except OSError as error:
            raise Skip(f"the cpu controller cannot be used here: {error.strerror}") from None
    try:
        yield root
    finally:
        if not was_there:
            set_controller(root, "-cpu")


class CpuGroup:
    """A control group with the cpu controller, below one. Use as a context manager; what is in it
    must have ended before it does. In place of a network namespace it has a program start in it."""

    def __init__(self, root, name):
        self.path = root / f"ferrytest-{os.getpid()}-{name}"
        self.path.mkdir()

    def add(self, pid):
        """All threads of a process."""
        (self.path / "cgroup.procs").write_text(str(pid), encoding="ascii")

    def prefix(self):
        """What to put before a command to start it inside."""
        return ["sh", "-c", "echo 0 > \"$0/cgroup.procs\" && exec \"$@\"", str(self.path)]

    def read(self, name):
        """A file of it, without its last newline."""
        return (self.path / name).read_text(encoding="ascii").strip()

    def stat(self, name):
        """A number of cpu.stat."""
        return int(dict(line.split() for line in self.read("cpu.stat").splitlines())[name])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.path.rmdir()
