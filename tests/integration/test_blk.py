# SPDX-License-Identifier: MIT
"""Disks of ferry: the blk guest's verification over every kind of back end, and faults."""
import os
import signal
import subprocess
import time

from ferrytest import Guest, alone, each, no_leaks, require_root, timeout, tmp_dir
from ferrytest.seccomp import NoUring

MIB = 1 << 20


def disk(folder, size_bytes=32 * MIB, name="disk.img"):
    """A sparse image."""
    path = folder / name
    with open(path, "wb") as image:
        image.truncate(size_bytes)
    return path


def run_blk(words, image, status=0, **kwargs):
    """Run the guest to its end; what it said, and what ferry said."""
    with Guest("blk", append=words, disk=image, net="none", **kwargs) as guest:
        assert guest.wait(timeout_s=50) == status, guest.out.text + guest.err.text
        return guest.out.text, guest.err.text


def verified(text):
    """Did the guest find everything as it should be?"""
    return " errors=0 corrupt=0" in text


@each(vcpus=[1, 2, 4])
@each(words=["", ",overlay", ",direct=on", ",direct=off", ",queues=4"])
def test_reads_what_it_wrote(words, vcpus):
    with tmp_dir() as folder:
        image = disk(folder)
        out, _ = run_blk("ops=1000 span=8M depth=8 flush=10 discard=20 zeroes=20",
                         f"{image}{words}", vcpus=vcpus)
        assert verified(out), out
        if words == ",overlay":
            assert image.read_bytes() == bytes(32 * MIB)


@each(words=["", ",overlay"])
def test_threads_where_io_uring_is_refused(words):
    with tmp_dir() as folder:
        out, err = run_blk("ops=1000 span=8M depth=16 flush=10 zeroes=20 resets=2",
                           f"{disk(folder)}{words}", netns=NoUring())
        assert " corrupt=0" in out, out
        assert "the host refuses io_uring: using threads" in err, err


def test_several_queues_at_once():
    with tmp_dir() as folder:
        out, _ = run_blk("ops=2000 span=8M depth=16 queues=4 flush=20",
                         f"{disk(folder)},queues=4", vcpus=2)
        assert " queues=4/4 " in out and verified(out), out


@each(kind=["device", "queue"])
@each(words=["", ",overlay", ",iops=500"])
def test_reset_with_requests_in_flight(words, kind):
    with tmp_dir() as folder:
        out, _ = run_blk(f"ops=600 span=2M depth=16 fill=0 resets=5 reset={kind}",
                         f"{disk(folder)}{words}")
        assert " resets=5 " in out and " corrupt=0" in out, out


def test_read_only_image():
    with tmp_dir() as folder:
        image = disk(folder, 4 * MIB)
        image.chmod(0o400)
        run_blk("expect=ro", f"{image},readonly")
        assert image.read_bytes() == bytes(4 * MIB)


@alone
def test_limit_of_requests():
    with tmp_dir() as folder:
        start = time.monotonic()
        out, _ = run_blk("bench=1 ops=400 span=4M depth=8", f"{disk(folder)},iops=400")
        # A tenth of a second's worth is free at the start.
        assert time.monotonic() - start >= 0.85
        assert " ops=400 " in out, out


@alone
def test_limit_of_bytes():
    with tmp_dir() as folder:
        start = time.monotonic()
        run_blk("bench=1 ops=64 bs=64K span=4M depth=8", f"{disk(folder)},bps=4M")
        assert time.monotonic() - start >= 0.85


def test_written_data_is_there_in_the_next_run():
    with tmp_dir() as folder:
        image = disk(folder)
        run_blk("pattern=write gen=7 span=4M bs=64K", image)
        run_blk("pattern=verify gen=7 span=4M bs=64K", f"{image},readonly")
        run_blk("pattern=verify gen=7 span=4M bs=64K", f"{image},overlay")


def test_two_guests_share_the_base_of_their_overlays():
    with tmp_dir() as folder:
        image = disk(folder)
        run_blk("pattern=write gen=7 span=2M bs=64K", image)
        before = image.read_bytes()
        words = "time=2 ops=3000 span=2M depth=4"
        with Guest("blk", append=words + " seed=1", disk=f"{image},overlay", net="none") as one, \
                Guest("blk", append=words + " seed=2", disk=f"{image},overlay", net="none") as two:
            for guest in (one, two):
                assert guest.wait(timeout_s=50) == 0, guest.err.text
                assert verified(guest.out.text), guest.out.text
        assert image.read_bytes() == before


@each(second=["", ",readonly", ",overlay"])
def test_image_of_a_writer_is_refused_to_others(second):
    with tmp_dir() as folder:
        image = disk(folder)
        with Guest("blk", append="time=30 ops=100000000 span=1M", disk=image, net="none") as owner:
            owner.wait_for("blk: capacity")
            _, err = run_blk("ops=1", f"{image}{second}", status=1)
            assert str(image) in err and "stop that guest first" in err, err


def test_image_is_free_when_its_guest_was_killed():
    with tmp_dir() as folder:
        image = disk(folder)
        for _ in range(3):
            with Guest("blk", append="time=30 ops=100000000 depth=32 span=8M fill=0",
                       disk=image, net="none") as victim:
                victim.wait_for("blk: capacity")
                victim.signal(signal.SIGKILL)
                victim.wait()
                run_blk("ops=10 span=1M", image)


def test_image_that_becomes_shorter():
    with tmp_dir() as folder:
        image = disk(folder, 64 * MIB)
        with Guest("blk", append="expect=ioerr fill=0 ops=200000 time=4 span=0 depth=4 rw=read",
                   disk=image, net="none") as guest:
            guest.wait_for("blk: capacity")
            os.truncate(image, 2 * MIB)
            assert guest.wait(timeout_s=50) == 0, guest.out.text + guest.err.text
            assert "Input/output error" in guest.err.text
            assert " corrupt=0" in guest.out.text and " errors=0 " not in guest.out.text
            # Rate-limited: a handful of lines for thousands of failures.
            assert guest.err.text.count("Input/output error") < 20


@each(words=["", ",overlay"])
def test_host_file_system_without_room(words):
    require_root()
    with tmp_dir() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", folder], check=True)
        try:
            image = disk(folder, 16 * MIB)
            out, err = run_blk("expect=ioerr fill=0 ops=2000 span=8M depth=4 rw=write",
                               f"{image}{words}", env={"TMPDIR": str(folder)})
            assert "No space left on device" in err, err
            assert " corrupt=0" in out and " errors=0 " not in out, out
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@timeout(90)
def test_throwaway_guests_leave_nothing():
    with tmp_dir() as folder:
        image = disk(folder)
        with no_leaks(folders=[folder]):
            for _ in range(10):
                run_blk("ops=20 span=1M", f"{image},overlay", ephemeral=True,
                        env={"TMPDIR": str(folder)})
