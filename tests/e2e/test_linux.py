# SPDX-License-Identifier: MIT
"""Linux as a guest: it boots, works with disk and network, and ends as it is told to."""
import re
import shutil

from ferrytest import (BOOT_S, PROMPT, Guest, Qemu, READY, Restored, booted_linux, each,
                       free_port, linux_guest, timeout, tmp_dir)

VMMS = [Guest, Qemu]
EXIT_CRASH = 125


def boot(vmm, append="", **kwargs):
    """Start it with its initrd."""
    linux = linux_guest()
    return vmm(linux.kernel, initrd=linux.initrd, append=f"{linux.cmdline} {append}", **kwargs)


@each(vmm=VMMS)
@timeout(300)
def test_shell_on_the_console(vmm):
    with boot(vmm, "net=none") as guest:
        guest.wait_for(READY, BOOT_S)
        guest.wait_for(PROMPT, BOOT_S)
        guest.write("echo $((6 * 7)) is the answer\n")
        guest.wait_for("^42 is the answer", BOOT_S)
        guest.write("poweroff\n")
        assert guest.wait(BOOT_S) == 0


@timeout(300)
def test_bzimage():
    linux = linux_guest()
    with Guest(linux.bzimage, initrd=linux.initrd,
               append=f"{linux.cmdline} net=none", net="none", memory="128M") as guest:
        guest.wait_for(READY, BOOT_S)
        guest.write("poweroff\n")
        assert guest.wait(BOOT_S) == 0


@timeout(300)
def test_panic():
    with Restored(booted_linux(net="none")) as guest:
        guest.write("echo c > /proc/sysrq-trigger\n")
        assert guest.wait(BOOT_S) == EXIT_CRASH


@timeout(300)
def test_power_button():
    with Restored(booted_linux(net="none")) as guest, guest.control():
        guest.press_power_button()
        assert guest.wait(BOOT_S) == 0


@each(vmm=VMMS)
@timeout(300)
def test_command_on_the_command_line(vmm):
    with boot(vmm, 'net=none -- "cat /proc/cpuinfo; exit 3"') as guest:
        guest.wait_for("^guest: command exited with status 3", BOOT_S)
        assert guest.wait(BOOT_S) == 0
        assert len(re.findall("^processor", guest.out.text, re.M)) == 1


@each(vmm=VMMS)
@timeout(300)
def test_disk_network_and_ssh(vmm):
    linux, port = linux_guest(), free_port()
    with tmp_dir() as folder:
        image = shutil.copy(linux.rootfs, folder)
        with boot(vmm, memory="128M", disk=f"{image}",
                  net=f"user,hostfwd=tcp:127.0.0.1:{port}-:22") as guest:
            guest.wait_for(r"guest: eth0 has 10\.0\.2\.15/24", BOOT_S)
            assert linux.ssh(port, "mount -t ext4 /dev/vda /mnt && ls /mnt/bin").count("busybox")
            report = linux.ssh(
                port, "fio --name=v --filename=/mnt/fio --size=4M --rw=randwrite --bs=4k "
                "--ioengine=psync --verify=crc32c --do_verify=1 --fsync_on_close=1")
            assert "err= 0" in report
            linux.ssh(port, "umount /mnt; poweroff", check=False)
            assert guest.wait(BOOT_S) == 0


@timeout(300)
def test_virtio_console():
    """Linux drives hvc0 beside its serial console."""
    linux, port = linux_guest(), free_port()
    with boot(Guest, memory="128M", virtio_console=True,
              net=f"user,hostfwd=tcp:127.0.0.1:{port}-:22") as guest:
        guest.wait_for(r"guest: eth0 has 10\.0\.2\.15/24", BOOT_S)
        linux.ssh(port, "echo this is hvc$((3 - 3)) >/dev/hvc0")
        guest.wait_for("^this is hvc0", BOOT_S)
        linux.ssh(port, "poweroff", check=False)
        assert guest.wait(BOOT_S) == 0
