"""H-PUB-1 to H-PUB-2, H-POL-1, H-POL-3, H-GEN-2: events published and read over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.hub.hubs import Said, say

JSON = {"Content-Type": "application/json"}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = response.json()
    assert (said["code"], said["status"], said["type"]) == (code, status, f"urn:plancast:problem:{code}")
    return said


async def test_one_event_or_several_are_stored_at_the_offsets_returned(client: httpx.AsyncClient, plan_id: str) -> None:
    one = await client.post(f"/api/plans/{plan_id}/events", json=Said.message("first"))
    assert one.status_code == 201
    several = await say(client, plan_id, Said.message("second"), Said.update(status="completed"))
    assert one.json() == {"epoch": several["epoch"], "offsets": [1]}
    assert several["offsets"] == [2, 3]
    page = (await client.get(f"/api/plans/{plan_id}/events")).json()
    assert [event["type"] for event in page["events"]] == ["agent_message", "agent_message", "plan_update"]
    assert [event["offset"] for event in page["events"]] == [1, 2, 3]
    assert {event["data"]["plan_id"] for event in page["events"]} == {plan_id}
    assert (page["epoch"], page["offset"], page["head"]) == (several["epoch"], 3, 3)


async def test_an_event_repeated_with_its_key_is_stored_once(client: httpx.AsyncClient, plan_id: str) -> None:
    url, body = f"/api/plans/{plan_id}/events", {"events": [Said.message("a"), Said.message("b")]}
    answers = [await client.post(url, json=body, headers={"Idempotency-Key": "order-17"}) for _ in range(3)]
    assert [answer.json()["offsets"] for answer in answers] == [[1, 2]] * 3
    assert (await client.get(url)).json()["head"] == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"type": "agent_message"}, "data"),
        ({"type": "agent_message", "data": {"agent_name": "A"}}, "data.content"),
        ({"type": "agent_message", "data": {"agent_name": "A", "content": 1}}, "data.content"),
        ({"type": "gossip", "data": {}}, "type"),
        ({"type": "plan_update", "data": {"plan_id": "another"}}, "data.plan_id"),
        ({"type": "plan_update", "data": []}, "data"),
        ({"type": "plan_update", "data": {"labels": ["a", "~plancast.b"]}}, "data.labels"),
        ({"events": [Said.update(), Said.update(labels=["~plancast."])]}, "events.1.data.labels"),
        ({"events": []}, "events"),
        ({"events": {"type": "plan_update"}}, "events"),
        ({"events": [Said.update(), {"type": "plan_update"}]}, "events.1.data"),
        ({"events": [Said.update(), Said.update(status="gone")]}, "events.1.data.status"),
        ({"events": [Said.update()] * 257}, "events"),
        ([Said.update()], "body"),
        ("hello", "body"),
    ],
)
async def test_an_invalid_field_is_named_as_the_client_wrote_it(
    client: httpx.AsyncClient, plan_id: str, body: Any, field: str
) -> None:
    said = problem(await client.post(f"/api/plans/{plan_id}/events", json=body), 422, "invalid_field")
    assert said["field"] == field
    assert said["detail"].startswith(f"{field}: ")
    assert (await client.get(f"/api/plans/{plan_id}/events")).json()["head"] == 0


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nonsense",
        b'{"type": "plan_update", "data": {"progress": NaN}}',
        b'{"type": "plan_update", "data": {"progress": 1e999}}',
        b'{"type": "agent_message", "data": {"agent_name": "\\ud800", "content": ""}}',
        b'{"type": "agent_message", "data": {"agent_name": "\xff", "content": ""}}',
        b'{"type": "plan_update", "data": ' + b'{"data":' * 5000 + b"1" + b"}" * 5001,
        b'{"type": "plan_update", "data": {"progress": ' + b"9" * 5000 + b"}}",
        b'\xef\xbb\xbf{"type": "plan_update", "data": {}}',
        b"",
    ],
)
async def test_invalid_json_is_reported(client: httpx.AsyncClient, plan_id: str, body: bytes) -> None:
    response = await client.post(f"/api/plans/{plan_id}/events", content=body, headers=JSON)
    assert "JSON" in problem(response, 400, "bad_frame")["detail"]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonish"])
async def test_json_requires_its_content_type(client: httpx.AsyncClient, plan_id: str, kind: str | None) -> None:
    response = await client.post(
        f"/api/plans/{plan_id}/events", content=b"{}", headers={"Content-Type": kind} if kind else {}
    )
    said = problem(response, 415, "not_json")
    assert "application/json" in said["detail"]
    assert (kind or "Content-Type") in said["detail"]


async def chunks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 65536


@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_that_is_too_large_is_not_read(client: httpx.AsyncClient, plan_id: str, announced: bool) -> None:
    body: Any = b" " * (2 * 1024 * 1024) if announced else chunks(32)
    try:
        response = await client.post(f"/api/plans/{plan_id}/events", content=body, headers=JSON)
    except (httpx.WriteError, httpx.RemoteProtocolError):  # the hub closed the connection
        response = await client.post(f"/api/plans/{plan_id}/events", content=b" " * 1_048_577, headers=JSON)
    assert "1,048,576" in problem(response, 413, "too_large")["detail"]


async def test_an_event_that_is_too_large_is_refused_alone(client: httpx.AsyncClient, plan_id: str) -> None:
    response = await client.post(f"/api/plans/{plan_id}/events", json=Said.message("x" * 262_144))
    assert "262,144" in problem(response, 422, "invalid_field")["detail"]
    assert (await say(client, plan_id, Said.message("x" * 250_000)))["offsets"] == [1]


async def test_pages_of_any_size_return_all_events(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, *[Said.message(str(i)) for i in range(7)])
    for limit in (1, 3, 7, 1000):
        told: list[str] = []
        place: dict[str, Any] = {"after": 0}
        while True:
            page = (await client.get(f"/api/plans/{plan_id}/events", params={**place, "limit": limit})).json()
            assert len(page["events"]) <= limit
            told += [event["data"]["content"] for event in page["events"]]
            place = {"after": page["offset"], "epoch": page["epoch"]}
            if page["offset"] == page["head"]:
                break
        assert told == [str(i) for i in range(7)]


@pytest.mark.parametrize(("place", "reason"), [({"after": 9}, "ahead"), ({"after": 1, "epoch": "ffffffff"}, "epoch")])
async def test_a_position_the_log_does_not_have_returns_410_with_the_snapshot(
    client: httpx.AsyncClient, plan_id: str, place: dict[str, Any], reason: str
) -> None:
    await say(client, plan_id, Said.message("a"))
    for wait in (0, 5):
        response = await client.get(f"/api/plans/{plan_id}/events", params={**place, "wait": wait})
        said = problem(response, 410, "continuity_lost")
        assert said["reason"] == reason
        snapshot = await client.get(said["snapshot"])
        assert (snapshot.status_code, snapshot.json()["offset"]) == (200, 1)


async def test_a_plan_created_again_has_a_new_epoch(client: httpx.AsyncClient, plan_id: str) -> None:
    before = await say(client, plan_id, Said.message("a"), Said.message("b"))
    assert (await client.delete(f"/api/plans/{plan_id}")).status_code == 204
    await say(client, plan_id, Said.message("c"), Said.message("d"))
    place = {"after": 2, "epoch": before["epoch"]}
    response = await client.get(f"/api/plans/{plan_id}/events", params=place)
    assert problem(response, 410, "continuity_lost")["reason"] == "epoch"


@pytest.mark.parametrize("params", [{"after": -1}, {"after": "x"}, {"limit": 0}, {"limit": 1001}, {"wait": 31}])
async def test_invalid_parameters_are_named(client: httpx.AsyncClient, plan_id: str, params: dict[str, Any]) -> None:
    said = problem(await client.get(f"/api/plans/{plan_id}/events", params=params), 422, "invalid_field")
    assert [said["field"]] == list(params)


async def test_many_concurrent_publishers_get_distinct_offsets(client: httpx.AsyncClient, plan_id: str) -> None:
    placed = await asyncio.gather(*[say(client, plan_id, *[Said.message(f"{i}")] * 5) for i in range(8)])
    assert sorted(offset for one in placed for offset in one["offsets"]) == list(range(1, 41))
