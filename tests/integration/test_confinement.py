# SPDX-License-Identifier: MIT
"""What is left to a guest's process once it has opened everything."""
import os
import re
import signal
import socket
import subprocess

from ferrytest import (Guest, Lab, Skip, each, require_kvm, require_plain_build, require_root, run,
                       timeout, tmp_dir)
from ferrytest.control import ControlError
from ferrytest.moves import DIRTY
from ferrytest.paths import FERRY

BUILD = os.environ.get("BUILD", "build")
PROBE = f"{BUILD}/tests/probe/probe"
CLASSES = ["main", "vcpu", "io", "net", "move"]
FORBIDDEN = ["packet-socket", "netlink-socket", "execve", "fork", "ptrace", "mount", "unshare",
             "kill", "tgkill", "set-owner", "ioctl", "executable-memory", "setuid", "bpf", "chmod"]
FILES = ["open", "open-folder", "create", "unlink", "mkdir", "socket-file"]
NONE = "0" * 16
CONFINED = {"CapInh": NONE, "CapPrm": NONE, "CapEff": NONE, "CapBnd": NONE, "CapAmb": NONE,
            "NoNewPrivs": "1", "Seccomp": "2"}


def probe(mode, when, kind, action):
    require_plain_build()
    return subprocess.run([PROBE, mode, when, kind, action], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False)


def threads(pid):
    """The fields of /proc/PID/task/TID/status, by the thread's name."""
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="ascii") as lines:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)
        yield fields["Name"], fields


def check_threads(pid, names):
    require_plain_build()
    found = dict(threads(pid))
    for name in names:
        assert any(re.fullmatch(name, n) for n in found), (name, sorted(found))
    for name, fields in found.items():
        if name.startswith("iou-"): # the kernel's, for a ring
            continue
        for field, wanted in CONFINED.items():
            assert fields[field].strip() == wanted, (name, field, fields[field])


def idle(**options):
    return Guest("idle", append="tick=100", memory="64M", **options)


def confinement_of(guest):
    with guest.control() as control:
        return control.execute("ferry-info")["confinement"]


# --- running guests ---


def test_every_thread_of_a_guest():
    require_kvm()
    require_root()
    with idle(vcpus=2, net="user", rng=True) as guest:
        guest.wait_for("tick=2")
        check_threads(guest.pid, ["signals", "vcpu0", "vcpu1", "net0/0", "io"])


@timeout(120)
def test_every_thread_of_a_teleport():
    require_kvm()
    require_root()
    with Lab() as lab, lab.host1.guest("dirty", append=DIRTY) as guest, \
            lab.host2.receive() as receive:
        lab.console().wait_for("^dirty pass=2 ")
        move = lab.host1.teleport("g", receive, hold="ready")
        move.wait_held("ready")
        check_threads(guest.pid, ["signals", "vcpu0", "migrate", "talk-in", "talk-alive"])
        for pid in receive.children():
            check_threads(pid, ["incoming", "listener"])
        move.go_on()
        assert move.result()["status"] == "completed"
        lab.check_one_copy("g", lab.host2)


def test_limits():
    with idle(net="none") as guest:
        guest.wait_for("tick=1")
        with open(f"/proc/{guest.pid}/limits", encoding="ascii") as lines:
            limits = {line[:26].strip(): line[26:].split() for line in lines}
        assert limits["Max core file size"][:2] == ["0", "0"]
        assert limits["Max open files"][0] == limits["Max open files"][1]


def test_info_tells():
    require_plain_build()
    with idle(net="none") as guest:
        guest.wait_for("tick=1")
        confinement = confinement_of(guest)
        assert confinement["no-capabilities"] is True
        assert confinement["no-new-privs"] is True
        assert confinement["seccomp"] == "on"
        assert confinement["landlock"] >= 0


@each(mode=["log", "off"])
def test_seccomp_is_an_option(mode):
    require_plain_build()
    with idle(net="none", seccomp=mode) as guest:
        guest.wait_for("tick=1")
        assert confinement_of(guest)["seccomp"] == mode
        wanted = {"log": "2", "off": "0"}[mode]
        for name, fields in threads(guest.pid):
            assert fields["Seccomp"].strip() == wanted, name
            assert fields["NoNewPrivs"].strip() == "1", name


# --- what threads try ---


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_forbidden_calls_are_deadly(when, kind):
    for action in FORBIDDEN:
        done = probe("on", when, kind, action)
        assert done.returncode == -signal.SIGSYS, (action, done)
        assert done.stdout == "", (action, done)
        name = "main" if kind == "main" and when == "late" else "probe"
        assert re.fullmatch(rf"ferry: thread {name}: system call \w+ \(\d+\), [a-z ]+ 0x[0-9a-f]+, "
                            r"is not allowed: the process ends\n", done.stderr), (action, done)


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_no_new_ring(when, kind):
    done = probe("on", when, kind, "new-ring")
    assert done.returncode == -signal.SIGSYS or done.stdout == "new-ring: EPERM\n", done


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_no_file_is_opened_or_changed(when, kind):
    """What is there would be found: nothing but confinement says EACCES to root."""
    for action in FILES:
        done = probe("on", when, kind, action)
        assert done.returncode == -signal.SIGSYS or done.stdout == f"{action}: EACCES\n", done


# $1: mode of what is beside resolv.conf; $2: of the folder that it is in. The program follows.
WITH_RESOLVER = r"""
set -e
mount --make-rprivate /
mount -t tmpfs layers /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work etc /etc
mount -t tmpfs run /run
mkdir -p /run/ferry-probe/deep
echo nameserver 192.0.2.1 >/run/ferry-probe/stub.conf
echo secret >/run/ferry-probe/beside
ln -s ../run/ferry-probe/stub.conf /run/ferry-probe/link
touch /run/ferry-probe/deep/file
chmod "$1" /run/ferry-probe/beside
chmod "$2" /run/ferry-probe/deep
ln -sf ../run/ferry-probe/stub.conf /etc/resolv.conf
shift 2
exec "$@"
"""


@each(modes=[("644", "755"), ("640", "755"), ("644", "711")])
@each(kind=["main", "net", "io"])
def test_name_servers_in_a_folder_below_run(modes, kind):
    """The folder is seen by who asks name servers, unless it has what is not for everybody."""
    require_root()
    require_plain_build()
    public = modes == ("644", "755")
    for action in "resolver", "beside-resolver":
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", WITH_RESOLVER, "sh", *modes, PROBE, "off", "late",
             kind, action], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
            check=False)
        seen = kind != "io" and (public or action == "resolver")
        assert done.stdout == f"{action}: {'done' if seen else 'EACCES'}\n", done


@each(kind=CLASSES)
def test_landlock_alone_keeps_files_away(kind):
    """The same without the lists of system calls."""
    for action in FILES:
        done = probe("off", "late", kind, action)
        assert done.stdout == f"{action}: EACCES\n", (action, done)


def test_landlock_alone_keeps_the_network_away():
    """TCP needs its version 4, abstract names version 6."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(b"\0ferry-probe".ljust(108, b"\0"))
        listener.listen()
        for kind, action, wanted in [
                ("vcpu", "connect", "EACCES"), ("vcpu", "tcp-listen", "EACCES"),
                ("io", "connect", "EACCES"), ("io", "tcp-listen", "EACCES"),
                ("move", "tcp-listen", "EACCES"), ("move", "connect", "ECONNREFUSED"),
                ("net", "connect", "ECONNREFUSED"), ("net", "tcp-listen", "done"),
                ("move", "abstract-socket", "EPERM"), ("net", "abstract-socket", "EPERM")]:
            done = probe("off", "late", kind, action)
            assert done.stdout == f"{action}: {wanted}\n", (kind, done)


@each(kind=["vcpu", "io"])
def test_no_socket_for_who_needs_none(kind):
    done = probe("on", "late", kind, "tcp-socket")
    assert done.returncode == -signal.SIGSYS, done
    assert "system call socket (41)" in done.stderr


def test_violation_names_thread_call_and_number():
    done = probe("on", "late", "vcpu", "execve")
    assert done.stderr.startswith("ferry: thread probe: system call execve (59), first argument 0x")


def test_log_lets_it_go_on():
    done = probe("log", "late", "vcpu", "kill")
    assert done.returncode == 0, done
    assert done.stdout.startswith("kill: "), done


def test_guest_without_a_path():
    """What a client of the control socket names by a path is refused, and says how it is done."""
    with tmp_dir() as folder, idle(net="none") as guest, guest.control() as control:
        guest.wait_for("tick=1")
        for command, arguments in [
                ("ferry-save", {"file": f"{folder}/g"}),
                ("dump-guest-memory", {"protocol": f"file:{folder}/g"}),
                ("migrate", {"uri": "tcp:127.0.0.1:1", "tls-psk": f"{folder}/keys"})]:
            try:
                control.execute(command, **arguments)
            except ControlError as error:
                assert "fd:NAME, a descriptor that getfd has left" in str(error), error
            else:
                raise AssertionError(command)
        assert not list(folder.iterdir())


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_landlock_alone_keeps_signals_in(when, kind):
    """Of the process's own threads the main one kicks vCPUs: every test does that."""
    found = re.search(r" landlock .* version ([0-9]+)", run(FERRY, "doctor", check=False))
    if not found or int(found[1]) < 7:
        raise Skip("no Landlock that scopes signals")
    done = probe("off", when, kind, "kill")
    assert done.stdout == "kill: EPERM\n", done
