# SPDX-License-Identifier: MIT
"""`ferry receive` before any guest has come: who is heard, who is refused, how it ends."""
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import time

from ferrytest import Keys, NetNs, Proc, Receive, each, fds, no_leaks, tmp_dir
from ferrytest.paths import FERRY
from ferrytest.receive import (BUSY, CONTROL, NO_SESSION, NOT_ALLOWED, OK, QUESTION, STREAM, TLS,
                               TLS_NOT_OFFERED, TLS_REQUIRED, VERSION, code_of, drain, preamble)


def fails(status, reason, *argv):
    """It must not even start, and say why in one line."""
    done = subprocess.run([FERRY, "receive", *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == status, done
    assert reason in done.stderr and done.stderr.count("\n") == 1 and not done.stdout, done


def test_wrong_usage():
    there = ("--listen", "tcp:127.0.0.1:0", "--insecure")
    for reason, *argv in [
            ("--listen is missing",),
            ("guests would travel in clear", "--listen", "tcp:127.0.0.1:0"),
            ("is not an address", "--listen", "host:1"),
            ("has no port", "--listen", "tcp:host"),
            ("--allow: '10.0.0.1/8' is not a network", *there, "--allow", "10.0.0.1/8"),
            ("--tls-cert and --tls-key", "--listen", "tcp:127.0.0.1:0", "--tls-ca", FERRY),
            ("0 is out of range", *there, "--limit", "0"),
            ("name 'a/b'", *there, "--name", "a/b"),
            ("--net-allow: 'bridge:' is none of", *there, "--net-allow", "bridge:"),
            ("phase", *there, "--hold", "lunch"),
            ("from precopy on", *there, "--hold", "reserve,ready")]:
        fails(2, reason, *argv)


def test_what_cannot_be_had():
    with tmp_dir() as folder:
        (folder / "file").write_text("precious")
        for reason, *argv in [
                ("/nonexistent: No such file", "--listen", "tcp:127.0.0.1:0", "--tls-psk-file",
                 "/nonexistent"),
                ("no.such.invalid", "--listen", "tcp:no.such.invalid:1", "--insecure"),
                ("does not have that address", "--listen", "tcp:192.0.2.1:0", "--insecure"),
                ("in use", "--listen", f"unix:{folder}/file"),
                ("No such file", "--listen", f"unix:{folder}/no/sock")]:
            fails(1, reason, *argv)
        assert (folder / "file").read_text() == "precious"


def test_port_in_use():
    with Receive() as first:
        fails(1, "in use", "--listen", first.address, "--insecure")


@each(listen=["tcp:127.0.0.1:0", "tcp:[::1]:0", "unix"])
def test_answers(listen):
    """Each refusal has its code, and the connection ends."""
    with tmp_dir() as folder:
        if listen == "unix":
            listen = f"unix:{folder}/sock"
        with no_leaks(folders=[folder]), Receive(listen=listen) as receive:
            assert receive.knock(role=STREAM, stream=1) == NO_SESSION
            assert receive.knock(role=QUESTION) == NO_SESSION
            assert receive.knock(flags=TLS) == TLS_NOT_OFFERED
            assert receive.knock(version=1) == VERSION
            assert receive.knock(role=3) is None
            assert receive.knock(role=STREAM, stream=16) is None
            assert receive.knock(flags=2) is None
            receive.signal(signal.SIGTERM)
            assert receive.wait() == 0


def test_json():
    with Proc(FERRY, "receive", "--listen", "tcp:127.0.0.1:0", "--insecure",
              "--json") as receive:
        event = json.loads(receive.wait_for(r"^\{.*\}$")[0])
        assert event["event"] == "listening" and event["pid"] == receive.pid and not event["tls"]


def test_once_without_a_guest_has_failed():
    with Receive("--once") as receive:
        receive.signal(signal.SIGINT)
        assert receive.wait() == 1


def test_stale_socket_is_replaced():
    with tmp_dir() as folder:
        listen = f"unix:{folder}/sock"
        with Receive(listen=listen) as dead:
            dead.signal(signal.SIGKILL)
            dead.wait()
        assert (folder / "sock").exists()
        with Receive(listen=listen) as receive:
            assert os.stat(folder / "sock").st_mode & 0o777 == 0o600
            fails(1, "in use", "--listen", listen)
            assert receive.knock(role=QUESTION) == NO_SESSION
            receive.signal(signal.SIGTERM)
            receive.wait()
        assert not (folder / "sock").exists()


# --- who may come ---

def test_allow_list():
    """Two hosts on a cable: one may, and the other reads why it may not."""
    with NetNs() as here, NetNs() as there:
        here.veth("left", there, "right", "10.9.0.1/24", "10.9.0.2/24")
        there.ip("addr add 10.9.0.3/24 dev right")
        with Receive("--allow", "10.9.0.2", listen="tcp:0.0.0.0:8002", netns=here) as receive:
            for source, code in [("10.9.0.2", NO_SESSION), ("10.9.0.3", NOT_ALLOWED)]:
                with there.socket() as peer:
                    peer.bind((source, 0))
                    peer.connect(("10.9.0.1", 8002))
                    peer.sendall(preamble(role=QUESTION))
                    assert code_of(peer) == code
            receive.err.wait_for("10.9.0.3:[0-9]+: refused: not on the allow-list", 5)
            with here.socket() as peer:  # not even itself
                peer.connect(("127.0.0.1", 8002))
                peer.sendall(preamble(role=QUESTION))
                assert code_of(peer) == NOT_ALLOWED


def test_default_is_loopback():
    with NetNs() as here, NetNs() as there:
        here.veth("left", there, "right", "10.9.0.1/24", "10.9.0.2/24")
        with Receive(listen="tcp:[::]:8002", netns=here):
            with there.socket() as peer:
                peer.connect(("10.9.0.1", 8002))
                peer.sendall(preamble(role=QUESTION))
                assert code_of(peer) == NOT_ALLOWED
            with here.socket() as peer:  # IPv4 in IPv6
                peer.connect(("127.0.0.1", 8002))
                peer.sendall(preamble(role=QUESTION))
                assert code_of(peer) == NO_SESSION


# --- hostile peers ---

def test_garbage_and_halves():
    """Every prefix, then the end: nothing is left open, and the next one is served."""
    with Receive() as receive:
        before = len(fds(receive.pid))
        for size in range(33):
            with receive.connect() as peer:
                peer.sendall(preamble(role=QUESTION)[:size])
                peer.shutdown(socket.SHUT_WR)
                assert code_of(peer) == (NO_SESSION if size == 32 else None)
        for junk in (bytes(32), b"GET / HTTP/1.1\r\nHost: ferry\r\n\r\n" + bytes(16),
                     b"\x16\x03\x01" + bytes(100), os.urandom(4096)):
            with receive.connect() as peer:
                peer.sendall(junk)
                try:
                    assert peer.recv(100) == b""
                except ConnectionResetError:
                    pass
        assert receive.knock(role=QUESTION) == NO_SESSION
        assert len(fds(receive.pid)) == before


def test_silence_is_bounded():
    """A thousand silent connections cost little, and hold nobody up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with Receive() as receive:
            crowd = []
            for _ in range(1000):
                peer = receive.connect()
                peer.sendall(b"FERRY")
                crowd.append(peer)
            assert receive.knock(role=QUESTION) == NO_SESSION
            assert len(fds(receive.pid)) < 100
            for peer in crowd:
                peer.close()
            assert receive.knock(role=QUESTION) == NO_SESSION
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_silent_one_is_dropped():
    with Receive() as receive, receive.connect() as peer:
        assert peer.recv(1) == b""  # after 5 s
        receive.err.wait_for("says nothing", 5)


def test_control_that_says_nothing_more():
    """It has a process for as long as it takes, and then none; others are served."""
    with Receive("--limit", "1") as receive:
        peers = [receive.connect() for _ in range(3)]
        codes = []
        for number, peer in enumerate(peers):
            peer.sendall(preamble(session=bytes([number] * 16)))
            codes.append(code_of(peer))
            if codes == [OK]:  # until its process has proven itself, others may try
                assert receive.knock(role=CONTROL, session=bytes(16)) in (BUSY, OK)
        assert codes[0] == OK
        assert receive.knock(role=QUESTION, session=bytes(16)) == OK
        for peer in peers:
            peer.close()
        receive.wait_for("did not arrive")


def test_question_without_the_ticket():
    """A session's id is sent in clear, and so proves nothing."""
    with Receive() as receive:
        with receive.connect() as peer:
            peer.sendall(preamble())
            assert code_of(peer) == OK
        receive.wait_for("did not arrive")
        with receive.connect() as peer:
            peer.sendall(preamble(role=QUESTION))
            assert code_of(peer) == OK
            peer.sendall(bytes(16))
            assert peer.recv(100) == b""
        receive.err.wait_for("a question about guest .* was not answered", 10)
        assert receive.knock(role=STREAM, stream=0) == NO_SESSION


def test_children_end_with_the_listener():
    """An attempt does not outlive it; the test's own leak check looks for the process."""
    with Receive() as receive, receive.connect() as peer:
        peer.sendall(preamble())
        assert code_of(peer) == OK
        receive.signal(signal.SIGTERM)
        assert receive.wait() == 0
        drain(peer)


# --- TLS ---

def tls_client(keys, **host):
    """Python's own TLS, with a client's certificate unless host is empty."""
    context = ssl.create_default_context(cafile=str(keys.path("ca.pem")))
    if host:
        stem = keys.host(**host)
        context.load_cert_chain(keys.path(f"{stem}.pem"), keys.path(f"{stem}.key"))
    return context


def tls_connect(receive, context, name="host2", **kwargs):
    """A channel that has been let in: the byte that says so has come."""
    peer = receive.connect()
    peer.sendall(preamble(flags=TLS, **kwargs))
    assert code_of(peer) == OK
    peer = context.wrap_socket(peer, server_hostname=name)
    assert peer.recv(1) == b"\0"
    return peer


def test_plain_peer_and_tls():
    with Keys() as keys, Receive(*keys.options("host2"), insecure=False) as receive:
        assert receive.knock() == TLS_REQUIRED
        assert receive.knock(role=QUESTION) == TLS_REQUIRED
        with receive.connect() as peer:  # TLS, it says, and then says something else
            peer.sendall(preamble(flags=TLS))
            assert code_of(peer) == OK
            peer.sendall(b"hello?" * 100)
            drain(peer)
        receive.err.wait_for("TLS handshake", 10)
        assert receive.knock(role=QUESTION, flags=TLS, session=bytes(16)) == NO_SESSION


def test_stranger_with_a_session_id():
    """Who fails TLS with a guest's id makes nobody believe that this guest never ran."""
    with Keys() as keys, Receive(*keys.options("host2"), insecure=False) as receive:
        with receive.connect() as peer:
            peer.sendall(preamble(flags=TLS))
            assert code_of(peer) == OK
            peer.sendall(b"hello?" * 100)
            drain(peer)
        receive.err.wait_for("TLS handshake", 10)
        for _ in range(500):  # until its process has ended there is one of that name
            code = receive.knock(role=QUESTION, flags=TLS)
            if code == NO_SESSION:
                break
        assert code == NO_SESSION


@each(role=[CONTROL, QUESTION])
def test_crowd_in_the_handshake(role):
    """More than there is room for begin TLS and say nothing: the next one is let in at once."""
    with Keys() as keys, Receive(*keys.options("host2"), insecure=False) as receive:
        context = tls_client(keys, name="host1")
        first = tls_connect(receive, context)  # there is something to ask about
        crowd = []
        for number in range(1, 30):
            peer = receive.connect()
            session = {} if role == QUESTION else {"session": bytes([number] * 16)}
            peer.sendall(preamble(role=role, flags=TLS, **session))
            assert code_of(peer) in (OK, BUSY)  # busy: those that had to go are not gone yet
            crowd.append(peer)
        start = time.monotonic()
        while True:
            try:
                last = tls_connect(receive, context, role=role,
                                   session=preamble()[16:] if role == QUESTION else bytes(16))
                break
            except AssertionError:
                assert time.monotonic() - start < 5
        assert time.monotonic() - start < 5
        assert receive.err.text.count("TLS handshake") == 0  # nobody has timed out
        for peer in [first, last, *crowd]:
            peer.close()


def test_another_tls():
    """The protocol is TLS as others speak it, with certificates on both sides."""
    with Keys() as keys, Receive(*keys.options("host2"), insecure=False) as receive:
        with tls_connect(receive, tls_client(keys, name="host1")) as peer:
            assert peer.version() == "TLSv1.3"
        receive.wait_for("did not arrive")
        with tls_connect(receive, tls_client(keys, name="host1"), role=QUESTION) as peer:
            peer.sendall(bytes(16))  # it is let in, but has no ticket
            assert peer.recv(100) == b""


def test_certificates_that_are_refused():
    with Keys() as keys, Receive(*keys.options("host2"), insecure=False) as receive:
        keys.ca("other")
        for host, why in [({}, "shows no certificate"),
                          ({"name": "host1", "dates": "expired"}, "has expired"),
                          ({"name": "host1", "ca": "other"}, "not issued by a CA of")]:
            try:
                tls_connect(receive, tls_client(keys, **host), session=os.urandom(16)).close()
                raise AssertionError(f"let in: {host}")
            except (ssl.SSLError, ConnectionResetError):
                pass
            receive.err.wait_for(why, 10)
        assert receive.knock(role=QUESTION, flags=TLS, session=bytes(16)) == NO_SESSION


def test_tls_without_a_ca_takes_every_client():
    with Keys() as keys:
        argv = keys.options("host2")[:4]
        with Receive(*argv, insecure=False) as receive:
            tls_connect(receive, tls_client(keys)).close()
            receive.wait_for("did not arrive")
