# SPDX-License-Identifier: MIT
"""The cache of what the Linux guest is built of."""
import os
import subprocess
import time

from ferrytest import linux_guest, tmp_dir
from ferrytest.paths import TOP

SCRIPT = TOP / "guest-images/linux/build.sh"
MONTH_S = 31 * 24 * 3600


def make(cache, name, age_s):
    """A directory of that age with a file in it."""
    path = cache / "ferry" / name
    path.mkdir()
    (path / "file").touch()
    os.utime(path, (time.time() - age_s,) * 2)
    return path


def build(cache):
    """The directory that the guest is in, with that cache."""
    done = subprocess.run([SCRIPT], env={**os.environ, "XDG_CACHE_HOME": str(cache)}, check=True,
                          stdout=subprocess.PIPE, text=True, timeout=60)
    return done.stdout.strip()


def test_what_nobody_asks_for_is_removed():
    parts = linux_guest().kernel.resolve().parent.parent
    with tmp_dir() as cache:
        (cache / "ferry").mkdir()
        # What takes minutes is not built again.
        for part in [*parts.glob("linux-kernel-*"), *parts.glob("linux-tools-*")]:
            (cache / "ferry" / part.name).symlink_to(part)
        guest = build(cache)
        old, recent = make(cache, "linux-guest-0123", MONTH_S), make(cache, "linux-tools-0123", 60)
        other = make(cache, "downloads", MONTH_S)
        os.utime(guest, (time.time() - MONTH_S,) * 2)
        inode = os.stat(guest).st_ino
        assert build(cache) == guest and os.stat(guest).st_ino == inode
        assert recent.exists() and other.exists() and not old.exists()
