# SPDX-License-Identifier: MIT
"""The places that --console names, the terminal, and `ferry console`."""
import ctypes
import fcntl
import os
import pathlib
import select
import signal
import socket
import subprocess
import termios
import time

from ferrytest import Guest, Proc, Skip, each, tmp_dir
from ferrytest.paths import FERRY

CTRL_A, CTRL_BRACKET = "\x01", "\x1d"
RING_BYTES = 64 << 10  # vmm/console.h
PIPE_BYTES = 4096
libc = ctypes.CDLL(None, use_errno=True)
# More than fits: each byte is an exit, which can take 50 us.
FLOOD_BYTES = RING_BYTES + 4 * PIPE_BYTES


def echo(**kwargs):
    """A guest that sends lines back."""
    return Guest("hello", append="echo", net="none", **kwargs)


def is_raw(terminal):
    """Does the terminal pass on keys one by one, unseen?"""
    return not termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def unhandled():
    """An environment where a sanitizer does not keep signals to itself."""
    off = ":handle_segv=0:handle_sigbus=0:handle_abort=0"
    return {name: os.environ.get(name, "") + off for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}


def thread_of(guest, name):
    """Its number."""
    return next(int(task.name) for task in pathlib.Path(f"/proc/{guest.pid}/task").iterdir()
                if (task / "comm").read_text(encoding="ascii") == f"{name}\n")


# --- stdio ---

def test_terminal_is_raw_and_restored():
    with echo(tty=True) as guest:
        guest.wait_for("^hello echo")
        assert is_raw(guest.terminal)
        guest.write("one\r")
        guest.wait_for("^echo one")
        guest.write("\x03\x04\x1a\r")
        guest.wait_for("^echo \x03\x04\x1a")
        guest.write("quit\r")
        assert guest.wait() == 0
        assert not is_raw(guest.terminal)


def test_escape_keys():
    with echo(tty=True) as guest:
        guest.wait_for("^hello echo")
        guest.write(f"{CTRL_A}h")
        guest.wait_for("Ctrl-A x")
        guest.write(f"a{CTRL_A}{CTRL_A}b\r")
        guest.wait_for(f"^echo a{CTRL_A}b")
        guest.write(f"{CTRL_A}x")
        assert guest.wait() == 0
        assert not is_raw(guest.terminal)


def test_escape_keys_of_a_guest_that_does_not_read():
    with Guest("hello", append="crash=hlt", net="none", tty=True) as guest:
        guest.wait_for("^hello")
        guest.write("x" * 3000)
        guest.write("y" * 3000 + f"{CTRL_A}x")
        assert guest.wait() == 0


@each(how=["SIGTERM", "SIGHUP", "SIGSEGV", "SIGABRT", "SIGQUIT", "SIGUSR1"])
def test_terminal_is_restored_by_signals(how):
    if how in ("SIGQUIT", "SIGUSR1") and b"__tsan_init" in FERRY.read_bytes():
        raise Skip("the thread sanitizer holds signals back while ferry waits in io_uring")
    with Guest("hello", append="crash=hlt", net="none", tty=True, env=unhandled()) as guest:
        guest.wait_for("^hello")
        assert is_raw(guest.terminal)
        signum = getattr(signal, how)
        guest.signal(signum)
        if how in ("SIGTERM", "SIGHUP"):
            guest.wait_for("power button pressed")
            guest.signal(signum)
        assert guest.wait() != 0
        assert not is_raw(guest.terminal)


@each(how=["SIGSEGV", "SIGBUS", "SIGABRT"])
def test_terminal_is_restored_by_a_thread(how):
    with Guest("hello", append="crash=hlt", net="none", tty=True, env=unhandled()) as guest:
        guest.wait_for("^hello")
        assert is_raw(guest.terminal)
        signum = getattr(signal, how)
        assert libc.tgkill(guest.pid, thread_of(guest, "vcpu0"), signum) == 0
        assert guest.wait() == -signum
        assert not is_raw(guest.terminal)


def test_terminal_is_restored_when_the_start_fails():
    with Guest("hello", net="none", tty=True, disk="/nonexistent") as guest:
        assert guest.wait() == 1
        assert not is_raw(guest.terminal)


def test_end_of_input_does_not_end_the_guest():
    with Guest("idle", append="tick=20", net="none") as guest:
        guest.wait_for("^idle ready")
        guest.close_input()
        guest.wait_for("^idle tick=5")
        assert guest.running()


@each(stdin=["/dev/null", "file", "closed"])
def test_odd_inputs(stdin):
    with tmp_dir() as folder:
        # The guest may throw away the first byte when it sets the port up.
        (folder / "file").write_text("\none\nquit\n")
        argv = [FERRY, "run", "--ephemeral", "--net", "none", "--kernel",
                FERRY.parent / "guest-images" / "hello.elf"]
        if stdin == "closed":
            done = subprocess.run(["sh", "-c", 'exec "$@" <&-', "sh", *argv], timeout=20,
                                  capture_output=True, check=False)
        else:
            path = folder / "file" if stdin == "file" else stdin
            with open(path, "rb") as source:
                done = subprocess.run([*argv, *(["--append", "echo"] if stdin == "file" else [])],
                                      stdin=source, timeout=20, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert b"hello vcpus" in done.stdout
        assert (b"echo one" in done.stdout) == (stdin == "file")


def test_everything_closed():
    """Nothing of ferry's own takes the place of standard output and is written to."""
    with tmp_dir() as folder, open(folder / "disk", "wb+") as disk:
        disk.truncate(1 << 20)
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", FERRY, "run", "--ephemeral", "--disk",
             folder / "disk", "--kernel", FERRY.parent / "guest-images" / "hello.elf"],
            timeout=20, check=False)
        assert done.returncode == 0
        assert disk.read() == bytes(1 << 20)


def test_output_nobody_reads_does_not_stall_the_guest():
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    with subprocess.Popen(
            [FERRY, "run", "--ephemeral", "--net", "none", "--append", f"flood={FLOOD_BYTES}",
             "--kernel", FERRY.parent / "guest-images" / "hello.elf"],
            stdout=write_end, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        os.close(write_end)
        assert child.wait(40) == 0
        assert b"were lost on slow readers" in child.stderr.read()
    kept = b"".join(iter(lambda: os.read(read_end, 65536), b""))
    assert 0 < len(kept) <= PIPE_BYTES
    os.close(read_end)


def test_output_to_a_reader_that_went_away():
    with Guest("idle", append="tick=10", net="none", console="stdio") as guest:
        guest.wait_for("^idle tick=2")
        with guest.control() as control:
            before = control.execute("ferry-info")["console"]
            assert before["lost_bytes"] == 0 and before["written_bytes"] > 0


def test_shared_descriptors_stay_blocking():
    """Who started ferry goes on using the same pipe or terminal."""
    read_end, write_end = os.pipe()
    with subprocess.Popen([FERRY, "run", "--ephemeral", "--net", "none", "--kernel",
                           FERRY.parent / "guest-images" / "hello.elf"], stdin=read_end,
                          stdout=subprocess.DEVNULL) as child:
        child.wait(20)
    assert os.get_blocking(read_end) and os.get_blocking(write_end)
    os.close(read_end)
    os.close(write_end)


# --- pty, file, unix, none ---

def test_pty():
    with echo(console="pty") as guest:
        path = guest.err.wait_for("console is on (/dev/pts/[0-9]+)", 10)[1]
        link = guest.runtime / "ferry" / f"{guest.name}.console"
        assert os.readlink(link) == path
        pty = os.open(link, os.O_RDWR | os.O_NOCTTY)
        read_until(pty, b"hello echo\n")
        os.write(pty, b"one\n")
        read_until(pty, b"echo one\n")
        os.close(pty)
        pty = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(pty, b"quit\n")
        assert guest.wait() == 0
        os.close(pty)
        assert not link.is_symlink()


def read_until(fd, text):
    """Read from a descriptor until `text` has come."""
    got = b""
    while text not in got:
        assert select.select([fd], [], [], 10)[0], got
        data = os.read(fd, 4096)
        assert data, got
        got += data
    return got


def test_file():
    with tmp_dir() as folder:
        log = folder / "log"
        log.write_text("before\n")
        with Guest("hello", net="none", console=f"file:{log}") as guest:
            assert guest.wait() == 0
        assert log.read_text().startswith("before\nhello vcpus=1")


def connect(path):
    """A stream to a UNIX socket, with its end."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def test_unix_with_several_clients():
    with tmp_dir() as folder, echo(console=f"unix:{folder}/con") as guest:
        guest.control().close()
        first, second = connect(folder / "con"), connect(folder / "con")
        read_until(first.fileno(), b"hello echo\n")
        second.sendall(b"two\n")
        for client in (first, second):
            read_until(client.fileno(), b"echo two\n")
        first.close()
        second.sendall(b"three\nquit\n")
        read_until(second.fileno(), b"echo three\n")
        assert guest.wait() == 0
        second.close()
        assert not (folder / "con").exists()


def test_unix_path_that_is_taken():
    with tmp_dir() as folder:
        (folder / "con").write_text("precious")
        with Guest("hello", net="none", console=f"unix:{folder}/con") as guest:
            assert guest.wait() == 1
            assert "cannot listen on" in guest.err.text
        assert (folder / "con").read_text() == "precious"


# --- ferry console ---

def test_attach_and_leave():
    with echo(console="none") as guest:
        guest.control().close()
        for round_trip in ("one", "two"):
            with guest.ferry("console", guest.name, tty=True) as console:
                console.wait_for("Ctrl-] leaves")
                if round_trip == "one":
                    console.wait_for("^hello echo")
                assert is_raw(console.terminal)
                console.write(f"{round_trip}\r")
                console.wait_for(f"^echo {round_trip}")
                console.write(CTRL_BRACKET)
                assert console.wait() == 0
                assert not is_raw(console.terminal)
        with guest.ferry("console", guest.name) as console:
            console.write("three\nquit\n")
            console.wait_for("^echo three")
            assert console.wait() == 0
        assert guest.wait() == 0


def test_attach_next_to_stdio():
    with echo() as guest:
        guest.wait_for("^hello echo")
        with guest.ferry("console", guest.name) as console:
            console.write("typed there\n")
            console.wait_for("^echo typed there")
            guest.wait_for("^echo typed there")
            guest.write("typed here\n")
            console.wait_for("^echo typed here")


def test_one_types_at_a_time():
    with echo(console="none") as guest:
        guest.control().close()
        with guest.ferry("console", guest.name, tty=True) as second_to_come:
            with guest.ferry("console", guest.name, tty=True) as first:
                # Who of the two came first is known by what they were told.
                for terminal in (first, second_to_come):
                    terminal.wait_for("Ctrl-] leaves")
                typist, other = ((first, second_to_come)
                                 if "keyboard" in second_to_come.out.text
                                 else (second_to_come, first))
                assert "has the keyboard" in other.out.text
                assert "keyboard" not in typist.out.text
                other.write("lost\r")
                typist.write("mine\r")
                for terminal in (typist, other):
                    terminal.wait_for("^echo mine")
                typist.write(CTRL_BRACKET)
                assert typist.wait() == 0
                # It is the other's turn when the guest's process has seen that.
                with guest.control() as control:
                    while control.execute("ferry-info")["console"]["readers"] > 1:
                        pass
                other.write("my turn\r")
                other.wait_for("^echo my turn")
                assert "echo lost" not in other.out.text
                # Who only waits for a line never has the keyboard.
                with guest.ferry("wait", guest.name, "--event", "console:third",
                                 "--timeout", "50") as waiting:
                    other.write("third\r")
                    assert waiting.wait() == 0
                other.write(CTRL_BRACKET)
                assert other.wait() == 0


def test_attached_reader_that_is_stuck():
    with Guest("hello", append=f"echo flood={FLOOD_BYTES}", net="none") as guest:
        guest.wait_for("^hello")  # there is a socket to attach to
        with guest.ferry("console", guest.name) as console:
            console.wait_for("^flood")
            console.signal(signal.SIGSTOP)
            guest.wait_for("^hello echo", 40)
            console.signal(signal.SIGCONT)
            console.wait_for("^hello echo")


def test_first_byte_is_quick():
    """Not a benchmark: only that nothing waits for a timer or a second thread."""
    best = min(launch_time() for _ in range(5))
    assert best < 1, best


def launch_time():
    """Seconds from the start of ferry to the guest's first byte."""
    start = time.monotonic()
    with Proc(FERRY, "run", "--ephemeral", "--net", "none", "--kernel",
              FERRY.parent / "guest-images" / "hello.elf") as guest:
        guest.wait_for("h")
        return time.monotonic() - start
