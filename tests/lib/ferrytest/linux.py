# SPDX-License-Identifier: MIT
"""The Linux guest: where its parts are, how to log in, and one that has booted already."""
import contextlib
import fcntl
import functools
import hashlib
import os

from .case import require_tool, tmp_dir
from .guest import Guest, Restored
from .paths import BUILD, FERRY, GUESTS
from .proc import run

READY = r"^guest: ready after ([\d.]+) s"
PROMPT = r"guest# "
SSH_S = 60
BOOT_S = 120


class LinuxGuest:
    """The directory that make linux-guest made; guest-images/linux/README.md lists it."""

    def __init__(self, folder):
        self.folder = folder
        self.kernel = folder / "vmlinux"
        self.kernel_debug = folder / "vmlinux.debug"
        self.bzimage = folder / "bzImage"
        self.initrd = folder / "initrd.img"
        self.rootfs = folder / "rootfs.img"
        self.cmdline = (folder / "cmdline").read_text(encoding="utf-8").strip()

    def ssh(self, port, command, **kwargs):
        """Run a command in a guest whose port 22 is this port of ours; its output."""
        return run("ssh", "-F", self.folder / "ssh_config", "-p", port, "guest", command,
                   timeout_s=kwargs.pop("timeout_s", SSH_S), **kwargs)

    def crash(self, core, *commands):
        """What crash(8) says to each command about a core; without a ~/.crashrc."""
        require_tool("crash")
        with tmp_dir() as home:
            script = home / "script"
            said = [home / str(number) for number in range(len(commands))]
            script.write_text("".join(f"{command} > {path}\n" for command, path
                                      in zip(commands, said, strict=True)) + "quit\n")
            print(run("crash", "-s", "-i", script, self.kernel_debug, core, timeout_s=BOOT_S,
                      env={**os.environ, "HOME": str(home)}, cwd=home))
            return [path.read_text(errors="replace") for path in said]


@functools.cache
def linux_guest():
    """The Linux guest; it is an error, not a reason to skip, if it was not built."""
    folder = GUESTS / "linux"
    assert folder.is_dir(), f"no Linux guest in {folder}: run make linux-guest"
    return LinuxGuest(folder.resolve())


def booted_linux(append="net=none", **options):
    """A saved guest that has booted to its shell, for Restored(); made by whoever comes first.

    It is kept in the build directory until ferry, the guest or what is asked for changes.
    """
    linux = linux_guest()
    made_of = [linux.folder, append, sorted(options.items()), FERRY, FERRY.stat().st_mtime_ns]
    name = hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
    folder = BUILD / "linux-booted"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.ferry"
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            for old in folder.glob("*.ferry"):
                if old.stat().st_mtime_ns < FERRY.stat().st_mtime_ns:
                    old.unlink()
            with Guest(linux.kernel, initrd=linux.initrd, append=f"{linux.cmdline} {append}",
                       **options) as guest:
                guest.wait_for(READY, BOOT_S)
                guest.wait_for(PROMPT, BOOT_S)
                guest.save(path)
                assert guest.wait() == 0
    return path


@contextlib.contextmanager
def linux_at_prompt(**kwargs):
    """A guest without a nic that has booted, and whom others find; kwargs are Restored's."""
    with Restored(booted_linux(net="none"), **kwargs) as guest:
        guest.control().close()
        yield guest


def does(guest, command):
    """Run a command in the guest, which must succeed; what it printed."""
    guest.write(f"{command}; echo status=$((0 + $?))\n")
    printed = guest.wait_for(r"^((?:.*\n)*?)status=(\d+)\r?\n", BOOT_S)
    assert printed.group(2) == "0", f"{command}: {printed.group(0)}"
    guest.wait_for(PROMPT, BOOT_S)
    return printed.group(1).replace("\r", "")


def becomes(guest, condition):
    """Wait until the guest finds it so. Its shell hears of no event: it looks each second."""
    does(guest, f"until {condition}; do sleep 1; done")
