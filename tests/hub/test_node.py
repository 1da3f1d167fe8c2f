"""One node: opened and closed as a whole, entered several times, and its readiness."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.log import log_of
from broadcasters.supervision import Part
from hub.config.settings import Settings
from hub.core.connection import RequestRefused, TokenRefused
from hub.core.effects import SendSignal, SubmitAnswer
from hub.engine_port import EngineStatistics, PlanNotRunning
from hub.node import Hub
from hub.wire.codes import ErrorCode
from tests.hub.transports.serving import SECRET, token_of, until


def settings(folder: Path, **more: Any) -> Settings:
    return Settings(log=f"sqlite:///{folder / 'plans.db'}", **more)


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncGenerator[Hub]:
    async with Hub(settings(folder), **more) as hub:
        yield hub


def ours() -> set[asyncio.Task[Any]]:
    """The tasks of this loop except the test's own."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_it_leaves_nothing_running(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        hub.admission.require_open()
        assert await hub.ready() is None
        assert ours()
    with pytest.raises(RuntimeError):
        hub.admission.require_open()
    assert ours() == set()


async def test_it_may_be_entered_by_several(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        tasks = ours()
        async with hub as again:
            assert again is hub
        assert ours() == tasks
        assert hub.admission.open
        assert (await hub.broadcaster.send_plan_update("p")).offset == 1


async def test_it_can_not_be_opened_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        pass
    with pytest.raises(RuntimeError, match=r"Hub\("):
        await hub.__aenter__()
    assert ours() == set()


@pytest.mark.parametrize("part", ["log", "probe"])
async def test_what_cannot_be_opened_is_closed_again(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub(settings(tmp_path))
    real = getattr(hub, part).open

    async def fails() -> None:
        await real()
        raise LogUnavailable("not today")

    monkeypatch.setattr(getattr(hub, part), "open", fails)
    with pytest.raises(LogUnavailable, match="not today"):
        await hub.__aenter__()
    assert not hub.admission.open
    assert ours() == set()


async def test_a_failing_part_is_retried_and_the_hub_is_not_ready_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H-OPS-1"""

    async def fails(*_: Any) -> None:
        raise LookupError("a mistake of ours")

    async with opened(tmp_path) as hub:
        part = hub.parts["comparison of heads"]
        with monkeypatch.context() as broken:
            broken.setattr(hub.registry, "compare", fails)
            hub.registry._compare_soon()
            await until(lambda: part.failures > 1)
            assert await hub.ready() == "failing and being retried: comparison of heads"
            shown = hub.metrics.render()[0].decode()
        assert 'plancast_part_down{part="comparison of heads"} 1.0' in shown
        assert 'plancast_part_down{part="heartbeats"} 0.0' in shown
        await until(lambda: not part.down)
        assert await hub.ready() is None
        shown = hub.metrics.render()[0].decode()
        assert 'plancast_part_down{part="comparison of heads"} 0.0' in shown
        assert f'plancast_part_failures_total{{part="comparison of heads"}} {part.failures}.0' in shown
    [record, _] = [record for record in caplog.records if record.name == "broadcasters.supervision"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


async def test_parts_include_those_of_log_and_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, log = Engine(), log_of(f"sqlite:///{tmp_path / 'plans.db'}")
    monkeypatch.setattr(type(log), "parts", {"log: index": Part(problem="ValueError: odd")})
    engine.parts["engine: signals"] = Part(failures=3, problem="ValueError: odd")
    async with opened(tmp_path, engine=engine, log=log) as hub:
        assert await hub.ready() == "failing and being retried: log: index, engine: signals"
        shown = hub.metrics.render()[0].decode()
    assert 'plancast_part_failures_total{part="engine: signals"} 3.0' in shown


async def test_it_reports_why_it_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-OPS-1"""

    async def fails(*_: Any) -> None:
        raise LogUnavailable("the disk is gone")

    async with opened(tmp_path) as hub:
        assert await hub.ready() is None
        monkeypatch.setattr("hub.telemetry.probe.FRESH", 0.0)
        with monkeypatch.context() as broken:
            broken.setattr(hub.log, "append", fails)
            assert await hub.ready() == "the log did not accept a probe event: the disk is gone"
            broken.setattr(hub.log, "append", None)
            assert await hub.ready() == "the probe failed unexpectedly; see the log of this process"
        assert await hub.ready() is None
        with monkeypatch.context() as lost:
            lost.setattr(type(hub.registry), "watch_lost", True)
            assert await hub.ready() == "the live feed of the log is interrupted"
        assert not hub.leaving.is_set()
        await hub.drain(0.1)
        assert hub.leaving.is_set()
        assert await hub.ready() == "draining"


async def test_a_token_is_authenticated(tmp_path: Path) -> None:
    async with Hub(settings(tmp_path, auth_secret=SECRET)) as hub:
        assert (await hub.authenticate(token_of(hub, "ada", {}))).subject == "ada"
        with pytest.raises(TokenRefused) as refused:
            await hub.authenticate("nonsense")
    assert refused.value.code is ErrorCode.INVALID_TOKEN


async def test_an_answer_is_appended_to_the_plan(tmp_path: Path) -> None:
    async with opened(tmp_path) as hub:
        await hub.broadcaster.send_input_request("p", "r", "approval", "May I?")
        place = await hub.answer(SubmitAnswer("p", "r", True, None, "ada"))
        assert place.offset == 2
        with pytest.raises(RequestRefused) as refused:
            await hub.answer(SubmitAnswer("p", "r", False, None, "eve"))
    assert (refused.value.code, refused.value.by) == (ErrorCode.ALREADY_ANSWERED, "ada")


class Engine:
    """An engine that runs one plan."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, str]] = []
        self.parts: dict[str, Part] = {}

    def statistics(self) -> EngineStatistics:
        return EngineStatistics()

    def templates(self) -> tuple[()]:
        return ()

    async def open(self) -> None:
        self.heard.append(("opened", "", ""))

    async def close(self) -> None:
        self.heard.append(("closed", "", ""))

    async def start(self, *_: Any) -> bool:
        return True

    async def signal(self, plan_id: str, signal: str, by: str) -> None:
        if plan_id != "ours":
            raise PlanNotRunning("another engine's")
        self.heard.append((plan_id, signal, by))


async def test_a_signal_goes_to_the_engine(tmp_path: Path) -> None:
    """C-SIG-1, C-SIG-2"""
    engine = Engine()
    async with opened(tmp_path, engine=engine) as hub:
        await hub.signal(SendSignal("ours", "cancel", None, "ada"))
        with pytest.raises(RequestRefused, match="another engine's") as refused:
            await hub.signal(SendSignal("theirs", "cancel", None, "ada"))
        assert refused.value.code is ErrorCode.NOT_SUPPORTED
    assert engine.heard == [("opened", "", ""), ("ours", "cancel", "ada"), ("closed", "", "")]
    async with opened(tmp_path) as hub:
        with pytest.raises(RequestRefused) as refused:
            await hub.signal(SendSignal("ours", "cancel", None, "ada"))
    assert refused.value.code is ErrorCode.NOT_SUPPORTED


async def test_a_log_may_be_passed(tmp_path: Path) -> None:
    log = log_of(f"sqlite:///{tmp_path / 'other.db'}")
    async with opened(tmp_path, log=log) as hub:
        await hub.broadcaster.send_plan_update("p")
    assert (tmp_path / "other.db").exists()
    assert not (tmp_path / "plans.db").exists()
