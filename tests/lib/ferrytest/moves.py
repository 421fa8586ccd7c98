# SPDX-License-Identifier: MIT
"""What most tests of teleport begin and end with."""
import contextlib

from .lab import Lab

# Writes 8 MiB again and again, 16 MiB a second, and checks each page before it does.
DIRTY = "mem=8M rate=16"


@contextlib.contextmanager
def lab_with(image="dirty", started="^dirty pass=2 ", append=DIRTY, receive=(), insecure=True,
             **kwargs):
    """A lab, a guest on host1 that has begun its work, and a listener on host2."""
    with Lab() as lab, lab.host1.guest(image, append=append, **kwargs) as guest, \
            lab.host2.receive(*receive, insecure=insecure) as listener:
        lab.console().wait_for(started)
        yield lab, guest, listener


def check_result(result, passes=1):
    """A teleport went well; returns its result."""
    assert result["status"] == "completed" and result["exit_status"] == 0, result
    assert result["ram"]["dirty-sync-count"] >= passes, result
    return result


def dirty_goes_on(lab):
    """It checks every page before it writes it: two passes prove all of memory."""
    for _ in range(2):
        lab.console().wait_for("^dirty pass=[0-9]+ ")
    assert "CORRUPT" not in lab.console().out.text


def stays(lab, result, why):
    """A teleport failed for a reason; the guest goes on at host1, and is nowhere else."""
    assert result["exit_status"] == 1 and result["status"] != "completed", result
    said = result["error"] + result.get("error-desc", "")
    assert why in said, f"{why!r} is not in {said!r}"
    lab.check_one_copy("g", lab.host1)
    dirty_goes_on(lab)
