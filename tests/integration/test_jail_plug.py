# SPDX-License-Identifier: MIT
"""Disks and nics that come to a guest in a jail, as another user: the command opens, it may not."""
import json
import os
import pathlib

from ferrytest import (Guest, Lab, NetHost, Proc, Restored, each, fds, loop_device, require_root,
                       timeout, tmp_dir, vanishes)
from ferrytest.lab import is_locked
from ferrytest.moves import check_result
from ferrytest.paths import FERRY

MIB = 1 << 20
UID, GID = 51234, 51235
USER = {"user": f"{UID}:{GID}"}
JAIL = {"jail": True, **USER}
TIGHT = {"jail_net": True, **USER}
CAME = r"^hotplug: slot=(\d+) came"


def words(options):
    """Of the command line."""
    return [word for key, value in options.items()
            for word in (f"--{key.replace('_', '-')}", value) if word is not True]


def check_nobody(pid):
    """It is the user, and has nothing of root's."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    assert f"Uid:\t{UID}\t" in status and "CapEff:\t0000000000000000" in status, status


def ferry(guest, *argv, status=0, netns=None, env=None):
    """A command of root's, who started the guest: what it said."""
    with Proc(FERRY, *argv, netns=netns,
              env={"XDG_RUNTIME_DIR": str(guest.runtime), **(env or {})}) as done:
        assert done.wait() == status, (argv, done.err.text)
        return done.err.text if status else done.out.text.strip()


def disks(guest):
    """`ferry disk list`, by id."""
    return {one["id"]: one for one in json.loads(ferry(guest, "disk", "list", "g", "--json"))}


def image_of_root(folder, name="late.img"):
    """That nobody else may open."""
    path = folder / name
    path.write_bytes(b"\xa5" * (4 * MIB))
    path.chmod(0o600)
    return path


def reads_go_on(guest, name):
    """The guest uses it, and nothing fails."""
    before = disks(guest)[name]["stats"]["rd_operations"]
    while disks(guest)[name]["stats"]["rd_operations"] <= before:
        assert guest.running()
    assert disks(guest)[name]["stats"]["failed_rd_operations"] == 0


@each(jail=[USER, JAIL, TIGHT])
@each(what=["file", "overlay", "device"])
def test_disk(jail, what):
    """It comes, outlives a reset, and goes; the next one comes then."""
    require_root()
    with tmp_dir() as folder, loop_device(4 * MIB) as (device, _), \
            Guest("hotplug", append="busy=1", net="none", name="g", vcpus=2, **jail) as guest:
        folder.chmod(0o700)
        image = device if what == "device" else image_of_root(folder)
        spec = f"{image},id=late" + (",overlay" if what == "overlay" else "")
        guest.wait_for("^hotplug: ready")
        for _ in range(2):
            ferry(guest, "disk", "attach", "g", spec)
            guest.wait_for(CAME)
            check_nobody(guest.pid)
            assert "io_uring" in disks(guest)["late"]["how"]
            reads_go_on(guest, "late")
            assert is_locked(image)
            ferry(guest, "reset", "g")
            guest.wait_for("^hotplug: ready")
            reads_go_on(guest, "late")
            if what == "file":
                assert str(5 * MIB) in ferry(guest, "disk", "resize", "g", "late", "5M")
                os.truncate(image, 4 * MIB)
            ferry(guest, "disk", "detach", "g", "late")
            guest.wait_for("^hotplug: slot=.* ejected$")
            assert not is_locked(image) and not disks(guest)
        assert str(image) not in fds(guest.pid).values()
        assert "No such file" in ferry(guest, "disk", "attach", "g", "/no/image", status=1)
        guest.press_power_button()
        assert guest.wait() == 0, guest.err.text


@each(there=[JAIL, TIGHT])
@timeout(120)
def test_save_and_restore(there):
    require_root()
    with tmp_dir() as folder:
        image = image_of_root(folder)
        with Guest("hotplug", append="busy=1", net="none", name="g", **JAIL) as guest:
            guest.wait_for("^hotplug: ready")
            ferry(guest, "disk", "attach", "g", f"{image},id=late")
            guest.wait_for(CAME)
            guest.save(folder / "g.ferry")
            assert guest.wait() == 0
        assert not is_locked(image)
        with Restored(folder / "g.ferry", name="g", **there) as guest, guest.control():
            reads_go_on(guest, "late")
            check_nobody(guest.pid)
            ferry(guest, "disk", "detach", "g", "late")
            guest.wait_for("^hotplug: slot=.* ejected$")
            ferry(guest, "disk", "attach", "g", f"{image},id=again")
            guest.wait_for(CAME)
            reads_go_on(guest, "again")


@each(there=[JAIL, TIGHT])
@timeout(120)
def test_teleport(there):
    """With a disk and a nic that came late; what is there goes there, and others come."""
    require_root()
    with Lab() as lab, lab.host1.guest("hotplug", append="busy=1", net="none", vcpus=2,
                                       **JAIL) as guest, \
            lab.host2.receive(*words(there), net_allow=["tap:late0", "bridge:br0"]) as receive:
        image = lab.disk()
        image.chmod(0o600)
        lab.console().wait_for("^hotplug: ready")
        lab.host1.ferry("disk", "attach", "g", f"{image},id=late")
        lab.console().wait_for(CAME)
        lab.host1.ferry("nic", "attach", "g", "tap:late0,bridge=br0,id=card")
        lab.console().wait_for(CAME)
        check_result(lab.host1.teleport("g", receive).result())
        copy = receive.arrived("g")
        assert guest.wait() == 0
        check_nobody(copy.pid)
        vanishes(lab.host1.net, "late0")
        assert "master br0" in lab.host2.net.ip("link show late0")
        lab.check_disk(image, True)
        before = None
        while True:
            one, = json.loads(lab.host2.ferry("disk", "list", "g", "--json"))
            assert one["stats"]["failed_rd_operations"] == 0
            before = before or one["stats"]["rd_operations"]
            if one["stats"]["rd_operations"] > before:
                break
        for kind, name in ("disk", "late"), ("nic", "card"):
            lab.host2.ferry(kind, "detach", "g", name)
            lab.console().wait_for("^hotplug: slot=.* ejected$")
        vanishes(lab.host2.net, "late0")
        lab.check_disk(image, False)
        lab.host2.ferry("disk", "attach", "g", f"{image},id=again,overlay")
        lab.console().wait_for(CAME)
        lab.host2.ferry("nic", "attach", "g", "tap:late0,bridge=br0,id=again0")
        lab.console().wait_for(CAME)
        lab.host2.ferry("destroy", "g")
        copy.wait()
        vanishes(lab.host2.net, "late0")
        lab.check_disk(image, False)
        lab.check_clean()


@each(jail=[USER, JAIL, TIGHT])
@each(how=["detach", "reset", "kill"])
@timeout(120)
def test_network(jail, how):
    """ferry-net is the command's, sees the host, and takes all back when the nic goes."""
    require_root()
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "hostonly")
        with host.guest("ip=10.0.0.2/24", net="tap:own", **jail) as guest:
            guest.wait_for("^net: up ")
            check_nobody(guest.pid)
            ferry(guest, "nic", "attach", "g", "lab,id=late", netns=host, env=host.env)
            assert list(host.state.glob("lab@g.*.journal"))
            if how == "reset":
                ferry(guest, "reset", "g")
                guest.wait_for("^net: up ")
                assert list(host.state.glob("lab@g.*.journal"))
            if how == "kill":
                guest.signal(9)
                guest.wait()
            else:
                ferry(guest, "nic", "detach", "g", "late", "--force", netns=host, env=host.env)
                assert not list(host.state.glob("lab@g.*.journal"))
        host.net_command("delete", "lab")
