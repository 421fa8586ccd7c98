# SPDX-License-Identifier: MIT
"""What a guest can send on a managed network: forged frames, and what becomes of them.

A real guest joins, so that the rules for its nic are there. Then a cable takes the
place, and the name, of its tap: at its other end this test sends what a guest's kernel
would not. Another port of the bridge tells what got through.
"""
import contextlib
import ctypes
import socket
import struct

from ferrytest import NetHost, timeout
from ferrytest.netns import CLONE_NEWNET, in_thread, libc

UP = r"^net: up ip=(\S+)/\d+ "
ETH_P_ALL = 3
WAIT_S = 20
GATEWAY, OWN, OTHER = "10.9.0.1", "10.9.0.50", "10.9.0.51"
OWN_MAC, OTHER_MAC = bytes.fromhex("020000000050"), bytes.fromhex("020000000051")
EVERYBODY = b"\xff" * 6
ROUTER6 = "fd00:9::1"


def checksum(data):
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def ethernet(payload, kind, src=OWN_MAC, dst=EVERYBODY):
    """A frame."""
    return dst + src + struct.pack(">H", kind) + payload


def ipv4(src, dst, protocol, payload):
    """A packet."""
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                       socket.inet_aton(src), socket.inet_aton(dst))
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ipv6(src, dst, protocol, payload):
    """A packet."""
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 255) + \
        socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload


def udp(sport, dport, payload):
    """A datagram without a checksum."""
    return struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload


def icmpv6(src, dst, kind, body):
    """A packet with a right checksum."""
    head = socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst)
    message = struct.pack(">BBH", kind, 0, 0) + body
    total = checksum(head + struct.pack(">II", len(message), 58) + message)
    return ipv6(src, dst, 58, message[:2] + struct.pack(">H", total) + message[4:])


def arp(sender_ip, sender_mac=OWN_MAC, operation=2):
    """An ARP packet for Ethernet."""
    return struct.pack(">HHBBH6s4s6s4s", 1, 0x800, 6, 4, operation, sender_mac,
                       socket.inet_aton(sender_ip), EVERYBODY, socket.inet_aton(OTHER))


def advert(target, src):
    """A neighbour advertisement for everybody."""
    return icmpv6(src, "ff02::1", 136, struct.pack(">I", 0x20000000) +
                  socket.inet_pton(socket.AF_INET6, target) + b"\x02\x01" + OWN_MAC)


def packet_socket(host, name):
    """All frames of an interface of the host."""
    def make():
        if libc.setns(host.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        sock.bind((name, ETH_P_ALL))
        return sock

    made = in_thread(make)
    made.settimeout(WAIT_S)
    return made


@contextlib.contextmanager
def in_place_of(host, guest, bridge="fy-lab"):
    """Sockets to send as the guest, and to see what reaches another port."""
    guest.wait_for(UP, 60)
    host.ip("link set ferry0 nomaster")
    host.ip("link set ferry0 down")
    host.ip("link set ferry0 name was0")
    for pair in ("ferry0 type veth peer name forge0", "port1 type veth peer name sink0"):
        host.ip(f"link add {pair}")
    for name in ("ferry0", "forge0", "port1", "sink0"):
        host.run("sysctl", "-q", "-w", f"net.ipv6.conf.{name}.disable_ipv6=1")
    for port in ("ferry0", "port1"):
        host.ip(f"link set {port} master {bridge}")
    for name in ("ferry0", "forge0", "port1", "sink0"):
        host.ip(f"link set {name} up")
    with packet_socket(host, "forge0") as forge, packet_socket(host, "sink0") as sink:
        yield forge, sink
    for name in ("ferry0", "port1"):
        host.ip(f"link del {name}")


def without_tag(frame):
    """A packet socket is given a VLAN's tag beside the frame."""
    return frame[:12] + frame[16:] if frame[12:14] == b"\x81\0" else frame


def seen(forge, sink, frames):
    """Which of the frames reach the other port: {name: passed}."""
    last = ethernet(arp(OWN) + b"the last one", 0x806)
    for frame in [*frames.values(), last]:
        forge.send(frame)
    passed = set()
    while (frame := sink.recv(2000)) != last:
        passed.add(frame)
    return {name: without_tag(frame) in passed for name, frame in frames.items()}


def own_link_local(mac=OWN_MAC):
    """RFC 4291, appendix A."""
    words = bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:]
    return f"fe80::{words.hex(':', 2)}"


def own_global(mac=OWN_MAC):
    """The same in the network's prefix."""
    return own_link_local(mac).replace("fe80::", "fd00:9::")


def good_frames():
    """What a guest must be able to send."""
    return {
        "arp": ethernet(arp(OWN), 0x806),
        "arp probe": ethernet(arp("0.0.0.0", operation=1), 0x806),
        "own ipv4": ethernet(ipv4(OWN, "255.255.255.255", 17, udp(1, 2, b"x")), 0x800),
        "dhcp request": ethernet(ipv4("0.0.0.0", "255.255.255.255", 17, udp(68, 67, b"x")), 0x800),
        "own ipv6": ethernet(ipv6(own_global(), "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "own link-local": ethernet(ipv6(own_link_local(), "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "chosen link-local": ethernet(ipv6("fe80::1234", "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "own advert": ethernet(advert(own_global(), own_link_local()), 0x86dd),
        "advert of a chosen one": ethernet(advert("fe80::1234", "fe80::1234"), 0x86dd),
        "solicitation": ethernet(icmpv6("::", "ff02::1", 135, bytes(4) + socket.inet_pton(
            socket.AF_INET6, own_link_local())), 0x86dd),
    }


def bad_frames(router_link_local):
    """What it must not."""
    return {
        "other mac": ethernet(arp(OWN), 0x806, src=OTHER_MAC),
        "arp of the gateway": ethernet(arp(GATEWAY), 0x806),
        "arp of a guest": ethernet(arp(OTHER), 0x806),
        "ipv4 of a guest": ethernet(ipv4(OTHER, "255.255.255.255", 17, udp(1, 2, b"x")), 0x800),
        "ipv4 of nobody": ethernet(ipv4("8.8.8.8", "255.255.255.255", 17, udp(1, 2, b"x")), 0x800),
        "no address, no dhcp": ethernet(ipv4("0.0.0.0", "255.255.255.255", 17, udp(5, 67, b"x")),
                                        0x800),
        "dhcp server": ethernet(ipv4(OWN, "255.255.255.255", 17, udp(67, 68, b"x")), 0x800),
        "dhcpv6 server": ethernet(ipv6(own_link_local(), "ff02::1", 17, udp(547, 546, b"x")),
                                  0x86dd),
        "router advert": ethernet(icmpv6(own_link_local(), "ff02::1", 134, bytes(12)), 0x86dd),
        "redirect": ethernet(icmpv6(own_link_local(), "ff02::1", 137, bytes(36)), 0x86dd),
        "advert of the router": ethernet(advert(ROUTER6, own_link_local()), 0x86dd),
        "advert of its link-local": ethernet(advert(router_link_local, own_link_local()), 0x86dd),
        "advert of nobody": ethernet(advert("fd00:9::99", own_link_local()), 0x86dd),
        "ipv6 of the router": ethernet(ipv6(ROUTER6, "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "its link-local": ethernet(ipv6(router_link_local, "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "ipv6 of nobody": ethernet(ipv6("2001:db8::1", "ff02::1", 17, udp(1, 2, b"x")), 0x86dd),
        "in a vlan": ethernet(struct.pack(">HH", 5, 0x800) +
                              ipv4(OTHER, "255.255.255.255", 17, udp(3, 4, b"x")), 0x8100),
        "other protocol": ethernet(b"x" * 50, 0x88b5),
    }


def start(host, *words, mode="nat"):
    """A network with the guest of OWN."""
    argv = ["--ipv4", f"{GATEWAY}/24", "--ipv6", f"{ROUTER6}/64"] if mode == "nat" else []
    host.net_command("create", "lab", "--mode", mode, *argv)
    net = f"lab,mac={OWN_MAC.hex(':')}" + (f",ip={OWN}" if mode == "nat" else "")
    return host.guest(f"ip={OWN}/24", net=",".join([net, *words]))


@timeout(120)
def test_forged_frames():
    with NetHost() as host, start(host) as guest, in_place_of(host, guest) as (forge, sink):
        mac = host.ip("link show fy-lab").split("link/ether ")[1].split()[0]
        good = good_frames()
        bad = bad_frames(own_link_local(bytes.fromhex(mac.replace(":", ""))))
        result = seen(forge, sink, {**good, **bad})
        wrong = {name for name, passed in result.items() if passed != (name in good)}
        assert not wrong, wrong


@timeout(120)
def test_forged_frames_of_a_nic_without_filter():
    with NetHost() as host, start(host, "filter=off") as guest, \
            in_place_of(host, guest) as (forge, sink):
        result = seen(forge, sink, {**good_frames(), **bad_frames("fe80::99")})
        assert all(result.values()), result


@timeout(120)
def test_forged_frames_in_bridge_mode():
    with NetHost() as host, start(host, mode="bridge") as guest, \
            in_place_of(host, guest) as (forge, sink):
        result = seen(forge, sink, {**good_frames(), **bad_frames("fe80::99")})
        dropped = {name for name, passed in result.items() if not passed}
        assert dropped == {"other mac", "dhcp server", "dhcpv6 server", "router advert",
                           "redirect"}, dropped
