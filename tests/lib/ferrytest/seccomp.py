# SPDX-License-Identifier: MIT
"""Run a program on a host that refuses io_uring.

    python3 seccomp.py PROGRAM ARGUMENT...

A seccomp filter makes io_uring_setup(2) fail with EPERM, as a container's
profile or kernel.io_uring_disabled=2 does.
"""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS = 38
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ALLOW = 0x7FFF0000
SECCOMP_RET_ERRNO = 0x00050000
EPERM = 1
NR_IO_URING_SETUP = 425

LOAD_NR = (0x20, 0, 0, 0)  # BPF_LD | BPF_W | BPF_ABS: seccomp_data.nr
JUMP_EQUAL, RETURN = 0x15, 0x06

FILTER = [
    LOAD_NR,
    (JUMP_EQUAL, 0, 1, NR_IO_URING_SETUP),
    (RETURN, 0, 0, SECCOMP_RET_ERRNO | EPERM),
    (RETURN, 0, 0, SECCOMP_RET_ALLOW),
]


class NoUring:
    """Where a program can run, as a NetNs is: Guest("hello", netns=NoUring())."""

    def prefix(self):
        """What to put before a command."""
        return [sys.executable, os.path.abspath(__file__)]


def main():
    code = b"".join(struct.pack("HBBI", *line) for line in FILTER)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("HxxxxxxP", len(FILTER), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or \
            libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        sys.exit(f"seccomp: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])


if __name__ == "__main__":
    main()
