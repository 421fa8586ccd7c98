# SPDX-License-Identifier: MIT
"""Linux moves between two hosts, with somebody logged in, a disk in use and pings going on."""
import re

from ferrytest import Lab, READY, linux_guest, require_tool, timeout
from ferrytest.moves import check_result

GUEST = "10.77.0.50"
BOOT_S = 120
# The session's own loop: each line is numbered, and written when the last has been seen.
COUNT = 'i=0; while read -r word; do i=$((i + 1)); echo "line $i: $word"; done'


class Session:
    """A log-in from `peer` that stays open; talk() asks it something."""

    def __init__(self, lab, linux):
        self.ssh = lab.peer.net.proc(
            "ssh", "-F", linux.folder / "ssh_config", "-o", f"HostName={GUEST}",
            "-o", "ServerAliveInterval=0", "guest", COUNT)
        self.said = 0

    def talk(self):
        """A word there and back."""
        self.said += 1
        self.ssh.write(f"word{self.said}\n")
        self.ssh.wait_for(f"^line {self.said}: word{self.said}$", 60)


def linux_on_bridge(lab, image):
    """Linux on host1's br0, booted from its initrd, with a disk that both hosts see."""
    linux = linux_guest()
    return lab.host1.guest(linux.kernel, initrd=linux.initrd, memory="128M", disk=str(image),
                           append=f"{linux.cmdline} net={GUEST}/24,{lab.peer.address}",
                           net="tap,bridge=br0")


def lost_and_gap(text, interval_ms):
    """Of ping -D: how many had no answer, and the longest time between two answers."""
    times = [float(t) for t in re.findall(r"^\[([\d.]+)\].*icmp_seq", text, re.M)]
    counts = re.search(r"(\d+) packets transmitted, (\d+) received", text).groups()
    sent, received = map(int, counts)
    gap_ms = max(b - a for a, b in zip(times, times[1:])) * 1000
    return sent - received, max(gap_ms, interval_ms)


@timeout(300)
def test_ssh_and_disk_and_ping_go_on():
    """Nobody who talks to it notices: twice, there and back."""
    require_tool("ssh", "ping", "mkfs.ext4")
    linux = linux_guest()
    with Lab() as lab:
        image = lab.disk("shared.img", 64)
        lab.peer.net.run("mkfs.ext4", "-q", image)
        with linux_on_bridge(lab, image), lab.host1.receive() as back, \
                lab.host2.receive() as there:
            lab.console().wait_for(READY, BOOT_S)
            lab.console().wait_for(rf"guest: eth0 has {GUEST}/24", BOOT_S)
            session = Session(lab, linux)
            with session.ssh, lab.peer.net.proc("ping", "-D", "-i", "0.01", GUEST) as ping:
                session.talk()
                for source, receive in [(lab.host1, there), (lab.host2, back)]:
                    move = source.teleport("g", receive, max_downtime="300ms")
                    session.talk()
                    result = check_result(move.result())
                    receive.arrived("g")
                    session.talk()
                    session.talk()
                    print(f"downtime {result['downtime']} ms, total {result['total-time']} ms")
                ping.signal(2)
                assert ping.wait() == 0
                lost, gap_ms = lost_and_gap(ping.out.text, 10)
                print(f"ping every 10 ms: {lost} lost, longest gap {gap_ms:.0f} ms")
                # The guest's ticks and log-ins are emulated: it pauses by itself, too.
                assert gap_ms < 5000
            with lab.peer.net.proc(
                    "ssh", "-F", linux.folder / "ssh_config", "-o", f"HostName={GUEST}", "guest",
                    "mount -t ext4 /dev/vda /mnt; "
                    "dmesg | grep -ci 'tsc.*unstable\\|soft lockup'; "
                    "echo written >/mnt/file && sync && umount /mnt && echo done") as check:
                check.wait_for("^0$", 60)
                check.wait_for("^done$", 60)
            lab.host1.ferry("destroy", "g")
        assert b"written" in image.read_bytes()
