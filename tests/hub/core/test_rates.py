"""Rate limits of each address and each principal, and how a hub enforces them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.log.contract import PlanPage
from hub.app import create_app
from hub.config.limits import RequestLimits
from hub.core import plan_lists, rates
from hub.core.rates import ANSWER, START, Rates, TokenBucket, TooManyRequests
from hub.core.shares import Holder
from hub.node import Hub
from tests.faults.raw_socket import dialled
from tests.hub.transports.serving import SECRET, house, serving, token_of

LIMITS = RequestLimits(per_address=4, per_principal=2, burst_seconds=10)
ADA, BOB, EVE = Holder("192.0.2.1", "ada"), Holder("192.0.2.1", "bob"), Holder("192.0.2.2", "eve")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Rates, Clock]:
    return Rates(LIMITS, Counter(), clock := Clock()), clock


def spend(counted: Rates, holder: Holder, cost: float = 1) -> int:
    """How many requests of this cost are allowed now."""
    times = 0
    while counted.affords(holder, cost):
        times += 1
    return times


def test_a_principal_has_a_burst_and_a_rate() -> None:
    counted, clock = made()
    assert spend(counted, ADA) == 20
    with pytest.raises(TooManyRequests, match="the 2 a second of this principal; wait 3 s, or raise") as refused:
        counted.charge(ADA, 5)
    assert (refused.value.kind, refused.value.wait) == ("principal", 3)
    clock.now += 3
    assert spend(counted, ADA) == 6


def test_an_address_has_one_rate_for_all_its_principals() -> None:
    counted, _ = made()
    assert [spend(counted, holder) for holder in (ADA, BOB, Holder("192.0.2.1", "cid"), EVE)] == [20, 20, 0, 20]
    with pytest.raises(TooManyRequests, match="PLANCAST_REQUESTS_PER_SECOND_PER_ADDRESS") as refused:
        counted.charge(Holder("192.0.2.1", "cid"), 1)
    assert refused.value.kind == "address"
    assert counted._refused == {"address": 1}


def test_a_refused_request_costs_nothing() -> None:
    counted, _ = made()
    spend(counted, ADA)
    for _ in range(100):
        assert not counted.affords(ADA, 1)
    assert spend(counted, BOB) == 20


def test_a_later_charge_is_owed_by_the_next_requests() -> None:
    counted, clock = made()
    counted.owe(ADA, 30)
    assert spend(counted, ADA) == 0
    clock.now += 6
    assert spend(counted, ADA) == 2


def test_full_buckets_are_dropped() -> None:
    counted, clock = made()
    for holder in (ADA, BOB, EVE):
        counted.charge(holder, 4)
    assert len(counted) == 5
    clock.now += 2
    counted.charge(ADA, 20)
    clock.now += 1
    counted.charge(EVE, 0)
    assert set(counted._buckets) == {*ADA.counted, *EVE.counted}
    clock.now += 30
    counted.charge(Holder("", None), 1)
    assert len(counted) == 0


def test_the_number_of_buckets_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_BUCKETS", 100)
    counted, _ = made()
    for number in range(1000):
        counted.charge(Holder(f"192.0.2.{number}", f"p{number}"), 1)
    assert len(counted) == 100


@given(st.lists(st.tuples(st.sampled_from([ADA, BOB, EVE]), st.floats(0, 5), st.floats(0, 12)), max_size=60))
def test_no_holder_gets_more_than_burst_and_rate(asks: list[tuple[Holder, float, float]]) -> None:
    counted, clock = made()
    begun, got = clock.now, Counter[tuple[Any, str]]()
    for holder, cost, pause in asks:
        clock.now += pause
        if counted.affords(holder, cost):
            got.update(dict.fromkeys(holder.counted, cost))
    for (kind, _), taken in got.items():
        rate = LIMITS.per_address if kind == "address" else LIMITS.per_principal
        assert taken <= rate * (LIMITS.burst_seconds + clock.now - begun) + 1e-6


def test_every_cost_fits_the_burst_however_low_the_rate() -> None:
    counted = Rates(RequestLimits(per_address=0.1, per_principal=0.1), Counter(), Clock())
    for cost in (START, ANSWER, rates.LIGHT + 4 * 1024 * 1024 / rates.CARRIED_BYTES):
        counted.charge(Holder("", f"{cost}"), cost)


# --- in a hub


@asynccontextmanager
async def asked(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    async with house(folder, auth_secret=SECRET, **settings) as hub, serving(hub) as url:
        yield hub, url


def api(url: str, token: str | None = None) -> httpx.AsyncClient:
    base = url.replace("ws://", "http://").removesuffix("/ws/streaming")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=base, headers=headers, timeout=60)


class Counting:
    """Counts how many pages of the log's index are read at once."""

    def __init__(self, hub: Hub) -> None:
        self._plans = hub.log.plans
        self.pages: list[int] = []
        self.most = self._now = 0

    async def plans(self, *, limit: int, **what: Any) -> PlanPage:
        self._now += 1
        self.most = max(self.most, self._now)
        self.pages.append(limit)
        try:
            return await self._plans(limit=limit, **what)
        finally:
            self._now -= 1


async def test_lists_of_which_the_caller_may_see_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-GEN-4, H-PLN-1: many concurrent lists are bounded by the rate of their principal, and read few pages at a time."""
    monkeypatch.setattr(plan_lists, "PAGE", 10)
    async with asked(tmp_path, requests_per_second_per_principal=5) as (hub, url):
        for number in range(400):
            await hub.broadcaster.send_plan_update(f"hidden-{number}")
        counting = Counting(hub)
        monkeypatch.setattr(hub.log, "plans", counting.plans)
        async with api(url, token_of(hub, "ada", {"mine": ["read"]})) as ada, api(url, token_of(hub, "bob", {})) as bob:
            answers = await asyncio.gather(*[ada.get("/api/plans", params={"limit": 500}) for _ in range(60)])
            statuses = Counter(answer.status_code for answer in answers)
            assert statuses.keys() == {200, 429}
            assert counting.most == plan_lists.READ_AT_ONCE
            assert set(counting.pages) == {10}
            refused = next(answer for answer in answers if answer.status_code == 429)
            assert refused.json()["code"] == "too_many_requests"
            assert "PLANCAST_REQUESTS_PER_SECOND_PER_PRINCIPAL" in refused.json()["detail"]
            assert int(refused.headers["Retry-After"]) > 0
            for answer in answers:
                if answer.status_code == 200:
                    assert answer.json()["plans"] == []
                    assert answer.json()["cursor"]
            assert (await bob.get("/api/plans")).status_code == 200
        assert hub.counts.refused_requests == {"principal": statuses[429]}


async def test_a_list_is_read_to_its_end_by_its_cursors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """H-PLN-1: however few of the plans are visible, and however few units are left."""
    monkeypatch.setattr(plan_lists, "PAGE", 5)
    monkeypatch.setattr(plan_lists, "PAGES_AT_MOST", 4)
    async with asked(tmp_path) as (hub, url):
        mine = {f"mine-{number}" for number in (3, 50, 99)}
        for number in range(100):
            for plan_id in (f"hidden-{number}", *(mine & {f"mine-{number}"})):
                await hub.broadcaster.send_plan_update(plan_id)
        async with api(url, token_of(hub, "ada", {"mine-*": ["read"]})) as client:
            found: list[str] = []
            cursor: str | None = None
            while True:
                params = {"limit": "50", **({"cursor": cursor} if cursor else {})}
                said = (await client.get("/api/plans", params=params)).json()
                found += [plan["plan_id"] for plan in said["plans"]]
                if (cursor := said["cursor"]) is None:
                    break
        assert found == ["mine-99", "mine-50", "mine-3"]


def routes(hub: Hub) -> list[tuple[str, str]]:
    """Method and path of every route that requires authentication."""
    document = create_app(hub).openapi()
    return [
        (method, path.replace("{plan_id}", "p").replace("{", "").replace("}", ""))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if "401" in operation.get("responses", {})
    ]


BODIES: dict[str, Any] = {
    "/api/heads": {"plans": ["p"]},
    "/api/tail": {"plans": ["p"]},
    "/api/plans": {"template": "t"},
    "/api/plans/p/signals": {"signal": "cancel"},
    "/api/plans/p/inputs/request_id": {"answer": 1},
    "/api/plans/p/events": {"type": "plan_update", "data": {}},
}


async def test_every_route_is_charged(tmp_path: Path) -> None:
    """H-GEN-4"""
    async with asked(tmp_path, requests_per_second_per_principal=0.1) as (hub, url):
        everything = token_of(hub, "ada", {"*": ["read", "input", "signal", "publish", "start"]})
        hub.admission.rates.owe(Holder("", "ada"), 1000)
        async with api(url, everything) as client:
            found = routes(hub)
            assert len(found) > 15
            for method, path in found:
                answer = await client.request(method, path, params={"plan": "p"}, json=BODIES.get(path, {}))
                assert (method, path, answer.status_code) == (method, path, 429)
        async with api(url, token_of(hub, "bob", {})) as client:
            assert (await client.get("/api/plans")).status_code == 200


async def test_answers_and_signals_on_a_socket_are_charged_as_well(tmp_path: Path) -> None:
    """C-LIM-9: from the same units as those over HTTP."""
    async with asked(tmp_path, requests_per_second_per_principal=0.1) as (hub, url):
        ada = token_of(hub, "ada", {"*": ["input", "signal"]})
        async with dialled(url, token=ada) as line, api(url, ada) as client:
            await line.receive_until("connected")
            said = [await line.request("plan_input", plan_id="p", request_id=f"{n}", answer=1) for n in range(5)]
            assert [one["code"] for one in said] == ["no_such_request"] * 4 + ["too_many_requests"]
            assert said[-1]["retry_after_ms"] > 0
            signalled = await line.request("plan_signal", plan_id="p", signal="cancel", request_id="s")
            assert signalled["code"] == "too_many_requests"
            assert (await client.post("/api/plans/p/inputs/r", json={"answer": 1})).status_code == 429
            assert (await line.request("ping"))["type"] == "pong"


async def test_without_authentication_the_address_is_charged(tmp_path: Path) -> None:
    """H-GEN-4"""
    limits = {"requests_per_second_per_address": 0.1, "requests_per_second_per_principal": 0.1}
    async with house(tmp_path, **limits) as hub, serving(hub) as url, api(url) as client:
        here, there = {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "192.0.2.2"}
        said = [(await client.get("/api/plans", headers=here)).status_code for _ in range(21)]
        assert said == [200] * 20 + [429]
        assert (await client.get("/api/plans", headers=there)).status_code == 200
        assert hub.counts.refused_requests == {"address": 1}


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2, burst=3, now=100.0)
    assert [bucket.take(1, 100.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.wait(1, 100.0) == 0.5
    assert not bucket.take(1, 100.4)
    assert bucket.take(1, 100.5)
    assert bucket.wait(1, 1000.0) == 0.0
    assert [bucket.take(1, 1000.0) for _ in range(4)] == [True, True, True, False]


def test_more_than_the_burst_can_never_be_taken() -> None:
    bucket = TokenBucket(rate=1, burst=3, now=0)
    assert not bucket.take(4, 1e9)
    assert bucket.wait(4, 1e9) == float("inf")


def test_a_bucket_without_a_rate_is_a_budget() -> None:
    bucket = TokenBucket(rate=0, burst=3, now=0)
    assert bucket.take(3, 0)
    assert not bucket.take(1, 1e9)
    assert bucket.wait(1, 1e9) == float("inf")
    assert bucket.wait(0, 1e9) == 0.0


@given(
    st.floats(0.1, 100),
    st.floats(1, 100),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 50)), min_size=1, max_size=50),
)
def test_no_pattern_of_takes_gets_more_than_burst_and_rate(
    rate: float, burst: float, asks: list[tuple[float, float]]
) -> None:
    bucket, now, got = TokenBucket(rate, burst, 0.0), 0.0, 0.0
    for pause, amount in asks:
        now += pause
        wait = bucket.wait(amount, now)
        taken = bucket.take(amount, now)
        assert taken is (wait == 0.0)
        got += amount if taken else 0
    assert got <= burst + rate * now + 1e-6
