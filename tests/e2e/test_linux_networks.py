# SPDX-License-Identifier: MIT
"""Linux on managed networks: its DHCP client, names, TCP and UDP both ways, ssh, IPv6."""
import contextlib
import re
import socket

from ferrytest import (BOOT_S, Guest, NetHost, NetNs, PROMPT, linux_guest, timeout)

MINUTES = 400
LAN, LAN6, PORT = "192.0.2.1", "2001:db8::1", 7777


@contextlib.contextmanager
def host_and_lan():
    """A host with eth1, and a machine at the other end of its cable."""
    with NetHost() as host, NetNs() as lan:
        host.veth("eth1", lan, "lan0", "192.0.2.2/24", f"{LAN}/24")
        host.ip("addr add 2001:db8::2/64 dev eth1 nodad")
        lan.ip(f"addr add {LAN6}/64 dev lan0 nodad")
        yield host, lan


@contextlib.contextmanager
def linux_on(host, net, config="dhcp"):
    """Linux on network lab, with its address and a shell."""
    linux = linux_guest()
    with Guest(linux.kernel, initrd=linux.initrd, append=f"{linux.cmdline} net={config}",
               net=f"lab{net}", name="web", netns=host, runtime=host.runtime,
               env=host.env) as guest:
        guest.wait_for(PROMPT, BOOT_S)
        guest.wait_for(r"guest: eth0 has \S+/\d+\r?\n", BOOT_S)
        yield guest
        guest.write("poweroff\n")
        assert guest.wait(BOOT_S) == 0


def answers(guest, command, pattern):
    """Type it; what it prints on a line of its own."""
    guest.write(command + "\n")
    return guest.wait_for(rf"^{pattern}\r?\n", BOOT_S)


def guest_calls(guest, lan):
    """The guest sends a line by TCP to the machine outside, which sends one back; as whom."""
    with lan.socket(timeout_s=BOOT_S) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((LAN, PORT))
        server.listen()
        guest.write(f"echo from $((6 * 7)) | nc {LAN} {PORT}\n")
        peer, sender = server.accept()
        with peer:
            peer.settimeout(BOOT_S)
            assert peer.recv(100) == b"from 42\n"
            peer.sendall(b"heard you\n")
    guest.wait_for("^heard you\r?\n", BOOT_S)
    return sender[0]


def guest_asks(guest, lan):
    """The guest asks a name server outside by UDP, which knows no name; as whom."""
    with lan.socket(socket.SOCK_DGRAM, timeout_s=BOOT_S) as server:
        server.bind((LAN, 53))
        guest.write(f"echo nameserver {LAN} >/tmp/resolv.conf; ping -c 1 nobody.test\n")
        for _ in ("A", "AAAA"):
            query, sender = server.recvfrom(512)
            server.sendto(query[:2] + b"\x81\x83" + query[4:], sender)
        guest.wait_for("bad address 'nobody.test'", BOOT_S)
    return sender[0]


def is_called(guest, lan, address):
    """A line by TCP to the guest, and one back."""
    guest.write(f"echo answer $((7 * 6)) | nc -l -p {PORT} &\n"
                f"until netstat -ltn | grep -q :{PORT}; do sleep 1; done\n"
                "echo listens $((1 + 1))\n")
    guest.wait_for("^listens 2", BOOT_S)
    with lan.socket(timeout_s=BOOT_S) as sock:
        sock.connect((address, PORT))
        sock.sendall(b"call from outside\n")
        assert sock.recv(100) == b"answer 42\n"
        guest.wait_for("call from outside\r?\n", BOOT_S)


def ssh(netns, address, port, command):
    """Run it in the guest, from a namespace."""
    linux = linux_guest()
    return netns.run("ssh", "-F", linux.folder / "ssh_config", "-o", f"HostName={address}", "-p",
                     port, "guest", command, timeout_s=BOOT_S)


@timeout(MINUTES)
def test_nat():
    with host_and_lan() as (host, lan), host.unchanged():
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24", "--ipv6",
                         "fd00:9::1/64", "--forward", "tcp:2222=web:22")
        with linux_on(host, ",ip=10.9.0.50") as guest:
            assert "eth0 has 10.9.0.50/24" in guest.out.text
            # The name server that DHCP gave knows the guest itself.
            answers(guest, "ping -c 1 web.lab.ferry >/dev/null && echo name $((1 + 1))", "name 2")
            assert guest_calls(guest, lan) == "192.0.2.2"
            assert guest_asks(guest, lan) == "192.0.2.2"
            assert ssh(lan, "192.0.2.2", 2222, "echo $((6 * 7))").strip() == "42"
            own = host.nic("lab", "web")["ipv6"]
            answers(guest, "until ip -6 addr show dev eth0 | grep -q 'fd00:9:.* scope global'; do "
                    "sleep 1; done; ip -6 addr show dev eth0; echo shown $((2 + 2))", "shown 4")
            assert re.search(rf"inet6 {own}/64", guest.out.text)
            answers(guest, f"ping -c 2 {LAN6} >/dev/null && echo six $((3 + 3))", "six 6")
        host.net_command("delete", "lab")


@timeout(MINUTES)
def test_route():
    with host_and_lan() as (host, lan), host.unchanged():
        host.net_command("create", "lab", "--mode", "route", "--uplink", "eth1", "--ipv4",
                         "192.0.2.2/24", "--ipv6", "2001:db8::2/64")
        with linux_on(host, ",ip=192.0.2.60") as guest:
            assert "eth0 has 192.0.2.60/24" in guest.out.text
            lan.run("ping", "-c", "2", "-w", "20", "192.0.2.60")
            assert guest_calls(guest, lan) == "192.0.2.60"
            assert guest_asks(guest, lan) == "192.0.2.60"
            is_called(guest, lan, "192.0.2.60")
            answers(guest, f"until ping -c 1 {LAN6} >/dev/null; do sleep 1; done; "
                    "echo six $((3 + 3))", "six 6")
            lan.run("ping", "-6", "-c", "2", "-w", "20", host.nic("lab", "web")["ipv6"])
        host.net_command("delete", "lab")


@timeout(MINUTES)
def test_bridge():
    with host_and_lan() as (host, lan), host.unchanged():
        host.net_command("create", "lab", "--mode", "bridge", "--uplink", "eth1")
        with linux_on(host, "", f"192.0.2.50/24,{LAN}") as guest:
            for other in (lan, host):
                other.run("ping", "-c", "2", "-w", "20", "192.0.2.50")
            assert guest_calls(guest, lan) == "192.0.2.50"
            assert guest_asks(guest, lan) == "192.0.2.50"
            is_called(guest, lan, "192.0.2.50")
        host.net_command("delete", "lab")
