# SPDX-License-Identifier: MIT
"""ferry state: what is in a saved guest, and what is no saved guest."""
import json
import struct
import subprocess

from ferrytest import Guest, require_kvm, tmp_dir
from ferrytest.paths import FERRY

SECTION_HEADER = struct.Struct("<IIQQ")
FIELD_HEADER = struct.Struct("<HHI")
PAGE = 4096


def state(*argv):
    """Run `ferry state`. Returns status, output and messages."""
    done = subprocess.run([FERRY, "state", *map(str, argv)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


def save(folder):
    """A small guest with all kinds of devices, saved. Returns the file."""
    require_kvm()
    path = folder / "guest.ferry"
    for name in ("disk", "base"):
        (folder / f"{name}.img").write_bytes(bytes(1 << 20))
    with Guest("idle", memory="16M", vcpus=2, net="user",
               disk=[f"{folder}/disk.img", f"{folder}/base.img,overlay"],
               rng=True, balloon=True, virtio_console=True) as guest:
        guest.wait_for("^idle ready")
        with guest.ferry("save", guest.name, path) as command:
            assert command.wait() == 0
        assert guest.wait() == 0
    return path


def walk_fields(fields):
    """Every field, nested ones included."""
    for field in fields:
        yield field
        value = field["value"]
        if field["kind"] == "struct" and value:
            many = isinstance(value[0], list)
            for inner in value if many else [value]:
                yield from walk_fields(inner)


def check_places(path, document):
    """What is said to be somewhere in the file is there."""
    raw = path.read_bytes()
    fields = 0
    for section in document["sections"]:
        kind, number, size, _ = SECTION_HEADER.unpack_from(raw, section["offset"])
        assert (kind, number) == (section["type"], section["id"])
        assert size + SECTION_HEADER.size == section["bytes"]
        for part in section.get("parts", []):
            assert part["known"], part["name"]
            for field in walk_fields(part.get("fields", [])):
                tag, _, size = FIELD_HEADER.unpack_from(raw, field["offset"])
                assert tag & 0x7fff == field["tag"]
                assert size + FIELD_HEADER.size == field["bytes"]
                assert field["name"]
                fields += 1
    assert fields > 500, fields


def flipped(path, offset, name):
    """A copy of the file in which one bit differs."""
    copy = path.with_name(name)
    raw = bytearray(path.read_bytes())
    raw[offset] ^= 0x10
    copy.write_bytes(raw)
    return copy


def test_state_shows_everything():
    with tmp_dir() as folder:
        path = save(folder)
        status, text, errors = state("--json", path)
        assert status == 0 and not errors
        document = json.loads(text)
        names = [section["name"] for section in document["sections"]]
        assert names[-1] == "END" and names.count("VCPU") == 2
        assert {"CONFIG", "CLOCK", "IRQCHIP", "DEVICE", "RAM_INDEX"} <= set(names)
        assert document["memory-bytes"] == 16 << 20
        assert 0 < document["stored-pages"] < 4096
        check_places(path, document)

        status, text, errors = state(path)
        assert status == 0 and not errors
        lines = text.splitlines()
        for wanted in ("section VCPU 1", "rip = 0x", "section DEVICE disk0, virtio-blk",
                       "kvmclock_ns = 0x", '"memory":16777216'):
            assert any(wanted in line for line in lines), wanted
        assert "unknown" not in text
        assert max(map(len, lines)) < 1200


def test_state_verifies():
    with tmp_dir() as folder:
        path = save(folder)
        document = json.loads(state("--json", path)[1])
        status, text, errors = state("--verify", path)
        assert status == 0 and "all checksums are right" in text, errors

        # Somewhere in each section: its header is covered by the checksum too.
        for section in document["sections"]:
            bad = flipped(path, section["offset"] + section["bytes"] // 2, "section.ferry")
            status, text, errors = state(bad)
            assert status == 1 and not text and errors.count("\n") == 1, (section, errors)

        # In memory, it is found when memory is read.
        raw = path.read_bytes()
        start = document["memory"]["offset"]
        page = next(at for at in range(start, len(raw), PAGE) if any(raw[at:at + PAGE]))
        bad = flipped(path, page + 100, "memory.ferry")
        assert state(bad)[0] == 0
        status, text, errors = state("--verify", bad)
        assert status == 1 and not text and errors.count("\n") == 1, errors


def test_state_of_other_files():
    with tmp_dir() as folder:
        (folder / "empty").write_bytes(b"")
        (folder / "text").write_bytes(b"no guest\n" * 1000)
        for path in (folder / "empty", folder / "text", folder, folder / "missing"):
            status, text, errors = state(path)
            assert status == 1 and not text and errors.count("\n") == 1, errors
            assert str(path) in errors
