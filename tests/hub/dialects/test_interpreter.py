"""What all dialects rely on: a small dialect of the test's own, on real connections, with a hub in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from broadcasters.events import PlanEvent
from broadcasters.position import Position
from broadcasters.supervision import Part
from hub.access.principal import Principal
from hub.dialects.dialect import (
    Action,
    ControlPlan,
    Dialect,
    Disconnect,
    Follow,
    FollowedEvent,
    PlanFeed,
    RefusedAction,
    SendFrame,
    Start,
    Unfollow,
)
from hub.dialects.endpoints import DialectStream, as_message, serve_dialect
from hub.engine_port import (
    BrokenTemplate,
    EngineStatistics,
    EngineUnreachable,
    InputRejected,
    PlanNotRunning,
    SignalName,
    TemplateInfo,
    TemplateNotFound,
)
from hub.node import Hub
from hub.transports.pull_outlet import StreamedResponse
from hub.transports.sse import HEADERS
from hub.wire.codes import CloseCode
from tests.hub.transports.serving import SECRET, house, say, serving, token_of

DEADLINE_S = 40.0


class Parrot(Dialect):
    """Does what its client requests, and reports what it is called with."""

    later = ""
    """A plan to start as soon as something is refused."""
    events: ClassVar[list[PlanEvent]] = []
    """The events that all of them received."""

    def on_open(self) -> Iterable[Action]:
        yield SendFrame({"said": "hello"})

    def on_message(self, frame: Mapping[str, Any]) -> Iterable[Action]:
        match frame:
            case {"follow": str(plan_id), "after": int(offset), "epoch": str(epoch)}:
                yield Follow(plan_id, Position(epoch, offset))
            case {"follow": str(plan_id), "since": ("now" | "start" | "snapshot") as since}:
                yield Follow(plan_id, since)
            case {"unfollow": str(plan_id)}:
                yield Unfollow(plan_id)
            case {"start": str(template), "plan": str(plan_id)}:
                yield Start(template, {}, plan_id)
            case {"later": str(plan_id)}:
                self.later = plan_id
            case {"cancel": str(plan_id)}:
                yield ControlPlan(plan_id, "cancel")
            case {"bye": _}:
                yield from (Disconnect(CloseCode.NORMAL, "bye"), SendFrame({"said": "too late"}))
            case {"stumble": _}:
                raise RuntimeError("a mistake in a dialect")
            case _:
                yield SendFrame({"said": "what?"})

    def on_started(self, plan_id: str) -> Iterable[Action]:
        yield SendFrame({"started": plan_id})

    def on_event(self, told: FollowedEvent) -> Iterable[Action]:
        self.events.append(told.event)
        yield SendFrame(said_of(told))

    def on_refused(self, refusal: RefusedAction) -> Iterable[Action]:
        yield SendFrame({"refused": refusal.code, "plan": refusal.plan_id, "act": refusal.action})
        if self.later:
            plan_id, self.later = self.later, ""
            yield Start("good", plan_id=plan_id, input={})


def said_of(told: FollowedEvent) -> dict[str, Any]:
    content = getattr(told.event, "content", None)
    return {"at": told.position.offset, "type": told.event.type, "content": content, "retold": told.rebuilt}


class Works:
    """An engine as the hub uses it. While `gate` is cleared, starting a plan waits."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str, str | None]] = []
        self.signals: list[tuple[str, str]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    @property
    def parts(self) -> Mapping[str, Part]:
        return {}

    def statistics(self) -> EngineStatistics:
        return EngineStatistics()

    def templates(self) -> Sequence[TemplateInfo]:
        return []

    async def start(self, template: str, given: Mapping[str, Any], plan_id: str, owner: str | None) -> bool:  # noqa: ARG002
        await self.gate.wait()
        failures: dict[str, Exception] = {
            "odd": InputRejected("unfit"),
            "none": TemplateNotFound("unknown"),
            "away": EngineUnreachable("away"),
            "torn": BrokenTemplate("torn"),
            "broken": RuntimeError("broken"),
        }
        if template in failures:
            raise failures[template]
        self.started.append((template, plan_id, owner))
        return True

    async def signal(self, plan_id: str, signal: SignalName, by: str) -> None:  # noqa: ARG002
        if plan_id != "p":
            raise PlanNotRunning("nobody runs it")
        self.signals.append((plan_id, signal))


def parrots(hub: Hub) -> FastAPI:
    app = FastAPI()

    @app.websocket("/parrot")
    async def parrot(websocket: WebSocket) -> None:
        await serve_dialect(hub, websocket, Parrot())

    @app.get("/recital/{plan_id}")
    async def recital(plan_id: str, request: Request) -> Response:
        told = PlanFeed(plan_id, lambda told: [SendFrame(said_of(told), told.position)])
        spoken = DialectStream(hub, request, Principal.development(), told, as_message)
        return StreamedResponse(spoken.frames(), HEADERS, spoken.outlet.ended, spoken.leave)

    return app


@asynccontextmanager
async def nest(folder: Path, **settings: Any) -> AsyncGenerator[tuple[Hub, str]]:
    """A hub, and the address of its parrots."""
    async with house(folder, **settings) as hub, serving(hub, app=parrots(hub)) as url:
        yield hub, url.replace("/ws/streaming", "/parrot")


async def hear(line: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(DEADLINE_S):
        frame: dict[str, Any] = json.loads(await line.recv())
    return frame


async def ask(line: ClientConnection, **frame: Any) -> dict[str, Any]:
    await line.send(json.dumps(frame))
    return await hear(line)


async def code(line: ClientConnection) -> int | None:
    with suppress(ConnectionClosed):
        async with asyncio.timeout(DEADLINE_S):
            while True:
                await line.recv()
    return line.close_code


async def test_a_plan_is_followed_from_a_position_and_unfollowed(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), connect(url) as line:
        assert await hear(line) == {"said": "hello"}
        place = await say(hub, "p", 3)
        events = {"type": "agent_message", "content": "", "retold": False}
        assert await ask(line, follow="p", after=1, epoch=place.epoch) == {"at": 2, **events}
        assert await hear(line) == {"at": 3, **events}
        await line.send(json.dumps({"follow": "p", "since": "start"}))  # it is followed already: nothing changes
        await say(hub, "p", 1)
        assert await hear(line) == {"at": 4, **events}
        await line.send(json.dumps({"unfollow": "p"}))
        assert await ask(line, who=1) == {"said": "what?"}
        await say(hub, "p", 1)
        assert await ask(line, who=2) == {"said": "what?"}


async def test_a_snapshot_is_passed_on_as_events(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), connect(url) as line:
        await hear(line)
        await hub.broadcaster.send_agent_message("p", "Ana", "one")
        await hub.broadcaster.send_plan_update("p", status="completed", content="two")
        first = await ask(line, follow="p", since="snapshot")
        told = [first, await hear(line), await hear(line)]
        assert [(one["type"], one["content"]) for one in told[1:]] == [("agent_message", "one"), ("plan_update", "two")]
        assert {one["retold"] for one in told} == {True}
        assert told[-1]["at"] == 2


async def test_an_event_is_parsed_once_for_all_clients(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), AsyncExitStack() as lines:
        here = [await lines.enter_async_context(connect(url)) for _ in range(5)]
        await say(hub, "p", 1)
        for line in here:
            await hear(line)
            assert (await ask(line, follow="p", since="start"))["at"] == 1
        Parrot.events.clear()
        await say(hub, "p", 3)
        for line in here:
            assert [(await hear(line))["at"] for _ in range(3)] == [2, 3, 4]
        assert len(Parrot.events) == 15
        assert len({id(event) for event in Parrot.events}) == 3


async def test_a_snapshot_is_parsed_once_for_all_clients(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), AsyncExitStack() as lines:
        here = [await lines.enter_async_context(connect(url)) for _ in range(5)]
        await say(hub, "p", 1)
        Parrot.events.clear()
        for line in here:
            await hear(line)
            await ask(line, follow="p", since="snapshot")
            while (await hear(line))["type"] != "plan_update":
                pass
        assert len(Parrot.events) == 5 * len({id(event) for event in Parrot.events})


async def test_requests_to_the_engine_succeed_or_are_refused(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), connect(url) as line:
        await hear(line)
        refused = {"plan": "p", "act": "start"}
        assert await ask(line, start="good", plan="p") == {"refused": "not_supported", **refused}
        works = hub.engine = Works()
        assert await ask(line, start="good", plan="p") == {"started": "p"}
        assert works.started == [("good", "p", "development")]
        for template, why in (
            ("odd", "invalid_field"),
            ("none", "not_supported"),
            ("away", "unavailable"),
            ("torn", "internal"),
        ):
            assert await ask(line, start=template, plan="p") == {"refused": why, **refused}
        assert await ask(line, cancel="q") == {"refused": "not_supported", "plan": "q", "act": "signal"}
        await line.send(json.dumps({"cancel": "p"}))
        assert await ask(line, who=1) == {"said": "what?"}
        async with asyncio.timeout(DEADLINE_S):
            while not works.signals:
                await asyncio.sleep(0.01)
        assert works.signals == [("p", "cancel")]


async def test_an_engine_that_fails_is_a_refusal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with nest(tmp_path) as (hub, url), connect(url) as line:
        await hear(line)
        hub.engine = Works()
        assert await ask(line, start="broken", plan="p") == {"refused": "internal", "plan": "p", "act": "start"}
    assert "broken" in caplog.text


async def test_a_plan_is_started_even_if_its_client_has_gone(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url):
        works = hub.engine = Works()
        works.gate.clear()
        async with connect(url) as line:
            await hear(line)
            for number in range(9):
                await line.send(json.dumps({"start": "good", "plan": f"p{number}"}))
            assert await hear(line) == {"refused": "too_many_requests", "plan": "p8", "act": "start"}
        works.gate.set()
        async with asyncio.timeout(DEADLINE_S):
            while len(works.started) < 8:
                await asyncio.sleep(0.01)


async def test_nothing_is_sent_after_a_disconnect(tmp_path: Path) -> None:
    async with nest(tmp_path) as (_, url), connect(url) as line:
        await hear(line)
        await line.send('{"bye": 1}')
        async with asyncio.timeout(DEADLINE_S):
            assert [frame async for frame in line] == []
        assert (line.close_code, line.close_reason) == (1000, "bye")


async def test_an_error_in_a_dialect_closes_only_its_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with nest(tmp_path) as (_, url), connect(url) as one, connect(url) as other:
        for line in (one, other):
            await hear(line)
        await one.send('{"stumble": 1}')
        assert await code(one) == 1011
        assert await ask(other, who=1) == {"said": "what?"}
    assert "Parrot: a mistake in a dialect" in caplog.text


@pytest.mark.parametrize("frame", ["{", "[1]", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100])
async def test_a_message_that_is_no_json_object_is_refused(tmp_path: Path, frame: str) -> None:
    async with nest(tmp_path) as (_, url), connect(url) as line:
        await hear(line)
        await line.send(frame)
        assert (await hear(line))["refused"] == "bad_frame"


async def test_frames_are_limited(tmp_path: Path) -> None:
    async with nest(tmp_path, max_frame_bytes=1024) as (_, url):
        async with connect(url) as line:
            await line.send(json.dumps({"long": "x" * 1024}))
            assert await code(line) == 1009
        async with connect(url) as line:
            await line.send(b"{}")
            assert await code(line) == 1003
    (tmp_path / "slow").mkdir()
    async with nest(tmp_path / "slow", frames_per_second=0.1) as (_, url), connect(url) as line:
        for _ in range(600):
            await line.send("{}")
        assert await code(line) == 4429


async def test_clients_must_authenticate(tmp_path: Path) -> None:
    async with nest(tmp_path, auth_secret=SECRET) as (hub, url):
        good = token_of(hub, "ada", {"p": ["read"]})
        async with connect(url) as line:  # nothing is sent before the client has authenticated
            assert await ask(line, who=1) == {"refused": "unauthenticated", "plan": None, "act": None}
            assert (await ask(line, type="authenticate", token=good))["type"] == "authenticated"
            assert await hear(line) == {"said": "hello"}
            assert await ask(line, follow="q", since="start") == {"refused": "forbidden", "plan": "q", "act": "follow"}
            assert await ask(line, cancel="p") == {"refused": "forbidden", "plan": "p", "act": "signal"}
            assert await ask(line, start="good", plan="p") == {"refused": "forbidden", "plan": "p", "act": "start"}
        async with connect(url, additional_headers={"Authorization": f"Bearer {good}"}) as line:
            assert await hear(line) == {"said": "hello"}
        async with connect(url) as line:
            await line.send(json.dumps({"type": "authenticate", "token": "x"}))
            assert await code(line) == 4501


async def test_nothing_is_started_with_an_expired_token(tmp_path: Path) -> None:
    async with nest(tmp_path, auth_secret=SECRET) as (hub, url):
        works = hub.engine = Works()
        short = token_of(hub, "ada", {"p": ["read", "start"]}, seconds=3 - hub.settings.auth_leeway)
        async with connect(url, additional_headers={"Authorization": f"Bearer {short}"}) as line:
            assert await hear(line) == {"said": "hello"}
            await line.send(json.dumps({"later": "p"}))
            assert await hear(line) == {"refused": "token_expired", "plan": None, "act": None}
            assert await hear(line) == {"refused": "token_expired", "plan": "p", "act": "start"}
            fresh = token_of(hub, "ada", {"p": ["start"]})
            assert (await ask(line, type="authenticate", token=fresh))["type"] == "authenticated"
            assert await ask(line, start="good", plan="p") == {"started": "p"}
        assert works.started == [("good", "p", "ada")]


async def test_foreign_pages_and_too_many_connections_are_refused(tmp_path: Path) -> None:
    async with nest(tmp_path, max_connections_per_address=1) as (_, url):
        async with connect(url, origin="https://evil.example") as line:  # type: ignore[arg-type]
            assert await code(line) == 4504
        async with connect(url) as one:
            assert await hear(one) == {"said": "hello"}
            async with connect(url) as other:
                assert await code(other) == 4429


async def test_a_drain_closes_it(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url), connect(url) as line:
        await hear(line)
        draining = asyncio.create_task(hub.drain(10))
        assert await code(line) == 1012
        await draining


async def test_a_slow_reader_receives_everything_and_uses_little_memory(tmp_path: Path) -> None:
    async with (
        nest(tmp_path, outlet_bytes=16 * 1024) as (hub, url),
        connect(url, max_queue=1) as line,
        connect(url) as quick,
    ):
        for one in (line, quick):
            await hear(one)
            await one.send(json.dumps({"follow": "p", "since": "start"}))
        await say(hub, "p", 400, 8 * 1024)
        assert [(await hear(quick))["at"] for _ in range(400)] == [*range(1, 401)]
        assert max(connection._outlet.unread() for connection in hub.roster._connections) < 512 * 1024
        assert [(await hear(line))["at"] for _ in range(400)] == [*range(1, 401)]


async def test_over_http_a_plan_is_streamed_to_its_end(tmp_path: Path) -> None:
    async with nest(tmp_path) as (hub, url):
        http_url = url.replace("ws://", "http://").removesuffix("/parrot")
        async with httpx.AsyncClient(base_url=http_url, timeout=DEADLINE_S) as http:
            await hub.broadcaster.send_agent_message("p", "Ana", "one")
            async with http.stream("GET", "/recital/p") as response:
                lines = response.aiter_lines()
                epoch = (await anext(lines)).removeprefix("id: ").partition(":")[0]
                assert '"content":"one"' in await anext(lines)
                await hub.broadcaster.send_plan_update("p", status="completed")
                rest = [line async for line in lines if line]
            assert rest[0] == f"id: {epoch}:2"
            assert len(rest) == 2
