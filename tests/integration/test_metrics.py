# SPDX-License-Identifier: MIT
"""`ferry metrics`: what is printed is right, and is what docs/metrics.md says."""
import json
import re

from ferrytest import Guest, tmp_dir
from ferrytest.paths import TOP

SAMPLE = re.compile(r'([a-z_]+)(?:\{([^}]*)\})? ([-+.\d]+(?:e[-+]\d+)?)')


def scrape(guest):
    """What `ferry metrics` prints: {(name, labels): value}, and the lines of comments."""
    with guest.ferry("metrics", guest.name) as done:
        assert done.wait() == 0, done.err.text
        text = done.out.text
    samples, comments = {}, []
    for line in text.splitlines():
        if line.startswith("#"):
            comments.append(line)
            continue
        name, labels, value = SAMPLE.fullmatch(line).groups()
        assert (name, labels) not in samples, line
        samples[name, labels] = float(value)
    return samples, comments


def families(comments):
    """{name: (type, help)}"""
    found = {}
    for line in comments:
        _, kind, name, rest = line.split(" ", 3)
        found.setdefault(name, {})[kind] = rest
    return {name: (words["TYPE"], words["HELP"]) for name, words in found.items()}


def documented():
    """{name: (type, labels, help)} of the table in the documentation."""
    text = (TOP / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(ferry_\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", text, re.M)
    return {name: (kind, {label for label in labels.split(", ") if label}, help_)
            for name, kind, labels, help_ in rows}


def test_is_what_the_documentation_says():
    with tmp_dir() as folder:
        (folder / "d").write_bytes(bytes(1 << 20))
        with Guest("idle", net="user", disk=folder / "d", balloon=True, vcpus=2) as guest:
            guest.wait_for("^idle ready")
            samples, comments = scrape(guest)
    table = documented()
    assert {name: (kind, help_) for name, (kind, _, help_) in table.items()} == families(comments)
    for name, labels in samples:
        family = re.sub("_(bucket|sum|count)$", "", name) if name not in table else name
        found = {label.split("=")[0] for label in labels.split(",")} if labels else set()
        assert found - {"le"} == table[family][1], (name, labels)


def test_disk():
    """The numbers are those that the guest counts, and the histogram has every request."""
    with tmp_dir() as folder:
        with open(folder / "d", "wb") as file:
            file.truncate(8 << 20)
        with Guest("blk", net="none", disk=f"{folder}/d,id=root,iops=100000",
                   append="ops=10000000 depth=8") as guest, guest.control() as control:
            guest.wait_for("^blk: capacity")
            while True:
                before = scrape(guest)[0]
                info = control.execute("ferry-info")["disks"][0]
                samples = scrape(guest)[0]
                if samples["ferry_disk_requests_total", 'disk="root",op="read"'] > 100:
                    break
    reads = samples["ferry_disk_requests_total", 'disk="root",op="read"']
    assert before["ferry_disk_requests_total", 'disk="root",op="read"'] <= info["reads"] <= reads
    buckets = [value for (name, labels), value in samples.items()
               if name == "ferry_disk_request_seconds_bucket" and 'op="read"' in labels]
    assert len(buckets) == 26 and buckets == sorted(buckets), buckets
    count = samples["ferry_disk_request_seconds_count", 'disk="root",op="read"']
    assert buckets[-1] == count and abs(count - reads) <= 64
    limits = [float(le) for le in (
        re.search('le="(.*?)"', labels)[1] for name, labels in samples
        if name == "ferry_disk_request_seconds_bucket" and 'op="read"' in labels)]
    assert limits[0] == 1024e-9 and all(b == 2 * a for a, b in zip(limits[:-2], limits[1:-1]))
    assert samples["ferry_disk_request_seconds_sum", 'disk="root",op="read"'] > 0
    assert samples["ferry_virtqueue_kicks_total", 'device="root",queue="0"'] > 0


def test_guest():
    """CPU time goes on while it computes, and stops while it is paused."""
    with Guest("smp", append="ms=100000", vcpus=2, net="none") as guest, \
            guest.control() as control:
        guest.wait_for("^smp started")
        first = scrape(guest)[0]
        while (second := scrape(guest)[0])["ferry_vcpu_cpu_seconds_total", 'vcpu="1"'] <= \
                first["ferry_vcpu_cpu_seconds_total", 'vcpu="1"'] + 0.1:
            pass
        assert second["ferry_guest_running", None] == 1
        assert second["ferry_guest_memory_bytes", None] == 64 << 20
        assert second["ferry_process_resident_bytes", None] > 1 << 20
        assert second["ferry_vcpu_exits_total", 'vcpu="0",reason="io"'] > 0
        control.execute("stop")
        stopped = [scrape(guest)[0]["ferry_vcpu_cpu_seconds_total", 'vcpu="0"']
                   for _ in range(3)]
        assert stopped[1] == stopped[2]
        samples = scrape(guest)[0]
        assert samples["ferry_guest_running", None] == 0
        with guest.ferry("metrics", "--json", guest.name) as done:
            assert done.wait() == 0, done.err.text
            by_name = json.loads(done.out.text)
        names = {name + (f"{{{labels}}}" if labels else "") for name, labels in samples}
        assert set(by_name) == names and by_name["ferry_guest_memory_bytes"] == 64 << 20


def test_many_vcpus():
    """All that KVM counts of 64 vCPUs fits."""
    with Guest("idle", vcpus=64, net="none") as guest:
        guest.wait_for("^idle ready")
        samples = scrape(guest)[0]
        assert ("ferry_vcpu_cpu_seconds_total", 'vcpu="63"') in samples
        with guest.ferry("metrics", "nobody") as done:
            assert done.wait() == 1 and "nobody" in done.err.text
