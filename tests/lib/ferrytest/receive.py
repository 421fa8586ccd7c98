# SPDX-License-Identifier: MIT
"""`ferry receive`, and the first words that its peers say."""
import contextlib
import socket
import struct

from .paths import FERRY
from .proc import WAIT_S, Proc

# Roles and answers, as in migration/preamble.h.
CONTROL, STREAM, QUESTION = range(3)
OK, NOT_ALLOWED, TLS_REQUIRED, TLS_NOT_OFFERED, VERSION, BUSY, NO_SESSION = range(7)
TLS = 1
SESSION = bytes(range(16))


def preamble(role=CONTROL, flags=0, stream=0, version=2, session=SESSION):
    """The 32 bytes that a source begins with."""
    return b"FERRYTP\0" + struct.pack("<HHBBH", version, role, flags, stream, 0) + session


def code_of(peer):
    """The code of the 16 bytes that answer them; None: it hung up."""
    reply = b""
    while len(reply) < 16 and (data := peer.recv(16 - len(reply))):
        reply += data
    if not reply:
        return None
    assert reply[:8] == b"FERRYTP\0" and reply[12:] == bytes(4), reply
    return struct.unpack("<H", reply[10:12])[0]


def drain(peer):
    """Read until it hangs up, or resets because it did not want all that we said."""
    with contextlib.suppress(ConnectionResetError):
        while peer.recv(4096):
            pass


class Receive(Proc):
    """`ferry receive`, listening; `address` is what it says."""

    def __init__(self, *argv, listen="tcp:127.0.0.1:0", insecure=True, **kwargs):
        argv = [*argv, *(["--insecure"] if insecure and listen.startswith("tcp") else [])]
        super().__init__(FERRY, "receive", "--listen", listen, *argv, **kwargs)
        self.address = self.wait_for(r"^listening on (\S+)$")[1]

    def connect(self):
        """A connection to it."""
        kind, _, rest = self.address.partition(":")
        if kind == "unix":
            peer = socket.socket(socket.AF_UNIX)
            peer.connect(rest)
        else:
            host, _, port = rest.rpartition(":")
            peer = socket.create_connection((host.strip("[]"), int(port)))
        peer.settimeout(WAIT_S)
        return peer

    def knock(self, **kwargs):
        """Say a preamble; returns the code of the answer, None if it hung up."""
        with self.connect() as peer:
            peer.sendall(preamble(**kwargs))
            return code_of(peer)
