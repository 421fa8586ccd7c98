# SPDX-License-Identifier: MIT
"""The net guest on a tap and on user networking, under ferry and under QEMU."""
import contextlib
import os
import socket
import struct
import threading

from ferrytest import Guest, NetNs, QemuPC, each, timeout

VMMS = [Guest, QemuPC]
HOST, GUEST = "10.77.0.1", "10.77.0.2"
ECHO_PORT = 7
MIB = 1 << 20

# Features and ways of notification that the guest can leave out or choose.
WAYS = ["", "csum=0", "tso=0", "mrg_rxbuf=0", "event_idx=0", "indirect=0", "intx=1", "poll=0"]


@contextlib.contextmanager
def guest_on_tap(vmm, words="", queues=1, **kwargs):
    """A namespace and in it the guest, up, on tap0."""
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24", queues=queues)
        nic = f"tap:tap0,queues={queues}" if queues > 1 else "tap:tap0"
        with vmm("net", net=nic, append=f"ip={GUEST}/24 {words}", netns=net, **kwargs) as guest:
            guest.wait_for(r"^net: up ip=.* features=\S+$")
            yield net, guest


def echo_over_tcp(net, size_bytes):
    """Send random bytes to the guest's echo port; fails unless they come back."""
    data = os.urandom(size_bytes)
    with net.socket() as peer:
        peer.connect((GUEST, ECHO_PORT))
        sender = threading.Thread(target=lambda: (peer.sendall(data),
                                                  peer.shutdown(socket.SHUT_WR)))
        sender.start()
        back = bytearray()
        while chunk := peer.recv(1 << 16):
            back += chunk
        sender.join()
    assert bytes(back) == data, f"{len(back)} of {len(data)} bytes came back"


@each(vmm=VMMS)
def test_the_guest_answers_ping(vmm):
    with guest_on_tap(vmm) as (net, _):
        text = net.run("ping", "-c", "5", "-i", "0.05", "-W", "5", "-s", "1400", GUEST)
        assert " 5 received" in text


@each(vmm=VMMS)
def test_the_guest_pings(vmm):
    words = f"ping={HOST} count=10 interval_ms=20 quit=done"
    with guest_on_tap(vmm, words) as (_, guest):
        guest.wait_for(f"^net: ping {HOST} sent=10 received=10 lost=0 ")
        assert guest.wait() == 0


@each(vmm=VMMS)
def test_udp_echo(vmm):
    with guest_on_tap(vmm) as (net, _), net.socket(socket.SOCK_DGRAM) as peer:
        peer.connect((GUEST, ECHO_PORT))
        for size in [0, 1, 17, 1472]:
            data = os.urandom(size)
            peer.send(data)
            assert peer.recv(2048) == data


@each(vmm=VMMS)
@each(way=WAYS)
def test_tcp_echo(vmm, way):
    with guest_on_tap(vmm, way) as (net, _):
        echo_over_tcp(net, 2 * MIB)


@each(vmm=VMMS)
def test_the_guest_sends_a_stream(vmm):
    count = MIB // 8
    with NetNs() as net, net.socket() as listener:
        net.tap("tap0", f"{HOST}/24")
        listener.bind((HOST, 5001))
        listener.listen()
        words = f"ip={GUEST}/24 tcp_source={HOST}:5001 bytes={8 * count} quit=done"
        with vmm("net", net="tap:tap0", append=words, netns=net) as guest:
            peer, _ = listener.accept()
            with peer, peer.makefile("rb") as stream:
                data = stream.read()
            assert list(struct.unpack(f"<{count}Q", data)) == list(range(0, 8 * count, 8))
            assert guest.wait() == 0


@each(vmm=VMMS)
def test_control_queue(vmm):
    with guest_on_tap(vmm, "ctrl=1") as (_, guest):
        guest.wait_for("^net: ctrl ok ")


@each(vmm=VMMS)
def test_several_queue_pairs(vmm):
    with guest_on_tap(vmm, "mq=2", queues=2, vcpus=2) as (net, guest):
        assert " pairs=2 " in guest.out.text
        echo_over_tcp(net, MIB)


@each(vmm=VMMS)
@timeout(30)
def test_user_networking_gives_an_address(vmm):
    words = "ip=dhcp ping=10.0.2.2 count=3 interval_ms=20 quit=done"
    with vmm("net", net="user", append=words) as guest:
        guest.wait_for(r"^net: up ip=10\.0\.2\.15/24 gw=10\.0\.2\.2 ")
        guest.wait_for("^net: ping 10.0.2.2 sent=3 received=3 lost=0 ")
        assert guest.wait() == 0
