"""nginx with the configuration deploy/nginx.conf, at other addresses."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.servers.process import eventually, free_port

__all__ = ["NginxServer"]

ROOT = Path(__file__).parents[2]
AROUND = """\
pid /run/nginx.pid;
error_log /dev/stderr;
events { worker_connections 1024; }
http {
    gzip on;
    include /etc/nginx/conf.d/plancast.conf;
}
"""
"""The main configuration around it, as on Debian."""


def _program() -> str:
    """On Debian it is in /usr/sbin, which is not on every PATH."""
    found = shutil.which("nginx", path="/usr/sbin") or shutil.which("nginx")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


def _replaced(text: str, replacements: Mapping[str, str]) -> str:
    """The text with each of these patterns replaced, which must occur once."""
    for pattern, replacement in replacements.items():
        text, times = re.subn(pattern, replacement, text)
        assert times == 1, f"{pattern} must occur once, but occurs {times} times in:\n{text}"
    return text


class NginxServer:
    """`with NginxServer([hub.port, …], certificate) as nginx: nginx.url, nginx.ws`. The key is beside the certificate.

    With `compose`, the main configuration is deploy/compose/nginx.conf."""

    def __init__(self, hubs: Sequence[int], certificate: Path, *, compose: bool = False) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.tls = ssl.create_default_context(cafile=certificate)
        self.directory = Path(tempfile.mkdtemp(prefix="plancast-nginx-"))
        self._hubs = hubs
        self._main = (ROOT / "deploy/compose/nginx.conf").read_text() if compose else AROUND
        self._certificate = certificate
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.directory / "nginx.conf").write_text("daemon off;\nmaster_process off;\n" + self._with_paths(self._main))
        (self.directory / "hubs.conf").write_text(
            "".join(f"server 127.0.0.1:{port} fail_timeout=1s;\n" for port in self._hubs)
        )
        (self.directory / "plancast.conf").write_text(self._with_addresses((ROOT / "deploy/nginx.conf").read_text()))
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        here = str(self.directory)
        arguments = ["-p", here, "-c", f"{here}/nginx.conf", "-e", f"{here}/error.log"]
        with (self.directory / "output").open("wb") as output:
            self._process = process = subprocess.Popen([*leash, _program(), *arguments], stdout=output, stderr=output)
        eventually("nginx listens", lambda: process.poll() is not None or (self.directory / "pid").exists())
        assert process.poll() is None, (self.directory / "output").read_text()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"wss://127.0.0.1:{self.port}/ws/streaming"

    @property
    def logged(self) -> str:
        """The access log and the error log."""
        return "".join((self.directory / name).read_text() for name in ("plancast.log", "error.log"))

    def _with_paths(self, main: str) -> str:
        """The main configuration with its files in our directory."""
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "".join(f"    {kind}_temp_path {self.directory}/{kind};\n" for kind in kinds)
        return _replaced(
            main,
            {
                r"/run/nginx\.pid;": f"{self.directory}/pid;",
                r"/dev/stderr;": f"{self.directory}/error.log;",
                r"/etc/nginx/conf\.d/plancast\.conf;": f"{self.directory}/plancast.conf;",
                r"http \{\n": "http {\n" + temporary,
            },
        )

    def _with_addresses(self, text: str) -> str:
        """Replaces its addresses; changes nothing else."""
        return _replaced(
            text,
            {
                r"/etc/nginx/plancast-hubs\.conf;": f"{self.directory}/hubs.conf;",
                r"listen 80;": f"listen 127.0.0.1:{self.plain_port};",
                r"listen \[::\]:80;": f"listen unix:{self.directory}/plain;",
                r"listen 443 ": f"listen 127.0.0.1:{self.port} ",
                r"listen \[::\]:443 ": f"listen unix:{self.directory}/tls ",
                r"/etc/ssl/plancast/fullchain.pem": str(self._certificate),
                r"/etc/ssl/plancast/privkey.pem": str(self._certificate.with_suffix(".key")),
                r"/var/log/nginx/": f"{self.directory}/",
            },
        )
