# SPDX-License-Identifier: MIT
"""What a person sees of the host's network before, during and after a network of each mode.

Links, addresses, routes, neighbours, rules, settings, listeners, files: during it, what the
mode is made of must be there; after it, everything is as it was, to the byte. The
host is one with settings of its own, which ferry's must not wash away.
"""
from ferrytest import Guest, NetHost, NetNs, each, timeout

# The host's own, not all of them what a kernel begins with.
OWN_SETTINGS = [
    "net.ipv4.conf.eth1.forwarding=1", "net.ipv4.conf.all.accept_redirects=0",
    "net.ipv4.conf.default.forwarding=0", "net.ipv6.conf.eth1.accept_ra=0",
    "net.ipv6.conf.eth2.forwarding=1", "net.ipv4.conf.eth1.proxy_arp=0",
    "net.ipv6.conf.eth1.accept_redirects=0",
]
OWN_COMMANDS = [
    "addr add 2001:db8::2/64 dev eth1 nodad", "addr add 198.51.100.9/24 dev eth2",
    "route add default via 198.51.100.1", "route add 203.0.113.0/24 via 192.0.2.1 metric 9",
    "neigh add 192.0.2.77 lladdr 02:00:00:00:00:77 dev eth1 nud permanent",
    "neigh add proxy 192.0.2.78 dev eth1", "rule add from 192.0.2.2 table 77 pref 1000",
    "route add default via 192.0.2.1 table 77",
]
OWN_RULES = ("table inet own { chain c { type filter hook input priority 0; "
             "tcp dport 2222 counter drop; }; }; table bridge own { set s { type ifname; }; };")

V4 = ["--ipv4", "10.9.0.1/24", "--ipv6", "none"]
V6 = ["--ipv4", "none", "--ipv6", "fd00:9::1/64"]
BOTH = ["--ipv4", "10.9.0.1/24", "--ipv6", "fd00:9::1/64"]
ROUTE = ["--uplink", "eth1", "--ipv4", "192.0.2.2/24"]

FORWARDING = "net.ipv4.ip_forward = 1"
FORWARDING6 = "net.ipv6.conf.all.forwarding = 1"
FILTER = "table bridge ferry-lab"
TAP = 'elements = { "ferry0" }'
SERVER = "0.0.0.0%fy-lab:67"  # DHCP, as ss(8) writes it

# Options of `ferry net create lab`, of the guest's nic, words of the listing with the guest on it.
CASES = {
    "nat": (["--mode", "nat", *BOTH], "", [
        "inet 10.9.0.1/24", "inet6 fd00:9::1/64", "table inet ferry-lab", FILTER, TAP, FORWARDING,
        FORWARDING6, "masquerade", SERVER, "master fy-lab"]),
    "nat-ipv4-forwards": (["--mode", "nat", *V4, "--forward", "tcp:8080=g:80", "--forward",
                           "udp:53=10.9.0.50:5353"], ",ip=10.9.0.50", [
        "8080 : 10.9.0.50 . 80", "53 : 10.9.0.50 . 5353", FORWARDING,
        "net.ipv6.conf.all.forwarding = 0"]),
    "nat-ipv6": (["--mode", "nat", *V6], "", [FORWARDING6, "net.ipv4.ip_forward = 0"]),
    "nat-routed6": (["--mode", "nat", *BOTH, "--routed6", "--isolated"], "", ["isolated on"]),
    "nat-plain": (["--mode", "nat", *V4, "--no-dhcp", "--unfiltered", "--mtu", "1400"], "", [
        "mtu 1400"]),
    "route": (["--mode", "route", *ROUTE], ",ip=192.0.2.60", [
        "192.0.2.60 dev fy-lab", "192.0.2.60 dev eth1 proxy", FORWARDING,
        "net.ipv4.conf.fy-lab.proxy_arp = 1", SERVER]),
    "route-both": (["--mode", "route", *ROUTE, "--ipv6", "2001:db8::2/64"],
                   ",ip=192.0.2.60,ip6=2001:db8::60", [
        "2001:db8::60 dev fy-lab", "2001:db8::60 dev eth1 proxy", FORWARDING6,
        "net.ipv6.conf.eth1.proxy_ndp = 1"]),
    "bridge": (["--mode", "bridge"], "", ["fy-lab", FILTER]),
    "bridge-uplink": (["--mode", "bridge", "--uplink", "eth1"], "", [
        "203.0.113.0/24 via 192.0.2.1 dev fy-lab metric 9", "default via 192.0.2.1 dev fy-lab"]),
    "bridge-existing": (["--mode", "bridge", "--bridge", "br7", "--existing"], "", [
        "master br7", FILTER]),
    "hostonly": (["--mode", "hostonly", *BOTH], "", [
        "inet 10.9.0.1/24", "net.ipv4.ip_forward = 0", "net.ipv6.conf.all.forwarding = 0", SERVER]),
    "hostonly-ipv4": (["--mode", "hostonly", *V4, "--isolated"], "", ["inet 10.9.0.1/24"]),
    "internal": (["--mode", "internal"], "", [FILTER, "net.ipv6.conf.fy-lab.disable_ipv6 = 1"]),
    "internal-vxlan": (["--mode", "internal", "--vni", "7", "--peer", "192.0.2.1", "--peer",
                        "192.0.2.7"], "", ["vxlan id 7", "dst 192.0.2.1", "mtu 1450"]),
    "internal-vxlan6": (["--mode", "internal", "--vni", "7", "--peer", "2001:db8::1"], "", [
        "dst 2001:db8::1", "mtu 1430"]),
}


def own_host(host, lan):
    """Interfaces, addresses, settings and rules that are none of ferry's business."""
    host.veth("eth1", lan, "lan0", "192.0.2.2/24", "192.0.2.1/24")
    host.veth("eth2", lan, "lan1")
    host.veth("eth7", lan, "lan7")
    host.bridge("br7", "10.7.0.1/24")
    host.ip("link set br7 address 02:00:00:00:00:07")
    host.ip("link set eth7 master br7")
    for command in OWN_COMMANDS:
        host.ip(command)
    for setting in OWN_SETTINGS:
        host.run("sysctl", "-q", "-w", setting)
    host.run("nft", OWN_RULES)


def check(listing, words, when):
    """All of them are in it."""
    print(f"--- {when}\n{listing}")
    for word in words:
        assert word in listing, f"{when}: '{word}' is missing"


@each(case=list(CASES))
@timeout(120)
def test_before_during_after(case):
    argv, nic, words = CASES[case]
    with NetHost() as host, NetNs() as lan:
        own_host(host, lan)
        with host.unchanged() as before:
            print(f"--- before\n{before}")
            host.net_command("create", "lab", *argv)
            with Guest("idle", net=f"lab{nic}", name="g", netns=host, runtime=host.runtime,
                       env=host.env) as guest:
                guest.wait_for("^idle ready", 60)
                check(host.listing(), words, "with a guest")
                guest.press_power_button()
                guest.wait(30)
            left = host.listing()
            for word in ("ferry0", "@g.", "192.0.2.60", "2001:db8::60", "10.9.0.50"):
                assert word not in left, f"a guest's {word} is left:\n{left}"
            host.net_command("delete", "lab")


@timeout(120)
def test_two_networks_share_what_they_need():
    """The first one goes, the second one still forwards; then the host is as before."""
    with NetHost() as host, NetNs() as lan:
        own_host(host, lan)
        with host.unchanged():
            host.net_command("create", "one", "--mode", "nat", "--ipv4", "10.9.1.1/24")
            host.net_command("create", "two", "--mode", "route", *ROUTE, "--ipv6",
                             "2001:db8::2/64")
            host.net_command("delete", "one")
            check(host.listing(), [FORWARDING, FORWARDING6], "one of two")
            host.net_command("delete", "two")
