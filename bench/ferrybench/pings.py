# SPDX-License-Identifier: MIT
"""Pings that keep their time.

ping(8) waits for replies with a socket's timeout, which the kernel counts in jiffies: with
4 ms of these it says that it pings each 10 ms, and does so each 16 or 20.
"""
import array
import os
import socket
import struct
import sys
import threading
import time

SO_TIMESTAMPNS = 35
ETH_P_RARP = 0x8035
TIMESPEC = struct.Struct("@qq")
ECHO = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number: RFC 792
ECHO_REQUEST, ECHO_REPLY = 8, 0
PADDING = bytes(56)
POLL_S = 0.2
SWITCH_S = 0.0001  # how long a thread of ours waits for another: 5 ms otherwise


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


class Announcements:
    """When somebody on the cable told the bridges where he is, which monitors do for a guest."""

    def __init__(self, netns):
        self.socket = netns.socket(socket.SOCK_RAW, timeout_s=POLL_S, family=socket.AF_PACKET,
                                   proto=socket.htons(ETH_P_RARP))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)

    def first_s(self, since_s):
        """The time.time() of the first one since then."""
        while True:
            _, more, _, _ = self.socket.recvmsg(2048, 256)
            if arrival_s(more) >= since_s:
                return arrival_s(more)

    def close(self):
        """No more of it."""
        self.socket.close()


def arrival_s(more):
    """When the kernel saw a packet come, by what is told with it."""
    seconds, ns = TIMESPEC.unpack(more[0][2][:TIMESPEC.size])
    return seconds + ns / 1e9


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
        self.replied = threading.Condition()
        self.ended = False
        self.switch_s = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        self.threads = [threading.Thread(target=run, daemon=True)
                        for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        """Thread: by the clock, so that one that is late does not make the next so."""
        os.sched_setscheduler(threading.get_native_id(), os.SCHED_FIFO, os.sched_param(1))
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
                with self.replied:
                    self.arrivals.append(arrival_s(more))
                    self.replied.notify_all()

    def wait_replies(self, more, timeout_s):
        """So many that are not there yet. False: they did not come in time."""
        wanted = len(self.arrivals) + more
        with self.replied:
            return self.replied.wait_for(lambda: len(self.arrivals) >= wanted, timeout_s)

    def close(self):
        """No more of it."""
        self.ended = True
        for thread in self.threads:
            thread.join()
        sys.setswitchinterval(self.switch_s)
        self.socket.close()
