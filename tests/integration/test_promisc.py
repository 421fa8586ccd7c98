# SPDX-License-Identifier: MIT
"""promisc= of a nic, and hubs: who sees frames that are for others."""
import contextlib
import re

from ferrytest import Guest, NetHost, NetNs, each, require_root, timeout, tmp_dir
from ferrytest.pcapng import Capture
from ferrytest.proc import WAIT_S

UP = r"^net: up ip=(?P<ip>[0-9.]+)/"
ADDRESS = "10.91.0.1/24"


@contextlib.contextmanager
def network(host, *argv):
    """A host-only network, until the end of the block."""
    host.net_command("create", "lab", "--mode", "hostonly", "--ipv4", ADDRESS, "--ipv6", "none",
                     *argv)
    try:
        yield
    finally:
        host.net_command("delete", "lab")


@contextlib.contextmanager
def capturing(guest, path):
    """What the guest is shown, in a file once the block has ended."""
    with guest.ferry("capture", guest.name, "-w", path) as proc:
        proc.err.wait_for("; Ctrl-C ends it", WAIT_S)
        yield
        proc.signal(2)
        assert proc.wait() == 0, proc.err.text


def pings(path, to):
    """How many echo requests and replies to an address are in the file, both of one kind."""
    address = bytes(int(part) for part in to.split("."))
    return sum(one.data[12:14] == b"\x08\x00" and one.data[23] == 1 and one.data[30:34] == address
               for one in Capture(path).packets)


def dropped(guest):
    """Frames that the nic has kept from its guest."""
    with guest.control() as control:
        return control.execute("ferry-nics")[0]["stats"]["rx"]["dropped"]


def address_of(guest):
    """What DHCP has given it."""
    return guest.wait_for(UP)["ip"]


@timeout(120)
@each(hub=[True, False])
def test_third_guest(hub):
    """Two guests and the host talk; a third listens, a fourth must not."""
    require_root()
    with tmp_dir() as folder, NetHost() as host, host.unchanged(), \
            network(host, *["--hub"] * hub), contextlib.ExitStack() as stack:
        first = stack.enter_context(host.guest("ip=dhcp", net="lab", name="first"))
        to = address_of(first)
        listener, other = (stack.enter_context(host.guest("ip=dhcp", net=option, name=name))
                           for name, option in (("listener", "lab,promisc=on"), ("other", "lab")))
        for guest in listener, other:
            guest.wait_for(UP)
        before = dropped(other)
        with capturing(listener, folder / "listener"), capturing(other, folder / "other"):
            host.run("ping", "-c", "5", "-i", "0.02", to)
            second = stack.enter_context(host.guest(
                f"ip=dhcp ping={to} count=5 interval_ms=20 quit=done", net="lab", name="second"))
            source = address_of(second)
            second.wait_for("^net: ping .* received=5 ")
            assert second.wait() == 0
        # Five from the host, five from the other guest, and the answers to that.
        assert pings(folder / "listener", to) == (10 if hub else 0)
        assert pings(folder / "listener", source) == (5 if hub else 0)
        assert pings(folder / "other", to) == pings(folder / "other", source) == 0
        assert (dropped(other) - before >= 15) == hub
        assert listener.running() and other.running()


@each(promisc=["auto", "on", "off"])
def test_without_network(promisc):
    """On a tap of one's own the guest has all, unless it is switched off."""
    require_root()
    with tmp_dir() as folder, NetNs() as net:
        net.tap("tap0", "10.92.0.1/24")
        net.ip("neigh add 10.92.0.9 lladdr 02:00:00:00:00:99 dev tap0")
        with Guest("net", net=f"tap:tap0,promisc={promisc}", append="ip=10.92.0.2/24",
                   netns=net) as guest:
            guest.wait_for(UP)
            before = dropped(guest)
            with capturing(guest, folder / "c"):
                net.run("ping", "-c", "3", "-i", "0.02", "-W", "1", "10.92.0.9", check=False)
                net.run("ping", "-c", "3", "-i", "0.02", "10.92.0.2")
            assert pings(folder / "c", "10.92.0.2") == 3
            assert pings(folder / "c", "10.92.0.9") == (0 if promisc == "off" else 3)
            assert dropped(guest) - before == (3 if promisc == "off" else 0)


def test_refusals():
    require_root()
    with NetHost() as host:
        host.refused("create", "lab", "--mode", "bridge", "--bridge", "br0", "--existing", "--hub",
                     status=2, words=("hub: an existing bridge is left as it is", "br0",
                                      "ageing_time 0"))
        with Guest("net", net="user,promisc=maybe", append="ip=dhcp") as guest:
            assert guest.wait() != 0 and re.search("promisc.*maybe", guest.err.text)
