# SPDX-License-Identifier: MIT
"""Network namespaces without names.

A namespace lives as long as somebody holds it. Here that is a descriptor of
the test process: however the test ends, the namespace and every tap, bridge
and veth in it are gone, and two runs never meet.
"""
import concurrent.futures
import ctypes
import os
import socket

from .case import require_root, require_tool
from .proc import WAIT_S, Proc, run

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3

libc = ctypes.CDLL(None, use_errno=True)


def in_thread(function):
    """Call it in a thread of its own, which may move elsewhere; returns its result."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def new_namespace():
    """A descriptor of a fresh namespace, made by a thread that moved into it."""
    def unshare():
        if libc.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET)")
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    return in_thread(unshare)


def free_port(kind=socket.SOCK_STREAM):
    """A port of the loopback address that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class NetNs:
    """A network namespace with loopback up. Use as a context manager."""

    def __init__(self):
        require_root()
        require_tool("ip", "nsenter")
        self.fd = new_namespace()
        self.ip("link set lo up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Let go of it; it vanishes when the last process in it ends."""
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None

    def path(self):
        """A path that names the namespace while the test runs."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def prefix(self):
        """What to put before a command to run it inside."""
        return ["nsenter", f"--net={self.path()}", "--"]

    def run(self, *argv, **kwargs):
        """Run a command inside, to its end; see proc.run."""
        return run(*self.prefix(), *argv, **kwargs)

    def proc(self, *argv, **kwargs):
        """Start a program inside; see Proc."""
        return Proc(*argv, netns=self, **kwargs)

    def enter(self):
        """Move the calling thread inside, for good: see in_thread()."""
        if libc.setns(self.fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    def socket(self, kind=socket.SOCK_STREAM, timeout_s=WAIT_S, family=socket.AF_INET, proto=0):
        """An IPv4 socket of this test process that belongs to the namespace."""
        def make():
            self.enter()
            return socket.socket(family, kind, proto)

        made = in_thread(make)
        made.settimeout(timeout_s)
        return made

    def packets(self, name):
        """A packet socket that hears every frame on the interface."""
        made = self.socket(socket.SOCK_RAW, family=socket.AF_PACKET)
        made.bind((name, ETH_P_ALL))
        return made

    def ip(self, command):
        """ip(8) inside, the command as one string."""
        return self.run("ip", *command.split())

    def tap(self, name, address=None, bridge=None, queues=1):
        """Add a tap with virtio headers, up, in a bridge if one is named."""
        multi = " multi_queue" if queues > 1 else ""
        self.ip(f"tuntap add dev {name} mode tap vnet_hdr{multi}")
        self.bring_up(name, address, bridge)

    def bridge(self, name, address=None):
        """Add a bridge that forwards at once."""
        self.ip(f"link add {name} type bridge forward_delay 0 stp_state 0")
        self.bring_up(name, address)

    def veth(self, name, peer_ns, peer_name, address=None, peer_address=None):
        """Add a cable to another namespace."""
        self.ip(f"link add {name} type veth peer name {peer_name}")
        self.ip(f"link set {peer_name} netns {peer_ns.path()}")
        self.bring_up(name, address)
        peer_ns.bring_up(peer_name, peer_address)

    def bring_up(self, name, address=None, bridge=None):
        """Address, bridge, up."""
        if address:
            self.ip(f"addr add {address} dev {name}")
        if bridge:
            self.ip(f"link set {name} master {bridge}")
        self.ip(f"link set {name} up")
