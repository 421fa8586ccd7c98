# SPDX-License-Identifier: MIT
"""Every guest, under ferry and under QEMU: a guest's own mistake fails both."""
import time

from ferrytest import Guest, Qemu, QemuPC, alone, each

VMMS = [Guest, Qemu]
PCS = [Guest, QemuPC]  # with a power button
ENDED_BY_DEBUG_EXIT = {value: value << 1 | 1 for value in (1, 2, 3, 42)}


def on(*vmms):
    """Mark: run under each of them."""
    return each(vmm=list(vmms))


@on(*VMMS)
@each(vcpus=[1, 2, 4])
def test_hello_sees_its_machine(vmm, vcpus):
    with vmm("hello", vcpus=vcpus, memory="64M") as guest:
        guest.wait_for(rf"^hello vcpus={vcpus} memory_mib=64\s")
        assert guest.wait() == 0


@on(*VMMS)
@each(value=[1, 42])
def test_exit_status_is_the_guests(vmm, value):
    with vmm("hello", append=f"exit={value}") as guest:
        assert guest.wait() == ENDED_BY_DEBUG_EXIT[value]


@on(*VMMS)
def test_console_echoes_what_is_typed(vmm):
    with vmm("hello", append="echo") as guest:
        guest.wait_for("^hello echo")
        for word in ["one", "two words", "x" * 200]:
            guest.write(word + "\n")
            guest.wait_for(f"^echo {word}$")
        guest.write("quit\n")
        assert guest.wait() == 0


@on(*VMMS)
def test_console_loses_nothing(vmm):
    count = 2048
    with vmm("hello", append=f"flood={count * 64}") as guest:
        assert guest.wait() == 0
        lines = [int(line.split()[1]) for line in guest.out.text.splitlines()
                 if line.startswith("flood ")]
        assert lines == list(range(count))


@on(*VMMS)
@each(vcpus=[1, 2, 4])
def test_smp_starts_every_cpu(vmm, vcpus):
    with vmm("smp", vcpus=vcpus, append="rounds=20") as guest:
        guest.wait_for(f"^smp started={vcpus}\\s")
        guest.wait_for("^smp ok")
        assert guest.wait() == 0


@on(*PCS)
def test_idle_is_woken_by_the_power_button(vmm):
    with vmm("idle") as guest:
        guest.wait_for("^idle ready")
        guest.press_power_button()
        guest.wait_for("^idle woke=button")
        assert guest.wait() == 0


@on(*VMMS)
def test_idle_is_woken_by_input(vmm):
    with vmm("idle") as guest:
        guest.wait_for("^idle ready")
        guest.write("x")
        guest.wait_for("^idle woke=input")
        assert guest.wait() == 0


@alone
@on(*VMMS)
def test_idle_ticks_at_the_time_it_asks_for(vmm):
    with vmm("idle", append="tick=50") as guest:
        guest.wait_for("^idle tick=1\\s")
        start_s = time.monotonic()
        guest.wait_for("^idle tick=11\\s")
        assert 0.4 < time.monotonic() - start_s < 0.8


@on(*VMMS)
@each(vcpus=[1, 2])
def test_dirty_verifies_its_memory(vmm, vcpus):
    with vmm("dirty", vcpus=vcpus, append="passes=4 mem=16M") as guest:
        guest.wait_for("^dirty pass=4 ")
        assert guest.wait() == 0


@on(*VMMS)
def test_dirty_sees_corruption(vmm):
    with vmm("dirty", append="passes=4 mem=16M spoil=2") as guest:
        guest.wait_for("^dirty CORRUPT pass=")
        assert guest.wait() == ENDED_BY_DEBUG_EXIT[2]


@on(*VMMS)
def test_bad_parameter_is_reported(vmm):
    with vmm("smp", append="cpus=1000") as guest:
        guest.wait_for("^usage: .*cpus")
        assert guest.wait() == ENDED_BY_DEBUG_EXIT[3]
