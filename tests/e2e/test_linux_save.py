# SPDX-License-Identifier: MIT
"""Linux that was booted once and saved: every test restores it."""
import contextlib
import re
import shutil
import time

from ferrytest import (BOOT_S, PROMPT, READY, Restored, booted_linux, each, free_port,
                       linux_guest, timeout, tmp_dir)


def answers(guest, question, pattern):
    """Type a command; the match of what it prints on a line of its own."""
    guest.write(question + "\n")
    return guest.wait_for(rf"^{pattern}\r?\n", BOOT_S)


@timeout(300)
def test_goes_on():
    with Restored(booted_linux(net="none")) as guest:
        answers(guest, "echo $((6 * 7)) is the answer", "42 is the answer")
        guest.write("poweroff\n")
        assert guest.wait(BOOT_S) == 0


@timeout(300)
def test_several_from_one_file():
    path = booted_linux(net="none")
    with contextlib.ExitStack() as stack:
        guests = [stack.enter_context(Restored(path, ephemeral=True)) for _ in range(4)]
        for number, guest in enumerate(guests):
            answers(guest, f"x={number}; echo this is $((x * 11))", f"this is {number * 11}")
        for number, guest in enumerate(guests):
            answers(guest, "echo still $((x * 11))", f"still {number * 11}")


@timeout(300)
def test_clock_is_right():
    """The time that has passed since the save is not lost."""
    with Restored(booted_linux(net="none")) as guest:
        shown = int(answers(guest, "echo now $(date +%s)", r"now (\d+)")[1])
        assert abs(shown - time.time()) < 30


@timeout(300)
def test_resets():
    with Restored(booted_linux(net="none")) as guest:
        with guest.control() as control:
            control.execute("system_reset")
        guest.wait_for(READY, BOOT_S)
        guest.wait_for(PROMPT, BOOT_S)
        answers(guest, "echo booted $((1 + 1)) times", "booted 2 times")


@each(words=[[], ["--compress", "zstd"]])
@timeout(300)
def test_saved_again(words):
    with tmp_dir() as folder:
        with Restored(booted_linux(net="none")) as guest:
            answers(guest, "echo $$ >/tmp/mine; echo wrote $((4 + 4))", "wrote 8")
            guest.save(folder / "g", *words)
            assert guest.wait() == 0
        with Restored(folder / "g") as guest:
            answers(guest, "[ $(cat /tmp/mine) = $$ ] && echo mine $((2 + 2))", "mine 4")


@timeout(300)
def test_disk_network_and_ssh():
    """On a copy of its disk and another port of the host than those it was booted with."""
    linux, port = linux_guest(), free_port()
    path = booted_linux("", memory="128M", disk=f"{linux.rootfs},overlay", net="user")
    with tmp_dir() as folder:
        image = shutil.copy(linux.rootfs, folder)
        with Restored(path, map=[f"disk:disk0={image}",
                                 f"net:net0=user,hostfwd=tcp:127.0.0.1:{port}-:22"]) as guest, \
                guest.control():
            assert linux.ssh(port, "mount -t ext4 /dev/vda /mnt && ls /mnt/bin").count("busybox")
            report = linux.ssh(
                port, "fio --name=v --filename=/mnt/fio --size=1M --rw=randwrite --bs=4k "
                "--ioengine=psync --verify=crc32c --do_verify=1 --fsync_on_close=1")
            assert re.search("err= 0", report)
            linux.ssh(port, "umount /mnt; poweroff", check=False)
            assert guest.wait(BOOT_S) == 0
