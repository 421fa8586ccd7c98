# SPDX-License-Identifier: MIT
"""A core of Linux, with the kernel's own addresses."""
import os
import re

from ferrytest import Restored, booted_linux, linux_guest, require_tool, run, timeout, tmp_dir
from ferrytest.paths import FERRY


@timeout(300)
def test_gdb_reads_the_kernel():
    require_tool("gdb")
    linux = linux_guest()
    symbols = (linux.kernel.parent / "System.map").read_text()
    banner = re.search(r"^(\w+) . linux_banner$", symbols, re.M)[1]
    with tmp_dir() as folder, Restored(booted_linux(net="none")) as guest, guest.control():
        run(FERRY, "dump-core", guest.name, folder / "core", "--paging",
            env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})
        out = run("gdb", "-nx", "-batch", "-ex", f"x/s 0x{banner}", linux.kernel, folder / "core")
    assert '"Linux version 6.1' in out, out
