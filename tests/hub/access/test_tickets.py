"""Tickets: valid once, on any node, for half a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import LogUnavailable
from broadcasters.events import PlanUpdate, parse
from broadcasters.log import log_of
from broadcasters.log.contract import Entry, Facts, PlanLog, PlanPage
from hub.access.auth import AuthenticationFailed, AuthenticationUnavailable, TokenExpired, TokenInvalid
from hub.access.principal import RESERVED, Grants, Principal
from hub.access.tickets import LABEL, MAX_TICKET_BYTES, PERIOD, TICKET_SECONDS, Tickets, TicketTooLarge, ticket_key
from hub.config.settings import load
from tests.contract.backends import Backend, all_backends

NOW = 1_800_000_000.0
KEY = b"k" * 32
ADA = Principal("ada", Grants.parse({"plan-*": ["read"], "plan-1": ["input"]}), NOW + 3600)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, id=one.name, marks=one.marks) for one in all_backends() if one.name in ("sqlite", "redis")
    ],
)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The SQLite log that all workers of a machine share, and the Redis log that all machines share."""
    one: Backend = request.param
    one.start()
    yield one
    one.stop()


@pytest.fixture
def url(backend: Backend) -> str:
    return backend.url()


@pytest.fixture
async def log(url: str) -> AsyncIterator[PlanLog]:
    async for one in opened(url):
        yield one


@pytest.fixture
async def other_log(url: str) -> AsyncIterator[PlanLog]:
    """The same log, opened by another worker."""
    async for one in opened(url):
        yield one


async def opened(url: str) -> AsyncIterator[PlanLog]:
    log = log_of(url)
    await log.open()
    yield log
    await log.close()


@pytest.fixture
async def tickets(log: PlanLog) -> AsyncIterator[Tickets]:
    tickets = Tickets(KEY, log)
    yield tickets
    await tickets.close()


async def outcome(tickets: Tickets, ticket: str, now: float = NOW) -> str:
    try:
        principal = await tickets.redeem(ticket, now)
    except AuthenticationFailed as refused:
        return str(refused)
    return principal.subject


async def test_a_ticket_gives_the_principal_it_was_issued_for(tickets: Tickets) -> None:
    ticket = tickets.issue(ADA, NOW)
    assert ticket.expires_at == NOW + TICKET_SECONDS
    assert await tickets.redeem(ticket.ticket, NOW + 29) == ADA


async def test_a_ticket_is_valid_once(tickets: Tickets) -> None:
    ticket = tickets.issue(ADA, NOW).ticket
    await tickets.redeem(ticket, NOW)
    with pytest.raises(TokenExpired, match="used"):
        await tickets.redeem(ticket, NOW)


async def test_of_many_uses_at_once_on_two_nodes_one_wins(tickets: Tickets, other_log: PlanLog) -> None:
    elsewhere = Tickets(KEY, other_log)
    issued = [tickets.issue(ADA, NOW).ticket for _ in range(10)]
    uses = [(node, ticket) for ticket in issued for node in (tickets, elsewhere) for _ in range(10)]
    outcomes = await asyncio.gather(*(outcome(node, ticket) for node, ticket in uses))
    winners = [ticket for (_, ticket), said in zip(uses, outcomes, strict=True) if said == "ada"]
    assert sorted(winners) == sorted(issued)
    (refusal,) = set(outcomes) - {"ada"}
    assert "used" in refusal
    await elsewhere.close()


async def test_a_ticket_expires_unused(tickets: Tickets) -> None:
    with pytest.raises(TokenExpired, match="expired"):
        await tickets.redeem(tickets.issue(ADA, NOW).ticket, NOW + TICKET_SECONDS)


async def test_a_ticket_does_not_outlive_its_token(tickets: Tickets) -> None:
    brief = Principal("ada", ADA.grants, NOW + 10)
    ticket = tickets.issue(brief, NOW).ticket
    with pytest.raises(TokenExpired):
        await tickets.redeem(ticket, NOW + 10)
    assert (await tickets.redeem(ticket, NOW + 9)).expires_at == NOW + 10


async def test_a_refused_ticket_costs_the_log_nothing(tickets: Tickets, log: PlanLog) -> None:
    stranger = Tickets(b"x" * 32, log).issue(ADA, NOW).ticket
    late = tickets.issue(ADA, NOW - 60).ticket
    for ticket in (stranger, late, "pct_", ""):
        with pytest.raises(AuthenticationFailed):
            await tickets.redeem(ticket, NOW)
    assert (await log.plans()).plans == []


async def test_a_changed_ticket_is_invalid(tickets: Tickets) -> None:
    ticket = tickets.issue(ADA, NOW).ticket
    for at in range(len(ticket)):
        changed = ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :]
        with pytest.raises(TokenInvalid):
            await tickets.redeem(changed, NOW)
    for no_ticket in (ticket.removeprefix("pct_"), ticket.partition(".")[0], ticket + "A" * MAX_TICKET_BYTES):
        with pytest.raises(TokenInvalid):
            await tickets.redeem(no_ticket, NOW)
    assert await outcome(tickets, ticket) == "ada"


TEXT = st.text(max_size=80)


@given(text=TEXT | TEXT.map("pct_{}".format) | st.tuples(TEXT, TEXT).map(lambda two: f"pct_{two[0]}.{two[1]}"))
async def test_no_text_makes_redeeming_raise_another_error(text: str) -> None:
    never_asked = Tickets(KEY, log_of("sqlite:////nowhere/plans.db"))
    with pytest.raises(TokenInvalid):
        await never_asked.redeem(text, NOW)


async def test_grants_that_do_not_fit_a_url_get_no_ticket(tickets: Tickets) -> None:
    many = Grants.parse({f"{i:03}{'x' * 100}": ["read"] for i in range(40)})
    with pytest.raises(TicketTooLarge):
        tickets.issue(Principal("ada", many), NOW)
    few = Grants.parse({f"{i:03}{'x' * 100}": ["read"] for i in range(20)})
    assert len(tickets.issue(Principal("ada", few), NOW).ticket) <= MAX_TICKET_BYTES


async def test_without_the_log_tickets_are_refused_and_the_client_may_retry(log: PlanLog) -> None:
    tickets = Tickets(KEY, log)
    await log.close()
    with pytest.raises(AuthenticationUnavailable):
        await tickets.redeem(tickets.issue(ADA, NOW).ticket, NOW)


async def test_used_tickets_are_kept_in_reserved_plans(tickets: Tickets, log: PlanLog) -> None:
    await tickets.redeem(tickets.issue(ADA, NOW).ticket, NOW)
    (plan,) = (await log.plans(label=LABEL)).plans
    assert plan.plan_id.startswith(RESERVED)
    assert not Principal.development().may("publish", plan.plan_id)
    page = await log.read(plan.plan_id, 0)
    assert [parse(payload) is not None for payload in page.payloads] == [True, True]


async def test_plans_of_tickets_that_expired_long_ago_are_deleted(tickets: Tickets, log: PlanLog) -> None:
    for at in (NOW, NOW + PERIOD, NOW + 2 * PERIOD):
        await tickets.redeem(tickets.issue(ADA, at).ticket, at)
        await tickets.swept()
    left = sorted(plan.plan_id for plan in (await log.plans(label=LABEL)).plans)
    assert left == [f"{LABEL}.{int(NOW + n * PERIOD):012d}" for n in (1, 2)]


async def test_the_sweep_deletes_no_plan_that_is_not_of_tickets(tickets: Tickets, log: PlanLog) -> None:
    """A plan with the label is not the hub's own because of that."""
    others = ["a-plan", f"{RESERVED}probe.1", LABEL, "~"]
    for plan_id in others:
        entry = Entry(PlanUpdate(plan_id=plan_id).payload("id-1"))
        await log.append(plan_id, "producer", 1, [entry], Facts(labels=(LABEL,)))
    later = NOW + 3 * PERIOD
    for at in (NOW, later):
        await tickets.redeem(tickets.issue(ADA, at).ticket, at)
        await tickets.swept()
    left = {plan.plan_id for plan in (await log.plans(label=LABEL)).plans}
    assert left == {*others, f"{LABEL}.{int(later):012d}"}


async def test_a_ticket_redeemed_late_by_a_slow_clock_is_still_used(tickets: Tickets, log: PlanLog) -> None:
    """A node whose clock is ten minutes ahead sweeps; this one still finds the use."""
    ticket = tickets.issue(ADA, NOW).ticket
    await tickets.redeem(ticket, NOW)
    ahead = Tickets(KEY, log)
    await ahead.redeem(ahead.issue(ADA, NOW + PERIOD).ticket, NOW + PERIOD)
    await ahead.swept()
    with pytest.raises(TokenExpired, match="used"):
        await tickets.redeem(ticket, NOW)


async def test_tickets_are_swept_once_a_period_and_after_a_failure_in_the_next(
    tickets: Tickets, log: PlanLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def away(*, label: str, limit: int) -> PlanPage:
        asked.append(label)
        raise LogUnavailable(f"away: {limit}")

    monkeypatch.setattr(log, "plans", away)
    for at in (NOW, NOW + 1, NOW + PERIOD):
        await tickets.redeem(tickets.issue(ADA, at).ticket, at)
        await tickets.swept()
    assert asked == [LABEL, LABEL]


async def test_closing_cancels_a_sweep_that_hangs(log: PlanLog, monkeypatch: pytest.MonkeyPatch) -> None:
    asking = asyncio.Event()

    async def hanging(*, label: str, limit: int) -> PlanPage:
        asking.set()
        try:
            await asyncio.Event().wait()
        finally:
            asking.clear()
        raise AssertionError((label, limit))

    monkeypatch.setattr(log, "plans", hanging)
    tickets = Tickets(KEY, log)
    await tickets.redeem(tickets.issue(ADA, NOW).ticket, NOW)
    await asking.wait()
    await tickets.close()
    assert not asking.is_set()


def test_the_same_secret_gives_the_same_key() -> None:
    shared = {"PLANCAST_AUTH_SECRET": "s" * 32}
    assert ticket_key(load(shared)) == ticket_key(load(shared))
    assert ticket_key(load(shared)) != ticket_key(load(shared | {"PLANCAST_TICKET_SECRET": "t" * 32}))
    assert ticket_key(load({})) != ticket_key(load({}))
