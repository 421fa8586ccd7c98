# SPDX-License-Identifier: MIT
"""Disks that come to a running guest and go: `ferry disk attach` and `detach`, device_add."""
import contextlib
import json
import os
import socket
import tempfile
import time

from ferrytest import (Guest, Lab, Proc, Restored, each, fds, no_leaks, run, timeout, tmp_dir)
from ferrytest.control import ControlError
from ferrytest.lab import is_locked
from ferrytest.leaks import mapped_kib
from ferrytest.moves import check_result
from ferrytest.paths import FERRY
from ferrytest.seccomp import NoUring

MIB = 1 << 20
CAME = r"^hotplug: slot=(\d+) came device=0x1042$"
ROUNDS = 50
MOST_KIB = 512
RAM_BYTES = 64 * MIB


def disk(folder, mib=4, name="disk.img"):
    """An image whose sectors are not zeroes."""
    path = folder / name
    path.write_bytes(b"\xa5" * (mib * MIB))
    return path


def ferry(guest, *argv, cwd=None):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)}, cwd=cwd)


def fails(guest, status, reason, *argv, **env):
    """A sub-command must fail with one line that says why."""
    with Proc(FERRY, "disk", *argv, env={"XDG_RUNTIME_DIR": str(guest.runtime), **env}) as proc:
        assert proc.wait() == status, proc.err.text
        assert reason in proc.err.text, proc.err.text
        assert proc.err.text.count("\n") == 1, proc.err.text


def disks(guest, name="g"):
    """`ferry disk list`, by id."""
    return {one["id"]: one for one in json.loads(ferry(guest, "disk", "list", name, "--json"))}


def start(append="", **kwargs):
    """The hotplug guest, called g."""
    return Guest("hotplug", append=append, net="none", name="g", **kwargs)


def check_fds(guest, before):
    """The same as before, once it has seen that the last clients are gone."""
    deadline = time.monotonic() + 10
    while (now := sorted(fds(guest.pid).values())) != before:
        assert time.monotonic() < deadline, (before, now)


def count_fds(guest):
    """For check_fds(); no client may be there."""
    return sorted(fds(guest.pid).values())


def attach(guest, spec):
    """Attach it, see the guest use it; its id and slot."""
    added = json.loads(ferry(guest, "disk", "attach", "g", spec, "--json"))
    assert int(guest.wait_for(CAME).group(1)) == added["slot"]
    return added["id"], added["slot"]


def detach(guest, name, slot):
    """The guest lets go of it."""
    ferry(guest, "disk", "detach", "g", name)
    guest.wait_for(f"^hotplug: slot={slot} ejected$")


def end(guest):
    """By the power button."""
    guest.press_power_button()
    guest.wait_for("^hotplug: came=")
    assert guest.wait() == 0


# --- they come and go ---

@each(words=["", ",overlay", ",readonly", ",direct=off", ",queues=3,engine=threads",
             ",engine=io_uring,iops=100"])
def test_attach_and_detach(words):
    with no_leaks(), tmp_dir() as folder, start("poll=0", vcpus=2) as guest:
        image = disk(folder)
        guest.wait_for("^hotplug: ready")
        name, slot = attach(guest, f"{image}{words}")
        one = disks(guest)["disk0"]
        assert (name, one["slot"], one["path"]) == ("disk0", slot, str(image))
        assert one["stats"]["rd_operations"] > 0 and one["stats"]["failed_rd_operations"] == 0
        # The ring was made before the process was confined.
        assert ("threads" if "threads" in words else "io_uring") in one["how"], one
        assert is_locked(image)
        detach(guest, name, slot)
        assert not is_locked(image) and not disks(guest)
        end(guest)
        assert image.read_bytes() == b"\xa5" * (4 * MIB)


@timeout(180)
@each(how=["asked", "forced"])
def test_nothing_is_left(how):
    with no_leaks(), tmp_dir() as folder, start("poll=0", vcpus=2) as guest:
        images = [f"{disk(folder)},overlay", f"{disk(folder, name='b.img')},id=b"]
        guest.wait_for("^hotplug: ready")

        def rounds(count):
            for i in range(count):
                name, slot = attach(guest, images[i % 2])
                if how == "asked":
                    detach(guest, name, slot)
                else:
                    ferry(guest, "disk", "detach", "g", name, "--force")
                    guest.wait_for(f"^hotplug: slot={slot} lost$")

        before = count_fds(guest)
        rounds(10)
        check_fds(guest, before)
        descriptors, kib = count_fds(guest), mapped_kib(guest.pid, RAM_BYTES, "Anonymous")
        threads = os.listdir(f"/proc/{guest.pid}/task")
        rounds(ROUNDS)
        check_fds(guest, descriptors)
        assert os.listdir(f"/proc/{guest.pid}/task") == threads
        assert mapped_kib(guest.pid, RAM_BYTES, "Anonymous") <= kib + MOST_KIB
        assert not is_locked(folder / "disk.img") and not is_locked(folder / "b.img")
        end(guest)


@timeout(120)
def test_while_it_is_used():
    """Requests all the time, to this disk and to one that stays."""
    with tmp_dir() as folder:
        stays, comes = disk(folder), disk(folder, name="b.img")
        with start("busy=1", vcpus=2, disk=stays) as guest:
            guest.wait_for("^hotplug: ready")
            for i in range(10):
                name, slot = attach(guest, f"{comes},overlay" if i % 2 else comes)
                if i % 3:
                    detach(guest, name, slot)
                else:
                    ferry(guest, "disk", "detach", "g", name, "--force")
                    guest.wait_for(f"^hotplug: slot={slot} lost$")
            assert disks(guest)["disk0"]["stats"]["failed_rd_operations"] == 0
            end(guest)


def test_guest_that_does_not_let_go():
    with tmp_dir() as folder, start("ignore=1") as guest:
        image = disk(folder)
        guest.wait_for("^hotplug: ready")
        name, slot = attach(guest, str(image))
        fails(guest, 1, "has not let go of disk0 in 1 s", "detach", "g", name, "--timeout", "1")
        guest.wait_for(f"^hotplug: slot={slot} ignored$")
        assert is_locked(image)
        ferry(guest, "disk", "detach", "g", name)
        assert not is_locked(image)
        end(guest)


def test_other_guest_gets_the_image():
    with tmp_dir() as folder, start() as guest:
        image = disk(folder)
        guest.wait_for("^hotplug: ready")
        name, slot = attach(guest, str(image))
        with Guest("blk", append="ops=10 span=1M", net="none", disk=image) as other:
            assert other.wait() == 1
            assert "another guest has the image open for writing" in other.err.text
        detach(guest, name, slot)
        with Guest("blk", append="ops=10 span=1M", net="none", disk=image) as other:
            assert other.wait() == 0
        end(guest)


def test_relative_path_and_commas():
    with tmp_dir() as folder, start() as guest:
        guest.wait_for("^hotplug: ready")
        disk(folder, name="a,b.img")
        ferry(guest, "disk", "attach", "g", "a,,b.img,id=x,readonly", cwd=folder)
        assert disks(guest)["x"]["path"] == str(folder / "a,b.img")
        assert disks(guest)["x"]["readonly"]


def test_without_io_uring():
    with tmp_dir() as folder, start("busy=1", netns=NoUring()) as guest:
        image = disk(folder)
        guest.wait_for("^hotplug: ready")
        for _ in range(5):
            name, slot = attach(guest, str(image))
            assert "threads" in disks(guest)[name]["how"]
            detach(guest, name, slot)
        end(guest)


# --- elsewhere ---

def test_reset():
    """What was attached is there after a reset, and what was asked to go is gone."""
    with tmp_dir() as folder, start("ignore=9") as guest:
        guest.wait_for("^hotplug: ready")
        attach(guest, f"{disk(folder)},id=a")
        attach(guest, f"{disk(folder, name='b.img')},id=b,overlay")
        fails(guest, 1, "has not let go", "detach", "g", "a", "--timeout", "1")
        ferry(guest, "reset", "g")
        guest.wait_for("^hotplug: ready")
        assert list(disks(guest)) == ["b"]
        assert not is_locked(folder / "disk.img")
        end(guest)


@each(words=["", ",overlay,size=8M"])
def test_save_and_restore(words):
    with tmp_dir() as folder:
        saved = folder / "g.ferry"
        first = disk(folder, name="first.img")
        with start("busy=1", disk=first) as guest:
            guest.wait_for("^hotplug: ready")
            _, slot = attach(guest, f"{disk(folder)},id=late{words}")
            # A gap before it: slots are not those of a guest that starts.
            ferry(guest, "disk", "detach", "g", "disk0")
            guest.save(saved)
            assert guest.wait() == 0
        with Restored(saved, name="g") as guest, guest.control():
            found = disks(guest)
            assert list(found) == ["late"] and found["late"]["slot"] == slot
            assert is_locked(folder / "disk.img") and not is_locked(first)
            before = found["late"]["stats"]["rd_operations"]
            while disks(guest)["late"]["stats"]["rd_operations"] <= before:
                pass
            detach(guest, "late", slot)
            end(guest)


@each(words=["", ",overlay"])
def test_teleport(words):
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab())
        image, there = lab.disk(), lab.disk("there.img")
        guest = stack.enter_context(lab.host1.guest("hotplug", append="busy=1"))
        receive = stack.enter_context(lab.host2.receive("--map", f"disk:late={there}"))
        lab.console().wait_for("^hotplug: ready")
        lab.host1.ferry("disk", "attach", "g", f"{image},id=late{words}")
        lab.console().wait_for(CAME)
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        for argv in (("attach", "g", f"{image},readonly"), ("detach", "g", "late")):
            with guest.ferry("disk", *argv) as proc:
                assert proc.wait() == 1
                assert "moved" in proc.err.text or "open for writing" in proc.err.text
        move.go_on()
        check_result(move.result())
        copy = receive.arrived("g")
        lab.check_disk(image, False)
        lab.check_disk(there, True)
        found = json.loads(lab.host2.ferry("disk", "list", "g", "--json"))
        assert [(one["id"], one["path"]) for one in found] == [("late", str(there))]
        lab.host2.ferry("disk", "detach", "g", "late")
        lab.console().wait_for("^hotplug: slot=.* ejected$")
        lab.check_disk(there, False)
        with copy.control() as control:
            control.execute("system_powerdown")
        copy.wait()


# --- what goes wrong ---

def test_refused():
    with tmp_dir() as folder, start(disk=f"{disk(folder, name='mine.img')},id=mine") as guest:
        image, base = disk(folder), disk(folder, name="base.img")
        guest.wait_for("^hotplug: ready")
        descriptors = count_fds(guest)
        with Guest("idle", net="none", disk=f"{base},id=x") as other:
            other.wait_for("^idle ready")
            for status, reason, *argv in [
                    (1, "nix.img: No such file", "attach", "g", str(folder / "nix.img")),
                    (1, "a device 'mine'", "attach", "g", f"{image},id=mine"),
                    (1, "id: name 'a/b'", "attach", "g", f"{image},id=a/b"),
                    (1, "another guest has the image", "attach", "g", str(base)),
                    (1, "another guest has the image", "attach", "g", str(folder / "mine.img")),
                    (1, "Is a directory", "attach", "g", str(folder)),
                    (1, "no fewer than its image", "attach", "g", f"{image},overlay,size=1M"),
                    (1, "serial: at most 20", "attach", "g", f"{image},serial={'x' * 21}"),
                    (2, "no property 'fast'", "attach", "g", f"{image},fast"),
                    (2, "exclude each other", "attach", "g", f"{image},overlay,readonly"),
                    (2, "write attach NAME PATH", "attach", "g"),
                    (1, "no guest called h", "attach", "h", str(image)),
                    (1, "no disk 'nix'", "detach", "g", "nix"),
                    (2, "write detach NAME ID", "detach", "g")]:
                fails(guest, status, reason, *argv)
            fails(guest, 1, "overlay: no temporary file", "attach", "g", f"{image},overlay",
                  TMPDIR=str(folder / "nix"))
        assert list(disks(guest)) == ["mine"]
        check_fds(guest, descriptors)
        assert not is_locked(image)
        end(guest)


def test_no_more_slots():
    with tmp_dir() as folder, start() as guest:
        image = disk(folder)
        guest.wait_for("^hotplug: ready")
        for i in range(8):
            ferry(guest, "disk", "attach", "g", f"{image},readonly,id=d{i}")
        fails(guest, 1, "slot is free", "attach", "g", f"{image},readonly")
        # The guest may hear of the last one's coming and going at once.
        ferry(guest, "disk", "detach", "g", "d7")
        assert ferry(guest, "disk", "attach", "g", f"{image},readonly") == "disk0\n"


class Bringer:
    """A client that leaves descriptors, which Control does not."""

    def __init__(self, control):
        self.control = control

    def getfd(self, name, fd):
        """Leave @fd there."""
        text = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}) + "\n"
        socket.send_fds(self.control.socket, [text.encode()], [fd])
        while "return" not in (answer := self.control.receive()):
            assert "event" in answer, answer

    def refused(self, reason, **arguments):
        """device_add must not work."""
        try:
            self.control.execute("device_add", driver="virtio-blk-pci", **arguments)
        except ControlError as error:
            assert reason in str(error), (arguments, str(error))
            return
        raise AssertionError(f"{arguments} worked")


@contextlib.contextmanager
def opened(what, flags=os.O_RDWR):
    """A descriptor."""
    fd = os.open(what, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def test_hostile_clients():
    """Whatever comes in place of an image: refused, and closed."""
    with tmp_dir() as folder, start() as guest, guest.control() as control:
        image = str(disk(folder))
        guest.wait_for("^hotplug: ready")
        descriptors = count_fds(guest)
        client = Bringer(control)
        for reason, arguments in [
                ("'disk' is missing", {}), ("'fd' is missing", {"disk": image}),
                ("'nix' has not been found", {"disk": image, "fd": "nix"}),
                ("'mac' is not for", {"disk": image, "mac": "x"}),
                ("'fd' must be a string", {"disk": image, "fd": 3}),
                ("not for a disk", {"disk": image, "fd": "nix", "id": "x"})]:
            client.refused(reason, **arguments)
        for flags, text, reason in [
                (os.O_RDONLY, image, "reading and writing"),
                (os.O_WRONLY, image, "reading and writing"),
                (os.O_RDWR, f"{image},readonly", "reading alone"),
                (os.O_PATH, f"{image},readonly", "reading alone"),
                (os.O_RDWR, f"{image},overlay", "reading alone"),
                (os.O_RDONLY, f"{image},overlay", "its descriptor"),
                (os.O_RDWR, "", "the path of the image is missing"),
                (os.O_RDWR, f"{image},iops=x", "not a number"),
                (os.O_RDWR, f"{image},queue-size=6", "not a power of two"),
                (os.O_RDWR, f"{image},{'x' * 5000}", "no property"),
                (os.O_RDWR, f"{image},id=..", "id: name")]:
            with opened(image, flags) as fd:
                client.getfd("image", fd)
            client.refused(reason, disk=text, fd="image")
        for what in ("/dev/null", "/dev/zero", str(folder)):
            with opened(what, os.O_RDONLY) as fd:
                client.getfd("image", fd)
            client.refused("neither a file nor", disk=f"{image},readonly", fd="image")
        one, other = socket.socketpair()
        with one, other:
            client.getfd("image", one.fileno())
            client.refused("neither a file nor", disk=image, fd="image")
        with opened(image, os.O_RDONLY) as fd, tempfile.TemporaryFile() as full:
            full.write(b"x")
            full.flush()
            for wrong in (full.fileno(), fd):
                client.getfd("image", fd)
                client.getfd("over", wrong)
                client.refused("an empty file", disk=f"{image},overlay", fd="image",
                               **{"overlay-fd": "over"})
        assert not disks(guest)
        check_fds(guest, descriptors)
        assert not is_locked(image)
        # And one that is as it should be, whatever its path says; its flags are put right.
        with opened(image, os.O_RDWR | os.O_APPEND) as fd:
            client.getfd("image", fd)
        assert control.execute("device_add", driver="virtio-blk-pci", disk="/x,id=y",
                               fd="image")["id"] == "y"
        guest.wait_for(CAME)
        assert is_locked(image)
        end(guest)
