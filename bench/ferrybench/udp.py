# SPDX-License-Identifier: MIT
"""UDP peers of the net guest."""
import contextlib
import socket
import threading

FLOOD_PORT = 9
PAYLOAD_BYTES = 64
# One system call hands the kernel so many datagrams, which it cuts apart (udp(7)).
UDP_SEGMENT = 103
BATCH = 60


class UdpHole:
    """A port that nobody reads: what the socket has no room for is dropped there,
    so that no third program takes CPU time from the two that are measured."""

    def __init__(self, netns, addr):
        self.socket = netns.socket(socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        self.socket.bind((addr, FLOOD_PORT))

    def start(self):
        """The guest does the work."""

    def close(self):
        """Close the port."""
        self.socket.close()


class UdpFlood:
    """Sends as fast as the tap takes it: its queue is longer than the socket's
    send buffer, so a slow guest makes the sender wait instead of dropping."""

    def __init__(self, netns, addr):
        netns.ip("link set tap0 txqueuelen 10000")
        self.socket = netns.socket(socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_UDP, UDP_SEGMENT, PAYLOAD_BYTES)
        self.socket.settimeout(None)
        self.to = (addr, FLOOD_PORT)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.ended = False

    def start(self):
        """From now on."""
        self.socket.connect(self.to)
        self.thread.start()

    def run(self):
        """Thread: send until closed."""
        data = bytes(PAYLOAD_BYTES * BATCH)
        with contextlib.suppress(OSError):
            while not self.ended:
                self.socket.send(data)

    def close(self):
        """Stop sending."""
        self.ended = True
        if self.thread.is_alive():
            self.socket.settimeout(0)
            self.thread.join(2)
        self.socket.close()
