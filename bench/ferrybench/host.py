# SPDX-License-Identifier: MIT
"""The machine that is measured on: what it is, and whether it is quiet."""
import os
import pathlib
import platform
import re
import time

SAMPLE_S = 0.25
BUSY_MAX = 0.15  # of all CPUs; above it somebody else is working


def cpu_times():
    """Seconds that all CPUs together were busy, and the seconds they had."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / tick, sum(fields) / tick


class Load:
    """How much of the machine is in use from its making on."""

    def __init__(self):
        self.start = cpu_times()

    def share(self):
        """0 to 1, of all CPUs."""
        busy, total = cpu_times()
        return (busy - self.start[0]) / max(total - self.start[1], 1e-9)


def wait_for_quiet(patience_s):
    """Wait until nobody else works; False if somebody still does after patience_s."""
    deadline_s = time.monotonic() + patience_s
    while True:
        load = Load()
        time.sleep(SAMPLE_S)
        if load.share() <= BUSY_MAX:
            return True
        if time.monotonic() >= deadline_s:
            return False


def cpu_model():
    """As /proc/cpuinfo has it."""
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    return match[1] if match else platform.machine()


def kvm_kind():
    """Is there hardware behind /dev/kvm?"""
    modules = pathlib.Path("/sys/module")
    for name, what in (("kvm_intel", "VT-x"), ("kvm_amd", "AMD-V")):
        if (modules / name).exists():
            return what
    return "software (no VT-x or AMD-V)"


def describe():
    """One line."""
    release = re.match(r"\d+\.\d+", platform.release())
    return (f"{os.cpu_count()} CPUs ({cpu_model()}), Linux {release[0]}, KVM in "
            f"{kvm_kind()}")
