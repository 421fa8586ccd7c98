# SPDX-License-Identifier: MIT
"""The test rig itself: what it reports is what happened."""
import os
import re
import subprocess
import sys
import textwrap

from ferrytest import tmp_dir
from ferrytest.paths import TESTS

# Runs one file of tests with the real runner, in a process of its own.
DRIVER = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
from ferrytest import main, suites
folder = pathlib.Path(sys.argv[2])
main.LOGS = folder / "logs"
main.SUITES = {"x": lambda: suites.python_suite("x", folder)}
sys.exit(main.main(sys.argv[3:]))
"""


def run_rig(source, *args):
    """Run tests given as source; returns the exit status and the output."""
    with tmp_dir() as folder:
        text = "import os, subprocess, time\nfrom ferrytest import *\n" + textwrap.dedent(source)
        (folder / "test_it.py").write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "-c", DRIVER, TESTS / "lib", folder, *args],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        print(done.stdout)
        return done.returncode, done.stdout


def last_line(output):
    """The summary."""
    return output.splitlines()[-1]


def test_a_pass_a_failure_and_a_skip_are_counted():
    status, output = run_rig("""
        def test_good(): pass
        def test_bad(): assert 1 + 1 == 3
        def test_not_here(): raise Skip("no such thing")
    """)
    assert status == 1
    assert last_line(output) == "1 passed, 1 failed, 1 skipped"
    assert re.search(r"^PASS x/test_it\.test_good ", output, re.M)
    assert re.search(r"^FAIL x/test_it\.test_bad ", output, re.M)
    assert "assert 1 + 1 == 3" in output
    assert re.search(r"^SKIP x/test_it\.test_not_here .*skipped: no such thing", output, re.M)


def test_all_passed_is_success():
    status, output = run_rig("def test_good(): pass")
    assert (status, last_line(output)) == (0, "1 passed, 0 failed, 0 skipped")


def test_a_file_that_cannot_be_loaded_fails():
    status, output = run_rig("import no_such_module")
    assert (status, last_line(output)) == (1, "0 passed, 1 failed, 0 skipped")
    assert "no_such_module" in output


def test_a_test_process_that_dies_fails():
    status, output = run_rig("def test_dies(): os._exit(0)")
    assert (status, last_line(output)) == (1, "0 passed, 1 failed, 0 skipped")


def test_a_hanging_test_is_killed_with_all_it_started():
    status, output = run_rig("""
        @timeout(2)
        def test_hangs():
            child = subprocess.Popen(["sh", "-c", "sleep 1000 & echo pid $!; wait"],
                                     start_new_session=True)
            child.wait()
    """)
    assert status == 1
    assert "timed out after 2 s" in output
    assert "in test_hangs" in output, "the log does not show where it hung"
    assert not alive(int(re.search(r"pid (\d+)", output)[1]))


def test_a_process_left_behind_is_a_failure():
    status, output = run_rig("""
        def test_leaks():
            subprocess.run(["sh", "-c", "setsid sleep 1000 & echo pid $!"], check=True)
    """)
    assert status == 1
    assert "left running" in output
    assert not alive(int(re.search(r"pid (\d+)", output)[1]))


def test_names_can_be_picked():
    source = """
        def test_one(): pass
        def test_two(): assert False
    """
    status, output = run_rig(source, "-k", "one")
    assert (status, last_line(output)) == (0, "1 passed, 0 failed, 0 skipped")
    _, output = run_rig(source, "--list")
    assert output.split() == ["x/test_it.test_one", "x/test_it.test_two"]


def test_each_runs_once_for_each_value():
    _, output = run_rig("""
        @each(vcpus=[1, 2])
        @each(mode=["a", "b"])
        def test_it(vcpus, mode): assert (vcpus, mode) != (2, "b")
    """)
    assert last_line(output) == "3 passed, 1 failed, 0 skipped"
    assert re.search(r"^FAIL x/test_it\.test_it\[vcpus=2,mode=b\]", output, re.M)


def test_alone_means_alone():
    _, output = run_rig("""
        import pathlib
        here = pathlib.Path(__file__).parent

        def overlap():
            mine = here / str(os.getpid())
            mine.touch()
            seen = len(list(here.glob("[0-9]*")))
            mine.unlink()
            return seen

        @alone
        @each(n=[1, 2, 3])
        def test_it(n): assert overlap() == 1
    """, "-j", "3")
    assert last_line(output) == "3 passed, 0 failed, 0 skipped"


def alive(pid):
    """Is there still such a process?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(")")[2].split()[0] not in "ZX"
