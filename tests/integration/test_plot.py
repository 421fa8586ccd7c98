# SPDX-License-Identifier: MIT
"""ferry plot: counters of nics and disks over time; the commands that tell them."""
import contextlib
import csv
import json
import signal
import xml.etree.ElementTree

from ferrytest import Guest, NetNs, require_root, tmp_dir

BLK = "ops=1000000 depth=4"


@contextlib.contextmanager
def disk_guest(folder, **options):
    """A guest that writes its disk for as long as it is let."""
    image = folder / "d.img"
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    with Guest("blk", disk=[f"{image},queues=2"], net=options.pop("net", ["none"]),
               append=BLK, **options) as guest:
        guest.wait_for("^blk: capacity=")
        yield guest


def net_guest(net):
    net.run("ip", "link", "set", "lo", "up")
    net.tap("tap0", "10.0.0.1/24")
    return Guest("net", net="tap:tap0", append="ip=10.0.0.2/24", netns=net)


def test_commands():
    """QMP's shape; the queues' counters make up the device's."""
    with tmp_dir() as folder, disk_guest(folder) as guest, guest.control() as control:
        while not (disk := control.execute("query-blockstats")[0])["stats"]["wr_operations"]:
            pass
        assert disk["device"] == disk["qdev"] == "disk0" and len(disk["queues"]) == 2
        assert disk["stats"]["wr_bytes"] > 0 and disk["stats"]["failed_wr_operations"] == 0
        assert control.execute("ferry-nics") == []
        control.execute("stop")
        disk = control.execute("query-blockstats")[0]
        for key in "rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "wr_total_time_ns":
            assert disk["stats"][key] == sum(queue[key] for queue in disk["queues"]), key
        info = control.execute("ferry-info")["disks"][0]
        assert info["write_bytes"] == disk["stats"]["wr_bytes"]


def test_nic_counters():
    require_root()
    with NetNs() as net, net_guest(net) as guest, guest.control() as control:
        guest.wait_for("^net: up ")
        before = control.execute("ferry-nics")[0]
        net.run("ping", "-c", "5", "-i", "0.02", "-s", "1000", "10.0.0.2")
        control.execute("stop")  # the last reply is counted when it is on its way
        nic = control.execute("ferry-nics")[0]
        assert (nic["id"], nic["backend"], nic["host_interface"]) == ("net0", "tap", "tap0")
        for way in "rx", "tx":
            grown = {key: nic["stats"][way][key] - before["stats"][way][key]
                     for key in ("packets", "bytes", "errors")}
            assert grown["packets"] >= 5 and grown["bytes"] >= 5 * 1042 and not grown["errors"]
            assert nic["queues"][0][way] == nic["stats"][way]


def test_forms():
    """The same samples as a document, a table and a picture."""
    with tmp_dir() as folder, disk_guest(folder) as guest:
        for form in "svg", "json", "csv":
            path = folder / f"plot.{form}"
            with guest.ferry("plot", guest.name, "disk0", "--interval", "20ms", "--duration",
                             "200ms", "-o", path) as proc:
                assert proc.wait() == 0, proc.err.text
            text = path.read_text()
            if form == "svg":
                root = xml.etree.ElementTree.fromstring(text)
                assert root.tag.endswith("svg") and len(list(root.iter())) > 50
            elif form == "json":
                doc = json.loads(text)
                assert doc["guest"] == guest.name
                device, = doc["devices"]
                assert (device["id"], device["kind"]) == ("disk0", "disk")
                samples = device["samples"]
                assert 3 <= len(samples) <= 12 and samples == sorted(samples)
                assert samples[-1][2] > samples[0][2], "it writes"
                assert 150_000 < samples[-1][0] < 10_000_000
            else:
                rows = list(csv.DictReader(text.splitlines()))
                assert {row["device"] for row in rows} == {"disk0"}
                assert int(rows[-1]["out_bytes"]) > int(rows[0]["out_bytes"])
        assert not list(folder.glob("*.tmp"))


def test_to_standard_output():
    with tmp_dir() as folder, disk_guest(folder, net="user") as guest:
        with guest.ferry("plot", guest.name, "--interval", "10ms", "--duration", "50ms",
                         "--json") as proc:
            assert proc.wait() == 0
            devices = json.loads(proc.out.text)["devices"]
            assert [device["id"] for device in devices] == ["net0", "disk0"]


def test_live_until_interrupted():
    """The picture is there while it is drawn, and complete after Ctrl-C."""
    with tmp_dir() as folder, disk_guest(folder) as guest:
        path = folder / "live.json"
        with guest.ferry("plot", guest.name, "--interval", "50ms", "--duration", "0", "--live",
                         "-o", path) as proc:
            while not path.exists():
                assert proc.running(), proc.err.text
            early = len(json.loads(path.read_text())["devices"][0]["samples"])
            proc.signal(signal.SIGINT)
            assert proc.wait() == 0, proc.err.text
            assert len(json.loads(path.read_text())["devices"][0]["samples"]) >= early >= 2


def test_guest_ends():
    """What was recorded until then is not lost."""
    with tmp_dir() as folder, disk_guest(folder) as guest:
        path = folder / "plot.json"
        with guest.ferry("plot", guest.name, "--interval", "20ms", "--duration", "0", "--live",
                         "-o", path) as proc:
            while not path.exists():
                assert proc.running(), proc.err.text
            with guest.control() as control:
                control.execute("quit")
            assert proc.wait() == 0
            assert "this is what it did until then" in proc.err.text
            assert json.loads(path.read_text())["devices"][0]["samples"]


def test_refusals():
    with tmp_dir() as folder, disk_guest(folder) as guest:
        for argv, status, reason in (
                (["disk1", "--csv"], 1, "has no nic or disk 'disk1': see 'ferry info'"),
                (["disk0,", "--csv"], 1, "has no nic or disk ''"),
                ([], 2, "nowhere to: give --output"),
                (["-o", folder / "x.png"], 2, "its name must end with .svg, .json or .csv"),
                (["-o", folder / "no/x.svg"], 2, "cannot be written there"),
                (["--csv", "--json"], 2, "exclude each other"),
                (["--csv", "--live"], 2, "--live is for a file"),
                (["--csv", "--interval", "9ms"], 2, "9ms is out of range"),
                (["--csv", "--interval", "x"], 2, "'x' is not a time")):
            with guest.ferry("plot", guest.name, *argv) as proc:
                assert proc.wait() == status and reason in proc.err.text, (argv, proc.err.text)
        assert [entry.name for entry in folder.iterdir()] == ["d.img"]
