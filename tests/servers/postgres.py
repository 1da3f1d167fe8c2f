"""A PostgreSQL server with a database for plans."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest

from tests.servers.process import eventually, free_port

__all__ = ["PostgresServer"]


def _program(name: str) -> str:
    """Debian does not put them on the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    program = shutil.which(name) or next((str(path) for path in found), None)
    if program is None:
        pytest.fail(f"{name} is missing: install PostgreSQL (on Debian: apt-get install postgresql)", pytrace=False)
    return program


class PostgresServer:
    """`with PostgresServer() as server: server.url`. Listens on a free loopback port; its files are removed at the end."""

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="plancast-postgres-"))
        # PostgreSQL refuses to run as root.
        unprivileged = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self._user: dict[str, Any] = {} if os.getuid() else unprivileged
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"postgresql://plancast@127.0.0.1:{self.port}/plancast"

    def __enter__(self) -> Self:
        if self._user:
            shutil.chown(self.directory, "nobody", "nogroup")
        data = str(self.directory / "data")
        with (self.directory / "log").open("ab") as log:
            arguments = ["-D", data, "-A", "trust", "-U", "plancast", "-E", "UTF8", "--locale=C", "--no-sync"]
            subprocess.run(
                [_program("initdb"), *arguments], stdout=log, stderr=log, check=True, cwd=self.directory, **self._user
            )
            leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
            options = ["listen_addresses=127.0.0.1", "fsync=off", "max_connections=120"]
            command = [_program("postgres"), "-D", data, "-p", str(self.port), "-k", str(self.directory)]
            command += [part for option in options for part in ("-c", option)]
            self._process = subprocess.Popen(
                [*leash, *command], stdout=log, stderr=log, cwd=self.directory, **self._user
            )
        eventually("PostgreSQL answers", self._ready)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # its fast shutdown
            self._process.wait(30)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.directory / "log").read_text(errors="replace")[-2000:]
        arguments = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "plancast", "-d", "postgres", "-q"]
        return subprocess.run([_program("pg_isready"), *arguments], check=False).returncode == 0
