# SPDX-License-Identifier: MIT
"""What the network hears of a guest that has moved."""
import socket
import struct
import time

from ferrytest import Lab
from ferrytest.moves import check_result

GUEST_ADDRESS = "10.77.0.51"
RARP, ARP = 0x8035, 0x0806
ROUNDS = 5
WAIT_S = 20
SO_TIMESTAMPNS = 35


def kind_of(frame, mac, address):
    """RARP or ARP if the frame announces that guest, None for anything else."""
    kind = int.from_bytes(frame[12:14], "big")
    if frame[:12] != b"\xff" * 6 + mac or frame[22:28] != mac:
        return None
    if kind == RARP and frame[20:22] == b"\0\3" and frame[32:38] == mac:
        return kind
    itself = frame[28:32] == address and frame[38:42] == address
    return kind if kind == ARP and itself else None


def receive(packets):
    """The next frame, and when the kernel had it."""
    frame, ancillary, _, _ = packets.recvmsg(2048, 128)
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    return frame, seconds + nanoseconds / 1e9


def listen(packets, mac, address):
    """Count both kinds until there are ROUNDS of each; when the first and last RARP came."""
    count = {RARP: 0, ARP: 0, None: 0}
    times = []
    until = time.monotonic() + WAIT_S
    while min(count[RARP], count[ARP]) < ROUNDS:
        assert time.monotonic() < until, count
        frame, when = receive(packets)
        kind = kind_of(frame, mac, address)
        count[kind] += 1
        if kind == RARP:
            times.append(when)
    return times


def test_announced():
    """Five rounds of RARP and ARP from the destination; the driver is asked as well."""
    with Lab() as lab, lab.host2.receive() as receive, \
            lab.host1.guest("net", net="tap,bridge=br0", append=f"ip={GUEST_ADDRESS}/24"):
        mac = lab.console().wait_for(r"^net: up .* mac=(\S+) ")[1]
        # The guest has told its address as soon as somebody asks for it.
        lab.peer.net.run("ping", "-c", "1", "-W", "5", GUEST_ADDRESS)
        with lab.peer.net.packets("up0") as packets:
            packets.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            times = listen(packets, bytes.fromhex(mac.replace(":", "")),
                           socket.inet_aton(GUEST_ADDRESS))
        # 50, 150, 250 and 350 ms lie between them, and what a busy host adds.
        assert 0.6 < times[-1] - times[0] < WAIT_S, times
        lab.console().wait_for("^net: announced, acknowledged")
