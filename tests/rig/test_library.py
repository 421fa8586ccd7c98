# SPDX-License-Identifier: MIT
"""The library of the rig: processes, namespaces, control sockets, leak checks."""
import json
import os
import signal
import socket
import threading

from ferrytest import (Control, NetNs, Proc, descendants, fds, links, memory_of, no_leaks, run,
                       tmp_dir)
from ferrytest.guest import options


def raises(kind, function, *args, **kwargs):
    """The exception that the call raises."""
    try:
        function(*args, **kwargs)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def test_output_is_waited_for_in_order():
    with Proc("sh", "-c", "echo one; echo two; read x; echo got $x") as proc:
        assert proc.wait_for(r"o(n)e")[1] == "n"
        proc.wait_for("two")
        proc.write("three\n")
        proc.wait_for("got three")
        assert proc.wait() == 0


def test_waiting_for_what_does_not_come_fails():
    with Proc("echo", "something else") as proc:
        assert "something else" in str(raises(AssertionError, proc.wait_for, "this"))
    with Proc("cat") as proc:
        raises(AssertionError, proc.wait_for, "this", timeout_s=0.05)
        raises(AssertionError, proc.wait, timeout_s=0.05)


def test_exit_status_and_signals():
    with Proc("sh", "-c", "exit 7") as proc:
        assert proc.wait() == 7
    with Proc("cat") as proc:
        assert proc.running()
        proc.signal(signal.SIGTERM)
        assert proc.wait() == -signal.SIGTERM
        assert not proc.running()


def test_a_process_does_not_outlive_its_block():
    with Proc("sh", "-c", "cat & cat") as proc:
        pid = proc.pid
    assert pid not in descendants(os.getpid())
    assert not descendants(os.getpid())


def test_much_output_does_not_block_the_writer():
    with Proc("sh", "-c", "head -c 4000000 /dev/zero | tr '\\0' x; echo; echo end") as proc:
        assert proc.wait() == 0
        proc.wait_for("^end")


def test_terminal():
    with Proc("sh", "-c", "tty; stty -echo; echo ready; read x; echo got $x", tty=True) as proc:
        proc.wait_for("/dev/pts/")
        proc.wait_for("ready")
        proc.write("key\n")
        proc.wait_for("got key")
        assert proc.wait() == 0


def test_a_failing_command_raises_with_its_output():
    assert run("echo", "fine") == "fine\n"
    assert "oops" in str(raises(AssertionError, run, "sh", "-c", "echo oops; exit 3"))


def test_guest_options():
    assert options(memory="64M", hugepages=True, disk=["a", "b"], rng=None, dry_run=True) == [
        "--memory", "64M", "--hugepages", "--disk", "a", "--disk", "b", "--dry-run"]


def test_namespaces_are_separate_and_connected():
    with NetNs() as left, NetNs() as right:
        left.veth("cable0", right, "cable1", "10.77.0.1/24", "10.77.0.2/24")
        left.bridge("br0")
        left.tap("tap0", bridge="br0")
        assert links(left) == {"lo", "cable0", "br0", "tap0"}
        assert links(right) == {"lo", "cable1"}
        assert "1 received" in left.run("ping", "-c", "1", "-W", "2", "10.77.0.2")
    assert "cable0" not in links()


def test_a_namespace_leaves_nothing():
    with no_leaks(), NetNs() as netns:
        netns.tap("tap0")


def test_leaks_are_seen():
    def leak_fd():
        with no_leaks():
            kept.append(os.open("/dev/null", os.O_RDONLY))

    def leak_process():
        with no_leaks():
            kept.append(Proc("cat"))

    def leak_file():
        with tmp_dir() as folder, no_leaks(folders=[folder]):
            (folder / "left").touch()

    def leak_tap():
        with NetNs() as netns, no_leaks(netns):
            netns.tap("tap0")

    kept = []
    assert "tap0" in str(raises(AssertionError, leak_tap))
    assert "/dev/null" in str(raises(AssertionError, leak_fd))
    assert "process" in str(raises(AssertionError, leak_process))
    assert "left" in str(raises(AssertionError, leak_file))
    os.close(kept[0])
    kept[1].stop()


def test_looking_at_a_process():
    assert fds()[0] == os.devnull
    assert memory_of(os.getpid())["Pss"] > 0


def serve_control(path, answers):
    """A peer that greets, then answers each line with the next of `answers`."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve():
        connection, _ = listener.accept()
        with listener, connection, connection.makefile("rw", encoding="utf-8") as peer:
            peer.write('{"QMP": {}}\n')
            peer.flush()
            for answer in answers:
                request = json.loads(peer.readline())
                peer.writelines(json.dumps({"id": request["id"], **line} if "event" not in line
                                           else line) + "\n" for line in answer)
                peer.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_control_client():
    with tmp_dir() as folder:
        thread = serve_control(folder / "x.sock", [
            [{"return": {"status": "running"}}],
            [{"event": "STOP"}, {"return": {}}],
            [{"error": {"class": "GenericError", "desc": "cannot"}}],
        ])
        with Control(folder / "x.sock") as control:
            assert control.greeting == {"QMP": {}}
            assert control.execute("query-status") == {"status": "running"}
            assert control.execute("stop", why="test") == {}
            assert control.wait_event("STOP")["event"] == "STOP"
            assert "cannot" in str(raises(AssertionError, control.execute, "fly"))
            assert control.receive() is None
        thread.join()
