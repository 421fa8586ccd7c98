# SPDX-License-Identifier: MIT
"""Block devices as images, and storage that fails."""
import contextlib
import os
import re
import signal

from ferrytest import (Guest, Proc, each, loop_device, require_file, require_root, require_tool,
                       run, tmp_dir)

MIB = 1 << 20
SPAN = 8 * MIB


@contextlib.contextmanager
def failing_file(size, rate):
    """A file of which so many requests fail with EIO while a trigger exists: both."""
    require_root()
    require_tool("nbdkit", "nbdfuse")
    require_file("/dev/fuse", "needs a kernel with FUSE")
    with tmp_dir() as folder:
        trigger, ready, mount = folder / "trigger", folder / "ready", folder / "mount"
        mount.mkdir()
        os.mkfifo(ready)
        with Proc("nbdfuse", "-P", ready, mount / "disk", "--command", "nbdkit", "-s",
                  "--filter=error", "memory", size, "error=EIO", f"error-rate={rate}",
                  f"error-file={trigger}") as server:
            with open(ready, encoding="ascii") as pid:
                assert pid.read()
            try:
                yield mount / "disk", trigger
            finally:
                run("umount", "-l", mount)
                server.signal(signal.SIGTERM)
                server.wait()


def blk(words, image, status=0):
    """Run the guest to its end; it and its output."""
    with Guest("blk", append=words, disk=image, net="none") as guest:
        assert guest.wait(timeout_s=50) == status, guest.out.text + guest.err.text
        return guest.out.text, guest.err.text


def how(guest):
    """What ferry says of its first disk."""
    with guest.control() as control:
        return control.execute("ferry-info")["disks"][0]["how"]


# --- loop devices -------------------------------------------------------------------
@each(words=["", ",direct=on", ",direct=off", ",engine=threads", ",overlay"])
def test_reads_what_it_wrote(words):
    with loop_device(16 * MIB) as (device, file):
        before = file.read_bytes()
        out, _ = blk("ops=600 span=8M depth=8 flush=10 discard=20 zeroes=20", f"{device}{words}")
        assert " capacity=32768 blk_size=512 " in out, out
        assert " errors=0 corrupt=0" in out, out
        assert (file.read_bytes() == before) == (words == ",overlay")


def test_direct_is_the_default():
    with loop_device(4 * MIB) as (device, _), \
            Guest("blk", append="time=20 ops=0 span=1M", disk=device, net="none") as guest:
        guest.wait_for("^blk: capacity=8192 ")
        assert ", direct," in how(guest)


@each(block=[512, 4096])
def test_space_comes_back(block):
    with loop_device(16 * MIB, block) as (device, file):
        before = file.stat().st_blocks
        out, _ = blk("fill=0 ops=600 bs=64K span=8M depth=4 discard=1", device)
        assert not re.search(r" discards=0 ", out), out
        # Half of the span at least, in units of 512 bytes.
        assert file.stat().st_blocks < before - SPAN // 512 // 2


@each(bs=[512, 4096, 65536])
def test_blocks_of_4096_bytes(bs):
    """Requests of sectors work, by the page cache; what is no whole block is zeroed by writing."""
    with loop_device(16 * MIB, 4096) as (device, _):
        with Guest("blk", disk=device, net="none", append=f"ops=600 span=4M bs={bs} depth=8 "
                   "flush=20 discard=10 zeroes=5") as guest:
            guest.wait_for("^blk: capacity=32768 ")
            assert guest.wait(timeout_s=50) == 0, guest.out.text + guest.err.text
            assert " errors=0 corrupt=0" in guest.out.text, guest.out.text
            assert not re.search(" zeroes=0 | discards=0 ", guest.out.text), guest.out.text
            assert not guest.err.text, guest.err.text
        _, err = blk("ops=1", f"{device},direct=on", status=1)
        assert "cannot do direct I/O by sectors of 512 bytes: leave direct out" in err, err


@each(second=["", ",readonly", ",overlay"])
def test_device_of_a_writer_is_refused_to_others(second):
    with loop_device(4 * MIB) as (device, _):
        with Guest("blk", append="time=30 ops=0 span=1M", disk=device, net="none") as owner:
            owner.wait_for("^blk: capacity")
            _, err = blk("ops=1", f"{device}{second}", status=1)
            assert device in err and "stop that guest first" in err, err
            assert err.count("\n") == 1, err
        blk("ops=10 span=1M", device)


# --- failing storage ----------------------------------------------------------------
@each(words=["", ",engine=threads", ",overlay"])
def test_some_requests_fail(words):
    # One read of the page cache serves 32 blocks of the guest's: of some 16 many must fail.
    with failing_file("8M", "50%") as (image, trigger):
        trigger.touch()
        out, err = blk("expect=ioerr fill=0 ops=400 span=2M depth=4", f"{image}{words}")
        assert " corrupt=0" in out and " errors=0 " not in out, out
        lines = err.splitlines()
        assert 1 <= len(lines) < 20, err
        for line in lines:
            assert re.search(r"disk0: (read|write) of \d+ bytes at byte \d+: Input/output error"
                             r"|more", line), line


def test_storage_that_recovers():
    with failing_file("8M", "100%") as (image, trigger):
        trigger.touch()
        out, err = blk("expect=ioerr fill=0 ops=50 span=2M", image)
        assert " errors=50 corrupt=0" in out, out
        assert "disk0: " in err and "Input/output error" in err, err
        trigger.unlink()
        out, err = blk("ops=200 span=2M depth=4 flush=10", image)
        assert " errors=0 corrupt=0" in out and not err, out + err
