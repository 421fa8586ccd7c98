# SPDX-License-Identifier: MIT
"""Guests that are saved to a file and go on from there."""
import contextlib
import ctypes
import json
import os
import re
import shutil
import signal
import struct
import subprocess

from ferrytest import (Guest, NetNs, Receive, Restored, each, guest_image, no_leaks,
                       require_root, run, timeout, tmp_dir)
from ferrytest.control import ControlError
from ferrytest.hungfs import libc, mount
from ferrytest.notmpfile import no_tmpfile
from ferrytest.paths import FERRY

MIB = 1 << 20
PAGE = 4096
HEADER = struct.Struct("<8sIIQ8Q4QQ")
SECTION = struct.Struct("<IIQQ")
CLONE_NEWNS = 0x20000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
PASS = r"^dirty pass=(\d+) us=(\d+)"


def header_of(path):
    """The numbers of a saved file's header, by name."""
    names = ("magic", "version", "flags", "memory", "kernel", "kernel_bytes", "initrd",
             "initrd_bytes", "sections", "sections_bytes", "ram", "ram_bytes")
    with open(path, "rb") as file:
        return dict(zip(names, HEADER.unpack(file.read(HEADER.size))))


def sections_of(path):
    """[(type, offset of the header, bytes of the payload)]"""
    head = header_of(path)
    found, at = [], head["sections"]
    with open(path, "rb") as file:
        while at < head["sections"] + head["sections_bytes"]:
            file.seek(at)
            kind, _, length, _ = SECTION.unpack(file.read(SECTION.size))
            found.append((kind, at, length))
            at += SECTION.size + length
    return found


def dirty(mem="8M", **kwargs):
    """A guest that writes and verifies its memory, as fast as is good for the others."""
    return Guest("dirty", append=f"mem={mem} rate=40", net="none", **kwargs)


def goes_on(guest, passes=2):
    """It verifies what it had written before."""
    for _ in range(passes):
        guest.wait_for(PASS)
    guest.press_power_button()
    guest.wait_for("^dirty stopped")
    assert guest.wait() == 0
    assert "CORRUPT" not in guest.out.text


def refused(path, pattern, *words, runtime=None):
    """`ferry restore` says why not, and leaves nothing."""
    with no_leaks(), tmp_dir() as own:
        folder = runtime or own
        done = subprocess.run([FERRY, "restore", path, "--name", "refused", *words],
                              capture_output=True, text=True, timeout=20, check=False,
                              stdin=subprocess.DEVNULL,
                              env={**os.environ, "XDG_RUNTIME_DIR": str(folder)})
    assert done.returncode in (1, 2), done
    assert re.search(pattern, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@contextlib.contextmanager
def saved_dirty(*words, mem="8M", **kwargs):
    """The path of a file with a dirty guest in it."""
    with tmp_dir() as folder:
        path = folder / "guest.ferry"
        with dirty(mem, **kwargs) as guest:
            guest.wait_for(PASS)
            guest.save(path, *words)
            assert guest.wait() == 0
        yield path


# --- there and back ---

@each(words=[[], ["--compress", "zstd"]])
@each(memory=["32M", "3200M"])
def test_goes_on(words, memory):
    with saved_dirty(*words, memory=memory) as path:
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        # The guest has 8 MiB and a little that are not zero.
        assert os.stat(path).st_blocks * 512 < 12 * MIB
        with Restored(path) as guest:
            goes_on(guest)


@timeout(120)
def test_twenty_times():
    with saved_dirty() as path:
        for i in range(20):
            with Restored(path) as guest:
                guest.wait_for(PASS)
                guest.save(path, "--force", *(["--compress", "zstd"] if i % 5 == 0 else []))
                assert guest.wait() == 0
        with Restored(path) as guest:
            goes_on(guest)


def test_hugepages():
    with open("/proc/sys/vm/nr_hugepages", encoding="utf-8") as file:
        before = int(file.read())
    require_root()
    with open("/proc/sys/vm/nr_hugepages", "w", encoding="utf-8") as file:
        file.write(str(before + 32))
    try:
        with saved_dirty(memory="64M") as path, Restored(path, hugepages=True) as guest:
            goes_on(guest)
    finally:
        with open("/proc/sys/vm/nr_hugepages", "w", encoding="utf-8") as file:
            file.write(str(before))


@each(vcpus=[2, 4])
def test_several_cpus(vcpus):
    with tmp_dir() as folder, Guest("smp", vcpus=vcpus, append="ms=1500 rounds=300") as guest:
        guest.wait_for(f"^smp started={vcpus}")
        guest.save(folder / "smp")
        assert guest.wait() == 0
        with Restored(folder / "smp") as again:
            again.wait_for("^smp ok")
            assert again.wait() == 0


@each(words=["depth=8", "depth=32 queues=2 poll=0 batch=4", "depth=8 intx=1 flush=50"])
def test_disk(words):
    with tmp_dir() as folder:
        (folder / "disk").write_bytes(bytes(32 * MIB))
        with Guest("blk", disk=folder / "disk", vcpus=2, append=f"time=6 {words}",
                   net="none") as guest:
            guest.wait_for("^blk: capacity")
            guest.save(folder / "blk")
            assert guest.wait() == 0
        with Restored(folder / "blk") as again:
            assert " corrupt=0" in again.wait_for(r"^blk: verify .* corrupt=\d+").group()
            assert again.wait() == 0


def test_overlay():
    with tmp_dir() as folder:
        (folder / "disk").write_bytes(bytes(32 * MIB))
        with Guest("blk", disk=f"{folder}/disk,overlay", append="time=5 depth=4",
                   net="none") as guest:
            guest.wait_for("^blk: capacity")
            guest.save(folder / "blk", "--keep-running")
            with Restored(folder / "blk") as again:
                for one in guest, again:
                    assert " corrupt=0" in one.wait_for(r"^blk: verify .* corrupt=\d+").group()
                    assert one.wait() == 0


@timeout(90)
def test_tap():
    with tmp_dir() as folder, NetNs() as netns:
        path = folder / "net"
        netns.tap("tap0", "10.9.0.1/24")
        with Guest("net", append="ip=10.9.0.2/24", net="tap:tap0", netns=netns) as guest:
            guest.wait_for("^net: up")
            netns.run("ping", "-c", "2", "-i", "0.1", "10.9.0.2")
            guest.save(path)
            assert guest.wait() == 0
        with Restored(path, netns=netns) as again, again.control() as control:
            # Before it runs nobody holds the tap, and what is sent to it is lost.
            assert control.execute("query-status")["status"] == "running"
            netns.run("ping", "-c", "3", "-i", "0.1", "10.9.0.2")


@timeout(90)
def test_new_macs():
    """Two guests from one file: the second has another address once it has reset."""
    with tmp_dir() as folder:
        with Guest("net", append="ip=dhcp", net="user") as guest:
            mac = guest.wait_for(r"^net: up .* mac=(\S+) ")[1]
            guest.save(folder / "g")
        with Restored(folder / "g", name="other") as same, \
                Restored(folder / "g", name="another", new_macs=True) as new:
            for one, wanted in (same, True), (new, False):
                with one.control() as control:
                    control.execute("system_reset")
                assert (one.wait_for(r"net: up .* mac=(\S+) ")[1] == mac) is wanted


# --- several ---

def test_both_go_on():
    with tmp_dir() as folder, dirty() as guest:
        guest.wait_for(PASS)
        said = json.loads(guest.save(folder / "g", "--keep-running", "--json"))
        assert said["running"] and 0 < said["paused-ms"] < 10000
        with Restored(folder / "g") as again:
            goes_on(again)
        goes_on(guest)


def test_several_from_one_file():
    with saved_dirty() as path, contextlib.ExitStack() as stack:
        guests = [stack.enter_context(Restored(path)) for _ in range(4)]
        before = path.read_bytes()
        for guest in guests:
            goes_on(guest)
        assert path.read_bytes() == before


@each(words=[[], ["--compress", "zstd"]])
def test_restored_guest_teleports(words):
    """What is only in the file travels too; then what arrived is saved, and goes on."""
    with saved_dirty(*words, mem="16M") as path, tmp_dir() as folder, \
            Restored(path, paused=True) as guest, \
            Receive(listen=f"unix:{folder}/in", env={"XDG_RUNTIME_DIR": str(folder)}) as there:
        guest.control().close()  # once it is there
        with guest.ferry("teleport", guest.name, there.address, "--verify") as move:
            assert move.wait() == 0, move.err.text
        assert guest.wait() == 0
        run(FERRY, "save", guest.name, folder / "again",
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder)})
        with Restored(folder / "again", "--console", "stdio") as again, again.control() as control:
            control.execute("cont")
            goes_on(again)


def test_file_may_be_replaced_while_it_is_used():
    with saved_dirty() as path, Restored(path) as first:
        first.wait_for(PASS)
        first.save(path, "--keep-running", "--force")
        with Restored(path) as second:
            second.wait_for(PASS)
            path.unlink()
            goes_on(second)
        goes_on(first)


# --- what travels ---

def test_paused_stays_paused():
    with tmp_dir() as folder, dirty() as guest:
        guest.wait_for(PASS)
        with guest.control() as control:
            control.execute("stop")
            guest.save(folder / "g")
        with Restored(folder / "g") as again, again.control() as control:
            assert control.execute("query-status")["status"] == "paused"
            mark = len(again.out.text)
            control.execute("cont")
            assert mark == 0
            goes_on(again)


def test_restored_paused():
    with saved_dirty() as path, Restored(path, paused=True) as guest:
        with guest.control() as control:
            assert control.execute("query-status")["status"] == "paused"
            assert not guest.out.text
            control.execute("cont")
        goes_on(guest)


def test_resets_without_its_kernel():
    with tmp_dir() as folder:
        kernel = shutil.copy(guest_image("dirty"), folder / "kernel.elf")
        with Guest(kernel, append="mem=4M rate=20", net="none") as guest:
            guest.wait_for(PASS)
            guest.save(folder / "g")
        os.unlink(kernel)
        with Restored(folder / "g") as again:
            again.wait_for(PASS)
            with again.control() as control:
                control.execute("system_reset")
            again.wait_for("dirty start")
            # Its kernel travels on.
            again.save(folder / "g", "--force")
        with Restored(folder / "g") as again, again.control() as control:
            control.execute("system_reset")
            again.wait_for("dirty start")
            goes_on(again)


def test_name_and_settings():
    with saved_dirty(memory="48M", vcpus=2) as path:
        with Restored(path, name="other", timeout=77) as guest:
            guest.wait_for(PASS)
            with guest.control() as control:
                config = control.execute("ferry-info")["config"]
            assert config["name"] == "other" and config["timeout"] == 77
            assert config["memory"] == 48 * MIB and config["vcpus"] == 2
            refused(path, "other", "--name", "other", runtime=guest.runtime)


def test_ephemeral():
    with saved_dirty() as path, tmp_dir() as runtime:
        with no_leaks(folders=[runtime]), Restored(path, ephemeral=True,
                                                   runtime=runtime) as guest:
            guest.wait_for(PASS)
            assert not list(runtime.rglob("*.sock"))
            guest.signal(signal.SIGKILL)
            guest.wait()


def kvmclock_s(path):
    """What the saved guest's paravirtual clock shows."""
    state = json.loads(run(FERRY, "state", "--json", path))
    clock, = (s["parts"][0] for s in state["sections"] if s["name"] == "CLOCK")
    value, = (f["value"] for f in clock["fields"] if f["name"] == "kvmclock_ns")
    return int(value, 16) / 1e9


@timeout(60)
def test_clock():
    """Not every KVM can move the time stamp counter; the paravirtual clock all can."""
    with tmp_dir() as folder:
        with dirty() as guest:
            guest.wait_for(PASS)
            guest.save(folder / "g")
        # Time passes: what takes three seconds is another guest's time limit.
        with Guest("idle", timeout=3) as other:
            assert other.wait() == 124
        shown = {"saved": kvmclock_s(folder / "g")}
        for clock in "continue", "real":
            with Restored(folder / "g", clock=clock) as guest:
                guest.wait_for(PASS)
                guest.save(folder / clock)
            shown[clock] = kvmclock_s(folder / clock)
        assert 0 < shown["continue"] - shown["saved"] < 3, shown
        assert 3 < shown["real"] - shown["saved"] < 20, shown


# --- refusals ---

def test_refuses_what_is_wrong():
    with saved_dirty() as path, tmp_dir() as folder:
        refused("/dev/null", "not a regular file")
        refused(folder / "none", "No such file")
        refused(guest_image("dirty"), "not a guest that ferry has saved")
        refused(path, "map net:x=user.*no nic 'x'", "--map", "net:x=user")
        refused(path, "map disk:disk0=/x.*no disk 'disk0'", "--map", "disk:disk0=/x")
        refused(path, "map x.*write disk:ID=PATH", "--map", "x")
        refused(path, "console", "--console", "telepathy")


def test_refuses_another_disk():
    with tmp_dir() as folder:
        (folder / "disk").write_bytes(bytes(20 * MIB))
        (folder / "small").write_bytes(bytes(19 * MIB))
        with Guest("blk", disk=folder / "disk", append="time=60", net="none") as guest:
            guest.wait_for("^blk: capacity")
            guest.save(folder / "g", "--keep-running")
            refused(folder / "g", "disk0.*another guest has the image open")
        refused(folder / "g", f"disk0.*{19 * MIB}.*{20 * MIB}", "--map",
                f"disk:disk0={folder}/small")
        (folder / "disk").rename(folder / "moved")
        refused(folder / "g", "disk0.*No such file.*--map disk:disk0=PATH")
        with Restored(folder / "g", map=f"disk:disk0={folder}/moved") as again:
            with again.control() as control:
                assert control.execute("ferry-info")["disks"][0]["id"] == "disk0"


def test_save_refuses():
    with tmp_dir() as folder, dirty() as guest:
        guest.wait_for(PASS)
        (folder / "there").write_text("mine")

        def fails(pattern, *argv):
            with guest.ferry("save", guest.name, *argv) as proc:
                assert proc.wait() == 1
                assert re.search(pattern, proc.err.text), proc.err.text

        fails("is there already: give --force", folder / "there")
        fails("is there, and not a file", folder, "--force")
        fails("No such file", folder / "none" / "x")
        assert (folder / "there").read_text() == "mine"
        with guest.control() as control:
            for arguments in ({"file": f"{folder}/x"}, {"file": "fd:x"},
                              {"file": "fd:x", "compress": "lzma"}):
                with contextlib.suppress(ControlError):
                    control.execute("ferry-save", **arguments)
                    raise RuntimeError("accepted")
        guest.save(folder / "there", "--force")
        with Restored(folder / "there") as again:
            goes_on(again)
        assert [p.name for p in folder.iterdir()] == ["there"]


# --- damage ---

def copy_with(path, at, data):
    """A copy of a saved file with other bytes at one place."""
    other = path.with_name("damaged")
    shutil.copy(path, other)
    with open(other, "r+b") as file:
        file.seek(at)
        file.write(data)
    return other


def test_cut_off():
    with saved_dirty(mem="1M") as path:
        head = header_of(path)
        ends = {0, 100, HEADER.size, head["ram"] - 1, head["ram"] + head["ram_bytes"] - 1}
        ends |= {at for _, at, _ in sections_of(path)}
        for end in sorted(ends):
            cut = path.with_name("cut")
            shutil.copy(path, cut)
            os.truncate(cut, end)
            refused(cut, "cut off|too short")


@timeout(120)
def test_damaged():
    with saved_dirty(mem="1M") as path:
        content = path.read_bytes()
        assert "all checksums are right" in run(FERRY, "state", "--verify", path)
        for at in (0, 9, 20, HEADER.size - 1):
            refused(copy_with(path, at, bytes([content[at] ^ 1])),
                    "not a guest|version|damaged")
        for _, at, length in sections_of(path):
            for where in {at, at + 4, at + 9, at + 20, at + SECTION.size + length // 2}:
                if where < at + SECTION.size + length:
                    refused(copy_with(path, where, bytes([content[where] ^ 0x10])),
                            "section|sections|index|damaged|too|cut off")


@each(words=[[], ["--compress", "zstd"]])
def test_damaged_memory(words):
    """Seen by whoever reads all of it: --verify, and the restore of a compressed file."""
    with saved_dirty(*words, mem="1M") as path:
        head = header_of(path)
        at = head["ram"] + (head["ram_bytes"] // 2 if words else 0)
        content = path.read_bytes()
        while not content[at]:
            at += PAGE
        other = copy_with(path, at, bytes([content[at] ^ 4]))
        done = subprocess.run([FERRY, "state", "--verify", other], capture_output=True, text=True,
                              timeout=20, check=False)
        assert done.returncode == 1 and "memory is damaged at" in done.stderr
        if words:
            refused(other, "memory is damaged at")


# --- when it fails half-way ---

def save_fails(guest, path, pattern):
    """The guest goes on, and there is no file."""
    with guest.ferry("save", guest.name, path) as proc:
        assert proc.wait() == 1
        assert re.search(pattern, proc.err.text), proc.err.text
    assert not list(path.parent.iterdir())


def test_disk_full():
    require_root()
    assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    with tmp_dir() as folder:
        mount(b"tmpfs", folder, b"tmpfs", 0, b"size=6m")
        try:
            with dirty("32M") as guest:
                guest.wait_for(PASS)
                save_fails(guest, folder / "g", "No space left on device")
                # 32 MiB that hardly compress
                with guest.ferry("save", guest.name, folder / "g", "--compress", "zstd") as proc:
                    proc.wait()
                goes_on(guest) if proc.status else guest.wait()
        finally:
            libc.umount2(os.fsencode(folder), 2)


@contextlib.contextmanager
def long_save(folder):
    """A guest whose save takes its time, and the command, once the guest stands."""
    with Guest("dirty", memory="320M", append="mem=256M", net="none") as guest:
        guest.wait_for(PASS)
        with guest.control() as control:
            with guest.ferry("save", guest.name, folder / "g", "--compress", "zstd") as proc:
                control.wait_event("STOP")
                yield guest, proc, control


@timeout(90)
def test_command_is_killed():
    with tmp_dir() as folder, long_save(folder) as (guest, proc, control):
        proc.signal(signal.SIGKILL)
        proc.wait()
        assert control.wait_event("SAVE_FAILED")["data"]["desc"] == "cancelled"
        assert not list(folder.iterdir())
        goes_on(guest)


@timeout(90)
def test_cancelled():
    with tmp_dir() as folder, long_save(folder) as (guest, proc, control):
        status = control.execute("query-status")
        assert status["status"] in ("save-vm", "paused") and not status["running"]
        control.execute("migrate_cancel")
        assert proc.wait() == 1 and "cancelled" in proc.err.text
        assert not list(folder.iterdir())
        goes_on(guest)


@timeout(90)
@each(how=["to its end", signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_file_with_another_name_first(how):
    with tmp_dir() as own, tmp_dir() as folder, \
            Guest("dirty", memory="320M", append="mem=256M", net="none") as guest:
        guest.wait_for(PASS)
        with guest.control() as control, \
                guest.ferry("save", guest.name, folder / "g", "--compress", "zstd",
                            env=no_tmpfile(own)) as proc:
            control.wait_event("STOP")
            path, = folder.iterdir()
            assert path.name.startswith(".ferry-save-")
            if how == "to its end":
                assert proc.wait(60) == 0 and guest.wait() == 0
            else:
                proc.signal(how)
                assert proc.wait() == -how
                control.wait_event("SAVE_FAILED")
        assert [p.name for p in folder.iterdir()] == (["g"] if how == "to its end" else [])
        if how == "to its end":
            with Restored(folder / "g") as again:
                goes_on(again, 1)


@contextlib.contextmanager
def written(folder):
    """A guest that was saved and waits to be told to end, and the client who may tell it."""
    with dirty() as guest:
        guest.wait_for(PASS)
        with guest.control() as control:
            control.pass_fd("file", folder / "g", mode="wb")
            control.execute("ferry-save", file="fd:file")
            control.wait_event("SAVE_WRITTEN")
            assert control.execute("query-status")["status"] == "save-vm"
            yield guest, control


def test_ends_when_it_is_told():
    with tmp_dir() as folder:
        with written(folder) as (guest, control):
            with guest.control() as other:
                for command in "ferry-save-finish", "cont", "ferry-save":
                    with contextlib.suppress(ControlError):
                        other.execute(command, **({"file": "fd:x"} if "save" in command[-4:]
                                                  else {}))
                        raise RuntimeError(f"{command}: accepted")
            control.execute("ferry-save-finish")
            assert guest.wait() == 0
        with Restored(folder / "g") as again:
            goes_on(again)


@each(how=["hang-up", "cancel", "quit", "SIGTERM"])
def test_is_not_told_to_end(how):
    """Nobody says that the file has its name: the guest goes on, or ends as it is told."""
    with tmp_dir() as folder, written(folder) as (guest, control):
        if how == "quit":
            control.execute("quit")
        elif how == "cancel":
            control.execute("migrate_cancel")
            assert control.wait_event("SAVE_FAILED")["data"]["desc"] == "cancelled"
        elif how == "SIGTERM":
            guest.signal(signal.SIGTERM)
            guest.err.wait_for("being saved", 20)
            control.close()
        else:
            control.close()
        if how == "quit":
            assert guest.wait() == 0
        else:
            goes_on(guest)


@timeout(90)
def test_guest_is_killed():
    with tmp_dir() as folder, long_save(folder) as (guest, proc, _):
        guest.signal(signal.SIGKILL)
        guest.wait()
        assert proc.wait() == 1 and "the guest has ended" in proc.err.text
        assert not list(folder.iterdir())


@timeout(90)
def test_nothing_else_meanwhile():
    with tmp_dir() as folder, long_save(folder) as (guest, proc, control):
        for command in ("stop", "cont", "system_reset", "system_powerdown"):
            try:
                control.execute(command)
            except AssertionError as error:
                assert "being saved" in str(error)
            else:
                raise AssertionError(f"{command} was possible")
        guest.press_power_button()
        guest.err.wait_for("being saved", 20)
        assert proc.wait(60) == 0
        assert guest.wait() == 0
        with Restored(folder / "g") as again:
            goes_on(again, 1)


def test_end_during_save():
    with tmp_dir() as folder, long_save(folder) as (guest, proc, control):
        control.execute("quit")
        assert guest.wait() == 0
        assert proc.wait() == 1
        assert not list(folder.iterdir())


def test_truncated_while_it_runs():
    with saved_dirty(mem="24M") as path, Restored(path, paused=True) as guest:
        with guest.control() as control:
            os.truncate(path, PAGE)
            control.execute("cont")
            assert guest.wait() != 0
    assert re.search("cut the saved file|saved file .* was cut", guest.err.text), guest.err.text

