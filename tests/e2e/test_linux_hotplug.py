# SPDX-License-Identifier: MIT
"""Devices that come and go under Linux, whose kernel runs the methods of the DSDT."""
import hashlib
import os

from ferrytest import BOOT_S, Restored, run, timeout, tmp_dir
from ferrytest.linux import becomes, does, linux_at_prompt
from ferrytest.paths import FERRY

MIB = 1 << 20
RNG = "/sys/class/misc/hw_random/rng_current"


def plug_rng(guest, qmp):
    qmp.execute("device_add", driver="virtio-rng-pci", id="rng")
    becomes(guest, f'[ "$(cat {RNG})" != none ]')
    assert "virtio_rng" in does(guest, f"cat {RNG}")
    does(guest, "dd if=/dev/hwrng of=/dev/null bs=64 count=1")


def unplug_rng(guest, qmp):
    qmp.execute("device_del", id="rng")
    assert qmp.wait_event("DEVICE_DELETED", BOOT_S)["data"]["device"] == "rng"
    assert "none" in does(guest, f"cat {RNG}")
    assert does(guest, "ls /sys/bus/pci/devices").split() == ["0000:00:00.0"]


@timeout(600)
def test_entropy_device():
    with linux_at_prompt() as guest, guest.control() as qmp:
        plug_rng(guest, qmp)
        unplug_rng(guest, qmp)
        # The guest's own wish, by its file for that.
        plug_rng(guest, qmp)
        does(guest, "echo 0 > /sys/bus/pci/slots/1/power")
        assert qmp.wait_event("DEVICE_DELETED", BOOT_S)["data"]["device"] == "rng"
        # Taken away without a word.
        plug_rng(guest, qmp)
        qmp.execute("device_del", id="rng", force=True)
        becomes(guest, "[ ! -e /sys/bus/pci/devices/0000:00:01.0 ]")
        plug_rng(guest, qmp)


@timeout(600)
def test_saved_with_a_request():
    """Asked to let go while it stands: it does where it goes on."""
    with tmp_dir() as folder:
        file = folder / "guest.ferry"
        with linux_at_prompt() as guest, guest.control() as qmp:
            plug_rng(guest, qmp)
            qmp.execute("stop")
            qmp.execute("device_del", id="rng")
            guest.save(file)
            assert guest.wait(BOOT_S) == 0
        with Restored(file) as guest, guest.control() as qmp:
            qmp.execute("cont")
            assert qmp.wait_event("DEVICE_DELETED", BOOT_S)["data"]["device"] == "rng"
            plug_rng(guest, qmp)
            unplug_rng(guest, qmp)


# --- disks ---


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)},
               timeout_s=BOOT_S)


def attach(guest, image, node):
    """The guest has the image as /dev/NODE, and reads all of it."""
    name = ferry(guest, "disk", "attach", guest.name, image).strip()
    becomes(guest, f"[ -b /dev/{node} ]")
    reads(guest, image, node)
    return name


def reads(guest, image, node):
    digest = hashlib.md5(image.read_bytes()).hexdigest()
    assert does(guest, f"md5sum < /dev/{node}").split()[0] == digest


def detach(guest, name, node):
    ferry(guest, "disk", "detach", "--timeout", str(BOOT_S), guest.name, name)
    becomes(guest, f"[ ! -e /dev/{node} ]")


def images(folder, count):
    """Files of a MiB that differ."""
    paths = [folder / f"disk{i}.img" for i in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(MIB))
    return paths


@timeout(900)
def test_disks():
    """One comes and goes while another one is read all the time."""
    with tmp_dir() as folder, linux_at_prompt() as guest:
        first, second = images(folder, 2)
        attach(guest, first, "vda")
        does(guest, "(while dd if=/dev/vda of=/dev/null bs=64k 2>/dev/null; do :; done) & x=$!")
        for _ in range(2):
            name = attach(guest, second, "vdb")
            does(guest, "dd if=/dev/vda of=/dev/vdb bs=64k count=2 conv=fsync 2>/dev/null")
            detach(guest, name, "vdb")
            assert second.read_bytes()[:2 << 16] == first.read_bytes()[:2 << 16]
        does(guest, "kill $x")
        reads(guest, first, "vda")


@timeout(900)
def test_disk_travels():
    """A disk that came later is there after a restore, and can go then."""
    with tmp_dir() as folder:
        image, = images(folder, 1)
        file = folder / "guest.ferry"
        with linux_at_prompt() as guest:
            name = attach(guest, image, "vda")
            guest.save(file)
            assert guest.wait(BOOT_S) == 0
        with Restored(file) as guest:
            does(guest, "echo 3 > /proc/sys/vm/drop_caches")
            reads(guest, image, "vda")
            detach(guest, name, "vda")
            attach(guest, image, "vda")
