# SPDX-License-Identifier: MIT
"""A client of a guest's control socket: QMP, one JSON object a line."""
import json
import select
import socket
import time

from .proc import WAIT_S

# How often a socket that is not there yet is looked for.
POLL_S = 0.01


class ControlError(AssertionError):
    """The guest answered with an error."""

    def __init__(self, error):
        super().__init__(f"{error.get('class')}: {error.get('desc')}")
        self.error = error


class Control:
    """A connection. Use as a context manager.

    negotiate: say qmp_capabilities at once, without which no command works.
    """

    def __init__(self, path, timeout_s=WAIT_S, negotiate=False):
        self.timeout_s = timeout_s
        self.events = []
        self.buffer = b""
        self.next_id = 1
        self.socket = connect(path, timeout_s)
        self.greeting = self.receive()
        if negotiate:
            self.execute("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hang up."""
        self.socket.close()

    def send_raw(self, data):
        """Bytes as they are, for what a good client never sends."""
        self.socket.sendall(data)

    def receive(self, timeout_s=None):
        """The next object; None when the peer hung up."""
        deadline_s = time.monotonic() + (timeout_s or self.timeout_s)
        while b"\n" not in self.buffer:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select([self.socket], [], [], left_s)[0]:
                raise AssertionError(f"no answer on the control socket; had {self.buffer!r}")
            data = self.socket.recv(65536)
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def pass_fd(self, name, file, **mode):
        """getfd: leave a descriptor, or that of a path which is opened, for later commands."""
        if isinstance(file, int):
            self.execute_fd("getfd", file, fdname=name)
            return
        with open(file, **{"mode": "rb", **mode}) as opened:
            self.execute_fd("getfd", opened.fileno(), fdname=name)

    def execute(self, command, **arguments):
        """Run a command; returns its result, raises ControlError. Events are kept."""
        return self.execute_fd(command, None, **arguments)

    def execute_fd(self, command, descriptor, **arguments):
        """The same, and a descriptor goes with it (None: none does)."""
        number, self.next_id = self.next_id, self.next_id + 1
        request = {"execute": command, "id": number}
        if arguments:
            request["arguments"] = arguments
        fds = [] if descriptor is None else [descriptor]
        socket.send_fds(self.socket, [json.dumps(request).encode() + b"\n"], fds)
        while (answer := self.receive()) is not None:
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == number:
                if "error" in answer:
                    raise ControlError(answer["error"])
                return answer["return"]
        raise AssertionError(f"hung up during {command}")

    def wait_event(self, name, timeout_s=None):
        """Wait for an event, also one that came already; returns it."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            answer = self.receive(timeout_s)
            if answer is None:
                raise AssertionError(f"hung up before {name}")
            self.events.append(answer)


def connect(path, timeout_s):
    """Connect, waiting for the socket to appear: its owner is just starting."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.connect(str(path))
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() >= deadline_s:
                raise AssertionError(f"no control socket {path}") from None
            select.select([], [], [], POLL_S)
