# SPDX-License-Identifier: MIT
"""Properties of disks and nics that only show in what the guest or the host then sees."""
import contextlib
import json
import socket
import subprocess
import time

from ferrytest import Guest, NetNs, each, guest_image, require_kvm, tmp_dir
from ferrytest.paths import FERRY
from ferrytest.seccomp import NoUring

HOST, ADDR = "10.78.0.1", "10.78.0.2"
# CSUM, GUEST_CSUM, GUEST_TSO4/6, HOST_TSO4/6, CTRL_GUEST_OFFLOADS
OFFLOAD_BITS = 1 << 0 | 1 << 1 | 1 << 7 | 1 << 8 | 1 << 11 | 1 << 12 | 1 << 2
PACKETS = 150


@contextlib.contextmanager
def image():
    """A small one."""
    with tmp_dir() as folder:
        path = folder / "disk.img"
        path.write_bytes(bytes(4 << 20))
        yield path


def info(guest):
    """What ferry-info says."""
    with guest.control() as control:
        return control.execute("ferry-info")


def refused(status, reason, *argv):
    """One line that says why."""
    done = subprocess.run([str(arg) for arg in (FERRY, "run", "--kernel", guest_image("hello"),
                                                *argv)],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == status, done
    assert reason in done.stderr and done.stderr.count("\n") == 1 and not done.stdout, done


def test_bad_values():
    for reason, option, value in [
            ("engine: 'aio' is not one of: auto, io_uring, threads", "--disk", "x,engine=aio"),
            ("queue-size: 2 is out of range: 4 to 1024", "--disk", "x,queue-size=2"),
            ("queue-size: 100 is not a power of two", "--disk", "x,queue-size=100"),
            ("burst: 3600001 is out of range", "--disk", "x,iops=1,burst=3600001"),
            ("burst means nothing without", "--disk", "x,burst=5"),
            ("size goes with overlay only", "--disk", "x,size=5M"),
            ("mtu: 67 is out of range: 68 to 65521", "--net", "user,mtu=67"),
            ("mtu: 65522 is out of range: 68 to 65521", "--net", "user,mtu=65522"),
            ("rx-bps: '1x' is not a rate", "--net", "user,rx-bps=1x"),
            ("rx-pps: 'K' is not a rate", "--net", "user,rx-pps=K"),
            ("tx-bps: '1KK' is not a rate", "--net", "user,tx-bps=1KK"),
            ("tx-bps: 2T is out of range", "--net", "user,tx-bps=2T"),
            ("tx-pps: 18446744073709551615T is out", "--net", "user,tx-pps=18446744073709551615T"),
            ("offloads: 'x' is not one of: on, off", "--net", "user,offloads=x"),
            ("queue-size: 8 is out of range: 16 to 1024", "--net", "user,queue-size=8"),
            ("mac: 'zz' is not the address", "--net", "user,mac=zz"),
            ("mac: '01:00:00:00:00:01' is not the", "--net", "user,mac=01:00:00:00:00:01")]:
        refused(2, reason, option, value)


def test_mac_is_shown_before_and_after_the_start():
    require_kvm()
    argv = ["--kernel", guest_image("idle"), "--name", "settled", "--net", "user", "--net", "user"]
    done = subprocess.run([FERRY, "run", "--dry-run", *argv], capture_output=True, check=True,
                          timeout=20)
    macs = [nic["mac"] for nic in json.loads(done.stdout)["net"]]
    assert len(set(macs)) == 2 and all(mac.startswith("02:") for mac in macs), macs
    with Guest("net", name="settled", net=["user", "user"], append="ip=dhcp") as guest:
        guest.wait_for(f"^net: up .* mac={macs[0]} ")
        assert [nic["mac"] for nic in info(guest)["config"]["net"]] == macs


# --- disks ------------------------------------------------------------------------
@each(size=[4, 64, 256])
def test_queue_size_of_a_disk(size):
    with image() as path, Guest("blk", disk=f"{path},queue-size={size}", net="none",
                                append=f"ops=200 span=1M depth={min(size, 32)}") as guest:
        guest.wait_for(rf"^blk: capacity=.* qsize={size} ")
        assert guest.wait(timeout_s=50) == 0


@each(engine=["auto", "io_uring", "threads"])
def test_engine(engine):
    with image() as path, Guest("blk", disk=f"{path},engine={engine}", net="none",
                                append="time=20 ops=0 span=1M depth=4") as guest:
        guest.wait_for("^blk: capacity=")
        how = info(guest)["disks"][0]["how"]
        assert f" {'threads' if engine == 'threads' else 'io_uring'}," in how, how


def test_engine_that_is_not_there():
    with image() as path:
        with Guest("blk", disk=f"{path},engine=io_uring", net="none", netns=NoUring()) as guest:
            assert guest.wait() == 1
            assert "disk0: the host refuses io_uring: leave engine out" in guest.err.text
        with Guest("blk", disk=f"{path},engine=threads", net="none", netns=NoUring(),
                   append="ops=200 span=1M") as guest:
            assert guest.wait(timeout_s=50) == 0
            assert "io_uring" not in guest.err.text, guest.err.text


def run_at_20_iops(path, burst_ms):
    """100 requests; how long they took."""
    start_s = time.monotonic()
    with Guest("blk", disk=f"{path},iops=20,burst={burst_ms}", net="none",
               append="bench=1 ops=100 span=1M depth=1") as guest:
        assert guest.wait(timeout_s=50) == 0
    return time.monotonic() - start_s


def test_burst():
    with image() as path:
        assert run_at_20_iops(path, 1) > 4.5
        # 20 a second for 10 seconds are more than there are: they go at once.
        assert run_at_20_iops(path, 10000) < 4


# --- nics -------------------------------------------------------------------------
def features_of(guest):
    """The words of the guest's first line."""
    match = guest.wait_for(r"^net: up .*qsize=(\d+) mtu=(\d+) features=(0x[0-9a-f]+)\r?\n")
    return int(match[1]), int(match[2]), int(match[3], 16)


def test_mtu_and_queue_size_of_a_tap():
    with NetNs() as net, Guest("net", net="tap:tap0,mtu=1300,queue-size=32", netns=net,
                               append=f"ip={ADDR}/24") as guest:
        qsize, mtu, _ = features_of(guest)
        assert (qsize, mtu) == (32, 1300)
        assert " mtu 1300 " in net.run("ip", "link", "show", "tap0")


def test_mtu_of_user_networking():
    with Guest("net", net="user,mtu=1280,queue-size=16", append="ip=dhcp") as guest:
        assert features_of(guest)[:2] == (16, 1280)


@each(when=["on", "off"])
def test_offloads(when):
    with NetNs() as net, Guest("net", net=f"tap:tap0,offloads={when}", netns=net,
                               append=f"ip={ADDR}/24") as guest:
        features = features_of(guest)[2]
        assert bool(features & OFFLOAD_BITS) == (when == "on"), hex(features)


def seconds_for(guest, way):
    """Until so many packets went that way."""
    start_s = time.monotonic()
    with guest.control() as control:
        while control.execute("ferry-info")["nics"][0][way]["packets"] < PACKETS:
            assert time.monotonic() - start_s < 30
    return time.monotonic() - start_s


# A datagram of 64 bytes is a frame of 106. A twentieth of a second's worth may gather.
@each(limit=["tx-pps=100", "tx-bps=84800"])
def test_rate_from_the_guest(limit):
    with NetNs() as net:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net=f"tap:tap0,{limit}", netns=net,
                   append=f"ip={ADDR}/24 flood={HOST}:9") as guest:
            guest.wait_for("^net: up ")
            assert seconds_for(guest, "tx") > 1


@each(limit=["rx-pps=100", "rx-bps=84800"])
def test_rate_to_the_guest(limit):
    with NetNs() as net, net.socket(socket.SOCK_DGRAM) as peer:
        net.tap("tap0", f"{HOST}/24")
        with Guest("net", net=f"tap:tap0,{limit}", netns=net,
                   append=f"ip={ADDR}/24 udp_sink=5000") as guest:
            guest.wait_for("^net: up ")
            for _ in range(2 * PACKETS):
                peer.sendto(b"x" * 64, (ADDR, 5000))
            assert seconds_for(guest, "rx") > 1
