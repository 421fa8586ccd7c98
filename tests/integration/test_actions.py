# SPDX-License-Identifier: MIT
"""What becomes of a guest that switches itself off, resets itself or crashes, and its cores."""
import json

from ferrytest import Guest, each, tmp_dir
from ferrytest.notmpfile import no_tmpfile


def how(crash):
    """The command line of a hello that ends so; by itself it switches itself off."""
    return {} if crash == "poweroff" else {"append": f"crash={crash}"}


def status(control):
    """QMP's word for what the guest is up to."""
    return control.execute("query-status")["status"]


@each(crash=["poweroff", "reset"])
def test_preserve(crash):
    """A guest that is off is kept, can be looked at and dumped, and starts again by a reset."""
    kept = {"on_poweroff": "preserve", "on_reboot": "preserve"}
    with tmp_dir() as folder, Guest("hello", **how(crash), **kept) as guest, \
            guest.control() as control:
        guest.wait_for("^hello vcpus")
        while status(control) != "shutdown":
            assert guest.running()
        control.pass_fd("core", folder / "core", mode="wb")
        control.execute("dump-guest-memory", protocol="fd:core", detach=True, paging=False)
        assert control.wait_event("DUMP_COMPLETED")["data"]["result"]["status"] == "completed"
        assert status(control) == "shutdown"
        control.send_raw(b'{"execute":"stop"}\n')
        assert "the guest is off" in control.receive()["error"]["desc"]
        control.execute("system_reset")
        guest.wait_for("^hello vcpus")
        control.execute("quit")
        assert guest.wait() == 0


def test_poweroff_restart():
    with Guest("hello", on_poweroff="restart") as guest, \
            guest.control() as control:
        for _ in range(2):
            assert control.wait_event("RESET")["data"] == {
                "guest": True, "reason": "guest-shutdown"}
            guest.wait_for("^hello vcpus")


@each(case=[("panic", "on_crash", "guest-panic"), ("poweroff", "on_poweroff", "guest-shutdown"),
            ("reset", "on_reboot", "guest-shutdown")])
def test_rename_restart(case):
    crash, option, reason = case
    with tmp_dir() as folder, Guest("hello", name="g", dump_dir=folder, **how(crash),
                                    **{option: "rename-restart"}) as guest, \
            guest.control() as control:
        for number in (1, 2):
            done = control.wait_event("DUMP_COMPLETED", 20)["data"]
            assert done["result"]["status"] == "completed", done
            assert control.wait_event("RESET", 20)["data"]["reason"] == reason
            assert (folder / f"g-{number}.core").read_bytes()[:4] == b"\x7fELF"


def test_crash_leaves_a_core_and_ends():
    with tmp_dir() as folder, Guest("hello", name="g", append="crash=panic",
                                    dump_dir=folder) as guest:
        assert guest.wait() == 125
        assert [path.name for path in folder.iterdir()] == ["g-1.core"]


def test_core_that_has_another_name_first():
    with tmp_dir() as own, tmp_dir() as folder, \
            Guest("hello", name="g", append="crash=panic", dump_dir=folder,
                  env=no_tmpfile(own)) as guest:
        assert guest.wait() == 125
        assert [path.name for path in folder.iterdir()] == ["g-1.core"]


def test_cores_are_bounded_and_failures_told():
    with tmp_dir() as folder:
        for number in range(1, 9):
            (folder / f"g-{number}.core").touch()
        for where, reason in [(folder, "has 8 of this guest"),
                              (folder / "none", "no core is kept")]:
            with Guest("hello", name="g", append="crash=panic", dump_dir=where) as guest:
                assert guest.wait() == 125
                assert reason in guest.err.text
        assert len(list(folder.iterdir())) == 8


def test_reboot():
    """ferry-reboot: the guest heeds the button, and starts again."""
    with Guest("idle", net="none") as guest, guest.control() as control:
        for _ in range(2):
            guest.wait_for("^idle ready")
            control.execute("ferry-reboot")
            control.wait_event("POWERDOWN")
            assert control.wait_event("RESET")["data"]["reason"] == "guest-shutdown"
        guest.wait_for("^idle ready")
        control.execute("system_powerdown")
        assert guest.wait() == 0


def test_nmi_and_sysrq_are_delivered():
    with Guest("idle", net="none") as guest, guest.control() as control:
        guest.wait_for("^idle ready")
        for key in ("", "ab", "!", "\u00e4"):
            line = json.dumps({"execute": "ferry-sysrq", "arguments": {"key": key}}) + "\n"
            control.send_raw(line.encode())
            assert "must be one letter" in control.receive()["error"]["desc"]
        control.execute("ferry-sysrq", key="h")
        guest.wait_for("woke=input")
    with Guest("idle", net="none") as guest, guest.control() as control:
        guest.wait_for("^idle ready")
        control.execute("inject-nmi")
        guest.wait_for("exception 2 ")
