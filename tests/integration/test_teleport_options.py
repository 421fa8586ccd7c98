# SPDX-License-Identifier: MIT
"""Options of a teleport: what each promises is measured."""
from ferrytest import each, require_tool, timeout
from ferrytest.moves import check_result, dirty_goes_on, lab_with, stays

MIB = 1 << 20
# Faster than any bandwidth that these tests allow: it cannot converge by itself.
FAST = "mem=32M"


def arrive(lab, receive, timeout_s=40, **options):
    """Send it, see it go on; returns the result."""
    result = check_result(lab.host1.teleport("g", receive, **options).result(timeout_s))
    receive.arrived("g")
    lab.check_one_copy("g", lab.host2)
    dirty_goes_on(lab)
    return result


@each(how=["none", "lz4", "zstd", "zstd:9"])
def test_compress(how):
    with lab_with() as (lab, _, receive):
        result = arrive(lab, receive, compress=how, verify=True, streams=2)
        assert result["ferry"]["payload-bytes"] > 0


def test_two_passes_at_least():
    """The guest writes while the first pass is under way: what it writes then, even at a quarter
    of its rate, takes longer than it may stand."""
    with lab_with(append="mem=32M rate=40") as (lab, _, receive):
        result = arrive(lab, receive, verify=True, bandwidth="60M", max_downtime="60ms")
        assert result["ram"]["dirty-sync-count"] >= 3, result


def test_bandwidth():
    """The cap holds over the whole of it."""
    with lab_with(append="mem=16M rate=8") as (lab, _, receive):
        result = arrive(lab, receive, bandwidth="20M", max_downtime="300ms")
        seconds = (result["ferry"]["stopped-at-us"] - result["setup-time"] * 1000) / 1e6
        rate = result["ram"]["transferred"] / seconds / MIB
        assert 10 <= rate <= 22, (rate, result)


def test_downtime_limit():
    """It is not paused before the pause would be short enough."""
    with lab_with(append="mem=32M rate=30") as (lab, _, receive):
        result = arrive(lab, receive, max_downtime="400ms", bandwidth="100M")
        assert result["expected-downtime"] <= 400, result


@timeout(150)
def test_auto_converge():
    """A guest that writes faster than can be sent is slowed down until it can go."""
    with lab_with(append="mem=16M") as (lab, _, receive):
        result = arrive(lab, receive, 100, auto_converge=True, bandwidth="30M",
                        max_downtime="400ms", verify=True)
        assert result["ram"]["dirty-sync-count"] >= 3, result


def test_timeout_cancels():
    with lab_with(append=FAST) as (lab, _, receive):
        result = lab.host1.teleport("g", receive, bandwidth="10M", max_downtime="1ms",
                                    timeout=2).result()
        stays(lab, result, "timeout")
        lab.check_clean_host(lab.host2)
        arrive(lab, receive, verify=True)


def test_timeout_switches():
    with lab_with(append=FAST) as (lab, _, receive):
        result = arrive(lab, receive, bandwidth="30M", max_downtime="1ms", timeout=2,
                        on_timeout="switch")
        assert result["downtime"] > 1, result


@each(clock=["continue", "real"])
def test_clock(clock):
    """The guest's clock never jumps back: its ticks go on in order."""
    with lab_with("idle", "^idle ready", "tick=20") as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive, clock=clock).result())
        receive.arrived("g")
        first = int(lab.console().wait_for(r"^idle tick=([0-9]+)\n")[1])
        lab.console().wait_for(rf"^idle tick={first + 5}\n")


def test_detach():
    """The command comes back at once; --status follows, and the guest goes."""
    with lab_with() as (lab, guest, receive):
        lab.host1.ferry("teleport", "g", receive.destination(), "--detach")
        receive.arrived("g")
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)


def test_status():
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="precopy")
        move.wait_held("precopy")
        text = lab.host1.ferry("teleport", "g", "--status")
        assert "phase precopy (held)" in text, text
        move.go_on()
        check_result(move.result())


def test_first_packet_is_late():
    """It waited for ARP: that says nothing about the path, and so not about the downtime."""
    require_tool("tcpdump")
    with lab_with() as (lab, _, receive):
        lab.cut(lab.host2)
        lab.host1.net.run("ip", "neigh", "flush", "dev", "br0")
        with lab.switch.proc("tcpdump", "-lni", "port-host1", "arp") as tcpdump:
            tcpdump.err.wait_for("listening on", 20)
            move = lab.host1.teleport("g", receive, max_downtime="500ms")
            tcpdump.wait_for(f"who-has {lab.host2.address}")
            tcpdump.wait_for(f"who-has {lab.host2.address}")  # the first found nobody
            lab.mend(lab.host2)
            result = check_result(move.result())
        assert result["expected-downtime"] < 500, result
        assert result["ferry"]["phases-us"]["running"] < 4000000, result
        receive.arrived("g")
