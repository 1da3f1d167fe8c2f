"""Two workers use the engine's database at once: on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.event import listen

from plan_engine.model.interaction import Answer
from plan_engine.worker.database import opened
from plan_engine.worker.store import Store
from tests.plan_engine.harness import EngineHarness
from tests.servers.postgres import PostgresServer


@pytest.fixture(params=["sqlite", "postgresql"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[tuple[Store, Store]]:
    """Two workers' views of one database."""
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer()) if request.param == "postgresql" else None
        async with EngineHarness(tmp_path, db=server.url if server else None) as harness:
            async with harness.engine(work=False):
                pass
            both = Store(opened(harness.db)), Store(opened(harness.db))
            for store in both:
                stack.callback(store.close)
            yield both


def meet_before_inserting(stores: tuple[Store, Store]) -> None:
    """Make both stores insert their answers at the same moment."""
    barrier = threading.Barrier(len(stores))

    def wait(*said: Any) -> None:
        if said[2].startswith("INSERT") and "plancast_answers" in said[2]:
            with suppress(threading.BrokenBarrierError):
                barrier.wait(10)

    for store in stores:
        listen(store.engine, "before_cursor_execute", wait)


async def test_two_workers_may_store_the_same_answer_at_once(
    stores: tuple[Store, Store],
) -> None:
    meet_before_inserting(stores)
    rome, oslo = Answer("Rome", "maria"), Answer("Oslo", "ole")
    await asyncio.gather(stores[0].keep_answer("p", "q", rome), stores[1].keep_answer("p", "q", oslo))
    kept = await stores[0].answers("p")
    assert kept == await stores[1].answers("p")
    assert kept["q"] in (rome, oslo)


async def test_the_first_stored_answer_stays(stores: tuple[Store, Store]) -> None:
    rome = Answer("Rome", "maria", "2026-11-30T08:00:00Z")
    await stores[0].keep_answer("p", "q", rome)
    await stores[1].keep_answer("p", "q", Answer("Oslo", "ole"))
    await stores[1].keep_answer("p", "another", Answer(None))
    assert await stores[0].answers("p") == {"q": rome, "another": Answer(None)}
