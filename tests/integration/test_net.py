# SPDX-License-Identifier: MIT
"""Networks of a guest: taps and bridges, user networking, offloads, what is left afterwards."""
import contextlib
import json
import os
import signal
import socket

from ferrytest import Guest, NetNs, free_port, links, require_tool, vanishes

HOST = "10.77.0.1"
UP = r"^net: up ip=.* features=\S+$"
ECHO_PORT = 7
LARGE_BYTES = 4000  # more than any frame on a wire of 1500


def start(net_option, words, netns=None, **kwargs):
    """The net guest, not yet up."""
    return Guest("net", net=net_option, append=words, netns=netns, **kwargs)


def refused(net_option, *words, netns=None):
    """ferry must fail with one line that has all these words in it."""
    with start(net_option, "", netns) as guest:
        assert guest.wait() == 1
        lines = guest.err.text.splitlines()
        assert len(lines) == 1, guest.err.text
        for word in words:
            assert word in lines[0], lines[0]


# --- taps -------------------------------------------------------------------------
def test_two_guests_in_one_bridge():
    with NetNs() as net, contextlib.ExitStack() as stack:
        net.bridge("br0", f"{HOST}/24")
        peer = stack.enter_context(start("tap,bridge=br0", "ip=10.77.0.2/24", net))
        peer.wait_for(UP)
        guest = stack.enter_context(
            start("tap:web0,bridge=br0",
                  "ip=10.77.0.3/24 ping=10.77.0.2 count=10 interval_ms=20 quit=done", net))
        guest.wait_for("^net: ping 10.77.0.2 sent=10 received=10 lost=0 ")
        assert guest.wait() == 0
        vanishes(net, "web0")
        assert links(net) == {"lo", "br0", "ferry0"}
        net.run("ping", "-c", "2", "-i", "0.05", "-W", "5", "10.77.0.2")
        peer.signal(signal.SIGKILL)
        peer.wait()
        vanishes(net, "ferry0")
        assert links(net) == {"lo", "br0"}


def address_of(net, name):
    """The MAC address of an interface."""
    return json.loads(net.run("ip", "-json", "link", "show", name))[0]["address"]


def test_bridge_keeps_its_address():
    """A bridge takes the lowest address of its ports: who knows it must not lose sight of it."""
    with NetNs() as net:
        net.bridge("br0", f"{HOST}/24")
        net.ip("link add port0 address fa:ff:ff:ff:ff:ff master br0 type veth peer name port1")
        before = address_of(net, "br0")
        assert before == "fa:ff:ff:ff:ff:ff"
        with contextlib.ExitStack() as stack:
            for i in range(4):
                guest = stack.enter_context(
                    start("tap,bridge=br0", f"ip=10.77.0.{2 + i}/24", net))
                guest.wait_for(UP)
                assert address_of(net, "br0") == before


def test_created_tap_goes_with_the_guest():
    with NetNs() as net:
        with start("tap:t0", "ip=10.77.0.2/24 time=1", net) as guest:
            guest.wait_for(UP)
            assert "t0" in links(net)
            assert guest.wait() == 0
            vanishes(net, "t0")
        with start("tap:t0,queues=4", "ip=10.77.0.2/24", net) as guest:
            guest.wait_for(UP)
            guest.signal(signal.SIGKILL)
            guest.wait()
            vanishes(net, "t0")


def test_tap_that_was_there_stays():
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with start("tap:tap0", "ip=10.77.0.2/24", net) as guest:
            guest.wait_for(UP)
            guest.signal(signal.SIGKILL)
            guest.wait()
        assert "tap0" in links(net)


def test_taps_that_do_not_fit():
    with NetNs() as net:
        net.tap("single")
        net.ip("link add dummy0 type bridge")
        refused("tap:lo", "lo", "not a tap", netns=net)
        refused("tap:single,queues=2", "single", "2 queue pairs", netns=net)
        refused("tap:t9,bridge=br9", "br9", "no such interface", netns=net)
        refused("tap:t9,bridge=single", "single", "not a bridge", netns=net)
        with start("tap:single", "ip=10.77.0.2/24", net) as guest:
            guest.wait_for(UP)
            refused("tap:single", "single", "in use", netns=net)
        assert links(net) == {"lo", "single", "dummy0"}


def test_a_tap_deleted_under_the_guest():
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with start("tap:tap0", "ip=10.77.0.2/24 poll=0", net) as guest:
            guest.wait_for(UP)
            net.ip("link del tap0")
            guest.wait_for("^net: link down$")
            assert guest.running()
            assert len(guest.err.text.splitlines()) == 1, guest.err.text


# --- offloads ---------------------------------------------------------------------
@contextlib.contextmanager
def watching(net, expression):
    """tcpdump on tap0, which ends with status 0 after ten packets that match."""
    require_tool("tcpdump")
    with net.proc("tcpdump", "-i", "tap0", "-nnlvv", "-c", "10", expression) as dump:
        dump.err.wait_for("listening on", 20)
        yield dump


def test_the_guest_sends_large_segments():
    with NetNs() as net, net.socket() as listener:
        net.tap("tap0", f"{HOST}/24")
        listener.bind((HOST, 5001))
        listener.listen()
        with watching(net, f"tcp and src 10.77.0.2 and greater {LARGE_BYTES}") as dump, \
                start("tap:tap0", f"ip=10.77.0.2/24 tcp_source={HOST}:5001 bytes=8M", net):
            peer, _ = listener.accept()
            with peer:
                while peer.recv(1 << 20):
                    pass
            assert dump.wait() == 0
            # The host is to finish the checksums: on the tap they are still partial.
            assert "incorrect" in dump.out.text


def test_the_guest_receives_large_segments():
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with watching(net, f"tcp and dst 10.77.0.2 and greater {LARGE_BYTES}") as dump, \
                start("tap:tap0", "ip=10.77.0.2/24 tcp_sink=5002", net) as guest, \
                net.socket() as peer:
            guest.wait_for(UP)
            peer.connect(("10.77.0.2", 5002))
            peer.sendall(bytes(8 << 20))
            assert dump.wait() == 0


def test_no_large_segments_unless_negotiated():
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with watching(net, "tcp and greater 1515") as dump, \
                start("tap:tap0", "ip=10.77.0.2/24 csum=0 tcp_sink=5002", net) as guest, \
                net.socket() as peer:
            guest.wait_for(UP)
            peer.connect(("10.77.0.2", 5002))
            peer.sendall(bytes(4 << 20))
            peer.shutdown(socket.SHUT_WR)
            assert peer.recv(1) == b""
            dump.signal(signal.SIGTERM)
            dump.wait()
            assert "length" not in dump.out.text, dump.out.text


# --- load ---------------------------------------------------------------------------
def test_a_flood_from_the_guest():
    with NetNs() as net, net.socket(socket.SOCK_DGRAM) as sink:
        net.tap("tap0", f"{HOST}/24")
        sink.bind((HOST, 9))
        words = f"ip=10.77.0.2/24 flood={HOST} flood_count=200000 quit=done"
        with start("tap:tap0", words, net) as guest:
            assert len(sink.recv(2048)) == 64
            guest.wait_for("^net: flood datagrams=200000 ")
            assert guest.wait() == 0


def test_a_flood_to_the_guest():
    with NetNs() as net, net.socket(socket.SOCK_DGRAM) as peer:
        net.tap("tap0", f"{HOST}/24")
        with start("tap:tap0", "ip=10.77.0.2/24 udp_sink=5000 poll=0", net) as guest:
            guest.wait_for(UP)
            for _ in range(50000):
                peer.sendto(b"x" * 64, ("10.77.0.2", 5000))
            # The first may find the tap's queue still full.
            net.run("ping", "-c", "10", "-i", "0.3", "10.77.0.2")
            peer.sendto(b"quit", ("10.77.0.2", 9999))
            seen = guest.wait_for(r"^net: udp_sink datagrams=(\d+) ")
            assert int(seen[1]) > 1000
            assert guest.wait() == 0


# --- user networking ------------------------------------------------------------------
def test_port_forward_to_the_guest():
    tcp, udp = free_port(), free_port(socket.SOCK_DGRAM)
    rules = f"user,hostfwd=tcp:127.0.0.1:{tcp}-:7,hostfwd=udp:127.0.0.1:{udp}-10.0.2.15:7"
    with start(rules, "ip=dhcp") as guest:
        guest.wait_for(UP)
        data = os.urandom(300000)
        with socket.create_connection(("127.0.0.1", tcp), timeout=20) as peer:
            back = b""
            for at in range(0, len(data), 30000):
                peer.sendall(data[at:at + 30000])
                while len(back) < at + 30000:
                    back += peer.recv(1 << 16)
            assert back == data
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.settimeout(20)
            peer.sendto(b"hello", ("127.0.0.1", udp))
            assert peer.recv(100) == b"hello"


def test_the_guest_reaches_the_host():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        words = f"ip=dhcp tcp_source=10.0.2.2:{port} bytes=1M quit=done"
        with start("user", words) as guest:
            peer, _ = listener.accept()
            count = 0
            with peer:
                while chunk := peer.recv(1 << 16):
                    count += len(chunk)
            assert count == 1 << 20
            assert guest.wait() == 0


def test_port_forward_that_is_taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        rule = f"tcp:127.0.0.1:{listener.getsockname()[1]}-:22"
        refused(f"user,hostfwd={rule}", rule, "in use")
    refused("user,hostfwd=22", "22", "tcp:127.0.0.1:2222-:22")


class WithoutPrivilege:
    """Stands in for a namespace: also drops every capability."""

    def __init__(self, net):
        self.net = net

    def prefix(self):
        """See NetNs."""
        return [*self.net.prefix(), "setpriv", "--bounding-set=-all", "--inh-caps=-all",
                "--ambient-caps=-all", "--"]


def test_user_networking_needs_no_privilege():
    require_tool("setpriv")
    words = "ip=dhcp ping=10.0.2.2 count=3 interval_ms=20 quit=done"
    with NetNs() as net, start("user", words, WithoutPrivilege(net)) as guest:
        guest.wait_for("^net: ping 10.0.2.2 sent=3 received=3 lost=0 ")
        assert guest.wait() == 0


def test_a_tap_needs_privilege():
    require_tool("setpriv")
    with NetNs() as net:
        refused("tap:t0", "t0", "CAP_NET_ADMIN", netns=WithoutPrivilege(net))
        assert links(net) == {"lo"}
