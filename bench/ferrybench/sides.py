# SPDX-License-Identifier: MIT
"""The two that are compared, each started as its manual says is fast."""
import os
import pathlib
import subprocess
import tempfile
import time

from ferrytest import Control, Guest, Qemu, guest_image
from ferrytest.guest import QEMU_CPU
from ferrytest.paths import FERRY

# Where QEMU's microvm has the PCI configuration space: it has no MCFG table.
QEMU_ECAM = "ecam=0xe0000000"
RAM_MIB = 256
RAM = f"{RAM_MIB}M"


def start_for_output(argv, env=None):
    """Start a monitor; its process, and the end of a pipe where the guest's bytes come out."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    argv = [str(arg) for arg in argv]
    pid = os.posix_spawnp(argv[0], argv, {**os.environ, **(env or {})}, file_actions=[
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDWR, 0),
        (os.POSIX_SPAWN_DUP2, write_end, 1)])
    os.close(write_end)
    return pid, read_end


def wait_for_end(pid, fd):
    """Of a guest that ends by itself."""
    while os.read(fd, 4096):
        pass
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"status {status}"


def first_byte_s(argv, env=None):
    """Start a monitor; seconds until the guest's first byte comes out of a pipe."""
    start_s = time.monotonic()
    pid, fd = start_for_output(argv, env)
    first = os.read(fd, 1)
    took_s = time.monotonic() - start_s
    wait_for_end(pid, fd)
    os.close(fd)
    assert first == b"h", f"{argv[0]}: first byte {first!r}"
    return took_s


def next_byte_s(argv, env=None):
    """The same for a guest that goes on, and has no end: it is killed."""
    argv = [str(arg) for arg in argv]
    start_s = time.monotonic()
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env={**os.environ, **(env or {})}) as child:
        first = os.read(child.stdout.fileno(), 1)
        took_s = time.monotonic() - start_s
        child.kill()
        assert first, child.stderr.read()
    return took_s


def full_memory(size_mib):
    """Nearly all pages of RAM have contents, and the guest shows at once that it runs."""
    return f"fill={size_mib * 15 // 16}M chatter=1"


class FerrySide:
    """ferry."""

    name = "ferry"
    options = {}  # of ferry run, for those who compare ferry with itself

    @classmethod
    def guest(cls, *args, **kwargs):
        """ferry run."""
        return Guest(*args, **cls.options, **kwargs)

    @staticmethod
    def launch_argv(kernel):
        """What is typed for a throwaway guest."""
        return [FERRY, "run", "--ephemeral", "--memory", RAM, "--kernel", kernel]

    @classmethod
    def launch_s(cls):
        """ferry run --ephemeral with the hello guest."""
        with tempfile.TemporaryDirectory(prefix="ferrybench-") as runtime:
            return first_byte_s(cls.launch_argv(guest_image("hello")),
                                {"XDG_RUNTIME_DIR": runtime})

    @staticmethod
    def idle():
        """A guest that halts; the whole machine is there, without disk and nic."""
        return Guest("idle", memory=RAM, net="none", ephemeral=True)

    @classmethod
    def disk(cls, image, words, cached=False):
        """The blk guest on that image."""
        direct = "off" if cached else "on"
        return cls.guest("blk", append=words, disk=f"{image},direct={direct},queues=1", net="none")

    @classmethod
    def nic(cls, netns, tap, words):
        """The net guest on that tap."""
        return cls.guest("net", append=words, net=f"tap:{tap}", netns=netns)

    @staticmethod
    def memory(words, size):
        """The dirty guest."""
        return Guest("dirty", append=words, memory=size, net="none")

    @staticmethod
    def saved_s(size_mib, path):
        """Save a guest whose memory is full; seconds until the file is complete and durable."""
        with Guest("idle", append=full_memory(size_mib), memory=f"{size_mib}M",
                   net="none") as guest:
            guest.wait_for("^idle ready", 60)
            with guest.control() as control:
                start_s = time.monotonic()
                control.pass_fd("file", path, mode="wb")
                control.execute("ferry-save", file="fd:file", **{"keep-running": True})
                control.wait_event("SAVE_COMPLETED", 120)
                return time.monotonic() - start_s

    @staticmethod
    def restored_s(_size_mib, path):
        """ferry restore; seconds until the guest's first byte."""
        with tempfile.TemporaryDirectory(prefix="ferrybench-") as runtime:
            return next_byte_s([FERRY, "restore", path, "--ephemeral", "--console", "stdio"],
                               {"XDG_RUNTIME_DIR": runtime})


class QemuSide:
    """QEMU's smallest x86 machine, with the same devices on PCI Express."""

    name = "QEMU"

    @staticmethod
    def launch_argv(kernel):
        """-M microvm, with nothing in it."""
        return ["qemu-system-x86_64", "-M", "microvm", "-enable-kvm", "-cpu", QEMU_CPU,
                "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                "-serial", "stdio", "-m", RAM, "-kernel", kernel]

    @classmethod
    def launch_s(cls):
        """-M microvm with the hello guest."""
        return first_byte_s(cls.launch_argv(guest_image("hello")))

    @staticmethod
    def idle():
        """The same machine, with the same amount of memory."""
        return Qemu("idle", memory=RAM)

    @staticmethod
    def disk(image, words, cached=False):
        """An I/O thread and io_uring, without the page cache unless told otherwise."""
        cache = "writeback" if cached else "none"
        return Qemu("blk", "-object", "iothread,id=io0",
                    "-drive", f"if=none,id=d0,format=raw,file={image},aio=io_uring,cache={cache}",
                    "-device", "virtio-blk-pci,drive=d0,iothread=io0,disable-legacy=on,"
                    "num-queues=1", append=f"{words} {QEMU_ECAM}")

    @staticmethod
    def nic(netns, tap, words):
        """tap without vhost, which is not ferry's either."""
        return Qemu("net", append=f"{words} {QEMU_ECAM}", net=f"tap:{tap}", netns=netns)

    @staticmethod
    def memory(words, size):
        """Its default: anonymous memory."""
        return Qemu("dirty", append=words, memory=size)

    @staticmethod
    def saved_s(size_mib, path):
        """Migrate to a file, which the guest hardly disturbs; seconds until that has completed."""
        with Qemu("idle", append=full_memory(size_mib), memory=f"{size_mib}M") as guest:
            guest.wait_for("^idle ready", 60)
            with Control(guest.socket_path(), timeout_s=120, negotiate=True) as control:
                control.execute("migrate-set-capabilities", capabilities=[
                    {"capability": "events", "state": True}])
                control.execute("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
                start_s = time.monotonic()
                control.execute("migrate", uri=f"exec:cat >{path}")
                while (event := control.wait_event("MIGRATION"))["data"]["status"] != "completed":
                    assert event["data"]["status"] != "failed"
                return time.monotonic() - start_s

    @staticmethod
    def restored_s(size_mib, path):
        """The same machine with -incoming; seconds until the guest's first byte."""
        with Qemu("idle", "-incoming", "defer", append=full_memory(size_mib),
                  memory=f"{size_mib}M") as guest:
            argv = [f"exec:cat {path}" if arg == "defer" else arg for arg in guest.argv]
        qmp = argv.index("-qmp")
        return next_byte_s(argv[:qmp] + argv[qmp + 2:])


def disk_image(folder, size_bytes):
    """An image with data in every block, so that no request ends at a hole."""
    path = pathlib.Path(folder) / "disk.img"
    piece = os.urandom(1 << 20)
    with open(path, "wb") as image:
        for _ in range(size_bytes >> 20):
            image.write(piece)
        os.fsync(image.fileno())
    return path
