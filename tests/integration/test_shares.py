# SPDX-License-Identifier: MIT
"""`ferry weight` and `ferry cap`, by the cpu controller of the kernel's cgroup v2."""
import json
import os
import time

from ferrytest import (CpuGroup, Guest, Proc, Systemd, alone, cpu_controller, each, timeout,
                       tmp_dir)

BUSY = {"append": "ms=200000", "net": "none"}
WINDOW_S = 2
# What of CPU time others leave is not known, so a comparison goes on until there is so much.
ENOUGH_US = 3_000_000
MOST_WINDOWS = 20


def ferry(guest, *argv, status=0):
    """A command to its end: what it said."""
    with guest.ferry(*argv) as command:
        assert command.wait() == status, command.err.text
        return command.out.text if status == 0 else command.err.text


def window(guest):
    """So long, by a command of ferry's; what it saw of the guests, by name."""
    table = json.loads(ferry(guest, "top", "--json", "-n", "1", "-d", str(WINDOW_S)))
    return {row["name"]: row for row in table}


@alone
@timeout(120)
def test_weight():
    """Two guests on one CPU, 1:4."""
    with cpu_controller() as root, tmp_dir() as runtime, \
            CpuGroup(root, "a") as light, CpuGroup(root, "b") as heavy, \
            Guest("smp", name="light", runtime=runtime, netns=light, **BUSY) as one, \
            Guest("smp", name="heavy", runtime=runtime, netns=heavy, **BUSY) as other:
        groups = {"light": light, "heavy": heavy}
        for guest in one, other:
            guest.wait_for("^smp started")
            ferry(guest, "vcpu", "pin", guest.name, "all", str(min(os.sched_getaffinity(0))))
        assert ferry(one, "weight", "light") == "100\n"
        assert ferry(one, "weight", "heavy", "400") == "400\n"
        assert json.loads(ferry(one, "weight", "heavy", "--json")) == {"weight": 400}
        assert (light.read("cpu.weight"), heavy.read("cpu.weight")) == ("100", "400")
        before = {name: group.stat("usage_usec") for name, group in groups.items()}
        for _ in range(MOST_WINDOWS):
            rows = window(one)
            used = {name: group.stat("usage_usec") - before[name]
                    for name, group in groups.items()}
            if sum(used.values()) >= ENOUGH_US:
                break
        ratio = used["heavy"] / used["light"]
        seen = rows["heavy"]["cpu_percent"] / rows["light"]["cpu_percent"]
        print(f"used {used} us: 1:{ratio:.2f}; ferry top, last window: 1:{seen:.2f}", flush=True)
        assert sum(used.values()) >= ENOUGH_US, used
        assert 2.7 < ratio < 6, used
        assert seen > 1.5, rows


@alone
@timeout(120)
def test_cap():
    """Two busy vCPUs get half a CPU, and more again when they may."""
    with cpu_controller() as root, CpuGroup(root, "a") as group, \
            Guest("smp", vcpus=2, name="g", netns=group, **BUSY) as guest:
        guest.wait_for("^smp started")
        assert ferry(guest, "cap", "g") == "0\n"
        assert ferry(guest, "cap", "g", "50") == "50\n"
        assert group.read("cpu.max") == "50000 100000"
        for _ in range(MOST_WINDOWS):
            used_us, begin = group.stat("usage_usec"), time.monotonic()
            row = window(guest)["g"]
            used_us, took_s = group.stat("usage_usec") - used_us, time.monotonic() - begin
            percent = used_us / took_s / 1e4
            print(f"used {percent:.1f} %, ferry top: {row['cpu_percent']:.1f} %", flush=True)
            # One period of 100 ms more or less.
            assert used_us < (took_s + 0.2) * 0.5e6, (used_us, took_s)
            if throttled := group.stat("nr_throttled"):
                break
        assert throttled
        assert json.loads(ferry(guest, "cap", "g", "0", "--json")) == {"cap_percent": 0}
        assert group.read("cpu.max").split()[0] == "max"
        throttled = group.stat("nr_throttled")
        window(guest)
        assert group.stat("nr_throttled") == throttled
        assert ferry(guest, "cap", "g", "250") == "250\n"


@alone
def test_what_is_refused():
    """By the kernel's own files, with nothing changed."""
    with cpu_controller() as root, CpuGroup(root, "a") as group, \
            Guest("idle", name="g", net="none") as guest:
        guest.wait_for("^idle ready")
        assert "has no cpu controller" in ferry(guest, "weight", "g", "200", status=1)
        group.add(guest.pid)
        for command, value in ("weight", "0"), ("weight", "10001"), ("cap", "100001"):
            assert "is not a number from" in ferry(guest, command, "g", value, status=2)
        with Proc("cat") as stranger:
            group.add(stranger.pid)
            assert "has other processes in it" in ferry(guest, "weight", "g", "200", status=1)
            assert "has other processes in it" in ferry(guest, "cap", "g", status=1)
        assert (group.read("cpu.weight"), group.read("cpu.max")) == ("100", "max 100000")
        # The least that the kernel takes is 1 ms in a period.
        assert ferry(guest, "cap", "g", "1") == "1\n"
        assert ferry(guest, "cap", "g", "0") == "0\n"  # its end takes time, too


CONFS = {
    "plain": "net = {none}\n",
    "jailed": 'net = {none}\njail-net = on\nuser = "51234:51235"\n',
}


@alone
@timeout(240)
@each(name=list(CONFS))
def test_service(name):
    """ferry@.service has what it takes, and its keeper is no stranger."""
    unit = f"ferry@{name}.service"
    with cpu_controller(), Systemd(CONFS, bare=True) as systemd:
        systemd.run("systemctl", "start", unit, timeout_s=60)
        assert systemd.run("/opt/ferry/bin/ferry", "weight", name, "200").strip() == "200"
        assert systemd.run("/opt/ferry/bin/ferry", "cap", name, "50").strip() == "50"
        systemd.run("systemctl", "stop", unit, timeout_s=60)
