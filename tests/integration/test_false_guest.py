# SPDX-License-Identifier: MIT
"""Commands to a process that is no guest any more: whoever has taken it over says anything."""
import json
import os
import re
import socket
import subprocess
import threading

from ferrytest import each, tmp_dir
from ferrytest.paths import FERRY

REPLIES = [{}, [], [{}], [[]], [None], None, "x", 7, {"id": 3, "mac": [], "number": {}, "text": 1}]
EVENTS = [{"event": 5}, {"event": "LOG"}, {"event": "NIC_RELEASED", "data": 7},
          {"event": "SAVE_WRITTEN"}, {"event": "SAVE_FAILED", "data": {"desc": 1}},
          {"event": "DUMP_COMPLETED", "data": {"error": 5}}, {"data": {}}]
COMMANDS = ["info g", "uptime g", "metrics g", "metrics g --json", "log g --follow", "list --json",
            "wait g --event running --timeout 1", "disk list g", "disk attach g IMAGE,overlay",
            "disk detach g d --timeout 1", "nic list g", "nic attach g user", "vcpu list g",
            "nic detach g n --timeout 1", "save g FILE", "dump-core g FILE", "memory g"]


def answer(connection, reply):
    """Say `reply` to whatever is asked, and all events before it; hang up on who only listens."""
    connection.settimeout(0.3)
    with connection, connection.makefile("rwb") as lines:
        try:
            lines.write(b'{"QMP": {}}\n')
            lines.flush()
            for line in lines:
                asked = json.loads(line)["execute"]
                setting_up = asked in ("qmp_capabilities", "getfd")
                for said in [*EVENTS, {"return": {} if setting_up else reply}]:
                    lines.write(json.dumps(said).encode() + b"\n")
                lines.flush()
        except OSError:
            pass  # the command has heard enough


class FalseGuest:
    """Listens where the guest g of `folder` would, without a file, as ephemeral guests do."""

    def __init__(self, folder, reply):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"\0{folder}/ferry/g.sock".encode())
        self.listener.listen(32)
        self.reply = reply
        self.thread = threading.Thread(target=self.serve, daemon=True)

    def serve(self):
        """Until it is closed."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection, self.reply), daemon=True).start()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()


def commands_of(folder, commands):
    """Each of `commands` with guest g in that folder, and how it ended."""
    image = folder / "image"
    image.write_bytes(bytes(4096))
    env = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    for command in commands:
        words = [w.replace("IMAGE", str(image)).replace("FILE", str(folder / "file"))
                 for w in command.split()]
        yield command, subprocess.run([FERRY, *words], env=env, stdin=subprocess.DEVNULL,
                                      capture_output=True, text=True, timeout=20, check=False)
        (folder / "file").unlink(missing_ok=True)


@each(reply=REPLIES)
def test_no_command_dies_of_an_answer(reply):
    with tmp_dir() as folder, FalseGuest(folder, reply):
        for command, done in commands_of(folder, COMMANDS):
            assert done.returncode >= 0, (command, done)
            assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done


def orders(text):
    """A reply all of whose words give a terminal orders."""
    words = {name: text for name in ("id", "name", "mac", "status", "device", "net", "kind",
                                     "text", "level", "file", "state", "link")}
    words["limits"] = {text: 1, "rx-bps": 5}
    words["inserted"] = {"file": text, "drv": text}
    words[f"key {text}"] = 1
    return words


@each(listed=[False, True])
def test_no_answer_reaches_the_terminal(listed):
    """ESC and CSI of whoever has taken a guest's process over are shown as question marks."""
    reply = orders("\33[31m\x9b31m\x7f\b")
    shown = []
    with tmp_dir() as folder, FalseGuest(folder, [reply] if listed else reply):
        for command, done in commands_of(folder, COMMANDS):
            said = done.stdout + done.stderr
            if not command.endswith("--json"):
                assert not re.search("[\0-\10\13-\37\x7f-\x9f]", said), (command, said)
            if "?[31m" in said:
                shown.append(command)
    # What is shown of a reply at all is shown so: the test is not about nothing.
    assert ("disk list g" if listed else "info g") in shown, shown
