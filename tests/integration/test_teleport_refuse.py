# SPDX-License-Identifier: MIT
"""What a destination refuses, before anything is sent, and who is let in by TLS."""
import os

from ferrytest import Keys, Lab, Receive, each
from ferrytest.moves import DIRTY, check_result, dirty_goes_on, lab_with, stays

SYSTEM_CAS = "/etc/ssl/certs/ca-certificates.crt"


def refused(lab, receive, why):
    """The source says why, the destination too, and nothing is left there."""
    result = lab.host1.teleport("g", receive).result()
    receive.failed()
    stays(lab, result, why)


def test_name_is_taken():
    with lab_with() as (lab, _, receive), \
            lab.host2.guest("idle", name="g", console=False) as other:
        other.wait_for("^idle ready")
        result = lab.host1.teleport("g", receive).result()
        assert result["exit_status"] == 1 and "g is running already" in str(result), result
        receive.failed()
        assert lab.host1.status("g") == lab.host2.status("g") == "running"
        dirty_goes_on(lab)


def test_limit():
    with lab_with(receive=["--limit", "1"]) as (lab, _, receive), \
            lab.host1.guest("dirty", name="first", append=DIRTY):
        lab.console("first").wait_for("^dirty pass=1 ")
        check_result(lab.host1.teleport("first", receive).result())
        copy = receive.arrived("first")
        stays(lab, lab.host1.teleport("g", receive).result(), "no more guests")
        lab.host2.ferry("destroy", "first")
        copy.wait()
        receive.wait_for("^guest first has ended")
        check_result(lab.host1.teleport("g", receive).result())


def test_disk_is_missing():
    with Lab() as lab:
        disk = lab.disk()
        with lab.host1.guest("dirty", append=DIRTY, disk=disk), \
                lab.host2.receive("--map", f"disk:disk0={lab.folder}/none.img") as receive:
            lab.console().wait_for("^dirty pass=1 ")
            refused(lab, receive, "none.img: No such file")
            lab.check_disk(disk, True)


def test_disk_dir():
    """A source names any file; the destination opens those of its folder, or its user's own."""
    with Lab() as lab:
        disk, inside = lab.disk(), lab.folder / "inside"
        inside.mkdir()
        with lab.host1.guest("dirty", append=DIRTY, disk=disk):
            lab.console().wait_for("^dirty pass=1 ")
            with lab.host2.receive("--disk-dir", str(inside)) as receive:
                refused(lab, receive, "disk0: no such image")
            with lab.host2.receive("--disk-dir", str(inside),
                                   "--disk-dir", str(lab.folder)) as receive:
                check_result(lab.host1.teleport("g", receive).result())
                receive.arrived("g")
                lab.check_one_copy("g", lab.host2)
                lab.check_disk(disk, True)


def test_disk_of_another_size():
    with Lab() as lab:
        disk, other = lab.disk(), lab.disk("other.img", mib=8)
        with lab.host1.guest("dirty", append=DIRTY, disk=disk), \
                lab.host2.receive("--map", f"disk:disk0={other}") as receive:
            lab.console().wait_for("^dirty pass=1 ")
            refused(lab, receive, "disk0")
            lab.check_disk(disk, True)
            lab.check_disk(other, False)


def test_disk_in_use():
    """Another guest has the disk that is meant for this one: found at the latest at the end."""
    with Lab() as lab:
        disk, other = lab.disk(), lab.disk("other.img")
        with lab.host1.guest("dirty", append=DIRTY, disk=disk), \
                lab.host2.guest("idle", name="other", disk=other) as idle, \
                lab.host2.receive("--map", f"disk:disk0={other}") as receive:
            lab.console().wait_for("^dirty pass=1 ")
            lab.console("other").wait_for("^idle ready")
            refused(lab, receive, "another guest has the image open")
            lab.check_disk(disk, True)
            assert idle.running()


def test_network_is_missing():
    with Lab() as lab:
        lab.host1.net.bridge("extra")
        with lab.host1.guest("dirty", append=DIRTY, net="tap,bridge=extra"), \
                lab.host2.receive(net_allow=["bridge"]) as receive:
            lab.console().wait_for("^dirty pass=1 ")
            refused(lab, receive, "extra")
        with lab.host1.guest("dirty", append=DIRTY, net="tap,bridge=extra"), \
                lab.host2.receive("--map", "net:net0=tap,bridge=br0") as receive:
            lab.console().wait_for("^dirty pass=1 ")
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)


@each(net=[
    ("tap,bridge=br0", [], "--net-allow bridge:br0"),
    ("tap,bridge=br0", ["bridge:br1", "tap"], "net0: bridge br0 is not allowed"),
    ("user,hostfwd=tcp:127.0.0.1:8022-:22", [], "--net-allow hostfwd"),
    ("user", ["network", "bridge"], "net0: user is not allowed")])
def test_network_is_not_allowed(net):
    """A source names any network; the destination has those that its user allows, or maps."""
    spec, rules, why = net
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY, net=spec):
        lab.console().wait_for("^dirty pass=1 ")
        with lab.host2.receive(net_allow=rules) as receive:
            refused(lab, receive, why)
        mapped = "net:net0=tap,bridge=br0" if spec.startswith("tap") else "net:net0=user"
        with lab.host2.receive("--map", mapped, net_allow=["none"]) as receive:
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)


def test_network_is_allowed_by_name():
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY, net="tap,bridge=br0"), \
            lab.host2.receive(net_allow=["bridge:br0"]) as receive:
        lab.console().wait_for("^dirty pass=1 ")
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)


def test_network_that_can_less():
    """The guest's driver uses what a tap can: known before any of its memory is sent."""
    with Lab() as lab, lab.host1.guest("net", append="ip=10.77.0.50/24", net="tap,bridge=br0"), \
            lab.host2.receive("--map", "net:net0=user") as receive:
        lab.console().wait_for("^net: up ")
        result = lab.host1.teleport("g", receive).result()
        receive.failed()
        assert "nic net0: the guest uses virtio features" in result["error"], result
        assert result["ram"]["transferred"] == 0 and lab.host1.status("g") == "running", result


def test_unknown_map():
    with lab_with(receive=["--map", "disk:disk7=/dev/null"]) as (lab, _, receive):
        refused(lab, receive, "disk7")


def test_not_allowed():
    """A second listener, for loopback alone."""
    with lab_with() as (lab, _, _), \
            Receive(listen="tcp:0.0.0.0:8003", netns=lab.host2.net, env=lab.host2.env):
        stays(lab, lab.host1.teleport("g", f"tcp:{lab.host2.address}:8003").result(),
              "does not allow")


# --- TLS ---

@each(how=["x509", "psk", "x509-without-client"])
def test_tls(how):
    with Keys() as keys:
        if how == "psk":
            there, here = keys.psk(), keys.psk()
        else:
            there = keys.options("host2")
            here = [*keys.options("host1"), "--tls-name", "host2"]
            if how != "x509":
                there, here = there[:4], here[4:]
        with lab_with(receive=there, insecure=False) as (lab, _, receive):
            check_result(lab.host1.teleport("g", receive, *here, verify=True,
                                            streams=4).result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)
            dirty_goes_on(lab)


def test_tls_is_refused():
    """Each way to be the wrong one; the right one goes through in the end."""
    with Keys() as keys:
        keys.ca("other")
        with lab_with(receive=keys.options("host2"), insecure=False) as (lab, _, receive):
            for argv, why in [
                    ([], "wants TLS"),
                    (keys.options("host1"), "not to '10.77.0.2'"),
                    ([*keys.options("host1"), "--tls-name", "host3"],
                     "made out to 'host2', not to 'host3'"),
                    ([*keys.options("host1", trust="other"), "--tls-name", "host2"],
                     "not issued by a CA of"),
                    # Whom the system trusts: a list that the command passes on, if there is one.
                    ([*keys.options("host1")[:4], "--tls-name", "host2"],
                     "not issued by a CA of" if os.path.exists(SYSTEM_CAS) else SYSTEM_CAS),
                    ([*keys.options("host1")[4:], "--tls-name", "host2"], "wants a certificate"),
                    ([*keys.options("host1", ca="other"), "--tls-name", "host2"],
                     "wants a certificate"),
                    ([*keys.options("host1", dates="expired"), "--tls-name", "host2"],
                     "certificate"),
                    (keys.psk(), "pre-shared")]:
                stays(lab, lab.host1.teleport("g", receive, *argv).result(), why)
            check_result(lab.host1.teleport("g", receive, *keys.options("host1"), "--tls-name",
                                            "host2").result())


def test_wrong_psk():
    with Keys() as keys, \
            lab_with(receive=keys.psk("there"), insecure=False) as (lab, _, receive):
        for argv, why in [(keys.psk("here"), "keys differ"),
                          (keys.psk("stranger", user="nobody"), "keys differ"),
                          (keys.options("host1"), "pre-shared"), ([], "wants TLS")]:
            stays(lab, lab.host1.teleport("g", receive, *argv).result(), why)
        check_result(lab.host1.teleport("g", receive, *keys.psk("there")).result())


def test_tls_where_there_is_none():
    with Keys() as keys, lab_with() as (lab, _, receive):
        stays(lab, lab.host1.teleport("g", receive, *keys.psk()).result(), "without TLS")


def test_key_files_that_are_bad():
    with Keys() as keys, lab_with() as (lab, _, receive):
        secret = keys.psk()[1]
        secret.chmod(0o644)
        stays(lab, lab.host1.teleport("g", receive, *keys.psk()).result(), "chmod 600")
        stays(lab, lab.host1.teleport("g", receive, "--tls-psk-file", "/nonexistent").result(),
              "/nonexistent")
