# SPDX-License-Identifier: MIT
"""Marks and requirements for test functions.

A test is a function `test_*` without arguments. It passes by returning, fails
by raising, and skips by raising Skip.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from .paths import FERRY

DEFAULT_TIMEOUT_S = 60


class Skip(Exception):
    """Raised where a test cannot run on this machine; says why."""


def timeout(seconds):
    """Mark: the watchdog ends this test after so many seconds."""
    def mark(function):
        function.timeout_s = seconds
        return function
    return mark


def alone(function):
    """Mark: nothing else runs meanwhile, because the test measures time."""
    function.alone = True
    return function


def each(**values):
    """Mark: run once for each value of one argument: @each(vcpus=[1, 2, 4])."""
    (name, choices), = values.items()

    def mark(function):
        function.each = [{name: choice, **more} for choice in choices
                         for more in getattr(function, "each", [{}])]
        return function
    return mark


def require_kvm():
    """Skip the test where /dev/kvm cannot be opened."""
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        reason = "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"
        raise Skip(f"no /dev/kvm{reason}") from None


def require_root():
    """Skip the test for users who cannot make network namespaces and mounts."""
    if os.geteuid() != 0:
        raise Skip("needs root")


def require_user_namespaces():
    """Skip the test where nobody can make one: inside a chroot, for example."""
    if subprocess.run(["unshare", "--user", "true"], stderr=subprocess.DEVNULL,
                      check=False).returncode != 0:
        raise Skip("the kernel makes no user namespaces here: they are off, or this is a chroot")


def sanitizer_flags():
    """What a program has to be linked with that uses parts of this build of ferry."""
    found = re.search(rb"__([at])san_init", FERRY.read_bytes())
    return [{b"a": "-fsanitize=address,undefined", b"t": "-fsanitize=thread"}[found[1]]] \
        if found else []


def require_plain_build():
    """Skip the test where ferry has a sanitizer in it, which needs what confinement takes."""
    if sanitizer_flags():
        raise Skip("a build with a sanitizer is confined less")


def require_tool(*names):
    """Skip the test when a program is not installed."""
    for name in names:
        if not shutil.which(name):
            raise Skip(f"{name} is not installed: run make deps")


def require_file(path, remedy):
    """Skip the test when a file has not been built; returns its path."""
    path = pathlib.Path(path)
    if not path.exists():
        raise Skip(f"no {path.name}: {remedy}")
    return path


@contextlib.contextmanager
def tmp_dir(on=None):
    """A directory that vanishes with the block; `on` names its parent."""
    with tempfile.TemporaryDirectory(prefix="ferrytest-", dir=on) as path:
        yield pathlib.Path(path)
