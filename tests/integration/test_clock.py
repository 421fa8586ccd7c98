# SPDX-License-Identifier: MIT
"""The guest's clock over a teleport: it counts the downtime, or it does not."""
import json

from ferrytest import Lab, each, tmp_dir

SLACK_S = 0.15  # between a pause and the moment when somebody else looks at it
DOWNTIME_S = 0.7


def clocks(host, path):
    """Save the guest, which goes on: what its clock shows, and what the host's, at the pause."""
    host.ferry("save", "g", path, "--keep-running")
    document = json.loads(host.ferry("state", "--json", path))
    clock, = (s["parts"][0]["fields"] for s in document["sections"] if s["name"] == "CLOCK")
    values = {field["name"]: field["value"] for field in clock}
    return int(values["kvmclock_ns"], 16) / 1e9, int(values["realtime_ns"], 16) / 1e9


def stand_still(host):
    """Look at the guest until it has stood long enough to be seen in its clock."""
    while True:
        status = json.loads(host.ferry("teleport", "g", "--status", "--json"))
        if status["ferry"]["downtime-us"] > DOWNTIME_S * 1e6:
            return


@each(clock=["real", "continue", None])
def test_clock(clock):
    options = {"clock": clock} if clock else {}
    with tmp_dir() as folder, Lab() as lab, lab.host1.guest("idle"), \
            lab.host2.receive() as receive:
        lab.console().wait_for("^idle ready")
        guest_before, host_before = clocks(lab.host1, folder / "before")
        move = lab.host1.teleport("g", receive, hold="state", **options)
        move.wait_held("state")
        stand_still(lab.host1)
        move.go_on()
        result = move.result()
        assert result["status"] == "completed", result
        receive.arrived("g")
        guest_after, host_after = clocks(lab.host2, folder / "after")
        downtime = result["ferry"]["downtime-us"] / 1e6
        assert downtime > DOWNTIME_S
        missing = (host_after - host_before) - (guest_after - guest_before)
        wanted = downtime if clock == "continue" else 0
        assert abs(missing - wanted) < SLACK_S, (missing, downtime)
