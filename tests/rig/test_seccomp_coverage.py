# SPDX-License-Identifier: MIT
"""The lists of system calls: nothing is in them that no test was seen to need."""
import importlib.util
from importlib.machinery import SourceFileLoader

from ferrytest.paths import TOP

LOADER = SourceFileLoader("seccomp_coverage", str(TOP / "scripts/seccomp-coverage"))
COVERAGE = importlib.util.module_from_spec(importlib.util.spec_from_loader(LOADER.name, LOADER))
LOADER.exec_module(COVERAGE)


def test_each_entry_was_seen():
    """By the tests, when they were recorded last. If not: make seccomp-coverage T=THE_NEW_TEST."""
    lists = list(COVERAGE.entries())
    assert len(lists) > 100
    unseen = [(COVERAGE.key(entry), classes)
              for entry, classes in COVERAGE.missing(COVERAGE.load(), lists)]
    assert not unseen, unseen


def test_an_entry_too_many_is_shown():
    seen, lists = COVERAGE.load(), list(COVERAGE.entries())
    more = lists[0]._replace(name="acct", number=163, classes=["vcpu"], arg=-1, error=0,
                             rare=False)
    assert (more, ["vcpu"]) in list(COVERAGE.missing(seen, [*lists, more]))
    for entry in lists:
        if entry.rare or entry.classes == COVERAGE.ALL:
            continue
        for name in set(entry.classes) & set(COVERAGE.ALL):
            without = seen - {(name, COVERAGE.key(entry))}
            found = [classes for one, classes in COVERAGE.missing(without, [entry])]
            assert name in found[0], (entry, name)


def test_what_was_counted():
    """Arguments are told apart as the lists do, refusals by their error."""
    lists = list(COVERAGE.entries())
    lengths = {name: length for name, length in COVERAGE.tool("--lengths")}
    found = COVERAGE.seen_by({
        "@calls": {f"{lengths['vcpu']},16,{0xae80}": 7,      # ioctl KVM_RUN
                   f"{lengths['vcpu']},9,1": 1,               # mmap, to read
                   f"{lengths['main']},9,5": 1,               # mmap, to execute
                   "9999,0,0": 1},                            # a length that is no class's
        "@refused": {f"{lengths['io']},435,38": 1,            # clone3, ENOSYS
                     f"{lengths['io']},435,1": 1}}, lists)    # clone3, EPERM
    assert found == {("vcpu", "ioctl arg1=0xae80"), ("vcpu", "mmap arg2&0x4=0x0"),
                     ("io", "clone3 refused")}, found
