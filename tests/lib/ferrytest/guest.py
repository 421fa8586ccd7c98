# SPDX-License-Identifier: MIT
"""Guests: the same image under ferry and under QEMU."""
import itertools
import os
import pathlib
import re
import signal
import tempfile

from .case import require_file, require_kvm, require_tool
from .control import Control
from .paths import FERRY, GUESTS
from .proc import Proc, run

# CPU flags that a KVM without hardware behind it offers but cannot do.
QEMU_CPU = "host,-arch-capabilities,-cx16"

SANITIZER_REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:)")

serial_numbers = itertools.count(1)


def guest_image(name):
    """Path of a test guest; a path is taken as it is."""
    if "/" in str(name):
        return pathlib.Path(name)
    return require_file(GUESTS / f"{name}.elf", "run make")


def options(**kwargs):
    """--key value for each: True is a flag, a list repeats, None is left out."""
    argv = []
    for key, value in kwargs.items():
        flag = "--" + key.replace("_", "-")
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is True:
                argv.append(flag)
            elif one is not None and one is not False:
                argv += [flag, str(one)]
    return argv


class Guest(Proc):
    """`ferry run` with a guest.

    Guest("hello", vcpus=2, disk="root.img,readonly") runs
    ferry run --name T --kernel hello.elf --vcpus 2 --disk root.img,readonly.
    Standard output is the guest's console unless console= says otherwise; log
    messages of ferry itself are on `err`. Each guest has a runtime directory of
    its own, unless one is given.
    """

    label = "ferry"

    def __init__(self, image, *extra, append=None, **kwargs):
        kwargs.setdefault("memory", "64M")
        self.begin("run", *extra, kernel=guest_image(image), append=append, **kwargs)

    def begin(self, command, *extra, name=None, runtime=None, tty=False, netns=None, env=None,
              ferry=FERRY, **kwargs):
        """ferry COMMAND --name NAME --key value ... extra"""
        require_kvm()
        self.name = name or f"t{os.getpid()}-{next(serial_numbers)}"
        self.own_runtime = None
        if runtime is None:
            self.own_runtime = tempfile.TemporaryDirectory(prefix="ferrytest-run-")
            runtime = self.own_runtime.name
        self.runtime = pathlib.Path(runtime)
        self.ephemeral = kwargs.get("ephemeral", False)
        env = {"XDG_RUNTIME_DIR": str(self.runtime), **(env or {})}
        Proc.__init__(self, ferry, command, *options(name=self.name, **kwargs), *extra,
                      tty=tty, netns=netns, env=env)

    def socket_path(self):
        """The control socket of the guest; an ephemeral guest's is no file."""
        path = f"{self.runtime}/ferry/{self.name}.sock"
        return "\0" + path if self.ephemeral else path

    def control(self, negotiate=True):
        """A connection to the control socket."""
        return Control(self.socket_path(), negotiate=negotiate)

    def press_power_button(self):
        """What one SIGTERM does."""
        self.signal(signal.SIGTERM)

    def ferry(self, *argv, env=None, **kwargs):
        """Another ferry command in the same runtime directory, as a Proc."""
        return Proc(FERRY, *argv, env={"XDG_RUNTIME_DIR": str(self.runtime), **(env or {})},
                    **kwargs)

    def save(self, path, *words, **kwargs):
        """`ferry save` to its end; what it printed. Raises if it fails."""
        return run(FERRY, "save", self.name, path, *words, *options(**kwargs),
                   env={**os.environ, "XDG_RUNTIME_DIR": str(self.runtime)})

    def stop(self):
        """Kill, clean up, and fail if a sanitizer has something to say."""
        super().stop()
        if self.own_runtime:
            self.own_runtime.cleanup()
            self.own_runtime = None
        report = SANITIZER_REPORT.search(self.err.text)
        assert not report, self.err.text[report.start():]


class Restored(Guest):
    """`ferry restore` of a saved guest; otherwise as Guest."""

    label = "restored"

    def __init__(self, path, *extra, **kwargs):
        kwargs.setdefault("console", "stdio")
        self.begin("restore", path, *extra, **kwargs)


# ferry's words for a disk or nic, and QEMU's for its drive or netdev and its device.
QEMU_DRIVE_WORDS = {"readonly": "readonly=on", "overlay": "snapshot=on"}
QEMU_DISK_WORDS = {"queues": "num-queues", "serial": "serial"}


def qemu_disk(number, value):
    """The arguments for --disk PATH[,readonly][,overlay][,queues=N][,serial=TEXT]."""
    path, *words = value.split(",")
    drive = [f"if=none,id=d{number},format=raw,file={path}"]
    device = [f"virtio-blk-pci,drive=d{number},disable-legacy=on"]
    for word in words:
        key, _, text = word.partition("=")
        if word in QEMU_DRIVE_WORDS:
            drive.append(QEMU_DRIVE_WORDS[word])
        else:
            device.append(f"{QEMU_DISK_WORDS[key]}={text}")
    return ["-drive", ",".join(drive), "-device", ",".join(device)]


def qemu_nic(number, value):
    """The arguments for --net user|tap:NAME[,mac=MAC][,queues=N][,hostfwd=RULE]."""
    kind, *words = value.split(",")
    kind, _, name = kind.partition(":")
    netdev = [f"{kind},id=n{number}"]
    device = [f"virtio-net-pci,netdev=n{number},disable-legacy=on,romfile="]
    if kind == "tap":
        netdev.append(f"ifname={name},script=no,downscript=no,vhost=off")
    for word in words:
        key, _, text = word.partition("=")
        if key == "queues":
            netdev.append(f"queues={text}")
            device.append(f"mq=on,vectors={2 * int(text) + 2}")
        else:
            (device if key == "mac" else netdev).append(word)
    return ["-netdev", ",".join(netdev), "-device", ",".join(device)]


class Qemu(Proc):
    """The same guest under QEMU, as a check on the guest itself.

    Takes image, memory, vcpus, append, disk and net as Guest does; disks and nics
    become modern virtio-pci devices. The machine has no firmware and little else:
    it is there in a tenth of a second.
    """

    machine = "microvm,pcie=on"

    def __init__(self, image, *extra, memory="64M", vcpus=1, append=None, disk=(), net=(),
                 initrd=None, netns=None):
        require_kvm()
        require_tool("qemu-system-x86_64")
        self.folder = tempfile.TemporaryDirectory(prefix="ferrytest-qemu-")
        argv = ["qemu-system-x86_64", "-M", self.machine, "-enable-kvm", "-cpu", QEMU_CPU,
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
                "-qmp", f"unix:{self.socket_path()},server=on,wait=off",
                "-m", memory, "-smp", vcpus, "-kernel", guest_image(image)]
        argv += ["-append", append] if append is not None else []
        argv += ["-initrd", initrd] if initrd is not None else []
        for number, value in enumerate([disk] if isinstance(disk, (str, os.PathLike)) else disk):
            argv += qemu_disk(number, str(value))
        for number, value in enumerate([net] if isinstance(net, str) else net):
            argv += qemu_nic(number, value)
        super().__init__(*argv, *extra, netns=netns)

    def socket_path(self):
        """The QMP socket."""
        return pathlib.Path(self.folder.name) / "qmp"

    def press_power_button(self):
        """As ferry's SIGTERM does."""
        with Control(self.socket_path()) as control:
            control.execute("qmp_capabilities")
            control.execute("system_powerdown")

    def stop(self):
        """Kill and clean up."""
        super().stop()
        self.folder.cleanup()


class QemuPC(Qemu):
    """The same with a whole PC: firmware, I/O APIC routes, ACPI's PM1 registers."""

    machine = "q35"
