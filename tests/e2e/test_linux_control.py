# SPDX-License-Identifier: MIT
"""What the sub-commands do to a Linux guest: memory, SysRq, NMI, power button, cores."""
import json
import os

from ferrytest import BOOT_S, PROMPT, READY, Guest, linux_guest, run, timeout, tmp_dir
from ferrytest.paths import FERRY


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)},
               timeout_s=BOOT_S)


def boot(append="net=none", **kwargs):
    """A guest called web."""
    linux = linux_guest()
    return Guest(linux.kernel, initrd=linux.initrd, name="web", net="none",
                 append=f"{linux.cmdline} {append}", **kwargs)


@timeout(400)
def test_memory_sysrq_reboot():
    with boot(memory="256M", balloon=True) as guest:
        guest.wait_for(READY, BOOT_S)
        guest.wait_for(PROMPT, BOOT_S)
        assert ferry(guest, "memory", "set", "web", "192M", "--timeout", "60") == "web: 192.0 MiB\n"
        stats = json.loads(ferry(guest, "memory", "stats", "web", "--json"))
        assert stats["actual_bytes"] == 192 << 20
        assert ferry(guest, "memory", "set", "web", "256M", "--timeout", "60") == "web: 256.0 MiB\n"
        ferry(guest, "sysrq", "web", "h")
        guest.wait_for(r"sysrq: HELP : .*reboot\(b\)", BOOT_S)
        ferry(guest, "reboot", "--wait", "web")
        guest.wait_for(READY, BOOT_S)
        guest.wait_for(PROMPT, BOOT_S)
        ferry(guest, "shutdown", "--wait", "web")
        assert guest.wait(BOOT_S) == 0


@timeout(400)
def test_nmi_makes_a_core():
    """A guest that hangs panics by an NMI; its core is kept, and it starts again."""
    with tmp_dir() as folder, boot("net=none unknown_nmi_panic", memory="128M", dump_dir=folder,
                                   on_crash="rename-restart") as guest:
        guest.wait_for(READY, BOOT_S)
        guest.wait_for(PROMPT, BOOT_S)
        with guest.control() as control:
            ferry(guest, "nmi", "web")
            control.wait_event("GUEST_PANICKED", BOOT_S)
            done = control.wait_event("DUMP_COMPLETED", BOOT_S)["data"]
            assert done["result"]["status"] == "completed"
        guest.wait_for("guest: ready after", BOOT_S)  # behind the old one's prompt
        assert (folder / "web-1.core").stat().st_size > 0
        assert "panicked" in ferry(guest, "log", "web")
