# SPDX-License-Identifier: MIT
"""ferry-net beside a guest: it has the privileges, and outlives the guest by a moment."""
import array
import contextlib
import json
import os
import pathlib
import select
import shutil
import signal
import socket

from ferrytest import Guest, NetHost, NetNs, Proc, each, links, timeout, tmp_dir, \
    vanishes
from ferrytest.guest import guest_image
from ferrytest.paths import FERRY

FERRY_NET = FERRY.parent / "ferry-net"
UP = r"^net: up ip=(\S+)/\d+ "
REQUEST = {"kind": "network", "name": "lab", "bridge": "", "mode": "", "guest": "g", "nic": 0,
           "queues": 1, "mtu": 0, "vlan": 0, "unfiltered": False, "trial": False,
           "mac": "02:00:00:00:00:01", "ip": "", "ip6": ""}


def helper_of(pid):
    """The ferry-net of a guest's process."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    for child in map(int, children.split()):
        if os.readlink(f"/proc/{child}/exe") == str(FERRY_NET):
            return child
    return None


def wait_ended(pidfd):
    """Until the process of the descriptor has ended."""
    assert select.select([pidfd], [], [], 30)[0], "it does not end"


def kill_now(pid):
    """Kill a process and wait for its end."""
    pidfd = os.pidfd_open(pid)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    wait_ended(pidfd)
    os.close(pidfd)


@contextlib.contextmanager
def network_guest(host):
    """A guest on network lab, once it has its address."""
    with host.guest("ip=dhcp", net="lab") as guest:
        guest.wait_for(UP, 60)
        yield guest


def test_the_guest_has_no_library_for_networks():
    with NetHost() as host:
        host.net_command("create", "lab", "--mode", "nat")
        with network_guest(host) as guest:
            maps = pathlib.Path(f"/proc/{guest.pid}/maps").read_text(encoding="ascii")
            assert "libslirp" in maps and "libnl" not in maps and "libnft" not in maps
            assert helper_of(guest.pid)


def end(guest, how):
    """Let it be killed, or ended as its user would; returns when its process has gone."""
    if how == "kill":
        guest.signal(signal.SIGKILL)
    else:
        assert guest.ferry("destroy", guest.name).wait() == 0
    guest.wait()


def traces(host):
    """Rules, files and neighbours, to which a guest's nic adds."""
    files = "".join(f"{path}\n" for path in sorted(host.state.rglob("*")))
    return host.run("nft", "list", "ruleset") + files + host.ip("neigh show proxy")


@each(how=["kill", "destroy"])
@timeout(120)
def test_all_is_taken_back_when_the_guest_has_gone(how):
    """No command is needed for that: the helper sees the guest go."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat", "--forward", "tcp:8080=g:7")
        before = traces(host)
        with network_guest(host) as guest:
            assert traces(host) != before
            helper = os.pidfd_open(helper_of(guest.pid))
            # What a terminal or a service manager sends to all goes past it.
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.pidfd_send_signal(helper, number)
            end(guest, how)
            wait_ended(helper)
            os.close(helper)
        assert traces(host) == before
        assert host.net_json("repair") == {"repaired": 0}
        host.net_command("delete", "lab")


@timeout(120)
def test_a_helper_that_was_killed():
    """The guest goes on; whoever comes after it takes back what is left."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat")
        with network_guest(host) as guest:
            kill_now(helper_of(guest.pid))
            nic = host.nic("lab")
            assert host.net_json("repair") == {"repaired": 0}
            host.run("ping", "-c", "2", "-i", "0.1", "-w", "20", nic["ipv4"])
            end(guest, "destroy")
        assert list(host.state.glob("lab@*"))
        assert host.net_json("repair") == {"repaired": 1}
        assert not list(host.state.glob("lab@*"))
        host.net_command("delete", "lab")


@timeout(120)
def test_each_nic_has_a_helper():
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "hostonly")
        host.net_command("create", "int", "--mode", "internal")
        with host.guest("ip=dhcp", net=["lab", "int,queues=2", "lab"]) as guest:
            guest.wait_for(UP, 60)
            children = pathlib.Path(f"/proc/{guest.pid}/task/{guest.pid}/children")
            assert len(children.read_text(encoding="ascii").split()) == 3
            assert len(host.net_json("show", "lab")["nics"]) == 2
            assert len(host.net_json("show", "int")["nics"]) == 1
            end(guest, "destroy")
        for name in ("lab", "int"):
            host.net_command("delete", name)


@each(how=["kill", "destroy"])
@timeout(60)
def test_a_tap_of_others_gets_back_what_was_changed(how):
    """Down, on no bridge: so it is afterwards, even if the guest was killed."""
    with NetNs() as net:
        net.bridge("br0", "10.77.0.1/24")
        net.ip("tuntap add dev tap0 mode tap vnet_hdr")
        before = net.ip("link show tap0").split(" qdisc ")[0]
        with Guest("net", net="tap:tap0,bridge=br0,mtu=1400", append="ip=10.77.0.2/24",
                   netns=net) as guest:
            guest.wait_for(UP)
            assert "master br0" in net.ip("link show tap0")
            helper = os.pidfd_open(helper_of(guest.pid))
            end(guest, how)
            wait_ended(helper)
            os.close(helper)
        assert net.ip("link show tap0").split(" qdisc ")[0] == before
        assert "master" not in net.ip("link show tap0")


def test_a_new_tap_needs_no_helper():
    with NetNs() as net:
        net.bridge("br0", "10.77.0.1/24")
        with Guest("net", net="bridge:br0", append="ip=10.77.0.2/24", netns=net) as guest:
            guest.wait_for(UP)
            assert helper_of(guest.pid) is None
        vanishes(net, "ferry0")
        assert links(net) == {"lo", "br0"}


def test_without_it_one_line_says_so():
    with NetHost() as host, tmp_dir() as folder:
        alone = shutil.copy(FERRY, folder)
        for argv in (["net", "list"], ["run", "--net", "lab", "--kernel", guest_image("net")]):
            with Proc(alone, *argv, netns=host, env=host.env) as command:
                assert command.wait() == 1
                assert "ferry-net is not installed" in command.err.text
                assert len(command.err.text.splitlines()) == 1, command.err.text


# --- whoever talks to it is hostile ---------------------------------------------------
class Helper:
    """ferry-net attach, and the other end of its socket. Use as a context manager."""

    def __init__(self, host):
        self.sock, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(30)
        self.pid = os.posix_spawn("/usr/bin/nsenter",
                                  ["nsenter", f"--net={host.path()}", "--", FERRY_NET, "attach"],
                                  {**os.environ, **host.env},
                                  file_actions=[(os.POSIX_SPAWN_DUP2, its_end.fileno(), 0)])
        its_end.close()
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Hang up; it must end by itself, with success. Returns its exit status."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        self.sock.close()
        pidfd = os.pidfd_open(self.pid)
        wait_ended(pidfd)
        os.close(pidfd)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        assert status == 0, status

    def ask(self, text):
        """Send bytes or a request; its answer, and how many descriptors came with that."""
        self.sock.send(text if isinstance(text, bytes) else json.dumps(text).encode())
        data, control, _, _ = self.sock.recvmsg(4096, 4096)
        fds = array.array("i")
        for _, _, part in control:
            fds.frombytes(part)
        self.fds += fds
        return json.loads(data), len(fds)


def test_strange_requests():
    with NetHost() as host, host.unchanged(), Helper(host) as helper:
        for text in [b"x", b"{}", b"[" * 2047, b"\xff\x00", b'{"kind":"network"}',
                     {**REQUEST, "name": "../etc"}, {**REQUEST, "more": 1},
                     {**REQUEST, "kind": "tap", "name": "a/b"}, {**REQUEST, "guest": "a@b.journal"},
                     {**REQUEST, "queues": 1 << 40}, {**REQUEST, "name": "nosuch"}]:
            answer, nr_fds = helper.ask(text)
            assert answer["code"] < 0 and answer["error"] and nr_fds == 0, answer


def test_too_much_is_refused():
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "internal")
        with Helper(host) as helper:
            answers = [helper.ask({**REQUEST, "nic": nic, "mac": f"02:00:00:00:00:{nic:02x}"})
                       for nic in range(9)]
            assert [nr_fds for _, nr_fds in answers] == [2] * 8 + [0]
            assert "more than 8 nics" in answers[8][0]["error"]
        # A packet that is too long, or nothing, ends the conversation.
        with Helper(host) as helper:
            assert helper.ask(REQUEST)[1] == 2
            helper.sock.send(b"x" * 3000)
            assert helper.sock.recv(100) == b""
        assert host.net_json("show", "lab")["nics"] == []
        host.net_command("delete", "lab")


def test_descriptors_sent_to_it_are_dropped():
    with NetHost() as host, Helper(host) as helper, open("/dev/null", "rb") as null:
        socket.send_fds(helper.sock, [b"{}"], [null.fileno()] * 200)
        assert json.loads(helper.sock.recv(4096))["code"] < 0
        open_files = [os.readlink(path) for path in
                      pathlib.Path(f"/proc/{helper.pid}/fd").iterdir()]
        assert len(open_files) == 4, open_files


def test_who_keeps_what_he_got_is_off_the_network():
    """The lock and the tap are kept open, but the conversation ends: all is taken back."""
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "internal")
        helper = Helper(host)
        assert helper.ask(REQUEST)[1] == 2
        kept, helper.fds = helper.fds, []
        helper.close()
        assert host.net_json("show", "lab")["nics"] == []
        assert "master" not in host.ip("link show ferry0")
        for fd in kept:
            os.close(fd)
        host.net_command("delete", "lab")


def test_it_wants_its_socket():
    with Proc(FERRY_NET, "attach") as command:
        assert command.wait() == 2 and "ferry run" in command.err.text
