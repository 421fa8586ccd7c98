# SPDX-License-Identifier: MIT
"""What a test of ferry needs: `from ferrytest import *` and go."""
from .case import (Skip, alone, each, require_file, require_kvm, require_plain_build, require_root,
                   require_tool, require_user_namespaces, sanitizer_flags, timeout, tmp_dir)
from .cgroup import CpuGroup, cpu_controller
from .control import Control
from .guest import Guest, Qemu, QemuPC, Restored, guest_image
from .hungfs import HungFs
from .keys import Keys
from .lab import Lab
from .leaks import fds, links, memory_of, no_leaks, unix_sockets, vanishes
from .linux import BOOT_S, PROMPT, READY, booted_linux, linux_guest
from .loopdev import loop_device
from .nethost import NetHost
from .netns import NetNs, free_port
from .proc import Proc, descendants, run, wait_end
from .receive import Receive
from .systemd import Systemd

__all__ = [
    "BOOT_S", "Control", "CpuGroup", "Guest", "HungFs", "Keys", "Lab", "NetHost", "NetNs",
    "Proc", "PROMPT", "Qemu", "QemuPC", "READY", "Receive", "Restored", "Skip", "Systemd",
    "alone", "booted_linux", "cpu_controller", "descendants", "each", "fds", "free_port",
    "guest_image", "links", "linux_guest", "loop_device", "memory_of", "no_leaks",
    "require_file", "require_kvm", "require_plain_build", "require_root", "require_tool",
    "require_user_namespaces", "run", "sanitizer_flags", "timeout", "tmp_dir", "unix_sockets",
    "vanishes", "wait_end",
]
