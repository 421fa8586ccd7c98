# SPDX-License-Identifier: MIT
"""Managed networks whose makers are killed, refused or disturbed at every step."""
import json
import os
import select
import signal
import socket

from ferrytest import Guest, NetHost, NetNs, each, timeout

UP = r"^net: up ip=(\S+)/\d+ "
MINUTES = 300
MAX_STEPS = 60

# One network of each mode, with all that it can have.
MODES = {
    "nat": ["--mode", "nat", "--forward", "tcp:8080=g:7"],
    "hostonly": ["--mode", "hostonly"],
    "internal": ["--mode", "internal", "--vni", "9", "--peer", "192.0.2.1"],
    "bridge": ["--mode", "bridge", "--uplink", "eth1"],
    "route": ["--mode", "route", "--uplink", "eth1", "--ipv4", "192.0.2.2/24", "--ipv6",
              "2001:db8::2/64"],
}


class Host(NetHost):
    """A NetHost with a cable to outside on eth1."""

    def __init__(self):
        super().__init__()
        self.lan = NetNs()
        self.veth("eth1", self.lan, "lan0", "192.0.2.2/24", "192.0.2.1/24")
        self.ip("route add 198.51.100.0/24 via 192.0.2.1")

    def close(self):
        super().close()
        self.lan.close()


def fault(what):
    """The environment of a process to which it happens."""
    return {"FERRY_NET_FAULT": what}


def nr_operations(host, journal):
    """How many a journal has."""
    lines = (host.state / journal).read_text(encoding="ascii").splitlines()
    return len([line for line in lines if json.loads(line)[0] != "complete"])


def forget(host, name="lab"):
    """Delete its definition, if there is one, as a person would."""
    if (host.defs / f"{name}.json").exists():
        host.net_command("delete", name)


def make_definition(host, mode):
    """The file alone: the network is not up."""
    host.net_command("create", "lab", *MODES[mode])
    text = (host.defs / "lab.json").read_text(encoding="ascii")
    steps = nr_operations(host, "lab.journal")
    host.net_command("delete", "lab")
    return text, steps


@each(mode=list(MODES))
@timeout(MINUTES)
def test_create_fails_at_every_step(mode):
    with Host() as host:
        _, steps = make_definition(host, mode)
        assert 0 < steps < MAX_STEPS
        with host.unchanged():
            for step in range(1, steps + 1):
                with host.start_net_command("create", "lab", *MODES[mode],
                                            env=fault(f"fail@lab.journal:{step}")) as command:
                    assert command.wait() == 1
                    assert "a fault was asked for" in command.err.text
                assert not list(host.defs.iterdir()) and not (host.state / "lab.journal").exists()


@each(mode=list(MODES))
@timeout(MINUTES)
def test_create_is_killed_at_every_step(mode):
    with Host() as host:
        _, steps = make_definition(host, mode)
        with host.unchanged():
            for step in range(1, steps + 1):
                with host.start_net_command("create", "lab", *MODES[mode],
                                            env=fault(f"kill@lab.journal:{step}")) as command:
                    assert command.wait() == -signal.SIGKILL
                # Any command sees to it: list, or the next one that needs the network.
                host.net_command("list")
                assert not (host.state / "lab.journal").exists()
                forget(host)


@each(mode=list(MODES))
@timeout(MINUTES)
def test_delete_is_killed_at_every_step(mode):
    with Host() as host:
        _, steps = make_definition(host, mode)
        with host.unchanged():
            for step in range(steps, 0, -1):
                host.net_command("create", "lab", *MODES[mode])
                with host.start_net_command("delete", "lab",
                                            env=fault(f"kill@lab.journal:-{step}")) as command:
                    assert command.wait() == -signal.SIGKILL
                assert host.net_json("show", "lab")["up"] is False
                forget(host)


@timeout(MINUTES)
def test_guest_fails_and_is_killed_while_it_joins():
    with Host() as host, host.unchanged():
        host.net_command("create", "lab", *MODES["route"])
        with host.guest("ip=dhcp", net="lab,ip=192.0.2.50") as guest:
            guest.wait_for(UP, 60)
            steps = nr_operations(host, "lab@g.0.journal")
            guest.signal(signal.SIGKILL)
            guest.wait()
        host.net_command("repair")
        before = host.run("nft", "list", "ruleset") + host.ip("neigh show proxy")
        for step in range(1, steps + 1):
            for action, words in [("fail", "a fault was asked for"), ("kill", "has ended")]:
                with Guest("net", net="lab,ip=192.0.2.50", name="g", netns=host,
                           runtime=host.runtime,
                           env={**host.env, **fault(f"{action}@lab@g.0.journal:{step}")}) as guest:
                    assert guest.wait() == 1 and words in guest.err.text, guest.err.text
                host.net_command("repair")
                assert not list(host.state.glob("lab@*")) + list(host.state.glob("lab=*"))
                assert before == host.run("nft", "list", "ruleset") + host.ip("neigh show proxy")
        host.net_command("delete", "lab")


@timeout(MINUTES)
def test_a_guest_that_was_killed_leaves_nothing():
    with Host() as host, host.unchanged():
        host.net_command("create", "lab", *MODES["nat"])
        with host.guest("ip=dhcp", net="lab") as guest:
            address = guest.wait_for(UP, 60)[1]
            guest.signal(signal.SIGKILL)
            guest.wait()
            # Its name, MAC and address are free at once.
            with host.guest("ip=dhcp", net="lab") as again:
                assert again.wait_for(UP, 60)[1] == address
        # The guest's ferry-net or this command, whoever comes first.
        assert host.net_json("repair")["repaired"] <= 1
        assert host.net_json("repair") == {"repaired": 0}
        host.net_command("delete", "lab")


def echo(netns, address):
    """The guest answers."""
    with netns.socket(socket.SOCK_STREAM) as sock:
        sock.connect((address, 7))
        sock.sendall(b"hello")
        assert sock.recv(10) == b"hello"


@each(how=["bridge", "rules", "dnsmasq", "forwarding", "address", "port"])
@timeout(MINUTES)
def test_what_others_destroy_is_put_right(how):
    with Host() as host, host.unchanged():
        host.net_command("create", "lab", *MODES["nat"])
        with host.guest("ip=dhcp", net="lab") as guest:
            address = guest.wait_for(UP, 60)[1]
            rules = host.run("nft", "list", "ruleset")
            if how == "bridge":
                host.ip("link del fy-lab")
            elif how == "rules":
                host.run("nft", "flush", "ruleset")
            elif how == "dnsmasq":
                pid = host.pid_of_dnsmasq("lab")
                pidfd = os.pidfd_open(pid)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [])
                os.close(pidfd)
            elif how == "forwarding":
                host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
            elif how == "address":
                host.ip("addr flush dev fy-lab")
            else:
                host.ip("link set ferry0 nomaster")
            assert host.net_json("repair")["repaired"] > 0
            assert host.net_json("repair")["repaired"] == 0
            assert sorted(rules.splitlines()) == sorted(
                host.run("nft", "list", "ruleset").splitlines())
            echo(host, address)
            with host.guest("ip=dhcp", net="lab", name="other") as other:
                echo(host, other.wait_for(UP, 60)[1])
        host.net_command("repair")
        host.net_command("delete", "lab")


@timeout(MINUTES)
def test_two_make_the_same_network_at_once():
    with Host() as host, host.unchanged():
        text, _ = make_definition(host, "nat")
        (host.defs / "lab.json").write_text(text, encoding="ascii")
        with host.guest("ip=dhcp", net="lab", name="a") as first, \
                host.guest("ip=dhcp", net="lab", name="b") as second:
            addresses = {guest.wait_for(UP, 60)[1] for guest in (first, second)}
            assert len(addresses) == 2
            assert len(host.net_json("show", "lab")["nics"]) == 2
        host.net_command("delete", "lab")
        commands = [host.start_net_command("create", "lab", *MODES["nat"]) for _ in range(4)]
        assert sorted(command.wait() for command in commands) == [0, 1, 1, 1]
        for command in commands:
            assert not command.err.text or "exists already" in command.err.text
            command.stop()
        host.net_command("delete", "lab")


def test_a_network_with_guests_stays():
    with Host() as host, host.unchanged():
        host.net_command("create", "lab", *MODES["nat"])
        with host.guest("ip=dhcp", net="lab") as guest:
            guest.wait_for(UP, 60)
            with host.start_net_command("delete", "lab") as command:
                assert command.wait() == 1
                assert "1 nic is of guests on it (g.0)" in command.err.text
        host.net_command("delete", "lab")
