# SPDX-License-Identifier: MIT
"""The control socket: QMP's conventions, hostile clients, and the sub-commands on it."""
import json
import os
import re
import resource
import signal
import socket
import stat
import subprocess
import time

from ferrytest import (Control, Guest, each, fds, require_root, require_tool, run,
                       tmp_dir)
from ferrytest.paths import FERRY, TOP

# As vmm/control/control.h has them.
MAX_REQUEST_BYTES = 64 * 1024
MAX_NESTING = 32
MAX_CLIENTS = 256
MAX_QUEUE_BYTES = 128 * 1024


def idle(**kwargs):
    """A guest that waits."""
    return Guest("idle", net="none", **kwargs)


def ask_raw(control, line):
    """Send bytes, return the reply."""
    control.send_raw(line)
    return control.receive()


def test_greeting_and_negotiation():
    with idle() as guest, guest.control(negotiate=False) as control:
        qmp = control.greeting["QMP"]
        assert set(qmp["version"]["qemu"]) == {"major", "minor", "micro"}
        assert qmp["version"]["package"].startswith("ferry-")
        assert qmp["capabilities"] == []
        refused = ask_raw(control, b'{"execute":"query-status","id":[1,{"a":null}]}\n')
        assert refused["error"]["class"] == "CommandNotFound"
        assert refused["id"] == [1, {"a": None}]
        assert control.execute("qmp_capabilities") == {}
        assert control.execute("query-status")["status"] == "running"


def test_socket_is_the_owners_alone():
    with idle() as guest, guest.control():
        mode = os.stat(guest.socket_path()).st_mode
        assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
        assert stat.S_IMODE(os.stat(guest.runtime / "ferry").st_mode) == 0o700


@each(vcpus=[1, 4])
def test_queries(vcpus):
    with idle(vcpus=vcpus, name="q1") as guest, guest.control() as control:
        guest.wait_for("^idle ready")
        assert control.execute("query-name") == {"name": "q1"}
        cpus = control.execute("query-cpus-fast")
        assert [cpu["cpu-index"] for cpu in cpus] == list(range(vcpus))
        threads = {int(tid) for tid in os.listdir(f"/proc/{guest.pid}/task")}
        assert {cpu["thread-id"] for cpu in cpus} <= threads - {guest.pid}
        names = {one["name"] for one in control.execute("query-commands")}
        assert {"stop", "cont", "quit", "system_powerdown", "ferry-info"} <= names
        events = {one["name"] for one in control.execute("query-events")}
        assert {"STOP", "RESUME", "SHUTDOWN", "RESET", "POWERDOWN", "GUEST_PANICKED"} <= events
        info = control.execute("ferry-info")
        assert info["name"] == "q1" and info["pid"] == guest.pid and info["vcpus"] == vcpus
        assert info["config"]["kernel"].endswith("idle.elf")


def test_stop_and_cont():
    with idle(append="tick=20") as guest, guest.control() as control:
        guest.wait_for("^idle tick=3")
        control.execute("stop")
        control.execute("stop")
        control.wait_event("STOP")
        assert control.execute("query-status")["status"] == "paused"
        length = control.execute("ferry-info")["console"]["written_bytes"]
        assert control.execute("ferry-info")["console"]["written_bytes"] == length
        control.execute("cont")
        control.execute("cont")
        event = control.wait_event("RESUME")
        assert set(event["timestamp"]) == {"seconds", "microseconds"}
        guest.wait_for("^idle tick=")


def test_reset_of_a_paused_guest_stays_paused():
    with idle() as guest, guest.control() as control:
        guest.wait_for(r"^idle ready\s")
        control.execute("stop")
        control.execute("system_reset")
        assert control.wait_event("RESET")["data"] == {
            "guest": False, "reason": "host-qmp-system-reset"}
        assert control.execute("query-status")["status"] == "paused"
        control.execute("cont")
        guest.wait_for(r"^idle ready\s")


def test_power_down():
    with idle() as guest, guest.control() as control:
        guest.wait_for("^idle ready")
        control.execute("system_powerdown")
        control.wait_event("POWERDOWN")
        assert control.wait_event("SHUTDOWN")["data"] == {
            "guest": True, "reason": "guest-shutdown"}
        assert control.receive() is None
        assert guest.wait() == 0


def test_quit():
    with idle() as guest, guest.control() as control:
        control.execute("quit")
        assert control.wait_event("SHUTDOWN")["data"]["reason"] == "host-qmp-quit"
        assert guest.wait() == 0


def test_balloon():
    with idle() as guest, guest.control() as control:
        control.send_raw(b'{"execute":"query-balloon"}\n')
        assert control.receive()["error"]["class"] == "DeviceNotActive"
    with idle(balloon=True, rng=True, memory="64M") as guest, guest.control() as control:
        assert control.execute("query-balloon") == {"actual": 64 << 20}
        assert control.execute("balloon", value=32 << 20) == {}
        info = control.execute("ferry-info")["balloon"]
        assert info["target_bytes"] == 32 << 20 and info["actual_bytes"] == 64 << 20
        for value in (0, -1, 65 << 20):
            control.send_raw(json.dumps({"execute": "balloon",
                                         "arguments": {"value": value}}).encode() + b"\n")
            assert "must be 1 to 67108864" in control.receive()["error"]["desc"]


def test_info_counts_disks_and_nics():
    with tmp_dir() as folder:
        image = folder / "a.img"
        image.write_bytes(bytes(1 << 20))
        with Guest("idle", disk=f"{image},readonly,id=root", net="user") as guest, \
                guest.control() as control:
            info = control.execute("ferry-info")
            assert info["disks"][0]["id"] == "root" and info["disks"][0]["reads"] == 0
            assert info["nics"][0]["backend"] == "user"
            assert info["nics"][0]["rx"]["packets"] == 0


def test_info_tells_what_the_driver_broke():
    with tmp_dir() as folder:
        (folder / "a.img").write_bytes(bytes(1 << 20))
        with Guest("chaos", disk=folder / "a.img", net="none", balloon=True,
                   append="device=blk seed=1 time=40") as guest, guest.control() as control:
            assert control.execute("ferry-info")["needs_reset"] == []
            guest.wait_for("^chaos: at work")
            while (broken := control.execute("ferry-info")["needs_reset"]) == []:
                pass
            assert broken == ["disk0"]


def test_bad_requests():
    deep = b'{"execute":"stop","x":' + b"[" * MAX_NESTING + b"]" * MAX_NESTING + b"}\n"
    cases = {
        b"stop\n": "Invalid JSON",
        b'{"execute":\n': "Invalid JSON",
        b'{"execute":"stop","execute":"cont"}\n': "Invalid JSON",
        b'\xff\xfe\n': "Invalid JSON",
        b"[]\n": "must be a JSON object",
        b'"stop"\n': "must be a JSON object",
        b"{}\n": "lacks member 'execute'",
        b'{"execute":7}\n': "lacks member 'execute'",
        b'{"execute":"stop","arguments":[]}\n': "must be an object",
        b'{"execute":"stop","arguments":{"now":true}}\n': "'now' is unexpected",
        b'{"execute":"fly"}\n': "fly has not been found",
        deep: "nested too deeply",
    }
    with idle() as guest, guest.control() as control:
        for line, reason in cases.items():
            assert reason in ask_raw(control, line)["error"]["desc"], line
        control.send_raw(b"\n  \r\n")
        assert control.execute("query-status")["status"] == "running"


def test_pieces_and_batches():
    with idle() as guest, guest.control() as control:
        for byte in b'{"execute":"query-name"}\n':
            control.send_raw(bytes([byte]))
        assert control.receive()["return"] == {"name": guest.name}
        control.send_raw(b'{"execute":"query-name","id":1}\n{"execute":"query-name","id":2}\n')
        assert [control.receive()["id"] for _ in range(2)] == [1, 2]


def test_long_lines():
    with idle() as guest:
        with guest.control() as control:
            request = b'{"execute":"query-name","id":"' + b"x" * (MAX_REQUEST_BYTES - 33) + b'"}\n'
            assert len(request) == MAX_REQUEST_BYTES
            assert ask_raw(control, request)["return"] == {"name": guest.name}
        with guest.control() as control:
            control.send_raw(b"x" * MAX_REQUEST_BYTES)
            assert "too long" in control.receive()["error"]["desc"]
            assert control.receive() is None
        with guest.control() as control:
            try:
                control.send_raw(b'{"execute":"' + b"x" * (1 << 20) + b'"}\n')
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert "too long" in control.receive()["error"]["desc"]
        with guest.control() as control:
            assert control.execute("query-status")["running"]


def test_many_clients():
    with idle() as guest:
        controls = [guest.control() for _ in range(MAX_CLIENTS)]
        one_too_many = socket.socket(socket.AF_UNIX)
        one_too_many.connect(guest.socket_path())
        assert one_too_many.recv(1) == b""
        one_too_many.close()
        controls[0].execute("stop")
        for control in controls:
            control.wait_event("STOP")
        assert controls[-1].execute("query-status")["status"] == "paused"
        for control in controls:
            control.close()


def busy_ns(pid):
    """Processor time that the main thread has had."""
    with open(f"/proc/{pid}/task/{pid}/schedstat", encoding="ascii") as stats:
        return int(stats.read().split()[0])


def check_waiting(guest, address, wait_ticks):
    """With no descriptor left a connection to address waits, and costs nothing meanwhile."""
    soft, hard = resource.prlimit(guest.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(guest.pid, resource.RLIMIT_NOFILE, (max(fds(guest.pid)) + 1, hard))
    with socket.socket(socket.AF_UNIX) as waiting:
        waiting.connect(address)
        guest.err.wait_for("cannot accept a connection: Too many open files", 10)
        start_ns, busy_at_start_ns = time.monotonic_ns(), busy_ns(guest.pid)
        wait_ticks()
        busy_share = (busy_ns(guest.pid) - busy_at_start_ns) / (time.monotonic_ns() - start_ns)
        assert busy_share < 0.25
        resource.prlimit(guest.pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert waiting.recv(1)


def test_no_descriptor_for_a_client():
    with idle(append="tick=300") as guest:
        guest.wait_for("tick=1")
        check_waiting(guest, guest.socket_path(), lambda: guest.wait_for("tick=4"))


def test_no_descriptor_for_a_console():
    with tmp_dir() as folder:
        path = f"{folder}/console"
        with idle(append="tick=300", console=f"unix:{path}") as guest:
            with guest.control(), socket.socket(socket.AF_UNIX) as reader:
                reader.connect(path)
                ticks = reader.makefile()

                def wait_ticks():
                    while "tick=4" not in ticks.readline():
                        pass

                assert "ready" in ticks.readline()
                check_waiting(guest, path, wait_ticks)


def test_client_that_does_not_read_misses_events():
    with idle() as guest, guest.control() as stuck, guest.control() as good:
        while "does not read, and misses events" not in guest.err.text:
            good.execute("stop")
            good.execute("cont")
            assert len(good.events) < 100 * MAX_QUEUE_BYTES
        good.execute("stop")
        while (event := stuck.receive())["event"] != "EVENTS_LOST":
            stuck.events.append(event)
        told = len(stuck.events) + event["data"]["count"]
        assert event["data"]["count"] > 0 and told == len(good.events)
        assert [(e["event"], e["timestamp"]) for e in stuck.events] == [
            (e["event"], e["timestamp"]) for e in good.events[:len(stuck.events)]]
        assert stuck.execute("query-status")["status"] == "paused"
        good.execute("cont")
        stuck.events.clear()
        stuck.wait_event("RESUME")


def test_golden_transcripts():
    """What a client says, and to the letter what it hears."""
    folder = TOP / "tests" / "fixtures" / "control"
    for path in sorted(folder.glob("*.txt")):
        with idle(name="golden") as guest, guest.control(negotiate=False) as control:
            guest.wait_for("^idle ready")
            heard = [control.greeting]
            for line in path.read_text().splitlines():
                if line.startswith("> "):
                    control.send_raw(line[2:].encode() + b"\n")
                elif line.startswith("< "):
                    said = json.dumps(heard.pop() if heard else control.receive())
                    assert re.fullmatch(pattern_of(line[2:]), said), (path.name, line, said)


def pattern_of(line):
    """A line in which <<expr>> stands for what varies."""
    parts = re.split(r"<<(.*?)>>", line)
    return "".join(part if i % 2 else re.escape(part) for i, part in enumerate(parts))


def test_replies_nobody_reads_stop_the_requests():
    with idle() as guest, guest.control() as stuck, guest.control() as good:
        stuck.socket.setblocking(False)
        request = b'{"execute":"query-commands"}\n' * 100
        sent = 0
        try:
            while sent < 64 * 1024 * 1024:
                sent += stuck.socket.send(request)
        except BlockingIOError:
            pass
        assert sent < 4 * 1024 * 1024
        assert good.execute("query-status")["running"]


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def fails(guest, status, reason, *argv):
    """A sub-command must fail with one line that says why."""
    with guest.ferry(*argv) as proc:
        assert proc.wait() == status
        assert reason in proc.err.text, proc.err.text
        assert proc.err.text.count("\n") == 1


def test_sub_commands():
    with idle(name="web") as guest:
        guest.wait_for("^idle ready")
        assert json.loads(ferry(guest, "info", "web", "--json"))["status"] == "running"
        assert "pid                          " + str(guest.pid) in ferry(guest, "info", "web")
        ferry(guest, "pause", "web")
        listed, = json.loads(ferry(guest, "list", "--json"))
        assert listed["name"] == "web" and listed["status"] == "paused"
        ferry(guest, "resume", "web")
        ferry(guest, "reset", "web")
        guest.wait_for("^idle ready")
        assert "web" in ferry(guest, "list")
        ferry(guest, "shutdown", "--wait", "web")
        assert guest.wait() == 0
        assert json.loads(ferry(guest, "list", "--json")) == []
        fails(guest, 1, "no guest called web is running", "info", "web")
        fails(guest, 1, "only letters", "pause", "we b")
        fails(guest, 2, "NAME is missing", "pause")


def test_destroy_returns_when_it_is_over():
    with Guest("hello", append="crash=hlt", net="none") as guest:
        guest.wait_for("^hello")
        ferry(guest, "destroy", guest.name)
        assert not guest.running()
        assert guest.wait() == 0


def test_destroy_of_a_process_that_is_stuck():
    with idle() as guest:
        guest.wait_for("^idle ready")
        guest.signal(signal.SIGSTOP)
        assert "does not answer: killed" in ferry(guest, "destroy", guest.name)
        assert guest.wait() == -signal.SIGKILL


@each(ephemeral=[False, True])
def test_other_users_are_refused(ephemeral):
    require_root()
    with idle(ephemeral=ephemeral) as guest:
        guest.wait_for("^idle ready")
        path = guest.socket_path()
        if not ephemeral:
            # Even if the file's owner lets them in.
            for folder in (guest.runtime, guest.runtime / "ferry"):
                folder.chmod(0o711)
            os.chmod(path, 0o666)
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            os._exit(0 if client.recv(1) == b"" else 1)
        assert os.waitpid(child, 0)[1] == 0


def test_list_finds_ephemeral_guests_and_stuck_ones():
    with tmp_dir() as folder, idle(runtime=folder, ephemeral=True) as one, \
            idle(runtime=folder) as other:
        for guest in (one, other):
            guest.wait_for("^idle ready")
        assert not os.path.exists(folder / "ferry" / f"{one.name}.sock")
        names = {guest["name"] for guest in json.loads(ferry(one, "list", "--json"))}
        assert names == {one.name, other.name}
        other.signal(signal.SIGSTOP)
        rows = {guest["name"]: guest for guest in json.loads(ferry(one, "list", "--json"))}
        assert rows[other.name]["status"] == "no answer"
        assert rows[one.name]["status"] == "running"


@each(first=[True, False])
@each(second=[True, False])
def test_one_name_one_guest(first, second):
    with tmp_dir() as folder, idle(runtime=folder, name="n", ephemeral=first) as guest:
        guest.wait_for("^idle ready")
        with idle(runtime=folder, name="n", ephemeral=second) as refused:
            assert refused.wait() == 1
            assert "a guest called n is running already" in refused.err.text
        with Control(guest.socket_path(), negotiate=True) as control:
            assert control.execute("query-status")["running"]


def test_stale_socket_is_replaced():
    with tmp_dir() as folder:
        (folder / "ferry").mkdir(mode=0o700)
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(folder / "ferry" / "web.sock"))
        dead.close()
        with idle(runtime=folder, name="web") as guest, guest.control() as control:
            assert control.execute("query-name") == {"name": "web"}


def test_documented():
    """docs/control.md tells what the table says."""
    run(TOP / "scripts" / "control-doc", env={**os.environ, "FERRY": str(FERRY)})


def test_socat():
    """A client that knows nothing of us: lines in, lines out."""
    require_tool("socat")
    with idle(name="web") as guest:
        guest.wait_for("^idle ready")
        said = "".join(json.dumps({"execute": word, "id": word}) + "\n" for word in (
            "qmp_capabilities", "stop", "query-status", "cont", "query-name", "quit"))
        done = subprocess.run(["socat", "-t", "20", "-", f"UNIX-CONNECT:{guest.socket_path()}"],
                              input=said, capture_output=True, text=True, timeout=30, check=False)
        heard = [json.loads(line) for line in done.stdout.splitlines()]
        assert "QMP" in heard[0]
        assert [one.get("event") or one["id"] for one in heard[1:]] == [
            "qmp_capabilities", "STOP", "stop", "query-status", "RESUME", "cont", "query-name",
            "SHUTDOWN", "quit"]
        assert guest.wait() == 0


def test_introspection():
    with idle() as guest, guest.control() as control:
        schema = control.execute("query-qmp-schema")
        for kind in ("command", "event"):
            assert {one["name"] for one in schema if one["meta-type"] == kind} == {
                one["name"] for one in control.execute(f"query-{kind}s")}
        members = {one["name"]: one for one in schema}["q_obj_balloon-arg"]["members"]
        assert members == [{"name": "value", "type": "int"}]
