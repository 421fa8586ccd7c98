# SPDX-License-Identifier: MIT
"""Certificates by certtool and pre-shared keys by psktool, in a folder that vanishes."""
import pathlib
import subprocess
import tempfile

from .case import require_tool

CA = "cn = ferrytest CA {name}\nca\ncert_signing_key\nexpiration_days = 30\n"
HOST = "cn = {name}\ndns_name = {name}\ntls_www_server\ntls_www_client\n"
DATES = {"good": "expiration_days = 30\n",
         "expired": 'activation_date = "2020-01-01 00:00:00"\n'
                    'expiration_date = "2020-02-01 00:00:00"\n'}


class Keys:
    """What makes hosts trust each other. Use as a context manager.

    with Keys() as keys: Receive(*keys.server("host2")), teleport(*keys.client("host1")).
    """

    def __init__(self):
        require_tool("certtool", "psktool")
        self.holder = tempfile.TemporaryDirectory(prefix="ferrytest-keys-")
        self.folder = pathlib.Path(self.holder.name)
        self.ca("ca")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.holder.cleanup()

    def path(self, name):
        """A file in the folder."""
        return self.folder / name

    def certtool(self, *argv):
        """Run it quietly."""
        subprocess.run(["certtool", *map(str, argv)], check=True, timeout=20,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ca(self, name):
        """A certificate authority: NAME.pem, NAME.key."""
        self.key(name)
        self.path(f"{name}.tmpl").write_text(CA.format(name=name))
        self.certtool("--generate-self-signed", "--load-privkey", self.path(f"{name}.key"),
                      "--template", self.path(f"{name}.tmpl"), "--outfile",
                      self.path(f"{name}.pem"))

    def key(self, name):
        """NAME.key."""
        self.certtool("--generate-privkey", "--key-type", "ecdsa", "--outfile",
                      self.path(f"{name}.key"))

    def host(self, name, ca="ca", dates="good"):
        """The stem of NAME.pem and NAME.key, made if they are not there."""
        stem = f"{name}-{ca}-{dates}"
        if not self.path(f"{stem}.pem").exists():
            self.key(stem)
            self.path(f"{stem}.tmpl").write_text(HOST.format(name=name) + DATES[dates])
            self.certtool("--generate-certificate", "--load-privkey", self.path(f"{stem}.key"),
                          "--load-ca-certificate", self.path(f"{ca}.pem"), "--load-ca-privkey",
                          self.path(f"{ca}.key"), "--template", self.path(f"{stem}.tmpl"),
                          "--outfile", self.path(f"{stem}.pem"))
        return stem

    def options(self, name, trust="ca", **kwargs):
        """The options that make either side of a teleport `name`."""
        stem = self.host(name, **kwargs)
        return ["--tls-cert", self.path(f"{stem}.pem"), "--tls-key", self.path(f"{stem}.key"),
                "--tls-ca", self.path(f"{trust}.pem")]

    def psk(self, name="keys", user="ferry"):
        """The option with a file of one new key."""
        path = self.path(f"{name}.psk")
        if not path.exists():
            subprocess.run(["psktool", "-u", user, "-p", str(path)], check=True, timeout=20,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            path.chmod(0o600)
        return ["--tls-psk-file", path]
