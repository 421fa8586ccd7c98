# SPDX-License-Identifier: MIT
"""What a destination's host cannot run: refused before anything is sent, and the guest stays."""
import json
import pathlib
import re
import resource

from ferrytest import Lab, each, timeout
from ferrytest.case import Skip
from ferrytest.lab import PORT
from ferrytest.moves import check_result, lab_with, stays
from ferrytest.proxy import Forger

CONFIG = 1  # a section's type


def number_of(path, key):
    """A line of /proc in KiB, in bytes."""
    text = pathlib.Path(path).read_text(encoding="ascii")
    return int(re.search(rf"^{key}:\s+(\d+)", text, re.MULTILINE)[1]) << 10


def entries(config, function):
    """The CPUID entries of a function: lists of function, index, flags, eax, ebx, ecx, edx."""
    return [entry for entry in config["cpuid"] if entry[0] == function]


def more_features(config):
    """All that leaf 7 and the extended leaf 1 can say, which no CPU has."""
    for entry in entries(config, 7)[:1] + entries(config, 0x80000001)[:1]:
        entry[4:] = [0xffffffff] * 3


def another_vendor(config):
    for entry in entries(config, 0):
        entry[4:] = [int.from_bytes(text, "little") for text in (b"Some", b"CPUs", b"Else")]


def much_memory(config):
    """The most that a guest can have."""
    if available_mib() > 64 << 10:
        raise Skip("this host has memory for every guest")
    config["config"]["memory"] = 64 << 30


OTHERS = {
    "features": (more_features, "CPU: the guest has features that this host lacks: "),
    "vendor": (another_vendor, "CPU: the guest runs on a SomeElseCPUs CPU, and this host has "),
    "memory": (much_memory, "memory: the guest may use 65536 MiB, but the host has ")}


@each(what=list(OTHERS))
def test_host_is_another(what):
    """A source on such a host, as far as its settings tell."""
    change, why = OTHERS[what]

    def forge(kind, payload):
        if kind != CONFIG:
            return payload
        config = json.loads(payload)
        change(config)
        return json.dumps(config).encode()

    with lab_with() as (lab, _, receive), \
            Forger(forge, lab.peer.net, lab.peer.address, 8003,
                   (lab.host2.address, PORT)) as proxy:
        stays(lab, lab.host1.teleport("g", proxy.address).result(), why)
        assert why in receive.failed("g")
        lab.check_clean_host(lab.host2)
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)


def test_memory_cannot_be_mapped():
    """The host has it, but the process may not."""
    with lab_with(memory="512M") as (lab, _, receive):
        limits = resource.prlimit(receive.pid, resource.RLIMIT_AS)
        room = number_of(f"/proc/{receive.pid}/status", "VmSize") + (256 << 20)
        resource.prlimit(receive.pid, resource.RLIMIT_AS, (room, limits[1]))
        stays(lab, lab.host1.teleport("g", receive).result(), "memory")
        receive.failed()
        lab.check_clean_host(lab.host2)
        resource.prlimit(receive.pid, resource.RLIMIT_AS, limits)
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")


def available_mib():
    """What the host can give."""
    return number_of("/proc/meminfo", "MemAvailable") >> 20


@timeout(120)
def test_memory_of_two():
    """Each would fit; while one is on its way there is no room for the other."""
    mib = available_mib() * 7 // 10
    with Lab() as lab, lab.host2.receive("--hold", "precopy") as receive:
        for name in ["g", "other"]:
            lab.stack.enter_context(lab.host1.guest("dirty", name=name, memory=f"{mib}M",
                                                    append="mem=8M rate=16"))
            lab.console(name).wait_for("^dirty pass=1 ")
        move = lab.host1.teleport("other", receive)
        lab.host2.wait_held("other", "precopy")
        stays(lab, lab.host1.teleport("g", receive).result(), "left beside what other guests")
        receive.failed("g")
        lab.host2.ferry("teleport", "other", "--continue")
        check_result(move.result())
        receive.arrived("other")
        move = lab.host1.teleport("g", receive)
        lab.host2.wait_held("g", "precopy")
        lab.host2.ferry("teleport", "g", "--continue")
        check_result(move.result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
