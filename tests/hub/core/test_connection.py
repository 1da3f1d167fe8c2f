"""Connections: effects are carried out in their order, tasks have an owner, and slow clients are closed."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.position import Position
from broadcasters.supervision import Supervisor
from hub.access.principal import Principal
from hub.config.limits import ChannelLimits, SessionLimits
from hub.core.burst import Burst
from hub.core.connection import Connection, RequestRefused, TokenRefused
from hub.core.counts import HubCounts
from hub.core.effects import SendSignal, SubmitAnswer
from hub.core.registry import Pace, Registry
from hub.core.session import Session
from hub.core.session_states import Phase
from hub.core.subscriber import Standing
from hub.wire.codes import CloseCode, ErrorCode
from hub.wire.server_frames import ServerFrame
from tests.hub.core.scripted_log import ScriptedLog, part, step
from tests.hub.core.session_kit import frame, person
from tests.hub.core.virtual_time import in_virtual_time, turns

NOW = 1_000_000.0
SLOW = 30.0


class Line:
    """An outlet that remembers, and is as full as the test says."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: list[int] = []
        self.full = False
        self.waiting = 0
        self.room = 1_000
        self.connection: Connection | None = None

    def deliver(self, burst: Burst) -> None:
        assert not self.full
        self.frames += [json.loads(one) for one in burst.frames]
        self.room -= 1
        if self.room <= 0:
            self.full = True
            assert self.connection is not None
            self.connection.filled()

    def send(self, frame: ServerFrame) -> None:
        self.write(frame.encode())

    def write(self, frame: bytes) -> None:
        assert not self.closed
        self.frames.append(json.loads(frame))

    def unread(self) -> int:
        return self.waiting

    def close(self, code: int, reason: str) -> None:
        assert reason
        self.closed.append(code)

    def take(self) -> list[dict[str, Any]]:
        frames, self.frames = self.frames, []
        return frames

    def told(self) -> list[tuple[Any, ...]]:
        """What came since it was last asked: type, and plan and offset or the like."""
        return [
            tuple(one[key] for key in ("type", "plan_id", "offset", "code", "request_id") if key in one)
            for one in self.take()
        ]


class Desk:
    """The limits of a client, and services that return when the test says so."""

    def __init__(self) -> None:
        self.answers: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.followed: list[str] = []
        self.most = 1_000

    def follow(self, plan_id: str) -> None:
        if len(self.followed) >= self.most:
            raise RequestRefused(ErrorCode.TOO_MANY_SUBSCRIPTIONS, "enough")
        self.followed.append(plan_id)

    def unfollow(self, plan_id: str) -> None:
        self.followed.remove(plan_id)

    def charge(self, cost: float) -> None: ...

    def claim(self, principal: Principal) -> None: ...

    async def authenticate(self, token: str) -> Principal:
        assert token
        return cast("Principal", await self._answer())

    async def answer(self, answer: SubmitAnswer) -> Position:
        assert answer.answer == "yes"
        return cast("Position", await self._answer())

    async def signal(self, signal: SendSignal) -> None:
        assert signal.signal == "cancel"
        await self._answer()

    async def _answer(self) -> Any:
        return await asyncio.shield(self.answers)


class Hub:
    """A registry, a desk, and one client's connection."""

    def __init__(self, log: ScriptedLog, registry: Registry) -> None:
        self.log, self.registry = log, registry
        self.line, self.desk, self.counts = Line(), Desk(), HubCounts()
        session = Session("c-1", SessionLimits(), person(), NOW)
        self.connection = Connection(session, self.line, registry, self.desk, self.desk, self.counts)
        self.line.connection = self.connection

    def say(self, kind: str, plan_id: str | None = None, **fields: Any) -> None:
        self.connection.receive(frame(kind, plan_id, **fields))

    def drain(self, room: int = 1_000) -> None:
        self.line.full, self.line.room = False, room
        self.connection.drained()


@asynccontextmanager
async def hub(said: int = 0, policy: ChannelLimits | None = None) -> AsyncIterator[Hub]:
    log = ScriptedLog()
    if said:
        log.story().append([part(number) for number in range(1, said + 1)])
    registry = Registry(log, HubCounts(), policy or ChannelLimits(), Pace())
    supervisor = Supervisor()
    registry.start(supervisor)
    here = Hub(log, registry)
    yield here
    assert sorted(here.desk.followed) == sorted(here.connection._joined)
    here.connection.lost()
    assert here.desk.followed == []
    await supervisor.close()
    await registry.close()
    await turns()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@in_virtual_time
async def test_effects_are_carried_out_in_their_order() -> None:
    async with hub(said=2) as here:
        here.connection.begin(25.0, "2026-01-01T00:00:00.000Z")
        here.say("subscribe_plan", "p", since="start", request_id="r1")
        await turns()
        here.say("ping")
        here.say("unsubscribe_plan", "p", request_id="r2")
        here.log.tell(part(3))
        await turns()
        assert here.line.told() == [
            ("connected",),
            ("subscription_confirmed", "p", 0, "r1"),
            ("agent_message", "p", 1),
            ("agent_message", "p", 2),
            ("pong",),
            ("unsubscription_confirmed", "p", "r2"),
        ]
        assert list(here.connection.subscribers) == []


@in_virtual_time
async def test_subscribing_again_confirms_the_position_and_changes_nothing() -> None:
    async with hub(said=2) as here:
        here.say("subscribe_plan", "p", since="now")
        await turns()
        here.log.tell(part(3))
        await turns()
        here.line.take()
        here.say("subscribe_plan", "p", since="start", request_id="again")
        await turns()
        assert here.line.told() == [("subscription_confirmed", "p", 3, "again")]
        assert len(list(here.connection.subscribers)) == 1


@in_virtual_time
async def test_subscribing_again_while_a_snapshot_is_owed_is_confirmed_with_that() -> None:
    async with hub(said=5) as here:
        here.say("subscribe_plan", "p")
        await turns()
        here.log.story().fork(3)
        here.log.hanging = True
        here.log.tell(part(40), part(50))
        await turns()
        here.log.release(1)
        await turns()
        here.line.take()
        here.say("subscribe_plan", "p", request_id="again")
        assert here.line.frames == [], "a place of the story before would be a lie in the epoch of now"
        here.log.hanging = False
        here.log.release()
        await turns()
        confirmed, snapshot = here.line.take()
        assert confirmed["request_id"] == "again"
        assert (confirmed["recovered"], confirmed["reason"], confirmed["epoch"]) == (False, "forked", "e2")
        assert (snapshot["type"], snapshot["offset"]) == ("snapshot", 5)


@in_virtual_time
async def test_the_channel_may_end_the_subscription() -> None:
    async with hub(said=2) as here:
        here.say("subscribe_plan", "p")
        await turns()
        here.log.forget()
        here.log.tell_all()
        assert here.line.told()[-1] == ("subscription_ended", "p", 2404)
        here.say("subscribe_plan", "p")
        assert here.line.told() == [("subscription_confirmed", "p", 0)]


@in_virtual_time
async def test_a_log_that_does_not_answer_is_an_error_and_the_socket_stays_open() -> None:
    async with hub() as here:
        here.log.down = True
        here.say("subscribe_plan", "p", request_id="r")
        await asyncio.sleep(ChannelLimits().join_patience + 2)
        (error,) = here.line.take()
        assert (error["type"], error["code"], error["request_id"]) == ("error", "unavailable", "r")
        assert error["retry_after_ms"] > 0
        assert list(here.connection.subscribers) == []
        assert here.line.closed == []


@in_virtual_time
async def test_no_room_for_another_plan_is_an_error() -> None:
    log = ScriptedLog()
    registry = Registry(log, HubCounts(), ChannelLimits(), Pace(), max_channels=0)
    here = Hub(log, registry)
    here.say("subscribe_plan", "p", request_id="r")
    (error,) = here.line.take()
    assert (error["type"], error["code"], error["request_id"]) == ("error", "unavailable", "r")
    assert (list(here.connection.subscribers), here.desk.followed) == ([], [])


@in_virtual_time
async def test_a_client_at_its_limit_of_plans_gets_an_error() -> None:
    async with hub() as here:
        here.desk.most = 1
        here.say("subscribe_plan", "p")
        here.say("subscribe_plan", "q", request_id="r")
        await turns()
        refused, confirmed = here.line.take()
        assert (refused["code"], refused["plan_id"], refused["request_id"]) == ("too_many_subscriptions", "q", "r")
        assert (confirmed["type"], confirmed["plan_id"]) == ("subscription_confirmed", "p")


@in_virtual_time
async def test_when_the_outlet_is_full_every_plan_waits_at_its_position() -> None:
    async with hub() as here:
        for plan_id in ("p", "q"):
            here.say("subscribe_plan", plan_id, since="now")
        await turns()
        here.line.room = 1
        here.log.tell(part(1))
        here.log.tell(part(1, plan_id="q"), plan_id="q")
        await turns()
        assert {place.standing for place in here.connection.subscribers} == {Standing.BEHIND}
        here.line.take()
        here.drain()
        assert [told[1:] for told in here.line.told()] == [("q", 1)]
        assert {place.standing for place in here.connection.subscribers} == {Standing.LIVE}


@in_virtual_time
async def test_a_plan_that_always_has_more_does_not_starve_the_others() -> None:
    async with hub(policy=ChannelLimits(burst_bytes=100)) as here:
        for plan_id in ("hot", "calm"):
            here.say("subscribe_plan", plan_id)
        await turns()
        here.line.full = True
        here.connection.filled()
        here.line.take()
        for number in range(1, 20):
            here.log.tell(step(number, "hot"), plan_id="hot")
        here.log.tell(step(1, "calm"), plan_id="calm")
        await turns()
        here.drain(room=1)
        here.drain(room=1)
        assert {one["plan_id"] for one in here.line.take()} == {"hot", "calm"}


@in_virtual_time
async def test_a_client_that_reads_nothing_is_closed_and_counted_once() -> None:
    async with hub() as here:
        here.line.full, here.line.waiting = True, 500
        for second in range(0, 30, 5):
            here.connection.tick(NOW + second, SLOW)
        assert here.line.closed == []
        for second in (31, 32, 33):
            here.connection.tick(NOW + second, SLOW)
        assert here.line.closed == [CloseCode.SLOW_CONSUMER]
        assert here.counts.slow_consumers == 1


@in_virtual_time
async def test_a_client_that_reads_slowly_is_not_closed() -> None:
    async with hub() as here:
        here.line.full, here.line.waiting = True, 10_000
        for second in range(0, 500, 20):
            here.line.waiting -= 1
            here.connection.tick(NOW + second, SLOW)
        assert here.line.closed == []


@in_virtual_time
async def test_new_frames_do_not_hide_that_the_client_reads() -> None:
    async with hub() as here:
        here.line.full, here.line.waiting = True, 100
        for second in range(0, 200, 20):
            here.line.waiting += 50 if second % 40 else -10
            here.connection.tick(NOW + second, SLOW)
        assert here.line.closed == []


@in_virtual_time
async def test_the_slow_timer_restarts_when_a_client_has_read_everything() -> None:
    async with hub() as here:
        here.line.full, here.line.waiting = True, 500
        here.connection.tick(NOW, SLOW)
        here.drain()
        here.line.full = True
        here.connection.tick(NOW + 29, SLOW)
        here.connection.tick(NOW + 50, SLOW)
        assert here.line.closed == []
        here.line.full = False
        here.connection.tick(NOW + 80, SLOW)
        here.line.full = True
        here.connection.tick(NOW + 100, SLOW)
        assert here.line.closed == []


@in_virtual_time
async def test_a_drained_hub_says_when_to_reconnect_and_leaves_all_plans() -> None:
    async with hub(said=1) as here:
        here.say("subscribe_plan", "p")
        await turns()
        channel = here.registry.channels["p"]
        here.line.take()
        here.connection.go_away(700)
        here.connection.go_away(900)
        assert here.line.take() == [{"type": "going_away", "reconnect_after_ms": 700}]
        assert here.line.closed == [CloseCode.RESTART]
        assert channel.subscribers == set()
        here.say("ping")
        assert here.line.frames == []


@in_virtual_time
async def test_requests_that_fail_are_refused() -> None:
    async with hub() as here:
        here.say("plan_input", "p", request_id="q1", answer="yes")
        here.say("plan_signal", "p", signal="cancel", request_id="s1")
        here.say("authenticate", token="t" * 20, request_id="a1")
        await turns()
        refusal = RequestRefused(ErrorCode.ALREADY_ANSWERED, "too late", by="bob", at="2026-01-01T00:00:00.000Z")
        here.desk.answers.set_exception(refusal)
        await turns()
        errors = {one["request_id"]: one for one in here.line.take() if one["type"] == "error"}
        assert (errors["q1"]["code"], errors["q1"]["by"]) == ("already_answered", "bob")
        assert errors["s1"]["code"] == "already_answered"
        assert here.line.closed == [CloseCode.INTERNAL], "no service refuses a token like that"


@in_virtual_time
async def test_accepted_requests_are_confirmed() -> None:
    async with hub() as here:
        here.desk.answers.set_result(Position("e1", 7))
        here.say("plan_input", "p", request_id="q1", answer="yes")
        here.say("plan_signal", "p", signal="cancel", request_id="s1")
        await turns()
        assert here.line.told() == [("input_accepted", "p", 7, "q1"), ("signal_accepted", "p", "s1")]


@in_virtual_time
async def test_tokens_are_accepted_or_refused() -> None:
    async with hub() as here:
        here.desk.answers.set_result(person())
        here.say("authenticate", token="t" * 20)
        await turns()
        assert here.line.told() == [("authenticated",)]
        here.desk.answers = asyncio.get_running_loop().create_future()
        here.desk.answers.set_exception(TokenRefused(ErrorCode.INVALID_TOKEN, "forged"))
        here.say("authenticate", token="t" * 20)
        await turns()
        assert here.line.told()[0][0] == "error"
        assert here.counts.auth_failures == {"invalid_token": 1}


@in_virtual_time
async def test_an_internal_error_closes_the_connection_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with hub(said=1) as here:
        here.say("subscribe_plan", "p")
        here.say("plan_input", "p", request_id="q1", answer="yes")
        await turns()
        here.desk.answers.set_exception(LogUnavailable("a service must not raise this"))
        await turns()
        assert here.line.closed == [CloseCode.INTERNAL]
        assert list(here.connection.subscribers) == []
        assert "a service must not raise this" in caplog.text


@in_virtual_time
async def test_after_the_transport_closed_nothing_is_written_and_nothing_continues() -> None:
    async with hub(said=1) as here:
        here.say("subscribe_plan", "p")
        here.say("plan_input", "p", request_id="q1", answer="yes")
        await turns()
        here.line.take()
        here.connection.lost()
        here.desk.answers.set_result(Position("e1", 7))
        here.log.tell(part(2))
        here.connection.tick(NOW + 10_000, SLOW)
        here.connection.go_away(5)
        here.say("ping")
        await turns()
        assert here.line.frames == []
        assert here.line.closed == []
        assert here.connection.session.phase is Phase.CLOSED
        assert here.registry.channels["p"].subscribers == set()
        assert here.connection._tasks == set()


@in_virtual_time
async def test_after_the_transport_closed_the_outlet_is_freed_without_the_garbage_collector() -> None:
    async with hub(said=2) as here:
        here.say("subscribe_plan", "p", since="start")
        await turns()
        gc.disable()
        try:
            here.connection.lost()
            outlet = weakref.ref(here.line)
            del here.line
            await turns()
            assert outlet() is None
        finally:
            gc.enable()
