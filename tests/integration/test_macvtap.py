# SPDX-License-Identifier: MIT
"""Nics that are interfaces of their own on one of the host."""
import contextlib
import os
import pathlib
import select
import signal
import socket

from ferrytest import Lab, NetHost, NetNs, each, timeout

UP = r"^net: up ip=(\S+)/\d+ gw=\S+ mac=(\S+) pairs=(\d+) "
PEER, GUEST = "10.66.0.1", "10.66.0.2"


@contextlib.contextmanager
def wired_host():
    """A host, and what is at the other end of its eth1."""
    with NetHost() as host, NetNs() as peer:
        host.veth("eth1", peer, "lan0", None, f"{PEER}/24")
        host.ip("link set eth1 up")
        yield host, peer


def echo(peer, address, text=b"there and back"):
    """TCP and back."""
    with peer.socket(socket.SOCK_STREAM) as sock:
        sock.connect((address, 7))
        sock.sendall(text)
        assert sock.recv(100) == text


def fymv(host):
    """The macvtaps of a host."""
    return [line for line in host.ip("-br link show").splitlines() if line.startswith("fymv")]


def wait_ended(pidfd):
    """Until a process has ended; closes its descriptor."""
    ended = select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    return bool(ended)


def helper_of(pid):
    """The ferry-net of a guest's process."""
    return int(pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii"))


@each(options=["", ",queues=2", ",mode=vepa,mtu=1400", ",mode=private,offloads=off"])
@timeout(120)
def test_a_guest_on_a_macvtap(options):
    with wired_host() as (host, peer), host.unchanged():
        queues = 2 if "queues" in options else 1
        with host.guest(f"ip={GUEST}/24 mq={queues}", net=f"macvtap:eth1{options}",
                        vcpus=queues) as guest:
            found = guest.wait_for(UP, 60)
            assert int(found[3]) == queues
            assert found[2] in fymv(host)[0]
            mode = options.partition("mode=")[2].partition(",")[0] or "bridge"
            assert f"macvtap mode {mode}" in host.ip("-d link show fymv0")
            peer.run("ping", "-c", "3", "-i", "0.1", "-w", "20", GUEST)
            echo(peer, GUEST)
            assert found[2] in peer.ip("neigh show dev lan0")
            assert guest.ferry("destroy", guest.name).wait() == 0
            guest.wait()


@timeout(120)
def test_bulk_both_ways():
    """Segmentation is left to the kernel, and nothing is lost."""
    with wired_host() as (host, peer):
        with host.guest(f"ip={GUEST}/24 tcp_sink=5002", net="macvtap:eth1") as guest, \
                peer.socket(socket.SOCK_STREAM) as sock:
            guest.wait_for(UP, 60)
            sock.connect((GUEST, 5002))
            sock.sendall(bytes(8 << 20))
            sock.shutdown(socket.SHUT_WR)
            guest.wait_for(r"^net: tcp_sink .*received=8388608 ", 60)
        with peer.socket(socket.SOCK_STREAM) as server:
            server.bind((PEER, 5001))
            server.listen()
            with host.guest(f"ip={GUEST}/24 tcp_source={PEER}:5001 bytes=8M",
                            net="macvtap:eth1", name="other") as guest:
                conn = server.accept()[0]
                conn.settimeout(60)
                nr_bytes = 0
                while data := conn.recv(1 << 16):
                    nr_bytes += len(data)
                    if nr_bytes == 8 << 20:
                        break
                assert nr_bytes == 8 << 20
                conn.close()


@timeout(120)
def test_two_guests_reach_each_other():
    with wired_host() as (host, peer):
        with host.guest(f"ip={GUEST}/24", net="macvtap:eth1") as first:
            first.wait_for(UP, 60)
            with host.guest(f"ip=10.66.0.3/24 ping={GUEST} count=3 interval_ms=50 quit=done",
                            net="macvtap:eth1", name="second") as second:
                second.wait_for(f"^net: ping {GUEST} sent=3 received=3 ", 60)
                assert second.wait() == 0
            peer.run("ping", "-c", "1", "-w", "20", GUEST)


@each(who=["guest", "both"])
@timeout(120)
def test_killed(who):
    """The helper removes the interface, or else the next command."""
    with wired_host() as (host, _), host.unchanged():
        with host.guest(f"ip={GUEST}/24", net="macvtap:eth1") as guest:
            guest.wait_for(UP, 60)
            helper = os.pidfd_open(helper_of(guest.pid))
            if who == "both":
                signal.pidfd_send_signal(helper, signal.SIGKILL)
            guest.signal(signal.SIGKILL)
            guest.wait()
            assert wait_ended(helper)
        assert len(fymv(host)) == (who == "both")
        assert host.net_json("repair") == {"repaired": int(who == "both")}


def test_what_does_not_fit():
    with wired_host() as (host, _), host.unchanged():
        host.ip("link add br7 type bridge")
        host.ip("link set eth1 master br7")
        for net, words in {"macvtap:eth9": "eth9: no such interface",
                           "macvtap:eth1": "eth1: cannot make a macvtap on it",
                           "macvtap:lo": "lo: cannot make a macvtap on it"}.items():
            with host.guest("", net=net) as guest:
                assert guest.wait() == 1 and words in guest.err.text, guest.err.text
        host.ip("link del br7")
        for net, words in {"macvtap:": "the name of the interface is missing",
                           "macvtap:eth1,mode=router": "mode", "tap,mode=vepa": "macvtap only",
                           "macvtap:eth1,vlan=7": "network only"}.items():
            with host.guest("", net=net) as guest:
                assert guest.wait() == 2 and words in guest.err.text, guest.err.text


@timeout(180)
def test_teleport():
    """Made again at the destination; the connection goes on."""
    with Lab() as lab:
        with lab.host1.guest("net", net="macvtap:br0", append="ip=10.77.0.50/24",
                             env=lab.host1.env) as guest, \
                lab.host2.receive("--net-allow", "macvtap:br0") as receive, \
                lab.peer.net.socket(socket.SOCK_STREAM) as sock:
            lab.console().wait_for(UP, 60)
            helper = os.pidfd_open(helper_of(guest.pid))
            sock.connect(("10.77.0.50", 7))
            sock.sendall(b"before")
            assert sock.recv(100) == b"before"
            result = lab.host1.teleport("g", receive).result()
            assert result["status"] == "completed", result
            sock.sendall(b"after")
            assert sock.recv(100) == b"after"
            receive.arrived("g")
            assert wait_ended(helper)
            assert "fymv0" not in lab.host1.net.ip("link")
            assert "fymv0" in lab.host2.net.ip("link")
