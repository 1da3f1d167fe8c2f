"""nginx with the configuration deploy/nginx.conf, at other addresses."""

from __future__ import annotations

import re
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import pytest

from tests.servers.process import eventually, free_port

__all__ = ["NginxServer"]

ROOT = Path(__file__).parents[2]
AROUND = """\
daemon off;
master_process off;
pid {0}/pid;
error_log {0}/error.log;
events {{ worker_connections 1024; }}
http {{
    gzip on;
    client_body_temp_path {0}/body;
    proxy_temp_path {0}/proxy;
    fastcgi_temp_path {0}/fastcgi;
    uwsgi_temp_path {0}/uwsgi;
    scgi_temp_path {0}/scgi;
    include {0}/plancast.conf;
}}
"""
"""The main configuration around it, as on Debian except for paths."""


def _program() -> str:
    """On Debian it is in /usr/sbin, which is not on every PATH."""
    found = shutil.which("nginx", path="/usr/sbin") or shutil.which("nginx")
    if found is None:
        pytest.skip("nginx is not installed")
    return found


class NginxServer:
    """`with NginxServer([hub.port, …], certificate) as nginx: nginx.url, nginx.ws`. The key is beside the certificate."""

    def __init__(self, hubs: Sequence[int], certificate: Path) -> None:
        self.port = free_port()
        self.plain_port = free_port()
        self.tls = ssl.create_default_context(cafile=certificate)
        self.directory = Path(tempfile.mkdtemp(prefix="plancast-nginx-"))
        self._hubs = hubs
        self._certificate = certificate
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self.directory / "nginx.conf").write_text(AROUND.format(self.directory))
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

    def _with_addresses(self, text: str) -> str:
        """Replaces its addresses, each of which must occur once; changes nothing else."""
        hubs = "".join(rf"server 127.0.0.1:{port}\1;" for port in self._hubs)
        for pattern, address in {
            r"server 127\.0\.0\.1:8000( .+)?;": hubs,
            r"listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            r"listen \[::\]:80;": f"listen unix:{self.directory}/plain;",
            r"listen 443 ": f"listen 127.0.0.1:{self.port} ",
            r"listen \[::\]:443 ": f"listen unix:{self.directory}/tls ",
            r"/etc/ssl/plancast/fullchain.pem": str(self._certificate),
            r"/etc/ssl/plancast/privkey.pem": str(self._certificate.with_suffix(".key")),
            r"/var/log/nginx/": f"{self.directory}/",
        }.items():
            text, times = re.subn(pattern, address, text)
            assert times == 1, f"{pattern} must occur once in deploy/nginx.conf, but occurs {times} times"
        return text
