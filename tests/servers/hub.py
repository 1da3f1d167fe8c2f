"""`plancast serve` as a process.

with HubServer(redis.url, slow_seconds=2) as hub:          # settings as in hub.settings, by their names
    hub.ws, hub.port, hub.pid, hub.memory, hub.metric("plancast_connections"), hub.get("/readyz")
with HubServer(log, engine="embedded", templates="tests.plan_engine.plans") as hub:   # plans can be started
with HubServer(log, mounted=True) as hub:                  # in another program's FastAPI app, under stock uvicorn
with HubServer(log, constants={"hub.transports.native.HEARTBEAT_SECONDS": 1.0}) as hub:   # with a shorter heartbeat

Several of them on one log are nodes of one hub.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.servers.process import eventually, free_port

__all__ = ["HubServer"]

ROOT = Path(__file__).parents[2]
PAGE = os.sysconf("SC_PAGE_SIZE")
_worker = re.compile(rb"multiprocessing.*spawn_main")


class HubServer:
    """Starts with `start` or on entering; `close` ends it and its child processes."""

    def __init__(
        self, log: str, *, mounted: bool = False, constants: Mapping[str, float] | None = None, **settings: object
    ) -> None:
        self.port = 0
        self.directory = Path(tempfile.mkdtemp(prefix="plancast-hub-"))
        self.log = log
        self._mounted = mounted
        self._constants = constants or {}
        mine = {"engine": "off", "engine_db": f"sqlite:///{self.directory / 'engine.db'}", "pace": 0}
        rates = {f"requests_per_second_per_{each}": 1e6 for each in ("address", "principal")}
        self._settings = {"max_connections_per_address": 20_000, "logs": "json", **rates, **mine, **settings}
        self._process: subprocess.Popen[bytes] | None = None

    # ---- start and stop

    def start(self, *, wait: bool = True) -> Self:
        """Starts it, or restarts it on the same port. Returns once it is ready (with `wait=False`, at once)."""
        self.port = self.port or free_port()
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command(),
                cwd=ROOT,
                env=self._environment(),
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
            )
        if wait:
            self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        def settled() -> bool:
            return not self.alive or self.ready

        eventually("the hub is ready", settled)
        assert self.alive, f"the hub did not start:\n{self.output[-4000:]}"

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """As `kill -9`; kills its workers too."""
        workers = self.workers
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        for worker in workers:
            _kill(worker)

    def wait(self, deadline_s: float = 60.0) -> int:
        """Waits for its exit and returns the exit code; fails at the deadline."""
        assert self._process is not None
        try:
            return self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the hub has not ended within {deadline_s:g} s:\n{self.output[-4000:]}") from None

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        """For tests whose own event loop runs something the hub needs to start, such as a proxy."""
        try:
            return await asyncio.to_thread(self.start)
        except BaseException:
            self.close()
            raise

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    # ---- use

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws/streaming"

    def get(self, path: str, deadline_s: float = 15.0) -> tuple[int, str]:
        """Status and body of a GET; (0, error) without an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=deadline_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)
        finally:
            connection.close()

    @property
    def ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    async def until_ready(self, ready: bool, deadline_s: float) -> str:
        """Waits until /readyz is 200 (`ready`) or not, and returns its body; fails at the deadline."""
        until = time.monotonic() + deadline_s
        while True:
            status, body = await asyncio.to_thread(self.get, "/readyz")
            if (status == 200) is ready:
                return body
            assert time.monotonic() < until, f"not within {deadline_s:g} s: ready is {ready}; /readyz: {body}"
            await asyncio.sleep(0.1)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the metric's samples with these labels."""
        status, body = self.get(
            "/metrics", 60.0
        )  # a connection to a killed worker waits until its successor has started
        assert status == 200, body
        return sum(
            sample.value
            for family in text_string_to_metric_families(body)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    # ---- the process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The worker processes, when it was started with several."""
        return [child for child in _children(self.pid) if _worker.search(_cmdline(child))] if self.alive else []

    @property
    def memory(self) -> int:
        """Resident bytes now, its workers included."""
        return sum(_resident(pid) for pid in [self.pid, *self.workers])

    @property
    def processor_seconds(self) -> float:
        """Processor time so far, its workers included."""
        return sum(_processor_seconds(pid) for pid in [self.pid, *self.workers])

    @property
    def output(self) -> str:
        """Everything it has printed and logged."""
        return self._output.read_text(errors="replace") if self._output.exists() else ""

    def logged(self, level: str) -> list[dict[str, Any]]:
        """The log records of this level ("error", "critical" …)."""
        lines = [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]
        return [line for line in lines if str(line.get("level", "")).lower() == level]

    # ---- the process

    @property
    def _output(self) -> Path:
        return self.directory / "output"

    def _command(self) -> list[str]:
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        constants = json.dumps(dict(self._constants))
        if not self._mounted and not self._constants:
            return [*leash, sys.executable, "-m", "hub", "serve"]
        port = [str(self.port)] if self._mounted else []
        return [*leash, sys.executable, "-m", "tests.servers.hub_program", constants, *port]

    def _environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PLANCAST_")}
        settings = {"host": "127.0.0.1", "port": self.port, "log": self.log, **self._settings}
        mine = {f"PLANCAST_{name.upper()}": str(value) for name, value in settings.items()}
        return clean | mine | {"HOME": str(self.directory)}  # the sample shop is created there


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    until = time.monotonic() + 10
    while _cmdline(pid) and time.monotonic() < until:
        time.sleep(0.01)


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _cmdline(pid: int) -> bytes:
    return _read(pid, "cmdline").replace(b"\0", b" ")


def _stat(pid: int) -> list[bytes]:
    """The fields of its stat file after the name, which may contain any character."""
    return _read(pid, "stat").rpartition(b")")[2].split()


def _children(parent: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) and int(stat[1]) == parent]


def _resident(pid: int) -> int:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * PAGE if fields else 0


def _processor_seconds(pid: int) -> float:
    stat = _stat(pid)
    ticks = sum(map(int, stat[11:13])) if stat else 0
    return ticks / os.sysconf("SC_CLK_TCK")
