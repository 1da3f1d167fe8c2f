"""Asking until there is an answer: with pauses, and without filling the operator's log."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest

from broadcasters.errors import LogFull, LogUnavailable, SnapshotUnreadable
from hub.core.counts import HubCounts
from hub.core.log_retry import FIRST_PAUSE, LONGEST_PAUSE, Patience
from tests.hub.core.virtual_time import in_virtual_time


@in_virtual_time
async def test_it_asks_again_after_ever_longer_pauses() -> None:
    counts = HubCounts()
    asked: list[float] = []

    async def ask() -> str:
        asked.append(asyncio.get_running_loop().time())
        if len(asked) < 12:
            raise LogUnavailable("away") if len(asked) % 2 else LogFull("full")
        return "here"

    assert await Patience("p", counts)(ask) == "here"
    pauses = [after - before for before, after in pairwise(asked)]
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE * 1.5
    assert max(pauses) <= LONGEST_PAUSE * 1.5
    assert min(pauses[-3:]) >= LONGEST_PAUSE / 2
    assert counts.log_errors == {"LogUnavailable": 6, "LogFull": 5}


@in_virtual_time
async def test_what_time_does_not_heal_is_not_asked_again() -> None:
    asked: list[str] = []

    async def ask() -> str:
        asked.append("once")
        raise SnapshotUnreadable("damaged")

    with pytest.raises(SnapshotUnreadable):
        await Patience("p", HubCounts())(ask)
    assert asked == ["once"]


def test_an_outage_is_said_once_however_many_ask(caplog: pytest.LogCaptureFixture) -> None:
    down = True

    async def ask() -> str:
        if down:
            raise LogUnavailable("away")
        return "here"

    @in_virtual_time
    async def outage() -> None:
        nonlocal down
        patiently = Patience("p", HubCounts())
        asking = [asyncio.create_task(patiently(ask)) for _ in range(20)]
        await asyncio.sleep(10)
        down = False
        assert await asyncio.gather(*asking) == ["here"] * 20

    with caplog.at_level(logging.INFO, "hub.core.log_retry"):
        outage()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
