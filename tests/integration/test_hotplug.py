# SPDX-License-Identifier: MIT
"""PCI devices that come and go while the guest runs, by ACPI: the hotplug guest."""
import contextlib
import os

from ferrytest import (Control, Guest, Lab, Proc, QemuPC, Restored, fds, no_leaks, run, timeout,
                       tmp_dir)
from ferrytest.control import ControlError
from ferrytest.leaks import mapped_kib
from ferrytest.moves import check_result
from ferrytest.paths import FERRY

ROUNDS = 100
CAME = r"^hotplug: slot=(\d+) came device=0x1044\n"  # the whole line: a reset may follow
MOST_KIB = 256  # of a hundred rounds: as in the soak test
RAM_BYTES = 64 << 20
LONG_ID = "x" * 31  # the longest that there is


def start(append="", **kwargs):
    return Guest("hotplug", append=append, net=kwargs.pop("net", "none"), **kwargs)


def plug(guest, qmp):
    """The guest has a new entropy device, and has used it; its slot."""
    qmp.execute("device_add", driver="virtio-rng-pci", id="rng")
    return int(guest.wait_for(CAME).group(1))


def unplug(guest, qmp, slot, device="rng"):
    """The guest has let go of it, and knows that the slot is empty."""
    qmp.execute("device_del", id=device)
    guest.wait_for(f"^hotplug: slot={slot} ejected$")
    check_deleted(qmp, device)


def check_deleted(qmp, device="rng"):
    event = qmp.wait_event("DEVICE_DELETED")
    assert event["data"] == {"device": device, "path": f"/machine/peripheral/{device}"}, event


def end(guest, qmp):
    qmp.execute("system_powerdown")
    guest.wait_for("^hotplug: came=")
    assert guest.wait() == 0


def refused(qmp, why, command, **arguments):
    try:
        qmp.execute(command, **arguments)
    except ControlError as error:
        assert why in str(error), error
    else:
        raise AssertionError(f"{command} {arguments} was not refused")


def anon_kib(guest):
    return mapped_kib(guest.pid, RAM_BYTES, "Anonymous")


def plugs_and_unplugs(guest, qmp, rounds):
    for _ in range(rounds):
        unplug(guest, qmp, plug(guest, qmp))


@timeout(180)
def test_nothing_is_left():
    """A hundred times: descriptors (eventfds of queues and vectors among them), memory, threads."""
    with no_leaks(), start("poll=0") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        plugs_and_unplugs(guest, qmp, 10)
        threads, kib = os.listdir(f"/proc/{guest.pid}/task"), anon_kib(guest)
        descriptors = fds(guest.pid)
        plugs_and_unplugs(guest, qmp, ROUNDS)
        assert fds(guest.pid) == descriptors
        assert os.listdir(f"/proc/{guest.pid}/task") == threads
        now = anon_kib(guest)
        assert now <= kib + MOST_KIB, f"{kib} KiB became {now}"
        end(guest, qmp)


@timeout(120)
def test_while_it_is_used():
    """The guest asks for random bytes all the time, until it lets go."""
    with start("busy=1", vcpus=2) as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        plugs_and_unplugs(guest, qmp, 10)
        for _ in range(10):
            slot = plug(guest, qmp)
            qmp.execute("device_del", id="rng", force=True)
            check_deleted(qmp)
            guest.wait_for(f"^hotplug: slot={slot} lost$")
        end(guest, qmp)


def test_a_guest_that_does_not_listen():
    with start("ignore=2") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        slot = plug(guest, qmp)
        for _ in range(2):
            qmp.execute("device_del", id="rng")
            guest.wait_for(f"^hotplug: slot={slot} ignored\n")
        refused(qmp, "has an entropy device", "device_add", driver="virtio-rng-pci", id="rng")
        unplug(guest, qmp, slot)
        plug(guest, qmp)
        end(guest, qmp)


def check_answer(qmp, slot, source, status):
    event = qmp.wait_event("ACPI_DEVICE_OST")
    info = {"slot": str(slot), "slot-type": "PCI", "source": source, "status": status}
    assert {**event["data"]["info"], "device": "rng"} == {**info, "device": "rng"}, event


def test_a_guest_that_refuses():
    """It says so, and the request is over."""
    with start("refuse=2 status=0x81") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        slot = plug(guest, qmp)
        check_answer(qmp, slot, 1, 0)
        for _ in range(2):
            qmp.execute("device_del", id="rng")
            guest.wait_for(f"^hotplug: slot={slot} refused\n")
            check_answer(qmp, slot, 3, 0x81)
            event = qmp.wait_event("DEVICE_UNPLUG_GUEST_ERROR")
            assert event["data"] == {"device": "rng", "path": "/machine/peripheral/rng"}, event
        # Nothing is asked for any more, so it stays.
        qmp.execute("system_reset")
        assert int(guest.wait_for(CAME).group(1)) == slot
        guest.wait_for("^hotplug: ready")
        for _ in range(2):
            qmp.execute("device_del", id="rng")
            assert qmp.wait_event("DEVICE_UNPLUG_GUEST_ERROR")["data"]["device"] == "rng"
        unplug(guest, qmp, slot)
        check_answer(qmp, slot, 3, 0x81)
        end(guest, qmp)


def test_detach_tells_the_refusal():
    """At once, and not when its time is over."""
    with start("refuse=3", net="user") as guest:
        guest.wait_for("^hotplug: ready")
        for _ in range(3):
            with Proc(FERRY, "nic", "detach", "--timeout", "3600", guest.name, "net0",
                      env={"XDG_RUNTIME_DIR": str(guest.runtime)}) as proc:
                assert proc.wait() == 1
                assert proc.err.text == (
                    "ferry nic: the guest refuses to let go of net0: it is busy (status 0x82); "
                    "--force takes it away\n"), proc.err.text
        run(FERRY, "nic", "detach", guest.name, "net0",
            env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def test_reset_ends_a_request():
    """Who starts anew has let go of everything."""
    with start("ignore=1") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        slot = plug(guest, qmp)
        qmp.execute("device_del", id="rng")
        guest.wait_for(f"^hotplug: slot={slot} ignored\n")
        qmp.execute("system_reset")
        check_deleted(qmp)
        guest.wait_for("^hotplug: ready")
        assert plug(guest, qmp) == slot
        # What was plugged and is wanted is there after a reset.
        qmp.execute("system_reset")
        guest.wait_for(CAME)
        guest.wait_for("^hotplug: ready")
        qmp.execute("device_del", id="rng")
        guest.wait_for(f"^hotplug: slot={slot} ignored\n")
        unplug(guest, qmp, slot)
        end(guest, qmp)


def test_eject_without_reset():
    """A driver that leaves its queues enabled: the device is quiet all the same."""
    with start("reset=0 poll=0") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        plugs_and_unplugs(guest, qmp, 5)
        end(guest, qmp)


def test_paused_guest():
    with start() as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        qmp.execute("stop")
        qmp.execute("device_add", driver="virtio-rng-pci", id="rng")
        qmp.execute("cont")
        slot = int(guest.wait_for(CAME).group(1))
        qmp.execute("stop")
        qmp.execute("device_del", id="rng")
        qmp.execute("cont")
        guest.wait_for(f"^hotplug: slot={slot} ejected$")
        check_deleted(qmp)
        slot = plug(guest, qmp)
        qmp.execute("stop")
        qmp.execute("device_del", id="rng", force=True)
        check_deleted(qmp)
        qmp.execute("cont")
        guest.wait_for(f"^hotplug: slot={slot} lost$")
        end(guest, qmp)


def test_refusals():
    with start(rng=True) as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        refused(qmp, "Device 'disk7' not found", "device_del", id="disk7")
        refused(qmp, "Device 'serial' not found", "device_del", id="serial")
        refused(qmp, "has an entropy device", "device_add", driver="virtio-rng-pci", id="rng")
        refused(qmp, "must be rng", "device_add", driver="virtio-rng-pci", id="x")
        refused(qmp, "driver", "device_add", driver="e1000", id="rng")
        end(guest, qmp)


def test_devices_of_the_start_can_go():
    with start(rng=True, balloon=True, net="user") as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        for device in ("rng", "net0", "balloon"):
            qmp.execute("device_del", id=device)
            check_deleted(qmp, device)
        refused(qmp, "No balloon", "query-balloon")
        assert qmp.execute("ferry-nics") == []
        plug(guest, qmp)
        end(guest, qmp)


# --- how many slots ---


@contextlib.contextmanager
def nine_disks(last="disk8"):
    """Enough to reach beyond the slots that there are if nobody says how many."""
    with tmp_dir() as folder:
        image = folder / "disk.img"
        image.write_bytes(bytes(1 << 20))
        yield [f"{image},overlay"] * 8 + [f"{image},overlay,id={last}"]


def test_beyond_the_slots():
    with nine_disks() as disks, start(disk=disks) as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        refused(qmp, "start the guest with more --hotplug-slots", "device_add",
                driver="virtio-rng-pci", id="rng")
        refused(qmp, "slot 9, which no device can leave: start the guest with --hotplug-slots 9",
                "device_del", id="disk8")
        unplug(guest, qmp, 8, "disk7")
        assert plug(guest, qmp) == 8
        end(guest, qmp)


def test_more_slots():
    with nine_disks() as disks, start("poll=0", disk=disks, hotplug_slots=31) as guest, \
            guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        assert plug(guest, qmp) == 10
        unplug(guest, qmp, 10)
        unplug(guest, qmp, 9, "disk8")
        assert plug(guest, qmp) == 9
        # A reset makes the tables anew.
        qmp.execute("system_reset")
        guest.wait_for("^hotplug: ready")
        unplug(guest, qmp, 9)
        end(guest, qmp)


def test_one_slot():
    with start(hotplug_slots=1, rng=True, balloon=True) as guest, guest.control() as qmp:
        guest.wait_for("^hotplug: ready")
        refused(qmp, "--hotplug-slots 2", "device_del", id="balloon")
        unplug(guest, qmp, 1)
        assert plug(guest, qmp) == 1
        end(guest, qmp)


def test_no_slots():
    """No GPE block either: a guest that wants one does not find it."""
    with Guest("idle", net="none", rng=True, hotplug_slots=0) as guest, guest.control() as qmp:
        refused(qmp, "started with --hotplug-slots 0", "device_add", driver="virtio-rng-pci",
                id="rng")
        refused(qmp, "no device can leave", "device_del", id="rng")
        refused(qmp, "no device can leave", "device_del", id="rng", force=True)
        qmp.execute("quit")
        guest.wait()
    with start(hotplug_slots=0) as guest:
        guest.wait_for("no GPE block")


# --- on the way ---


def test_saved_and_restored():
    """Devices keep the slots that they had, not those of the order of the settings."""
    with tmp_dir() as folder:
        file = folder / "guest.ferry"
        with start("busy=1", rng=True, balloon=True, net="user") as guest, \
                guest.control() as qmp:
            slot = guest.wait_for(CAME).group(1)
            guest.wait_for("^hotplug: ready")
            qmp.execute("device_del", id="net0")
            check_deleted(qmp, "net0")
            guest.save(file)
            assert guest.wait() == 0
        with Restored(file) as guest, guest.control() as qmp:
            unplug(guest, qmp, slot)
            assert plug(guest, qmp) == 1
            end(guest, qmp)


def test_slots_are_saved():
    with tmp_dir() as folder:
        for slots in (0, 3):
            file = folder / f"{slots}.ferry"
            with Guest("idle", net="none", rng=True, hotplug_slots=slots) as guest:
                guest.wait_for("^idle ready")
                guest.save(file)
                assert guest.wait() == 0
            with Restored(file) as guest, guest.control() as qmp:
                assert qmp.execute("ferry-info")["config"]["hotplug-slots"] == slots


def lab_guest(lab, append, **kwargs):
    return lab.host1.guest("hotplug", append=append, net="none", **kwargs)


@timeout(120)
def test_slots_are_teleported():
    """As many as where it was started, after a reset there, too."""
    with nine_disks(LONG_ID) as disks, Lab() as lab, \
            lab_guest(lab, "", disk=disks, hotplug_slots=12), lab.host2.receive() as receive:
        lab.console().wait_for("^hotplug: ready")
        with lab.host1.control() as qmp:
            assert plug(lab.console(), qmp) == 10
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        with lab.host2.control() as qmp:
            unplug(lab.console(), qmp, 10)
            qmp.execute("device_del", id=LONG_ID)
            check_deleted(qmp, LONG_ID)
            qmp.execute("system_reset")
            lab.console().wait_for("^hotplug: ready")
            assert plug(lab.console(), qmp) == 9


@timeout(120)
def test_teleport():
    """With a device that was plugged, and one that it was asked to let go of."""
    with Lab() as lab, lab_guest(lab, "ignore=1"), lab.host2.receive() as receive:
        lab.console().wait_for("^hotplug: ready")
        with lab.host1.control() as qmp:
            slot = plug(lab.console(), qmp)
            qmp.execute("device_del", id="rng")
            lab.console().wait_for(f"^hotplug: slot={slot} ignored$")
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        with lab.host2.control() as qmp:
            unplug(lab.console(), qmp, slot)
            plugs_and_unplugs(lab.console(), qmp, 3)


def pending_and_moving(lab, receive, phase="precopy"):
    """The guest has ignored a request, and is on its way."""
    lab.console().wait_for("^hotplug: ready")
    with lab.host1.control() as qmp:
        slot = plug(lab.console(), qmp)
        qmp.execute("device_del", id="rng")
        lab.console().wait_for(f"^hotplug: slot={slot} ignored$")
        move = lab.host1.teleport("g", receive, hold=phase)
        move.wait_held(phase)
        refused(qmp, "no device can come or go", "device_del", id="rng")
        # By the button, since nobody may ask it now.
        qmp.execute("system_powerdown")
        lab.console().wait_for(f"^hotplug: slot={slot} ejected$")
        assert not [e for e in qmp.events if e["event"] == "DEVICE_DELETED"]
    return move


@timeout(120)
def test_ejected_on_the_way():
    """What it lets go of while it moves is taken away where it arrives."""
    with Lab() as lab, lab_guest(lab, "ignore=1 button=eject"), lab.host2.receive() as receive:
        move = pending_and_moving(lab, receive)
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        with lab.host2.control() as qmp:
            refused(qmp, "not found", "device_del", id="rng")
            plugs_and_unplugs(lab.console(), qmp, 2)


@timeout(120)
def test_ejected_on_no_way():
    """The same, but it stays."""
    with Lab() as lab, lab_guest(lab, "ignore=1 button=eject"), lab.host2.receive() as receive:
        move = pending_and_moving(lab, receive)
        with lab.host1.control() as qmp:
            move.cancel()
            check_deleted(qmp)
            assert move.result()["status"] == "cancelled"
            plugs_and_unplugs(lab.console(), qmp, 2)


# --- the guest's mistakes are not taken for ferry's ---


@timeout(180)
def test_under_qemu():
    """QEMU's registers are laid out alike. Its firmware takes time."""
    with QemuPC("hotplug", "-M", "pc", append="hotplug=0xae00") as guest, \
            Control(guest.socket_path(), negotiate=True) as qmp:
        guest.wait_for("^hotplug: ready", 120)
        for _ in range(3):
            qmp.execute("device_add", driver="virtio-rng-pci", id="rng",
                        **{"disable-legacy": "on"})
            slot = int(guest.wait_for(CAME).group(1))
            qmp.execute("device_del", id="rng")
            guest.wait_for(f"^hotplug: slot={slot} ejected$")
            while qmp.wait_event("DEVICE_DELETED")["data"].get("device") != "rng":
                pass
        end(guest, qmp)
