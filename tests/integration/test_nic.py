# SPDX-License-Identifier: MIT
"""Nics of a running guest: listed, limited, their cable taken out and put in."""
import json
import time

from ferrytest import Guest, Lab, NetNs, Proc, Restored, tmp_dir
from ferrytest.control import ControlError
from ferrytest.moves import check_result
from ferrytest.paths import FERRY

HOST, ADDR = "10.77.0.1", "10.77.0.2"
UP = r"^net: up ip="
FRAME = 106  # of a datagram of 64 bytes


def nic(guest, *words, status=0):
    """`ferry nic ACTION NAME ...`: what it printed, or its one line of complaint."""
    action, *rest = words
    with guest.ferry("nic", action, guest.name, *rest) as done:
        assert done.wait() == status, (words, done.err.text)
        assert status == 0 or len(done.err.text.splitlines()) == 1, done.err.text
        return done.err.text if status else done.out.text


def nics(guest):
    """`ferry nic list --json`."""
    return json.loads(nic(guest, "list", "--json"))


def wait_until(guest, condition, timeout_s=30):
    """The first of the guest's nics, as soon as the condition holds for it."""
    deadline_s = time.monotonic() + timeout_s
    with guest.control() as control:
        while not condition(found := control.execute("ferry-nics")[0]):
            assert time.monotonic() < deadline_s, found
    return found


def packets(guest, way):
    """So many went that way."""
    with guest.control() as control:
        return control.execute("ferry-nics")[0]["stats"][way]["packets"]


def test_list():
    with NetNs() as net:
        net.bridge("br0", f"{HOST}/24")
        with Guest("net", netns=net, append=f"ip={ADDR}/24",
                   net=["tap:web0,bridge=br0,tx-pps=5K", "user,id=up"]) as guest:
            guest.wait_for(UP)
            net.run("ping", "-c", "1", "-w", "20", ADDR)
            first, second = nics(guest)
            assert (first["id"], first["net"], first["kind"]) == ("net0", "tap:web0", "tap")
            assert (first["bridge"], first["host_interface"]) == ("br0", "web0")
            assert (second["id"], second["kind"], second["host_interface"]) == ("up", "user", None)
            assert first["mac"] != second["mac"] and first["slot"] != second["slot"]
            assert first["link"] == second["link"] == "up"
            assert first["limits"] == {"rx-bps": 0, "rx-pps": 0, "tx-bps": 0, "tx-pps": 5000}
            assert first["stats"]["tx"]["packets"] > 0
            rows = nic(guest, "list").splitlines()
            assert len(rows) == 3 and rows[0].startswith("ID ")
            assert rows[1].startswith("net0 ") and rows[1].endswith("tx-pps=5000")
            assert rows[2].startswith("up ") and rows[2].endswith(" -")


def test_limit_while_frames_flow():
    """A flood at 10 packets a second goes fast when the limit goes, and slow when one comes."""
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net="tap:tap0,tx-pps=10", netns=net,
                   append=f"ip={ADDR}/24 flood={HOST}:9") as guest:
            guest.wait_for(UP)
            before, start_s = packets(guest, "tx"), time.monotonic()
            nic(guest, "limit", "net0", "tx-pps=0")
            wait_until(guest, lambda n: n["stats"]["tx"]["packets"] > before + 2000)
            assert time.monotonic() - start_s < 100
            nic(guest, "limit", "net0", f"tx-bps={8 * FRAME * 100}")
            before, start_s = packets(guest, "tx"), time.monotonic()
            wait_until(guest, lambda n: n["stats"]["tx"]["packets"] >= before + 100)
            assert time.monotonic() - start_s > 0.5
            with guest.control() as control:
                settings = control.execute("ferry-info")["config"]["net"][0]
            assert (settings["tx-bps"], settings["tx-pps"]) == (8 * FRAME * 100, 0)


def test_limits_travel():
    """What was changed while it ran is what a restored guest has, and so is the cable."""
    with tmp_dir() as folder, NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net="tap:tap0,rx-bps=1M", netns=net, append=f"ip={ADDR}/24",
                   runtime=folder) as guest:
            guest.wait_for(UP)
            nic(guest, "limit", "net0", "tx-pps=5k", "rx-bps=0")
            nic(guest, "link", "net0", "down")
            guest.wait_for("^net: link down$")
            guest.save(folder / "net.ferry")
            guest.wait()
        with Restored(folder / "net.ferry", netns=net, runtime=folder) as guest:
            found = wait_until(guest, lambda n: n["link"] == "down")
            assert found["limits"] == {"rx-bps": 0, "rx-pps": 0, "tx-bps": 0, "tx-pps": 5000}
            net.run("ping", "-c", "1", "-W", "1", ADDR, check=False)
            assert packets(guest, "rx") == 0
            nic(guest, "link", "net0", "up")
            guest.wait_for("^net: link up$")
            net.run("ping", "-c", "2", "-i", "0.1", "-w", "20", ADDR)


def test_limits_teleport():
    with Lab() as lab, lab.host2.receive() as receive, \
            lab.host1.guest("net", net="tap,bridge=br0", append="ip=10.77.0.50/24"):
        lab.console().wait_for(UP)
        lab.host1.ferry("nic", "limit", "g", "net0", "tx-pps=7k")
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        with lab.host1.control() as control:
            try:
                control.execute("ferry-nic-limits", **{"id": "net0", "tx-pps": 8000})
                raise AssertionError("limits changed on the way")
            except ControlError as error:
                assert "being saved, moved or dumped" in str(error)
            control.execute("set_link", name="net0", up=False)
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        with lab.host2.control() as control:
            found = control.execute("ferry-nics")[0]
            assert found["limits"]["tx-pps"] == 7000 and found["link"] == "down"


def test_cable():
    """Out: no frame passes, and the guest knows; in: all is as before."""
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net="tap:tap0", netns=net, append=f"ip={ADDR}/24") as guest:
            guest.wait_for(UP)
            net.run("ping", "-c", "1", "-w", "20", ADDR)
            nic(guest, "link", "net0", "down")
            guest.wait_for("^net: link down$")
            before = nics(guest)[0]["stats"]
            net.run("ping", "-c", "3", "-i", "0.1", "-W", "1", ADDR, check=False)
            after = wait_until(
                guest, lambda n: n["stats"]["rx"]["dropped"] > before["rx"]["dropped"])
            assert after["stats"]["rx"]["packets"] == before["rx"]["packets"]
            assert after["stats"]["tx"]["packets"] == before["tx"]["packets"]
            nic(guest, "link", "net0", "down")  # harmless
            nic(guest, "link", "net0", "up")
            guest.wait_for("^net: link up$")
            net.run("ping", "-c", "2", "-i", "0.1", "-w", "20", ADDR)


def test_interface_that_is_gone():
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net="tap:tap0", netns=net, append=f"ip={ADDR}/24") as guest:
            guest.wait_for(UP)
            net.ip("link del tap0")
            guest.wait_for("^net: link down$")
            assert nics(guest)[0]["link"] == "failed"
            assert "is gone" in nic(guest, "link", "net0", "up", status=1)
            assert nics(guest)[0]["link"] == "failed"


def test_what_is_refused():
    with Guest("net", net=["user", "user,id=two"], append="ip=dhcp") as guest:
        guest.wait_for(UP)
        for words, status, complaint in [
                (["limit", "net9", "rx-bps=1"], 1, "there is no nic 'net9'"),
                (["limit", "net0", "speed=1"], 2, "'speed=1' is none of rx-bps=RATE"),
                (["limit", "net0", "rx-bps"], 2, "rx-bps wants a value"),
                (["limit", "net0", "rx-bps=fast"], 2, "'fast' is not a rate"),
                (["limit", "net0", "rx-bps=2T"], 2, "out of range"),
                (["limit", "net0"], 2, "ACTION is"),
                (["link", "net9", "up"], 1, "there is no nic 'net9'"),
                (["link", "net0", "sideways"], 2, "'sideways' is neither up nor down"),
                (["link", "net0"], 2, "ACTION is"),
                (["plug"], 2, "ACTION is"),
        ]:
            assert complaint in nic(guest, *words, status=status), words
        with guest.control() as control:
            for command, arguments, complaint in [
                    ("ferry-nic-limits", {"id": "net0", "rx-bps": -1}, "must be 0 to"),
                    ("ferry-nic-limits", {"id": "net0", "rx-bps": 1 << 62}, "must be 0 to"),
                    ("ferry-nic-limits", {"id": "net0", "rx-bps": "1"}, "must be an integer"),
                    ("ferry-nic-limits", {"rx-bps": 1}, "'id' is missing"),
                    ("set_link", {"name": "x" * 300, "up": True}, "there is no nic"),
                    ("set_link", {"name": "net0"}, "'up' is missing")]:
                try:
                    control.execute(command, **arguments)
                    raise AssertionError(command)
                except ControlError as error:
                    assert complaint in str(error), error
        assert all(not any(n["limits"].values()) and n["link"] == "up" for n in nics(guest))
    with Proc(FERRY, "nic", "list", "nobody") as done:
        assert done.wait() == 1 and "nobody" in done.err.text
