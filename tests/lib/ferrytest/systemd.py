# SPDX-License-Identifier: MIT
"""A real systemd that starts ferry@.service, in namespaces and a root folder thrown away after."""
import os
import pathlib
import re
import shutil
import signal
import socket
import tempfile

from .case import (Skip, require_file, require_kvm, require_root, require_tool,
                   require_user_namespaces)
from .cgroup import cgroup_root
from .guest import guest_image
from .paths import BUILD, TOP
from .proc import Proc, run, wait_end

SYSTEMD = "/lib/systemd/systemd"
START_S = 60  # a second, but on an emulated host

# $1: a folder for the new root; $2: what goes into it; $3: the socket that systemd notifies.
# What this machine has, with a layer above it that takes what is written.
ENTER = r"""
set -e
mount --make-rprivate /
mount -t tmpfs layers "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
mount --rbind /dev dev
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs run run
rm -rf etc/systemd/system
mkdir -p etc/systemd/system etc/ferry opt old
cp -r "$2/." .
pivot_root . old
cd /
umount -l old
exec env -i container=ferrytest PATH=/usr/sbin:/usr/bin:/sbin:/bin NOTIFY_SOCKET="$3" \
    /lib/systemd/systemd --system --unit=ferrytest.target --show-status=no
"""


class Systemd:
    """Use as a context manager. `confs` are settings of guests by name: /etc/ferry/NAME.conf.

    `systemctl` runs in it, and so does ferry, which is in /opt/ferry/bin there. `bare`: guests are
    started without what systemd starts before anything else, which is much where modules are."""

    def __init__(self, confs, bare=False):
        require_root()
        require_kvm()
        require_tool("unshare", "nsenter", "systemctl", "pivot_root")
        require_file(SYSTEMD, "install the package systemd")
        require_user_namespaces()  # in a chroot there is no way into its namespaces either
        self.holder = tempfile.TemporaryDirectory(prefix="ferrytest-systemd-")
        self.folder = pathlib.Path(self.holder.name)
        self.cgroup = cgroup_root() / f"ferrytest-{os.getpid()}"
        self.ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ready.bind(f"\0{self.folder}/ready")
        self.ready.settimeout(START_S)
        (self.folder / "root").mkdir()
        self.fill(self.folder / "files", confs)
        if bare:
            self.fill_bare(self.folder / "files/etc/systemd/system")
        self.cgroup.mkdir()
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def fill(self, files, confs):
        """What is installed: ferry, its unit, a guest, and settings."""
        units, settings = files / "etc/systemd/system", files / "etc/ferry"
        programs = files / "opt/ferry/bin"
        for folder in (units, settings, programs):
            folder.mkdir(parents=True)
        for path in (BUILD / "ferry", guest_image("idle")):
            shutil.copy2(path, programs)
        unit = (TOP / "scripts/ferry@.service").read_text(encoding="ascii")
        (units / "ferry@.service").write_text(unit.replace("@bindir@", "/opt/ferry/bin"),
                                              encoding="ascii")
        (units / "ferrytest.target").write_text("[Unit]\nDefaultDependencies=no\n",
                                                encoding="ascii")
        for name, text in confs.items():
            (settings / f"{name}.conf").write_text(
                'kernel = /opt/ferry/bin/idle.elf\nappend = "tick=100"\nmemory = 64M\n' + text,
                encoding="ascii")

    @staticmethod
    def fill_bare(units):
        """No dependencies but those that the unit has."""
        (units / "ferry@.service.d").mkdir()
        (units / "ferry@.service.d/bare.conf").write_text("[Unit]\nDefaultDependencies=no\n",
                                                          encoding="ascii")
        for unit in ("network-online.target", "ferry-networks.service", "dbus.service",
                     "dbus.socket"):
            (units / unit).symlink_to("/dev/null")

    def start(self):
        """Until systemd has started."""
        enter = ["sh", "-c", f"echo 0 > {self.cgroup}/cgroup.procs && exec \"$@\"", "sh",
                 "unshare", "--mount", "--pid", "--cgroup", "--uts", "--ipc", "--fork",
                 "--kill-child", "sh", "-c", ENTER, "sh", self.folder / "root",
                 self.folder / "files", f"@{self.folder}/ready"]
        self.proc = Proc(*enter)
        try:
            while b"READY=1" not in self.ready.recv(4096).splitlines():
                pass
        except TimeoutError:
            said = self.proc.err.text + self.proc.out.text
            if re.search("overlay|mount", said):
                raise Skip(f"no root for systemd: {said.splitlines()[0]}") from None
            raise AssertionError(f"systemd does not start: {said}") from None
        # As in a group with groups below it there may be nobody, or they get no controllers.
        (self.cgroup.parent / "cgroup.procs").write_text(str(self.proc.pid), encoding="ascii")
        children = f"/proc/{self.proc.pid}/task/{self.proc.pid}/children"
        self.pid = int(pathlib.Path(children).read_text(encoding="ascii").split()[0])

    def prefix(self):
        """What to put before a command to run it inside."""
        return ["nsenter", f"--target={self.pid}", "--mount", "--pid", "--cgroup", "--uts",
                "--ipc", "--"]

    def run(self, *argv, **kwargs):
        """A command inside, to its end; see proc.run."""
        return run(*self.prefix(), *argv, **kwargs)

    def show(self, unit, prop):
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", prop, unit).strip()

    def main_pid(self, unit):
        """The unit's process, by the number that it has here."""
        inside = self.show(unit, "MainPID")
        for entry in (self.cgroup / "system.slice").rglob("cgroup.procs"):
            for pid in entry.read_text(encoding="ascii").split():
                status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
                if re.search(rf"^NSpid:.*\t{inside}$", status, re.M):
                    return int(pid)
        raise AssertionError(f"no process {inside} of {unit}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Its first process is killed, and so all that it started."""
        if hasattr(self, "pid"):
            first = os.pidfd_open(self.pid)
            os.kill(self.pid, signal.SIGKILL)
            wait_end(first)
        if hasattr(self, "proc"):
            self.proc.stop()
        self.ready.close()
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            os.rmdir(folder)
        self.holder.cleanup()
