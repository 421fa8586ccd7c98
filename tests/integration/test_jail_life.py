# SPDX-License-Identifier: MIT
"""Life in a jail, as another user: networks, disks, commands, cores, teleports."""
import os
import pathlib
import signal

from ferrytest import (Guest, Keys, Lab, NetHost, NetNs, Restored, descendants, each, require_root,
                       run, timeout, tmp_dir, wait_end)
from ferrytest.moves import DIRTY, check_result, dirty_goes_on
from ferrytest.paths import FERRY

UID, GID = 51234, 51235
USER = f"{UID}:{GID}"
JAIL = {"jail": True, "user": USER}
TIGHT = {"jail_net": True, "user": USER}
GUEST_ADDRESS = "10.77.0.50"


def words(options):
    """Of the command line."""
    return [word for key, value in options.items()
            for word in (f"--{key.replace('_', '-')}", value) if word is not True]


def is_jailed(pid):
    """It sees no file of the host, and is nobody."""
    return (not os.path.exists(f"/proc/{pid}/root/bin")
            and f"Uid:\t{UID}\t" in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii"))


# --- commands ---


@each(jail=[JAIL, TIGHT])
def test_commands(jail):
    require_root()
    with Guest("idle", append="tick=100", net="none", name="g", **jail) as guest:
        guest.wait_for("tick=2")
        assert is_jailed(guest.pid)

        def ferry(*argv, status=0):
            with guest.ferry(*argv) as command:
                assert command.wait() == status, command.err.text
                return command.out.text + command.err.text

        assert str(guest.pid) in ferry("list")
        assert "running" in ferry("info", "g")
        ferry("pause", "g")
        assert "paused" in ferry("list")
        ferry("resume", "g")
        assert "resident" in ferry("metrics", "g")
        with guest.control() as control:
            info = control.execute("ferry-info")
            assert info["resident_bytes"] > 1 << 20
        assert "keeps its name" in ferry("rename", "g", "h", status=1)
        ferry("reset", "g")
        guest.wait_for("tick=2")
        ferry("shutdown", "--wait", "g")
        assert guest.wait() == 0


def test_console_attach():
    require_root()
    with Guest("idle", append="tick=100", net="none", console="pty", name="g", **JAIL) as guest:
        guest.err.wait_for("console is on", 20)
        assert (guest.runtime / "ferry/g.console").is_symlink()
        with guest.ferry("console", "g", tty=True) as console:
            console.wait_for("tick=")
            console.write("\x1d")
            assert console.wait() == 0
        guest.press_power_button()
        assert guest.wait() == 0
        assert not (guest.runtime / "ferry/g.console").is_symlink()


@each(jail=[JAIL, TIGHT])
def test_crash_leaves_a_core(jail):
    """In the one folder that is still seen, which the user may write to."""
    require_root()
    with tmp_dir() as folder:
        os.chown(folder, UID, GID)
        with Guest("hello", name="g", append="crash=panic", net="none", dump_dir=folder,
                   **jail) as guest:
            assert guest.wait() == 125, guest.err.text
        assert [path.name for path in folder.iterdir()] == ["g-1.core"], guest.err.text
        assert (folder / "g-1.core").read_bytes()[:4] == b"\x7fELF"
        assert (folder / "g-1.core").stat().st_uid == UID


def test_disk():
    """An image that the user may not open goes on to be the guest's."""
    require_root()
    with tmp_dir() as folder:
        image = folder / "root.img"
        image.touch(mode=0o600)
        os.truncate(image, 32 << 20)
        with Guest("blk", append="ops=500 span=8M depth=8 flush=10 discard=20 zeroes=20",
                   disk=image, net="none", **JAIL) as guest:
            assert guest.wait(50) == 0, guest.out.text + guest.err.text
        assert " errors=0 corrupt=0" in guest.out.text, guest.out.text


# --- networks ---


def test_user_network():
    require_root()
    with NetNs() as net, Guest("net", append="ip=dhcp ping=10.0.2.2 count=3 interval_ms=20 "
                               "quit=done", net="user", netns=net, **JAIL) as guest:
        guest.wait_for("^net: ping 10.0.2.2 sent=3 received=3 lost=0 ")
        assert guest.wait() == 0


@each(jail=[JAIL, TIGHT])
def test_tap(jail):
    require_root()
    with NetNs() as net:
        net.tap("tap0", "10.0.0.1/24")
        with Guest("net", net="tap:tap0", append="ip=10.0.0.2/24", netns=net, **jail) as guest:
            guest.wait_for("^net: up ")
            assert is_jailed(guest.pid)
            net.run("ping", "-c", "3", "-i", "0.1", "10.0.0.2")


@timeout(120)
@each(jail=[JAIL, TIGHT])
@each(how=["quit", "kill"])
def test_managed_network(jail, how):
    """ferry-net is the keeper's child: it sees the host, and takes all back at the end."""
    require_root()
    with NetHost() as host:
        host.net_command("create", "lab", "--mode", "nat")
        with host.guest("ip=dhcp", net="lab", **jail) as guest:
            guest.wait_for("^net: up ", 60)
            assert is_jailed(guest.pid)
            assert host.nic("lab")
            helpers = [os.pidfd_open(pid) for pid, name in descendants(guest.pid).items()
                       if name in ("ferry-net", "ferry-keeper")]
            assert len(helpers) == 2
            if how == "kill":
                guest.signal(signal.SIGKILL)
            else:
                guest.control().execute("quit")
            guest.wait()
            for helper in helpers:
                wait_end(helper)
            assert not host.nic("lab")
        host.net_command("delete", "lab")


@each(jail=[JAIL, TIGHT])
def test_attach_and_detach(jail):
    """Nics come as descriptors, so a jail is no obstacle, unless they need what it takes."""
    require_root()
    with NetNs() as net:
        net.tap("tap0", "10.0.0.1/24")
        with Guest("net", net="tap:tap0", append="ip=10.0.0.2/24", netns=net, name="g",
                   **jail) as guest:
            guest.wait_for("^net: up ")
            for spec, status in (("tap:tap1", 0), ("user", 1 if jail is TIGHT else 0)):
                with guest.ferry("nic", "attach", "g", f"{spec},id=x", netns=net) as attach:
                    assert attach.wait() == status, attach.err.text
                    assert status == 0 or "--jail-net" in attach.err.text
                if status == 0:
                    with guest.ferry("nic", "detach", "g", "x", "--force", netns=net) as detach:
                        assert detach.wait() == 0, detach.err.text
            net.run("ping", "-c", "3", "-i", "0.1", "10.0.0.2")


# --- moving ---


def guest_on_bridge(lab, **options):
    """The net guest on host1's br0, by a tap."""
    return lab.host1.guest("net", net="tap,bridge=br0", append=f"ip={GUEST_ADDRESS}/24", **options)


def ping(lab):
    lab.peer.net.run("ping", "-c", "3", "-i", "0.1", "-W", "5", GUEST_ADDRESS)


@timeout(120)
@each(there=[JAIL, TIGHT])
def test_teleport_from_jail_to_jail(there):
    """With a tap on both sides; back again, where the copy has a network to leave by."""
    require_root()
    with Lab() as lab, guest_on_bridge(lab, **JAIL) as guest, \
            lab.host2.receive(*words(there)) as receive:
        lab.console().wait_for("^net: up ")
        assert is_jailed(guest.pid)
        ping(lab)
        check_result(lab.host1.teleport("g", receive).result())
        copy = receive.arrived("g")
        assert guest.wait() == 0
        assert is_jailed(copy.pid)
        ping(lab)
        with lab.host1.receive(*words(JAIL)) as back:
            result = lab.host2.teleport("g", back).result()
            if there is TIGHT:
                assert "--jail-net" in result["error"], result
                lab.check_one_copy("g", lab.host2)
            else:
                check_result(result)
                home = back.arrived("g")
                assert is_jailed(home.pid)
                copy.wait()
            ping(lab)
            last = lab.host2 if there is TIGHT else lab.host1
            last.ferry("destroy", "g")
            (copy if there is TIGHT else home).wait()
        lab.check_clean()


@timeout(120)
@each(cut=["source", "listener"])
def test_teleport_that_fails_leaves_it_in_its_jail(cut):
    require_root()
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY, **JAIL) as guest, \
            lab.host2.receive(*words(JAIL)) as receive:
        lab.console().wait_for("^dirty pass=2 ")
        move = lab.host1.teleport("g", receive, hold="ready")
        move.wait_held("ready")
        if cut == "source":
            move.cancel()
        else:
            receive.signal(signal.SIGTERM)
        assert move.result()["status"] != "completed"
        lab.check_one_copy("g", lab.host1)
        assert is_jailed(guest.pid)
        dirty_goes_on(lab)


@each(jail=[JAIL, TIGHT])
def test_save_and_dump(jail):
    """The command opens the files, by its own rights."""
    require_root()
    with tmp_dir() as folder:
        with Guest("dirty", append="mem=8M rate=40", net="none", name="g", **jail) as guest:
            guest.wait_for("^dirty pass=2 ")
            with guest.ferry("dump-core", "g", folder / "g.core") as dump:
                assert dump.wait() == 0, dump.err.text
            assert (folder / "g.core").read_bytes()[:4] == b"\x7fELF"
            guest.save(folder / "one.ferry", "--keep-running")
            guest.wait_for("^dirty pass=")
            guest.save(folder / "two.ferry", "--compress", "zstd")
            assert guest.wait() == 0
        for name in ("one.ferry", "two.ferry"):
            assert (folder / name).stat().st_uid == 0
            with Restored(folder / name, **jail) as guest:
                guest.wait_for("^dirty pass=")
                guest.wait_for("^dirty pass=")
                assert is_jailed(guest.pid)
            assert "CORRUPT" not in guest.out.text


@timeout(120)
def test_teleport_by_tls():
    """Keys are read by the command and by the listener, who see them."""
    require_root()
    with Keys() as keys, Lab() as lab, \
            lab.host1.guest("dirty", append=DIRTY, **JAIL), \
            lab.host2.receive(*keys.psk(), *words(JAIL), insecure=False) as receive:
        lab.console().wait_for("^dirty pass=2 ")
        check_result(lab.host1.teleport("g", receive, *keys.psk()).result())
        assert is_jailed(receive.arrived("g").pid)
        dirty_goes_on(lab)


def test_restore_into_a_jail():
    """What is saved has no jail, and what is restored has the one that is asked for."""
    require_root()
    with tmp_dir() as folder:
        with Guest("dirty", append="mem=8M rate=40", net="none") as guest:
            guest.wait_for("^dirty pass=2 ")
            guest.save(folder / "g.ferry")
            assert guest.wait() == 0
        with Restored(folder / "g.ferry", user="no-such-user") as guest:
            assert guest.wait() == 1 and "no user no-such-user" in guest.err.text
        with Restored(folder / "g.ferry", **JAIL) as guest:
            for _ in range(2):
                guest.wait_for("^dirty pass=")
            assert is_jailed(guest.pid)
            guest.press_power_button()
            assert guest.wait() == 0
        assert "CORRUPT" not in guest.out.text


@each(option=[["--user", "no-such-user"], ["--chroot", "/no/such/folder"]])
def test_bad_options_of_receive(option):
    """Told when it begins, rather than to the first guest."""
    require_root()
    with tmp_dir() as folder:
        text = run(FERRY, "receive", "--listen", f"unix:{folder}/in", *option, check=False)
        assert option[1] in text and len(text.splitlines()) == 1, text
        assert not (folder / "in").exists()
