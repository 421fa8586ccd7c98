# SPDX-License-Identifier: MIT
"""Pings that keep their time.

ping(8) waits for replies with a socket's timeout, which the kernel counts in jiffies: with
4 ms of these it says that it pings each 10 ms, and does so each 16 or 20.
"""
import array
import os
import socket
import struct
import threading
import time

SO_TIMESTAMPNS = 35
TIMESPEC = struct.Struct("@qq")
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number: RFC 792
ECHO_REQUEST, ECHO_REPLY = 8, 0
PADDING = bytes(56)
POLL_S = 0.2


def checksum(data):
    """RFC 1071; the data's length is even."""
    words = array.array("H", data)
    total = sum(words)
    total = (total & 0xffff) + (total >> 16)
    total = (total & 0xffff) + (total >> 16)
    return socket.htons(~total & 0xffff)


def request(ident, seq):
    """An echo request."""
    parts = [ECHO_REQUEST, 0, 0, ident, seq]
    parts[2] = checksum(ECHO.pack(*parts) + PADDING)
    return ECHO.pack(*parts) + PADDING


class Pinger:
    """Pings from a namespace, each so many ms whatever comes back, until closed."""

    def __init__(self, netns, addr, interval_ms):
        self.socket = netns.socket(socket.SOCK_RAW, timeout_s=POLL_S, proto=socket.IPPROTO_ICMP)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.addr = addr
        self.interval_s = interval_ms / 1000
        self.ident = os.getpid() & 0xffff
        self.sent_s = []     # time.time() of each
        self.arrivals = []   # of replies, as the kernel saw them come
        self.ended = False
        self.threads = [threading.Thread(target=run, daemon=True)
                        for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        """Thread: by the clock, so that one that is late does not make the next so."""
        start_s = time.monotonic()
        for nr in range(1 << 30):
            time.sleep(max(0, start_s + nr * self.interval_s - time.monotonic()))
            if self.ended:
                break
            self.sent_s.append(time.time())
            self.socket.sendto(request(self.ident, nr & 0xffff), (self.addr, 0))

    def receive(self):
        """Thread: note when replies come."""
        while not self.ended:
            try:
                data, more, _, _ = self.socket.recvmsg(2048, 256)
            except TimeoutError:
                continue
            kind, _, _, ident, _ = ECHO.unpack_from(data, 4 * (data[0] & 0xf))
            if kind == ECHO_REPLY and ident == self.ident:
                seconds, ns = TIMESPEC.unpack(more[0][2][:TIMESPEC.size])
                self.arrivals.append(seconds + ns / 1e9)

    def close(self):
        """No more of it."""
        self.ended = True
        for thread in self.threads:
            thread.join()
        self.socket.close()
