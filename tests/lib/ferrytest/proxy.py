# SPDX-License-Identifier: MIT
"""A host in the middle that can listen, and damage what it passes on."""
import contextlib
import socket
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
