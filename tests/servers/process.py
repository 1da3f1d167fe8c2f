"""A redis-server process, a wait for conditions, and free ports."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

import hiredis
import pytest

__all__ = ["RedisServer", "eventually", "free_port"]

DEADLINE_S = 60.0


def eventually(what: str, true: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """Waits until `true()` is truthy and returns its value; fails with `what` at the deadline."""
    until = time.monotonic() + deadline_s
    while not (value := true()):
        if time.monotonic() > until:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.01)
    return value


def free_port() -> int:
    """A port on which nothing listens now.

    It is below those that the kernel gives to other sockets, and processes begin to look at different ones. Otherwise
    another test could take it before the server of this one has started.
    """
    while True:
        port = next(_candidates)
        with socket.socket() as one, suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def _ports() -> Iterator[int]:
    own = range(10_000, 32_000)
    for at in count(os.getpid() * 7919):
        yield own[at % len(own)]


_candidates = _ports()


class RedisServer:
    """`RedisServer(maxmemory="20mb", appendonly="yes")`: options as in redis.conf, with _ for -.

    Its files stay until `close`, so `kill` and then `start` restart it on the same port.
    """

    def __init__(self, *, sentinel: bool = False, password: str | None = None, **options: Any) -> None:
        if shutil.which("redis-server") is None:
            pytest.skip("redis-server is not installed")
        self.port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="plancast-redis-"))
        self.password = password
        self._sentinel = sentinel
        ours: dict[str, object] = {} if sentinel else {"save": "", "appendonly": "no", "repl_diskless_sync_delay": 0}
        self._options = ours | options
        if password:
            self._options |= {"requirepass": password, "masterauth": password}
        if "cluster_enabled" in options:
            self._options["cluster_port"] = self.bus_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    # ---- start and stop

    def start(self) -> Self:
        """Starts or restarts it; returns once it answers."""
        for _ in range(5):
            self._spawn(self.port or free_port())
            if self._answers():
                return self
        raise AssertionError(f"redis-server did not start:\n{self.log[-2000:]}")

    def kill(self) -> None:
        """As `kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self, *, empty: bool = False) -> None:
        """Kills it and starts it again, with its files or (`empty`) without."""
        self.kill()
        if empty:
            for path in self.directory.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.start()

    def pause(self) -> None:
        """Stops the process (SIGSTOP): connections stay open, nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- use

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def url(self) -> str:
        user = f":{self.password}@" if self.password else ""
        return f"redis://{user}127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")

    def call(self, *command: object) -> Any:
        """Runs one command on a new connection and returns the reply; raises an error reply."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            reader = hiredis.Reader(encoding="utf-8", errors="replace", notEnoughData=...)
            for words in ([("AUTH", self.password)] if self.password else []) + [command]:
                connection.sendall(hiredis.pack_command(tuple(str(word) for word in words)))  # type: ignore[arg-type]
                while (answer := reader.gets()) is ...:
                    received = connection.recv(65536)
                    if not received:
                        raise ConnectionError("redis-server closed the connection")
                    reader.feed(received)
            if isinstance(answer, hiredis.ReplyError):
                raise answer
            return answer

    def info(self, section: str) -> dict[str, str]:
        lines = str(self.call("INFO", section)).splitlines()
        return {name: value for name, _, value in (line.partition(":") for line in lines) if value}

    # ---- the process

    def _spawn(self, port: int) -> None:
        self.port = port
        options = {**self._options, "port": port, "bind": "127.0.0.1", "dir": self.directory}
        arguments = [part for name, value in options.items() for part in (f"--{name.replace('_', '-')}", str(value))]
        # It must not outlive a test run that is killed.
        leash = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*leash, "redis-server", *self._conf(), *arguments], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def _conf(self) -> tuple[str, ...]:
        """A Sentinel requires a configuration file, in which it stores its state."""
        if not self._sentinel:
            return ()
        conf = self.directory / "sentinel.conf"
        conf.touch()
        return (str(conf), "--sentinel")

    def _answers(self) -> bool:
        """Waits until it answers; False when it exited instead (for example, because its port was taken)."""
        process = self._process
        assert process is not None

        def settled() -> bool | None:
            return True if self._ready() else False if process.poll() is not None else None

        until = time.monotonic() + DEADLINE_S
        while settled() is None and time.monotonic() < until:
            time.sleep(0.01)
        if settled():
            return True
        self.kill()
        self.port = 0
        return False

    def _ready(self) -> bool:
        try:
            return bool(self.call("PING") == "PONG")
        except (OSError, hiredis.ReplyError):
            return False
