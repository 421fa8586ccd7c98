# SPDX-License-Identifier: MIT
"""A host in the middle that can listen, and damage what it passes on."""
import contextlib
import ctypes
import socket
import struct
import threading


class Proxy:
    """Passes TCP connections on; spoil() changes one bit of what the client sends next.

    `heard` has the first KEPT bytes of each connection, (the client's, the server's).
    `inner` is the namespace where it listens and connects. Use as a context manager.
    """

    KEPT = 4096

    def __init__(self, inner, address, port, target):
        self.inner, self.target = inner, target
        self.address = f"tcp:{address}:{port}"
        self.spoiling = threading.Event()
        self.spoiled = threading.Event()
        self.sockets = []
        self.heard = []
        self.listener = inner.socket()
        self.listener.settimeout(None)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def spoil(self):
        """The next bytes from a client lose one bit."""
        self.spoiling.set()

    def accept(self):
        """Each connection gets one to the target, and two threads."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                client.settimeout(None)
                server = self.inner.socket()
                server.settimeout(None)
                server.connect(self.target)
                self.sockets += [client, server]
                self.heard.append((bytearray(), bytearray()))
                for source, sink, forth in [(client, server, True), (server, client, False)]:
                    threading.Thread(target=self.pump, daemon=True,
                                     args=(source, sink, forth, self.heard[-1][not forth])
                                     ).start()

    def pump(self, source, sink, forth, heard):
        """Until one end closes; the other is told."""
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(65536)):
                heard += data[:self.KEPT - len(heard)]
                if forth and self.spoiling.is_set():
                    self.spoiling.clear()
                    data[len(data) // 2] ^= 0x10
                    self.spoiled.set()
                sink.sendall(data)
        for sock in (source, sink):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


def seal(kind, ident, payload):
    """A section as docs/teleport.md has it: header, checksum, payload."""
    xxh = ctypes.CDLL("libxxhash.so.0")  # ferry's own
    for function in (xxh.XXH3_64bits, xxh.XXH3_64bits_withSeed):
        function.restype = ctypes.c_uint64
    head = struct.pack("<IIQ", kind, ident, len(payload))
    seed = xxh.XXH3_64bits(head, ctypes.c_size_t(len(head)))
    check = xxh.XXH3_64bits_withSeed(payload, ctypes.c_size_t(len(payload)), ctypes.c_uint64(seed))
    return head + struct.pack("<Q", check) + payload


class Forger(Proxy):
    """Changes what a source says: `forge(type, payload)` returns the payload to pass on, up
    to and including CONFIG."""

    CONFIG = 1

    def __init__(self, forge, *args):
        self.forge = forge
        super().__init__(*args)

    def pump(self, source, sink, forth, heard):
        """The control connection's first sections, then as they come."""
        if forth:
            with contextlib.suppress(OSError, EOFError):
                hello = self.read(source, 32)
                sink.sendall(hello)
                while hello[10] == 0:  # the role: control
                    kind, ident, size, _ = struct.unpack("<IIQQ", self.read(source, 24))
                    sink.sendall(seal(kind, ident, self.forge(kind, self.read(source, size))))
                    if kind == self.CONFIG:
                        break
        super().pump(source, sink, forth, heard)

    @staticmethod
    def read(source, size):
        """Exactly so much."""
        data = b""
        while len(data) < size:
            more = source.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data
