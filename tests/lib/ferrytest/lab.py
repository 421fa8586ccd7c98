# SPDX-License-Identifier: MIT
"""Hosts between which guests teleport.

    with Lab() as lab:
        host1, host2 = lab.hosts
        with host1.guest("dirty", name="g") as guest, host2.receive() as receive:
            assert host1.teleport("g", receive).result()["status"] == "completed"
            copy = receive.arrived("g")
            lab.check_one_copy("g", host2)

Each host is a network namespace and a runtime directory; all processes see the same
files, so a disk image is shared storage. In each there is a bridge `br0` with the
host's address, for the taps of guests, and its cable to the switch, which is a
namespace of its own: there a cable can be cut without either end noticing.
"""
import contextlib
import fcntl
import json
import os
import pathlib
import re
import select
import signal
import struct
import tempfile

from .control import Control
from .guest import Guest, options
from .leaks import files_below, links
from .netns import NetNs
from .paths import FERRY
from .proc import WAIT_S, Proc, Stream, run
from .receive import Receive

PORT = 8002
ADDRESSES = {"host1": "10.77.0.1", "host2": "10.77.0.2", "peer": "10.77.0.9"}
F_OFD_GETLK, F_OFD_SETLKW, F_WRLCK, F_UNLCK = 36, 38, 1, 2
FLOCK = "hhqqi4x"


class Console:
    """What a guest prints, wherever it runs: a pipe that both processes write to."""

    def __init__(self, path):
        self.path = path
        os.mkfifo(path)
        # Open for writing too, so that the end of one writer is not the end.
        self.keep = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.out = Stream("console", os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        self.option = f"file:{path}"

    def wait_for(self, pattern, timeout_s=WAIT_S):
        """As Stream.wait_for()."""
        return self.out.wait_for(pattern, timeout_s)

    def close(self):
        """The pipe ends once the guests have."""
        os.close(self.keep)
        self.out.finish()


class Copy:
    """The process of a guest that has arrived somewhere."""

    def __init__(self, host, name, pid):
        self.host, self.name, self.pid = host, name, pid
        self.pidfd = None  # it has ended already
        with contextlib.suppress(ProcessLookupError):
            self.pidfd = os.pidfd_open(pid)

    def control(self):
        """A connection to its control socket."""
        return self.host.control(self.name)

    def signal(self, number):
        """Send it a signal."""
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def running(self):
        """Has the process not ended yet?"""
        return self.pidfd is not None and not select.select([self.pidfd], [], [], 0)[0]

    def wait(self, timeout_s=WAIT_S):
        """Wait for its end."""
        if self.running() and not select.select([self.pidfd], [], [], timeout_s)[0]:
            raise AssertionError(f"guest {self.name} still runs on {self.host.name}")

    def stop(self):
        """Kill it if it is there, and see it gone."""
        if self.pidfd is None:
            return
        self.signal(signal.SIGKILL)
        self.wait()
        with contextlib.suppress(ChildProcessError):  # its listener's, if that still runs
            os.waitpid(self.pid, os.WNOHANG)
        os.close(self.pidfd)
        self.pidfd = None


class HostReceive(Receive):
    """`ferry receive` on a host; see Host.receive()."""

    def __init__(self, host, *argv, **kwargs):
        self.host = host
        super().__init__(*argv, netns=host.net, env=host.env, **kwargs)

    def destination(self):
        """The address to send guests to."""
        return self.address.replace("0.0.0.0", self.host.address)

    def arrived(self, name, timeout_s=WAIT_S):
        """Wait for a guest; returns its Copy, which lives as long as the lab."""
        found = self.wait_for(rf"^guest {re.escape(name)} arrived from .*, pid (\d+),", timeout_s)
        return self.host.lab.keep(Copy(self.host, name, int(found[1])))

    def failed(self, name=".*", timeout_s=WAIT_S):
        """Wait until a guest has not arrived; returns why."""
        return self.wait_for(rf"^guest {name} did not arrive from [^:]*(?::\d+)?: (.*)$",
                             timeout_s)[1]

    def children(self):
        """Pids of the processes that it has forked."""
        path = f"/proc/{self.pid}/task/{self.pid}/children"
        return [int(pid) for pid in pathlib.Path(path).read_text(encoding="ascii").split()]


class Teleport(Proc):
    """`ferry teleport` under way; see Host.teleport()."""

    def __init__(self, host, name, destination, *argv, **kwargs):
        self.host, self.name = host, name
        super().__init__(FERRY, "teleport", name, destination, "--json", *options(**kwargs),
                         *argv, netns=host.net, env=host.env)

    def result(self, timeout_s=2 * WAIT_S):
        """Wait for its end; returns query-migrate's last answer, with exit_status and error."""
        status = self.wait(timeout_s)
        answer = json.loads(self.out.text) if self.out.text.strip() else {"status": "refused"}
        self.stop()
        return {**answer, "exit_status": status, "error": self.err.text.strip()}

    def wait_held(self, phase, timeout_s=WAIT_S):
        """Wait until the source stands at `phase`."""
        self.host.wait_held(self.name, phase, timeout_s)

    def go_on(self):
        """Let the source leave the phase."""
        self.host.ferry("teleport", self.name, "--continue")

    def cancel(self):
        """Give it up; may fail."""
        return self.host.ferry("teleport", self.name, "--cancel", check=False)


class Host:
    """A host of a Lab."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.address = ADDRESSES[name]
        self.net = lab.stack.enter_context(NetNs())
        self.runtime = lab.folder / name
        self.runtime.mkdir(mode=0o700)
        self.env = {"XDG_RUNTIME_DIR": str(self.runtime)}
        self.net.bridge("br0", f"{self.address}/24")
        lab.switch.veth(f"port-{name}", self.net, "up0")
        lab.switch.ip(f"link set port-{name} master switch")
        self.net.ip("link set up0 master br0")

    def guest(self, image, *extra, name="g", console=True, **kwargs):
        """Start a guest here, as Guest does; its output is lab.console(name)'s."""
        if console:
            kwargs["console"] = self.lab.console(name).option
        return Guest(image, *extra, name=name, runtime=self.runtime, netns=self.net, **kwargs)

    def receive(self, *argv, console_of="g", listen=f"tcp:0.0.0.0:{PORT}", insecure=True,
                net_allow=("user", "network", "bridge:br0"), **kwargs):
        """`ferry receive` here, which lets everybody in the lab in, allows `net_allow`, and
        gives guests the console of `console_of`."""
        argv = [*argv, *options(allow="10.77.0.0/24", **kwargs)]
        for rule in net_allow:
            argv += ["--net-allow", rule]
        if console_of:
            argv += ["--console", self.lab.console(console_of).option]
        return HostReceive(self, *argv, listen=listen, insecure=insecure)

    def teleport(self, name, destination, *argv, max_downtime="2s", **kwargs):
        """Begin to send a guest of this host to a HostReceive, or to an address.

        What does not care about the downtime gets one that a busy machine can keep."""
        if isinstance(destination, HostReceive):
            destination = destination.destination()
        return self.lab.stack.enter_context(Teleport(self, name, destination, *argv,
                                                      max_downtime=max_downtime, **kwargs))

    def ferry(self, *argv, check=True, **kwargs):
        """A ferry command on this host, to its end; returns its output."""
        return run(*self.net.prefix(), FERRY, *argv, check=check, env={**os.environ, **self.env},
                   **kwargs)

    def control(self, name="g"):
        """A connection to a guest's control socket."""
        return Control(f"{self.runtime}/ferry/{name}.sock", negotiate=True)

    def wait_held(self, name, phase, timeout_s=WAIT_S):
        """Wait until a teleport on this host, of either side, stands at `phase`."""
        with self.control(name) as control:
            while not (state := control.execute("query-migrate").get("ferry", {})).get("held") \
                    or state["phase"] != phase:
                control.wait_event("MIGRATION", timeout_s)

    def status(self, name="g"):
        """QMP's status of a guest; None: it is not here."""
        for info in json.loads(self.ferry("list", "--json")):
            if info["name"] == name:
                return info["status"]
        return None


class Lab:
    """host1, host2 and peer on one switch. Use as a context manager."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.holder = tempfile.TemporaryDirectory(prefix="ferrytest-lab-")
        self.folder = pathlib.Path(self.holder.name)
        self.consoles = {}
        self.copies = []
        try:
            self.switch = self.stack.enter_context(NetNs())
            self.switch.bridge("switch")
            self.host1, self.host2, self.peer = (Host(self, name) for name in ADDRESSES)
            for host in self.hosts + [self.peer]:
                self.switch.bring_up(f"port-{host.name}")
                host.net.bring_up("up0")
            self.links = {host.name: links(host.net) for host in self.hosts}
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self):
        """The two that have guests."""
        return [self.host1, self.host2]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            for console in self.consoles.values():
                print(f"--- {console.path}:\n{console.out.text}", flush=True)
        self.close()

    def close(self):
        """Kill what is left, remove all."""
        for copy in self.copies:
            copy.stop()
        self.stack.close()
        for console in self.consoles.values():
            console.close()
        self.holder.cleanup()

    def keep(self, copy):
        """Take care of its end."""
        self.copies.append(copy)
        return copy

    def console(self, name="g"):
        """The Console of a guest, made when it is first asked for."""
        if name not in self.consoles:
            self.consoles[name] = Console(self.folder / f"{name}.console")
        return self.consoles[name]

    def disk(self, name="disk.img", mib=16):
        """The path of a new image, which both hosts see."""
        path = self.folder / name
        with open(path, "wb") as image:
            image.truncate(mib << 20)
        return path

    # --- what can go wrong ---

    def cut(self, host):
        """Its cable is cut at the switch: packets vanish, and nobody is told."""
        self.switch.ip(f"link set port-{host.name} down")

    def mend(self, host):
        """The cable is whole again."""
        self.switch.ip(f"link set port-{host.name} up")

    def reset(self, host):
        """Every TCP connection of the host is reset, at both ends."""
        host.net.run("ss", "-K", "-t", "state", "established")

    # --- what must hold afterwards ---

    def check_one_copy(self, name, where):
        """The guest runs on `where`, and on no other host."""
        expected = {host.name: "running" if host is where else None for host in self.hosts}
        for _ in range(100):
            states = {host.name: host.status(name) for host in self.hosts}
            # One that is just ending still has its name: nothing tells when that is over.
            if "no answer" not in states.values():
                break
            select.select([], [], [], 0.05)
        assert states == expected, f"{name}: {states}, expected {expected}"

    def check_no_copy(self, name):
        """The guest is nowhere: only right after the one that held it was killed."""
        assert all(host.status(name) is None for host in self.hosts)

    def check_disk(self, path, locked):
        """Does somebody hold the image's lock?"""
        if locked:
            assert is_locked(path), f"{path} is not locked"
        else:
            wait_for_lock(path)

    def check_clean(self):
        """No guest, interface or file of one is left on any host."""
        for host in self.hosts:
            self.check_clean_host(host)

    def check_clean_host(self, host):
        """The same for one."""
        left = links(host.net) - self.links[host.name]
        assert not left, f"{host.name} has still {left}"
        files = {path for path in files_below(host.runtime)
                 if not path.endswith(("/ferry", "/ferry/lock"))}
        assert not files, f"{host.name} has still {files}"


def is_locked(path):
    """Is there a lock on the file that excludes a second writer?"""
    with open(path, "r+b") as image:
        asked = struct.pack(FLOCK, F_WRLCK, os.SEEK_SET, 0, 0, 0)
        return struct.unpack(FLOCK, fcntl.fcntl(image, F_OFD_GETLK, asked))[0] != F_UNLCK


def wait_for_lock(path):
    """Wait until the file can be locked for writing: the kernel lets go of a killed
    process's io_uring, and so of its files, a little after its end."""
    with open(path, "r+b") as image:
        fcntl.fcntl(image, F_OFD_SETLKW, struct.pack(FLOCK, F_WRLCK, os.SEEK_SET, 0, 0, 0))
