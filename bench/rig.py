"""Shared by the benchmarks: servers pinned to one core, load to the other, CPU time read from the operating system."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.servers.process import RedisServer, free_port

__all__ = [
    "LOAD",
    "RESULTS",
    "SERVED",
    "Hub",
    "Sink",
    "cpu_seconds",
    "floor",
    "native",
    "on_core",
    "record",
    "redis",
    "table",
]

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
CORES: Final = sorted(os.sched_getaffinity(0))
SERVED: Final = CORES[0]
"""The core of the measured process."""
LOAD: Final = CORES[-1]
"""The core of all other processes: Redis, publishers, sinks."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def on_core(core: int, command: Sequence[str]) -> list[str]:
    return ["taskset", "-c", str(core), *command]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE


def native(name: str) -> Path:
    """Path of a C program, which is built if it is missing or older than its source."""
    source = HERE / "native" / f"{name}.c"
    program = HERE.parent / "build" / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        if shutil.which("gcc") is None:
            sys.exit("the benchmarks need a C compiler: apt-get install gcc")
        program.parent.mkdir(exist_ok=True)
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-o", program, source], check=True)
    return program


@contextmanager
def redis(**options: Any) -> Iterator[RedisServer]:
    """Run a redis-server on the load core."""
    os.sched_setaffinity(0, {LOAD})  # inherited by child processes
    server = RedisServer(**options).start()
    try:
        yield server
    finally:
        server.close()


class Hub:
    """A `plancast serve` process on the served core; with `mounted`, a hub in another application under stock uvicorn."""

    def __init__(self, log: str, *, mounted: bool = False, **settings: object) -> None:
        self.port = free_port()
        serve = ["hub", "serve", "--port", str(self.port), "--logs-level", "error"]
        self._module = ["tests.servers.hub_program", "{}", str(self.port)] if mounted else serve
        limits = {"max_connections_per_address": 20_000, "requests_per_second_per_address": 1e6}
        values = {"log": log, "engine": "off", "drain_seconds": 0, **limits, **settings}
        self._environ = os.environ | {f"PLANCAST_{name.upper()}": str(value) for name, value in values.items()}

    def __enter__(self) -> Hub:
        command = on_core(SERVED, [sys.executable, "-m", *self._module])
        self._process = subprocess.Popen(
            command, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        until = time.monotonic() + 20
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz"):
                    return self
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def cpu(self) -> float:
        return cpu_seconds(self.pid)

    @property
    def memory(self) -> int:
        return resident(self.pid)


class Sink:
    """Many clients in one C process on the load core. `ready` returns when all of them are subscribed.

    `%d` in a frame is replaced by the client's number modulo `plans`. `options` describe the frames of other servers."""

    def __init__(
        self,
        port: int,
        clients: int,
        events: int,
        frames: Sequence[str],
        *,
        path: str = "/ws/streaming",
        plans: int = 1,
        seconds: float = 60,
        options: Sequence[str] = (),
    ) -> None:
        arguments = [*options, "127.0.0.1", *map(str, (port, path, clients, plans, events, seconds)), *frames]
        self._process = subprocess.Popen(
            on_core(LOAD, [str(native("sink")), *arguments]), stdout=subprocess.PIPE, text=True
        )

    def _line(self) -> str:
        if self._process.stdout is None or not (line := self._process.stdout.readline()):
            raise RuntimeError(f"the sink ended with {self._process.wait()}")
        return line

    def ready(self) -> None:
        if self._line() != "ready\n":
            raise RuntimeError("the sink's clients were not all subscribed in time")

    def result(self) -> dict[str, Any]:
        """The counts. Raises RuntimeError if a client missed an event."""
        found: dict[str, Any] = json.loads(self._line())
        self._process.wait()
        if found["least"] != found["most"]:
            raise RuntimeError(f"clients got between {found['least']} and {found['most']} events")
        return found


def floor(clients: int, size: int, events: int, rate: float) -> tuple[float, float]:
    """The kernel's cost alone: CPU microseconds per send of this size, and the clients' p99 in milliseconds."""
    port = free_port()
    arguments = [str(port), str(clients), str(size), str(events), str(rate)]
    sender = subprocess.Popen(on_core(SERVED, [str(native("floor")), *arguments]), stdout=subprocess.PIPE, text=True)
    if sender.stdout is None:
        raise RuntimeError("no pipe")
    sender.stdout.readline()
    sink = Sink(port, clients, events, (), path="-")
    sink.ready()
    received = sink.result()
    found = json.loads(sender.stdout.readline())
    sender.wait()
    return float(found["cpu_s"] / found["sends"] * 1e6), float(received["p99_ms"])


def table(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Print rows of the same fields as a table."""
    heads = list(rows[0])
    cells = [[_cell(row[head]) for head in heads] for row in rows]
    widths = [max(len(head), *(len(line[i]) for line in cells)) for i, head in enumerate(heads)]
    print(f"\n{title}")
    for line in (heads, *cells):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def record(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows to bench/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    about = {"python": platform.python_version(), "cores": len(CORES), "measured_at": time.strftime("%Y-%m-%d")}
    (RESULTS / f"{name}.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
