# SPDX-License-Identifier: MIT
"""What confinement and counters cost where data flows: ferry with them and without."""
import pathlib

from ferrytest import Skip
from ferrytest.paths import BUILD

from . import measure
from .sides import FerrySide
from .table import Row

# `make bench` builds it: the same with -DFERRY_NO_COUNTERS.
UNCOUNTED = pathlib.Path(BUILD) / "uncounted" / "ferry"


class Confined(FerrySide):
    """As ferry is by default."""

    name = "with"


class Unfiltered(FerrySide):
    """Without its lists of system calls."""

    name = "without"
    options = {"seccomp": "off"}


class Uncounted(FerrySide):
    """A build that counts nothing."""

    name = "without"

    @classmethod
    def guest(cls, *args, **kwargs):
        """By the other program."""
        if not UNCOUNTED.exists():
            raise Skip(f"no {UNCOUNTED}: make bench builds it")
        return FerrySide.guest(*args, ferry=UNCOUNTED, **kwargs)


# What makes most system calls or counts most often: requests from the page cache are answered at
# once, with interrupts each is a wake-up, and a nic has a system call for each frame.
WORK = {
    "blk": ("blk 4 KiB random read, depth 32, page cache", "IOPS",
            measure.blk("depth=32 batch=4 rw=read", cached=True)),
    "blk-irq": ("the same, interrupts", "IOPS",
                measure.blk("depth=32 poll=0 rw=read", cached=True)),
    "net-tx": ("net guest to host, UDP of 64 bytes", "packets/s",
               measure.net("rx_packets", measure.udp_hole, f"flood={measure.HOST_ADDR}:9")),
    "net-rx": ("net host to guest, UDP of 64 bytes", "packets/s",
               measure.net("tx_packets", measure.udp_flood, "udp_sink=9")),
}


def rows():
    """A table of their own."""
    return [Row(f"cost-{key}-{work}", f"{what}: {title}", unit, function, table="cost",
                sides=(Confined, without))
            for key, what, without in (("seccomp", "seccomp", Unfiltered),
                                       ("counters", "counters", Uncounted))
            for work, (title, unit, function) in WORK.items()]
