# SPDX-License-Identifier: MIT
"""The Linux guest: where its parts are, and how to log in."""
import functools
import pathlib

from .paths import TOP
from .proc import run

BUILD_SCRIPT = TOP / "guest-images/linux/build.sh"
READY = r"^guest: ready after ([\d.]+) s"
SSH_S = 60


class LinuxGuest:
    """What guest-images/linux/build.sh left in its cache."""

    def __init__(self, folder):
        self.folder = folder
        self.kernel = folder / "vmlinux"
        self.bzimage = folder / "bzImage"
        self.initrd = folder / "initrd.img"
        self.rootfs = folder / "rootfs.img"
        self.cmdline = (folder / "cmdline").read_text(encoding="utf-8").strip()

    def ssh(self, port, command, **kwargs):
        """Run a command in a guest whose port 22 is this port of ours; its output."""
        return run("ssh", "-F", self.folder / "ssh_config", "-p", port, "guest", command,
                   timeout_s=kwargs.pop("timeout_s", SSH_S), **kwargs)


@functools.cache
def linux_guest():
    """The Linux guest; it is an error, not a reason to skip, if it was not built."""
    folder = pathlib.Path(run(BUILD_SCRIPT, "--print-path").strip())
    assert folder.is_dir(), f"no Linux guest in {folder}: run make linux-guest"
    return LinuxGuest(folder)
