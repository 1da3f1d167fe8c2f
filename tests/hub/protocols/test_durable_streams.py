"""Durable Streams over HTTP (P-DST-1 to P-DST-8)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.position import Lineage, Position
from hub.protocols.durable_streams.offsets import offset_text, position_at, position_in_text
from tests.faults.credentials import AUDIENCE, SECRET, token
from tests.hub.hubs import Said, say
from tests.hub.protocols.trimming import trim
from tests.servers.hub import HubServer

END = Said.update(status="completed")


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.sampled_from(["", "k3f9", "zz"]), st.sampled_from(["", "a1"]))
def test_offsets_sort_as_text(one: int, other: int, epoch: str, other_epoch: str) -> None:
    """P-DST-2"""
    first, second = offset_text(Position(epoch, one)), offset_text(Position(other_epoch, other))
    assert one == other or (first < second) == (one < other)
    assert position_in_text(first) == Position(epoch, one)


def test_an_event_keeps_the_offset_of_its_own_epoch() -> None:
    """P-DST-2: what follows an offset never changes, also when the log's server was restarted meanwhile."""
    lineage = Lineage("c", (("a", 2), ("b", 4)))
    assert [position_at(lineage, offset).epoch for offset in range(7)] == ["", "a", "a", "b", "b", "c", "c"]


@pytest.mark.parametrize(
    "text", ["", "1", "57_k3f9", "0000000000000057", "0000000000000057_k-", "-2", "\uff10" * 16 + "_a"]
)
def test_other_texts_are_no_offsets(text: str) -> None:
    assert position_in_text(text) is None


async def read(client: httpx.AsyncClient, plan_id: str, **query: Any) -> httpx.Response:
    return await client.get(f"/streams/{plan_id}", params=query)


async def append(client: httpx.AsyncClient, plan_id: str, events: Any, **headers: str) -> httpx.Response:
    return await client.post(
        f"/streams/{plan_id}", json=events, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


def offsets(response: httpx.Response) -> list[int]:
    return [frame["offset"] for frame in response.json()]


class TestReading:
    async def test_the_frames_are_those_of_the_log(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-1, P-DST-2"""
        await say(client, plan_id, *[Said.message(f"{n}", message_id="m", append=True) for n in range(5)])
        whole = await read(client, plan_id)
        assert (whole.status_code, whole.headers["content-type"], offsets(whole)) == (
            200,
            "application/json",
            [1, 2, 3, 4, 5],
        )
        assert whole.headers["stream-up-to-date"] == "true"
        assert "stream-closed" not in whole.headers
        events = (await client.get(f"/api/plans/{plan_id}/events")).json()["events"]
        assert whole.json() == events
        assert (await read(client, plan_id, offset="now")).json() == []
        unchanged = await client.get(f"/streams/{plan_id}", headers={"If-None-Match": whole.headers["etag"]})
        assert (unchanged.status_code, unchanged.content) == (304, b"")

    async def test_head_gives_the_tail(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-1"""
        assert (await client.head(f"/streams/{plan_id}")).status_code == 404
        await say(client, plan_id, Said.message("one"), Said.message("two"))
        head = await client.head(f"/streams/{plan_id}")
        assert (head.status_code, head.headers["content-type"], head.content) == (200, "application/json", b"")
        assert head.headers["stream-next-offset"].startswith(f"{2:016}_")
        assert head.headers["cache-control"] == "no-store"
        await say(client, plan_id, END)
        assert (await client.head(f"/streams/{plan_id}")).headers["stream-closed"] == "true"

    @pytest.mark.parametrize(
        "query", ["offset=", "offset=x", "offset=-1&offset=-1", "live=sse", "live=long-poll", "offset=-1&live=x"]
    )
    async def test_bad_requests(self, client: httpx.AsyncClient, plan_id: str, query: str) -> None:
        await say(client, plan_id, Said.message("one"))
        refused = await client.get(f"/streams/{plan_id}?{query}")
        assert refused.status_code == 400
        assert refused.headers["content-type"].startswith("text/plain")

    async def test_an_unknown_plan(self, client: httpx.AsyncClient, plan_id: str) -> None:
        unknown = await read(client, plan_id)
        assert (unknown.status_code, unknown.text) == (404, "there is no such plan; its first event creates it\n")

    async def test_a_long_poll_returns_with_the_next_event(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-3"""
        await say(client, plan_id, Said.message("one"))
        tail = (await client.head(f"/streams/{plan_id}")).headers["stream-next-offset"]
        polls = [
            asyncio.ensure_future(read(client, plan_id, offset=tail, live="long-poll", cursor="5")) for _ in range(2)
        ]
        await asyncio.sleep(0)
        await say(client, plan_id, Said.message("two"))
        for poll in polls:
            found = await poll
            assert (found.status_code, offsets(found)) == (200, [2])
            assert int(found.headers["stream-cursor"]) > 5
        later = await read(client, plan_id, offset=tail)
        assert later.json() == (await polls[0]).json(), "what follows an offset is the same, live and later"

    async def test_an_ended_plan_is_a_closed_stream(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-4"""
        await say(client, plan_id, Said.message("one"), END)
        whole = await read(client, plan_id)
        tail = whole.headers["stream-next-offset"]
        assert whole.headers["stream-closed"] == "true"
        poll = await read(client, plan_id, offset=tail, live="long-poll")
        assert (poll.status_code, poll.headers["stream-closed"]) == (204, "true")
        async with follow(client, plan_id, tail) as events:
            assert [event async for event in events] == [
                ("control", {"streamNextOffset": tail, "upToDate": True, "streamClosed": True})
            ]

    async def test_server_sent_events(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-3"""
        await say(client, plan_id, Said.message("one"))
        async with follow(client, plan_id, "-1") as events:
            assert [frame["offset"] for frame in (await anext(events))[1]] == [1]
            assert (await anext(events))[1]["upToDate"] is True
            await say(client, plan_id, Said.message("two"), END)
            rest = [event async for event in events]
        frames = [frame["offset"] for kind, data in rest if kind == "data" for frame in data]
        assert frames == [2, 3]
        assert rest[-1][1]["streamClosed"] is True

    async def test_a_trimmed_log(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-5"""
        await say(client, plan_id, *[Said.message(f"{n}") for n in range(4)])
        early = (await read(client, plan_id)).json()[0]
        assert await trim(client, plan_id) == 4
        await say(client, plan_id, Said.message("five"))
        begin = await read(client, plan_id)
        assert [(frame["type"], frame["offset"]) for frame in begin.json()] == [("snapshot", 4), ("agent_message", 5)]
        gone = await read(client, plan_id, offset=f"{2:016}_{early['epoch']}")
        assert (gone.status_code, "trimmed" in gone.text) == (410, True)
        other = await read(client, plan_id, offset=f"{5:016}_other")
        assert (other.status_code, "epoch" in other.text) == (410, True)


@asynccontextmanager
async def follow(
    client: httpx.AsyncClient, plan_id: str, offset: str
) -> AsyncGenerator[AsyncGenerator[tuple[str, Any]]]:
    """The events of a stream, without their cursors."""
    url = f"/streams/{plan_id}?offset={offset}&live=sse"
    async with asyncio.timeout(60), client.stream("GET", url) as response:
        assert response.headers["content-type"].startswith("text/event-stream")

        async def events() -> AsyncGenerator[tuple[str, Any]]:
            kind = ""
            async for line in response.aiter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    data = json.loads(line[6:])
                    if kind == "control":
                        assert data.pop("streamCursor").isdecimal()
                    yield kind, data

        yield events()


class TestAppending:
    async def test_events_are_stored(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-6"""
        done = await append(client, plan_id, [Said.message("one"), Said.message("two")])
        assert (done.status_code, done.headers["stream-next-offset"][:16]) == (204, f"{2:016}")
        assert (await append(client, plan_id, Said.message("three"))).status_code == 204
        assert [frame["data"]["content"] for frame in (await read(client, plan_id)).json()] == ["one", "two", "three"]

    @pytest.mark.parametrize(
        ("body", "status", "says"),
        [
            ([], 400, "empty"),
            ([3], 422, "expected an array"),
            ([{"type": "unknown", "data": {}}], 422, "unknown event type"),
            ([Said.message("x"), {"type": "agent_message", "data": {}}], 422, "events.1.data"),
            ([{"type": "agent_message", "data": {"plan_id": "other"}}], 422, "must be"),
            ([Said.message("x")] * 300, 413, "at most 256"),
        ],
    )
    async def test_what_is_no_event(
        self, client: httpx.AsyncClient, plan_id: str, body: Any, status: int, says: str
    ) -> None:
        refused = await append(client, plan_id, body)
        assert (refused.status_code, says in refused.text) == (status, True), refused.text
        assert (await read(client, plan_id)).status_code == 404, "nothing was stored"

    async def test_a_batch_is_stored_once(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-7"""

        async def send(seq: int, text: str, epoch: int = 0, producer: str = "p") -> httpx.Response:
            about = {"Producer_Id": producer, "Producer_Epoch": str(epoch), "Producer_Seq": str(seq)}
            return await append(client, plan_id, [Said.message(text)], **about)

        assert (await send(1, "too early")).headers["producer-expected-seq"] == "0"
        first = await send(0, "a")
        assert (first.status_code, first.headers["stream-next-offset"][:16]) == (200, f"{1:016}")
        assert (await send(0, "a")).status_code == 204
        gap = await send(2, "c")
        assert (gap.status_code, gap.headers["producer-expected-seq"], gap.headers["producer-received-seq"]) == (
            409,
            "1",
            "2",
        )
        assert [(await send(n, "bc"[n - 1])).status_code for n in (1, 2)] == [200, 200]
        assert (await send(0, "other", producer="q")).status_code == 200
        assert (await send(1, "x", epoch=1)).status_code == 400
        assert (await send(0, "d", epoch=1)).status_code == 200
        stale = await send(3, "zombie")
        assert (stale.status_code, stale.headers["producer-epoch"]) == (403, "1")
        contents = [frame["data"]["content"] for frame in (await read(client, plan_id)).json()]
        assert contents == ["a", "b", "c", "other", "d"]

    async def test_batches_that_arrive_at_once(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-7: the same batch ten times, sent concurrently."""
        about = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0"}
        sent = await asyncio.gather(*[append(client, plan_id, [Said.message("a")], **about) for _ in range(10)])
        assert sorted(one.status_code for one in sent) == [200, *[204] * 9]
        assert offsets(await read(client, plan_id)) == [1]

    async def test_closing(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-8"""
        await say(client, plan_id, Said.message("one"))
        closed = await client.post(f"/streams/{plan_id}", headers={"Stream-Closed": "true"})
        assert (closed.status_code, closed.headers["stream-closed"]) == (204, "true")
        assert (await client.get(f"/api/plans/{plan_id}")).json()["status"] == "completed"
        again = await client.post(f"/streams/{plan_id}", headers={"Stream-Closed": "true"})
        assert again.headers["stream-next-offset"] == closed.headers["stream-next-offset"]
        late = await append(client, plan_id, [Said.message("late")])
        assert (late.status_code, late.headers["stream-closed"]) == (409, "true")
        assert late.headers["stream-next-offset"] == closed.headers["stream-next-offset"]

    async def test_closing_with_the_last_events(self, client: httpx.AsyncClient, plan_id: str) -> None:
        """P-DST-8: a body that ends the plan itself, by its own status, and a repeated batch."""
        about = {"Producer_Id": "p", "Producer_Epoch": "0", "Producer_Seq": "0", "Stream_Closed": "true"}
        for status in (200, 204):
            sent = await append(client, plan_id, [Said.update(status="error", content="No.")], **about)
            assert (sent.status_code, sent.headers["stream-closed"]) == (status, "true")
        assert [frame["data"]["status"] for frame in (await read(client, plan_id)).json()] == ["error"]

    async def test_headers_of_a_producer_come_together(self, client: httpx.AsyncClient, plan_id: str) -> None:
        for headers in ({"Producer_Id": "p"}, {"Producer_Id": "p", "Producer_Epoch": "-1", "Producer_Seq": "0"}):
            assert (await append(client, plan_id, [Said.message("a")], **headers)).status_code == 400
        bad = await client.post(f"/streams/{plan_id}", content=b"text", headers={"Content-Type": "text/plain"})
        assert bad.status_code == 415


@pytest.fixture(scope="module")
def closed_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    log = f"sqlite:///{tmp_path_factory.mktemp('plans')}/plans.db"
    with HubServer(log, auth_secret=SECRET, auth_audience=AUDIENCE) as hub:
        yield hub


async def test_rights(closed_hub: HubServer) -> None:
    """P-DST-1"""
    async with httpx.AsyncClient(base_url=closed_hub.url) as http:
        key = {"Authorization": f"Bearer {token({'mine': ['read', 'publish'], 'other': ['read']})}"}
        assert (await http.get("/streams/mine")).status_code == 401
        for plan, status in (("mine", 204), ("other", 403), ("unknown", 403)):
            sent = await http.post(f"/streams/{plan}", json=[Said.message("a")], headers=key)
            assert sent.status_code == status
        reads = {
            plan: (await http.get(f"/streams/{plan}", headers=key)).status_code for plan in ("mine", "other", "third")
        }
        assert reads == {"mine": 200, "other": 404, "third": 403}
