# SPDX-License-Identifier: MIT
"""`ferry top`: what it shows is so, and the terminal is as it was afterwards."""
import contextlib
import fcntl
import json
import re
import signal
import socket
import struct
import termios
import time

from ferrytest import Guest, each, timeout, tmp_dir

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"


@contextlib.contextmanager
def guests(folder):
    """One that computes, one that sleeps, one with a disk."""
    with open(folder / "d", "wb") as file:
        file.truncate(8 << 20)
    with Guest("smp", name="busy", vcpus=2, append="ms=200000", net="none",
               runtime=folder) as busy, \
            Guest("idle", name="lazy", net="none", runtime=folder) as lazy, \
            Guest("blk", name="disk", disk=folder / "d", net="none", runtime=folder,
                  append="ops=100000000 depth=4") as disk:
        busy.wait_for("^smp started")
        lazy.wait_for("^idle ready")
        disk.wait_for("^blk: capacity")
        yield busy, lazy, disk


def top(guest, *argv, **kwargs):
    """`ferry top` in the guest's runtime directory."""
    return guest.ferry("top", *argv, **kwargs)


def test_numbers():
    with tmp_dir() as folder, guests(folder) as (busy, _, _):
        with top(busy, "--json", "-n", 2, "-d", 1) as done:
            assert done.wait() == 0, done.err.text
            tables = [json.loads(line) for line in done.out.text.splitlines()]
    assert len(tables) == 2
    for table in tables:
        assert [row["name"] for row in table] == ["busy", "disk", "lazy"]
        rows = {row["name"]: row for row in table}
        assert rows["busy"]["cpu_percent"] > rows["lazy"]["cpu_percent"]
        assert rows["lazy"]["cpu_percent"] < 20 and rows["lazy"]["iops"] == 0
        assert rows["disk"]["iops"] > 0
        assert rows["disk"]["disk_rd_s"] + rows["disk"]["disk_wr_s"] > 0
        assert rows["busy"]["vcpus"] == 2 and rows["busy"]["memory"] == 64 << 20
        assert rows["busy"]["resident"] > 1 << 20 and rows["busy"]["state"] == "running"
    assert tables[1][0]["cpu_s"] > tables[0][0]["cpu_s"]


def test_table():
    with tmp_dir() as folder, guests(folder) as (busy, lazy, _):
        with lazy.control() as control:
            control.execute("stop")
        with top(busy, "--batch", "--count", 1, "--delay", 1, "--sort", "iops") as done:
            assert done.wait() == 0, done.err.text
            head, *rows = done.out.text.splitlines()
    assert head.split()[:4] == ["NAME", "STATE", "CPU(s)", "CPU%"]
    assert [row.split()[0] for row in rows] == ["disk", "busy", "lazy"]
    # The process has still to answer whoever asks.
    assert re.match(r"lazy +paused +[\d.]+ +[01]\.\d +1 +64\.0M ", rows[2]), rows


def test_guest_that_hangs():
    with tmp_dir() as folder, guests(folder) as (busy, lazy, _):
        lazy.signal(signal.SIGSTOP)
        with top(busy, "--json", "-n", 1, "-d", 1) as done:
            assert done.wait() == 0, done.err.text
            rows = {row["name"]: row for row in json.loads(done.out.text)}
        with top(busy, "--batch", "-n", 1, "-d", 1) as done:
            assert done.wait() == 0, done.err.text
            text = done.out.text
        lazy.signal(signal.SIGCONT)
    assert re.search(r"^lazy +no answer +- +- .* -$", text, re.M), text
    assert rows["lazy"]["state"] == "no answer" and rows["busy"]["state"] == "running"


@contextlib.contextmanager
def stopped(folder, count):
    """Guests that hang."""
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(Guest("idle", name=f"hung{i}", net="none", runtime=folder))
                for i in range(count)]
        for guest in many:
            guest.wait_for("^idle ready")
            guest.signal(signal.SIGSTOP)
        yield many
        for guest in many:
            guest.signal(signal.SIGCONT)


@timeout(120)
@each(crowd=[False, True])
def test_many_guests_that_hang(crowd):
    """They are asked all at once: it takes as long as for one, and who answers is not delayed."""
    with tmp_dir() as folder, Guest("idle", name="well", net="none", runtime=folder) as well, \
            stopped(folder, 5) as many, contextlib.ExitStack() as stack:
        well.wait_for("^idle ready")
        names = [guest.name for guest in many]
        if crowd:  # nobody can connect to it any more
            with contextlib.suppress(BlockingIOError):
                while True:
                    client = stack.enter_context(socket.socket(socket.AF_UNIX))
                    client.setblocking(False)
                    client.connect(str(many[0].socket_path()))
        begin_s = time.monotonic()
        with top(well, "--json", "-n", 2, "-d", 1) as done:
            assert done.wait() == 0, done.err.text
            tables = [json.loads(line) for line in done.out.text.splitlines()]
        # Three times: once before the first table. One after the other it would be 30 s.
        assert 6 <= time.monotonic() - begin_s < 15
        assert done.out.arrivals[-1] - done.out.arrivals[0] < 5
        for table in tables:
            assert [row["name"] for row in table] == [*names, "well"]
            assert [row["state"] for row in table] == ["no answer"] * 5 + ["running"]
        begin_s = time.monotonic()
        with well.ferry("list", "--json") as listed:
            assert listed.wait() == 0
            rows = {row["name"]: row for row in json.loads(listed.out.text)}
        assert time.monotonic() - begin_s < 7
        assert rows["well"]["status"] == "running" and rows["hung4"] == {
            "name": "hung4", "status": "no answer"}
        with well.ferry("info", "hung0") as info:
            assert info.wait() == 1 and "does not answer" in info.err.text, info.err.text


def test_keys():
    with tmp_dir() as folder, guests(folder) as (busy, _, _):
        with top(busy, "-d", 1, tty=True) as screen:
            screen.wait_for(r"3 guests, by NAME;")
            screen.wait_for(r"busy .*\n.*disk .*\n.*lazy ")
            for key, said in ("i", "by IOPS;"), ("R", "by IOPS reversed;"), ("x", None), \
                    ("\x1b[A", None), ("?", "i       sort by IOPS"), \
                    ("?", "by IOPS reversed;"), ("n", "by NAME reversed;"):
                screen.write(key)
                if said:
                    screen.wait_for(said)
            screen.write("q")
            assert screen.wait() == 0
            assert screen.out.text.count(ENTER) == screen.out.text.count(LEAVE) == 1
            assert screen.out.text.endswith(LEAVE)


def test_small_terminal():
    """What does not fit is a key away, and where a column sorts it is seen."""
    with tmp_dir() as folder, guests(folder) as (busy, _, _), \
            top(busy, "-d", 1, tty=True) as screen:
        fcntl.ioctl(screen.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 5, 70, 0, 0))
        screen.signal(signal.SIGWINCH)
        screen.wait_for("arrows show more")
        screen.wait_for(r"NAME STATE .* RX/s +TX/s\x1b.*\n.*busy .*\n.*disk .*\n[^a-z]*$")
        screen.write("\x1b[B")
        screen.wait_for(r"NAME STATE .*\n.*disk .*\n.*lazy .*\n[^a-z]*$")
        screen.write("\x1b[C")
        screen.wait_for(r"NAME +CPU\(s\) .* WR/s\x1b")
        screen.write("y")
        screen.wait_for(r"NAME .*WR/s +IOPS DIRTY/s\x1b")
        screen.write("s")
        screen.wait_for(r"NAME STATE ")
        screen.write("q")
        assert screen.wait() == 0


@each(how=[signal.SIGTERM, signal.SIGINT, "ctrl-c"])
def test_terminal_is_restored(how):
    with tmp_dir() as folder, Guest("idle", net="none", runtime=folder) as guest:
        guest.wait_for("^idle ready")
        with top(guest, tty=True) as screen:
            screen.wait_for("1 guest, by NAME")
            if how == "ctrl-c":
                screen.write("\x03")
            else:
                screen.signal(how)
            assert screen.wait() == 0
            assert screen.out.text.endswith(LEAVE)


def test_guests_come_and_go():
    with tmp_dir() as folder, Guest("idle", net="none", name="first", runtime=folder) as guest:
        guest.wait_for("^idle ready")
        with top(guest, "-d", 1, tty=True) as screen:
            screen.wait_for("1 guest,")
            with Guest("idle", net="none", name="second", runtime=folder) as second:
                second.wait_for("^idle ready")
                screen.wait_for("2 guests,[^$]*second")
            mark = len(screen.out.text)
            while "1 guest," not in screen.out.text[mark:]:
                screen.out.wait_for("1 guest,", 10)
            screen.write("q")
            assert screen.wait() == 0


def test_wrong_usage():
    with tmp_dir() as folder, Guest("idle", net="none", runtime=folder) as guest:
        guest.wait_for("^idle ready")
        for status, reason, *argv in [(1, "give --batch"), (2, "no column 'x'", "--sort", "x"),
                                      (2, "out of range", "--delay", "0")]:
            with top(guest, *argv) as done:
                assert done.wait() == status and reason in done.err.text, done.err.text
                assert done.err.text.count("\n") == 1
