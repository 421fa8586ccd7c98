# SPDX-License-Identifier: MIT
"""Teleports that are given up, held, or meet a destination that is none."""
import socket
import threading

from ferrytest import Keys, each, timeout
from ferrytest.moves import check_result, dirty_goes_on, lab_with, stays
from ferrytest.receive import OK, drain, preamble

BEFORE_COMMIT = ["connect", "negotiate", "reserve", "precopy", "stop", "state", "ready",
                 "release"]


def move_at_last(lab, receive):
    """Whatever happened before: now it goes."""
    check_result(lab.host1.teleport("g", receive, verify=True).result())
    receive.arrived("g")
    lab.check_one_copy("g", lab.host2)
    dirty_goes_on(lab)


@each(phase=BEFORE_COMMIT)
def test_cancel_and_go_later(phase):
    """In each phase: the guest goes on here, nothing is left there, and the next try works."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold=phase)
        move.wait_held(phase)
        assert "cannot" not in move.cancel()
        result = move.result()
        assert result["status"] == "cancelled" and result["exit_status"] == 1, result
        if phase != "connect":
            receive.failed()
        lab.check_one_copy("g", lab.host1)
        dirty_goes_on(lab)
        lab.check_clean_host(lab.host2)
        move_at_last(lab, receive)


@each(phase=["commit", "running"])
def test_too_late_to_cancel(phase):
    """Past the hand-over there is no way back; it goes on to its end."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold=phase)
        move.wait_held(phase)
        said = move.cancel()
        if phase == "commit":  # not sent yet: still the source's
            result = move.result()
            assert result["status"] == "cancelled", (said, result)
            receive.failed()
            lab.check_one_copy("g", lab.host1)
            move_at_last(lab, receive)
        else:
            assert said, "cancelled after the commit"
            move.go_on()
            check_result(move.result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)
            dirty_goes_on(lab)


@each(phase=[*BEFORE_COMMIT, "commit", "running"])
def test_hold_and_continue(phase):
    """Stopping at a phase changes nothing but time."""
    with lab_with() as (lab, _, receive):
        move = lab.host1.teleport("g", receive, hold=phase, verify=True)
        move.wait_held(phase)
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


@each(phase=["precopy", "ready", "commit"])
def test_hold_at_the_destination(phase):
    with lab_with(receive=["--hold", phase]) as (lab, _, receive):
        move = lab.host1.teleport("g", receive, verify=True, streams=2)
        lab.host2.wait_held("g", phase)
        lab.host2.ferry("teleport", "g", "--continue")
        check_result(move.result())
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def keys_for(keys, how):
    """Options of the destination and of the source."""
    if how == "psk":
        return keys.psk(), keys.psk()
    return keys.options("host2"), [*keys.options("host1"), "--tls-name", "host2"]


@each(case=[("precopy", "x509"), ("stop", "psk"), ("state", "x509"), ("ready", "psk"),
            ("commit", "x509"), ("running", "psk")])
def test_hold_at_the_destination_with_tls(case):
    """Whoever is held neither reads nor writes, and is alive all the same."""
    phase, how = case
    with Keys() as keys:
        there, here = keys_for(keys, how)
        with lab_with(receive=[*there, "--hold", phase], insecure=False) as (lab, _, receive):
            move = lab.host1.teleport("g", receive, *here, verify=True, streams=2)
            lab.host2.wait_held("g", phase)
            lab.host2.ferry("teleport", "g", "--continue")
            check_result(move.result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)
            dirty_goes_on(lab)


@timeout(90)
@each(how=["x509", "psk"])
def test_hold_longer_than_any_timeout(how):
    """More memory is on its way than fits into the sockets, and nobody reads it for 13 s."""
    with Keys() as keys:
        there, here = keys_for(keys, how)
        with lab_with(receive=[*there, "--hold", "precopy"], insecure=False, memory="128M",
                      append="mem=64M rate=64") as (lab, _, receive):
            move = lab.host1.teleport("g", receive, *here, verify=True, streams=2)
            lab.host2.wait_held("g", "precopy")
            for _ in range(13):  # a pass takes a second
                lab.console().wait_for("^dirty pass=[0-9]+ ")
            lab.host2.ferry("teleport", "g", "--continue")
            check_result(move.result())
            receive.arrived("g")
            lab.check_one_copy("g", lab.host2)
            dirty_goes_on(lab)


def test_cancel_while_the_destination_is_held_with_tls():
    """The source gives up, the destination hears it though it is held, and the next try works."""
    with Keys() as keys:
        there, here = keys_for(keys, "x509")
        with lab_with(receive=[*there, "--hold", "precopy"], insecure=False) as (lab, _, receive):
            for _ in range(2):
                move = lab.host1.teleport("g", receive, *here, streams=2)
                lab.host2.wait_held("g", "precopy")
                move.cancel()
                assert move.result()["status"] == "cancelled"
                receive.failed()
                lab.check_one_copy("g", lab.host1)
                lab.check_clean_host(lab.host2)
            move = lab.host1.teleport("g", receive, *here, verify=True)
            lab.host2.wait_held("g", "precopy")
            lab.host2.ferry("teleport", "g", "--continue")
            check_result(move.result())
            receive.arrived("g")
            dirty_goes_on(lab)


# --- destinations that are none ---

def test_bad_destinations():
    with lab_with() as (lab, _, receive):
        for destination, why in [
                (f"tcp:{lab.host2.address}:1", "refused: does 'ferry receive' listen there?"),
                ("tcp:no.such.invalid:8002", "no.such.invalid"),
                (f"unix:{lab.folder}/none", "No such file"),
                ("host2:8002", "not an address"),
                ("tcp:host2", "has no port")]:
            stays(lab, lab.host1.teleport("g", destination).result(), why)
        move_at_last(lab, receive)


class FakeReceive:
    """Something on host2 that is no ferry: answers each connection by a function."""

    def __init__(self, host, answer):
        self.answer = answer
        self.listener = host.net.socket()
        self.listener.bind((host.address, 9000))
        self.listener.listen()
        self.address = f"tcp:{host.address}:9000"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        """Thread: until the socket is closed."""
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(20)
                try:
                    self.answer(peer)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join()


def say_yes(peer):
    """The answer of a listener that takes everybody."""
    peer.recv(32, socket.MSG_WAITALL)
    peer.sendall(preamble()[:10] + OK.to_bytes(2, "little") + bytes(4))


def hang_up(peer):
    """Nobody there after all."""


def garbage(peer):
    """Another protocol."""
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.recv(32)


def yes_and_garbage(peer):
    """A section that claims to be enormous."""
    say_yes(peer)
    peer.sendall(b"\xff" * 4096)
    peer.recv(4096)


def yes_and_gone(peer):
    """Hangs up in the middle of its first section."""
    say_yes(peer)
    peer.sendall(b"\x10" + bytes(10))


HOSTILE = {
    "hang_up": (hang_up, "hung up"),
    "garbage": (garbage, "is no ferry"),
    "yes_and_garbage": (yes_and_garbage, ""),
    "yes_and_gone": (yes_and_gone, ""),
}


@each(what=list(HOSTILE))
def test_hostile_destination(what):
    answer, why = HOSTILE[what]
    with lab_with() as (lab, _, receive), FakeReceive(lab.host2, answer) as fake:
        stays(lab, lab.host1.teleport("g", fake.address).result(), why)
        move_at_last(lab, receive)


def test_silent_destination():
    """It is believed to be dead after 10 s."""
    def silence(peer):
        peer.recv(32)
        peer.recv(1)

    with lab_with() as (lab, _, _), FakeReceive(lab.host2, silence) as fake:
        stays(lab, lab.host1.teleport("g", fake.address).result(60), "does not answer")


# --- sources that are none ---

def section(kind, payload=b""):
    """A section whose checksum is wrong."""
    return kind.to_bytes(4, "little") + bytes(4) + len(payload).to_bytes(8, "little") + \
        bytes(8) + payload


HOSTILE_WORDS = {
    "none": b"",
    "ones": b"\xff" * 64,
    "hello with a wrong checksum": section(16, b"{}"),
    "large with a wrong checksum": section(1, b"x" * 4096),
    "unknown type": section(77),
    "half a header": section(16)[:20],
    "endless": b"\x10\0\0\0" + bytes(4) + b"\xff" * 16,
}


@each(what=list(HOSTILE_WORDS))
def test_hostile_source(what):
    """Its process ends, the listener goes on, and a good guest is taken after it."""
    with lab_with() as (lab, _, receive):
        for number in range(3):
            with lab.host1.net.socket() as peer:
                peer.connect((lab.host2.address, 8002))
                peer.sendall(preamble(session=bytes([number] * 16)))
                assert peer.recv(16, socket.MSG_WAITALL)[10] == OK
                peer.sendall(HOSTILE_WORDS[what])
                peer.shutdown(socket.SHUT_WR)
                drain(peer)
            receive.failed()
        move_at_last(lab, receive)
        assert len(receive.children()) == 1
