# SPDX-License-Identifier: MIT
"""Managed networks: each mode with real guests, and a host that looks afterwards as before."""
import contextlib
import json
import pathlib
import re
import select
import socket
import subprocess

from ferrytest import NetHost, NetNs, each, require_tool, run, timeout, tmp_dir

UP = r"^net: up ip=(\S+)/(\d+) gw=(\S+) mac=(\S+) "
ECHO_PORT = 7
QUIT_PORT = 9999
MINUTES = 180


def wait_up(guest):
    """Until the guest has its address; returns (ip, gw, mac)."""
    found = guest.wait_for(UP, 60)
    return found[1], found[3], found[4]


def ping(netns, address, count=2):
    """Replies must come."""
    netns.run("ping", "-c", count, "-i", "0.1", "-w", "20", address)


def no_ping(netns, address):
    """None may come."""
    netns.run("sh", "-c", f"! ping -c 2 -i 0.1 -W 1 {address}")


def echo(netns, address, port=ECHO_PORT, kind=socket.SOCK_STREAM, source=None):
    """Send a line and get it back, from a socket in the namespace."""
    with netns.socket(kind) as sock:
        if source:
            sock.bind((source, 0))
        sock.connect((address, port))
        sock.sendall(b"there and back\n")
        assert sock.recv(100) == b"there and back\n"


def echo_both(netns, address, port=ECHO_PORT):
    """The same by TCP and UDP."""
    echo(netns, address, port)
    echo(netns, address, port, socket.SOCK_DGRAM)


def end(netns, address, *guests):
    """Tell a guest to end, and wait for it and others that end by themselves."""
    with netns.socket(socket.SOCK_DGRAM) as sock:
        sock.sendto(b"quit", (address, QUIT_PORT))
    for guest in guests:
        assert guest.wait(60) == 0


@contextlib.contextmanager
def same_rules(host):
    """Guests come and go; of the host's rules, files and routes nothing is left of them."""
    def rules():
        files = "".join(f"{path}\n" for path in sorted(host.state.rglob("*")))
        return host.run("nft", "list", "ruleset") + files + host.ip("neigh show proxy")

    before = rules()
    yield
    after = rules()
    assert before == after, f"before:\n{before}\nafter:\n{after}"


@contextlib.contextmanager
def network(host, name, mode, *argv):
    """A network of the host as long as the block."""
    host.net_command("create", name, "--mode", mode, *argv)
    yield
    for _ in range(50):
        # A guest that was killed is on it until the kernel has let go of its files.
        said = host.net_command("delete", name, check=False)
        if "shut them down first" not in said:
            break
        select.select([], [], [], 0.1)
    assert said == "", said


@contextlib.contextmanager
def outside(host, address="192.0.2.1/24", host_address="192.0.2.2/24"):
    """A host of the network outside, on the other end of eth1's cable."""
    with NetNs() as lan:
        host.veth("eth1", lan, "lan0", host_address, address)
        yield lan


# --- nat --------------------------------------------------------------------------
@timeout(MINUTES)
def test_nat():
    with NetHost() as host, outside(host) as lan, host.unchanged(), \
            network(host, "lab", "nat", "--ipv4", "10.253.83.1/24", "--forward",
                    "tcp:8080=web:7", "--forward", "udp:53=web:7"):
        during = host.listing()
        for words in ["fy-lab", "table inet ferry-lab", "table bridge ferry-lab",
                      "net.ipv4.ip_forward = 1", "10.253.83.1/24"]:
            assert words in during, f"{words} is missing in:\n{during}"
        with same_rules(host), host.guest("ip=dhcp", net="lab", name="web") as web, \
                host.guest("ip=dhcp", net="lab", name="db") as db:
            web_ip, gw, mac = wait_up(web)
            db_ip, _, _ = wait_up(db)
            assert gw == "10.253.83.1" and web_ip != db_ip
            nic = host.nic("lab", "web")
            assert (nic["ipv4"], nic["mac"], nic["lease"]) == (web_ip, mac, web_ip)
            listed = host.net_command("list").splitlines()
            assert listed[1].split()[:4] == ["lab", "nat", "yes", "fy-lab"], listed
            assert [line.split()[0] for line in listed[2:]] == ["db.0", "web.0"] or \
                [line.split()[0] for line in listed[2:]] == ["web.0", "db.0"], listed
            assert all(mac in line and web_ip in line and " leased " in line
                       for line in listed if "web.0" in line), listed
            echo_both(host, web_ip)
            # The host's ports lead to the guest: from outside, from the host itself, from a guest.
            echo(lan, "192.0.2.2", 8080)
            echo(lan, "192.0.2.2", 53, socket.SOCK_DGRAM)
            echo(host, "192.0.2.2", 8080)
            with host.guest(f"ip=dhcp ping=192.0.2.1 count=3 interval_ms=50 tcp_source={gw}:8080 "
                            "bytes=65536 quit=done", net="lab", name="client") as client:
                client.wait_for("^net: tcp_source .* received=65536 .*corrupt=0 end=closed", 60)
                client.wait_for("^net: ping 192.0.2.1 sent=3 received=3 ", 60)
                assert client.wait() == 0
            # Nothing else comes in: there is no route, and the host refuses who makes one.
            lan.ip("route add 10.253.83.0/24 via 192.0.2.2")
            no_ping(lan, web_ip)
            lan.ip("route del 10.253.83.0/24 via 192.0.2.2")
            end(host, db_ip, db)
            end(host, web_ip, web)


@timeout(MINUTES)
def test_nat_leaves_local_services_alone():
    with NetHost() as host, network(host, "lab", "nat", "--forward", "tcp:8080=web:7"), \
            host.guest("ip=dhcp", net="lab", name="web") as web, host.socket() as server:
        wait_up(web)
        server.bind(("127.0.0.1", 8080))
        server.listen()
        with host.socket() as client:
            client.connect(("127.0.0.1", 8080))
            server.accept()[0].close()


def names_of(host, server, name):
    """What the network's DNS says of a name; needs no resolver on this machine."""
    query = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"".join(
        bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    with host.socket(socket.SOCK_DGRAM) as sock:
        sock.connect((server, 53))
        sock.send(query)
        answer = sock.recv(512)
    return socket.inet_ntoa(answer[-4:]) if answer[6:8] == b"\0\1" else None


@timeout(MINUTES)
def test_names_and_chosen_addresses():
    with NetHost() as host, network(host, "lab", "nat", "--ipv4", "10.9.0.1/24"):
        with host.guest("ip=dhcp", net="lab,ip=10.9.0.77,mac=02:11:22:33:44:55", name="web") as web:
            assert wait_up(web)[0] == "10.9.0.77"
            assert names_of(host, "10.9.0.1", "web.lab.ferry") == "10.9.0.77"
            assert names_of(host, "10.9.0.1", "nobody.lab.ferry") is None
        # Its address is free again, for another MAC too.
        with host.guest("ip=dhcp", net="lab,ip=10.9.0.77", name="other") as other:
            assert wait_up(other)[0] == "10.9.0.77"
            with host.guest("ip=dhcp", net="lab,ip=10.9.0.77", name="third") as third:
                assert third.wait() == 1
                assert "10.9.0.77 is taken" in third.err.text
            with host.guest("ip=dhcp", net="lab,ip=10.10.0.1", name="third") as third:
                assert third.wait() == 1
                assert "not of the network" in third.err.text


# --- hostonly ---------------------------------------------------------------------
@timeout(MINUTES)
def test_hostonly():
    with NetHost() as host, outside(host) as lan, host.unchanged(), \
            network(host, "ho", "hostonly", "--ipv4", "10.5.0.1/24"), same_rules(host), \
            host.guest("ip=dhcp", net="ho", name="a") as first, \
            host.guest("ip=dhcp", net="ho", name="b") as second:
        address, gateway, _ = wait_up(first)
        other, _, _ = wait_up(second)
        assert gateway == "0.0.0.0", "a host-only guest has a default route"
        echo_both(host, address)
        echo_both(host, other)
        host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        lan.ip("route add 10.5.0.0/24 via 192.0.2.2")
        no_ping(lan, address)
        host.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=0")
        end(host, address, first)
        end(host, other, second)


# --- internal ---------------------------------------------------------------------
@timeout(MINUTES)
def test_internal():
    with NetHost() as host, host.unchanged(), network(host, "int", "internal"), same_rules(host):
        # The host is not on it, by no address at all.
        assert "inet" not in host.ip("addr show fy-int")
        with host.guest("ip=10.0.0.2/24", net="int", name="a") as first:
            wait_up(first)
            with host.guest("ip=10.0.0.3/24 ping=10.0.0.2 count=3 interval_ms=50 quit=done",
                            net="int", name="b") as second:
                second.wait_for("^net: ping 10.0.0.2 sent=3 received=3 ", 60)
                assert second.wait() == 0
        # The first one was killed: what it leaves is found.
        assert host.net_json("repair") == {"repaired": 1}


@timeout(MINUTES)
def test_internal_over_vxlan():
    with NetHost() as one, NetHost() as two:
        one.veth("eth0", two, "eth1", "192.0.2.1/24", "192.0.2.2/24")
        with one.unchanged(), two.unchanged(), \
                network(one, "int", "internal", "--vni", "7", "--peer", "192.0.2.2"), \
                network(two, "int", "internal", "--vni", "7", "--peer", "192.0.2.1"), \
                one.guest("ip=10.0.0.2/24", net="int", name="a") as first:
            wait_up(first)
            # The largest packet that the tunnel takes, which guests are told.
            with two.guest("ip=10.0.0.3/24 ping=10.0.0.2 count=20 interval_ms=20 ping_size=1422 "
                           "quit=done", net="int", name="b") as second:
                second.wait_for(r"^net: up .* mtu=1450 ", 60)
                second.wait_for(r"^net: ping .* sent=20 received=20 ", 60)
                assert second.wait() == 0
            first.stop()
            one.net_command("repair")


# --- bridge -----------------------------------------------------------------------
def give_eth1_much(host):
    """Addresses and routes of every kind that a person gives an interface."""
    for command in ["addr add 192.0.2.7/32 dev eth1", "addr add 192.0.2.8/24 brd + dev eth1",
                    "addr add 192.0.2.9/24 dev eth1 valid_lft 9000 preferred_lft 8000",
                    "addr add 2001:db8::2/64 dev eth1 nodad",
                    "route add 198.51.100.0/24 via 192.0.2.1",
                    "route add 203.0.113.0/24 dev eth1 metric 7 src 192.0.2.8 mtu 1400",
                    "route add 198.51.101.0/24 dev eth1 table 77",
                    "route add 2001:db8:1::/48 via 2001:db8::1 metric 9"]:
        host.ip(command)


@timeout(MINUTES)
def test_bridge_with_uplink():
    with NetHost() as host, outside(host) as lan:
        give_eth1_much(host)
        with host.unchanged(), network(host, "lan", "bridge", "--uplink", "eth1"):
            during = host.ip("addr show fy-lan")
            for address in ["192.0.2.2/24", "192.0.2.7/32", "192.0.2.8/24", "2001:db8::2/64"]:
                assert address in during
            assert "inet 1" not in host.ip("addr show eth1")
            routes = host.ip("route show table all") + host.ip("-6 route")
            for route in ["198.51.100.0/24 via 192.0.2.1 dev fy-lan",
                          "203.0.113.0/24 dev fy-lan scope link src 192.0.2.8 metric 7 mtu 1400",
                          "198.51.101.0/24 dev fy-lan table 77", "2001:db8:1::/48 via 2001:db8::1"]:
                assert route in routes, routes
            ping(host, "192.0.2.1")
            with contextlib.ExitStack() as guests:
                first = guests.enter_context(host.guest("ip=192.0.2.50/24", net="lan", name="a"))
                _, _, mac = wait_up(first)
                second = guests.enter_context(host.guest(
                    "ip=192.0.2.51/24 ping=192.0.2.50 count=2 interval_ms=50 quit=done",
                    net="lan", name="b"))
                wait_up(second)
                second.wait_for("^net: ping 192.0.2.50 sent=2 received=2 ", 60)
                echo_both(lan, "192.0.2.50")
                echo_both(host, "192.0.2.50")
                # The guest is on the LAN like any other machine.
                assert mac in lan.ip("neigh show 192.0.2.50")
                end(lan, "192.0.2.50", first, second)
        ping(lan, "192.0.2.2")


def test_bridge_keeps_the_default_route():
    with NetHost() as host, outside(host):
        host.ip("route add default via 192.0.2.1")
        host.refused("create", "lan", "--mode", "bridge", "--uplink", "eth1",
                     words=["eth1", "only default route", "--default-route"])
        with host.unchanged(), network(host, "lan", "bridge", "--uplink", "eth1",
                                       "--default-route"):
            assert "default via 192.0.2.1 dev fy-lan" in host.ip("route")


@timeout(MINUTES)
def test_existing_bridge():
    with NetHost() as host:
        host.bridge("br7", "10.7.0.1/24")
        host.ip("link set br7 address 02:00:00:00:00:07")
        with NetNs() as lan:
            host.veth("eth7", lan, "lan0")
            host.ip("link set eth7 master br7")
            with host.unchanged(), \
                    network(host, "office", "bridge", "--bridge", "br7", "--existing"), \
                    host.guest("ip=10.7.0.2/24", net="office") as guest:
                wait_up(guest)
                echo_both(host, "10.7.0.2")
                end(host, "10.7.0.2", guest)


# --- route ------------------------------------------------------------------------
@timeout(MINUTES)
def test_route_with_one_mac_on_the_switch_port():
    """The documents' case: the switch lets one MAC in on the host's port."""
    with NetHost() as host, NetNs() as switch, NetNs() as lan:
        switch.bridge("sw")
        host.veth("eth1", switch, "port", "192.0.2.2/24")
        lan.veth("lan0", switch, "other", "192.0.2.1/24")
        for port in ("port", "other"):
            switch.ip(f"link set {port} master sw")
        mac = json.loads(host.ip("-j link show eth1"))[0]["address"]
        switch.run("nft", "table bridge security { chain c { type filter hook prerouting "
                   f"priority 0; iifname \"port\" ether saddr != {mac} counter drop; }}; }};")
        host.ip("addr add 2001:db8::2/64 dev eth1 nodad")
        lan.ip("addr add 2001:db8::1/64 dev lan0 nodad")
        with host.unchanged(), \
                network(host, "dmz", "route", "--uplink", "eth1", "--ipv4", "192.0.2.2/24"):
            with same_rules(host), \
                    host.guest("ip=dhcp", net="dmz,ip=192.0.2.60", name="a") as first, \
                    host.guest("ip=dhcp ping=192.0.2.1 count=3 interval_ms=50 quit=done",
                               net="dmz,ip=192.0.2.61", name="b") as second:
                assert wait_up(first)[0] == "192.0.2.60"
                assert wait_up(second)[0] == "192.0.2.61"
                second.wait_for("^net: ping 192.0.2.1 sent=3 received=3 ", 60)
                echo_both(lan, "192.0.2.60")
                echo_both(host, "192.0.2.60")
                for address in ("192.0.2.60", "192.0.2.61"):
                    assert mac in lan.ip(f"neigh show {address}")
                assert "192.0.2.60 dev fy-dmz" in host.ip("route")
                assert "packets 0 bytes 0" in switch.run("nft", "list", "ruleset")
                end(lan, "192.0.2.60", first, second)


# --- all of them ------------------------------------------------------------------
def test_start_makes_what_is_defined():
    with NetHost() as host, host.unchanged():
        for name in ("one", "two"):
            host.net_command("create", name, "--mode", "hostonly")
        texts = {path: path.read_text(encoding="ascii") for path in host.defs.glob("*.json")}
        for name in ("one", "two"):
            host.net_command("delete", name)
        for path, text in texts.items():
            path.write_text(text, encoding="ascii")
        host.net_command("start")
        assert [network["up"] for network in host.net_json("list")] == [True, True]
        for name in ("one", "two"):
            host.net_command("delete", name)


@each(unit=[("ferry-networks.service", "net start"), ("ferry@.service", "run --name %i ")])
def test_units_are_installed_and_right(unit):
    require_tool("systemd-analyze", "make")
    name, words = unit
    with tmp_dir() as folder:
        run("make", "install", f"DESTDIR={folder}", timeout_s=60)
        path = next(pathlib.Path(folder).rglob(name))
        text = path.read_text(encoding="ascii")
        program = re.search(rf"^ExecStart=(\S+) {words}", text, re.M)[1]
        assert pathlib.Path(f"{folder}{program}").exists()
        # The program is not there on this machine: the one below DESTDIR is.
        path.write_text(text.replace(program, f"{folder}{program}"), encoding="ascii")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], check=False,
                              capture_output=True, text=True, timeout=60)
        # What is unknown to it is told, but no failure.
        assert done.returncode == 0 and name not in done.stderr, done.stderr


@timeout(MINUTES)
def test_isolated_guests():
    with NetHost() as host, network(host, "lab", "nat", "--isolated"), \
            host.guest("ip=dhcp", net="lab", name="a") as first:
        address, gateway, _ = wait_up(first)
        with host.guest(f"ip=dhcp ping={address} interval_ms=50 time=2", net="lab",
                        name="b") as second:
            second.wait_for(r"^net: ping .* received=0 ", 60)
        with host.guest(f"ip=dhcp ping={gateway} count=2 interval_ms=50 quit=done", net="lab",
                        name="c") as third:
            third.wait_for(r"^net: ping .* sent=2 received=2 ", 60)
        end(host, address, first)


@contextlib.contextmanager
def ipv6_client(host, bridge):
    """A kernel that knows IPv6 on a port of the bridge; its global address, from the prefix."""
    with NetNs() as client:
        host.veth("port6", client, "eth0")
        host.ip(f"link set port6 master {bridge}")
        client.run("timeout", "30", "sh", "-c",
                   "until ip -6 addr show dev eth0 scope global -tentative | grep -q inet6; "
                   "do :; done", timeout_s=40)
        text = client.ip("-6 addr show dev eth0 scope global")
        yield client, re.search(r"inet6 ([0-9a-f:]+)/64", text)[1]
        host.ip("link del port6")


@timeout(MINUTES)
def test_ipv6_in_nat_mode():
    with NetHost() as host, outside(host) as lan:
        host.ip("addr add 2001:db8::2/64 dev eth1 nodad")
        lan.ip("addr add 2001:db8::1/64 dev lan0 nodad")
        with network(host, "lab", "nat", "--ipv6", "fd00:9::1/64"), \
                ipv6_client(host, "fy-lab") as (client, address):
            assert address.startswith("fd00:9:")
            client.run("ping", "-6", "-c", "2", "-i", "0.1", "-w", "20", "2001:db8::1")
            assert "default via fe80::" in client.ip("-6 route")


@timeout(MINUTES)
def test_ipv6_in_hostonly_mode():
    with NetHost() as host, network(host, "ho", "hostonly", "--ipv6", "fd00:9::1/64"), \
            ipv6_client(host, "fy-ho") as (client, address):
        assert address.startswith("fd00:9:")
        client.run("ping", "-6", "-c", "2", "-i", "0.1", "-w", "20", "fd00:9::1")
        assert "default" not in client.ip("-6 route")
