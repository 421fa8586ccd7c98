# SPDX-License-Identifier: MIT
"""Live teleport between two hosts: every kind of guest, every way to get there."""
import re
import signal
import socket
import threading

from ferrytest import Lab, each, timeout
from ferrytest.moves import DIRTY, check_result, dirty_goes_on, lab_with

# --- ways to get there ---

@each(streams=[1, 2, 8])
def test_plain(streams):
    """The guest goes on where it was; nothing of it is left at the source, nor in the end."""
    with lab_with() as (lab, guest, receive):
        check_result(lab.host1.teleport("g", receive, verify=True, streams=streams).result())
        copy = receive.arrived("g")
        assert guest.wait() == 0
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)
        lab.host2.ferry("shutdown", "g")
        lab.console().wait_for("^dirty stopped pass=")
        copy.wait()
        receive.wait_for("^guest g has ended, status 0$")
        lab.check_clean()


def test_unix():
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY), \
            lab.host2.receive(listen=f"unix:{lab.folder}/in") as receive:
        lab.console().wait_for("^dirty pass=2 ")
        check_result(lab.host1.teleport("g", receive.address, verify=True, streams=2).result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_ipv6():
    with Lab() as lab:
        for number, host in enumerate(lab.hosts, 1):
            host.net.ip(f"addr add fd77::{number}/64 dev br0 nodad")
        with lab.host1.guest("dirty", append=DIRTY), \
                lab.host2.receive("--allow", "fd77::/64", listen="tcp:[fd77::2]:8002") as receive:
            lab.console().wait_for("^dirty pass=1 ")
            check_result(lab.host1.teleport("g", "tcp:[fd77::2]:8002", verify=True).result())
            receive.arrived("g")
            dirty_goes_on(lab)


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
        dirty_goes_on(lab)


def test_two_guests_at_once():
    """One listener, two conversations: each gets its own memory."""
    with Lab() as lab, lab.host1.guest("dirty", name="a", append=DIRTY), \
            lab.host1.guest("dirty", name="b", append=DIRTY), \
            lab.host2.receive(console_of=None) as receive:
        for name in "ab":
            lab.console(name).wait_for("^dirty pass=1 ")
        moves = [lab.host1.teleport(name, receive, verify=True, streams=2) for name in "ab"]
        for move in moves:
            check_result(move.result())
        for name in "ab":
            lab.check_one_copy(name, lab.host2)


# --- the listener ---

def test_once():
    """The listener ends when one has come; the guest does not."""
    with lab_with(receive=["--once"]) as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        assert receive.wait() == 0
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


@each(number=[signal.SIGTERM, signal.SIGKILL])
def test_listener_ends(number):
    """However it ends: what has arrived stays."""
    with lab_with() as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        receive.signal(number)
        receive.wait()
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_listener_ends_before_the_commit():
    """Then the guest goes on at its source, and can be sent again."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold="ready")
        move.wait_held("ready")
        receive.signal(signal.SIGTERM)
        assert receive.wait() == 0
        assert move.result()["status"] == "failed"
        lab.check_one_copy("g", lab.host1)
        dirty_goes_on(lab)
        with lab.host2.receive() as again:
            check_result(lab.host1.teleport("g", again, verify=True).result())
            again.arrived("g")
            lab.check_one_copy("g", lab.host2)


def test_another_name():
    with lab_with(receive=["--name", "web"]) as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("web")
        lab.check_one_copy("web", lab.host2)
        assert lab.host1.status("g") is None


# --- machines ---

@each(vcpus=[1, 2, 4])
def test_smp(vcpus):
    """All CPUs count, and then interrupt each other on the new host."""
    with lab_with("smp", "^smp started", f"cpus={vcpus} ms=3000 rounds=50", vcpus=vcpus) as \
            (lab, _, receive):
        check_result(lab.host1.teleport("g", receive, verify=True).result())
        copy = receive.arrived("g")
        lab.console().wait_for("^smp ok", 60)
        copy.wait()
        receive.wait_for("^guest g has ended, status 0$")


@each(words=["", "tick=50"])
def test_halted(words):
    """A guest that waits for an interrupt gets it on the other host."""
    with lab_with("idle", "^idle ready", words) as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive, verify=True).result())
        copy = receive.arrived("g")
        if words:
            first = int(lab.console().wait_for(r"^idle tick=([0-9]+)\n")[1])
            lab.console().wait_for(rf"^idle tick={first + 3}\n")
        lab.host2.ferry("shutdown", "g")
        lab.console().wait_for("^idle woke=button")
        copy.wait()


def test_paused_guest_stays_paused():
    with lab_with() as (lab, _, receive):
        lab.host1.ferry("pause", "g")
        result = check_result(lab.host1.teleport("g", receive, verify=True).result())
        receive.arrived("g")
        assert lab.host2.status("g") == "paused" and lab.host1.status("g") is None
        assert result["ram"]["dirty-sync-count"] <= 2
        lab.host2.ferry("resume", "g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_stopped():
    """--stopped pauses it for the way alone."""
    with lab_with() as (lab, _, receive):
        result = check_result(lab.host1.teleport("g", receive, stopped=True).result())
        assert result["ram"]["dirty-sync-count"] <= 2
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_crashed_guest_is_not_sent():
    with Lab() as lab, lab.host1.guest("hello", append="crash=panic", on_crash="preserve"), \
            lab.host2.receive() as receive:
        with lab.host1.control() as control:
            while control.execute("query-status")["status"] != "guest-panicked":
                control.wait_event("GUEST_PANICKED")
        result = lab.host1.teleport("g", receive).result()
        assert result["exit_status"] == 1 and "crash" in result["error"], result
        assert lab.host1.status("g") == "guest-panicked"


def test_reset_after_arrival():
    """Kernel and command line came along: a reset boots again, here."""
    with lab_with("dirty", append=DIRTY + " passes=1000") as (lab, _, receive):
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        lab.host2.ferry("reset", "g")
        lab.console().wait_for("^dirty start ")
        lab.console().wait_for("^dirty pass=2 ")


# --- disks ---

def test_disk():
    """Requests are in flight all the time; every sector is what it must be."""
    with Lab() as lab:
        disk = lab.disk()
        with lab.host1.guest("blk", disk=disk, append="time=6 depth=8 span=4M flush=50"), \
                lab.host2.receive() as receive:
            lab.console().wait_for("^blk: capacity")
            check_result(lab.host1.teleport("g", receive, verify=True).result())
            copy = receive.arrived("g")
            lab.check_disk(disk, True)
            lab.console().wait_for("^blk: verify .* errors=0 corrupt=0\n", 60)
            copy.wait()
            receive.wait_for("^guest g has ended, status 0$")
            lab.check_disk(disk, False)


def test_mapped_disk():
    """What this host calls it differently is still the guest's disk0."""
    with Lab() as lab:
        disk = lab.disk()
        alias = lab.folder / "here.img"
        alias.symlink_to(disk)
        with lab.host1.guest("blk", disk=disk, append="time=8 span=1M"), \
                lab.host2.receive("--map", f"disk:disk0={alias}") as receive:
            lab.console().wait_for("^blk: capacity")
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            with lab.host2.control() as control:
                assert control.execute("ferry-info")["config"]["disk"][0]["path"] == str(alias)
            lab.console().wait_for("^blk: verify .* errors=0 corrupt=0\n", 60)


# --- networks ---

GUEST_ADDRESS = "10.77.0.50"


def guest_on_bridge(lab, words):
    """The net guest on host1's br0, and so in one network with all of the lab."""
    return lab.host1.guest("net", net="tap,bridge=br0",
                           append=f"ip={GUEST_ADDRESS}/24 {words}")


def test_ping_goes_on():
    """peer pings the guest, and the guest peer: neither loses it for long."""
    with Lab() as lab, \
            guest_on_bridge(lab, f"ping={lab.peer.address} count=0 interval_ms=10") as guest, \
            lab.host2.receive() as receive:
        lab.console().wait_for("^net: up ")
        ping = lab.peer.net.proc("ping", "-i", "0.02", "-c", "200", "-W", "5", GUEST_ADDRESS)
        with ping:
            ping.wait_for("icmp_seq=20 ")
            result = check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            assert guest.wait() == 0
            ping.wait_for("packet loss", 30)
            received = int(re.search("([0-9]+) received", ping.out.text)[1])
        lost_ms = (200 - received) * 20
        assert lost_ms <= result["downtime"] + 500, (result, received)
        lab.check_clean_host(lab.host1)


def test_frames_come_after_it():
    """What is sent to the guest while it stands reaches it where it goes, all of it, in order."""
    with Lab() as lab, guest_on_bridge(lab, "") as guest, lab.host2.receive() as receive, \
            lab.peer.net.socket(socket.SOCK_DGRAM) as peer:
        lab.console().wait_for("^net: up ")
        peer.connect((GUEST_ADDRESS, 7))
        peer.send(b"before")
        assert peer.recv(2048) == b"before"
        move = lab.host1.teleport("g", receive, hold="commit")
        move.wait_held("commit")
        for number in range(50):
            peer.send(b"%d" % number)
        move.go_on()
        result = check_result(move.result())
        assert guest.wait() == 0
        assert [int(peer.recv(2048)) for _ in range(50)] == list(range(50))
        assert result["ferry"]["frames-carried"] == 50


def test_tcp_goes_on():
    """A connection survives, and not a byte of it is lost or changed."""
    with Lab() as lab, guest_on_bridge(lab, "") as guest, lab.host2.receive() as receive:
        lab.console().wait_for("^net: up ")
        data = bytes(range(256)) * 4096
        back = bytearray()
        moved = threading.Event()
        with lab.peer.net.socket() as peer:
            peer.connect((GUEST_ADDRESS, 7))
            peer.sendall(data[:65536])
            while len(back) < 65536:
                back += peer.recv(65536)
            sender = threading.Thread(target=send_around, args=(peer, data[65536:], moved))
            sender.start()
            check_result(lab.host1.teleport("g", receive).result())
            receive.arrived("g")
            moved.set()
            assert guest.wait() == 0
            while len(back) < len(data) and (chunk := peer.recv(65536)):
                back += chunk
            sender.join()
        assert bytes(back) == data


def send_around(peer, data, moved):
    """Half of it while the guest moves, the rest afterwards."""
    peer.sendall(data[:len(data) // 2])
    moved.wait(30)
    peer.sendall(data[len(data) // 2:])


def test_mac_and_taps():
    """The MAC is the guest's; the tap of the source vanishes, a new one is made."""
    with Lab() as lab, guest_on_bridge(lab, ""), lab.host2.receive() as receive:
        mac = lab.console().wait_for(r"^net: up .* mac=(\S+) ")[1]
        check_result(lab.host1.teleport("g", receive).result())
        receive.arrived("g")
        lab.check_clean_host(lab.host1)
        with lab.host2.control() as control:
            assert control.execute("ferry-info")["config"]["net"][0]["mac"] == mac
        lab.peer.net.run("ping", "-c", "3", "-i", "0.1", "-W", "5", GUEST_ADDRESS)


def test_leftovers_of_many():
    """A guest that has come and gone leaves its host as it was."""
    with Lab() as lab, lab.host2.receive() as receive:
        for _ in range(3):
            with guest_on_bridge(lab, ""):
                lab.console().wait_for("net: up ")  # perhaps behind half a line
                check_result(lab.host1.teleport("g", receive).result())
                copy = receive.arrived("g")
                lab.host2.ferry("destroy", "g")
                copy.wait()
            lab.check_clean()

