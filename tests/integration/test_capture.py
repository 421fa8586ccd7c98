# SPDX-License-Identifier: MIT
"""ferry capture: what a guest's nic sends and receives, in a file others can read."""
import array
import contextlib
import json
import os
import signal
import socket
import time

from ferrytest import (Guest, Lab, NetNs, Proc, each, fds, require_root, require_tool, run, timeout,
                       tmp_dir)
from ferrytest.control import ControlError
from ferrytest.paths import FERRY
from ferrytest.pcapng import Capture
from ferrytest.proc import WAIT_S

HOST, GUEST = "10.79.0.1", "10.79.0.2"
FLOOD = f"flood={HOST}:9 size=1000"


@contextlib.contextmanager
def running(words="", option="tap:cap0", **kwargs):
    """The net guest on a tap of a namespace: both."""
    require_root()
    with NetNs() as net:
        net.tap("cap0", f"{HOST}/24", queues=kwargs.pop("queues", 1))
        with Guest("net", net=option, append=f"ip={GUEST}/24 {words}", netns=net,
                   **kwargs) as guest:
            guest.wait_for(r"^net: up ip=.* features=\S+$")
            yield net, guest


@contextlib.contextmanager
def capturing(guest, path, *argv, **kwargs):
    """`ferry capture`, once it captures."""
    with guest.ferry("capture", guest.name, *argv, "--write", path, **kwargs) as proc:
        proc.err.wait_for("; Ctrl-C ends it", WAIT_S)
        yield proc


def end(proc, sig=signal.SIGINT, status=0):
    """End it as a person does; what it said last."""
    proc.signal(sig)
    assert proc.wait() == status, proc.err.text
    return proc.err.text.splitlines()[-1]


def ping(net, count=5, size=56):
    """Frames in both directions."""
    net.run("ping", "-c", str(count), "-i", "0.01", "-s", str(size), GUEST)


def echo(net, size=100):
    """A datagram to the guest's echo service, and back."""
    with net.socket(socket.SOCK_DGRAM) as sock:
        sock.sendto(b"x" * size, (GUEST, 7))
        assert sock.recv(65536) == b"x" * size


def icmp(packets):
    """Those that are ICMP."""
    return [one for one in packets if one.data[12:14] == b"\x08\x00" and one.data[23] == 1]


def test_both_directions():
    require_tool("tcpdump", "tshark")
    with tmp_dir() as folder, running() as (net, guest), guest.control() as control:
        path = folder / "c.pcapng"
        started = time.time_ns()
        with capturing(guest, path) as proc:
            before = control.execute("ferry-nics")[0]["stats"]
            ping(net)
            after = control.execute("ferry-nics")[0]["stats"]
            last = end(proc)
        capture = Capture(path)
        assert (capture.name, capture.filter, capture.snaplen) == ("net0", None, 262144)
        pings = icmp(capture.packets)
        assert len(pings) == 10
        for number in range(1, 6):  # on a busy host the next one may come before the answer
            ways = [one.inbound for one in pings if one.data[40:42] == number.to_bytes(2, "big")]
            assert ways == [True, False], number
        assert all(one.bytes == len(one.data) == 98 for one in pings)
        times = [one.ns for one in capture.packets]
        assert started < times[0] and times == sorted(times) and times[-1] < time.time_ns()
        for inbound, way in (True, "rx"), (False, "tx"):
            sizes = [one.bytes for one in capture.packets if one.inbound == inbound]
            assert len(sizes) >= after[way]["packets"] - before[way]["packets"]
        nr = len(capture.packets)
        assert capture.statistics == {"seen": nr, "dropped": 0, "accepted": nr}
        assert f"{nr} of {nr} frames written, 0 dropped" in last
        assert path.stat().st_mode & 0o777 == 0o600
        # What others make of it.
        text = run("tcpdump", "-n", "-r", path, "icmp")
        assert text.count("ICMP echo request") == text.count("ICMP echo reply") == 5, text
        text = run("tshark", "-n", "-r", path, "-Y", "icmp", "-T", "fields", "-e", "frame.len",
                   "-e", "frame.interface_name", "-e", "frame.packet_flags_direction")
        for way in "0x00000001", "0x00000002":
            assert text.splitlines().count(f"98\tnet0\t{way}") == 5, text


@each(queues=[1, 2])
def test_filter(queues):
    option = "tap:cap0" if queues == 1 else "tap:cap0,queues=2"
    with tmp_dir() as folder, running(option=option, queues=queues,
                                      words=f"mq={queues}") as (net, guest):
        path = folder / "c.pcapng"
        with capturing(guest, path, "--filter", "udp port 7") as proc:
            ping(net)
            for _ in range(3):
                echo(net)
            end(proc)
        capture = Capture(path)
        assert capture.filter == "udp port 7"
        assert [one.inbound for one in capture.packets] == [True, False] * 3, capture.packets
        assert all(b"x" * 100 in one.data for one in capture.packets)
        assert capture.statistics["accepted"] == 6 and capture.statistics["seen"] >= 16


def test_snaplen():
    """Frames are cut, but a filter sees what it needs."""
    with tmp_dir() as folder, running() as (net, guest):
        path = folder / "c.pcapng"
        for argv in ["net0"], ["net0", "--filter", "icmp and greater 1000"]:
            with capturing(guest, path, *argv, "--snaplen", "64") as proc:
                ping(net, size=1400)
                end(proc)
            capture = Capture(path)
            assert capture.snaplen == 64
            sizes = [(one.bytes, len(one.data)) for one in icmp(capture.packets)]
            assert sizes == [(1442, 64)] * 10


def test_limits():
    """A number of frames, or a time."""
    with tmp_dir() as folder, running() as (net, guest):
        path = folder / "c.pcapng"
        with capturing(guest, path, "--count", "3", "--filter", "icmp") as proc:
            ping(net)
            assert proc.wait() == 0
        assert len(Capture(path).packets) == 3
        with capturing(guest, path, "--duration", "50ms") as proc:
            assert proc.wait() == 0
        assert Capture(path).statistics["dropped"] == 0


def test_standard_output():
    require_tool("tcpdump")
    with running() as (net, guest), guest.ferry("capture", guest.name, "-w", "-", "--count", "4",
                                                "--filter", "icmp") as proc:
        proc.err.wait_for("; Ctrl-C ends it", WAIT_S)
        ping(net)
        assert proc.wait() == 0
        assert len(proc.out.text) > 4 * 98


def received(control):
    """Frames that the guest has sent so far."""
    return control.execute("ferry-nics")[0]["stats"]["tx"]["packets"]


@timeout(120)
def test_flood():
    """Whatever is lost is counted."""
    with tmp_dir() as folder, running(FLOOD) as (_, guest), guest.control() as control:
        path = folder / "c.pcapng"
        with capturing(guest, path, "--snaplen", "128") as proc:
            start = received(control)
            while received(control) < start + 20000:
                assert proc.running(), proc.err.text
            end(proc)
        capture = Capture(path)
        assert capture.statistics["seen"] >= 20000
        assert capture.statistics["seen"] == len(capture.packets) + capture.statistics["dropped"]


@timeout(120)
def test_slow_reader():
    """The guest does not wait for who does not read."""
    with tmp_dir() as folder, running(FLOOD) as (_, guest), guest.control() as control:
        path = folder / "c.pcapng"
        with capturing(guest, path) as proc:
            proc.signal(signal.SIGSTOP)
            start = received(control)
            while received(control) < start + 30000:
                assert guest.running()
            proc.signal(signal.SIGCONT)
            end(proc)
        capture = Capture(path)
        assert capture.statistics["dropped"] > 0
        assert capture.statistics["seen"] == len(capture.packets) + capture.statistics["dropped"]
        assert capture.packets, "what had been there before"


@timeout(120)
def test_killed():
    """It ends by itself when nobody reads any more, traffic or not: no slot is lost."""
    with tmp_dir() as folder, running() as (net, guest):
        idle = fds(guest.pid)
        for round_nr in range(6):
            with capturing(guest, folder / "c.pcapng") as proc:
                if round_nr % 2:
                    ping(net, count=1)
                proc.signal(signal.SIGKILL)
                proc.wait()
        with contextlib.ExitStack() as stack:
            procs = [stack.enter_context(capturing(guest, folder / f"{i}.pcapng"))
                     for i in range(4)]
            with guest.ferry("capture", guest.name, "-w", folder / "more.pcapng") as proc:
                assert proc.wait() == 1 and "net0 is captured 4 times already" in proc.err.text
            assert not (folder / "more.pcapng").exists()
            ping(net)
            for proc in procs:
                end(proc)
            for i in range(4):
                assert len(icmp(Capture(folder / f"{i}.pcapng").packets)) == 10
        deadline = time.monotonic() + 20
        while len(fds(guest.pid)) > len(idle):
            assert time.monotonic() < deadline, fds(guest.pid)


def test_full_disk():
    """It says so; what there was room for can be read."""
    require_tool("tcpdump")
    with tmp_dir() as folder, running(FLOOD) as (_, guest):
        with guest.ferry("capture", guest.name, "-w", "/dev/full") as proc:
            assert proc.wait() == 1 and "/dev/full: No space left on device" in proc.err.text
        script = ('mount -t tmpfs -o size=200k tmpfs "$0"; "$@"; echo status=$?; '
                  'tcpdump -n -r "$0/c.pcapng" 2>&1 | wc -l; cp "$0/c.pcapng" "$0.copy"')
        with Proc("unshare", "-m", "sh", "-c", script, folder, *ferry(guest), "-w",
                  folder / "c.pcapng", env={"XDG_RUNTIME_DIR": str(guest.runtime)}) as proc:
            assert proc.wait() == 0
            assert "No space left on device" in proc.err.text and "status=1" in proc.out.text
        copy = f"{folder}.copy"
        try:
            assert len(Capture(copy).packets) > 100
        finally:
            os.unlink(copy)


def ferry(guest):
    """The words of a capture by hand."""
    return FERRY, "capture", guest.name


def test_refusals():
    """One line, and nothing has happened."""
    with tmp_dir() as folder, running() as (_, guest):
        path = folder / "c.pcapng"
        for argv, status, words in (
                (["-w", path, "--filter", "nonsense at all"], 1, "filter 'nonsense at all': "),
                (["-w", path, "--filter", "(" * 20000], 1, "filter '((((("),
                (["-w", path, "--filter", "tcp and " * 9000 + "tcp"], 1, "64 KiB"),
                (["-w", path, "--filter", "ether host zz"], 1, "filter"),
                (["net7", "-w", path], 1, "there is no nic 'net7'"),
                (["-w", folder / "no/c.pcapng"], 1, "No such file or directory"),
                ([], 2, "nowhere to: give --write FILE.pcapng"),
                (["-w", path, "--snaplen", "63"], 2, "63"),
                (["-w", path, "--duration", "x"], 2, "'x' is not a time")):
            with guest.ferry("capture", guest.name, *argv) as proc:
                assert proc.wait() == status and words in proc.err.text, (argv, proc.err.text)
                lines = [line for line in proc.err.text.splitlines()
                         if not line.endswith("Ctrl-C ends it")]
                assert len(lines) == 1, lines
            assert not path.exists(), argv
        with guest.ferry("capture", "nobody", "-w", path) as proc:
            assert proc.wait() == 1 and "no guest called nobody" in proc.err.text


def execute_with(control, fds_passed, **arguments):
    """ferry-capture with descriptors; the answer."""
    request = json.dumps({"execute": "ferry-capture", "arguments": arguments}).encode() + b"\n"
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds_passed))]
    control.socket.sendmsg([request], ancillary if fds_passed else [])
    answer = control.receive()
    if "error" in answer:
        raise ControlError(answer["error"])
    return answer["return"]


def refused(words, *args, **kwargs):
    """It must be, with these words."""
    try:
        execute_with(*args, **kwargs)
    except ControlError as error:
        assert words in str(error), error
    else:
        raise AssertionError(f"not refused: {words}")


def test_descriptors():
    """Whatever comes with the request: only what can neither block nor mix frames up is taken."""
    with running() as (net, guest), guest.control() as control, contextlib.ExitStack() as stack:
        def pair(kind):
            return [stack.enter_context(one) for one in socket.socketpair(socket.AF_UNIX, kind)]
        before = fds(guest.pid)
        refused("descriptor", control, [])
        must = "must be a connected SOCK_SEQPACKET socket"
        null = os.open("/dev/null", os.O_RDWR)
        stack.callback(os.close, null)
        refused(must, control, [null])
        for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
            refused(must, control, [pair(kind)[0].fileno()])
        lone = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        refused(must, control, [lone.fileno()])
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        refused(must, control, [udp.fileno()])
        ours, theirs = pair(socket.SOCK_SEQPACKET)
        for words, argument in (("no nic 'x'", {"id": "x"}), ("snaplen", {"snaplen": 63}),
                                ("snaplen", {"snaplen": 262145}), ("id", {"id": 1})):
            refused(words, control, [theirs.fileno()], **argument)
        assert fds(guest.pid) == before, "all that was refused is closed"
        # What it does with a reader that closes half of the socket, or talks without end.
        answer = execute_with(control, [theirs.fileno()], id="net0", snaplen=64)
        assert answer == {"id": "net0", "backend": "tap", "host_interface": "cap0"}
        theirs.close()
        ping(net, count=1)
        for _ in range(100):
            with contextlib.suppress(OSError):
                ours.send(b"x" * 1000, socket.MSG_DONTWAIT)
        kinds = []
        while True:
            try:
                data = ours.recv(65536)
            except ConnectionResetError:  # told once that not all was read
                continue
            if not data:
                break
            kinds.append(int.from_bytes(data[:4], "little"))
        assert kinds[-1] == 3 and {1, 2} <= set(kinds)


def test_several_nics():
    require_root()
    with tmp_dir() as folder, Guest("net", net=["user", "user"], append="ip=dhcp") as guest:
        guest.wait_for("^net: up ")
        with guest.ferry("capture", guest.name, "-w", folder / "c.pcapng") as proc:
            assert proc.wait() == 1 and "there are 2 nics: name one" in proc.err.text
        with capturing(guest, folder / "c.pcapng", "net1") as proc:
            end(proc)
        assert Capture(folder / "c.pcapng").name == "net1"


def test_guest_ends():
    """So does the capture, and the file is whole."""
    with tmp_dir() as folder, running() as (net, guest), guest.control() as control:
        path = folder / "c.pcapng"
        with capturing(guest, path) as proc:
            ping(net)
            control.execute("quit")
            assert proc.wait() == 0
            assert "the guest has ended: the capture ends here" in proc.err.text
        capture = Capture(path)
        assert len(icmp(capture.packets)) == 10 and capture.statistics


@timeout(120)
def test_teleport():
    """The capture sees the guest until it leaves, and says where it went."""
    with tmp_dir() as folder, Lab() as lab:
        with lab.host1.guest("net", net="tap,bridge=br0", append="ip=10.77.0.50/24") as guest, \
                lab.host2.receive() as receive:
            lab.console().wait_for("^net: up ")
            path = folder / "c.pcapng"
            with Proc(*ferry(guest), "-w", path, env=lab.host1.env) as proc:
                proc.err.wait_for("; Ctrl-C ends it", WAIT_S)
                lab.host1.net.run("ping", "-c", "3", "-i", "0.01", "10.77.0.50")
                move = lab.host1.teleport("g", receive)
                assert move.result()["status"] == "completed"
                assert proc.wait() == 0
                assert "the guest has moved to tcp:" in proc.err.text, proc.err.text
            receive.arrived("g")
            assert len(icmp(Capture(path).packets)) == 6
