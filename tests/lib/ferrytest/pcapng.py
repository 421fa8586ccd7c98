# SPDX-License-Identifier: MIT
"""Reads what `ferry capture` writes, every byte of it."""
import pathlib
import struct
from collections import namedtuple

Packet = namedtuple("Packet", "ns inbound bytes data dropped")
SECTION, INTERFACE, STATISTICS, PACKET = 0x0a0d0d0a, 1, 5, 6


def options(data):
    """{code: value} of a block."""
    found = {}
    while data:
        code, size = struct.unpack_from("<HH", data)
        if code == 0:
            assert not data[4:], "nothing follows the last option"
            break
        found[code] = data[4:4 + size]
        data = data[4 + (size + 3) // 4 * 4:]
    return found


def number(value):
    """A 64-bit number."""
    return struct.unpack("<Q", value)[0]


class Capture:
    """A capture file: .name, .filter, .snaplen, .packets, .statistics (None: it has none)."""

    def __init__(self, path):
        self.packets, self.statistics = [], None
        data, at = pathlib.Path(path).read_bytes(), 0
        while at < len(data):
            kind, size = struct.unpack_from("<II", data, at)
            assert struct.unpack_from("<I", data, at + size - 4)[0] == size and size % 4 == 0
            self.block(kind, data[at + 8:at + size - 4])
            at += size
        assert at == len(data)

    def block(self, kind, body):
        """Take one block."""
        if kind == SECTION:
            assert struct.unpack_from("<IHH", body) == (0x1a2b3c4d, 1, 0)
        elif kind == INTERFACE:
            link, _, self.snaplen = struct.unpack_from("<HHI", body)
            found = options(body[8:])
            assert link == 1 and found[9] == b"\x09", "Ethernet, nanoseconds"
            self.name = found[2].decode()
            self.filter = found[11][1:].decode() if 11 in found else None
        elif kind == PACKET:
            interface, high, low, size, wire = struct.unpack_from("<5I", body)
            found = options(body[20 + (size + 3) // 4 * 4:])
            assert interface == 0 and size <= wire
            flags, = struct.unpack("<I", found[2])
            self.packets.append(Packet(high << 32 | low, {1: True, 2: False}[flags], wire,
                                       body[20:20 + size], number(found.get(4, bytes(8)))))
        else:
            assert kind == STATISTICS and self.statistics is None
            found = options(body[12:])
            self.statistics = dict(zip(("seen", "dropped", "accepted"),
                                       (number(found[code]) for code in (4, 5, 6))))
