# SPDX-License-Identifier: MIT
"""A guest's disks while it runs: `ferry disk`, query-block, sizes, limits."""
import contextlib
import json
import os
import time

from ferrytest import Guest, Lab, Restored, alone, each, run, tmp_dir
from ferrytest.control import ControlError
from ferrytest.paths import FERRY

MIB = 1 << 20
MODES = ["poll=1", "poll=0", "intx=1"]


def disk(folder, mib=4, name="disk.img"):
    """A sparse image."""
    path = folder / name
    with open(path, "wb") as image:
        image.truncate(mib * MIB)
    return path


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def fails(guest, status, reason, *argv):
    """A sub-command must fail with one line that says why."""
    with guest.ferry("disk", *argv) as proc:
        assert proc.wait() == status
        assert reason in proc.err.text, proc.err.text
        assert proc.err.text.count("\n") == 1, proc.err.text


def disks(guest):
    """`ferry disk list`, by id."""
    return {one["id"]: one for one in json.loads(ferry(guest, "disk", "list", guest.name,
                                                       "--json"))}


# Where each has its signature.
FORMATS = {"qcow2": (0, b"QFI\xfb"), "vmdk": (0, b"KDMV"), "vhdx": (0, b"vhdxfile"),
           "vdi": (64, b"\x7f\x10\xda\xbe"), "": (0, b"QFI")}


@each(name=list(FORMATS))
def test_format_is_not_guessed(name):
    """An image of another format is a raw one to the guest, and its owner is told so."""
    at, magic = FORMATS[name]
    with tmp_dir() as folder:
        image = disk(folder)
        with open(image, "r+b") as file:
            file.seek(at)
            file.write(magic)
        with Guest("hello", disk=image, net="none") as guest:
            assert guest.wait() == 0
            assert ("looks like" in guest.err.text) == bool(name), guest.err.text
            assert not name or f"looks like {name}," in guest.err.text, guest.err.text
        with Guest("hotplug", net="none", name="g") as guest:
            guest.wait_for("^hotplug: ready")
            with guest.ferry("disk", "attach", "g", image) as proc:
                assert proc.wait() == 0
                assert ("looks like" in proc.err.text) == bool(name), proc.err.text


def refused(control, reason, command, **arguments):
    """A command must fail with these words."""
    try:
        control.execute(command, **arguments)
    except ControlError as error:
        assert reason in str(error), error
        return
    raise AssertionError(f"{command} {arguments} worked")


def blk(*images, append, **kwargs):
    """A blk guest called g with these disks."""
    return Guest("blk", *[word for image in images for word in ("--disk", image)],
                 append=append, net="none", name="g", **kwargs)


# --- what they are ---

def test_list():
    with tmp_dir() as folder:
        rw, base = disk(folder), disk(folder, name="base.img")
        with blk(f"{rw},iops=5000,burst=7", f"{base},overlay,size=8M,id=tmp",
                 f"{base},readonly,id=ro,bps=3M,direct=off",
                 append="ops=20 fill=0 span=1M expect=growth") as guest:
            guest.wait_for("^blk: growth waits")
            found = disks(guest)
            assert list(found) == ["disk0", "tmp", "ro"]
            names = ("slot", "path", "size", "readonly", "overlay", "iops", "bps", "burst")
            assert [[found[one][name] for name in names] for one in found] == [
                [1, str(rw), 4 * MIB, False, False, 5000, 0, 7],
                [2, str(base), 8 * MIB, False, True, 0, 0, 100],
                [3, str(base), 4 * MIB, True, False, 0, 3 * MIB, 100]]
            text = ferry(guest, "disk", "list", "g").splitlines()
            assert text[0].split()[:2] == ["ID", "SLOT"] and len(text) == 4
            assert text[2].split()[:4] == ["tmp", "2", "8.0M", "throwaway"]
            with guest.control() as control:
                blocks = control.execute("query-block")
                # What QMP's clients look at.
                for block in blocks:
                    inserted = block["inserted"]
                    assert inserted["image"]["filename"] == inserted["file"]
                    assert inserted["image"]["virtual-size"] == found[block["device"]]["size"]
                    assert block["qdev"] == inserted["node-name"] == block["device"]
                    assert not block["locked"] and not block["removable"]
                assert [block["inserted"]["ro"] for block in blocks] == [False, False, True]
                assert blocks[2]["inserted"]["cache"] == {
                    "writeback": True, "direct": False, "no-flush": False}
                control.execute("quit")


# --- sizes ---

@each(mode=MODES)
@each(words=["", ",overlay", ",direct=off"])
def test_guest_sees_growth(words, mode):
    with tmp_dir() as folder:
        image = disk(folder)
        with blk(f"{image}{words}", append=f"expect=growth {mode}") as guest:
            guest.wait_for("^blk: growth waits capacity=8192$")
            said = ferry(guest, "disk", "resize", "g", "disk0", "10M")
            assert said == f"disk0: {10 * MIB} bytes\n"
            guest.wait_for("^blk: growth ok capacity=20480$")
            assert guest.wait() == 0
        assert image.stat().st_size == (4 if "overlay" in words else 10) * MIB


def test_growth_of_somebody_else():
    with tmp_dir() as folder:
        image = disk(folder)
        with blk(image, append="expect=growth") as guest:
            guest.wait_for("^blk: growth waits")
            os.truncate(image, 6 * MIB)
            fails(guest, 1, "the image has 6291456 bytes by now", "resize", "g", "disk0", "5M")
            assert json.loads(ferry(guest, "disk", "resize", "g", "disk0", "--json")) == {
                "size": 6 * MIB}
            guest.wait_for("^blk: growth ok capacity=12288$")
            assert guest.wait() == 0


def test_growth_with_requests_in_flight():
    with tmp_dir() as folder:
        image = disk(folder)
        with blk(image, append="time=3 ops=1000000 span=2M depth=16 flush=20 zeroes=20",
                 vcpus=2) as guest:
            guest.wait_for("^blk: capacity")
            for mib in range(5, 25):
                ferry(guest, "disk", "resize", "g", "disk0", f"{mib}M")
            assert guest.wait(timeout_s=50) == 0
            assert " errors=0 corrupt=0" in guest.out.text, guest.out.text
        assert image.stat().st_size == 24 * MIB


def test_bad_sizes():
    with tmp_dir() as folder:
        rw, base = disk(folder), disk(folder, name="base.img")
        with blk(rw, f"{base},overlay,id=tmp", f"{base},readonly,id=ro",
                 append="expect=growth") as guest:
            guest.wait_for("^blk: growth waits")
            before = disks(guest)
            for status, reason, *words in [
                    (1, "no disk 'nix'", "nix", "5M"), (1, "does not shrink", "disk0", "3M"),
                    (1, "no whole sectors", "disk0", "4195000"),
                    (1, "the overlay shall have is missing", "tmp"),
                    (1, "for reading alone", "ro", "5M"), (1, "cannot have", "disk0", "7000000T"),
                    (2, "'5Q' is not a size", "disk0", "5Q"), (2, "'0' is not", "disk0", "0"),
                    (2, "write resize NAME ID", )]:
                fails(guest, status, reason, "resize", "g", *words)
            fails(guest, 2, "ACTION is", "shrink", "g", "disk0")
            with guest.control() as control:
                for reason, arguments in [
                        ("'device' is missing", {"size": 1}),
                        ("'size' must be more than 0", {"device": "disk0", "size": -512}),
                        ("'size' must be an integer", {"device": "disk0", "size": "5M"}),
                        ("does not shrink", {"device": "disk0", "size": 512}),
                        ("File too large", {"node-name": "tmp", "size": (1 << 63) - 512}),
                        ("name different disks", {"device": "disk0", "node-name": "tmp"})]:
                    refused(control, reason, "block_resize", **arguments)
            assert disks(guest) == before
            assert rw.stat().st_size == base.stat().st_size == 4 * MIB


# --- limits ---

def test_limits():
    with tmp_dir() as folder:
        image = disk(folder)
        with blk(image, append="expect=growth") as guest:
            guest.wait_for("^blk: growth waits")
            ferry(guest, "disk", "limit", "g", "disk0", "iops=500", "bps=2M", "burst=50")
            ferry(guest, "disk", "limit", "g", "disk0", "iops=700")
            one = disks(guest)["disk0"]
            assert (one["iops"], one["bps"], one["burst"]) == (700, 2 * MIB, 50)
            shown = json.loads(ferry(guest, "info", "g", "--json"))["config"]["disk"][0]
            assert (shown["iops"], shown["bps"], shown["burst"]) == (700, 2 * MIB, 50)
            ferry(guest, "disk", "limit", "g", "disk0", "iops=0", "bps=0")
            one = disks(guest)["disk0"]
            assert (one["iops"], one["bps"], one["burst"]) == (0, 0, 100)
            for status, reason, *words in [
                    (2, "write limit NAME ID", "disk0"),
                    (2, "is none of iops=N", "disk0", "iops_rd=5"),
                    (2, "bps: 'x' is not a size", "disk0", "bps=x"),
                    (1, "no disk 'x'", "x", "iops=1"),
                    (1, "burst means nothing", "disk0", "burst=5"),
                    (1, "limits are at most", "disk0", "iops=1000000001"),
                    (1, "limits are at most", "disk0", "bps=2000T")]:
                fails(guest, status, reason, "limit", "g", *words)
            with guest.control() as control:
                # As QMP's clients write it.
                control.execute("block_set_io_throttle", device="disk0", bps=0, bps_rd=0, bps_wr=0,
                                iops=90, iops_rd=0, iops_wr=0)
                assert control.execute("query-block")[0]["inserted"]["iops"] == 90
                refused(control, "'iops_rd' must be 0", "block_set_io_throttle", id="disk0",
                        iops_rd=5)
                refused(control, "0 or more", "block_set_io_throttle", id="disk0", iops=-5)
                refused(control, "0 or more", "block_set_io_throttle", id="disk0", iops=5,
                        burst=1 << 40)


@alone
def test_limit_holds_and_ends():
    """What waits for a new limit goes on at once when it is lifted."""
    with tmp_dir() as folder, \
            blk(f"{disk(folder)},iops=300", append="bench=1 ops=3000 span=2M depth=16") as guest:
        guest.wait_for("^blk: capacity")
        ferry(guest, "disk", "limit", "g", "disk0", "iops=1", "burst=1")
        before = disks(guest)["disk0"]["stats"]
        start = time.monotonic()
        while time.monotonic() - start < 1:  # the limit's own measure is time
            after = disks(guest)["disk0"]["stats"]
        done = sum(after[name] - before[name] for name in ("rd_operations", "wr_operations"))
        assert done <= 16 + 3, done
        ferry(guest, "disk", "limit", "g", "disk0", "iops=0")
        assert guest.wait(timeout_s=50) == 0
        assert " ops=3000 " in guest.out.text


# --- elsewhere ---

def test_changes_go_into_a_saved_file():
    with tmp_dir() as folder:
        image, path = disk(folder), folder / "g.ferry"
        with blk(f"{image},overlay", f"{disk(folder, name='b.img')},id=b",
                 append="time=4 ops=1000000 span=2M depth=4") as guest:
            guest.wait_for("^blk: capacity")
            ferry(guest, "disk", "resize", "g", "disk0", "9M")
            ferry(guest, "disk", "resize", "g", "b", "8M")
            ferry(guest, "disk", "limit", "g", "disk0", "iops=3000", "burst=20")
            guest.save(path)
            assert guest.wait() == 0
        with Restored(path, name="g") as guest, guest.control():
            one = disks(guest)["disk0"]
            assert (one["size"], one["iops"], one["burst"]) == (9 * MIB, 3000, 20)
            assert disks(guest)["b"]["size"] == 8 * MIB
            assert guest.wait(timeout_s=50) == 0
            assert " errors=0 corrupt=0" in guest.out.text, guest.out.text


def test_changes_travel_and_wait_for_a_teleport():
    with Lab() as lab, contextlib.ExitStack() as stack:
        image = lab.disk(mib=4)
        guest = stack.enter_context(lab.host1.guest(
            "blk", disk=image, append="time=5 ops=1000000 span=2M depth=4"))
        receive = stack.enter_context(lab.host2.receive())
        lab.console().wait_for("^blk: capacity")
        with guest.control() as control:
            control.execute("block_resize", device="disk0", size=7 * MIB)
            control.execute("block_set_io_throttle", id="disk0", iops=4000)
            move = lab.host1.teleport("g", receive, hold="precopy")
            move.wait_held("precopy")
            refused(control, "being saved, moved", "block_resize", device="disk0", size=8 * MIB)
            refused(control, "being saved, moved", "block_set_io_throttle", id="disk0", iops=1)
        move.go_on()
        assert move.result()["status"] == "completed"
        with lab.host2.control("g") as control:
            inserted = control.execute("query-block")[0]["inserted"]
            assert inserted["iops"] == 4000
            assert inserted["image"]["virtual-size"] == 7 * MIB
        lab.console().wait_for(" errors=0 corrupt=0")
        receive.arrived("g").wait()
