# SPDX-License-Identifier: MIT
"""TCP peers of the net guest: they neither make nor look at what they move."""
import contextlib
import socket
import threading

SINK_PORT = 5001
GUEST_SINK_PORT = 5002
CHUNK_BYTES = 1 << 20


class Peer:
    """A thread that moves bytes over one connection until it is closed."""

    def __init__(self):
        self.connection = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def move(self, buffer):
        """One system call; false at the end."""
        raise NotImplementedError

    def connect(self):
        """The connection."""
        raise NotImplementedError

    def run(self):
        """Thread."""
        buffer = bytearray(CHUNK_BYTES)
        with contextlib.suppress(OSError):
            self.connection = self.connect()
            self.connection.settimeout(None)
            while self.move(buffer):
                pass

    def start(self):
        """From now on."""
        self.thread.start()

    def close(self):
        """End the connection, and with it the thread."""
        if self.connection:
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
        self.thread.join(2)
        if self.connection:
            self.connection.close()


class TcpSink(Peer):
    """Takes what the guest sends; the kernel does not even copy it (tcp(7), MSG_TRUNC)."""

    def __init__(self, netns, addr):
        super().__init__()
        self.listener = netns.socket()
        self.listener.bind((addr, SINK_PORT))
        self.listener.listen(1)
        self.start_now()

    def start_now(self):
        """The guest connects as soon as it is up."""
        self.thread.start()

    def start(self):
        """It runs already."""

    def connect(self):
        """Wait for the guest."""
        return self.listener.accept()[0]

    def move(self, buffer):
        """Throw away."""
        return self.connection.recv_into(buffer, CHUNK_BYTES, socket.MSG_TRUNC)

    def close(self):
        """The port too."""
        super().close()
        self.listener.close()


class TcpSource(Peer):
    """Sends zeroes to the guest's sink."""

    def __init__(self, netns, addr):
        super().__init__()
        self.socket = netns.socket()
        self.to = (addr, GUEST_SINK_PORT)

    def connect(self):
        """To the guest."""
        self.socket.connect(self.to)
        return self.socket

    def move(self, buffer):
        """Send."""
        return self.connection.send(buffer)
