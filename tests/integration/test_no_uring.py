# SPDX-License-Identifier: MIT
"""Hosts that refuse io_uring: everything works, by epoll and threads."""
import json
import subprocess

from ferrytest import Guest, each, tmp_dir
from ferrytest.paths import FERRY
from ferrytest.seccomp import NoUring


def test_the_filter_works():
    done = subprocess.run([*NoUring().prefix(), FERRY, "doctor", "--json"], capture_output=True,
                          check=False, timeout=20)
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert found["io_uring"]["verdict"] == "limited"
    assert "falls back" in found["io_uring"]["detail"]


@each(vcpus=[1, 2])
def test_console_and_control(vcpus):
    with Guest("hello", append="echo", vcpus=vcpus, netns=NoUring()) as guest:
        guest.wait_for("^hello echo")
        guest.write("one\n")
        guest.wait_for("^echo one")
        with guest.control() as control:
            control.execute("stop")
            control.execute("cont")
            control.wait_event("RESUME")
            with guest.ferry("console", guest.name) as console:
                console.write("two\n")
                console.wait_for("^echo two")
        guest.write("quit\n")
        assert guest.wait() == 0


@each(stdin=["/dev/null", "file"])
def test_input_that_epoll_cannot_watch(stdin):
    with tmp_dir() as folder:
        (folder / "file").write_text("\none\nquit\n")
        with open(stdin if stdin != "file" else folder / "file", "rb") as source:
            done = subprocess.run(
                [*NoUring().prefix(), FERRY, "run", "--ephemeral", "--net", "none", "--kernel",
                 FERRY.parent / "guest-images" / "hello.elf",
                 "--append", "echo" if stdin == "file" else ""],
                stdin=source, capture_output=True, check=False, timeout=20)
        assert done.returncode == 0
        assert (b"echo one" in done.stdout) == (stdin == "file")


def test_disk():
    with tmp_dir() as folder:
        image = folder / "a.img"
        with open(image, "wb") as file:
            file.truncate(8 << 20)
        with Guest("blk", append="ops=500 depth=4", disk=image, netns=NoUring()) as guest:
            guest.wait_for("corrupt=0")
            assert guest.wait() == 0


def test_timeout():
    with Guest("idle", timeout=1, netns=NoUring()) as guest:
        assert guest.wait() == 124
