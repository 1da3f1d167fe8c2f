"""Every metric of docs/OPERATIONS.md changes when what it measures happens."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from broadcasters.errors import LogUnavailable
from broadcasters.supervision import Part
from hub import node
from hub.core.shares import Holder
from hub.core.tail import ChannelTail
from hub.engine_port import EngineStatistics
from hub.node import Hub
from hub.telemetry.measures import MEASURES
from tests.faults.raw_socket import RawSocket, dial, dialled
from tests.hub.transports.serving import SECRET, house, say, serving, token_of, until


class Scraper:
    """Keeps the largest value of each sample."""

    def __init__(self, hub: Hub) -> None:
        self.most: dict[str, float] = defaultdict(float)
        self._hub = hub

    def scrape(self) -> None:
        for family in text_string_to_metric_families(self._hub.metrics.render()[0].decode()):
            for sample in family.samples:
                label = "".join(value for name, value in sample.labels.items() if name != "le")
                for name in (sample.name, f"{sample.name} {label}"):
                    self.most[name] = max(self.most[name], sample.value)

    async def until(self, *samples: str) -> None:
        """Scrape until each of these has been above zero."""

        def moved() -> bool:
            self.scrape()
            return all(self.most[sample] > 0 for sample in samples)

        await until(moved)


@asynccontextmanager
async def subscribed(url: str, token: str, **how: Any) -> AsyncGenerator[RawSocket]:
    async with dialled(url, token=token, **how) as client:
        await client.receive_until("connected")
        await client.request("subscribe_plan", plan_id="p", since="start")
        yield client


async def test_every_metric_moves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node, "DEADLINE", 1.0)
    limits = {"max_connections_per_principal": 3, "max_plans_per_principal": 1, "slow_seconds": 1.0, "auth_leeway": 0.0}
    async with house(tmp_path, auth_secret=SECRET, **limits) as hub, serving(hub) as url:
        token, scraper = token_of(hub, "ada", {"p": ["read"]}), Scraper(hub)
        await clients(hub, url, token, scraper)
        await the_log(hub, url, token, scraper, monkeypatch)
        await the_shares(hub, url, token, scraper)
        await the_usage(hub, scraper)
        the_engine(hub, scraper, monkeypatch)
        await the_outbox(hub, scraper, monkeypatch)
    most = scraper.most
    still = [at.name for at in MEASURES if not any(most[f"{at.name}{end}"] > 0 for end in ("", "_count"))]
    assert still == []


async def read_up_to(client: RawSocket, offset: int) -> None:
    while (await client.receive()).get("offset", 0) < offset:
        pass


async def clients(hub: Hub, url: str, token: str, scraper: Scraper) -> None:
    """Normal clients, slow ones, ones without rights, and ones that are refused."""
    async with subscribed(url, token) as client, subscribed(url, token, receive_buffer=4096) as slow:
        assert (await client.request("subscribe_plan", plan_id="theirs"))["code"] == "forbidden"
        async with asyncio.TaskGroup() as meanwhile:  # a client that does not read for a second counts as slow
            meanwhile.create_task(read_up_to(client, 400))
            meanwhile.create_task(say(hub, "p", 400, size=2000))
            await scraper.until(
                "plancast_connections native",
                "plancast_connections_opened_total native",
                "plancast_subscribers live",
                "plancast_subscribers behind",
                "plancast_lag_events",
                "plancast_channels",
                "plancast_deliveries_total",
                "plancast_delivered_bytes_total",
                "plancast_publish_to_write_seconds_count",
                "plancast_loop_lag_seconds_count",
                "plancast_frames_received_total",
                "plancast_frames_refused_total forbidden",
                "plancast_slow_consumers_total",
                "plancast_outbox_appended_total",
            )
        assert await slow.closed() == 4408
    await until(lambda: not len(hub.roster))
    async with AsyncExitStack() as stack:
        for _ in range(4):
            stack.callback((await dial(url, token=token)).reset)
        bad = token_of(hub, "ada", {}, seconds=-1)
        for how in ({"token": "nonsense"}, {"token": bad}, {"token": token, "Origin": "http://evil.example"}):
            async with dialled(url, **how) as client:
                await client.closed()
        await scraper.until(
            "plancast_connections_refused_total principal",
            "plancast_auth_failures_total invalid_token",
            "plancast_auth_failures_total token_expired",
            "plancast_auth_failures_total origin",
        )


async def the_usage(hub: Hub, scraper: Scraper) -> None:
    """A message that reports what it used."""
    tokens = {"input_tokens": 90, "cached_tokens": 50, "output_tokens": 20, "reasoning_tokens": 10}
    used = {"model": "m", "requests": 1, "cost": "0.25", **tokens}
    await hub.broadcaster.send_agent_message("p", "Ana", "Done.", usage=used)
    await scraper.until("plancast_model_input_tokens_total m", "plancast_model_cost_total")


def the_engine(hub: Hub, scraper: Scraper, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of an engine that runs two plans, one of which waits."""

    class Busy:
        parts: Mapping[str, Part] = {}

        def statistics(self) -> EngineStatistics:
            return EngineStatistics(plans={"running": 1, "waiting": 1}, leased=True)

    with monkeypatch.context() as busy:
        busy.setattr(hub, "engine", Busy())
        scraper.scrape()


@asynccontextmanager
async def lossy_tail(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[list[bytes]]:
    """Drops all notifications of the log meanwhile; yields the dropped events."""
    dropped: list[bytes] = []
    with monkeypatch.context() as lossy:
        lossy.setattr(ChannelTail, "arrived", lambda *told: dropped.extend(told[3]))
        lossy.setattr(ChannelTail, "deleted", lambda _: None)
        yield dropped


async def the_log(hub: Hub, url: str, token: str, scraper: Scraper, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost notification, a log that does not respond, a plan deleted and created again."""
    await until(lambda: not len(hub.roster))
    async with subscribed(url, token) as client:
        while (await client.receive())["offset"] < 400:
            pass
        async with lossy_tail(monkeypatch) as dropped:
            await say(hub, "p", 1)
            await until(lambda: len(dropped) == 1)
        await say(hub, "p", 1)
        assert [(await client.receive())["offset"] for _ in range(2)] == [401, 402]
        await scraper.until("plancast_holes_total")

        async def away(*_: Any) -> Any:
            raise LogUnavailable("away")

        async def unheard_of(*_: Any) -> Any:
            raise ValueError("not a number")

        with monkeypatch.context() as broken:
            broken.setattr(hub.log, "heads", away)
            hub.registry._compare_now.set()
            await scraper.until("plancast_log_errors_total LogUnavailable")
        with monkeypatch.context() as broken:
            broken.setattr(hub.log, "heads", unheard_of)
            hub.registry._compare_now.set()
            await scraper.until(
                "plancast_part_down comparison of heads", "plancast_part_failures_total comparison of heads"
            )
        await until(lambda: not hub.parts["comparison of heads"].down)
        async with lossy_tail(monkeypatch) as dropped:  # the plan is deleted and created again without a notification
            await hub.log.delete("p")
            await say(hub, "p", 3)
            await until(lambda: len(dropped) == 3)
            hub.registry._compare_now.set()
            await scraper.until("plancast_continuity_lost_total")
        assert (await client.receive_until("snapshot"))["offset"] == 3


async def the_shares(hub: Hub, url: str, token: str, scraper: Scraper) -> None:
    """A tail that uses up its principal's limit on plans, and a principal over its request rate."""
    base, headers = url.replace("ws://", "http://").removesuffix("/ws/streaming"), {"Authorization": f"Bearer {token}"}
    async with (
        httpx.AsyncClient(base_url=base, headers=headers, timeout=30) as client,
        client.stream("POST", "/api/tail", json={"plans": ["p"]}),
        dialled(url, token=token) as socket,
    ):
        await socket.receive_until("connected")
        assert (await socket.request("subscribe_plan", plan_id="p"))["code"] == "too_many_subscriptions"
        await scraper.until("plancast_tailed_plans", "plancast_plans_refused_total principal")
        hub.admission.rates.owe(Holder("", "ada"), 1e6)
        assert (await client.get("/api/plans")).status_code == 429
        await scraper.until("plancast_requests_refused_total principal")


async def the_outbox(hub: Hub, scraper: Scraper, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that waits for the log until its deadline."""

    async def away(*_: Any) -> Any:
        raise LogUnavailable("away")

    with monkeypatch.context() as broken:
        broken.setattr(hub.log, "append", away)
        waiting = asyncio.create_task(hub.broadcaster.send_plan_update("p"))
        await scraper.until(
            "plancast_outbox_queued_events",
            "plancast_outbox_queued_bytes",
            "plancast_outbox_longest_wait_seconds",
            "plancast_outbox_retries_total",
            "plancast_outbox_given_up_total",
        )
        with pytest.raises(LogUnavailable):
            await waiting
