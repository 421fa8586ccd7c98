# SPDX-License-Identifier: MIT
"""Linux gets a disk and a nic while it runs, takes both to another host, and lets go of them."""
import json

from ferrytest import BOOT_S, Lab, Proc, Restored, require_tool, timeout
from ferrytest.linux import becomes, booted_linux, does
from ferrytest.moves import check_result
from ferrytest.paths import FERRY

ADDRESS = "10.77.0.60"
NIC = "/sys/class/net/eth0"
# Each line is one more than the last, and on the disk when it is done.
WRITER = "(i=0; while echo $i >>/mnt/log && sync; do i=$((i + 1)); done) & x=$!"


class Shell(Proc):
    """Linux' shell, by the console of the guest on a host."""

    def __init__(self, host):
        super().__init__(FERRY, "console", "g", netns=host.net, env=host.env)
        # What it said before is not ours.
        self.write("\necho here-$((40 + 2))\n")
        self.wait_for(r"^here-42\r?\n", BOOT_S)


def answered(qmp, device, source):
    """Linux has said, by _OST, that it has done what a notification asked for."""
    while (info := qmp.wait_event("ACPI_DEVICE_OST", BOOT_S)["data"]["info"])["source"] != source:
        pass
    assert info["status"] == 0 and info.get("device", device) == device, info


def attach(host, shell, *words):
    """`ferry disk|nic attach`, until Linux has it; its id."""
    with host.control() as qmp:
        name = host.ferry(words[0], "attach", "g", *words[1:], timeout_s=BOOT_S).strip()
        answered(qmp, name, 1)
    becomes(shell, "[ -b /dev/vda ]" if words[0] == "disk" else f"[ -e {NIC} ]")
    return name


def detach(host, kind, name):
    """`ferry disk|nic detach`: Linux lets go of it, and says so."""
    with host.control() as qmp:
        host.ferry(kind, "detach", "--timeout", str(BOOT_S), "g", name, timeout_s=2 * BOOT_S)
        answered(qmp, name, 3)
    assert json.loads(host.ferry(kind, "list", "g", "--json")) == []


def use(lab, shell):
    """Mounted and written to all the time, with an address that answers."""
    does(shell, f"mount -t ext4 /dev/vda /mnt && {WRITER}")
    does(shell, f"ip addr add {ADDRESS}/24 dev eth0 && ip link set eth0 up")
    does(shell, f"ping -c 2 -W 20 {lab.peer.address}")


def check_log(text):
    """No line is lost, none comes twice; how many there are."""
    lines = text.split()
    assert lines == [str(i) for i in range(len(lines))], lines
    return len(lines)


@timeout(900)
def test_travels_and_is_detached():
    require_tool("ping", "mkfs.ext4", "e2fsck", "debugfs")
    with Lab() as lab:
        image = lab.disk("late.img", 8)
        lab.peer.net.run("mkfs.ext4", "-q", image)
        with Restored(booted_linux(net="none"), name="g", runtime=lab.host1.runtime,
                      netns=lab.host1.net, console="none"), lab.host1.control(), \
                lab.host2.receive(console_of=None) as receive:
            with Shell(lab.host1) as shell:
                disk = attach(lab.host1, shell, "disk", image)
                nic = attach(lab.host1, shell, "nic", "bridge:br0")
                use(lab, shell)
                before = check_log(does(shell, "cat /mnt/log"))
            with lab.peer.net.proc("ping", "-i", "0.1", ADDRESS) as ping:
                ping.wait_for("icmp_seq=1 ")
                check_result(lab.host1.teleport("g", receive).result(BOOT_S))
                receive.arrived("g")
                seen = int(ping.wait_for(r"icmp_seq=(\d+)", BOOT_S)[1])
                ping.wait_for(f"icmp_seq={seen + 20} ", BOOT_S)
            lab.check_one_copy("g", lab.host2)
            with Shell(lab.host2) as shell:
                does(shell, f"ping -c 2 -W 20 {lab.peer.address}")
                does(shell, "kill $x; wait $x; echo")
                after = check_log(does(shell, "cat /mnt/log"))
                assert after > before
                does(shell, "umount /mnt")
                detach(lab.host2, "disk", disk)
                detach(lab.host2, "nic", nic)
                becomes(shell, f"[ ! -e /dev/vda ] && [ ! -e {NIC} ]")
            lab.host2.ferry("destroy", "g")
        lab.check_disk(image, locked=False)
        lab.check_clean()
        lab.peer.net.run("e2fsck", "-fn", image)
        lab.peer.net.run("debugfs", "-R", f"dump /log {lab.folder / 'log'}", image)
        assert check_log((lab.folder / "log").read_text(encoding="ascii")) == after
