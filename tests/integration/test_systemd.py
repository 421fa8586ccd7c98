# SPDX-License-Identifier: MIT
"""ferry@.service, started by a real systemd."""
import os
import pathlib
import signal
import time

from ferrytest import Systemd, each, timeout

CONFS = {
    "plain": "net = {none}\n",
    "jailed": 'net = {none}\njail-net = on\nuser = "51234:51235"\n',
    "wrong": "net = {none}\nuser = no-such-user\n",
}


@timeout(120)
@each(name=["plain", "jailed"])
def test_life(name):
    """It is started when it says so, and ends by its power button."""
    unit = f"ferry@{name}.service"
    with Systemd(CONFS) as systemd:
        systemd.run("systemctl", "start", unit)
        assert systemd.show(unit, "ActiveState") == "active"
        assert f"{name} " in systemd.run("/opt/ferry/bin/ferry", "list")
        pid = systemd.main_pid(unit)
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        assert f"Uid:\t{51234 if name == 'jailed' else 0}\t" in status
        systemd.run("systemctl", "stop", unit)
        assert systemd.show(unit, "ActiveState") == "inactive"
        assert systemd.show(unit, "Result") == "success"
        assert systemd.run("ls", "/run/ferry").split() == ["lock"]


@timeout(120)
@each(name=["plain", "jailed"])
def test_restart_after_a_failure(name):
    unit = f"ferry@{name}.service"
    with Systemd(CONFS) as systemd:
        systemd.run("systemctl", "start", unit)
        os.kill(systemd.main_pid(unit), signal.SIGKILL)
        deadline_s = time.monotonic() + 60
        while (systemd.show(unit, "NRestarts"), systemd.show(unit, "ActiveState")) != (
                "1", "active"):
            assert time.monotonic() < deadline_s, systemd.run("systemctl", "status", unit,
                                                              check=False)
        assert systemd.run("/opt/ferry/bin/ferry", "list").count(f"{name} ") == 1
        systemd.run("systemctl", "stop", unit)


@timeout(120)
def test_a_start_that_fails():
    with Systemd(CONFS) as systemd:
        said = systemd.run("systemctl", "start", "ferry@wrong.service", check=False)
        assert "failed" in said, said
        assert systemd.show("ferry@wrong.service", "ExecMainStatus") == "1"
        systemd.run("systemctl", "start", "ferry@absent.service")
        assert systemd.show("ferry@absent.service", "ConditionResult") == "no"
