# SPDX-License-Identifier: MIT
"""IPv6 of networks: addresses, routes and proxies, tried by a kernel in a guest's place.

A real guest joins, so that all that belongs to its nic is there. Then a cable to a namespace
takes the place, and the name, of its tap: the kernel at the other end has the guest's MAC,
hears router advertisements, and makes its address as any Linux guest does.
"""
import contextlib
import re
import socket
import struct

from ferrytest import Guest, NetHost, NetNs, each, timeout

MINUTES = 180
LAN = "2001:db8::1"
ECHO_PORT = 7777


@contextlib.contextmanager
def in_place_of(host, guest, number=0, router=True):
    """The kernel that is in the place of that guest, on the network lab; its namespace."""
    guest.wait_for("^idle ready", 60)
    tap, mac = (host.nic("lab", guest.name)[key] for key in ("tap", "mac"))
    with NetNs() as client:
        host.ip(f"link set {tap} nomaster down")
        host.ip(f"link set {tap} name was{number}")
        host.ip(f"link add {tap} type veth peer name eth0")
        host.run("sysctl", "-q", "-w", f"net.ipv6.conf.{tap}.disable_ipv6=1")
        host.ip(f"link set eth0 address {mac} netns {client.path()}")
        host.ip(f"link set {tap} master fy-lab up")
        client.bring_up("eth0")
        client.run("timeout", "30", "sh", "-c",
                   "until ip -6 addr show dev eth0 scope global -tentative | grep -q inet6 && "
                   f"ip -6 route | grep -q {'default' if router else 'eth0'}; do :; done",
                   timeout_s=40)
        yield client
        host.ip(f"link del {tap}")


def idle(host, name, words):
    """A guest that only joins."""
    return Guest("idle", net=f"lab{words}", name=name, netns=host, runtime=host.runtime,
                 env=host.env)


def address_of(client):
    """What it has made of the prefix."""
    return re.search(r"inet6 (\S+)/", client.ip("-6 addr show dev eth0 scope global"))[1]


def ping(netns, address, source=None):
    """Replies must come."""
    words = ["-I", source] if source else []
    netns.run("ping", "-6", "-c", "2", "-i", "0.1", "-w", "20", *words, address)


def exchange(server_ns, address, client_ns, kind):
    """A line from one to the other and back, by TCP or UDP."""
    with server_ns.socket(kind, family=socket.AF_INET6) as server, \
            client_ns.socket(kind, family=socket.AF_INET6) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, ECHO_PORT))
        if kind == socket.SOCK_STREAM:
            server.listen()
        client.connect((address, ECHO_PORT))
        client.sendall(b"there")
        if kind == socket.SOCK_STREAM:
            with server.accept()[0] as peer:
                peer.sendall(peer.recv(100) + b" and back")
        else:
            text, sender = server.recvfrom(100)
            server.sendto(text + b" and back", sender)
        assert client.recv(100) == b"there and back"


def exchange_all(one, one_address, other, other_address):
    """TCP and UDP, each end the server once."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        exchange(one, one_address, other, kind)
        exchange(other, other_address, one, kind)


def option(code, data):
    """RFC 8415, 21.1."""
    return struct.pack(">HH", code, len(data)) + data


def dhcpv6(client, mac):
    """Ask for an address as RFC 8415, 18.2 says: solicit, request; what was given."""
    duid = option(1, struct.pack(">HH", 3, 1) + bytes.fromhex(mac.replace(":", "")))
    wish = option(3, struct.pack(">III", 1, 0, 0)) + option(8, b"\0\0")
    index = int(re.match(r"(\d+):", client.ip("link show eth0"))[1])
    with client.socket(socket.SOCK_DGRAM, family=socket.AF_INET6) as sock:
        sock.bind(("::", 546, 0, 0))
        server = b""
        for kind, answer_kind in ((1, 2), (3, 7)):
            sock.sendto(bytes([kind, 0, 0, kind]) + duid + server + wish,
                        ("ff02::1:2", 547, 0, index))
            answer = sock.recv(1500)
            while answer[:4] != bytes([answer_kind, 0, 0, kind]):
                answer = sock.recv(1500)
            server = option(2, options_of(answer[4:])[2])
        lease = options_of(options_of(answer[4:])[3][12:])[5]
        return socket.inet_ntop(socket.AF_INET6, lease[:16])


def options_of(data):
    """{code: data}."""
    found = {}
    while data:
        code, size = struct.unpack(">HH", data[:4])
        found[code], data = data[4:4 + size], data[4 + size:]
    return found


@contextlib.contextmanager
def one_mac_switch(host):
    """A switch that lets eth1's MAC in on the host's port and no other; lan0 is another port."""
    with NetNs() as switch, NetNs() as lan:
        switch.bridge("sw")
        host.veth("eth1", switch, "port", "192.0.2.2/24")
        lan.veth("lan0", switch, "other", "192.0.2.1/24")
        for port in ("port", "other"):
            switch.ip(f"link set {port} master sw")
        mac = host.ip("link show eth1").split("link/ether ")[1].split()[0]
        switch.run("nft", "table bridge security { chain c { type filter hook prerouting "
                   f"priority 0; iifname \"port\" ether saddr != {mac} counter drop; }}; }};")
        host.ip("addr add 2001:db8::2/64 dev eth1 nodad")
        lan.ip(f"addr add {LAN}/64 dev lan0 nodad")
        yield lan, mac
        assert "packets 0 bytes 0" in switch.run("nft", "list", "ruleset")


@timeout(MINUTES)
def test_route_behind_a_switch_that_allows_one_mac():
    """RFC 4389's scenario: the host answers for its guests, and nobody sees their MACs."""
    with NetHost() as host, one_mac_switch(host) as (lan, mac), host.unchanged():
        host.net_command("create", "lab", "--mode", "route", "--uplink", "eth1", "--ipv4",
                         "192.0.2.2/24", "--ipv6", "2001:db8::2/64")
        with idle(host, "a", ",ip=192.0.2.60") as first, \
                idle(host, "b", ",ip=192.0.2.61") as second, \
                in_place_of(host, first) as one, in_place_of(host, second, 1) as other:
            addresses = [address_of(one), address_of(other)]
            assert addresses == [host.nic("lab", name)["ipv6"] for name in ("a", "b")]
            for address, client in zip(addresses, (one, other)):
                ping(client, LAN)
                ping(lan, address)
                assert mac in lan.ip(f"-6 neigh show {address}")
                exchange_all(lan, LAN, client, address)
            # Nobody is told to be on the link: whatever it is, the host passes it on.
            ping(one, addresses[1])
            assert "2001:db8::/64" not in one.ip("-6 route")
        host.net_command("repair")
        host.net_command("delete", "lab")


@each(mode=["nat", "route", "hostonly"])
@timeout(MINUTES)
def test_fixed_address_by_dhcpv6(mode):
    """ip6= is handed out, and works beside what the guest makes itself."""
    uplink = ["--uplink", "eth1", "--ipv4", "192.0.2.2/24"] if mode == "route" else []
    fixed, router = "2001:db8::60", "2001:db8::2" if mode == "route" else "2001:db8:0:9::1"
    if mode != "route":
        fixed = "2001:db8:0:9::60"
    with NetHost() as host, one_mac_switch(host) as (lan, _), host.unchanged():
        host.net_command("create", "lab", "--mode", mode, *uplink, "--ipv6", f"{router}/64")
        words = ",ip=192.0.2.60" if mode == "route" else ""
        with idle(host, "a", f"{words},ip6={fixed}") as first, \
                in_place_of(host, first, router=mode != "hostonly") as client:
            nic = host.nic("lab", "a")
            assert nic["ipv6"] == fixed
            assert dhcpv6(client, nic["mac"]) == fixed
            own = address_of(client)
            client.ip(f"-6 addr add {fixed}/128 dev eth0 nodad")
            for source in (own, fixed):
                ping(client, router, source)
                if mode == "hostonly":
                    continue
                ping(client, LAN, source)
            if mode == "route":
                for address in (own, fixed):
                    ping(lan, address)
                exchange_all(lan, LAN, client, fixed)
            # Nobody else gets it.
            with idle(host, "b", f"{words.replace('60', '61')},ip6={fixed}") as second:
                assert second.wait() == 1
                assert f"address {fixed} is taken" in second.err.text
            with idle(host, "b", f"{words.replace('60', '61')},ip6={own}") as second:
                assert second.wait() == 1
                assert f"address {own} is taken" in second.err.text
        host.net_command("repair")
        host.net_command("delete", "lab")
