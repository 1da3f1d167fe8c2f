"""Connections of a process: ticking, draining, water marks."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.supervision import Supervisor
from hub.config.limits import LEAST_HIGH_WATER, ChannelLimits, Limits, SessionLimits
from hub.core.connection import Connection
from hub.core.connections import BEAT, TICKS_AT_ONCE, Connections, WaterMarks
from hub.core.counts import HubCounts
from hub.core.registry import Pace, Registry
from hub.core.session import Session
from hub.wire.server_frames import ServerFrame
from tests.hub.core.scripted_log import ScriptedLog
from tests.hub.core.session_kit import NOW, person
from tests.hub.core.virtual_time import in_virtual_time, turns

LIMITS = SessionLimits(idle_seconds=1e12)


class Line:
    """An outlet that leaves when it is closed."""

    full = False

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: list[int] = []

    def deliver(self, burst: object) -> None: ...

    def send(self, frame: ServerFrame) -> None:
        self.frames.append(json.loads(frame.encode()))

    def write(self, frame: bytes) -> None: ...

    def unread(self) -> int:
        return 0

    def close(self, code: int, reason: str) -> None:
        assert reason
        self.closed.append(code)


class Ticking(Connection):
    """Counts its ticks."""

    ticks = 0
    breaks = False

    def tick(self, now: float, slow_seconds: float) -> None:
        assert now > NOW
        assert slow_seconds == 30.0
        self.ticks += 1
        if self.breaks:
            raise RuntimeError("a tick that fails")


def connection(kind: type[Connection] = Connection) -> tuple[Connection, Line]:
    line, counts = Line(), HubCounts()
    session = Session("c-1", LIMITS, person(), NOW)
    registry = Registry(ScriptedLog(), counts, ChannelLimits(), Pace())
    none = cast("Any", None)
    return kind(session, line, registry, none, none, counts), line


def roster() -> Connections:
    return Connections(HubCounts(), slow_seconds=30.0)


def test_a_connection_is_counted_until_it_leaves() -> None:
    here = roster()
    one, _ = connection()
    here.enter(one, "native")
    here.enter(connection()[0], "sse")
    assert len(here) == 2
    here.leave(one)
    here.leave(one)
    assert len(here) == 1
    assert here._counts.connections == {"native": 0, "sse": 1}
    assert here._counts.connections_total == {"native": 1, "sse": 1}


@in_virtual_time
async def test_all_connections_are_ticked_in_bounded_batches_and_an_error_affects_one_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = roster()
    everybody = [cast("Ticking", connection(Ticking)[0]) for _ in range(TICKS_AT_ONCE + 3)]
    everybody[0].breaks = True
    for one in everybody:
        here.enter(one, "native")
    supervisor = Supervisor()
    here.start(supervisor)
    await asyncio.sleep(BEAT)
    await turns(1)
    assert sum(one.ticks for one in everybody) == TICKS_AT_ONCE
    here.leave(everybody[-1])
    await turns()
    assert [one.ticks for one in everybody] == [1] * (TICKS_AT_ONCE + 2) + [0], "a connection that left is not ticked"
    assert caplog.text.count("a tick that fails") >= 1
    await asyncio.sleep(BEAT)
    assert everybody[0].ticks == 2
    await supervisor.close()


@in_virtual_time
async def test_drained_clients_get_different_times_to_reconnect() -> None:
    here = roster()
    lines: dict[Connection, Line] = {}
    for _ in range(200):
        one, line = connection()
        lines[one] = line
        here.enter(one, "native")
    draining = asyncio.create_task(here.drain(window=10.0, patience=30.0))
    await turns()
    assert here.draining
    hints = [line.frames[-1]["reconnect_after_ms"] for line in lines.values()]
    assert all(line.frames[-1]["type"] == "going_away" for line in lines.values())
    assert all(line.closed == [1012] for line in lines.values())
    assert all(0 <= hint <= 10_000 for hint in hints)
    for quarter in range(4):
        assert sum(quarter * 2_500 <= hint < (quarter + 1) * 2_500 for hint in hints) > 20
    assert not draining.done(), "draining waits until they have left"
    for one in lines:
        here.leave(one)
    await draining
    assert len(here) == 0


@in_virtual_time
async def test_a_connection_that_enters_while_draining_is_drained_as_well() -> None:
    here = roster()
    here.enter(connection()[0], "native")
    draining = asyncio.create_task(here.drain(window=1.0, patience=30.0))
    await turns()
    late, line = connection()
    here.enter(late, "asgi")
    await asyncio.sleep(2 * BEAT)
    assert line.closed == [1012]
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)


class Stubborn(Connection):
    """Raises when it is drained."""

    def go_away(self, reconnect_after_ms: int) -> None:
        raise RuntimeError(f"a line that fails, {reconnect_after_ms}")


@in_virtual_time
async def test_a_connection_that_raises_does_not_end_the_drain(caplog: pytest.LogCaptureFixture) -> None:
    here = roster()
    stubborn, _ = connection(Stubborn)
    other, line = connection()
    here.enter(stubborn, "native")
    here.enter(other, "native")
    await here.drain(window=1.0, patience=7.5)
    assert line.closed == [1012]
    assert "a line that fails" in caplog.text


@in_virtual_time
async def test_draining_ends_after_its_patience() -> None:
    here = roster()
    stays, line = connection()
    here.enter(stays, "native")
    began = asyncio.get_running_loop().time()
    await here.drain(window=1.0, patience=7.5)
    assert asyncio.get_running_loop().time() - began == pytest.approx(7.5)
    assert len(line.frames) == 1, "notified once"


@in_virtual_time
async def test_draining_without_time_still_notifies_all_clients() -> None:
    here = roster()
    one, line = connection()
    here.enter(one, "native")
    await here.drain(window=0.0, patience=0.0)
    assert line.frames == [{"type": "going_away", "reconnect_after_ms": 0}]
    assert line.closed == [1012]


@in_virtual_time
async def test_draining_without_connections_ends_at_once() -> None:
    here = roster()
    began = asyncio.get_running_loop().time()
    await here.drain(window=10.0, patience=30.0)
    assert asyncio.get_running_loop().time() == began


@given(st.integers(1, 100_000), st.integers(1 << 20, 1 << 30))
def test_bytes_that_wait_for_slow_clients_are_bounded(connections: int, total: int) -> None:
    limits = Limits(written_total=total)
    marks = WaterMarks(limits)
    marks.share(connections)
    waiting = connections * (marks.high + limits.channel.burst_bytes)
    assert waiting <= total or marks.high == LEAST_HIGH_WATER
    assert 0 < marks.low < marks.high <= limits.outlet.high_water


def test_few_clients_get_the_full_water_marks() -> None:
    marks = WaterMarks(limits := Limits())
    marks.share(100)
    assert (marks.high, marks.low) == (limits.outlet.high_water, limits.outlet.low_water)
