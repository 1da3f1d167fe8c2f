"""Durable Streams over generated logs: however a log is read, and however often a batch is sent, each item is there once
(P-DST-2 to P-DST-5, P-DST-7)."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasters.event_bytes import encoded_event
from broadcasters.events import PlanEvent, parse
from broadcasters.fold import fold
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty, encode
from hub.app import create_app
from hub.config.settings import Settings
from hub.node import Hub
from hub.wire.frames import event_frame, event_prefix, snapshot_frame
from tests.broadcasters.strategies import events
from tests.hub.core.scripted_log import ScriptedLog
from tests.hub.hubs import Said

numbers = itertools.count(1)
batches = st.lists(st.none() | events, min_size=1, max_size=6)


@dataclass
class Plan:
    """A plan in the log of the tests, and what was appended to it."""

    log: ScriptedLog
    plan_id: str = field(default_factory=lambda: f"plan-{next(numbers)}")
    stored: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    """The epoch and the payload of each event."""
    lossy: bool = False
    """Events were trimmed, or lost when the log's server was replaced."""
    lost: dict[str, Sequence[bytes]] = field(default_factory=dict[str, Sequence[bytes]])
    """Offsets that the log has no longer, and the frames up to them."""

    @property
    def head(self) -> int:
        return len(self.stored)

    def append(self, batch: Sequence[PlanEvent | None]) -> None:
        payloads = [self._payload(event, number) for number, event in enumerate(batch, self.head + 1)]
        self.log.tell(*payloads, plan_id=self.plan_id)
        epoch = self.log.story(self.plan_id).lineage.epoch
        self.stored += [(epoch, payload) for payload in payloads]

    def _payload(self, event: PlanEvent | None, number: int) -> bytes:
        if event is None:
            return encoded_event("later_type", f"i{number}", b'{"plan_id":"%b"}' % self.plan_id.encode())
        return event.model_copy(update={"plan_id": self.plan_id}).payload(f"i{number}")

    def restart(self, lost: int) -> None:
        """The log's server is replaced; the last events are lost."""
        story = self.log.story(self.plan_id)
        keep = max(self.head - lost, story.checkpoint.position.offset if story.checkpoint else 1)
        if keep < self.head:
            story.fork(keep)
            self.lossy = True
            for upto in range(keep + 1, self.head + 1):
                self.lost[self.offset(upto)] = [*self.frames(1, upto)]
            del self.stored[keep:]
        story.restart()
        for watch in self.log.watching(self.plan_id):
            watch.lose()
            watch.resume()

    def trim(self, window: int) -> None:
        self.lossy = True
        self.log.story(self.plan_id).trim(window)

    def offset(self, at: int) -> str:
        """The offset after an event has the epoch of the event."""
        return f"{at:016}_{self.stored[at - 1][0]}"

    def frames(self, first: int, last: int) -> Iterator[bytes]:
        for offset in range(first, last + 1):
            epoch, payload = self.stored[offset - 1]
            yield event_frame(event_prefix(self.plan_id, epoch), offset, payload)

    def snapshot(self, upto: int) -> bytes:
        return snapshot_frame(self.plan_id, Position(self.stored[upto - 1][0], upto), encode(self.folded(upto)))

    def folded(self, upto: int) -> Snapshot:
        return fold(empty(self.plan_id), 1, [parse(payload) for _, payload in self.stored[:upto]])


@dataclass
class Reader:
    """A client that reads a plan by the offsets that it receives."""

    plan: Plan
    app: Any
    http: httpx.AsyncClient
    offset: str = "-1"
    at: int = 0
    closed: bool = False

    @property
    def _path(self) -> str:
        return f"/streams/{self.plan.plan_id}"

    async def get(self, **more: str) -> None:
        head = self.plan.head
        response = await self.http.get(self._path, params={"offset": self.offset, **more})
        if response.status_code == 410:
            assert self.plan.lossy
            self.offset, self.at, self.closed = "-1", 0, False
        else:
            assert response.status_code in (200, 204), response.text
            headers = response.headers
            about = headers["stream-next-offset"], "stream-up-to-date" in headers, "stream-closed" in headers
            self.take(response.content or b"[]", *about, head)

    async def poll(self, batch: Sequence[PlanEvent | None]) -> None:
        """Wait for the batch, if the stream is at its head; it may also be appended before the poll arrives."""
        polling = asyncio.ensure_future(self.get(live="long-poll"))
        for _ in range(len(batch) * 3):
            await asyncio.sleep(0)
        if not polling.done():
            self.plan.append(batch)
        await polling

    async def follow(self, more: Sequence[Sequence[PlanEvent | None]]) -> None:
        """Server-sent events up to the head; the batches are appended meanwhile."""
        waiting, data = [*more], b"[]"
        async with aclosing(body(self.app, self._path, f"offset={self.offset}&live=sse")) as pieces:
            status = await anext(pieces)
            if status == b"status: 410":
                await self.get()
                return
            async for event in pieces:
                kind, _, text = event.partition(b"\ndata: ")
                if kind == b"event: data":
                    data = text
                    continue
                control = json.loads(text)
                about = control["streamNextOffset"], "upToDate" in control, "streamClosed" in control
                self.take(data, *about, self.plan.head)
                data = b"[]"
                if self.offset not in self.plan.lost and self.at == self.plan.head and not self.closed:
                    if not waiting:
                        return
                    self.plan.append(waiting.pop(0))
            assert self.closed or self.offset in self.plan.lost, "it ended without reason"

    def take(self, items: bytes, offset: str, at_head: bool, closed: bool, head: int) -> None:
        """Check the items: exactly those that follow, each with the bytes that it has for every reader. `head`: the plan's
        when the client requested them."""
        last = int(offset[:16])
        expected: list[bytes] = []
        if items.startswith(b'[{"type":"snapshot"'):
            assert self.offset == "-1"
            assert self.plan.lossy
            self.at = json.loads(items)[0]["offset"]
            expected.append(self.plan.snapshot(self.at))
        if offset in self.plan.lost:  # read before this node noticed that the log's server was replaced
            assert items == b"[%b]" % b",".join(self.plan.lost[offset][self.at :])
            self.offset, self.at, self.closed = offset, last, closed
            return
        assert items == b"[%b]" % b",".join([*expected, *self.plan.frames(self.at + 1, last)])
        assert offset == self.plan.offset(last)
        assert at_head in (last == self.plan.head, last >= head), "the head may have moved during the request"
        ended = at_head and self.plan.folded(last).ended_at is not None
        assert closed in (ended, ended and head == self.plan.head)
        self.offset, self.at, self.closed = offset, last, closed


async def body(app: Any, path: str, query: str) -> AsyncGenerator[bytes]:
    """The server-sent events of a response, until it ends or the generator is closed."""
    sent: asyncio.Queue[Any] = asyncio.Queue()
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode()}
    scope |= {
        "headers": [(b"host", b"localhost")],
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
        "http_version": "1.1",
    }
    response = asyncio.ensure_future(app(scope, receive, sent.put))
    try:
        status = (await sent.get())["status"]
        yield b"status: %d" % status
        pieces = b""
        while (message := await sent.get()).get("more_body"):
            *events, pieces = (pieces + message["body"]).split(b"\n\n")
            for event in events:
                yield event
    finally:
        gone.set()
        await response


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def scripted(runner: asyncio.Runner) -> Iterator[tuple[ScriptedLog, Any, httpx.AsyncClient]]:
    """A log of the tests, a hub on it, and a client of that."""
    log = ScriptedLog()
    hub = Hub(Settings(log="sqlite:///never-opened.db", requests_per_second_per_address=1e6), log=log)
    app = create_app(hub)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
    runner.run(hub.__aenter__())
    yield log, app, http
    runner.run(http.aclose())
    runner.run(hub.__aexit__())


@settings(max_examples=40)
@given(st.data())
def test_a_log_that_is_read_in_any_pieces_gives_each_item_once(
    scripted: tuple[ScriptedLog, Any, httpx.AsyncClient], runner: asyncio.Runner, data: st.DataObject
) -> None:
    """P-DST-2 to P-DST-5"""
    log, app, http = scripted
    runner.run(read_in_pieces(Plan(log), app, http, data))


async def read_in_pieces(plan: Plan, app: Any, http: httpx.AsyncClient, data: st.DataObject) -> None:
    readers = [Reader(plan, app, http) for _ in range(2)]
    plan.append(data.draw(batches))
    for _ in range(data.draw(st.integers(1, 8))):
        reader = readers[data.draw(st.integers(0, 1))]
        match data.draw(st.sampled_from(["append", "trim", "restart", "get", "get", "poll", "follow", "follow"])):
            case "append":
                plan.append(data.draw(batches))
            case "trim":
                plan.trim(data.draw(st.integers(0, 8)))
            case "restart":
                plan.restart(data.draw(st.integers(0, 3)))
            case "get":
                await reader.get()
            case "poll":
                await reader.poll(data.draw(batches))
            case _:
                await reader.follow(data.draw(st.lists(batches, max_size=3)))
    for reader in readers:
        await reader.get()
        if reader.offset == "-1":  # what it had read is not there any more
            await reader.get()
        assert reader.at == plan.head


@pytest.fixture(scope="module")
def two_nodes(
    runner: asyncio.Runner, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[httpx.AsyncClient]]:
    """Clients of two hubs on one log."""
    log = f"sqlite:///{tmp_path_factory.mktemp('plans')}/plans.db"
    hubs = [Hub(Settings(log=log, requests_per_second_per_address=1e6)) for _ in range(2)]
    https = [
        httpx.AsyncClient(transport=httpx.ASGITransport(create_app(hub)), base_url="http://localhost") for hub in hubs
    ]
    for hub in hubs:
        runner.run(hub.__aenter__())
    yield https
    for hub, http in zip(hubs, https, strict=True):
        runner.run(http.aclose())
        runner.run(hub.__aexit__())


@dataclass
class Producer:
    """A client that numbers its batches, and what it has sent."""

    name: str
    plan_id: str
    epoch: int = 0
    stored: list[list[list[str]]] = field(default_factory=lambda: [[]])
    """The texts of its batches, of each epoch."""

    @property
    def seq(self) -> int:
        return len(self.stored[self.epoch])

    @property
    def texts(self) -> list[str]:
        return [text for epoch in self.stored for batch in epoch for text in batch]

    def batch(self, epoch: int, seq: int) -> list[str]:
        return [f"{self.name} {epoch} {seq} {number}" for number in range(1 + (epoch + seq) % 3)]

    async def send(self, http: httpx.AsyncClient, epoch: int, seq: int) -> int:
        about = {"Producer-Id": self.name, "Producer-Epoch": str(epoch), "Producer-Seq": str(seq)}
        events = [Said.message(text) for text in self.batch(epoch, seq)]
        return (await http.post(f"/streams/{self.plan_id}", json=events, headers=about)).status_code

    async def send_next(self, https: Sequence[httpx.AsyncClient]) -> None:
        """To each of these nodes, at once; the client learns only that one of them has stored it."""
        statuses = await asyncio.gather(*[self.send(http, self.epoch, self.seq) for http in https])
        assert set(statuses) <= {200, 204}
        self.stored[self.epoch].append(self.batch(self.epoch, self.seq))

    async def send_several(self, https: Sequence[httpx.AsyncClient]) -> None:
        """One after the other without waiting; those that arrived too early are sent again."""
        first, last = self.seq, self.seq + len(https)
        sent = [self.send(http, self.epoch, seq) for seq, http in zip(range(first, last), https, strict=True)]
        statuses = await asyncio.gather(*sent)
        for seq, status, http in zip(range(first, last), statuses, https, strict=True):
            assert status in (200, 409)
            if status == 409:
                assert await self.send(http, self.epoch, seq) in (200, 204)
            self.stored[self.epoch].append(self.batch(self.epoch, seq))


@settings(max_examples=20)
@given(st.data())
def test_batches_that_are_repeated_lost_or_late_are_stored_once_and_in_order(
    two_nodes: Sequence[httpx.AsyncClient], runner: asyncio.Runner, data: st.DataObject
) -> None:
    """P-DST-7"""
    runner.run(produce(two_nodes, data))


async def produce(nodes: Sequence[httpx.AsyncClient], data: st.DataObject) -> None:
    plan_id = f"plan-{next(numbers)}"
    producers = [Producer(name, plan_id) for name in "ab"]
    several = st.lists(st.sampled_from(nodes), min_size=1, max_size=4)
    for _ in range(data.draw(st.integers(1, 8))):
        producer = producers[data.draw(st.integers(0, 1))]
        https = data.draw(several)
        match data.draw(st.sampled_from(["next", "next", "several", "repeat", "restart", "gap"])):
            case "next":
                await producer.send_next(https)
            case "several":
                await producer.send_several(https)
            case "repeat" if producer.seq:
                old = data.draw(st.integers(0, producer.seq - 1))
                assert {await producer.send(http, producer.epoch, old) for http in https} == {204}
            case "restart":
                producer.epoch += 1
                producer.stored.append([])
                await producer.send_next(https)
                late = producer.epoch - 1, len(producer.stored[-2])
                assert {await producer.send(http, *late) for http in nodes} == {403}, "a zombie is fenced off"
            case _:
                assert {await producer.send(http, producer.epoch, producer.seq + 1) for http in https} == {409}
    response = await nodes[0].get(f"/streams/{plan_id}")
    stored = [frame["data"]["content"] for frame in response.json()] if response.status_code == 200 else []
    for producer in producers:
        assert [text for text in stored if text.startswith(producer.name)] == producer.texts
