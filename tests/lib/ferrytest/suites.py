# SPDX-License-Identifier: MIT
"""Finding tests: each suite yields cases, each case yields results when called."""
import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
import traceback
import typing

from .case import DEFAULT_TIMEOUT_S, Skip
from .paths import BUILD, TESTS

PASS, FAIL, SKIP = "PASS", "FAIL", "SKIP"


@dataclasses.dataclass
class Case:
    """One thing to run in a process of its own.

    `call` returns a list of (name, status, reason): one for a test function,
    many for a program with many tests inside.
    """
    name: str
    call: typing.Callable
    timeout_s: float = DEFAULT_TIMEOUT_S
    alone: bool = False


# --- Python suites ----------------------------------------------------------
def python_suite(name, folder=None):
    """The test functions of tests/<name>/test_*.py."""
    for path in sorted((folder or TESTS / name).glob("test_*.py")):
        try:
            module = load(path)
        except Exception:  # a file that cannot be loaded is a failed test, not a missing one
            yield Case(f"{name}/{path.stem}", failing(traceback.format_exc()))
            continue
        for key, function in vars(module).items():
            if key.startswith("test_") and callable(function):
                yield from function_cases(f"{name}/{path.stem}.{key}", function)


def load(path):
    """Import a test file; the name keeps files of two suites apart."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def function_cases(name, function):
    """One case, or one for each set of arguments."""
    for kwargs in getattr(function, "each", [{}]):
        label = ",".join(f"{key}={label_of(value)}" for key, value in kwargs.items())
        full = f"{name}[{label}]" if label else name
        yield Case(full, caller(full, function, kwargs),
                   getattr(function, "timeout_s", DEFAULT_TIMEOUT_S),
                   getattr(function, "alone", False))


def label_of(value):
    """A value as it stands in the name of a test: classes by their label or name."""
    if isinstance(value, type):
        return getattr(value, "label", value.__name__.lower())
    return value


def caller(name, function, kwargs):
    """The call of a case for a test function."""
    def call():
        try:
            function(**kwargs)
        except Skip as reason:
            return [(name, SKIP, str(reason))]
        except Exception:
            traceback.print_exc()
            return [(name, FAIL, "")]
        return [(name, PASS, "")]
    return call


def failing(text):
    """The call of a case that fails with `text`."""
    def call():
        raise RuntimeError(text)
    return call


# --- programs ---------------------------------------------------------------
# cmocka writes "ok 1 - name", "not ok 2 - name" and "not ok 3 # SKIP name".
TAP_LINE = re.compile(r"^(not ok|ok) \d+ (-|# SKIP) (\S+)")


def unit_suite():
    """The cmocka programs of tests/unit: one case a program, one result a test."""
    for source in sorted((TESTS / "unit").glob("test_*.c")):
        program = BUILD / "tests/unit" / source.stem
        yield Case(f"unit/{source.stem}", unit_caller(f"unit/{source.stem}", program))


def unit_caller(name, program):
    """The call of a case for a cmocka program."""
    def call():
        done = subprocess.run([program], env={**os.environ, "CMOCKA_MESSAGE_OUTPUT": "TAP"},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                              errors="replace", check=False)
        print(done.stdout)
        results = [tap_result(name, match) for line in done.stdout.splitlines()
                   if (match := TAP_LINE.match(line))]
        if done.returncode != 0 and all(status != FAIL for _, status, _ in results):
            results.append((name, FAIL, f"exit status {done.returncode}"))
        return results or [(name, FAIL, "ran no tests")]
    return call


def tap_result(name, match):
    """One result of a TAP line."""
    status = SKIP if match[2] != "-" else PASS if match[1] == "ok" else FAIL
    return f"{name}.{match[3]}", status, ""


def fuzz_suite():
    """The libFuzzer programs of tests/fuzz, FUZZ_SECONDS each.

    New inputs go to the build directory; tests/fuzz/corpus holds the seeds.
    """
    seconds = int(os.environ.get("FUZZ_SECONDS", "3"))
    for source in sorted((TESTS / "fuzz").glob("fuzz_*.c")):
        yield Case(f"fuzz/{source.stem}", fuzz_caller(source.stem, seconds), seconds + 60)


def fuzz_caller(stem, seconds):
    """The call of a case for a fuzz target."""
    def call():
        found = BUILD / "fuzz/corpus" / stem
        found.mkdir(parents=True, exist_ok=True)
        seeds = TESTS / "fuzz/corpus" / stem.removeprefix("fuzz_")
        prefix = BUILD / "fuzz" / f"{stem}-"
        done = subprocess.run(
            [BUILD / "tests/fuzz" / stem, f"-max_total_time={seconds}", "-timeout=10",
             "-rss_limit_mb=2048", "-print_final_stats=1", f"-artifact_prefix={prefix}", found,
             *([seeds] if seeds.is_dir() else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace", check=False)
        print(done.stdout)
        if done.returncode == 0:
            return [(f"fuzz/{stem}", PASS, "")]
        path = re.search(r"Test unit written to (\S+)", done.stdout)
        return [(f"fuzz/{stem}", FAIL, f"reproducer: {path[1] if path else 'none'}")]
    return call


SUITES = {
    "unit": unit_suite,
    "rig": lambda: python_suite("rig"),
    "integration": lambda: python_suite("integration"),
    "e2e": lambda: python_suite("e2e"),
    "fuzz": fuzz_suite,
    "soak": lambda: python_suite("soak"),
}
# What runs when nothing is asked for: what takes minutes does not.
# Hours or minutes that nobody waits for each time.
ONLY_WHEN_ASKED = {"soak"}
