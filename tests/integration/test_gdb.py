# SPDX-License-Identifier: MIT
"""A real gdb on a guest, and clients that are none.

A KVM without hardware behind it stops code of CPL 3 for nothing (docs/testing.md), so what
is stepped and stopped here is the guests' code of CPL 0.
"""
import contextlib
import re
import socket

from ferrytest import Guest, each, guest_image, no_leaks, require_tool, run, tmp_dir
from ferrytest.control import ControlError


def gdb(image, folder, *commands, check=True):
    """What gdb says to each command, attached to the guest."""
    require_tool("gdb")
    argv = ["gdb", "-nx", "-batch", "-ex", "set pagination off", "-ex", "set confirm off",
            "-ex", f"target remote {folder}/gdb"]
    for command in commands:
        argv += ["-ex", command]
    return run(*argv, guest_image(image), check=check)


def debugged(image, folder, *words, wait=True, **kwargs):
    """A guest that gdb can attach to; it stands at its first instruction."""
    kwargs.setdefault("net", "none")
    return Guest(image, *words, gdb=f"unix:{folder}/gdb{',wait' if wait else ''}", **kwargs)


def listening(guest):
    """gdb can come."""
    guest.err.wait_for("gdb: target remote", 20)


def status(guest):
    """Of `query-status`."""
    with guest.control() as control:
        return control.execute("query-status")["status"]


# --- with gdb ---

def test_from_the_first_instruction():
    """Hardware breakpoint, step, registers; the guest goes on when gdb has gone."""
    with no_leaks(), tmp_dir() as folder, debugged("hello", folder) as guest:
        listening(guest)
        assert status(guest) == "paused" and not guest.out.text
        out = gdb("hello", folder, "p/x $rip == &pvh_entry", "hbreak enter_user", "continue",
                  "p/x $rip == &enter_user", "p/x $cr0 & 1", "p/x $cs", "stepi",
                  "p (long)$rip - (long)&enter_user", "p/x $rax", "delete", "detach")
        assert "Breakpoint 1, enter_user ()" in out, out
        assert re.findall(r"\$\d+ = (\S+)", out) == ["0x1", "0x1", "0x1", "0x8", "5", "0x10"], out
        guest.wait_for("^hello vcpus=1")
        assert guest.wait() == 0


def test_software_breakpoint():
    """It is hit each time, stepped over, invisible, and gone when gdb is."""
    with tmp_dir() as folder, debugged("idle", folder, append="tick=20") as guest:
        listening(guest)
        out = gdb("idle", folder, "break kernel_wait", "continue", "x/1bx $rip", "stepi",
                  "p $rip > (long)&kernel_wait", "continue", "bt 1", "continue",
                  "info breakpoints", "detach")
        assert out.count("Breakpoint 1, kernel_wait ()") == 3, out
        assert "already hit 3 times" in out and "$1 = 1" in out, out
        assert "0x65" in out and "0xcc" not in out, out
        mark = int(guest.wait_for(r"^idle tick=(\d+)")[1])
        guest.wait_for(rf"^idle tick={mark + 3}$")
        assert status(guest) == "running"


def test_running_guest():
    """Attach, read, write, detach; twice."""
    with tmp_dir() as folder, debugged("idle", folder, append="tick=20", wait=False) as guest:
        guest.wait_for("^idle tick=2$")
        for i in (1, 2):
            out = gdb("idle", folder, "p irq_seq", f"set var irq_handlers_seen = {i}",
                      "p $rip != 0", "p/x *(unsigned char *)&pvh_entry",
                      "p *(char *)0x7fffffffffff", check=False)
            assert "$1 = " in out or "No symbol" in out, out
            assert "Cannot access memory at address 0x7fffffffffff" in out, out
        mark = int(re.findall(r"^idle tick=(\d+)", guest.out.text, re.M)[-1])
        guest.wait_for(rf"^idle tick={mark + 3}$")


def test_memory_and_registers():
    """What gdb writes is there, for the guest too: a limit that it reads later."""
    with tmp_dir() as folder, debugged("smp", folder, vcpus=2, append="ms=300") as guest:
        listening(guest)
        out = gdb("smp", folder, "set var *(int *)0x200000 = 0x12345678", "x/1xw 0x200000",
                  "set $r12 = 0x1122334455667788", "p/x $r12", "set $eflags = 0x2",
                  "set $xmm3.v2_int64[1] = 7", "p $xmm3.v2_int64[1]", "p/x $mxcsr",
                  "p/x $fctrl", "p $st0", "info registers cr3 efer",
                  "monitor help", "set $cs = 3", "detach",
                  check=False)
        for text in ("0x200000:\t0x12345678", "0x1122334455667788", "$2 = 7", "$3 = 0x1f80",
                     "$4 = 0x37f", "$5 = 0", "efer ", "vCPUs are gdb's threads"):
            assert text in out, (text, out)
        assert "Could not write register \"cs\"" in out, out
        guest.wait_for("^smp ok$")
        assert guest.wait() == 0


def test_threads():
    """Each vCPU is one; one is stepped and the other stands."""
    with tmp_dir() as folder, debugged("smp", folder, vcpus=2, append="ms=600000") as guest:
        listening(guest)
        out = gdb("smp", folder, "break kernel_wait", "continue", "info threads", "p $_thread",
                  "set scheduler-locking on", "stepi", "p $_thread",
                  "thread 1", "p players[0].count == players[0].count", "thread 3", "detach",
                  check=False)
        assert re.search(r"1 +Thread 1 \(vCPU 0\)", out), out
        assert re.search(r"\* 2 +Thread 2 \(vCPU 1\) +kernel_wait", out), out
        assert "$1 = 2" in out and "$2 = 2" in out and "Switching to thread 1" in out, out
        assert "Unknown thread 3" in out, out
        guest.wait_for("^smp started=2")


def test_ctrl_c_and_kill():
    """A guest that runs is stopped by a break, and ended by kill."""
    with no_leaks(), tmp_dir() as folder, debugged("smp", folder, vcpus=2, wait=False,
                                                   append="ms=600000") as guest:
        guest.wait_for("^smp started")
        with Client(f"{folder}/gdb") as client:
            assert client.ask("?").startswith("T05thread:1;")
            client.send("vCont;c")
            while status(guest) != "running":
                pass
            client.raw(b"\x03")
            assert client.receive().startswith("T05thread:1;")
            assert status(guest) == "paused"
            assert client.ask("vKill;1") == "OK"
        assert guest.wait() == 0


def test_end_of_the_guest():
    """gdb is told, with the status."""
    with tmp_dir() as folder, debugged("hello", folder, append="exit=5") as guest:
        listening(guest)
        assert "exited with code 013" in gdb("hello", folder, "continue")
        assert guest.wait() == 11


def test_loopback():
    with debugged("hello", "/nonexistent") as wrong:
        assert wrong.wait() == 1 and "gdb: " in wrong.err.text, wrong.err.text
    with Guest("idle", net="none", gdb="tcp:127.0.0.1:0") as guest:
        port = int(guest.err.wait_for(r"gdb: target remote 127.0.0.1:(\d+)", 20)[1])
        with Client(("127.0.0.1", port)) as client:
            assert client.ask("qAttached") == "1"


# --- with others ---

class Client:
    """Packets, by hand."""

    def __init__(self, where):
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(20)
        self.socket.connect(where)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def raw(self, data):
        """Any bytes."""
        self.socket.sendall(data)

    def send(self, payload):
        """A packet."""
        body = payload.encode("latin-1")
        self.raw(b"$" + body + f"#{sum(body) & 255:02x}".encode())

    def receive(self):
        """The next packet; None at the end, which may come before our last + was read."""
        byte = b""
        while byte != b"$":
            try:
                byte = self.file.read(1)
            except ConnectionResetError:
                byte = b""
            if not byte:
                return None
        body = b""
        while (byte := self.file.read(1)) != b"#":
            body += byte
        assert int(self.file.read(2), 16) == sum(body) & 255
        with contextlib.suppress(BrokenPipeError):
            self.raw(b"+")
        return body.decode("latin-1")

    def ask(self, payload):
        """The answer to a packet."""
        self.send(payload)
        return self.receive()


def test_bad_packets():
    with tmp_dir() as folder, debugged("idle", folder, wait=False) as guest:
        guest.wait_for("^idle ready")
        with Client(f"{folder}/gdb") as client:
            for bad in ("m", "mzz,4", "m0", "M0,4:12", "Mffffffffffffffffff,1:00", "X0,5:abc", "p",
                        "pffff", "P0", "P0=12", "P12=00000000", "G00", "Hx1", "Hg99", "T99", "T0",
                        "Z", "Z0", "Z1,0,99", "Z2,1001,4", "z0,1234,1", "vCont;x", "vCont;c:77",
                        "qThreadExtraInfo,9", "qXfer:features:read:target.xml:", "c1000",
                        "mffffffffffffffff,10"):
                assert re.fullmatch("E[0-9a-f]{2}", client.ask(bad) or ""), bad
            for unknown in ("", "!", "vMustReplyEmpty", "qOffsets", "Z3,1000,4", "Z9,0,0", "\xff"):
                assert client.ask(unknown) == "", unknown
            client.raw(b"$g#00")
            client.raw(b"$" + b"m" * 20000 + b"#00")
            assert client.file.read(2) == b"--"
            for i in range(4):
                assert client.ask(f"Z1,{i + 1:x}000,1") == "OK"
            assert client.ask("Z1,9000,1").startswith("E")
            first = client.ask("qXfer:features:read:target.xml:0,ffff")
            assert first[0] == "m" and first[1:6] == "<?xml"
            assert client.ask("D") == "OK"
            assert client.receive() is None
        assert status(guest) == "running"


def test_one_client_at_a_time():
    with tmp_dir() as folder, debugged("idle", folder, wait=False) as guest:
        guest.wait_for("^idle ready")
        with Client(f"{folder}/gdb") as first:
            assert first.ask("qC") == "QC1"
            with Client(f"{folder}/gdb") as second:
                assert second.receive() is None
            assert status(guest) == "paused"
        while status(guest) != "running":
            pass
        with Client(f"{folder}/gdb") as third:
            assert third.ask("qC") == "QC1"


def test_client_that_vanishes():
    """Its breakpoints go with it, and the guest goes on."""
    with tmp_dir() as folder, debugged("idle", folder, append="tick=20", wait=False) as guest:
        guest.wait_for("^idle tick=2$")
        with Client(f"{folder}/gdb") as client:
            address = run("nm", guest_image("idle"))
            address = re.search(r"^0*(\w+) t kernel_wait$", address, re.M)[1]
            before = client.ask(f"m{address},1")
            assert client.ask(f"Z0,{address},1") == "OK"
            assert client.ask(f"m{address},1") == before
            client.send("vCont;c")
            assert client.receive().startswith("T05thread:1;swbreak:;")
            client.send("vCont;c")
        mark = int(re.findall(r"^idle tick=(\d+)", guest.out.text, re.M)[-1])
        guest.wait_for(rf"^idle tick={mark + 3}$")


def test_slow_client():
    """It asks and does not read: it is not read from either, and others are served."""
    with tmp_dir() as folder, debugged("idle", folder, wait=False) as guest:
        guest.wait_for("^idle ready")
        with Client(f"{folder}/gdb") as client:
            client.socket.setblocking(False)
            sent = 0
            try:
                while sent < 64 << 20:
                    sent += client.socket.send(b"$g#67" * 1000)
            except BlockingIOError:
                pass
            assert sent < 8 << 20
            assert status(guest) == "paused"
        while status(guest) != "running":
            pass


@each(words=[["save", "{name}", "{folder}/saved"], ["teleport", "{name}", "unix:{folder}/none"]])
def test_is_not_moved(words):
    with tmp_dir() as folder, debugged("idle", folder, wait=False) as guest:
        guest.wait_for("^idle ready")
        with Client(f"{folder}/gdb") as client:
            client.send("vCont;c")
            while status(guest) != "running":
                pass
            argv = [word.format(name=guest.name, folder=folder) for word in words]
            with guest.ferry(*argv) as done:
                assert done.wait() == 1 and "gdb is attached" in done.err.text, done.err.text
        assert not (folder / "saved").exists()


def test_others_cannot_resume_it():
    with tmp_dir() as folder, debugged("idle", folder) as guest:
        listening(guest)
        with guest.control() as control:
            for command in ("cont", "stop", "system_powerdown"):
                try:
                    control.execute(command)
                except ControlError as error:
                    assert "it waits for gdb" in str(error)
                else:
                    raise AssertionError(command)
            control.execute("quit")
        assert guest.wait() == 0


def test_wrong_usage():
    for reason, where in [("is not this host alone", "tcp:10.0.0.1:1234"),
                          ("is not this host alone", "tcp:0.0.0.0:1234"),
                          ("is not this host alone", "tcp:localhost:1234"),
                          ("gdb: ", "lpt1:"), ("gdb: ", "unix:,wait"), ("gdb: ", "tcp:127.0.0.1")]:
        with Guest("idle", net="none", gdb=where) as guest:
            assert guest.wait() in (1, 2) and reason in guest.err.text, guest.err.text
            assert guest.err.text.count("\n") == 1, guest.err.text
