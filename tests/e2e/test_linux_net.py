# SPDX-License-Identifier: MIT
"""Linux's own virtio-net driver on a tap: iperf3 both ways, with segments larger than frames."""
import contextlib

from ferrytest import Guest, NetNs, READY, linux_guest, require_tool, timeout

HOST, GUEST = "10.77.0.1", "10.77.0.2"
BOOT_S = 120
LARGE_BYTES = 2000  # more than a frame; how much more depends on the speed


@contextlib.contextmanager
def linux_on_tap(net):
    """Linux with eth0 on tap0, whose shell runs what is typed."""
    linux = linux_guest()
    append = f"{linux.cmdline} root=/dev/vda rw init=/init net={GUEST}/24,{HOST}"
    with Guest(linux.kernel, append=append, netns=net, net="tap:tap0",
               disk=f"{linux.rootfs},overlay") as guest:
        guest.wait_for(READY, BOOT_S)
        yield guest


def large_segments(net, direction):
    """tcpdump that ends, with status 0, after three of them."""
    return net.proc("tcpdump", "-i", "tap0", "-nnl", "-c", "3",
                    f"tcp and {direction} {GUEST} and greater {LARGE_BYTES}")


@timeout(300)
def test_iperf3_both_ways_with_large_segments():
    require_tool("iperf3", "tcpdump")
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with net.proc("iperf3", "-s", "--forceflush", "-B", HOST) as server, \
                linux_on_tap(net) as guest:
            server.wait_for("Server listening")
            for direction, option in [("src", ""), ("dst", "-R")]:
                with large_segments(net, direction) as dump:
                    dump.err.wait_for("listening on", 20)
                    guest.write(f"iperf3 -c {HOST} -t 3 {option} && echo iperf3 done\n")
                    guest.wait_for("^iperf3 done", BOOT_S)
                    assert dump.wait() == 0
            guest.write("poweroff\n")
            assert guest.wait(BOOT_S) == 0
