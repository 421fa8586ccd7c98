# SPDX-License-Identifier: MIT
"""ferry teleport --report: how it went, as a picture, a document and a table."""
import csv
import json
import os
import shutil
import xml.etree.ElementTree

from ferrytest import Lab, each, require_root, require_tool, run, tmp_dir
from ferrytest.paths import FERRY

FIELDS = {"samples": ["time-us", "wire-bytes", "throttle-percent"],
          "passes": ["start-us", "duration-us", "pages", "wire-bytes", "left-pages",
                     "throttle-percent"]}


def check_document(document, result):
    """The report says what query-migrate says, and its parts agree."""
    summary, passes, samples = (document[key] for key in ("summary", "passes", "samples"))
    assert document["sample-fields"] == FIELDS["samples"]
    assert document["pass-fields"] == FIELDS["passes"]
    assert document["status"] == "completed" and document["error"] is None
    assert summary["wire-bytes"] == result["ram"]["transferred"]
    assert summary["downtime-us"] == result["ferry"]["downtime-us"]
    assert summary["setup-us"] < summary["stopped-at-us"] < summary["running-at-us"] \
        <= summary["total-us"]
    assert document["first-pass"] + len(passes) - 1 == result["ram"]["dirty-sync-count"]
    assert sum(one[3] for one in passes) == summary["wire-bytes"]
    assert all(one == sorted(one) for one in ([s[0] for s in samples], [s[1] for s in samples]))
    assert samples[-1][1] == summary["wire-bytes"]
    assert 0 < len(samples) <= 1536


def move(report):
    """Teleport a guest that writes its memory. Returns the result."""
    with Lab() as lab, lab.host1.guest("dirty", append="mem=16M rate=20"), \
            lab.host2.receive() as receive:
        lab.console().wait_for("^dirty pass=2 ")
        result = lab.host1.teleport("g", receive, report=report).result()
        assert result["exit_status"] == 0, result
        receive.arrived("g")
    return result


@each(form=["svg", "json", "csv"])
def test_report(form):
    with tmp_dir() as folder:
        path = folder / f"report.{form}"
        path.write_text("an older one")
        result = move(path)
        assert [entry.name for entry in folder.iterdir()] == [path.name]
        text = path.read_text()
        if form == "svg":
            root = xml.etree.ElementTree.fromstring(text)
            assert root.tag.endswith("svg") and len(list(root.iter())) > 100
        elif form == "json":
            check_document(json.loads(text), result)
        else:
            rows = list(csv.DictReader(text.splitlines()))
            records = [row["record"] for row in rows]
            assert records.count("pass") == result["ram"]["dirty-sync-count"]
            assert {"setup", "stopped", "running", "end", "sample"} <= set(records)
            sent = sum(int(row["wire_bytes"]) for row in rows if row["record"] == "pass")
            assert sent == result["ram"]["transferred"]


def test_report_of_failure():
    """A teleport that goes nowhere has a report too, and its reason in it."""
    with tmp_dir() as folder, Lab() as lab, lab.host1.guest("dirty", append="mem=16M rate=20"):
        path = folder / "report.json"
        lab.console().wait_for("^dirty start")
        result = lab.host1.teleport("g", "unix:/nonexistent/socket", report=path).result()
        assert result["exit_status"] == 1
        document = json.loads(path.read_text())
        assert document["status"] == "failed" and "/nonexistent/socket" in document["error"]
        assert document["summary"]["stopped-at-us"] == 0 and not document["passes"]


def test_wrong_usage():
    with Lab() as lab, lab.host1.guest("idle"):
        for argv, reason in ((["--report", "x.png"], ".svg, .json or .csv"),
                             (["--report", "x.svg", "--detach"], "--report is for")):
            done = lab.host1.ferry("teleport", "g", "unix:/nonexistent", *argv, check=False)
            assert reason in str(done), done


def failed_move(host, *argv):
    """What a teleport to nowhere says; its reports are written like any other."""
    return run(*host.net.prefix(), *argv[:-1], "teleport", "g", "unix:/nonexistent/socket",
               "--report", argv[-1], check=False, env={**os.environ, **host.env})


def test_disk_full():
    """No half file stays behind, and the reason is told."""
    require_root()
    with tmp_dir() as folder, Lab() as lab, lab.host1.guest("idle"):
        lab.console().wait_for("^idle ready")
        script = 'mount -t tmpfs -o size=4k tmpfs "$0" && "$@"; ls -A "$0" | sed s/^/left:/'
        for form in "svg", "json", "csv":
            path = folder / f"report.{form}"
            told = failed_move(lab.host1, "unshare", "-m", "sh", "-c", script, folder,
                               "sh", "-c", 'head -c 4096 /dev/zero >"$1/fill"; shift; exec "$@"',
                               "sh", folder, FERRY, path)
            assert f"no report: {path}: No space left on device" in told, told
            assert "left:fill" in told and "left:report" not in told, told


def test_not_writable():
    with tmp_dir() as folder, Lab() as lab, lab.host1.guest("idle"):
        for form in "svg", "json":
            path = folder / f"missing/report.{form}"
            told = failed_move(lab.host1, FERRY, path)
            assert f"{path}: cannot be written there: No such file or directory" in told, told


def test_installed():
    """ferry-plot is found where `make install` puts it, and missed before anything begins."""
    require_tool("make")
    with tmp_dir() as folder, Lab() as lab, lab.host1.guest("idle"):
        run("make", "install", f"DESTDIR={folder}", timeout_s=60)
        lab.console().wait_for("^idle ready")
        ferry = next(folder.rglob("bin/ferry"))
        failed_move(lab.host1, ferry, folder / "r.svg")
        assert (folder / "r.svg").read_text().rstrip().endswith("</svg>")
        alone = shutil.copy(ferry, folder / "ferry")
        told = failed_move(lab.host1, alone, folder / "s.svg")
        assert "ferry-plot is not installed: it is neither in" in told and "nonexistent" not in told
        run("make", "uninstall", f"DESTDIR={folder}", timeout_s=60)
        assert not list(folder.rglob("libexec/*"))
