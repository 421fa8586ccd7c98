# SPDX-License-Identifier: MIT
"""The sub-commands that manage running guests, one by one and many at once."""
import contextlib
import json
import os

from ferrytest import Guest, each, run, tmp_dir
from ferrytest.paths import FERRY


def ferry(guest, *argv):
    """A sub-command's output; it must succeed."""
    return run(FERRY, *argv, env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)})


def fails(guest, status, reason, *argv):
    """A sub-command must fail with one line that says why."""
    with guest.ferry(*argv) as proc:
        assert proc.wait() == status
        assert reason in proc.err.text, proc.err.text
        assert proc.err.text.count("\n") == 1


def status(guest):
    """QMP's word for what it does."""
    return json.loads(ferry(guest, "info", guest.name, "--json"))["status"]


@contextlib.contextmanager
def several(*names, **kwargs):
    """Idle guests in one runtime directory."""
    with tmp_dir() as folder, contextlib.ExitStack() as stack:
        guests = [stack.enter_context(
            Guest("idle", net="none", name=name, runtime=folder, **kwargs)) for name in names]
        for guest in guests:
            guest.wait_for("^idle ready")
        yield guests


def test_patterns_and_all():
    with several("web1", "web2", "db") as guests:
        one = guests[0]
        ferry(one, "pause", "web*")
        assert [status(g) for g in guests] == ["paused", "paused", "running"]
        ferry(one, "resume", "web1", "web1", "d?")
        assert [status(g) for g in guests] == ["running", "paused", "running"]
        done = json.loads(ferry(one, "pause", "--all", "--json"))
        assert [(d["name"], d["return"]) for d in done] == [("db", {}), ("web1", {}), ("web2", {})]
        ferry(one, "resume", "--all")
        fails(one, 1, "no guest's name is like 'x*'", "pause", "x*")
        fails(one, 2, "NAME is missing", "pause")
        rows = json.loads(ferry(one, "list", "--json", "web*"))
        assert [row["name"] for row in rows] == ["web1", "web2"]
        fails(one, 1, "no guest called none", "list", "none")
        infos = json.loads(ferry(one, "info", "--json", "web[12]"))
        assert [info["return"]["pid"] for info in infos] == [g.pid for g in guests[:2]]
        ferry(one, "reset", "--all")
        for guest in guests:
            guest.wait_for("^idle ready")
        ferry(one, "destroy", "web2")
        ferry(one, "shutdown", "--all", "--wait")
        assert [guest.wait() for guest in guests] == [0, 0, 0]
        assert ferry(one, "pause", "--all") == ""


def test_one_that_fails_does_not_stop_the_others():
    with several("a", "b") as guests, guests[0].ferry("pause", "a", "none", "b", "--json") as proc:
        assert proc.wait() == 1
        assert "none: no guest called none" in proc.err.text
        assert [set(one) for one in json.loads(proc.out.text)] == [
            {"name", "return"}, {"name", "error"}, {"name", "return"}]
        assert [status(guest) for guest in guests] == ["paused", "paused"]


def test_destroy_many():
    with several("a", "b", "c") as guests:
        assert json.loads(ferry(guests[0], "destroy", "--json", "[ab]")) == ["a", "b"]
        assert [guest.wait() for guest in guests[:2]] == [0, 0]
        fails(guests[2], 1, "no guest called a is running", "destroy", "a")
        ferry(guests[2], "destroy", "--all")
        assert guests[2].wait() == 0


def test_reboot_and_interrupts():
    with several("web") as (guest,):
        ferry(guest, "reboot", "--wait", "web")
        guest.wait_for("^idle ready")
        ferry(guest, "nmi", "web")
        guest.wait_for("exception 2 ")
    with several("web") as (guest,):
        fails(guest, 1, "must be one letter", "sysrq", "web", "??")
        assert json.loads(ferry(guest, "sysrq", "web", "h", "--json")) == {}
        guest.wait_for("woke=input")


def test_uptime():
    with several("web") as (guest,):
        text = ferry(guest, "uptime", "web")
        assert text.split()[:3] == ["web", "0", "days,"]
        assert 0 < json.loads(ferry(guest, "uptime", "web", "--json"))["uptime_s"] < 60


@each(ephemeral=[False, True])
def test_rename(ephemeral):
    with several("web", "db", ephemeral=ephemeral) as (guest, _), guest.control() as control:
        fails(guest, 1, "a guest called db is running already", "rename", "web", "db")
        fails(guest, 1, "only letters", "rename", "web", "a/b")
        ferry(guest, "rename", "web", "old")
        assert control.execute("query-name") == {"name": "old"}
        fails(guest, 1, "no guest called web is running", "info", "web")
        info = json.loads(ferry(guest, "info", "old", "--json"))
        assert info["name"] == info["config"]["name"] == "old" and info["pid"] == guest.pid
        assert [row["name"] for row in json.loads(ferry(guest, "list", "--json"))] == ["db", "old"]
        # The old name is free again.
        with Guest("idle", net="none", name="web", runtime=guest.runtime) as other:
            other.wait_for("^idle ready")
            assert json.loads(ferry(guest, "rename", "--json", "old", "oldest")) == {}
            fails(guest, 1, "web is running already", "rename", "oldest", "web")
        ferry(guest, "destroy", "oldest")
        assert guest.wait() == 0
        assert not (guest.runtime / "ferry" / "oldest.sock").exists()


def test_rename_where_the_name_is_known_elsewhere():
    with Guest("idle", net="none", console="pty") as guest, guest.control() as control:
        control.send_raw(b'{"execute":"ferry-rename","arguments":{"name":"new"}}\n')
        assert "keeps its name" in control.receive()["error"]["desc"]


def test_memory():
    with several("web", memory="64M", balloon=True, rng=True) as (guest,):
        stats = json.loads(ferry(guest, "memory", "stats", "web", "--json"))
        assert stats["memory_bytes"] == stats["actual_bytes"] == stats["target_bytes"] == 64 << 20
        assert "actual_bytes" in ferry(guest, "memory", "stats", "web")
        # This guest has no driver: what was reached is told, and that it is not enough.
        with guest.ferry("memory", "set", "web", "32M", "--timeout", "0") as proc:
            assert proc.wait() == 1
            assert proc.out.text == "web: 64.0 MiB\n"
            assert "reached 64.0 MiB of the 32.0 MiB asked for in 0 s" in proc.err.text
        fails(guest, 1, "must be 1 to 67108864", "memory", "set", "web", "1G")
        fails(guest, 2, "set wants a size", "memory", "set", "web", "much")
        fails(guest, 2, "set wants a size", "memory", "set", "web")
        fails(guest, 2, "stats takes no size", "memory", "stats", "web", "1G")
    with several("web") as (guest,):
        fails(guest, 1, "No balloon device", "memory", "set", "web", "32M")
        assert set(json.loads(ferry(guest, "memory", "stats", "web", "--json"))) == {"memory_bytes"}


def test_vcpu():
    with several("web", vcpus=2) as (guest,):
        cpu = min(os.sched_getaffinity(0))
        ferry(guest, "vcpu", "pin", "web", "1", str(cpu))
        cpus = json.loads(ferry(guest, "vcpu", "list", "web", "--json"))
        assert cpus[1]["affinity"] == str(cpu)
        assert os.sched_getaffinity(cpus[1]["thread-id"]) == {cpu}
        assert os.sched_getaffinity(cpus[0]["thread-id"]) == os.sched_getaffinity(0)
        pinned = json.loads(ferry(guest, "vcpu", "pin", "--json", "web", "all", "all"))
        assert [c["cpu-index"] for c in pinned] == [0, 1]
        assert str(cpu) != pinned[1]["affinity"] == pinned[0]["affinity"] or os.cpu_count() == 1
        assert len({json.dumps(sorted(os.sched_getaffinity(c["thread-id"]))) for c in cpus}) == 1
        assert ferry(guest, "vcpu", "list", "web").splitlines()[0].split() == [
            "VCPU", "THREAD", "CPU-TIME", "AFFINITY"]
        fails(guest, 1, "has vCPUs 0 to 1", "vcpu", "pin", "web", "2", "0")
        fails(guest, 1, "is not a list of CPUs", "vcpu", "pin", "web", "0", "x")
        fails(guest, 1, "the host has none of these", "vcpu", "pin", "web", "0", "1023")
        fails(guest, 2, "neither the number of a vCPU", "vcpu", "pin", "web", "x", "0")
        fails(guest, 1, "stays as the guest was started", "vcpu", "set", "web", "1")


def test_weight_and_cap():
    """They work where the host's cgroups allow it, and say what is missing where not."""
    with several("web") as (guest,):
        for command, value in (("weight", "200"), ("cap", "50")):
            fails(guest, 2, "is not a number from", command, "web", "x")
            with guest.ferry(command, "web", value) as proc:
                if proc.wait() == 0:
                    assert proc.out.text == f"{value}\n"
                else:
                    assert ("has no cpu controller" in proc.err.text
                            or "no cgroups of version 2" in proc.err.text
                            or "has other processes in it" in proc.err.text), proc.err.text
