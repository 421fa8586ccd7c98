# SPDX-License-Identifier: MIT
"""Block devices that the host has other uses for, and devices that come to a running guest."""
import contextlib
import json
import os
import stat

from ferrytest import (Guest, Lab, Proc, Restored, each, loop_device, require_tool, run, timeout,
                       tmp_dir)
from ferrytest.lab import is_locked
from ferrytest.moves import check_result
from ferrytest.paths import FERRY

MIB = 1 << 20
IN_USE = "this host uses the device"
READER = {"append": "time=30 ops=0 span=1M fill=0", "net": "none"}


@contextlib.contextmanager
def mounted(device, *options):
    """A file system on it, mounted where nobody else sees it."""
    require_tool("mkfs.ext4", "unshare")
    run("mkfs.ext4", "-q", device)
    with tmp_dir() as folder, \
            Proc("unshare", "--mount", "sh", "-c", "mount \"$@\" && echo mounted && exec cat",
                 "sh", *options, device, folder) as proc:
        proc.wait_for("^mounted$")
        yield
        proc.close_input()
        assert proc.wait() == 0


def mount_fails(device):
    """With a file system on it or not: nobody gets that far."""
    text = run("unshare", "--mount", "mount", "-t", "ext4", device, "/mnt", check=False)
    assert "already mounted" in text or "busy" in text, text


def refused(image, reason, **options):
    """`ferry run` with that disk."""
    with Guest("blk", append="ops=1 span=1M", disk=image, net="none", **options) as guest:
        assert guest.wait() == 1, guest.out.text
        assert reason in guest.err.text and guest.err.text.count("\n") == 1, guest.err.text


def works(image, words="ops=20 span=1M"):
    """A guest that uses it to the end."""
    with Guest("blk", append=words, disk=image, net="none") as guest:
        assert guest.wait() == 0, guest.out.text + guest.err.text
        assert " errors=0 corrupt=0" in guest.out.text, guest.out.text


def attach(guest, spec, status=0):
    """`ferry disk attach`: its id, or why not."""
    with guest.ferry("disk", "attach", "g", spec) as proc:
        assert proc.wait() == status, proc.err.text
        return proc.out.text.strip() if status == 0 else proc.err.text


def disks(guest):
    """`ferry disk list`, by id."""
    with guest.ferry("disk", "list", "g", "--json") as proc:
        assert proc.wait() == 0, proc.err.text
        return {one["id"]: one for one in json.loads(proc.out.text)}


def detach(guest, name):
    """The guest lets go of it."""
    with guest.ferry("disk", "detach", "g", name) as proc:
        assert proc.wait() == 0, proc.err.text


# --- who else uses it ---

def test_mounted_device_is_not_written_to():
    with loop_device(8 * MIB) as (device, _):
        with mounted(device):
            refused(device, IN_USE)
            with Guest("hotplug", net="none", name="g") as guest:
                guest.wait_for("^hotplug: ready")
                assert IN_USE in attach(guest, device, status=1)
            # Who only reads harms nobody.
            for words in "readonly", "overlay":
                with Guest("blk", disk=f"{device},{words}", **READER) as guest:
                    guest.wait_for("^blk: capacity=16384 ")
        works(device)


def test_nobody_mounts_a_guests_disk():
    with loop_device(8 * MIB) as (device, _):
        require_tool("mkfs.ext4", "unshare")
        run("mkfs.ext4", "-q", device)
        with Guest("blk", disk=device, **READER) as guest:
            guest.wait_for("^blk: capacity=16384 ")
            mount_fails(device)
            guest.control().execute("quit")
            assert guest.wait() == 0
        with mounted(device):
            pass


def test_another_node_of_the_device():
    """Its locks are others, the claim is the same."""
    with loop_device(4 * MIB) as (device, _), tmp_dir(on="/dev") as folder:
        os.mknod(folder / "node", stat.S_IFBLK | 0o600, os.stat(device).st_rdev)
        with Guest("blk", disk=device, **READER) as guest:
            guest.wait_for("^blk: capacity=8192 ")
            refused(folder / "node", IN_USE)
        works(folder / "node")


@each(how=["quit", "kill"])
def test_next_guest_gets_it_at_once(how):
    with loop_device(4 * MIB) as (device, _):
        for _ in range(5):
            with Guest("blk", append="ops=100000000 depth=16 span=1M", disk=device,
                       net="none") as guest:
                guest.wait_for("^blk: capacity=8192 ")
                if how == "quit":
                    guest.control().execute("quit")
                    assert guest.wait() == 0
        works(device)


@each(words=["", ",direct=off"])
def test_read_only_device(words):
    with loop_device(4 * MIB, 512, "--read-only") as (device, _), \
            Guest("hotplug", net="none", name="g") as guest:
        refused(f"{device}{words}", "Read-only file system: for writing; use it with overlay")
        works(f"{device},overlay{words}")
        guest.wait_for("^hotplug: ready")
        assert "Read-only file system" in attach(guest, f"{device}{words}", status=1)
        assert attach(guest, f"{device},readonly{words}") == "disk0"
        guest.wait_for("^hotplug: slot=.* came")
        one = disks(guest)["disk0"]
        assert one["readonly"] and one["stats"]["failed_rd_operations"] == 0


# --- they come to a running guest ---

@each(words=["", ",overlay", ",readonly", ",engine=threads"])
@each(block=[512, 4096])
def test_attach_and_detach(words, block):
    with loop_device(4 * MIB, block) as (device, file), \
            Guest("hotplug", append="busy=1", net="none", name="g", vcpus=2) as guest:
        before = file.read_bytes()
        guest.wait_for("^hotplug: ready")
        for _ in range(3):
            name = attach(guest, f"{device}{words}")
            guest.wait_for("^hotplug: slot=.* came")
            one = disks(guest)[name]
            assert (one["path"], one["size"]) == (device, 4 * MIB)
            assert one["stats"]["failed_rd_operations"] == 0
            assert (", direct," in one["how"]) == (block == 512 and words != ",overlay"), one
            assert is_locked(device)
            if words in ("", ",engine=threads"):
                mount_fails(device)
            detach(guest, name)
            assert not is_locked(device)
        assert file.read_bytes() == before
        with mounted(device):  # while the process that had it lives
            pass


def test_resize():
    """Who made the device enlarges it; the guest gets what it has by then."""
    with loop_device(4 * MIB) as (device, file), \
            Guest("hotplug", net="none", name="g", disk=f"{device},id=first") as guest, \
            loop_device(4 * MIB) as (late, late_file):
        guest.wait_for("^hotplug: ready")
        attach(guest, f"{late},id=late")

        def resize(*argv, status=0):
            with guest.ferry("disk", "resize", "g", *argv) as proc:
                assert proc.wait() == status, proc.err.text
                return proc.out.text + proc.err.text

        for name, path, backing in ("first", device, file), ("late", late, late_file):
            assert resize(name) == f"{name}: {4 * MIB} bytes\n"
            assert "enlarge it first, by what made it" in resize(name, "6M", status=1)
            os.truncate(backing, 6 * MIB)
            run("losetup", "--set-capacity", path)
            assert "give no size" in resize(name, "5M", status=1)
            assert resize(name) == f"{name}: {6 * MIB} bytes\n"
            assert disks(guest)[name]["size"] == 6 * MIB
            os.truncate(backing, 5 * MIB)
            run("losetup", "--set-capacity", path)
            assert "was made shorter by somebody" in resize(name, status=1)


# --- elsewhere ---

def test_save_and_restore():
    with loop_device(4 * MIB) as (device, _), tmp_dir() as folder:
        with Guest("hotplug", append="busy=1", net="none", name="g") as guest:
            guest.wait_for("^hotplug: ready")
            attach(guest, f"{device},id=late")
            guest.wait_for("^hotplug: slot=.* came")
            guest.save(folder / "g.ferry")
            assert guest.wait() == 0
        with Restored(folder / "g.ferry", name="g") as guest, guest.control():
            before = disks(guest)["late"]["stats"]["rd_operations"]
            while disks(guest)["late"]["stats"]["rd_operations"] <= before:
                pass
            mount_fails(device)
            detach(guest, "late")
        with mounted(device):
            text = run(FERRY, "restore", folder / "g.ferry", check=False)
            assert IN_USE in text and text.count("\n") == 1, text


@timeout(120)
@each(how=["done", "cancelled"])
def test_teleport(how):
    """A device that both hosts see; here they are the same."""
    with loop_device(16 * MIB) as (device, _), Lab() as lab, \
            lab.host1.guest("blk", disk=device,
                            append="ops=100000000 depth=8 span=4M flush=10") as guest, \
            lab.host2.receive() as receive:
        lab.console().wait_for("^blk: capacity=32768 ")
        move = lab.host1.teleport("g", receive, hold="ready")
        move.wait_held("ready")
        if how == "cancelled":
            move.cancel()
            assert move.result()["status"] != "completed"
            lab.check_one_copy("g", lab.host1)
            mount_fails(device)
            guest.control().execute("quit")
            guest.wait()
        else:
            move.go_on()
            check_result(move.result())
            copy = receive.arrived("g")
            lab.check_disk(device, True)
            refused(device, "another guest has the image open for writing")
            with copy.control() as control:
                stats = control.execute("query-blockstats")[0]["stats"]
                assert stats["failed_rd_operations"] == stats["failed_wr_operations"] == 0
            lab.host2.ferry("destroy", "g")
            copy.wait()
        lab.check_disk(device, False)


def test_incoming_guest_and_a_mounted_device():
    """The host of the destination has it mounted: there is no room for the guest."""
    with loop_device(8 * MIB) as (device, _), loop_device(8 * MIB) as (there, _), Lab() as lab, \
            lab.host1.guest("blk", disk=f"{device},id=d",
                            append="ops=100000000 depth=8 span=4M"), \
            lab.host2.receive("--map", f"disk:d={there}") as receive:
        lab.console().wait_for("^blk: capacity=16384 ")
        with mounted(there):
            assert IN_USE in lab.host1.teleport("g", receive).result()["error"]
            lab.check_one_copy("g", lab.host1)
