"""Connections and plans that each address and each principal uses of a process, and their limits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hub.config.limits import ConnectionLimits, PlanLimits
from hub.core.shares import ConnectionCounts, Holder, PlanShares, TooManyConnections, TooManyPlans, network
from hub.node import Hub
from tests.faults.raw_socket import RawSocket, dialled
from tests.hub.transports.serving import SECRET, house, say, serving, token_of, until


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
        (None, ""),
    ],
)
def test_what_counts_as_one_address(address: str | None, counted: str) -> None:
    assert network(address) == counted


def test_each_connection_limit_names_itself_and_its_setting() -> None:
    counts = ConnectionCounts(ConnectionLimits(per_address=1, per_principal=1, total=2))
    origin = counts.enter("192.0.2.1")
    with pytest.raises(TooManyConnections, match="PLANCAST_MAX_CONNECTIONS_PER_ADDRESS") as full:
        counts.enter("192.0.2.1")
    assert full.value.kind == "address"
    counts.enter("192.0.2.2")
    with pytest.raises(TooManyConnections, match=r"PLANCAST_MAX_CONNECTIONS$") as full:
        counts.enter("192.0.2.3")
    assert full.value.kind == "process"
    counts.claim("ada")
    with pytest.raises(TooManyConnections, match="PLANCAST_MAX_CONNECTIONS_PER_PRINCIPAL") as full:
        counts.claim("ada")
    assert full.value.kind == "principal"
    counts.leave(origin)
    counts.release("ada")
    counts.claim("ada")
    assert counts.enter("192.0.2.1") == "192.0.2.1"


class Counting(RuleBasedStateMachine):
    """Whatever clients connect and leave, the counts are those of the open connections."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = ConnectionLimits(per_address=3, per_principal=2, total=8)
        self.counts = ConnectionCounts(self.limits)
        self.here: list[str] = []
        self.claimed: list[str] = []

    @rule(address=st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", ""]))
    def enter(self, address: str) -> None:
        full = len(self.here) == 8 or (address != "" and self.here.count(address) == 3)
        try:
            self.here.append(self.counts.enter(address))
        except TooManyConnections:
            assert full
        else:
            assert not full

    @precondition(lambda self: self.here)
    @rule(at=st.integers(0, 7))
    def leave(self, at: int) -> None:
        self.counts.leave(self.here.pop(at % len(self.here)))

    @rule(subject=st.sampled_from(["ada", "grace"]))
    def claim(self, subject: str) -> None:
        full = self.claimed.count(subject) == 2
        try:
            self.counts.claim(subject)
            self.claimed.append(subject)
        except TooManyConnections:
            assert full
        else:
            assert not full

    @precondition(lambda self: self.claimed)
    @rule(at=st.integers(0, 3))
    def release(self, at: int) -> None:
        self.counts.release(self.claimed.pop(at % len(self.claimed)))

    @invariant()
    def nobody_who_left_is_remembered(self) -> None:
        assert self.counts.total == len(self.here)
        assert len(self.counts) == len({one for one in self.here if one} | set(self.claimed))


TestCounting = Counting.TestCase


# --- plans

LIMITS = PlanLimits(per_address=4, per_principal=3, total=100)
ADA, BOB = Holder("192.0.2.1", "ada"), Holder("192.0.2.1", "bob")


def test_a_plan_counts_once_for_each_holder() -> None:
    shares = PlanShares(LIMITS, Counter())
    for plan_id in ("a", "b", "c", "a", "b", "c"):
        shares.follow(ADA, plan_id)
    with pytest.raises(TooManyPlans, match=r"3 plans.*PLANCAST_MAX_PLANS_PER_PRINCIPAL"):
        shares.follow(ADA, "d")
    shares.unfollow(ADA, "a")
    with pytest.raises(TooManyPlans):
        shares.follow(ADA, "d")
    shares.unfollow(ADA, "a")
    shares.follow(ADA, "d")


def test_an_address_has_a_share_of_its_own() -> None:
    refused: Counter[str] = Counter()
    shares = PlanShares(LIMITS, refused)
    for plan_id in ("a", "b", "c"):
        shares.follow(ADA, plan_id)
        shares.follow(BOB, plan_id)
    shares.unfollow(BOB, "c")
    shares.follow(BOB, "d")
    with pytest.raises(TooManyPlans, match="PLANCAST_MAX_PLANS_PER_ADDRESS") as full:
        shares.follow(Holder("192.0.2.1", None), "e")
    assert full.value.kind == "address"
    shares.follow(Holder("192.0.2.2", "eve"), "e")
    assert refused == {"address": 1}


def test_each_plan_of_a_tail_counts_and_all_of_them_or_none() -> None:
    shares = PlanShares(LIMITS, Counter())
    shares.tail(ADA, 2)
    with pytest.raises(TooManyPlans):
        shares.tail(ADA, 2)
    shares.follow(ADA, "a")
    with pytest.raises(TooManyPlans):
        shares.follow(ADA, "b")
    shares.untail(ADA, 2)
    shares.follow(ADA, "b")
    shares.unfollow(ADA, "a")
    shares.unfollow(ADA, "b")
    assert len(shares) == 0


MOST = {"address": LIMITS.per_address, "principal": LIMITS.per_principal}
HOLDERS = st.builds(Holder, st.sampled_from(["", "x", "y"]), st.sampled_from([None, "ada", "bob"]))


class Following(RuleBasedStateMachine):
    """Whatever subscriptions and tails begin and end, the shares are those of the present ones."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = PlanShares(LIMITS, Counter())
        self.held: list[tuple[Holder, str]] = []
        self.tails: list[tuple[Holder, int]] = []

    def sizes(self) -> Counter[tuple[Any, str]]:
        plans = {(key, plan_id) for holder, plan_id in self.held for key in holder.counted}
        sizes: Counter[tuple[Any, str]] = Counter(key for key, _ in plans)
        for holder, count in self.tails:
            sizes.update(dict.fromkeys(holder.counted, count))
        return +sizes

    @rule(holder=HOLDERS, plan=st.sampled_from("abcdef"))
    def follow(self, holder: Holder, plan: str) -> None:
        self.held.append((holder, plan))
        fits = all(size <= MOST[key[0]] for key, size in self.sizes().items())
        if fits:
            self.shares.follow(holder, plan)
        else:
            self.held.pop()
            with pytest.raises(TooManyPlans):
                self.shares.follow(holder, plan)

    @rule(holder=HOLDERS, plans=st.integers(1, 3))
    def tail(self, holder: Holder, plans: int) -> None:
        self.tails.append((holder, plans))
        if all(size <= MOST[key[0]] for key, size in self.sizes().items()):
            self.shares.tail(holder, plans)
        else:
            self.tails.pop()
            with pytest.raises(TooManyPlans):
                self.shares.tail(holder, plans)

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 99))
    def unfollow(self, at: int) -> None:
        self.shares.unfollow(*self.held.pop(at % len(self.held)))

    @precondition(lambda self: self.tails)
    @rule(at=st.integers(0, 99))
    def untail(self, at: int) -> None:
        self.shares.untail(*self.tails.pop(at % len(self.tails)))

    @invariant()
    def the_shares_are_what_is_held(self) -> None:
        assert {key: share.size for key, share in self.shares._shares.items()} == self.sizes()


TestFollowing = Following.TestCase


# --- in a hub with authentication

READ = {"*": ["read"]}


@asynccontextmanager
async def asked(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    async with house(folder, auth_secret=SECRET, **settings) as hub, serving(hub) as url:
        yield hub, url


def api(url: str, token: str) -> httpx.AsyncClient:
    base = url.replace("ws://", "http://").removesuffix("/ws/streaming")
    return httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {token}"}, timeout=30)


async def follow(client: RawSocket, *plan_ids: str) -> list[str]:
    """Subscribe to all of these; returns the type or the code of each response."""
    for plan_id in plan_ids:
        await client.send_json("subscribe_plan", plan_id=plan_id)
    heard = [await client.receive() for _ in plan_ids]
    return [said.get("code", said["type"]) for said in heard]


async def test_one_principal_can_not_use_up_the_plans_of_others(tmp_path: Path) -> None:
    """C-LIM-8: on any number of connections; and the hub stays ready."""
    async with asked(tmp_path, max_plans=16, max_plans_per_principal=6) as (hub, url), AsyncExitStack() as lines:
        ada, bob = token_of(hub, "ada", READ), token_of(hub, "bob", READ)
        said: Counter[str] = Counter()
        for at in range(4):
            line = await lines.enter_async_context(dialled(url, token=ada))
            await line.receive_until("connected")
            said.update(await follow(line, *[f"b.{at}.{n}" for n in range(5)]))
        assert said == {"subscription_confirmed": 6, "too_many_subscriptions": 14}
        other = await lines.enter_async_context(dialled(url, token=bob))
        await other.receive_until("connected")
        assert await follow(other, "mine") == ["subscription_confirmed"]
        assert await hub.ready() is None
        assert hub.counts.refused_plans == {"principal": 14}


async def test_an_unsubscribed_plan_can_be_replaced(tmp_path: Path) -> None:
    """C-LIM-8"""
    async with (
        asked(tmp_path, max_plans_per_principal=1) as (hub, url),
        dialled(url, token=token_of(hub, "ada", READ)) as line,
    ):
        await line.receive_until("connected")
        assert sorted(await follow(line, "a", "b")) == ["subscription_confirmed", "too_many_subscriptions"]
        await line.send_json("unsubscribe_plan", plan_id="a")
        await line.receive_until("unsubscription_confirmed")
        assert await follow(line, "b") == ["subscription_confirmed"]


async def test_an_address_can_not_use_up_the_plans_of_others(tmp_path: Path) -> None:
    """C-LIM-8: without authentication as well."""
    async with (
        house(tmp_path, max_plans_per_address=2) as hub,
        serving(hub) as url,
        dialled(url) as one,
        dialled(url) as two,
        dialled(url, **{"X-Forwarded-For": "192.0.2.7"}) as far,
    ):
        for line in (one, two, far):
            await line.receive_until("connected")
        assert await follow(one, "a") == ["subscription_confirmed"]
        assert await follow(two, "a") == ["subscription_confirmed"]
        assert await follow(two, "b") == ["subscription_confirmed"]
        assert await follow(one, "c") == ["too_many_subscriptions"]
        assert await follow(far, "c") == ["subscription_confirmed"]


async def test_a_poll_counts_as_well(tmp_path: Path) -> None:
    """C-LIM-8"""
    async with asked(tmp_path, max_plans_per_principal=1) as (hub, url), api(url, token_of(hub, "ada", READ)) as client:
        polling = asyncio.create_task(client.get("/api/plans/a/events", params={"wait": 30}))
        await until(lambda: hub.counts.connections["poll"])
        refused = await client.get("/api/plans/b/events", params={"wait": 30})
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_subscriptions")
        assert int(refused.headers["Retry-After"]) > 0
        await say(hub, "a", 1)
        assert (await polling).json()["offset"] == 1


async def test_a_node_that_is_full_is_not_ready(tmp_path: Path) -> None:
    """H-OPS-1: full of plans or of connections, and only as long as it is."""
    async with asked(tmp_path, max_plans=2, max_connections=2) as (hub, url):
        ada = token_of(hub, "ada", READ)
        async with dialled(url, token=ada) as line, api(url, ada) as client:
            await line.receive_until("connected")
            assert await follow(line, "a", "b") == ["subscription_confirmed"] * 2
            full = await client.get("/readyz")
            assert (full.status_code, full.json()["status"]) == (503, "not ready")
            assert "PLANCAST_MAX_PLANS" in full.json()["problem"]
            assert await follow(line, "c") == ["unavailable"]
            await line.send_json("unsubscribe_plan", plan_id="a")
            await line.receive_until("unsubscription_confirmed")
            assert (await client.get("/readyz")).status_code == 200
            async with dialled(url, token=ada) as another:
                await another.receive_until("connected")
                assert "PLANCAST_MAX_CONNECTIONS" in (await client.get("/readyz")).json()["problem"]


@asynccontextmanager
async def tail(client: httpx.AsyncClient, *plan_ids: str) -> AsyncGenerator[httpx.Response]:
    async with client.stream("POST", "/api/tail", json={"plans": plan_ids}) as response:
        lines = response.aiter_lines()  # kept: without a reference the connection is closed
        if response.status_code == 200:
            await anext(lines)
        else:
            await response.aread()
        yield response


async def test_the_plans_of_tails_count_like_all_others(tmp_path: Path) -> None:
    """H-LOG-4, C-LIM-8"""
    async with asked(tmp_path, max_plans=5, max_plans_per_principal=3) as (hub, url):
        ada, bob = token_of(hub, "ada", READ), token_of(hub, "bob", READ)
        async with api(url, ada) as client, api(url, bob) as other:
            async with tail(client, "a", "b") as first, tail(client, "a", "b") as second:
                assert (first.status_code, second.status_code) == (200, 429)
                assert second.json()["code"] == "too_many_subscriptions"
                async with tail(client, "a") as third, tail(other, "a", "b", "c") as fourth, tail(other, "a", "b"):
                    assert (third.status_code, fourth.status_code) == (200, 503)
                    assert "PLANCAST_MAX_PLANS" in (await client.get("/readyz")).json()["problem"]
                    async with dialled(url, token=bob) as line:
                        await line.receive_until("connected")
                        assert await follow(line, "z") == ["unavailable"]
            await until(lambda: not hub.registry._reserved)
            async with tail(client, "a", "b", "c") as again:
                assert again.status_code == 200
        await until(lambda: not hub.registry._reserved)
