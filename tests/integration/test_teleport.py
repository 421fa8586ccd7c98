# SPDX-License-Identifier: MIT
"""Live teleport between two hosts: a guest that writes all of its memory all the time."""
from ferrytest import Lab, each, timeout

DIRTY = "mem=16M rate=20"


def check_result(result, passes=1):
    """It went well."""
    assert result["status"] == "completed" and result["exit_status"] == 0, result
    assert result["ram"]["dirty-sync-count"] >= passes, result


@each(streams=[1, 2, 8])
def test_plain(streams):
    """The guest goes on where it was, in the same pass over its memory."""
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY) as guest, \
            lab.host2.receive() as receive:
        lab.console().wait_for("^dirty pass=2 ")
        result = lab.host1.teleport("g", receive, verify=True, streams=streams).result()
        check_result(result)
        copy = receive.arrived("g")
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)
        lab.console().wait_for("^dirty pass=[0-9]+ ")
        lab.console().wait_for("^dirty pass=[0-9]+ ")
        lab.host2.ferry("shutdown", "g")
        lab.console().wait_for("^dirty stopped pass=")
        copy.wait()
        receive.wait_for("^guest g has ended, status 0$")
        lab.check_clean()


@timeout(180)
def test_there_and_back():
    """Twenty times, always the same guest."""
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY), \
            lab.host1.receive() as first, lab.host2.receive() as second:
        lab.console().wait_for("^dirty pass=1 ")
        here, there = (lab.host1, first), (lab.host2, second)
        for _ in range(20):
            check_result(here[0].teleport("g", there[1], verify=True).result())
            there[1].arrived("g")
            lab.check_one_copy("g", there[0])
            lab.console().wait_for("^dirty pass=[0-9]+ ")
            here, there = there, here
