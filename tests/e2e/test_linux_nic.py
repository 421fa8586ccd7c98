# SPDX-License-Identifier: MIT
"""Nics that come to a running Linux and go again, which its kernel sees by ACPI."""
import json

from ferrytest import (BOOT_S, NetHost, NetNs, Proc, Restored, links, timeout, tmp_dir, vanishes)
from ferrytest.linux import becomes, does, linux_at_prompt
from ferrytest.paths import FERRY

HOST, ADDR = "10.77.0.1", "10.77.0.2"
MINUTES = 600
NIC = "/sys/class/net/eth0"


def nic(guest, net, action, *words, env=None):
    """`ferry nic ACTION NAME ...`, which must succeed; what it printed."""
    with guest.control():  # it is there
        pass
    with Proc(FERRY, "nic", action, guest.name, *words, netns=net,
              env={"XDG_RUNTIME_DIR": str(guest.runtime), **(env or {})}) as done:
        assert done.wait(BOOT_S) == 0, done.err.text
        return done.out.text.strip()


def attach(guest, net, spec, **kwargs):
    """Attach it, and wait until Linux has it; its id and interface."""
    name = nic(guest, net, "attach", spec, **kwargs)
    becomes(guest, f"[ -e {NIC} ]")
    found = json.loads(nic(guest, net, "list", "--json"))
    assert does(guest, f"cat {NIC}/address").strip() == found[-1]["mac"]
    return name, found[-1]["host_interface"]


def detach(guest, net, name):
    """Linux lets go of it."""
    nic(guest, net, "detach", name, "--timeout", str(BOOT_S))
    does(guest, f"[ ! -e {NIC} ]")
    assert json.loads(nic(guest, net, "list", "--json")) == []


def configure(guest):
    """Give it an address by hand, and reach the host."""
    does(guest, f"ip addr add {ADDR}/24 dev eth0 && ip link set eth0 up")
    does(guest, f"ping -c 3 -W 20 {HOST}")


@timeout(MINUTES)
def test_tap():
    """Address, ping both ways, cable out and in, detach, and all again."""
    with NetNs() as net, linux_at_prompt(netns=net) as guest:
        net.bridge("br0", f"{HOST}/24")
        for _ in range(2):
            name, interface = attach(guest, net, "bridge:br0")
            assert interface in links(net)
            configure(guest)
            net.run("ping", "-c", "3", "-i", "0.2", "-W", "20", ADDR)
            nic(guest, net, "link", name, "down")
            becomes(guest, f"[ $(cat {NIC}/carrier) = 0 ]")
            nic(guest, net, "link", name, "up")
            becomes(guest, f"[ $(cat {NIC}/carrier) = 1 ]")
            net.run("ping", "-c", "3", "-i", "0.2", "-W", "20", ADDR)
            detach(guest, net, name)
            vanishes(net, interface)


@timeout(MINUTES)
def test_network_by_dhcp():
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat")
        with linux_at_prompt(netns=host, env=host.env, runtime=host.runtime, name="web") as guest:
            name, _ = attach(guest, host, "lab", env=host.env)
            address = host.nic("lab", guest="web")["ipv4"]
            does(guest, "ip link set eth0 up && udhcpc -i eth0 -n -q -t 20 -s /etc/net.sh")
            assert f"inet {address}/24" in does(guest, "ip addr show eth0")
            host.run("ping", "-c", "3", "-i", "0.2", "-W", "20", address)
            detach(guest, host, name)
            assert not list(host.state.glob("lab@*"))
        host.net_command("delete", "lab")


@timeout(MINUTES)
def test_saved_with_it():
    """The nic that came later is there, with its address, where the guest goes on."""
    with tmp_dir() as folder, NetNs() as net:
        net.bridge("br0", f"{HOST}/24")
        with linux_at_prompt(netns=net) as guest:
            name, interface = attach(guest, net, "tap:late,bridge=br0")
            configure(guest)
            guest.save(folder / "late.ferry")
            assert guest.wait(BOOT_S) == 0
        vanishes(net, interface)
        with Restored(folder / "late.ferry", netns=net) as guest:
            does(guest, "true")  # it runs: somebody holds the tap
            net.run("ping", "-c", "3", "-i", "0.2", "-W", "20", ADDR)
            does(guest, f"ping -c 3 -W 20 {HOST}")
            detach(guest, net, name)
            vanishes(net, interface)
            name, _ = attach(guest, net, "bridge:br0")
            configure(guest)
            nic(guest, net, "detach", name, "--force")
            becomes(guest, f"[ ! -e {NIC} ]")
