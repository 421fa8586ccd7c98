# SPDX-License-Identifier: MIT
"""libferry-client as it is installed, and the example that uses it."""
import os
import re
import shlex
import subprocess

from ferrytest import Guest, guest_image, run, sanitizer_flags, timeout, tmp_dir
from ferrytest.paths import BUILD, FERRY, TOP

PROGRAM = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <ferry-client.h>

#define CHECK(x) do { if (!(x)) { printf("line %d: %s\n", __LINE__, e.text); return 1; } } while (0)

int main(int argc, char **argv)
{
	struct ferry_client *c, *other;
	struct ferry_error e = { 0 };
	json_t *ret, *event;

	CHECK(argc == 2);
	CHECK(ferry_client_connect(&c, "none", 5, &e) == -ENOENT && strstr(e.text, "no guest"));
	CHECK(ferry_client_connect(&c, "a/b", 5, NULL) == -EINVAL);
	CHECK(ferry_client_connect(&c, argv[1], 5, &e) == 0);
	CHECK(ferry_client_execute(c, "fly", NULL, NULL, &e) == -EREMOTEIO);
	CHECK(!strcmp(e.text, "The command fly has not been found"));
	CHECK(ferry_client_wait_event(c, NULL, 0, &event, &e) == -ETIMEDOUT);
	/* Events that come before a reply are kept, in their order. */
	CHECK(ferry_client_execute(c, "stop", NULL, NULL, &e) == 0);
	CHECK(ferry_client_execute(c, "cont", json_pack("{s:b}", "force", 0), NULL, &e) == 0);
	CHECK(ferry_client_execute(c, "query-status", NULL, &ret, &e) == 0);
	CHECK(json_is_true(json_object_get(ret, "running")));
	json_decref(ret);
	CHECK(ferry_client_wait_event(c, NULL, 0, &event, &e) == 0);
	CHECK(!strcmp(json_string_value(json_object_get(event, "event")), "STOP"));
	json_decref(event);
	CHECK(ferry_client_wait_event(c, "RESUME", 0, &event, &e) == 0);
	json_decref(event);
	CHECK(ferry_client_execute_fd(c, "stop", NULL, STDOUT_FILENO, NULL, &e) == -EREMOTEIO);
	CHECK(strstr(e.text, "takes no descriptor"));
	CHECK(ferry_client_pass_fd(c, "1", STDOUT_FILENO, &e) == -EREMOTEIO);
	CHECK(ferry_client_pass_fd(c, "out", STDOUT_FILENO, &e) == 0);
	CHECK(ferry_client_execute(c, "closefd", json_pack("{s:s}", "fdname", "out"), NULL,
				   &e) == 0);
	/* A second connection is told the same, and ends the guest the hard way. */
	CHECK(ferry_client_connect(&other, argv[1], 0, &e) == 0);
	CHECK(ferry_client_execute(c, "stop", NULL, NULL, &e) == 0);
	CHECK(ferry_client_wait_event(other, "STOP", 5000, &event, &e) == 0);
	json_decref(event);
	ferry_client_close(other);
	CHECK(ferry_client_execute(c, "quit", NULL, NULL, &e) == 0);
	CHECK(ferry_client_wait_event(c, "SHUTDOWN", 5000, &event, &e) == 0);
	json_decref(event);
	CHECK(ferry_client_wait_event(c, NULL, -1, &event, &e) == -EPIPE);
	CHECK(ferry_client_wait_end(c, 10, &e) == 0);
	ferry_client_close(c);
	ferry_client_close(NULL);
	puts("ok");
	return 0;
}
"""


def install(folder):
    """ferry below a folder; what a compiler needs to use the library there."""
    run("make", "-C", TOP, "install", f"PREFIX={folder}", f"O={BUILD}", timeout_s=100)
    env = {**os.environ, "PKG_CONFIG_PATH": f"{folder}/lib/pkgconfig"}
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "ferry-client", env=env))
    return flags + sanitizer_flags()


@timeout(180)
def test_library():
    with tmp_dir() as folder, Guest("idle", name="web", net="none") as guest:
        guest.wait_for("^idle ready")
        flags = install(folder)
        (folder / "program.c").write_text(PROGRAM)
        run("gcc", "-Wall", "-Wextra", "-Werror", "-o", folder / "program", folder / "program.c",
            *flags)
        env = {**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)}
        done = subprocess.run([folder / "program", "web"], env=env, capture_output=True, text=True,
                              timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "ok\n"), done.stdout
        # Nothing but its interface is visible to a program that is linked with it.
        symbols = run("nm", folder / "lib" / "libferry-client.a")
        names = re.findall(r" [TDBRC] (\w+)$", symbols, re.M)
        assert names and all(name.startswith("ferry_client_") for name in names), names


@timeout(180)
def test_example_harness():
    with tmp_dir() as folder:
        flags = install(folder)
        run("gcc", "-Wall", "-Wextra", "-Werror", "-o", folder / "harness",
            TOP / "examples" / "harness.c", *flags, "-pthread")
        (folder / "logs").mkdir()
        env = {**os.environ, "XDG_RUNTIME_DIR": str(folder),
               "PATH": f"{FERRY.parent}:{os.environ['PATH']}"}
        for crash, status, code in [(None, 0, 0), ("panic", 125, 1)]:
            argv = [folder / "harness", guest_image("hello"), folder / "logs", "--net", "none",
                    *(["--append", f"crash={crash}"] if crash else [])]
            done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=100,
                                  check=False)
            assert done.returncode == code, done
            rows = re.findall(r"^harness-\d+-(\d) status=(\d+) log=(\d+) reason=.+$", done.stdout,
                              re.M)
            assert [int(number) for number, _, _ in rows] == list(range(10))
            assert {int(row[1]) for row in rows} == {status}
            assert all("hello vcpus=1" in (folder / "logs" / f"guest-{i}.log").read_text()
                       for i in range(10))
