# SPDX-License-Identifier: MIT
"""What `ferry net` and --net refuse: one line, and the host is as it was."""
from ferrytest import Guest, NetHost, each

# Arguments after `ferry net create`, words of the message. Status 2: it was asked for wrongly.
REFUSED = [
    (["lab", "--mode", "nat", "--ipv4", "192.0.2.1/24"], 1, ["192.0.2.", "in use", "eth1"]),
    (["lab", "--mode", "nat", "--ipv4", "192.0.0.1/16"], 1, ["in use", "eth1"]),
    (["lab", "--mode", "nat", "--ipv6", "2001:db8::7/64"], 1, ["in use", "eth1"]),
    (["lab", "--mode", "nat", "--ipv4", "198.51.100.1/25"], 1, ["in use", "198.51.100.0/24"]),
    (["lab", "--mode", "nat", "--bridge", "br7"], 1, ["br7", "there already"]),
    (["lab", "--mode", "nat", "--bridge", "eth1"], 1, ["eth1", "there already"]),
    (["lab", "--mode", "bridge", "--bridge", "eth1", "--existing"], 1, ["not a bridge"]),
    (["lab", "--mode", "bridge", "--bridge", "none0", "--existing"], 1, ["no such interface"]),
    (["lab", "--mode", "bridge", "--uplink", "none0"], 1, ["none0", "no such interface"]),
    (["lab", "--mode", "bridge", "--uplink", "port7"], 1, ["port7", "another bridge"]),
    (["lab", "--mode", "route", "--uplink", "none0", "--ipv4", "192.0.2.2/24"], 1, ["none0"]),
    (["lab", "--mode", "route"], 2, ["uplink"]),
    (["lab", "--mode", "nonsense"], 2, ["nonsense", "hostonly"]),
    (["lab"], 2, ["mode"]),
    (["Lab", "--mode", "nat"], 2, ["'Lab'", "a-z"]),
    (["../lab", "--mode", "nat"], 2, ["a-z"]),
    (["1ab", "--mode", "nat"], 2, ["letter first"]),
    (["a-name-too-long", "--mode", "nat"], 2, ["1 to 12"]),
    (["lab", "--mode", "nat", "--bridge", "a/b"], 2, ["a/b"]),
    (["lab", "--mode", "nat", "--bridge", "bridge-name-too-long"], 2, ["name of an interface"]),
    (["lab", "--mode", "nat", "--ipv4", "10.0.0.1"], 2, ["prefix length"]),
    (["lab", "--mode", "nat", "--ipv4", "10.0.0.1/31"], 2, ["prefix length"]),
    (["lab", "--mode", "nat", "--ipv4", "10.0.0.300/24"], 2, ["10.0.0.300"]),
    (["lab", "--mode", "nat", "--ipv4", "10.0.0.0/24"], 2, ["10.0.0.0"]),
    (["lab", "--mode", "nat", "--ipv4", "10.0.0.255/24"], 2, ["10.0.0.255"]),
    (["lab", "--mode", "nat", "--ipv4", "none", "--ipv6", "none"], 2, ["both"]),
    (["lab", "--mode", "internal", "--ipv4", "10.0.0.1/24"], 2, ["internal networks have no"]),
    (["lab", "--mode", "internal", "--peer", "192.0.2.9"], 2, ["vni"]),
    (["lab", "--mode", "internal", "--vni", "3", "--peer", "nobody"], 2, ["nobody"]),
    (["lab", "--mode", "internal", "--vni", "16777216"], 2, ["vni"]),
    (["lab", "--mode", "bridge", "--forward", "tcp:80=web:80"], 2, ["bridge networks have no"]),
    (["lab", "--mode", "nat", "--forward", "tcp:0=web:80"], 2, ["tcp:0=web:80"]),
    (["lab", "--mode", "nat", "--forward", "sctp:1=web:80"], 2, ["tcp|udp"]),
    (["lab", "--mode", "nat", "--forward", "tcp:1=we\"b:80"], 2, ["tcp|udp"]),
    (["lab", "--mode", "nat", "--forward", "tcp:80=a:1", "--forward", "tcp:80=b:1"], 2, ["tcp:80"]),
    (["lab", "--mode", "nat", "--mtu", "500"], 2, ["mtu"]),
]

REFUSED_NICS = [
    ("lab,vlan=7", ["vlan", "without --vlan"]),
    ("lab,ip=10.7.0.9", ["10.7.0.9", "not of the network"]),
    ("lab,ip=10.9.0.1", ["10.9.0.1", "taken"]),
    ("other", ["other", "there is none"]),
    ("broken", ["broken.json"]),
]


class Host(NetHost):
    """With interfaces that are in the way."""

    def __init__(self):
        super().__init__()
        self.defs.mkdir()
        self.state.parent.mkdir(mode=0o700)
        self.state.mkdir()
        self.ip("link add eth1 type veth peer name eth2")
        self.bring_up("eth2")
        self.bring_up("eth1", "192.0.2.2/24")
        self.ip("addr add 2001:db8::2/64 dev eth1 nodad")
        self.ip("route add 198.51.100.0/24 via 192.0.2.1")
        self.bridge("br7")
        self.ip("link add port7 type veth peer name port8")
        self.ip("link set port7 master br7")


def test_create():
    with Host() as host:
        for argv, status, words in REFUSED:
            print(argv)
            host.refused("create", *argv, words=words, status=status)


def test_networks_do_not_overlap_each_other():
    with Host() as host, host.unchanged():
        host.net_command("create", "one", "--mode", "nat", "--ipv4", "10.9.0.1/24")
        host.refused("create", "two", "--mode", "hostonly", "--ipv4", "10.9.0.129/25",
                     words=["in use", "fy-one"])
        host.refused("create", "one", "--mode", "nat", words=["exists already"])
        host.net_command("delete", "one")
        host.refused("delete", "one", words=["there is none"])
        host.refused("show", "one", words=["there is none"])


def test_vlans_where_the_kernel_has_none():
    with Host() as host:
        known = "vlan_filtering 1" in host.run(
            "sh", "-c", "ip link add v type bridge vlan_filtering 1 && ip -d link show v; "
            "ip link del v; true")
        if known:
            with host.unchanged():
                host.net_command("create", "lab", "--mode", "bridge", "--vlan")
                host.net_command("delete", "lab")
        else:
            host.refused("create", "lab", "--mode", "bridge", "--vlan",
                         words=["this kernel's bridges know no VLANs"])


@each(case=range(len(REFUSED_NICS)))
def test_nics(case):
    net, words = REFUSED_NICS[case]
    with Host() as host:
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24")
        (host.defs / "broken.json").write_text("{\"name\": \"broken\", ", encoding="ascii")
        with host.unchanged(), Guest("net", net=net, netns=host, runtime=host.runtime,
                                     env=host.env) as guest:
            assert guest.wait() == 1
            lines = guest.err.text.splitlines()
            assert len(lines) == 1, lines
            for word in words:
                assert word in lines[0], lines[0]
        (host.defs / "broken.json").unlink()
