# SPDX-License-Identifier: MIT
"""The connection breaks after the guest was given up: its source asks, and nobody guesses."""
import contextlib
import json
import os
import signal
import struct
import time

from ferrytest import Keys, each, timeout
from ferrytest.lab import PORT
from ferrytest.moves import check_result, dirty_goes_on, lab_with
from ferrytest.proxy import Proxy
from ferrytest.receive import OK, QUESTION, STREAM, TLS, code_of, preamble


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
    """As long as nobody answers it stays paused; when the cable is whole it learns the truth.
    Signals are refused meanwhile, and end nothing later on either."""
    with lab_with() as (lab, guest, receive):
        move = given_up(lab, receive)
        receive.arrived("g")
        for _ in range(2):
            guest.press_power_button()
            guest.err.wait_for("TERM: .*cannot be changed now", 20)
        lab.cut(lab.host2)
        wait_unknown(lab)
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


# --- who has seen a session's id on the way ---


def spy_on(lab):
    """A host in the middle that reads along."""
    return Proxy(lab.peer.net, lab.peer.address, 8003, (lab.host2.address, PORT))


def session_of(proxy):
    """The id, which is sent in clear."""
    return bytes(proxy.heard[0][0][16:32])


def ticket_of(proxy):
    """What the destination's HELLO says; in clear only without TLS."""
    said = proxy.heard[0][1][16 + 24:]
    return bytes.fromhex(json.JSONDecoder().raw_decode(said.decode("latin-1"))[0]["ticket"])


def intrude(lab, proxy, role, secret=None, **kwargs):
    """A connection of somebody else, which is let in as far as its first words."""
    peer = lab.peer.net.socket()
    peer.connect((lab.host2.address, PORT))
    peer.sendall(preamble(role=role, session=session_of(proxy), **kwargs))
    assert code_of(peer) == OK
    if secret is not None:
        peer.sendall(secret)
    return peer


def wait_unknown(lab):
    """The source does not know who has the guest, and says so."""
    with lab.host1.control() as control:
        while control.execute("query-migrate")["status"] != "handover-unknown":
            control.wait_event("MIGRATION", 40)


@timeout(90)
def test_listener_that_was_started_anew():
    """It has heard of the session from a stranger, who failed: that is no answer."""
    with lab_with() as (lab, guest, receive), spy_on(lab) as proxy:
        move = given_up(lab, proxy.address)
        receive.arrived("g")
        receive.signal(signal.SIGKILL)
        receive.wait()
        with lab.host2.receive() as second:
            intrude(lab, proxy, role=0).close()
            second.failed()
            lab.reset(lab.host1)
            second.err.wait_for("a question about guest .* was not answered", 30)
            wait_unknown(lab)
            assert lab.host2.status("g") == "running"
            lab.host1.ferry("destroy", "g")
            guest.wait()
        assert move.result()["exit_status"] == 1
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_question_with_and_without_the_ticket():
    with lab_with() as (lab, _, receive), spy_on(lab) as proxy:
        move = lab.host1.teleport("g", proxy.address, hold="precopy")
        move.wait_held("precopy")
        ticket = ticket_of(proxy)
        for state in ["under way", "ended"]:
            if state == "ended":
                move.cancel()
                assert move.result()["status"] == "cancelled"
                receive.failed()
            for secret in [bytes(16), ticket[16:], ticket[:15] + bytes([ticket[15] ^ 1])]:
                with intrude(lab, proxy, QUESTION, secret) as peer:
                    assert peer.recv(100) == b""
            with intrude(lab, proxy, QUESTION, ticket[:16]) as peer:
                answer = b""
                while data := peer.recv(100):
                    answer += data
                never = 2 if state == "ended" else 0
                assert answer[24:] == struct.pack("<I", never) + ticket[16:]
        dirty_goes_on(lab)


@each(how=["plain", "psk"])
def test_streams_of_strangers(how):
    """They come first, say nothing or the wrong thing, and neither hold up nor replace any."""
    with contextlib.ExitStack() as stack:
        keys = stack.enter_context(Keys()).psk() if how == "psk" else []
        lab, _, receive = stack.enter_context(lab_with(receive=keys, insecure=not keys))
        proxy = stack.enter_context(spy_on(lab))
        move = lab.host1.teleport("g", proxy.address, *keys, hold="reserve", streams=2, verify=True)
        move.wait_held("reserve")
        flags = TLS if keys else 0
        for number in range(16):
            secret = None if number % 2 else bytes(16)
            stack.enter_context(intrude(lab, proxy, STREAM, secret, stream=number, flags=flags))
        start = time.monotonic()
        move.go_on()
        check_result(move.result())
        assert time.monotonic() - start < 8  # one of them has 10 s for its handshake
        receive.arrived("g")
        lab.check_one_copy("g", lab.host2)
        dirty_goes_on(lab)


def test_second_stream_of_a_number():
    """Even who has the ticket cannot have one that the source has, nor one that there is not."""
    with lab_with() as (lab, _, receive), spy_on(lab) as proxy:
        move = lab.host1.teleport("g", proxy.address, hold="precopy", streams=2)
        move.wait_held("precopy")
        for number, why in [(1, "there is one already"), (2, "there are 2 streams")]:
            with intrude(lab, proxy, STREAM, ticket_of(proxy)[:16], stream=number) as peer:
                assert peer.recv(1) == b""
            receive.err.wait_for(f"stream {number} is refused: {why}", 10)
        move.go_on()
        check_result(move.result())
        receive.arrived("g")
        dirty_goes_on(lab)
