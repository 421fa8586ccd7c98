# SPDX-License-Identifier: MIT
"""What `ferry net` and --net refuse: one line, and the host is as it was."""
import contextlib
import json

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

# A nic's words, status, words of the message.
REFUSED_NICS = [
    ("lab,vlan=7", 1, ["vlan", "without --vlan"]),
    ("lab,vlan=4095", 2, ["vlan", "1 to 4094"]),
    ("lab,vlan=-1", 2, ["vlan"]),
    ("lab,ip=10.7.0.9", 1, ["10.7.0.9", "not of the network"]),
    ("lab,ip=10.9.0.1", 1, ["10.9.0.1", "taken"]),
    ("lab,ip=10.9.0", 2, ["10.9.0", "not an address"]),
    ("lab,ip6=2001:db8::9", 1, ["2001:db8::9", "not of the network"]),
    ("lab,ip6=10.9.0.2", 2, ["10.9.0.2"]),
    ("lab,mac=01:00:00:00:00:01", 2, ["01:00:00:00:00:01", "not the address of a nic"]),
    ("lab,mac=00:00:00:00:00:00", 2, ["not the address of a nic"]),
    ("lab,mac=02:00:00:00:00", 2, ["not the address of a nic"]),
    ("other", 1, ["other", "there is none"]),
    ("Lab", 2, ["Lab"]),
    ("../lab", 2, ["../lab"]),
    ("broken", 1, ["broken.json"]),
    ("bridge:none0", 1, ["none0"]),
    ("bridge:eth1", 1, ["eth1"]),
    ("tap:web0,bridge=none0", 1, ["none0"]),
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
        before = None
        for argv, status, words in REFUSED:
            print(argv)
            before = host.refused("create", *argv, words=words, status=status, before=before)


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


@each(dry=[True, False])
def test_nics(dry):
    """A guest that cannot be is not begun, and a dry run says the same."""
    with Host() as host:
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24", "--ipv6",
                         "fd00:9::1/64")
        (host.defs / "broken.json").write_text("{\"name\": \"broken\", ", encoding="ascii")
        before = None
        for net, status, words in REFUSED_NICS:
            print(net)
            with host.unchanged(before) as before, \
                    Guest("net", *["--dry-run"][:dry], net=net, netns=host, runtime=host.runtime,
                          env=host.env) as guest:
                assert guest.wait() == status
                lines = guest.err.text.splitlines()
                assert len(lines) == 1, lines
                for word in words:
                    assert word in lines[0], lines[0]
        (host.defs / "broken.json").unlink()


def idle(host):
    """Another guest on the network."""
    return Guest("idle", net="lab", name="other", netns=host, runtime=host.runtime, env=host.env)


def check_dry_run(host):
    """Two nics on the network are fine, and it is as before."""
    with host.unchanged(), Guest("net", "--dry-run", net=["lab", "lab,ip=10.9.0.9"], netns=host,
                                 runtime=host.runtime, env=host.env) as guest:
        assert guest.wait() == 0, guest.err.text
        assert [nic["backend"] for nic in json.loads(guest.out.text)["net"]] == ["lab", "lab"]


@each(up=[True, False])
def test_dry_run(up):
    """It tries everything, and leaves nothing: a network that was down is down again."""
    with Host() as host:
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24")
        with contextlib.ExitStack() as others:
            if up:
                others.enter_context(idle(host)).wait_for("^idle ready", 60)
            else:
                text = (host.defs / "lab.json").read_text(encoding="ascii")
                host.net_command("delete", "lab")
                (host.defs / "lab.json").write_text(text, encoding="ascii")
            check_dry_run(host)
            assert host.net_json("show", "lab")["up"] is up
        if not up:
            # What is in its way is said, by the same line as without --dry-run.
            host.ip("addr add 10.9.0.7/24 dev eth1")
            with host.unchanged(), Guest("net", "--dry-run", net="lab", netns=host,
                                         runtime=host.runtime, env=host.env) as guest:
                assert guest.wait() == 1
                assert "10.9.0.1/24 is in use" in guest.err.text
