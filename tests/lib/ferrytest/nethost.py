# SPDX-License-Identifier: MIT
"""A host with managed networks, and what a person would look at on it.

    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat")
        with host.guest("ip=dhcp", net="lab") as guest:
            guest.wait_for("^net: up")
        host.net_command("delete", "lab")

Each is a network namespace with its own folders for definitions and state, so that
any number of them live on one machine.
"""
import contextlib
import difflib
import json
import os
import pathlib
import re
import tempfile

from .guest import Guest
from .netns import NetNs
from .paths import FERRY
from .proc import Proc, run

# What a person types to see the host's network: links, addresses, routes, neighbours, rules,
# settings, who listens. One shell for all of them, and no sysctl(8), which looks at each file
# there is before it asks whether it is wanted: some tests look at the host a hundred times.
LISTINGS = """\
ip -d link; ip addr; ip rule; ip -6 rule
ip route show table all; ip -6 route show table all
ip neigh show proxy; ip -6 neigh show proxy; ip neigh show nud permanent
bridge fdb; bridge -d link; tc qdisc; nft list ruleset; ss -Hlntu
cd /proc/sys; grep -rs "" net/ipv4 net/ipv6 net/bridge || [ $? = 2 ]
"""
SETTLED = """\
until ! ip -6 addr show tentative | grep -q inet6; do :; done
until ! ip link show up type bridge | grep -q 'state UNKNOWN'; do :; done
"""


def check_same(before, after):
    """Two listings must be equal; says how they differ."""
    assert before == after, "the host has changed:\n" + "\n".join(
        difflib.unified_diff(before.splitlines(), after.splitlines(), "before", "after",
                             lineterm="", n=2))


class NetHost(NetNs):
    """A NetNs in which `ferry` has folders of its own. Use as a context manager."""

    def __init__(self):
        super().__init__()
        self.holder = tempfile.TemporaryDirectory(prefix="ferrytest-nethost-")
        self.folder = pathlib.Path(self.holder.name)
        self.runtime = self.folder / "run"
        self.runtime.mkdir(mode=0o700)
        self.defs = self.folder / "networks"
        self.state = self.runtime / "ferry" / "net"
        self.env = {"XDG_RUNTIME_DIR": str(self.runtime), "FERRY_NETWORKS": str(self.defs)}

    def close(self):
        super().close()
        self.holder.cleanup()

    def __exit__(self, *_):
        # What is still up has a dnsmasq that nothing else would end.
        with contextlib.suppress(AssertionError):
            for path in sorted(self.defs.glob("*.json")):
                self.net_command("delete", path.stem)
        self.close()

    # --- ferry ---

    def net_command(self, *argv, check=True, env=None):
        """`ferry net ...` to its end; what it printed."""
        return run(*self.prefix(), FERRY, "net", *argv, check=check,
                   env={**os.environ, **self.env, **(env or {})})

    def net_json(self, *argv):
        """The same, with --json, read."""
        return json.loads(self.net_command(*argv, "--json"))

    def start_net_command(self, *argv, env=None):
        """The same as a Proc."""
        return Proc(FERRY, "net", *argv, netns=self, env={**self.env, **(env or {})})

    def refused(self, *argv, words=(), status=1, before=None):
        """`ferry net ...` must fail with one line that has all these words, and change nothing.
        Returns what the host looks like, for the next one's `before`."""
        with self.unchanged(before) as before, self.start_net_command(*argv) as command:
            assert command.wait() == status, command.err.text
            lines = [line for line in command.err.text.splitlines() if line]
        assert len(lines) == 1, lines
        for word in words:
            assert word in lines[0], lines[0]
        return before

    def guest(self, words, net, name="g", **kwargs):
        """The net guest on a network of this host, told `words`."""
        return Guest("net", net=net, append=words, name=name, netns=self, runtime=self.runtime,
                     env=self.env, **kwargs)

    def nic(self, network, guest="g", index=0):
        """What `ferry net show` says of a guest's nic; None: it is not there."""
        for nic in self.net_json("show", network)["nics"]:
            if (nic["guest"], nic["nic"]) == (guest, index):
                return nic
        return None

    # --- the host ---

    def listing(self):
        """All of LISTINGS, and ferry's files."""
        text = self.run("sh", "-ec", LISTINGS)
        # As sysctl(8) writes settings; but the kernel makes a key when somebody first listens.
        text = re.sub(r"^net/\S*?:", lambda path: path[0][:-1].replace("/", ".") + " = ", text,
                      flags=re.M)
        text = re.sub("tcp_fastopen_key = .*", "", text)
        # Timers run, lifetimes pass.
        text = re.sub(r"(_timer|valid_lft|preferred_lft) +\d[\d.]*", r"\1 N", text)
        files = [path for folder in (self.defs, self.state) if folder.exists()
                 for path in sorted(folder.rglob("*")) if path.name != "lock"]
        return text + "".join(f"{path}\n" for path in files)

    def settle(self):
        """Wait until the kernel has looked for duplicates of IPv6 addresses, and for carriers."""
        self.run("sh", "-c", SETTLED)

    @contextlib.contextmanager
    def unchanged(self, before=None):
        """The host must look the same after the block as before it, to the byte. What it looked
        like is the value, and can be given to the next block if nothing has changed since."""
        if before is None:
            self.settle()
            before = self.listing()
        yield before
        self.settle()
        after = self.listing()
        check_same(before, after)

    def pid_of_dnsmasq(self, network):
        """The dnsmasq of a network."""
        return int((self.state / f"{network}.dhcp" / "pid").read_text(encoding="ascii"))
