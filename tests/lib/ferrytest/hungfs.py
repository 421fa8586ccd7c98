# SPDX-License-Identifier: MIT
"""Storage that stops answering: a file system whose server is the test.

It speaks the FUSE protocol (linux/fuse.h) as far as one file of fixed size needs
it, and is mounted where the test alone, and what it starts, sees it.
"""
import ctypes
import errno
import os
import select
import stat
import struct
import threading

from .case import Skip, require_root

CLONE_NEWNS = 0x20000
MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE = 2, 4, 0x4000, 0x40000
MNT_DETACH = 2
MAX_WRITE = 1 << 17
REQUEST_BYTES = MAX_WRITE + 4096
VALID_S = 3600
ROOT_ID, FILE_ID = 1, 2
FILE = b"disk.img"

LOOKUP, FORGET, GETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, INIT, INTERRUPT, FORGETS = (
    1, 2, 3, 14, 15, 16, 18, 20, 26, 36, 42)

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags, data):
    """mount(2)."""
    if libc.mount(source, os.fsencode(target), kind, flags, data) != 0:
        raise OSError(ctypes.get_errno(), f"mount on {target}")


class HungFs:
    """`with HungFs(folder, size) as fs:` fs.path is a file, until fs.hang()."""

    def __init__(self, folder, size):
        require_root()
        self.folder = folder
        self.path = folder / os.fsdecode(FILE)
        self.data = bytearray(size)
        self.hung, self.quit = threading.Event(), os.eventfd(0, os.EFD_CLOEXEC)
        # Set when somebody waits for an answer that will not come.
        self.somebody_waits = threading.Event()
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise Skip(f"no /dev/fuse: {error.strerror}") from error
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNS)")
        mount(None, "/", None, MS_REC | MS_PRIVATE, None)
        mount(b"ferrytest", folder, b"fuse", MS_NOSUID | MS_NODEV,
              f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode())
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        # The first close learns that there is no FLUSH; others would wait for its answer,
        # and nothing ends a process that does.
        os.close(os.open(self.path, os.O_RDONLY))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.eventfd_write(self.quit, 1)
        self.thread.join()
        libc.umount2(os.fsencode(self.folder), MNT_DETACH)
        # Whoever still waits gets an error now.
        os.close(self.fd)
        os.close(self.quit)

    def hang(self):
        """Answer nothing more; returns when somebody waits for an answer."""
        self.hung.set()
        assert self.somebody_waits.wait(20), "nobody uses the file"

    def serve(self):
        """The server's thread."""
        while True:
            ready = select.select([self.fd, self.quit], [], [])[0]
            if self.quit in ready:
                return
            if self.hung.is_set():
                self.somebody_waits.set()
                select.select([self.quit], [], [])
                return
            self.answer(os.read(self.fd, REQUEST_BYTES))

    def answer(self, request):
        """Read one request, and answer it if it has an answer."""
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (FORGET, FORGETS, INTERRUPT):
            return
        handler = HANDLERS.get(opcode)
        result = handler(self, node, request[40:]) if handler else -errno.ENOSYS
        error, body = (result, b"") if isinstance(result, int) else (0, result)
        os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def attr(self, node):
        """struct fuse_attr."""
        mode, size = ((stat.S_IFDIR | 0o755, 0) if node == ROOT_ID
                      else (stat.S_IFREG | 0o600, len(self.data)))
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0,
                           mode, 1, 0, 0, 0, 4096, 0)

    def init(self, _node, body):
        """Version 7.31, and nothing that can be chosen."""
        readahead, = struct.unpack_from("<I", body, 8)
        return struct.pack("<IIIIHHIIHHI28x", 7, 31, readahead, 0, 16, 12, MAX_WRITE, 1, 0, 0, 0)

    def lookup(self, _node, body):
        """The one file."""
        if body.rstrip(b"\0") != FILE:
            return -errno.ENOENT
        return struct.pack("<QQQQII", FILE_ID, 0, VALID_S, VALID_S, 0, 0) + self.attr(FILE_ID)

    def getattr(self, node, _body):
        """The attributes."""
        return struct.pack("<QII", VALID_S, 0, 0) + self.attr(node)

    def open(self, _node, _body):
        """Whoever wants."""
        return struct.pack("<QII", 0, 0, 0)

    def read(self, _node, body):
        """Bytes of the file."""
        _, offset, size = struct.unpack_from("<QQI", body)
        return bytes(self.data[offset:offset + size])

    def write(self, _node, body):
        """Bytes to the file."""
        _, offset, size = struct.unpack_from("<QQI", body)
        self.data[offset:offset + size] = body[40:40 + size]
        return struct.pack("<II", size, 0)

    def nothing(self, _node, _body):
        """Done."""
        return b""


HANDLERS = {
    INIT: HungFs.init, LOOKUP: HungFs.lookup, GETATTR: HungFs.getattr, OPEN: HungFs.open,
    READ: HungFs.read, WRITE: HungFs.write, RELEASE: HungFs.nothing, FSYNC: HungFs.nothing,
}
