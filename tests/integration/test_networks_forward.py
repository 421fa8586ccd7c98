# SPDX-License-Identifier: MIT
"""Forwards that come and go while guests run."""
import contextlib
import json
import signal
import socket

from ferrytest import NetHost, NetNs, each, timeout

UP = r"^net: up ip=(\S+)/\d+ "
HOST, LAN = "192.0.2.2", "192.0.2.1"


@contextlib.contextmanager
def lab():
    """A host with network lab, and a client outside."""
    with NetHost() as host, NetNs() as lan:
        host.veth("eth1", lan, "lan0", f"{HOST}/24", f"{LAN}/24")
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24")
        yield host, lan
        host.net_command("delete", "lab")


@contextlib.contextmanager
def guest_of(host, name="web"):
    """A guest on lab, once it has its address."""
    with host.guest("ip=dhcp", net="lab", name=name) as guest:
        yield guest.wait_for(UP, 60)[1]


def forward(host, *words, **kwargs):
    """`ferry net forward ...`"""
    return host.net_command("forward", *words, **kwargs)


def listed(host):
    """What the definition says."""
    return json.loads(forward(host, "list", "lab", "--json"))


def echo(lan, port, kind=socket.SOCK_STREAM):
    """Through the host's port to the guest and back."""
    with lan.socket(kind) as sock:
        sock.connect((HOST, port))
        sock.sendall(b"hello")
        assert sock.recv(100) == b"hello"


def closed(lan, port):
    """Nobody listens there."""
    with lan.socket() as sock:
        try:
            sock.connect((HOST, port))
        except ConnectionRefusedError:
            return True
    return False


def maps(host):
    """The elements of the maps."""
    return "".join(host.run("nft", "list", "map", "inet", "ferry-lab", f"{kind}_forwards")
                   for kind in ("tcp", "udp"))


@timeout(120)
def test_while_the_guest_runs():
    with lab() as (host, lan):
        empty = maps(host)
        with guest_of(host):
            assert closed(lan, 8080)
            assert forward(host, "add", "lab", "tcp:8080=web:7") == ""
            forward(host, "add", "lab", "udp:53=web:7")
            echo(lan, 8080)
            echo(lan, 53, socket.SOCK_DGRAM)
            assert forward(host, "list", "lab") == "tcp:8080=web:7\nudp:53=web:7\n"
            forward(host, "delete", "lab", "tcp:8080")
            assert closed(lan, 8080)
            echo(lan, 53, socket.SOCK_DGRAM)
            assert listed(host) == ["udp:53=web:7"]
            forward(host, "add", "lab", "tcp:8081=web:7")
            assert host.net_json("repair") == {"repaired": 0}
        host.net_command("repair")
        assert maps(host) == empty
        # For who comes later, too, and to whom it belongs by then.
        with guest_of(host):
            echo(lan, 8081)
            with guest_of(host, "db"):
                forward(host, "delete", "lab", "tcp:8081=web:7")
                forward(host, "add", "lab", "tcp:8081=db:7")
                echo(lan, 8081)
                assert "10.9.0." in maps(host)


@timeout(60)
def test_a_network_that_is_down():
    with lab() as (host, lan):
        text = (host.defs / "lab.json").read_text(encoding="ascii")
        host.net_command("delete", "lab")
        (host.defs / "lab.json").write_text(text, encoding="ascii")
        with host.unchanged():
            forward(host, "add", "lab", "tcp:8080=web:7")
            assert "fy-lab" not in host.ip("link")
            forward(host, "delete", "lab", "tcp:8080=web:7")
            # As it was, to the byte.
        forward(host, "add", "lab", "tcp:8080=web:7")
        with guest_of(host):
            echo(lan, 8080)


def test_what_is_refused():
    with lab() as (host, _):
        host.net_command("create", "ho", "--mode", "hostonly")
        forward(host, "add", "lab", "tcp:8080=web:7")
        for status, word, *argv in [
                (1, "already: tcp:8080=web:7", "add", "lab", "tcp:8080=db:9"),
                (1, "has no forward", "delete", "lab", "udp:8080"),
                (1, "there is none", "add", "none", "tcp:1=a:1"),
                (2, "nat only", "add", "ho", "tcp:1=a:1"),
                (2, "write tcp|udp", "add", "lab", "tcp:0=a:1"),
                (2, "none of add", "move", "lab", "tcp:1=a:1"),
                (2, "NAME RULE", "add", "lab"), (2, "NAME", "list", "lab", "x"),
                (2, "NAME", "list")]:
            host.refused("forward", *argv, words=[word], status=status)
        host.net_command("delete", "ho")


@each(how=["fail add", "kill add", "kill delete"])
@timeout(120)
def test_disturbed(how):
    """All as before, or what the definition says after a repair."""
    what, action = how.split()
    with lab() as (host, lan), guest_of(host):
        forward(host, "add", "lab", "tcp:8080=web:7")
        journal = (host.state / "lab@web.0.journal").read_text(encoding="ascii").splitlines()
        nr_ops = len([line for line in journal if json.loads(line)[0] != "complete"])
        step = nr_ops + 1 if action == "add" else -nr_ops
        rule = "udp:8080=web:7" if action == "add" else "tcp:8080=web:7"
        with host.start_net_command("forward", action, "lab", rule, env={
                "FERRY_NET_FAULT": f"{what}@lab@web.0.journal:{step}"}) as command:
            status = command.wait()
        assert status == (1 if what == "fail" else -signal.SIGKILL), command.err.text
        host.net_command("repair")
        assert listed(host) == ["tcp:8080=web:7"]
        echo(lan, 8080)
        assert maps(host).count(" . 7") == 1
        assert host.net_json("repair") == {"repaired": 0}
