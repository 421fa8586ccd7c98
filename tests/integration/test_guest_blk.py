# SPDX-License-Identifier: MIT
"""The blk guest: random work that is verified, under ferry and under QEMU."""
from ferrytest import Guest, QemuPC, each, timeout, tmp_dir

VMMS = [Guest, QemuPC]
EXIT_CORRUPT = 5
MIB = 1 << 20

WAYS = [
    "depth=1",
    "depth=16 batch=4",
    "depth=16 poll=0",
    "depth=8 intx=1",
    "depth=8 indirect=0 segs=4",
    "depth=8 event_idx=0",
    "depth=8 bs=512 mode=seq",
    "depth=4 bs=64K flush=10 discard=5 zeroes=5",
]


def disk(folder, size_bytes=32 * MIB):
    """A sparse image."""
    path = folder / "disk.img"
    with open(path, "wb") as image:
        image.truncate(size_bytes)
    return path


def run_blk(vmm, words, image, status=0, **kwargs):
    """Run the guest to its end; returns what it said."""
    with vmm("blk", append=words, disk=image, **kwargs) as guest:
        assert guest.wait(timeout_s=50) == status, guest.out.text
        return guest.out.text


@each(vmm=VMMS)
@each(way=WAYS)
def test_reads_what_it_wrote(vmm, way):
    with tmp_dir() as folder:
        text = run_blk(vmm, f"ops=1000 span=8M {way}", disk(folder))
        assert " errors=0 corrupt=0" in text
        assert " ops=1000 " in text


@each(vmm=VMMS)
def test_several_queues(vmm):
    with tmp_dir() as folder:
        text = run_blk(vmm, "ops=1000 span=8M depth=8 queues=2", f"{disk(folder)},queues=2",
                       vcpus=2)
        assert " queues=2/2 " in text
        assert " errors=0 corrupt=0" in text


def run_with_resets(vmm, kind):
    with tmp_dir() as folder:
        text = run_blk(vmm, f"ops=1000 span=8M depth=16 resets=5 reset={kind}", disk(folder))
        assert " resets=5 " in text
        assert " corrupt=0" in text


@each(vmm=VMMS)
def test_device_reset_with_requests_in_flight(vmm):
    run_with_resets(vmm, "device")


def test_queue_reset_with_requests_in_flight():
    """Under ferry only: QEMU 7.2 completes old requests into a queue after its reset."""
    run_with_resets(Guest, "queue")


@each(vmm=VMMS)
def test_read_only_disk_refuses_writes(vmm):
    with tmp_dir() as folder:
        image = disk(folder)
        before = image.read_bytes()
        assert "blk: ro ok" in run_blk(vmm, "expect=ro", f"{image},readonly")
        assert image.read_bytes() == before


@each(vmm=VMMS)
def test_requests_beyond_the_end_are_refused(vmm):
    with tmp_dir() as folder:
        assert "blk: edge ok" in run_blk(vmm, "expect=edge", disk(folder))


@each(vmm=VMMS)
def test_serial_number_is_seen(vmm):
    with tmp_dir() as folder:
        text = run_blk(vmm, "ops=1 span=1M", f"{disk(folder)},serial=ABC-123")
        assert " id=ABC-123\n" in text.replace("\r", "")


@each(vmm=VMMS)
@timeout(90)
def test_what_was_written_is_there_in_the_next_run(vmm):
    with tmp_dir() as folder:
        image = disk(folder)
        run_blk(vmm, "pattern=write gen=7 span=4M bs=64K", image)
        run_blk(vmm, "pattern=verify gen=7 span=4M bs=64K", image)
        with open(image, "r+b") as spoiled:
            spoiled.seek(2 * MIB + 17)
            spoiled.write(b"X")
        text = run_blk(vmm, "pattern=verify gen=7 span=4M bs=64K", image, status=EXIT_CORRUPT)
        assert f"CORRUPT lba={2 * MIB // 512}:" in text


@each(vmm=VMMS)
def test_overlay_forgets_its_writes(vmm):
    with tmp_dir() as folder:
        image = disk(folder)
        run_blk(vmm, "pattern=write gen=7 span=1M bs=64K", f"{image},overlay")
        assert image.read_bytes() == bytes(32 * MIB)
