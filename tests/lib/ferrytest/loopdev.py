# SPDX-License-Identifier: MIT
"""Block devices: loop devices over a file."""
import contextlib
import os

from .case import require_file, require_root, require_tool, tmp_dir
from .proc import run

MIB = 1 << 20


@contextlib.contextmanager
def loop_device(size_bytes, block_bytes=512, *options):
    """A block device over a file full of data: its path, the file's. `options` are losetup's."""
    require_root()
    require_tool("losetup")
    require_file("/dev/loop-control", "needs a kernel with loop devices")
    with tmp_dir(on="/var/tmp") as folder:
        file = folder / "backing"
        file.write_bytes(os.urandom(MIB) * (size_bytes // MIB))
        device = run("losetup", "--find", "--show", "--sector-size", block_bytes, *options,
                     file).strip()
        try:
            yield device, file
        finally:
            run("losetup", "--detach", device)
