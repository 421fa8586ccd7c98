# SPDX-License-Identifier: MIT
"""docs/xm.md: each sub-command of xm has a row, and what stands there works."""
import contextlib
import os
import re
import shlex

from ferrytest import Guest, NetHost, Proc, each, guest_image, require_root, timeout, tmp_dir
from ferrytest.paths import FERRY, TOP

XM = set("""console create destroy new delete domid domname dump-core list mem-max mem-set migrate
    pause reboot rename restore resume save shutdown start suspend sysrq trigger top unpause uptime
    vcpu-list vcpu-pin vcpu-set debug-keys dmesg info log serve sched-credit sched-sedf block-attach
    block-detach block-list block-configure network-attach network-detach network-list vtpm-list
    vnet-list vnet-create vnet-delete labels addlabel rmlabel getlabel dry-run resources dumppolicy
    setpolicy resetpolicy getpolicy shell""".split())

# They stay until they are told to leave, or until the guest ends.
STAYS = {"console", "run", "restore"}
# What a host may not have, and the words that say so.
MAY_LACK = {"weight": "cgroup", "cap": "cgroup"}


def read_rows():
    """name: (commands, note) of each row whose first cell is a sub-command."""
    text = (TOP / "docs" / "xm.md").read_text().partition("## Keys")[0]
    rows = {}
    for name, ferry, note in re.findall(r"^\| `([\w-]+)` \| (.*?) \| ?(.*?) ?\|$", text, re.M):
        assert name not in rows, name
        rows[name] = (re.findall(r"`(ferry [^`]*)`", ferry), note)
    return rows


ROWS = read_rows()


def test_every_command_has_a_row():
    assert set(ROWS) == XM and len(XM) == 58
    for name, (commands, note) in ROWS.items():
        assert commands or note, name


def leave(proc, argv):
    """End what stays: a console by its key, a guest by its name."""
    if argv[0] == "console":
        proc.wait_for("idle")
        proc.write("\x1d")
    else:
        name = argv[argv.index("--name") + 1] if "--name" in argv else "web"
        proc.wait_for("idle" if argv[0] == "run" else "idle tick")
        with Proc(FERRY, "destroy", name, env=proc.env) as end:
            assert end.wait() == 0
    assert proc.wait() == 0, proc.err.text


def run_one(line, env, folder):
    """One command of a row."""
    argv = shlex.split(line)[1:]
    with Proc(FERRY, *argv, env=env, cwd=folder, tty=argv[0] == "console") as proc:
        proc.env = env
        if argv[0] in STAYS and "--dry-run" not in argv:
            leave(proc, argv)
        elif proc.wait() != 0:
            assert MAY_LACK.get(argv[0], "fails") in proc.err.text, (line, proc.err.text)


@contextlib.contextmanager
def peer(name, env, folder):
    """Where a guest of the row migrate goes."""
    if name != "migrate":
        yield
        return
    with Proc(FERRY, "receive", "--listen", "unix:in.sock", "--name", "moved", "--once", env=env,
              cwd=folder) as receive:
        receive.wait_for("^listening on")
        yield
        with Proc(FERRY, "destroy", "moved", env=env) as end:
            assert end.wait() == 0


@each(name=sorted(name for name, (commands, _) in ROWS.items() if commands))
@timeout(120)
def test_row(name):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tmp_dir())
        (folder / "web.conf").write_text(
            f"kernel = {guest_image('idle')}\nmemory = 64M\nnet = none\nconsole = stdio\n"
            "append = \"tick=50\"\n")
        for image in ("web.img", "more.img"):
            (folder / image).write_bytes(bytes(4 << 20))
        env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        if name.startswith("vnet"):
            require_root()
            host = stack.enter_context(NetHost())
            for line in ROWS[name][0]:
                host.net_command(*shlex.split(line)[2:])
            return
        guest = stack.enter_context(Guest("idle", name="web", net="none", balloon=True, vcpus=1,
                                          memory="64M", runtime=folder, append="tick=50",
                                          disk=folder / "web.img"))
        guest.wait_for("^idle ready")
        stack.enter_context(peer(name, env, folder))
        for line in ROWS[name][0]:
            run_one(line, env, folder)
