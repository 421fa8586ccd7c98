# SPDX-License-Identifier: MIT
"""ferry's log of a guest: kept, followed, limited, in the journal; and the service manager."""
import json
import os
import socket

from ferrytest import Guest, run, tmp_dir
from ferrytest.paths import FERRY, TOP


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def test_log_is_kept_and_followed():
    with Guest("hello", append="crash=panic", on_crash="restart", net="none") as guest:
        guest.err.wait_for("panicked, and restarts", 20)
        assert "warning the guest panicked, and restarts" in ferry(guest, "log", guest.name)
        first = json.loads(ferry(guest, "log", guest.name, "--json").splitlines()[0])
        assert first["nr"] == 1 and first["level"] == "warning"
        assert ferry(guest, "log", guest.name, "--level", "error") == ""
        assert json.loads(ferry(guest, "info", guest.name, "--json"))["log"]["warnings"] >= 1
        with guest.ferry("log", guest.name, "--follow") as proc:
            for _ in range(2):
                proc.wait_for("panicked, and restarts", 20)
            ferry(guest, "destroy", guest.name)
            assert proc.wait() == 0


def test_log_events_are_for_those_who_ask():
    with Guest("hello", append="crash=panic", on_crash="restart", net="none") as guest, \
            guest.control() as asks, guest.control() as other:
        lines = asks.execute("query-log", follow=True)
        for nr in range(len(lines) + 1, len(lines) + 3):
            line = asks.wait_event("LOG", 20)["data"]
            assert line["nr"] == nr and "panicked" in line["text"]
        assert [one["nr"] for one in asks.execute("query-log", after=nr - 1)][:1] == [nr]
        for _ in range(3):
            other.wait_event("RESET", 20)
        assert "LOG" not in {event["event"] for event in other.events}


def test_journal_and_service_manager():
    """Lines have priorities where standard error is the journal; start and end are notified."""
    with tmp_dir() as folder, open(folder / "journal", "w+b") as journal, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(folder / "notify"))
        manager.settimeout(20)
        st = os.fstat(journal.fileno())
        env = {**os.environ, "XDG_RUNTIME_DIR": str(folder),
               "JOURNAL_STREAM": f"{st.st_dev}:{st.st_ino}",
               "NOTIFY_SOCKET": str(folder / "notify")}
        pid = os.posix_spawn(FERRY, [FERRY, "run", "--net", "none", "--console", "none", "--name",
                                     "j", "--append", "crash=panic", "--kernel",
                                     TOP / "build/guest-images/hello.elf"], env,
                             file_actions=[(os.POSIX_SPAWN_DUP2, journal.fileno(), 2)])
        assert manager.recv(4096) == b"READY=1"
        assert manager.recv(4096) == b"STOPPING=1"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
        journal.seek(0)
        assert b"<4>ferry j: warning: the guest panicked, and ends\n" in journal.read()
