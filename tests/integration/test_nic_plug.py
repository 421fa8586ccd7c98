# SPDX-License-Identifier: MIT
"""Nics that come to a running guest, and go again, with all that they are on the host."""
import collections
import contextlib
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct

from ferrytest import (Guest, Lab, NetHost, NetNs, Proc, Restored, each, fds, free_port, links,
                       timeout, tmp_dir, vanishes)
from ferrytest.control import ControlError
from ferrytest.leaks import mapped_kib
from ferrytest.moves import check_result
from ferrytest.netns import in_thread
from ferrytest.paths import FERRY

HOST, ADDR = "10.77.0.1", "10.77.0.2"
UP = r"^net: up ip="
TUNSETIFF, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 0x0002, 0x1000, 0x4000
ROUNDS = 50
RAM_BYTES = 64 << 20  # of each guest here


def nic(guest, net, *words, status=0, env=None):
    """`ferry nic ACTION NAME ...`: what it printed, or its one line of complaint."""
    action, *rest = words
    with Proc(FERRY, "nic", action, guest.name, *rest, netns=net,
              env={"XDG_RUNTIME_DIR": str(guest.runtime), **(env or {})}) as done:
        assert done.wait() == status, (words, done.err.text)
        assert status == 0 or len(done.err.text.splitlines()) == 1, done.err.text
        return done.err.text if status else done.out.text.strip()


def nics(guest):
    """{id: what ferry-nics says of it}"""
    with guest.control() as control:
        return {one["id"]: one for one in control.execute("ferry-nics")}


def detach(guest, net, name):
    """By force: these guests know nothing of hotplug."""
    left = nic(guest, net, "detach", name, "--force", "--json")
    assert json.loads(left) == {"id": name}
    assert name not in nics(guest)


@contextlib.contextmanager
def guest_on_tap(net, **kwargs):
    """The net guest with its first nic on tap0, which answers pings."""
    net.tap("tap0", f"{HOST}/24")
    with Guest("net", net="tap:tap0", netns=net, append=f"ip={ADDR}/24", **kwargs) as guest:
        guest.wait_for(UP)
        yield guest


@contextlib.contextmanager
def pinging(net):
    """The first nic is used meanwhile, and loses nothing."""
    with net.proc("ping", "-i", "0.02", "-W", "10", ADDR) as ping:
        ping.wait_for("icmp_seq=3 ")
        yield
        ping.signal(signal.SIGINT)
        ping.wait()
        # The last ones are on their way.
        seen = sorted(map(int, re.findall(r"icmp_seq=(\d+) ttl", ping.out.text)))
        assert seen == list(range(1, len(seen) + 1)), seen


# --- taps -------------------------------------------------------------------------
@each(spec=["tap:web1", "tap:web1,bridge=br0", "bridge:br0,queues=4", "tap"])
def test_tap(spec):
    with NetNs() as net:
        net.bridge("br0")
        with guest_on_tap(net) as guest, pinging(net):
            before = links(net)
            assert nic(guest, net, "attach", spec) == "net1"
            found = nics(guest)["net1"]
            assert found["net"] == spec.split(",", maxsplit=1)[0] and found["link"] == "up"
            assert found["slot"] != nics(guest)["net0"]["slot"]
            assert links(net) - before == {found["host_interface"]}
            assert len(found["queues"]) == (4 if "queues=4" in spec else 1)
            shown = net.ip(f"link show {found['host_interface']}")
            assert ("master br0" in shown) == ("br0" in spec)
            detach(guest, net, "net1")
            vanishes(net, found["host_interface"])
            assert links(net) == before


@each(how=["detach", "kill", "destroy"])
def test_tap_of_others_gets_back_what_was_changed(how):
    with NetNs() as net:
        net.bridge("br0")
        net.ip("tuntap add dev tap9 mode tap vnet_hdr")
        before = net.ip("link show tap9").split(" qdisc ")[0]
        with guest_on_tap(net) as guest:
            nic(guest, net, "attach", "tap:tap9,bridge=br0,mtu=1400")
            assert "master br0" in net.ip("link show tap9")
            if how == "detach":
                detach(guest, net, "net1")
            elif how == "kill":
                guest.signal(signal.SIGKILL)
            else:
                nic_end = guest.ferry("destroy", guest.name)
                with nic_end:
                    assert nic_end.wait() == 0
            wait_for_change(lambda: "master" not in net.ip("link show tap9"))
        wait_for_change(lambda: net.ip("link show tap9").split(" qdisc ")[0] == before)


def wait_for_change(condition, timeout_s=20):
    """Until it holds: interfaces change without telling us."""
    for _ in range(timeout_s * 50):
        if condition():
            return
        select.select([], [], [], 0.02)
    raise AssertionError("it does not happen")


# --- networks and macvtap ---------------------------------------------------------
@each(mode=["nat", "hostonly"])
@timeout(120)
def test_network(mode):
    """Attached, filtered, named; all of it is taken back when the nic goes."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", mode)
        with host.guest("ip=dhcp", net="user") as guest:
            guest.wait_for(UP)
            rules = host.run("nft", "list", "ruleset")
            nic(guest, host, "attach", "lab", env=host.env)
            found, shown = nics(guest)["net1"], host.nic("lab", index=1)
            assert (found["kind"], found["network"]) == ("network", "lab")
            assert shown["mac"] == found["mac"] and shown["tap"] == found["host_interface"]
            assert list(host.state.glob("lab@g.1.journal"))
            assert found["mac"] in host.run("nft", "list", "ruleset")
            detach(guest, host, "net1")
            assert not list(host.state.glob("lab@*"))
            assert host.run("nft", "list", "ruleset") == rules
        host.net_command("delete", "lab")


@each(who=["guest", "helper", "command"])
@timeout(120)
def test_network_when_somebody_is_killed(who):
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat")
        with host.guest("ip=dhcp", net="user") as guest:
            guest.wait_for(UP)
            if who == "helper":
                step = {"FERRY_NET_FAULT": "kill@lab@g.1.journal:2"}
                assert "ferry-net has ended" in nic(guest, host, "attach", "lab", status=1,
                                                    env={**host.env, **step})
                assert host.net_json("repair") == {"repaired": 1}
                assert set(nics(guest)) == {"net0"}
            elif who == "command":
                # It waits for the guest's answer to device_add, which does not come.
                command = Proc(FERRY, "nic", "attach", "g", "lab", netns=host, env=host.env)
                with command:
                    wait_for_change(lambda: list(host.state.glob("lab@g.1.journal")))
                    guest.signal(signal.SIGSTOP)
                    command.signal(signal.SIGKILL)
                    command.wait()
                guest.signal(signal.SIGCONT)
                if "net1" in nics(guest):  # it had been faster
                    detach(guest, host, "net1")
                wait_for_change(lambda: not list(host.state.glob("lab@*")))
            else:
                nic(guest, host, "attach", "lab", env=host.env)
                assert host.nic("lab", index=1)
                guest.signal(signal.SIGKILL)
                guest.wait()
                wait_for_change(lambda: not list(host.state.glob("lab@*")))
        host.net_command("delete", "lab")


@timeout(120)
def test_step_that_fails():
    """An operation on the host is refused: one line, and nothing is left."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat")
        with host.guest("ip=dhcp", net="user") as guest:
            guest.wait_for(UP)
            for step in (1, 3, 5):
                fault = {"FERRY_NET_FAULT": f"fail@lab@g.1.journal:{step}"}
                nic(guest, host, "attach", "lab", status=1, env={**host.env, **fault})
            assert set(nics(guest)) == {"net0"} and not list(host.state.glob("lab@*"))
            nic(guest, host, "attach", "lab", env=host.env)
            detach(guest, host, "net1")
        host.net_command("delete", "lab")


@timeout(120)
def test_first_nic_goes_and_another_comes():
    """Numbers of nics in journals are those that are free, whatever place they have."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "hostonly")
        with Guest("idle", net=["lab", "lab", "user"], name="g", netns=host, env=host.env,
                   runtime=host.runtime) as guest:
            guest.wait_for("^idle ready")
            first = nics(guest)["net0"]
            detach(guest, host, "net0")
            assert not list(host.state.glob("lab@g.0.*")) and list(host.state.glob("lab@g.1.*"))
            assert nic(guest, host, "attach", "lab", env=host.env) == "net0"
            assert nics(guest)["net0"]["mac"] == first["mac"]
            assert nic(guest, host, "attach", "lab,id=more", env=host.env) == "more"
            assert {path.name for path in host.state.glob("lab@*.journal")} == {
                f"lab@g.{number}.journal" for number in (0, 1, 3)}
            for name in ("net1", "more", "net0", "net2"):
                detach(guest, host, name)
            assert not nics(guest) and not list(host.state.glob("lab@*"))
            assert nic(guest, host, "attach", "user") == "net0"
        host.net_command("delete", "lab")


@timeout(60)
def test_macvtap():
    with NetHost() as host:
        host.ip("link add eth1 up type veth peer name far")
        host.ip("link set far up")
        with host.guest("ip=dhcp", net="user") as guest, host.unchanged():
            guest.wait_for(UP)
            nic(guest, host, "attach", "macvtap:eth1,queues=2", env=host.env)
            found = nics(guest)["net1"]
            assert found["kind"] == "macvtap" and found["host_interface"] in links(host)
            detach(guest, host, "net1")


# --- user networking ----------------------------------------------------------------
def test_user():
    """A port forward opens, in a process that has no privilege, and closes."""
    port = free_port()
    with Guest("net", net="user", append="ip=dhcp") as guest:
        guest.wait_for(UP)
        nic(guest, None, "attach", f"user,hostfwd=tcp:127.0.0.1:{port}-:7,id=fwd")
        with socket.create_connection(("127.0.0.1", port), timeout=20):
            pass
        complaint = nic(guest, None, "attach", f"user,hostfwd=tcp:127.0.0.1:{port}-:7", status=1)
        assert "cannot listen there" in complaint
        detach(guest, None, "fwd")
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
        assert set(nics(guest)) == {"net0"}


def test_user_in_a_jail_without_network():
    with Guest("idle", append="tick=100", net="none", jail_net=True) as guest:
        guest.wait_for("tick=1")
        assert "--jail-net" in nic(guest, None, "attach", "user", status=1)
        assert not nics(guest)


# --- what is left ---------------------------------------------------------------------
def kinds(pid):
    """What a process has open, but for the numbers in it."""
    return collections.Counter(re.sub(r"\d+", "N", target) for target in fds(pid).values())


def threads(pid):
    """How many a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


@each(spec=["tap:web1,bridge=br0", "user"])
@timeout(300)
def test_many_rounds(spec):
    """No descriptor, thread, interface or memory is left behind, and traffic goes on."""
    with NetNs() as net:
        net.bridge("br0")
        with guest_on_tap(net) as guest, pinging(net):
            for i in range(ROUNDS):
                nic(guest, net, "attach", spec)
                detach(guest, net, "net1")
                if i == 9:
                    before = (kinds(guest.pid), threads(guest.pid), links(net))
                    kib = mapped_kib(guest.pid, RAM_BYTES, "Anonymous")
            # The connection of who asked last may still be there, or have been then.
            wait_for_change(lambda: not kinds(guest.pid) - before[0])
            assert (threads(guest.pid), links(net)) == before[1:]
            # Each nic takes 100 KiB and more; malloc gives another thread another arena.
            assert mapped_kib(guest.pid, RAM_BYTES, "Anonymous") < kib + 1024


# --- refused ----------------------------------------------------------------------------
def test_refused():
    with NetHost() as host, host.guest("ip=dhcp", net=["user", "user,id=two"], rng=True) as guest:
        guest.wait_for(UP)
        host.tap("single")
        host.ip("link add dummy0 type bridge")
        with host.unchanged():
            before = nics(guest)
            for spec, status, complaint in [
                    ("none", 1, "none"), ("tap:", 2, "missing"), ("tap:x,color=red", 2, "color"),
                    ("user,id=two", 1, "'two'"), ("user,id=a/b", 1, "id"),
                    ("user,id=" + "x" * 40, 1, "more than 31"), ("user,id=serial", 1, "serial"),
                    (f"user,mac={before['two']['mac'].upper()}", 1, "the address"),
                    ("user,mac=x", 2, "mac"),
                    ("bridge:br9", 1, "no such interface"), ("tap:t9,bridge=single", 1, "single"),
                    ("tap:lo", 1, "not a tap"), ("tap:single,queues=2", 1, "2 queue pairs"),
                    ("nowhere", 1, "nowhere"), ("macvtap:eth9", 1, "eth9"),
                    ("user,queue-size=100", 2, "power of two"), ("", 2, ""),
                    ("user,hostfwd=tcp:127.0.0.1:1-:x", 1, "hostfwd")]:
                assert complaint in nic(guest, host, "attach", spec, status=status,
                                        env=host.env), spec
            for words, status, complaint in [
                    (["detach", "net9"], 1, "net9"),
                    (["detach", "rng", "--force"], 1, "no nic 'rng'"), (["detach"], 2, "ACTION is"),
                    (["attach"], 2, "ACTION is"), (["detach", "net0", "--timeout", "x"], 2, "x")]:
                assert complaint in nic(guest, host, *words, status=status)
            after = nics(guest)
            assert set(before) == set(after)


def test_as_many_as_there_can_be():
    with Guest("net", net="user", append="ip=dhcp") as guest:
        guest.wait_for(UP)
        for _ in range(7):
            nic(guest, None, "attach", "user")
        complaint = nic(guest, None, "attach", "user", status=1)
        assert re.search("no PCI slot is free|more than 8 are not", complaint), complaint
        assert len(nics(guest)) == 8


def test_not_while_it_is_being_moved():
    with Lab() as lab, lab.host2.receive() as receive, \
            lab.host1.guest("net", net="tap,bridge=br0", append="ip=10.77.0.50/24") as guest:
        lab.console().wait_for(UP)
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        before = links(lab.host1.net)
        assert "being moved" in nic(guest, lab.host1.net, "attach", "bridge:br0", status=1)
        assert "being moved" in nic(guest, lab.host1.net, "detach", "net0", status=1)
        assert links(lab.host1.net) == before
        move.cancel()
        move.result()


# --- hostile clients --------------------------------------------------------------------
def left(control, **descriptors):
    """Leave descriptors with the guest under these names."""
    for name, fd in descriptors.items():
        request = {"execute": "getfd", "arguments": {"fdname": name}}
        socket.send_fds(control.socket, [json.dumps(request).encode() + b"\n"], [fd])
        assert control.receive() == {"return": {}}


def test_strange_requests():
    """Whatever comes with device_add: an error, and no descriptor is kept."""
    pair, stream = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET), socket.socketpair()
    with Guest("net", net="user", append="ip=dhcp") as guest, open("/dev/null", "rb") as null, \
            open("/dev/net/tun", "rb+", buffering=0) as tun, open(__file__, "rb") as file, \
            contextlib.closing(pair[0]), contextlib.closing(pair[1]), \
            contextlib.closing(stream[0]), contextlib.closing(stream[1]):
        guest.wait_for(UP)
        with guest.control() as control:
            before = kinds(guest.pid)
            for arguments, complaint in [
                    ({}, "'net' is missing"),
                    ({"net": "tap:x"}, "0 descriptors"),
                    ({"net": "tap:x", "fds": ""}, "0 descriptors"),
                    ({"net": "tap:x", "fds": "nobody"}, "'nobody' has not been found"),
                    ({"net": "tap:x", "fds": "null"}, "not the queue of a tap"),
                    ({"net": "tap:x", "fds": "tun"}, "not the queue of a tap"),
                    ({"net": "tap:x", "fds": "file"}, "not the queue of a tap"),
                    ({"net": "tap:x", "fds": "sock"}, "not the queue of a tap"),
                    ({"net": "tap:x", "fds": "null:file"}, "2 descriptors"),
                    ({"net": "tap:x", "fds": ":".join(["null"] * 20)}, "has not been found"),
                    ({"net": "tap:x", "fds": "null", "host-mtu": 1}, "must be 68 to"),
                    ({"net": "tap:x", "fds": "null", "ferry-net": "null"}, "has not been found"),
                    ({"net": "tap:x", "fds": "null", "ferry-net": "file"}, "SOCK_SEQPACKET"),
                    ({"net": "tap:x", "fds": "null", "ferry-net": "stream"}, "SOCK_SEQPACKET"),
                    ({"net": "tap:x", "fds": "null", "lock": "file"}, "ferry-net's lock"),
                    ({"net": "tap:x", "fds": "file", "ferry-net": "sock", "lock": "null"},
                     "ferry-net's lock"),
                    ({"net": "user", "fds": "null"}, "takes no descriptors"),
                    ({"net": "user", "ferry-net": "sock"}, "takes no descriptors"),
                    ({"net": "user", "number": 0}, "another nic"),
                    ({"net": "user", "number": 8}, "must be 0 to 7"),
                    ({"net": "user", "mac": "x,queues=2"}, "address of a nic"),
                    ({"net": "user", "id": "x,queues=2"}, "id"),
                    ({"net": "none"}, "none"),
                    ({"net": "user," + "," * 30000}, "property"),
                    ({"net": "user", "driver": "virtio-blk-pci", "path": "/etc/passwd"}, ""),
                    ({"net": "user", "driver": "virtio-rng-pci"}, "is not for"),
            ]:
                left(control, null=null.fileno(), tun=tun.fileno(), file=file.fileno(),
                     sock=pair[0].fileno(), stream=stream[0].fileno())
                try:
                    control.execute("device_add", **{"driver": "virtio-net-pci", **arguments})
                    raise AssertionError(arguments)
                except ControlError as error:
                    assert complaint in str(error), (arguments, str(error))
            for name in ("null", "tun", "file", "sock", "stream"):
                control.execute("closefd", fdname=name)
            assert kinds(guest.pid) == before
            assert [one["id"] for one in control.execute("ferry-nics")] == ["net0"]


def test_helper_that_never_ends():
    """A socket that nobody answers on keeps neither the guest nor its end for long."""
    with NetNs() as net, guest_on_tap(net) as guest:
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        net.tap("tap9")
        with guest.control() as control, contextlib.closing(pair[0]), contextlib.closing(pair[1]):
            with open_tap(net, "tap9") as tap:
                left(control, queue=tap, helper=pair[0].fileno())
            added = control.execute("device_add", driver="virtio-net-pci", net="tap:tap9",
                                    fds="queue", **{"ferry-net": "helper"})
            assert added["id"] == "net1"
            pair[0].close()
            control.execute("device_del", id="net1", force=True)
            assert control.wait_event("DEVICE_DELETED")["data"]["device"] == "net1"
            with pinging(net):
                assert pair[1].recv(1) == b""  # it was told
            pair[1].close()
            assert control.wait_event("NIC_RELEASED")["data"] == {"id": "net1"}


@contextlib.contextmanager
def open_tap(net, name):
    """A queue of an interface that is there."""
    def make():
        net.enter()
        queue = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(queue, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        return queue
    queue = in_thread(make)
    yield queue
    os.close(queue)


# --- moved ------------------------------------------------------------------------------
def test_save_and_restore():
    """The nic that came later is part of the guest: same slot, same address, its own tap."""
    with tmp_dir() as folder, NetNs() as net:
        net.bridge("br0")
        with guest_on_tap(net, runtime=folder) as guest:
            nic(guest, net, "attach", "user,id=gone")
            nic(guest, net, "attach", "tap:web1,bridge=br0,tx-pps=5k,id=late")
            detach(guest, net, "gone")
            before = nics(guest)["late"]
            guest.save(folder / "g.ferry")
            guest.wait()
        vanishes(net, "web1")
        with Restored(folder / "g.ferry", netns=net, runtime=folder) as guest:
            net.run("ping", "-c", "2", "-i", "0.1", "-w", "20", ADDR)
            after = nics(guest)["late"]
            assert set(nics(guest)) == {"net0", "late"}
            for key in ("mac", "slot", "host_interface", "limits", "bridge"):
                assert after[key] == before[key], key
            detach(guest, net, "late")
            vanishes(net, "web1")


def test_teleport():
    """--map gives it another place, --net-allow is asked, and it is announced there."""
    with Lab() as lab, \
            lab.host1.guest("net", net="tap,bridge=br0", append="ip=10.77.0.50/24") as guest:
        lab.console().wait_for(UP)
        lab.host2.net.bridge("br1")
        nic(guest, lab.host1.net, "attach", "bridge:br0,id=late")
        mac = nics(guest)["late"]["mac"]
        with lab.host2.receive(net_allow=["bridge:br1"]) as receive:
            result = lab.host1.teleport("g", receive).result()
            assert result["status"] != "completed" and "net-allow" in result["error"]
        with lab.host2.receive("--map", "net:late=bridge:br1") as receive:
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            with lab.host2.control() as control:
                late = control.execute("ferry-nics")[1]
            assert (late["id"], late["mac"], late["bridge"]) == ("late", mac, "br1")
            shown = lab.host2.net.ip(f"link show {late['host_interface']}")
            assert "master br1" in shown
            assert links(lab.host1.net) == {"lo", "br0", "up0"}
