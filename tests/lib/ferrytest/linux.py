# SPDX-License-Identifier: MIT
"""The Linux guest: where its parts are, and how to log in."""
import functools

from .paths import GUESTS
from .proc import run

READY = r"^guest: ready after ([\d.]+) s"
SSH_S = 60


class LinuxGuest:
    """The directory that make linux-guest made; guest-images/linux/README.md lists it."""

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
    folder = GUESTS / "linux"
    assert folder.is_dir(), f"no Linux guest in {folder}: run make linux-guest"
    return LinuxGuest(folder.resolve())
