# SPDX-License-Identifier: MIT
"""The connection breaks after the guest was given up: its source asks, and nobody guesses."""
import os
import signal

from ferrytest import each, timeout
from ferrytest.moves import check_result, dirty_goes_on, lab_with


def given_up(lab, receive, **options):
    """A teleport whose commit was sent; the source does not listen for the answer yet."""
    move = lab.host1.teleport("g", receive, hold="running", **options)
    move.wait_held("running")
    return move


@each(once=[False, True])
def test_reset_after_the_commit(once):
    """The answer is that it runs there, and with --once the listener waited for the question."""
    with lab_with(receive=["--once"] if once else []) as (lab, guest, receive):
        move = given_up(lab, receive)
        receive.arrived("g")
        lab.reset(lab.host1)
        check_result(move.result())
        assert guest.wait() == 0
        if once:
            assert receive.wait() == 0
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


@timeout(90)
def test_cut_after_the_commit():
    """As long as nobody answers it stays paused; when the cable is whole it learns the truth."""
    with lab_with() as (lab, guest, receive):
        move = given_up(lab, receive)
        receive.arrived("g")
        lab.cut(lab.host2)
        with lab.host1.control() as control:
            while control.execute("query-migrate")["status"] != "handover-unknown":
                control.wait_event("MIGRATION", 40)
        assert lab.host1.status("g") == "handover-unknown"
        assert lab.host2.status("g") == "running"
        lab.mend(lab.host2)
        check_result(move.result(60))
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_destination_is_killed_before_it_commits():
    """Its process ended without having run: the source may go on, and does."""
    with lab_with(receive=["--hold", "commit"]) as (lab, _, receive):
        move = lab.host1.teleport("g", receive)
        lab.host2.wait_held("g", "commit")
        child, = receive.children()
        os.kill(child, signal.SIGKILL)
        assert "killed" in receive.failed()
        result = move.result(60)
        assert result["status"] == "failed", result
        lab.check_one_copy("g", lab.host1)
        dirty_goes_on(lab)
