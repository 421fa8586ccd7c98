# SPDX-License-Identifier: MIT
"""The command line, the configuration file, and their documentation."""
import json
import os
import re
import subprocess

from ferrytest import Guest, each, guest_image, no_leaks, require_file, require_kvm, tmp_dir
from ferrytest.paths import FERRY, TOP

MAN = TOP / "docs" / "man"
HELP = json.loads(subprocess.run([FERRY, "help", "--json"], capture_output=True, check=True,
                                 timeout=20).stdout) if FERRY.exists() else {"commands": []}
COMMANDS = {command["name"]: command for command in HELP["commands"]}


def ferry(*argv, runtime=None, stdin=subprocess.DEVNULL):
    """Run a ferry command to its end."""
    env = {**os.environ, **({"XDG_RUNTIME_DIR": str(runtime)} if runtime else {})}
    return subprocess.run([FERRY, *map(str, argv)], stdin=stdin, capture_output=True, text=True,
                          env=env, timeout=20, check=False)


def fails(status, reason, *argv):
    """It must fail with one line that says why."""
    done = ferry(*argv)
    assert done.returncode == status, done
    assert reason in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout, done


# --- usage ---

def test_wrong_usage():
    hello = guest_image("hello")
    for reason, *argv in [
            ("a command is missing",),
            ("there is no command 'fly'", "fly"),
            ("there is no option --fly", "run", "--fly"),
            ("there is no option -q", "list", "-q"),
            ("option --kernel wants a value", "run", "--kernel"),
            ("option --rng takes no value", "run", "--rng=yes"),
            ("'b' is one argument too many", "run", "a", "b"),
            ("'c' is one argument too many", "rename", "a", "b", "c"),
            ("--all goes without names", "pause", "--all", "a"),
            ("'grow' is neither set nor stats", "memory", "grow", "a"),
            ("ACTION is list NAME", "vcpu", "plug", "a"),
            ("NAME is missing", "info"),
            ("no kernel given", "run"),
            ("--memory: 'big' is not a size", "run", "--kernel", hello, "--memory", "big"),
            ("--memory: 1K is out of range: 1M to 64G", "run", "--memory", "1K"),
            ("--vcpus: 65 is out of range: 1 to 64", "run", "--vcpus", "65"),
            ("--hotplug-slots: 32 is out of range: 0 to 31", "run", "--hotplug-slots", "32"),
            ("--hotplug-slots: 'all' is not a number", "run", "--hotplug-slots", "all"),
            ("--timeout: '-1' is not a number", "run", "--timeout=-1"),
            ("--on-crash: 'burn' is not one of: destroy, restart", "run", "--on-crash", "burn"),
            ("--disk: a disk has no property 'fast'", "run", "--disk", "x,fast"),
            ("--net: 'LAN' is none of user", "run", "--net", "LAN"),
            ("say where by --dump-dir", "run", "--kernel", hello, "--on-reboot",
             "rename-restart"),
            ("console: 'tty' is not one of", "run", "--kernel", hello, "--console", "tty"),
            ("name 'a/b'", "run", "--kernel", hello, "--name", "a/b")]:
        fails(2, reason, *argv)


def test_things_that_are_not_there():
    hello = guest_image("hello")
    require_kvm()
    for reason, *argv in [
            ("/nonexistent: No such file", "run", "--kernel", "/nonexistent"),
            ("neither an ELF file nor a Linux bzImage", "run", "--kernel", __file__),
            ("/nonexistent: No such file", "run", "--kernel", hello, "--initrd", "/nonexistent"),
            ("disk0: /nonexistent: No such", "run", "--kernel", hello, "--disk", "/nonexistent"),
            ("/nonexistent.conf: No such file", "run", "/nonexistent.conf"),
            ("console: cannot open /nonexistent/x", "run", "--net", "none", "--kernel", hello,
             "--console", "file:/nonexistent/x")]:
        fails(1, reason, *argv)


@each(command=list(COMMANDS))
def test_help(command):
    """Every command explains itself, by three ways."""
    text = ferry(command, "--help").stdout
    assert text.startswith(f"usage: ferry {command}")
    assert text == ferry("help", command).stdout == ferry(command, "-h").stdout
    for option in COMMANDS[command]["options"]:
        assert f"--{option['name']}" in text
    assert re.search(rf"^  {command} ", ferry("help").stdout, re.M)


def test_json_everywhere():
    """What can be asked for as JSON: all but a console, and frames in a format of their own."""
    without = {name for name, command in COMMANDS.items()
               if "json" not in [option["name"] for option in command["options"]]}
    assert without == {"console", "capture"}


def test_version():
    assert re.fullmatch(r"ferry \d+\.\d+\.\d+\n", ferry("version").stdout)
    assert ferry("--version").stdout == ferry("version").stdout
    assert json.loads(ferry("version", "--json").stdout)["version"]


def test_output_that_cannot_be_written():
    with open("/dev/full", "wb") as full:
        for argv in (["help"], ["help", "--json"], ["list"], ["version", "--json"]):
            done = subprocess.run([FERRY, *argv], stdout=full, check=False, timeout=20)
            assert done.returncode == 1, argv


@each(words=["disk list", "nic list", "vcpu list", "memory stats", "log"])
def test_answer_that_cannot_be_written(words):
    # A disk without a whole number of sectors is what there is a line in the log for.
    with Guest("idle", name="g", balloon=True, disk=f"{guest_image('idle')},readonly") as guest, \
            open("/dev/full", "wb") as full:
        guest.wait_for("^idle ready")
        done = subprocess.run([FERRY, *words.split(), "g", "--json"], stdout=full, text=True,
                              env={**os.environ, "XDG_RUNTIME_DIR": str(guest.runtime)},
                              stderr=subprocess.PIPE, check=False, timeout=20)
        assert done.returncode == 1
        if words != "log":
            assert done.stderr.endswith("cannot write to standard output\n"), done.stderr


# --- the manual ---

@each(command=list(COMMANDS))
def test_manual_page(command):
    """Every option and property has its place in the page."""
    page = (MAN / f"ferry-{command}.1").read_text()
    for option in COMMANDS[command]["options"]:
        assert re.search(rf"^\.It Fl (\w , )?-{option['name']}\b", page, re.M), option["name"]
        for part in option.get("parts", [])[1:]:
            assert re.search(rf"^\.It Cm {part['name']}\b", page, re.M), part["name"]
    assert f"Xr ferry-{command} 1" in (MAN / "ferry.1").read_text()


def test_manual_of_the_file():
    """Every key has an example, and the examples are right."""
    page = (MAN / "ferry.conf.5").read_text()
    examples = dict(re.findall(r"^\.Dl ([\w-]+) = (.*)$", page, re.M))
    keys = {o["name"] for o in COMMANDS["run"]["options"] if o["in_config_file"]}
    assert {*examples} - {"key"} == keys
    block = re.search(r"\.Bd -literal.*?\n(.*?)\.Ed", page, re.S)[1]
    with tmp_dir() as folder:
        for text in [block, "".join(f"{key} = {value}\n".replace(r"\(dq", '"')
                                    for key, value in examples.items() if key != "key")]:
            (folder / "x.conf").write_text(text)
            done = ferry("run", folder / "x.conf", "--dry-run", "--kernel", "/nonexistent")
            assert done.returncode == 1 and "kernel /nonexistent" in done.stderr, done


def test_examples_of_the_options():
    """Each option of `run` that has a value, or is a switch of the machine, shows one."""
    page = (MAN / "ferry-run.1").read_text()
    shown = " ".join(re.findall(r"^(?:\.Dl|\$) (.*)$", page, re.M)) + " "
    for option in COMMANDS["run"]["options"]:
        assert f"--{option['name']} " in shown or f"-{option.get('letter')} " in shown, option


# --- settings ---

def effective(*argv, runtime=None):
    """The settings that `--dry-run` prints."""
    require_kvm()
    done = ferry("run", "--dry-run", *argv, runtime=runtime)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_dry_run_shows_settings():
    settings = effective("--kernel", guest_image("hello"), "--memory", "64M", "--name", "n")
    assert settings["memory"] == 64 << 20 and settings["vcpus"] == 1
    assert settings["net"][0]["backend"] == "user" and settings["console"] == "stdio"
    assert settings["on-crash"] == "destroy" and settings["on-reboot"] == "restart"
    keys = {o["name"] for o in COMMANDS["run"]["options"] if o["in_config_file"]}
    assert set(settings) == keys


def test_command_line_goes_before_the_file():
    with tmp_dir() as folder:
        for name in ("a", "b"):
            (folder / f"{name}.img").write_bytes(bytes(65536))
        (folder / "x.conf").write_text(
            f"kernel = {guest_image('hello')}\nmemory = 32M\nvcpus = 2\nnet = none\n"
            f"disk = {{\"{folder}/a.img,readonly\"}}\nrng = on\n")
        settings = effective("--memory=64M", folder / "x.conf", f"--disk={folder}/b.img")
        assert settings["memory"] == 64 << 20 and settings["vcpus"] == 2 and settings["rng"]
        assert [disk["id"] for disk in settings["disk"]] == ["disk0", "disk1"]
        (folder / "bad.conf").write_text("kernel = x\n\nspeed = 9\n")
        fails(2, f"{folder}/bad.conf:3: no such option 'speed'", "run", folder / "bad.conf")


def test_dry_run_changes_nothing():
    with tmp_dir() as folder:
        (folder / "a.img").write_bytes(bytes(65536))
        with no_leaks(folders=[folder]):
            effective("--kernel", guest_image("hello"), "--disk", f"{folder}/a.img",
                      "--console", f"file:{folder}/log", "--net", "user", "--rng", "--balloon",
                      runtime=folder)


def test_dry_run_finds_what_is_missing():
    hello = guest_image("hello")
    with tmp_dir() as folder, Guest("idle", name="n", runtime=folder, net="none") as guest:
        guest.wait_for("^idle ready")
        done = ferry("run", "--dry-run", "--kernel", hello, "--name", "n", runtime=folder)
        assert done.returncode == 1 and "n is running already" in done.stderr
        (folder / "a.img").write_bytes(bytes(65536))
        with Guest("idle", disk=folder / "a.img", net="none") as writer:
            writer.wait_for("^idle ready")
            done = ferry("run", "--dry-run", "--kernel", hello, "--disk", folder / "a.img")
            assert done.returncode == 1 and "a.img" in done.stderr
        done = ferry("run", "--dry-run", "--kernel", hello, "--console", "file:/nonexistent/x")
        assert done.returncode == 1 and "console: cannot make /nonexistent/x" in done.stderr


def test_default_names_differ():
    with Guest("idle", net="none") as guest:
        guest.wait_for("^idle ready")
        names = {effective("--kernel", guest_image("hello"))["name"] for _ in range(2)}
        assert len(names) == 2 and all(name.startswith("hello-") for name in names)


# --- doctor and completion ---

def test_doctor():
    require_kvm()
    done = ferry("doctor", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0 and found["ok"]
    names = {(check["area"], check["name"]) for check in found["checks"]}
    assert {("kvm", "device"), ("io", "io_uring"), ("net", "tap"), ("kvm", "IRQCHIP")} <= names
    for check in found["checks"]:
        assert bool(check["remedy"]) == (check["verdict"] != "ok"), check
    assert "Guests can run here." in ferry("doctor").stdout


def complete(*words, runtime=None):
    """What bash would offer for the last word."""
    completions = require_file("/usr/share/bash-completion/bash_completion", "run make deps")
    script = f"""
        . {completions}; . {TOP}/scripts/completion/ferry.bash
        COMP_WORDS=({' '.join(f"'{word}'" for word in words)}); COMP_CWORD={len(words) - 1}
        COMP_LINE="${{COMP_WORDS[*]}}"; COMP_POINT=${{#COMP_LINE}}
        _ferry {FERRY}; printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, **({"XDG_RUNTIME_DIR": str(runtime)} if runtime else {})}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=env,
                          timeout=20, check=True)
    return set(done.stdout.split())


def test_completion():
    assert complete("ferry", "") == set(COMMANDS)
    assert complete("ferry", "re") == {word for word in COMMANDS if word.startswith("re")}
    options = {f"--{o['name']}" for o in COMMANDS["run"]["options"]} | {"--help"}
    assert complete("ferry", "run", "--") == options
    assert complete("ferry", "run", "--on-crash", "") == {
        "destroy", "restart", "preserve", "rename-restart"}
    with Guest("idle", name="web", net="none") as guest:
        guest.wait_for("^idle ready")
        for command in ("info", "pause", "uptime", "reboot", "nmi"):
            assert complete("ferry", command, "w", runtime=guest.runtime) == {"web"}
        assert complete("ferry", "vcpu", "", runtime=guest.runtime) == {"list", "pin", "set"}
        assert complete("ferry", "nic", "li", runtime=guest.runtime) == {"limit", "link", "list"}
        assert "bridge:" in complete("ferry", "nic", "attach", "web", "", runtime=guest.runtime)
        assert complete("ferry", "nic", "link", "web", "net0", "", runtime=guest.runtime) == {
            "up", "down"}
        assert complete("ferry", "memory", "set", "w", runtime=guest.runtime) == {"web"}
