# SPDX-License-Identifier: MIT
"""--user, --jail and --chroot: who a guest's process is, and what it can see."""
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from ferrytest import (Guest, NetNs, Proc, descendants, each, guest_image, no_leaks, require_kvm,
                       require_plain_build, require_root, require_tool, require_user_namespaces,
                       tmp_dir, unix_sockets, wait_end)
from ferrytest.paths import BUILD, FERRY

PROBE = str(BUILD / "tests/probe/probe")
CLASSES = ["main", "vcpu", "io", "net", "move"]
NAMESPACES = ["user", "mnt", "ipc", "uts", "net", "pid"]
UID, GID = 51234, 51235
USER = f"{UID}:{GID}"
NONE = "0" * 16


def status_of(pid):
    """The fields of /proc/PID/status, split at white space."""
    lines = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return {name: text.split() for name, _, text in (line.partition(":") for line in lines)}


def own_namespaces(pid):
    """Which ones it does not share with us."""
    return [name for name in NAMESPACES
            if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")]


def seen_by(pid):
    """Paths of all files below its root."""
    require_plain_build()
    root = f"/proc/{pid}/root"
    return {os.path.join(folder, name).removeprefix(root)
            for folder, folders, files in os.walk(root) for name in [*folders, *files]}


def mounts_of(pid):
    """{where: options}"""
    with open(f"/proc/{pid}/mounts", encoding="utf-8") as lines:
        return {line.split()[1]: line.split()[3].split(",") for line in lines}


def idle(*extra, **options):
    return Guest("idle", *extra, append="tick=100", **options)


def confinement_of(guest):
    with guest.control() as control:
        return control.execute("ferry-info")["confinement"]


def check_powerless(pid, uid=0, gid=0):
    """All of its threads are that user, and may do nothing."""
    require_plain_build()
    for tid in os.listdir(f"/proc/{pid}/task"):
        found = status_of(f"{pid}/task/{tid}")
        if found["Name"][0].startswith("iou-"): # the kernel's, for a ring
            continue
        assert found["Uid"] == [str(uid)] * 4, (found["Name"], found["Uid"])
        assert found["Gid"] == [str(gid)] * 4, (found["Name"], found["Gid"])
        if uid:
            assert found["Groups"] == [], (found["Name"], found["Groups"])
        for field in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert found[field] == [NONE], (found["Name"], field, found[field])
        assert found["NoNewPrivs"] == ["1"] and found["Seccomp"] == ["2"], found["Name"]


def check_limits(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as lines:
        limits = {line[:26].strip(): line[26:].split() for line in lines}
    for name in ("core file size", "msgqueue size", "realtime priority", "nice priority"):
        assert limits[f"Max {name}"][:2] == ["0", "0"], limits
    for name in ("open files", "locked memory", "pending signals"):
        assert limits[f"Max {name}"][0] == limits[f"Max {name}"][1], limits


def keeper_of(pid):
    """The process beside it, or None."""
    found = [child for child, name in descendants(pid).items() if name == "ferry-keeper"]
    return found[0] if found else None


# --- running guests ---


def test_user():
    require_root()
    with idle(net="user", vcpus=2, user=USER) as guest:
        guest.wait_for("tick=2")
        check_powerless(guest.pid, UID, GID)
        check_limits(guest.pid)
        assert own_namespaces(guest.pid) == []
        assert os.stat(f"/proc/{guest.pid}/environ").st_uid == 0, "another's memory is to be had"
        assert status_of(keeper_of(guest.pid))["Uid"] == ["0"] * 4
        found = confinement_of(guest)
        assert (found["uid"], found["gid"], found["root"]) == (UID, GID, "/")
        assert found["limits"]["core"] == 0


@each(net=["user", "none"])
def test_jail(net):
    require_root()
    namespaces = ["mnt", "ipc", "uts"]
    with idle(net=net, vcpus=2, rng=True, jail=True, user=USER) as guest:
        guest.wait_for("tick=2")
        check_powerless(guest.pid, UID, GID)
        check_limits(guest.pid)
        assert own_namespaces(guest.pid) == namespaces
        resolver = {"/etc", "/etc/resolv.conf"}
        assert seen_by(guest.pid) == resolver
        mounts = mounts_of(guest.pid)
        assert set(mounts) == {"/"} | {path for path in resolver if path != "/etc"}
        for options in mounts.values():
            assert {"ro", "nosuid", "nodev", "noexec"} <= set(options), mounts
        found = confinement_of(guest)
        assert found["root"] == "empty" and found["namespaces"] == ["mount", "ipc", "uts"]


def test_jail_without_network():
    """All threads are in the empty one, those that were there before the main thread too."""
    require_root()
    with NetNs() as net, idle(net="tap:t0", netns=net, jail_net=True, rng=True) as guest:
        guest.wait_for("tick=2")
        here = {os.readlink(f"/proc/{guest.pid}/task/{tid}/ns/net")
                for tid in os.listdir(f"/proc/{guest.pid}/task")}
        assert len(here) == 1 and here != {os.readlink("/proc/self/ns/net")}, here
        assert f"net:[{os.fstat(net.fd).st_ino}]" not in here
        assert set(own_namespaces(guest.pid)) == {"mnt", "ipc", "uts", "net"}
        assert seen_by(guest.pid) == set()
        assert "net" in confinement_of(guest)["namespaces"]
        for tid in os.listdir(f"/proc/{guest.pid}/task"):
            with open(f"/proc/{guest.pid}/task/{tid}/net/dev", encoding="ascii") as lines:
                assert [line.split(":")[0].strip() for line in lines if ":" in line] == ["lo"]


@each(jail=[True, False])
def test_chroot(jail):
    require_root()
    with tmp_dir() as folder:
        (folder / "hello").touch()
        with idle(net="none", chroot=folder, jail=jail) as guest:
            guest.wait_for("tick=2")
            assert seen_by(guest.pid) == {"/hello"}
            if jail:
                assert "ro" in mounts_of(guest.pid)["/"]
            assert confinement_of(guest)["root"] == str(folder)
            guest.press_power_button()
            guest.wait()


def test_later_mounts_stay_outside():
    """What the host mounts in the folder would be seen without the jail's restrictions."""
    require_root()
    require_tool("mount", "umount")
    with tmp_dir() as folder, contextlib.ExitStack() as mounted:
        def mount(*words):
            subprocess.run(["mount", *words, folder], check=True, timeout=20)

        mount("-t", "tmpfs", "none")
        mounted.callback(subprocess.run, ["umount", "-R", folder], check=True, timeout=20)
        mount("--make-shared")
        (folder / "later").mkdir()
        with idle(net="none", chroot=folder, jail=True) as guest:
            guest.wait_for("tick=2")
            subprocess.run(["mount", "-t", "tmpfs", "none", folder / "later"], check=True,
                           timeout=20)
            assert set(mounts_of(guest.pid)) == {"/"}


@contextlib.contextmanager
def kvm_for_all():
    """A prefix for commands: another user, who may use KVM, in a mount namespace of his own."""
    require_root()
    require_kvm()
    require_tool("setpriv", "unshare")
    with tmp_dir() as folder:
        os.mknod(folder / "kvm", 0o20666, os.stat("/dev/kvm").st_rdev)
        os.chmod(folder / "kvm", 0o666)
        os.chmod(folder, 0o755)
        (folder / "run").mkdir()
        os.chown(folder / "run", UID, GID)
        yield folder / "run", [
            "unshare", "--mount", "sh", "-c",
            f'mount --bind {folder}/kvm /dev/kvm && exec setpriv --reuid {UID} --regid {GID} '
            '--clear-groups "$0" "$@"']


class AsUser:
    """Stands in for a network namespace: see NetNs."""

    def __init__(self, prefix):
        self.argv = prefix

    def prefix(self):
        return self.argv


def test_jail_without_root():
    """By a user namespace: nobody outside loses or wins anything by it."""
    require_user_namespaces()
    with kvm_for_all() as (runtime, prefix):
        # Where that user can read it: the tree may be in root's own folder.
        image = shutil.copy(guest_image("idle"), runtime)
        with Guest(image, append="tick=100", net="user", jail=True, runtime=runtime,
                   netns=AsUser(prefix)) as guest:
            guest.wait_for("tick=2")
            check_powerless(guest.pid, UID, GID)
            assert own_namespaces(guest.pid) == ["user", "mnt", "ipc", "uts"]
            assert seen_by(guest.pid) == {"/etc", "/etc/resolv.conf"}
            done = subprocess.run(
                ["setpriv", "--reuid", str(UID), "--regid", str(GID), "--clear-groups", str(FERRY),
                 "destroy", guest.name], env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
                capture_output=True, text=True, check=False, timeout=20)
            assert done.returncode == 0, done.stderr
            assert guest.wait() == 0
        assert [path.name for path in (runtime / "ferry").iterdir()] == ["lock"]


# --- who may give commands ---


def test_control_is_of_who_launched_it():
    """The user that the process became is none whose commands count."""
    require_root()
    require_tool("setpriv")
    with idle(net="none", ephemeral=True, user=USER) as guest:
        guest.wait_for("tick=1")
        assert confinement_of(guest)["uid"] == UID
        script = ("import socket,sys; s = socket.socket(socket.AF_UNIX); "
                  "s.settimeout(10); s.connect('\\0' + sys.argv[1]); print(len(s.recv(100)))")
        for user, says in ((UID, "0"), (0, "100")):
            done = subprocess.run(
                ["setpriv", "--reuid", str(user), "--clear-groups", "python3", "-c", script,
                 guest.socket_path()[1:]], capture_output=True, text=True, check=False, timeout=20)
            assert done.stdout.strip() == says, (user, done)


# --- what threads try ---


def probe(mode, when, kind, action, *words, port=1):
    require_plain_build()
    return subprocess.run([PROBE, mode, when, kind, action, *words], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False,
                          env={**os.environ, "PROBE_PORT": str(port)})


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_nothing_of_the_host_is_seen(when, kind):
    """Without the lists of system calls, so that it is the jail that holds."""
    require_root()
    for action, errors in (("open", ["ENOENT"]), ("climb", ["ENOENT"]),
                           ("create", ["ENOENT"]), ("write-root", ["EROFS", "EACCES"]),
                           ("kill", ["EPERM"]), ("mount", ["EPERM", "ENOENT"]),
                           ("chmod", ["ENOENT"])):
        done = probe("off", when, kind, action, "jail", f"user={USER}")
        assert done.stdout in [f"{action}: {error}\n" for error in errors], done
        done = probe("on", when, kind, action, "jail", f"user={USER}")
        assert done.returncode == -signal.SIGSYS or "done" not in done.stdout, (action, done)


@each(when=["early", "late"])
@each(kind=CLASSES)
def test_no_network_of_the_host(when, kind):
    require_root()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = probe("off", when, "net", "connect", "jail", port=port)
        assert done.stdout == "connect: done\n", done
        done = probe("off", when, kind, "connect", "jail-net", port=port)
        assert done.stdout in ("connect: ENETUNREACH\n", "connect: EACCES\n"), done


@each(mode=["on", "off"])
@each(when=["early", "late"])
def test_no_way_back_to_root(when, mode):
    require_root()
    done = probe(mode, when, "main", "setuid", f"user={USER}")
    assert done.returncode == -signal.SIGSYS or done.stdout == "setuid: EPERM\n", done


# --- the end ---


@each(options=[{"jail": True, "user": USER}, {"jail_net": True}, {"user": USER},
               {"chroot": "/var/empty-of-ferry"}])
@each(how=["quit", "kill"])
def test_nothing_is_left(how, options):
    """The sockets go with the guest, whose process cannot remove them."""
    require_root()
    with tmp_dir() as folder:
        if "chroot" in options:
            require_plain_build()
            options = {"chroot": folder / "root"}
            (folder / "root").mkdir()
        (folder / "run").mkdir(mode=0o700)
        mounts = pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8")
        with no_leaks(folders=[folder / "run"]), \
                idle(net="none", console=f"unix:{folder}/run/con", gdb=f"unix:{folder}/run/gdb",
                     runtime=folder / "run", name="g", **options) as guest:
            with guest.control() as control:
                control.execute("query-status")
            keeper = os.pidfd_open(keeper_of(guest.pid))
            assert (folder / "run/con").exists() and (folder / "run/ferry/g.sock").exists()
            if how == "quit":
                with guest.control() as control:
                    control.execute("quit")
                assert guest.wait() == 0
            else:
                guest.signal(signal.SIGKILL)
                assert guest.wait() == -signal.SIGKILL
            wait_end(keeper)
            wait_unbound(folder)
            (folder / "run/ferry/lock").unlink()
            (folder / "run/ferry").rmdir()
        assert pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8") == mounts


def wait_unbound(folder):
    """Until the kernel has taken the rings of a process apart: they hold its sockets."""
    deadline_s = time.monotonic() + 20
    while any(path.startswith(str(folder)) for path in unix_sockets()):
        assert time.monotonic() < deadline_s, unix_sockets()


def test_the_name_is_free_at_once():
    """Who takes the name of a guest that was killed keeps his socket."""
    require_root()
    with tmp_dir() as runtime:
        for _ in range(5):
            guest = idle(net="none", jail=True, user=USER, runtime=runtime, name="g")
            with guest:
                guest.wait_for("tick=1")
                guest.signal(signal.SIGKILL)
                guest.wait()
        with idle(net="none", runtime=runtime, name="g") as last:
            last.wait_for("tick=3")
            assert confinement_of(last)["root"] == "/"


# --- what cannot be had ---


def refused(status, *words, net="none", prefix=(), env=None, **options):
    """`ferry run` must fail with one line that has all these words."""
    netns = AsUser(list(prefix)) if prefix else None
    with tmp_dir() as runtime:
        os.chmod(runtime, 0o755)
        with idle(net=net, netns=netns, runtime=env or runtime, **options) as guest:
            assert guest.wait() == status, guest.err.text
            lines = guest.err.text.strip().splitlines()
    assert len(lines) == 1, lines
    for word in words:
        assert word in lines[0], lines[0]


@each(case=[({"user": "no-such-user"}, "no user no-such-user"),
            ({"user": "51234"}, "no user 51234"),
            ({"user": "root"}, "root"), ({"user": "0:0"}, "root"), ({"user": "51234:0"}, "root"),
            ({"user": ""}, "no user"), ({"user": ":5"}, "no user"),
            ({"user": "51234:no-such-group"}, "no group no-such-group"),
            ({"user": "4294967295:5"}, "no user"), ({"user": "-1:5"}, "no user"),
            ({"user": "x" * 70}, "no user x"),
            ({"chroot": "/no/such/folder"}, "/no/such/folder: No such file"),
            ({"chroot": "/dev/null"}, "Not a directory"),
            ({"jail_net": True, "net": "user"}, "user networking"),
            ({"jail": True, "dump_dir": "/no/such/folder"}, "/no/such/folder: No such file"),
            ({"chroot": "/tmp", "jail": True, "dump_dir": "/tmp"}, "--chroot hides it")])
def test_refused(case):
    require_root()
    options, word = case
    refused(1, word, **options)


@each(case=[({"user": USER}, ["only root can become another user"]),
            ({"chroot": "/tmp"}, ["only root can change the root", "--jail"])])
def test_refused_without_root(case):
    options, words = case
    with kvm_for_all() as (runtime, prefix):
        refused(1, *words, prefix=prefix, env=runtime, **options)


def test_refused_without_user_namespaces():
    """The setting is of a user namespace around it, so this machine keeps its own."""
    require_root()
    require_tool("setpriv", "unshare")
    require_user_namespaces()
    no_more = ["unshare", "--user", "--map-root-user", "sh", "-c",
               "echo 0 > /proc/sys/user/max_user_namespaces && "
               'exec setpriv --bounding-set=-all --inh-caps=-all "$0" "$@"']
    refused(1, "jail:", "sysctl user.max_user_namespaces", prefix=no_more, jail=True)


@each(case=[{"user": "no-such-user"}, {"chroot": "/no/such/folder"}])
def test_dry_run_tells(case):
    require_root()
    refused(1, next(iter(case.values())), dry_run=True, **case)


def test_dry_run_tries_the_jail():
    require_root()
    with idle(net="none", jail=True, dry_run=True) as guest:
        assert guest.wait() == 0, guest.err.text


def test_doctor():
    with Proc(FERRY, "doctor") as doctor:
        doctor.wait()
        line = next(line for line in doctor.out.text.splitlines() if " jail " in line)
        assert line.startswith(("ok", "limited", "missing")), line
