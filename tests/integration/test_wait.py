# SPDX-License-Identifier: MIT
"""`ferry wait`: what happens ends it, the end of the guest and the time do too."""
import contextlib
import json
import re
import signal

from ferrytest import Guest, NetNs, each, fds, no_leaks, require_root


def waiting(guest, event=None, *words, **kwargs):
    """`ferry wait` under way."""
    return guest.ferry("wait", guest.name, *(["--event", event] if event else []), *words, **kwargs)


def attached(guest, control, nr=1):
    """Wait until so many clients beside this one are connected."""
    while control.execute("ferry-info")["console"]["readers"] < nr:
        pass


def connected(guest, before):
    """Wait until the guest has more connections than that."""
    while sockets(guest) <= before:
        pass


def sockets(guest):
    """How many the guest's process has."""
    return sum(target.startswith("socket:") for target in fds(guest.pid).values())


def idle(**kwargs):
    """A guest that waits for input or its button."""
    kwargs.setdefault("net", "none")
    return Guest("idle", **kwargs)


@each(how=["button", "kill", "quit"])
def test_shutdown(how):
    """However it ends, its name is free then."""
    with no_leaks(), idle() as guest, contextlib.ExitStack() as stack:
        guest.wait_for("^idle ready")
        alone = sockets(guest)
        with waiting(guest, "running") as ready:
            assert ready.wait() == 0
        while sockets(guest) > alone:
            pass  # it has not seen yet that this one is gone
        with guest.control() as control:
            before = sockets(guest)
            wait = stack.enter_context(waiting(guest))
            connected(guest, before)
            if how == "button":
                guest.press_power_button()
            elif how == "kill":
                guest.signal(signal.SIGKILL)
            else:
                control.execute("quit")
            assert wait.wait() == 0, wait.err.text
            with guest.ferry("info", guest.name) as info:
                # A process that is being killed may still have its socket.
                assert info.wait() == 1, info.err.text
                assert re.search("no guest|has ended", info.err.text), info.err.text


def test_console():
    """Old lines, new ones, and one that does not end."""
    with Guest("hello", append="echo", net="none") as guest, guest.control() as control:
        guest.wait_for("^hello echo")
        with waiting(guest, "console:^hello vcpus=[0-9]+ ") as old:
            assert old.wait() == 0 and old.out.text == "hello vcpus=1 memory_mib=64\n"
        with waiting(guest, "console:^echo (b|c)$", "--json") as new:
            attached(guest, control, 2)
            guest.write("a\n")
            guest.write("b\n")
            assert new.wait() == 0
            assert json.loads(new.out.text) == {"event": "console", "line": "echo b"}
        guest.write("\33[31m \x9b\x7f\n")
        guest.wait_for("31m .+\n")  # a part of a line would match, too
        for words, shown in [((), "echo ?[31m ???\n"), (("--json",), "echo \33[31m \x9b\x7f")]:
            with waiting(guest, "console:^echo .*31m", *words) as orders:
                assert orders.wait() == 0
                text = orders.out.text
                assert "\33" not in text and "\x9b" not in text, text
                assert (json.loads(text)["line"] if words else text) == shown
        with waiting(guest, "console:never") as gone:
            attached(guest, control, 2)
            guest.write("quit\n")
            assert gone.wait() == 1 and "the guest has ended" in gone.err.text


def test_console_takes_nothing_away():
    """Another reader still gets all of it."""
    with Guest("hello", append="echo", net="none", console="none") as guest, \
            guest.control():
        with waiting(guest, "console:^hello echo$", "--timeout", "30") as wait:
            assert wait.wait() == 0
        with waiting(guest, "console:^hello vcpus", "--timeout", "30") as wait:
            assert wait.wait() == 0


def test_events_of_the_socket():
    with Guest("hello", append="echo", net="none") as guest, guest.control() as control:
        guest.wait_for("^hello echo")
        for event, command, name in [("pause", "stop", "STOP"), ("running", "cont", "RESUME"),
                                     ("reset", "system_reset", "RESET")]:
            with waiting(guest, event, "--json") as wait:
                while wait.running():
                    control.execute(command)
                    if event == "pause":
                        control.execute("cont")
                        control.execute("stop")
                assert wait.wait() == 0
                said = json.loads(wait.out.text)
                assert said["event"] in (name, event), said


def test_timeout():
    with idle() as guest:
        guest.wait_for("^idle ready")
        for event in ("shutdown", "panic", "console:never"):
            with waiting(guest, event, "--timeout", "1") as wait:
                assert wait.wait() == 124, event
                assert wait.err.text.count("\n") == 1, wait.err.text


def test_ended_without_it():
    with idle() as guest:
        guest.wait_for("^idle ready")
        before = sockets(guest)
        with waiting(guest, "migration") as wait:
            connected(guest, before)
            guest.press_power_button()
            assert guest.wait() == 0
            assert wait.wait() == 1 and "the guest has ended" in wait.err.text, wait.err.text


def test_ping():
    """The address of a guest that is up; the loss of the guest; one that never answers."""
    require_root()
    with NetNs() as net:
        net.tap("tap0", "10.0.0.1/24")
        with Guest("net", net="tap:tap0", append="ip=10.0.0.2/24", netns=net) as guest:
            guest.wait_for("^net: up ")  # who waits must find it
            with waiting(guest, "ping:10.0.0.2", "--timeout", "30", netns=net) as wait:
                assert wait.wait() == 0, wait.err.text
            with waiting(guest, "ping:10.0.0.9", "--timeout", "1", netns=net) as wait:
                assert wait.wait() == 124, wait.err.text
            with waiting(guest, "ping:10.0.0.9", netns=net) as wait:
                guest.signal(signal.SIGKILL)
                assert wait.wait() == 1, wait.err.text


def test_wrong_usage():
    with idle() as guest:
        guest.wait_for("^idle ready")
        for reason, event in [("there is no event 'rain'", "rain"),
                              ("'lan' is not an address", "ping:lan"),
                              ("'(': Unmatched", "console:(")]:
            with waiting(guest, event) as wait:
                assert wait.wait() == 2 and reason in wait.err.text, wait.err.text
                assert wait.err.text.count("\n") == 1
        with guest.ferry("wait", "nobody") as wait:
            assert wait.wait() == 1 and "nobody" in wait.err.text
