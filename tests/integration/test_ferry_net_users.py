# SPDX-License-Identifier: MIT
"""Users without privilege join networks through a ferry-net with file capabilities."""
import contextlib
import json
import os
import pathlib
import queue
import re
import shutil
import socket
import subprocess
import tempfile
import threading

from ferrytest import Guest, NetHost, each, require_kvm, require_tool, run, timeout
from ferrytest.paths import FERRY

# Nobody else has its runtime directory in /tmp.
UID = 100000 + os.getpid()
GROUP = UID + 1
CAPS = "cap_setuid,cap_setgid,cap_net_admin,cap_net_raw=p"
UP = r"^net: up ip=(\S+)/\d+ "
QUIT_PORT = 9999
ASK = """
import array, json, os, socket, subprocess, sys
ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
ours.settimeout(30)
helper = subprocess.Popen([sys.argv[1], "attach"], stdin=its,
                          env={**os.environ, **json.loads(sys.argv[2])})
its.close()
for request in sys.argv[3:]:
    ours.send(request.encode())
    data, control, _, _ = ours.recvmsg(4096, 4096)
    fds = array.array("i", b"".join(part for _, _, part in control))
    print(json.dumps([json.loads(data), len(fds)]), flush=True)
try:
    os.kill(helper.pid, 19)
    os.kill(helper.pid, 18)
    print("stopped", flush=True)
except PermissionError:
    print("not ours", flush=True)
ours.close()
helper.wait()
"""


class UserHost(NetHost):
    """A host whose /etc/ferry and /run are the test's own, with an installed ferry.

    The mount namespace is held by a process that does nothing else.
    """

    holder_process = None

    def __init__(self):
        require_tool("setcap", "setpriv", "unshare")
        super().__init__()
        self.etc, self.bin = self.folder / "etc", self.folder / "bin"
        self.folder.chmod(0o755)
        self.make_etc()
        self.make_programs()
        self.log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.logged = queue.Queue()
        self.hold_mounts()
        threading.Thread(target=self.read_log, daemon=True).start()
        self.env = {}
        self.defs = self.etc / "ferry" / "networks"
        self.user_runtime = self.folder / "user"
        self.user_runtime.mkdir(mode=0o700)
        os.chown(self.user_runtime, UID, UID)

    def make_etc(self):
        """As little of /etc as programs need, and users of the test's own."""
        (self.etc / "ferry" / "networks").mkdir(parents=True)
        for name in ("ld.so.cache", "nsswitch.conf"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", self.etc)
        (self.etc / "passwd").write_text(
            f"root:x:0:0::/root:/bin/sh\nalice:x:{UID}:{UID}::/nowhere:/bin/sh\n")
        (self.etc / "group").write_text(
            f"root:x:0:\nalice:x:{UID}:\nguests:x:{GROUP}:alice\n")
        self.allow("allow alice lab\n")

    def make_programs(self):
        """ferry, and a ferry-net with file capabilities beside it."""
        self.bin.mkdir()
        self.ferry = shutil.copy(FERRY, self.bin)
        self.helper = shutil.copy(FERRY.parent / "ferry-net", self.bin)
        run("setcap", CAPS, self.helper)

    def hold_mounts(self):
        """/etc, /run, /dev/kvm and /dev/log of this host alone."""
        kvm = self.folder / "kvm"
        os.mknod(kvm, 0o20666, os.stat("/dev/kvm").st_rdev)
        kvm.chmod(0o666)
        dev = self.folder / "dev"
        dev.mkdir()
        (dev / "log").touch()
        self.log.bind(str(self.folder / "log"))
        script = (f"mount --bind {self.etc} /etc && mount -t tmpfs -o mode=755 tmpfs /run && "
                  f"mount -t overlay overlay -o lowerdir={dev}:/dev /dev && "
                  f"mount --bind {kvm} /dev/kvm && mount --bind {self.folder}/log /dev/log && "
                  "echo ready && read -r line")
        self.holder_process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.holder_process.stdout.readline() == "ready\n", \
            self.holder_process.stderr.read()
        self.state = pathlib.Path(f"/proc/{self.holder_process.pid}/root/run/ferry/net")

    def read_log(self):
        """Whoever logs must not have to wait."""
        while text := self.log.recv(4096):
            self.logged.put(text.decode())

    def wait_logged(self, word):
        """The next line of the log that has a word."""
        while word not in (line := self.logged.get(timeout=30)):
            pass
        return line

    def prefix(self):
        """See NetNs."""
        if not self.holder_process:
            return super().prefix()
        return ["nsenter", f"--net={self.path()}",
                f"--mount=/proc/{self.holder_process.pid}/ns/mnt",
                f"--root=/proc/{self.holder_process.pid}/root", "--wdns=/", "--"]

    def close(self):
        self.holder_process.stdin.close()
        self.holder_process.wait()
        self.holder_process.stdout.close()
        self.holder_process.stderr.close()
        self.log.shutdown(socket.SHUT_RDWR)
        self.log.close()
        super().close()

    def allow(self, text):
        """Write the access list."""
        (self.etc / "ferry" / "net-allow").write_text(text, encoding="ascii")

    def ask(self, *requests, env=None):
        """What ferry-net answers alice: [(answer, descriptors)], and the last word of ASK."""
        lines = run(*AsUser(self).prefix(), "/usr/bin/python3", "-c", ASK, self.helper,
                    json.dumps(env or {}),
                    *[json.dumps({**REQUEST, **request}) for request in requests]).splitlines()
        return [json.loads(line) for line in lines[:-1]], lines[-1]


class AsUser:
    """A host as seen by alice, who has no capabilities."""

    def __init__(self, host):
        self.host = host

    def prefix(self):
        """See NetNs."""
        return [*self.host.prefix(), "setpriv", f"--reuid={UID}", f"--regid={UID}",
                "--init-groups", "--inh-caps=-all", "--ambient-caps=-all", "--"]


REQUEST = {"kind": "network", "name": "lab", "bridge": "", "mode": "", "guest": "g", "nic": 0,
           "queues": 1, "mtu": 0, "vlan": 0, "unfiltered": False, "trial": False,
           "mac": "02:00:00:00:00:01", "ip": "", "ip6": ""}


@contextlib.contextmanager
def lab(host, *argv):
    """The network lab, made by root."""
    host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24", *argv)
    yield
    host.net_command("delete", "lab")


@timeout(120)
def test_a_guest_of_an_unprivileged_user():
    require_kvm()
    with UserHost() as host, host.unchanged(), lab(host):
        with tempfile.TemporaryDirectory() as folder:
            image = shutil.copy(FERRY.parent / "guest-images" / "net.elf", folder)
            os.chmod(folder, 0o755)
            guest = UserGuest(host, image)
            with guest:
                address = guest.wait_for(UP, 60)[1]
                host.run("ping", "-c", "2", "-i", "0.1", "-w", "20", address)
                assert f"\nUid:\t{UID}\t{UID}\t{UID}\t{UID}\n" in pathlib.Path(
                    f"/proc/{guest.pid}/status").read_text(encoding="ascii")
                assert host.nic("lab")["ipv4"] == address
                log = host.wait_logged("ferry-net")
                assert f"user {UID}, guest g.0, " in log and log.endswith("lab: allowed"), log
                with host.socket(socket.SOCK_DGRAM) as sock:
                    sock.sendto(b"quit", (address, QUIT_PORT))
                assert guest.wait() == 0
        assert host.nic("lab") is None


class UserGuest(Guest):
    """A guest of alice."""

    def __init__(self, host, image):
        argv = [host.ferry, "run", "--name", "g", "--kernel", image, "--net", "lab", "--memory",
                "64M", "--append", "ip=dhcp"]
        self.own_runtime, self.name, self.runtime = None, "g", host.user_runtime
        super(Guest, self).__init__(*argv, netns=AsUser(host),
                                    env={"XDG_RUNTIME_DIR": str(host.user_runtime)})


LISTS = {
    "nobody": "",
    "another user": "allow bob *\n",
    "another network": "allow alice dmz\n",
    "denied": "allow alice lab\ndeny @guests *\n",
    "not understood": "allow alice lab\nnonsense\n",
}


@each(why=list(LISTS))
def test_who_is_not_in_the_list(why):
    with UserHost() as host, lab(host), host.unchanged():
        host.allow(LISTS[why])
        answers, _ = host.ask({})
        assert answers[0][0]["code"] < 0 and answers[0][1] == 0, answers
        assert "net-allow" in answers[0][0]["error"]
        log = host.wait_logged("ferry-net")
        assert f"user {UID}, " in log and "net-allow" in log, log


def test_a_group_is_enough():
    with UserHost() as host, lab(host):
        host.allow("allow @guests *\n")
        answers, last = host.ask({})
        assert answers[0][0]["code"] == 0 and answers[0][1] == 2, answers
        # Nor can he stop it, who has the lock on all networks now and then.
        assert last == "not ours"
        assert host.nic("lab") is None


def test_what_others_can_write_is_not_believed():
    with UserHost() as host, lab(host), host.unchanged():
        ferry = host.etc / "ferry"
        for path in (ferry / "net-allow", ferry, host.defs, host.defs / "lab.json"):
            mode = path.stat().st_mode
            path.chmod(mode | 0o002)
            answer = host.ask({})[0][0][0]
            assert answer["code"] < 0 and "others than root can change it" in answer["error"]
            path.chmod(mode)
            os.chown(path, UID, 0)
            answer = host.ask({})[0][0][0]
            assert answer["code"] < 0 and "others than root can change it" in answer["error"]
            os.chown(path, 0, 0)
        (ferry / "net-allow").unlink()
        assert "no user but root" in host.ask({})[0][0][0]["error"]


def test_only_what_is_asked_for_modestly():
    with UserHost() as host, host.unchanged(), lab(host):
        asked = [{"kind": "tap", "name": "eth0"},
                 {"kind": "macvtap", "name": "eth0", "mode": "bridge"},
                 {"unfiltered": True}, {"vlan": 7},
                 {"name": "../lab"}, {"name": "nosuch"}, {"guest": "a/b"},
                 {"mac": host.ip("-j link show fy-lab").split('"address":"')[1][:17]},
                 {"ip": "10.9.0.1"}, {"ip": "10.8.0.5"}]
        host.allow("allow alice *\n")
        for request in asked:
            answer, nr_fds = host.ask(request)[0][0]
            assert answer["code"] < 0 and nr_fds == 0, (request, answer)


def test_addresses_of_others_cannot_be_had():
    with UserHost() as host, lab(host):
        answers, _ = host.ask({}, {"nic": 1}, {"nic": 1, "mac": "02:00:00:00:00:02"},
                              {"mac": "02:00:00:00:00:03"})
        assert [answer["code"] == 0 for answer, _ in answers] == [True, False, True, False]
        assert re.search(r"MAC.* is taken", answers[1][0]["error"]), answers[1]
        assert not list(host.state.glob("lab@*"))


def test_the_caller_s_environment_and_definitions_count_for_nothing():
    with UserHost() as host, host.unchanged(), lab(host):
        own = host.user_runtime / "networks"
        own.mkdir()
        text = (host.defs / "lab.json").read_text(encoding="ascii")
        (own / "mine.json").write_text(text.replace('"lab"', '"mine"'), encoding="ascii")
        host.allow("allow alice *\n")
        env = {"FERRY_NETWORKS": str(own), "XDG_RUNTIME_DIR": str(host.user_runtime),
               "XDG_CONFIG_HOME": str(own), "HOME": str(own), "PATH": f"{own}:{os.environ['PATH']}",
               "FERRY_NET_FAULT": "fail@lab@g.0.journal:1", "LD_PRELOAD": "/nonexistent.so"}
        answers, _ = host.ask({"name": "mine"}, {}, env=env)
        assert answers[0][0]["code"] < 0 and "/etc/ferry/networks" in answers[0][0]["error"]
        assert answers[1][0]["code"] == 0, answers
        assert not (host.user_runtime / "ferry").exists()


def test_commands_have_no_more_rights_than_the_user():
    with UserHost() as host, lab(host), host.unchanged():
        for argv in (["create", "x", "--mode", "nat"], ["delete", "lab"], ["show", "lab"]):
            said = run(*AsUser(host).prefix(), "sh", "-c",
                       f"! {host.ferry} net {' '.join(argv)} 2>&1")
            assert len(said.splitlines()) == 1, said
        # Its own runtime directory was made for that.
        shutil.rmtree(f"/tmp/ferry-{UID}")


def test_a_network_is_made_by_who_joins_first():
    """As after a reboot; dnsmasq and all."""
    with UserHost() as host, lab(host):
        text = (host.defs / "lab.json").read_text(encoding="ascii")
        host.net_command("delete", "lab")
        (host.defs / "lab.json").write_text(text, encoding="ascii")
        answer = host.ask({})[0][0][0]
        assert answer["code"] == 0, answer
        assert "fy-lab" in host.ip("link") and host.net_json("show", "lab")["up"]
