# SPDX-License-Identifier: MIT
"""Cores of Linux, read by gdb and crash."""
import os
import re

from ferrytest import (BOOT_S, PROMPT, READY, Guest, Restored, booted_linux, linux_guest,
                       require_tool, run, timeout, tmp_dir)
from ferrytest.paths import FERRY

EXIT_CRASH = 125
ADDRESS = "[0-9a-f]{16}"


def dump(guest, path, *words):
    """`ferry dump-core` to its end."""
    run(FERRY, "dump-core", guest.name, path, *words, timeout_s=BOOT_S,
        env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def has_task(ps, pid, name):
    """Whether crash's list of tasks has this one."""
    return re.search(rf"^>? +{pid} +\d+ +\d+ +{ADDRESS} .* \[?{name}\]?$", ps, re.M)


def frames(trace):
    """The functions of each task's stack, {pid: [innermost, ..]}."""
    tasks = re.split(r"^PID: (\d+) .*$", trace, flags=re.M)[1:]
    return {int(pid): re.findall(rf"^ *#\d+ \[{ADDRESS}\] (\S+) at {ADDRESS}", text, re.M)
            for pid, text in zip(tasks[::2], tasks[1::2], strict=True)}


def check_system(sys, ps, log, cpus):
    """What crash says of any guest of ours that has booted."""
    assert re.search(rf"^ +CPUS: {cpus}\b", sys, re.M), sys
    assert re.search(r"^ +NODENAME: guest$", sys, re.M), sys
    assert re.search(r"^ +RELEASE: 6\.1\.", sys, re.M), sys
    for pid, name in (0, "swapper/0"), (1, "init"), (2, "kthreadd"), (r"\d+", "sh"):
        assert has_task(ps, pid, name), ps
    assert "Linux version 6.1" in log.splitlines()[0], log
    assert re.search(r"Command line: .*\bnet=none\b", log), log
    assert re.search(r"Run /init as init process$", log, re.M), log


@timeout(300)
def test_gdb_reads_the_kernel():
    require_tool("gdb")
    linux = linux_guest()
    with tmp_dir() as folder, Restored(booted_linux(net="none")) as guest, guest.control():
        dump(guest, folder / "core", "--paging")
        out = run("gdb", "-nx", "-batch", "-ex", "p linux_banner", "-ex", "p init_task.comm",
                  "-ex", "info symbol $rip", linux.kernel_debug, folder / "core", timeout_s=BOOT_S)
    assert '"Linux version 6.1' in out and '"swapper/0' in out, out
    assert re.search(r"^[\w.]+( \+ \d+)? in section \.(\w+\.)?text", out, re.M), out


@timeout(400)
def test_crash_reads_a_running_guest():
    """Stopped for the dump, live, and with virtual addresses, which crash passes by."""
    linux = linux_guest()
    with tmp_dir() as folder, Restored(booted_linux(net="none")) as guest, guest.control():
        for words in [], ["--live"], ["--paging"]:
            core = folder / "-".join(["core", *words])
            dump(guest, core, *words)
            system, ps, log, trace, kernel = linux.crash(core, "sys", "ps", "log", "foreach bt",
                                                         "p linux_banner")
            check_system(system, ps, log, cpus=1)
            assert "Linux version 6.1" in kernel, kernel
            # Who sleeps has called the scheduler; the one that runs may be in its own code.
            stacks = frames(trace)
            assert {"schedule", "kthreadd"} <= set(stacks[2]), trace
            assert "schedule" in stacks[1] and "do_syscall_64" in stacks[1], trace


@timeout(400)
def test_crash_reads_a_guest_that_panicked():
    """The core that ferry writes by itself, with two CPUs: the one that panicked, and another."""
    linux = linux_guest()
    with tmp_dir() as folder:
        with Guest(linux.kernel, initrd=linux.initrd, name="web", net="none", vcpus=2,
                   append=f"{linux.cmdline} net=none", dump_dir=folder) as guest:
            guest.wait_for(READY, BOOT_S)
            guest.wait_for(PROMPT, BOOT_S)
            guest.write("echo c > /proc/sysrq-trigger\n")
            assert guest.wait(BOOT_S) == EXIT_CRASH
        system, ps, log, trace, every = linux.crash(folder / "web-1.core", "sys", "ps", "log",
                                                    "bt", "bt -a")
    check_system(system, ps, log, cpus=2)
    assert re.search(r'^ +PANIC: "Kernel panic - not syncing: sysrq triggered crash"$', system,
                     re.M), system
    assert log.rstrip().endswith("Kernel panic - not syncing: sysrq triggered crash"), log
    (pid, stack), = frames(trace).items()
    assert has_task(ps, pid, "sh"), ps
    assert stack[:2] == ["panic", "sysrq_handle_crash"] and "ksys_write" in stack, trace
    others = frames(every)
    assert len(others) == 2 and others[pid] == stack and all(others.values()), every
