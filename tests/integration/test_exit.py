# SPDX-License-Identifier: MIT
"""How a guest ends, and what `ferry run` makes of it."""
import json
import signal

from ferrytest import Guest, each, no_leaks, tmp_dir


def test_power_off_is_0():
    with Guest("hello") as guest:
        assert guest.wait() == 0


@each(value=[0, 1, 42, 127])
def test_debug_exit(value):
    with Guest("hello", append=f"exit={value}") as guest:
        assert guest.wait() == value << 1 | 1


@each(how=["triple", "panic"])
def test_crash_is_125(how):
    with Guest("hello", append=f"crash={how}") as guest:
        assert guest.wait() == 125
        assert "and ends" in guest.err.text


def test_timeout_is_124():
    with Guest("idle", timeout=1) as guest:
        assert guest.wait() == 124
        assert "after 1 s" in guest.err.text


def test_timeout_of_a_guest_that_is_faster():
    with Guest("hello", timeout=60) as guest:
        assert guest.wait() == 0


def test_reboot_destroy_is_0():
    with Guest("hello", append="crash=reset", on_reboot="destroy") as guest:
        assert guest.wait() == 0
        assert guest.out.text.count("hello vcpus") == 1


@each(vcpus=[1, 2])
def test_reboot_restarts(vcpus):
    with Guest("hello", append="crash=reset", vcpus=vcpus) as guest:
        for _ in range(3):
            guest.wait_for("^hello vcpus")
        with guest.control() as control:
            control.wait_event("RESET")


def test_crash_restart():
    with Guest("hello", append="crash=panic", on_crash="restart") as guest:
        for _ in range(2):
            guest.wait_for("^hello vcpus")


def test_crash_preserve():
    with Guest("hello", append="crash=panic", on_crash="preserve") as guest:
        guest.err.wait_for("is kept for inspection", 10)
        with guest.control() as control:
            assert control.execute("query-status") == {
                "status": "guest-panicked", "running": False, "singlestep": False}
            guest.out.wait_for("hello", 10)
            control.execute("system_reset")
            guest.out.wait_for("hello", 10)
            control.wait_event("GUEST_PANICKED")
            control.execute("quit")
        assert guest.wait() == 0


@each(signum=[signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_presses_the_power_button(signum):
    with Guest("idle") as guest:
        guest.wait_for("^idle ready")
        guest.signal(signum)
        guest.wait_for("^idle woke=button")
        assert guest.wait() == 0


def test_second_signal_ends_it():
    with Guest("hello", append="crash=hlt") as guest:
        guest.wait_for("^hello vcpus")
        guest.signal(signal.SIGTERM)
        guest.err.wait_for("power button pressed", 10)
        guest.signal(signal.SIGTERM)
        assert guest.wait() == 128 + signal.SIGTERM


def test_silence_ends_it():
    with Guest("hello", append="crash=hlt") as guest:
        guest.wait_for("^hello vcpus")
        guest.signal(signal.SIGTERM)
        assert guest.wait() == 128 + signal.SIGTERM
        assert "did not switch itself off" in guest.err.text


def test_json_reports_start_and_end():
    with Guest("hello", json=True, append="exit=3") as guest:
        assert guest.wait() == 7
        started, ended = [json.loads(line) for line in guest.err.text.splitlines()]
        assert started["event"] == "started" and started["pid"] == guest.pid
        assert started["control"] == guest.socket_path()
        assert ended == {"event": "ended", "name": guest.name, "reason": "debug-exit", "status": 7}


def test_nothing_is_left():
    with tmp_dir() as folder, no_leaks():
        with Guest("hello", runtime=folder) as guest:
            assert guest.wait() == 0
        # The directory and its lock file belong to all guests.
        assert [path.name for path in (folder / "ferry").iterdir()] == ["lock"]


@each(end=["normal", "crash", "timeout", "kill"])
def test_ephemeral_leaves_nothing(end):
    append = {"normal": "", "crash": "crash=triple", "timeout": "crash=hlt", "kill": "crash=hlt"}
    with tmp_dir() as folder, no_leaks(folders=[folder]):
        with Guest("hello", runtime=folder, ephemeral=True, append=append[end],
                   timeout=1 if end == "timeout" else None) as guest:
            guest.wait_for("^hello vcpus")
            if end == "kill":
                with guest.control() as control:
                    assert control.execute("query-status")["running"]
                guest.signal(signal.SIGKILL)
            guest.wait()


def test_killed_guest_blocks_nobody():
    with tmp_dir() as folder:
        for _ in range(2):
            with Guest("idle", runtime=folder, name="same") as guest:
                guest.wait_for("^idle ready")
                guest.signal(signal.SIGKILL)
                guest.wait()
        assert (folder / "ferry" / "same.sock").exists()
        with Guest("idle", runtime=folder, name="other") as guest:
            guest.wait_for("^idle ready")
            with guest.ferry("list") as listing:
                assert listing.wait() == 0
                assert "same" not in listing.out.text and "other" in listing.out.text
        assert not (folder / "ferry" / "same.sock").exists()
