# SPDX-License-Identifier: MIT
"""What guests and people do while a teleport is under way, and after an answer was lost."""
import os
import signal

from ferrytest import each, timeout
from ferrytest.control import ControlError
from ferrytest.moves import check_result, dirty_goes_on, lab_with, stays


def refuses(control, command, why):
    """A command fails, for a reason."""
    try:
        control.execute(command)
    except ControlError as error:
        assert why in str(error), error
    else:
        raise AssertionError(f"{command} was not refused")


# --- the guest ---

def test_power_off():
    """A guest that ends on its way has ended; nothing of it arrives."""
    with lab_with() as (lab, guest, receive):
        move = lab.host1.teleport("g", receive, hold="stop")
        move.wait_held("stop")
        lab.host1.ferry("shutdown", "g")
        assert guest.wait() == 0
        assert move.result()["exit_status"] == 1
        receive.failed()
        lab.check_no_copy("g")
        lab.check_clean_host(lab.host2)


def test_reset():
    """A reset before the pause: it boots again there, or here and is moved then."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="stop", verify=True)
        move.wait_held("stop")
        lab.host1.ferry("reset", "g")
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        lab.console().wait_for("^dirty pass=1 ")
        lab.check_one_copy("g", lab.host2)


# --- people ---

def test_pause_on_the_way():
    """Paused and resumed before the hand-over; it arrives as it was then."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="stop")
        move.wait_held("stop")
        lab.host1.ferry("pause", "g")
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        assert lab.host2.status("g") == "paused"
        lab.host2.ferry("resume", "g")
        dirty_goes_on(lab)


@each(phase=["state", "commit"])
def test_hands_off(phase):
    """While it is handed over nobody makes it run, stop or reset; cancelled, all is well."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold=phase)
        move.wait_held(phase)
        assert lab.host1.status("g") == "finish-migrate"
        with lab.host1.control() as control:
            for command in ["cont", "stop", "system_reset", "system_powerdown"]:
                refuses(control, command, "handed over")
        with lab.host2.control() as control:
            for command in ["cont", "stop", "system_reset", "system_powerdown"]:
                refuses(control, command, "not arrived")
            refuses(control, "migrate_cancel", "at its source")
        move.cancel()
        stays(lab, move.result(), "cancelled")


def test_destroy_on_the_way():
    """The user ends it: it ends here, and never was there."""
    with lab_with() as (lab, guest, receive):
        move = lab.host1.teleport("g", receive, hold="commit")
        move.wait_held("commit")
        lab.host1.ferry("destroy", "g")
        assert guest.wait() == 0
        assert move.result()["exit_status"] == 1
        receive.failed()
        lab.check_no_copy("g")
        lab.check_clean_host(lab.host2)


def test_destroy_at_the_destination():
    """Before the commit that is a refusal: the guest goes on here."""
    with lab_with(receive=["--hold", "release"]) as (lab, _, receive):
        move = lab.host1.teleport("g", receive)
        lab.host2.wait_held("g", "release")
        lab.host2.ferry("destroy", "g")
        stays(lab, move.result(), "told to end")
        receive.failed()


def test_one_at_a_time():
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        second = lab.host1.teleport("g", receive).result()
        assert second["exit_status"] == 1 and "already" in second["error"], second
        move.go_on()
        check_result(move.result())


def test_interrupt():
    """Ctrl-C gives it up."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        move.signal(signal.SIGINT)
        result = move.result()
        assert "cancelling" in result["error"], result
        stays(lab, result, "cancelled; g goes on here")


def test_follower_goes_away():
    """The command is killed: the teleport does not care."""
    with lab_with() as (lab, guest, receive):
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        move.signal(signal.SIGKILL)
        move.wait()
        lab.host1.ferry("teleport", "--continue", "g")
        receive.arrived("g")
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)


def test_after_it_has_moved():
    """The process stays for those who look, and knows only how it went."""
    with lab_with() as (lab, guest, receive):
        with lab.host1.control() as control:
            lab.host1.ferry("teleport", "g", receive.destination(), "--detach")
            receive.arrived("g")
            while control.execute("query-migrate")["status"] != "completed":
                control.wait_event("MIGRATION")
            assert control.execute("query-status")["status"] == "postmigrate"
            assert control.execute("ferry-info")["moved_to"] == receive.destination()
            for command in ["cont", "query-cpus-fast", "ferry-console", "migrate_cancel"]:
                refuses(control, command, "has moved to")
            assert guest.running()
        assert guest.wait() == 0


# --- an answer is lost ---

def lose_the_answer(lab, receive):
    """Both sides die there after the commit was sent: nobody is left to be asked."""
    move = lab.host1.teleport("g", receive)
    lab.host2.wait_held("g", "running")
    for pid in [*receive.children(), receive.pid]:
        os.kill(pid, signal.SIGKILL)
    with lab.host1.control() as control:
        while control.execute("query-status")["status"] != "handover-unknown":
            control.wait_event("MIGRATION")
    return move


@timeout(90)
def test_nobody_knows():
    """It stays paused, until somebody says that it runs nowhere else."""
    with lab_with(receive=["--hold", "running"]) as (lab, _, receive):
        move = lose_the_answer(lab, receive)
        with lab.host1.control() as control:
            refuses(control, "cont", "handed over")
            refuses(control, "migrate_cancel", "too late")
        lab.host1.ferry("resume", "--force", "g")
        stays(lab, move.result(), "goes on here")


@timeout(90)
def test_nobody_knows_and_it_is_destroyed():
    with lab_with(receive=["--hold", "running"]) as (lab, guest, receive):
        move = lose_the_answer(lab, receive)
        lab.host1.ferry("destroy", "g")
        assert guest.wait() == 0
        assert move.result()["exit_status"] == 1


def alive_for_ever(lab, receive):
    """The commit has come, and the destination says no more than that it is alive."""
    move = lab.host1.teleport("g", receive)
    lab.host2.wait_held("g", "running")
    with lab.host1.control() as control:
        while control.execute("query-status")["status"] != "handover-unknown":
            control.wait_event("MIGRATION")
        refuses(control, "cont", "handed over")
    return move


@timeout(90)
def test_alive_for_ever():
    """After some seconds it is a person's decision; the disk's lock is a last guard."""
    with lab_with(receive=["--hold", "running"]) as (lab, _, receive):
        move = alive_for_ever(lab, receive)
        child, = receive.children()
        os.kill(child, signal.SIGSTOP)  # it would run when its source is gone
        lab.host1.ferry("resume", "--force", "g")
        result = move.result()
        assert "by force" in result["error"], result
        os.kill(child, signal.SIGKILL)
        receive.wait_for("^guest g has ended|did not arrive")
        stays(lab, result, "goes on here")


@timeout(90)
def test_alive_and_late():
    """That it was not known for a while changes nothing."""
    with lab_with(receive=["--hold", "running"]) as (lab, guest, receive):
        move = alive_for_ever(lab, receive)
        lab.host2.ferry("teleport", "g", "--continue")
        check_result(move.result())
        receive.arrived("g")
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_the_listener_knows():
    """The guest's process there dies between the commit and its first instruction."""
    with lab_with(receive=["--hold", "running"]) as (lab, _, receive):
        move = lab.host1.teleport("g", receive)
        lab.host2.wait_held("g", "running")
        for pid in receive.children():
            os.kill(pid, signal.SIGKILL)
        stays(lab, move.result(), "goes on here")
