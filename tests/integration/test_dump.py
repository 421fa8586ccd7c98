# SPDX-License-Identifier: MIT
"""Core files of guests, read by gdb."""
import ctypes
import json
import os
import re
import signal
import struct

from ferrytest import (Guest, each, guest_image, no_leaks, require_root, require_tool, run,
                       tmp_dir)
from ferrytest.control import ControlError
from ferrytest.hungfs import libc, mount
from ferrytest.paths import FERRY

MIB = 1 << 20
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PT_LOAD, PT_NOTE = 1, 4


def gdb(image, core, *commands):
    """What gdb says to each command about the core of a guest that runs the image."""
    require_tool("gdb")
    argv = ["gdb", "-nx", "-batch"]
    for command in commands:
        argv += ["-ex", command]
    return run(*argv, guest_image(image), core)


def dump(guest, path, *words):
    """`ferry dump-core` to its end; what it printed. Raises if it fails."""
    return run(FERRY, "dump-core", guest.name, path, *words,
               env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def dump_fails(guest, path, pattern, *words):
    """It says why in one line, and the guest goes on."""
    with guest.ferry("dump-core", guest.name, path, *words) as done:
        assert done.wait() == 1
        assert re.search(pattern, done.err.text), done.err.text
        assert done.err.text.count("\n") == 1, done.err.text
    with guest.control() as control:
        assert control.execute("query-status")["status"] == "running"


def smp(**kwargs):
    """Two CPUs that count for longer than any test takes."""
    return Guest("smp", append="ms=100000", vcpus=2, net="none", **kwargs)


def program_headers(path):
    """[(type, offset, va, pa, alignment, bytes)]"""
    with open(path, "rb") as file:
        head = file.read(64)
        at, = struct.unpack_from("<Q", head, 32)
        size, number = struct.unpack_from("<HH", head, 54)
        file.seek(at)
        found = [struct.unpack("<IIQQQQQQ", file.read(size)) for _ in range(number)]
    return [(kind, offset, va, pa, align, size)
            for kind, _, offset, va, pa, size, _, align in found]


@each(words=[[], ["--live"], ["--paging"], ["--live", "--paging"]])
def test_gdb_reads_it(words):
    """Registers, stacks and memory are those of a guest that counts on two CPUs."""
    with tmp_dir() as folder, smp() as guest:
        guest.wait_for("^smp started=2")
        said = dump(guest, folder / "core", *words)
        assert re.fullmatch(rf"{guest.name}: core dumped to \S+: [\d.]+ MiB\n", said)
        with guest.control() as control:
            assert control.execute("query-status")["status"] == "running"
            assert control.execute("query-dump")["status"] == "completed"
        out = gdb("smp", folder / "core", "info threads", "p cpu_count",
                  "p players[1].next == &players[0]", "thread apply all p $rip", "x/2xw &rounds",
                  "thread apply all bt")
    assert re.search(r"^\* 1 +LWP 1 .*\n +2 +LWP 2 ", out, re.M), out
    assert "$1 = 2\n" in out and "$2 = 1\n" in out, out
    assert re.search(r"<rounds>:\s+0x00000064", out), out
    # One of the two counts; the other may be on its way into or out of the halt.
    assert re.search(r"^#\d+ .*\b(guest_main|play_on_call) \(", out, re.M), out


def test_same_registers_as_the_guest_has():
    """A program that halts for good is found where it has halted."""
    with tmp_dir() as folder, Guest("idle", net="none") as guest:
        guest.wait_for("^idle ready")
        dump(guest, folder / "core")
        out = gdb("idle", folder / "core", "p/x $cs", "info symbol $rip", "p $rsp > 0x100000")
    assert re.search(r"\$1 = 0x(8|23|33)\n", out), out
    assert "section .text" in out and "$2 = 1\n" in out, out


@each(memory=["64M", "3200M"])
def test_layout(memory):
    """Slots are where the guest has them, the file is sparse and nobody else's."""
    with tmp_dir() as folder, Guest("idle", memory=memory, net="none") as guest:
        guest.wait_for("^idle ready")
        said = json.loads(dump(guest, folder / "core", "--json"))
        at = program_headers(folder / "core")
        stat = os.stat(folder / "core")
        assert [p.name for p in folder.iterdir()] == ["core"]
    assert stat.st_mode & 0o7777 == 0o600 and stat.st_size == said["file-bytes"]
    assert stat.st_blocks * 512 < 4 * MIB
    assert at[0][0] == PT_NOTE and {header[0] for header in at[1:]} == {PT_LOAD}
    assert all(va == pa and align == 0 for _, _, va, pa, align, _ in at[1:])
    assert sum(size for *_, size in at[1:]) == int(memory[:-1]) * MIB
    assert len(at) == (2 if memory == "64M" else 3)
    assert all(offset % 4096 == 0 for _, offset, *_ in at[1:])


def test_crashed_guest():
    with tmp_dir() as folder, Guest("hello", append="crash=panic", net="none",
                                    on_crash="preserve") as guest, guest.control() as control:
        guest.err.wait_for("kept for inspection", 20)
        dump(guest, folder / "core")
        assert control.execute("query-status")["status"] == "guest-panicked"
        assert "power_pvpanic" in gdb("hello", folder / "core", "bt")
        assert not [e for e in control.events if e["event"] in ("STOP", "RESUME")]
        control.execute("system_reset")
        control.wait_event("RESET")


def test_paused_guest_stays_paused():
    with tmp_dir() as folder, smp() as guest, guest.control() as control:
        guest.wait_for("^smp started")
        control.execute("stop")
        dump(guest, folder / "core")
        assert control.execute("query-status")["status"] == "paused"
        assert "$1 = 2" in gdb("smp", folder / "core", "p cpu_count")


def test_existing_files():
    with tmp_dir() as folder, smp() as guest:
        guest.wait_for("^smp started")
        (folder / "core").write_text("mine")
        dump_fails(guest, folder / "core", "is there already: give --force")
        assert (folder / "core").read_text() == "mine"
        dump_fails(guest, "/dev/null", "is there, and not a file", "--force")
        dump_fails(guest, folder / "none" / "core", "No such file")
        dump(guest, folder / "core", "--force")
        assert "$1 = 2" in gdb("smp", folder / "core", "p cpu_count")
        assert [p.name for p in folder.iterdir()] == ["core"]


def test_full_disk():
    require_root()
    # A namespace of its own: the mount goes with this process, whatever happens.
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    mount(b"none", "/", None, MS_REC | MS_PRIVATE, None)
    with tmp_dir() as folder:
        mount(b"tmpfs", folder, b"tmpfs", 0, b"size=4m")
        with Guest("idle", append=f"fill={16 * MIB}", net="none") as guest:
            guest.wait_for("^idle ready")
            dump_fails(guest, folder / "core", "No space left on device")
            assert not list(folder.iterdir())
        assert libc.umount(str(folder).encode()) == 0


def big():
    """A guest whose core takes a while."""
    return Guest("idle", append=f"fill={512 * MIB}", memory="600M", net="none")


@each(who=["guest", "client"])
def test_killed(who):
    """Nothing is left, and where the client was killed the guest goes on."""
    with no_leaks(), tmp_dir() as folder, big() as guest:
        guest.wait_for("^idle ready", 40)
        with guest.control() as control, \
                guest.ferry("dump-core", guest.name, folder / "core") as client:
            control.wait_event("STOP")
            (guest if who == "guest" else client).signal(signal.SIGKILL)
            client.wait()
            if who == "client":
                data = control.wait_event("DUMP_COMPLETED")["data"]
                assert data["result"]["status"] == "failed" and data["error"], data
                assert control.execute("query-status")["status"] == "running"
                assert control.execute("query-dump")["status"] == "failed"
        assert not list(folder.iterdir())


def test_guest_that_ends_meanwhile():
    with tmp_dir() as folder, big() as guest:
        guest.wait_for("^idle ready", 40)
        with guest.control() as control, \
                guest.ferry("dump-core", guest.name, folder / "core", "--live") as client:
            control.wait_event("RESUME")
            control.execute("quit")
            assert client.wait() == 1
        assert guest.wait() == 0
        assert not list(folder.iterdir())


def test_bad_requests():
    with smp() as guest, guest.control() as control:
        guest.wait_for("^smp started")
        for reason, arguments in [
                ("'protocol' is missing", {}),
                ("'protocol' must be fd:NAME", {"protocol": "file:/tmp/core"}),
                ("named '3' has not been found", {"protocol": "fd:3"}),
                ("named '' has not been found", {"protocol": "fd:"}),
                ("'format' must be elf", {"protocol": "fd:x", "format": "kdump-zlib"}),
                ("'begin' is unexpected", {"protocol": "fd:x", "begin": 0})]:
            try:
                control.execute("dump-guest-memory", **arguments)
            except ControlError as error:
                assert reason in str(error), error
            else:
                raise AssertionError(arguments)
        assert control.execute("query-dump")["status"] == "none"


@each(command=[("ferry-save", "file"), ("dump-guest-memory", "protocol")])
def test_bad_descriptors(command):
    """Only a file that can be written to, and at any place, will do; what is not taken is gone."""
    name, argument = command
    with tmp_dir() as folder, smp() as guest, guest.control() as control:
        guest.wait_for("^smp started")
        (folder / "file").write_text("mine")
        for path, mode, reason in [(folder / "file", "rb", "must be open for writing"),
                                   (folder / "file", "ab", "must be open for writing"),
                                   ("/dev/null", "wb", "is not of a file")]:
            control.pass_fd("x", path, mode=mode)
            for expected in reason, "named 'x' has not been found":
                try:
                    control.execute(name, **{argument: "fd:x"})
                except ControlError as error:
                    assert expected in str(error), error
                else:
                    raise AssertionError(path)
        assert (folder / "file").read_text() == "mine"
        assert control.execute("query-status")["status"] == "running"


def test_file_that_is_not_empty():
    """What was in a file that a client brings is no part of the core."""
    with tmp_dir() as folder, smp() as guest, guest.control() as control:
        guest.wait_for("^smp started")
        (folder / "core").write_bytes(b"\xff" * (80 * MIB))
        control.pass_fd("core", folder / "core", mode="r+b")
        control.execute("dump-guest-memory", protocol="fd:core")
        data = control.wait_event("DUMP_COMPLETED")["data"]
        assert data["result"]["status"] == "completed", data
        assert data["data-bytes"] < 8 * MIB
        assert "$1 = 2" in gdb("smp", folder / "core", "p cpu_count")
