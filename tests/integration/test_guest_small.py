# SPDX-License-Identifier: MIT
"""The small guest: entropy, balloon and virtio console, under ferry and under QEMU."""
import re

from ferrytest.control import connect
from ferrytest import Control, Guest, QemuPC, each, memory_of, timeout, tmp_dir

PAGE = 4096
MIB = 1 << 20
RAM = 64 * MIB

# The same devices in QEMU's words.
QEMU_DEVICES = {
    "rng": ["-device", "virtio-rng-pci,disable-legacy=on"],
    "balloon": ["-device", "virtio-balloon-pci,disable-legacy=on,free-page-reporting=on"],
}

WAYS = ["poll=1", "poll=0", "intx=1", "poll=0 event_idx=0 indirect=0"]
RUNS = {f"ferry {way}": (Guest, way) for way in WAYS}
# QEMU's balloon has no MSI-X.
RUNS |= {f"qemu {way}": (QemuPC, way) for way in ("poll=1", "intx=1")}


def start(vmm, device, words):
    """The guest with one of the devices."""
    if vmm is Guest:
        return Guest("small", append=words, **{device: True})
    return vmm("small", *QEMU_DEVICES[device], append=words)


def control(guest):
    """Ready for commands, whoever runs the guest."""
    return Control(guest.socket_path(), negotiate=True)


@each(how=RUNS)
def test_random_bytes(how):
    vmm, way = RUNS[how]
    with start(vmm, "rng", f"rng=64K {way}") as guest:
        assert guest.wait() == 0
        assert re.search(r"^small: rng bytes=65536 requests=16 ", guest.out.text, re.M)


@each(how=RUNS)
def test_balloon(how):
    vmm, way = RUNS[how]
    with start(vmm, "balloon", f"balloon {way}") as guest:
        guest.wait_for("^small: balloon ready")
        with control(guest) as qmp:
            for pages in (1000, 4096, 10):
                qmp.execute("balloon", value=RAM - pages * PAGE)
                guest.wait_for(f"^small: balloon actual={pages}$")
                assert qmp.execute("query-balloon") == {"actual": RAM - pages * PAGE}
            qmp.execute("balloon", value=RAM)
            guest.wait_for("^small: balloon actual=0$")
        assert guest.wait() == 0


def test_balloon_gives_memory_back():
    with start(Guest, "balloon", "balloon poll=0") as guest, guest.control() as qmp:
        guest.wait_for("^small: balloon ready")
        before_kib = memory_of(guest.pid)["Rss"]
        qmp.execute("balloon", value=RAM - 4096 * PAGE)
        guest.wait_for("^small: balloon actual=4096$")
        assert before_kib - memory_of(guest.pid)["Rss"] > 15 * 1024
        assert qmp.execute("ferry-info")["balloon"]["discarded_bytes"] == 4096 * PAGE


def test_reported_memory_goes_back():
    with start(Guest, "balloon", "balloon poll=0 report=8M") as guest, guest.control() as qmp:
        guest.wait_for(f"^small: balloon reported={8 * MIB}$")
        assert qmp.execute("ferry-info")["balloon"]["discarded_bytes"] == 8 * MIB


@each(way=WAYS)
def test_console(way):
    with Guest("small", virtio_console=True, append=f"console {way}") as guest:
        guest.wait_for("^hvc ready")
        for text in ("one", "two words", "x" * 100):
            guest.write(f"{text}\n")
            guest.wait_for(f"^hvc echo {text}$")
        guest.write("quit\n")
        assert guest.wait() == 0


def test_console_under_qemu():
    with tmp_dir() as folder:
        path = folder / "hvc"
        with QemuPC("small", "-device", "virtio-serial-pci,disable-legacy=on", "-chardev",
                    f"socket,id=c,path={path},server=on,wait=on", "-device",
                    "virtconsole,chardev=c", append="console lines=3") as guest, \
                connect(path, 20).makefile("rw", encoding="utf-8") as hvc:
            assert [hvc.readline() for _ in range(4)] == [
                "hvc line 0\n", "hvc line 1\n", "hvc line 2\n", "hvc ready\n"]
            hvc.write("hello\nquit\n")
            hvc.flush()
            assert hvc.readline() == "hvc echo hello\n"
            assert guest.wait() == 0


@timeout(60)
def test_much_console_output():
    with Guest("small", virtio_console=True, append="console lines=2000") as guest:
        guest.wait_for("^hvc ready")
        lines = re.findall(r"^hvc line (\d+)$", guest.out.text, re.M)
        assert lines == [str(n) for n in range(2000)]
        guest.write("quit\n")
        assert guest.wait() == 0
