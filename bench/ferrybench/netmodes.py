# SPDX-License-Identifier: MIT
"""What is behind a nic: the same guest and peer by tap, bridge, NAT, user network and macvtap.

The peer is in a namespace of its own, at the other end of a cable from the host's eth1; for
tap and user it is the host. What arrives there is counted, for both sides alike.
"""
import contextlib
import tempfile
import time

from ferrytest import NetHost, NetNs, Qemu, Skip, run
from ferrytest.paths import FERRY

from .measure import WARM_UP_S, Counters
from .sides import QEMU_ECAM, FerrySide
from .table import Row
from .tcp import TcpSink
from .udp import UdpHole

LAN = "192.0.2.1"
GUEST_ON_LAN = "ip=192.0.2.50/24"


class Mode:
    """A host made ready: where the monitors run, where the peer listens, what is counted."""

    def __init__(self, stack, side):
        self.host = stack.enter_context(NetHost())
        self.peer, self.listen, self.to, self.words = self.host, LAN, LAN, GUEST_ON_LAN
        self.counted = "tap0"
        self.net = {"ferry": "tap:tap0", "QEMU": "tap:tap0"}
        self.prepare(stack, side)

    def prepare(self, stack, side):
        """Interfaces."""
        raise NotImplementedError

    def lan(self, stack, address=None):
        """The peer moves out of the host."""
        self.peer = stack.enter_context(NetNs())
        self.host.veth("eth1", self.peer, "lan0", address, f"{LAN}/24")
        self.counted = "lan0"

    def guest(self, side, words):
        """The net guest, under one of the two."""
        words = f"{self.words} {words}"
        if side is FerrySide:
            return self.host.guest(words, self.net["ferry"])
        return Qemu("net", append=f"{words} {QEMU_ECAM}", net=self.net["QEMU"], netns=self.host)


class Tap(Mode):
    """The host is the peer."""

    def prepare(self, _stack, _side):
        """A tap with an address."""
        self.host.tap("tap0", f"{LAN}/24")


class Bridge(Mode):
    """A bridge with eth1, which ferry is told by name, and QEMU by a tap on it."""

    def prepare(self, stack, side):
        """As a person would."""
        self.lan(stack)
        self.host.bridge("br0")
        self.host.ip("link set eth1 master br0")
        if side is not FerrySide:
            self.host.tap("tap0", bridge="br0")
        self.net["ferry"] = "bridge:br0"


class Nat(Mode):
    """The same network for both; ferry's nic is filtered, as they are, and QEMU's is not."""

    def prepare(self, stack, side):
        """By ferry; QEMU's tap is one more port."""
        self.lan(stack, "192.0.2.2/24")
        self.host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24",
                              "--ipv6", "none")
        if side is not FerrySide:
            self.host.tap("tap0", bridge="fy-lab")
        self.words = "ip=10.9.0.50/24 gw=10.9.0.1"
        self.net["ferry"] = "lab,ip=10.9.0.50"


class User(Mode):
    """libslirp in both processes."""

    def prepare(self, _stack, _side):
        """Nothing: the guest's connections are the monitor's."""
        self.listen, self.to, self.words = "127.0.0.1", "10.0.2.2", "ip=dhcp"
        self.counted = "lo"
        self.net = {"ferry": "user", "QEMU": "user"}


class Macvtap(Mode):
    """On eth1. QEMU wants one that is made already, and opened."""

    def prepare(self, stack, side):
        """ferry makes its own."""
        self.lan(stack)
        self.node = None
        self.net["ferry"] = "macvtap:eth1"
        if side is FerrySide:
            if "macvtap" not in run(FERRY, "run", "--help"):
                raise Skip("ferry has no macvtap")
            return
        self.host.ip("link add mv0 link eth1 type macvtap mode bridge")
        self.host.ip("link set mv0 up")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ferrybench-"))
        self.node = f"{folder}/tap"
        # /sys tells of the namespace that it was mounted in.
        self.host.run("unshare", "--mount", "sh", "-c",
                      "mount -t sysfs none /sys && "
                      "cd /sys/class/net/mv0 && "
                      f"mknod {self.node} c $(cat tap*/dev | tr : ' ')")

    def guest(self, side, words):
        """As all; QEMU inherits the descriptor."""
        if side is FerrySide:
            return super().guest(side, words)
        opener = Opener(self.host, self.node)
        return Qemu("net", "-netdev", "tap,id=n0,fd=3", "-device",
                    f"virtio-net-pci,netdev=n0,disable-legacy=on,romfile=,mac={self.mac()}",
                    append=f"{self.words} {words} {QEMU_ECAM}", netns=opener)

    def mac(self):
        """The interface's, which must be the guest's."""
        return self.host.ip("link show mv0").split("link/ether ")[1].split()[0]


class Opener:
    """A namespace in which programs find a device node open as descriptor 3."""

    def __init__(self, netns, node):
        self.argv = [*netns.prefix(), "sh", "-c", f'exec "$@" 3<>{node}', "sh"]

    def prefix(self):
        """What to put before a command."""
        return self.argv


MODES = {"tap": Tap, "bridge": Bridge, "nat": Nat, "user": User, "macvtap": Macvtap}


def rate(mode, peer, words, field, scale=1):
    """A measurement: what arrives at the peer while the guest sends."""
    def measure(side, bench):
        with contextlib.ExitStack() as stack:
            made = MODES[mode](stack, side)
            other = peer(made.peer, made.listen)
            stack.callback(other.close)
            guest = stack.enter_context(made.guest(side, words.format(made.to)))
            guest.wait_for("^net: up ")
            other.start()
            time.sleep(WARM_UP_S)
            counters = Counters(made.peer, made.counted)
            stack.callback(counters.table.close)
            return counters.rate(field, bench.seconds) / scale
    return measure


def rows():
    """Two of each mode."""
    made = []
    for mode in MODES:
        made += [
            Row(f"netmode-{mode}-tcp", f"{mode}: guest to peer, TCP", "MiB/s",
                rate(mode, TcpSink, "tcp_source={}:5001", "rx_bytes", 1 << 20), ratio_min=1,
                table="networks"),
            Row(f"netmode-{mode}-pps", f"{mode}: guest to peer, UDP of 64 bytes", "packets/s",
                rate(mode, UdpHole, "flood={}:9", "rx_packets"), ratio_min=1, table="networks"),
        ]
    return made
