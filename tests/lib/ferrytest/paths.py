# SPDX-License-Identifier: MIT
"""Where things are. FERRY and BUILD in the environment name another build."""
import os
import pathlib

TOP = pathlib.Path(__file__).resolve().parents[3]
TESTS = TOP / "tests"
BUILD = (TOP / os.environ.get("BUILD", "build")).resolve()
FERRY = (TOP / os.environ.get("FERRY", BUILD / "ferry")).resolve()
GUESTS = BUILD / "guest-images"
LOGS = BUILD / "test-logs"
