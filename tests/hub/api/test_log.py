"""H-LOG-1, H-LOG-2, H-LOG-5: appends are validated, and producers are private to their principal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import InvalidEvent
from broadcasters.events import AgentMessage, PlanUpdate, build
from broadcasters.log.contract import CHECKPOINT_EVERY, Entry
from broadcasters.log.http import HttpLog
from broadcasters.log.http.lines import write_append
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, decode, encode
from hub.api.log import event_of
from tests.contract.clients import Producer
from tests.hub.api.test_events import problem
from tests.hub.hubs import until
from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer

LINES = {"Content-Type": "application/x-ndjson"}


def payload(plan_id: str, text: str = "hello", event_id: str = "a.1") -> bytes:
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "A", "content": text}).payload(event_id)


def snapshot_at(plan_id: str, offset: int) -> bytes:
    return encode(Snapshot(plan_id=plan_id, offset=offset))


def changed(snapshot: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(snapshot) | fields).encode()


def body(plan_id: str, *payloads: bytes, producer: str = "producer-1", seq: int = 1) -> bytes:
    return write_append(plan_id, producer, seq, [Entry(one) for one in payloads])


async def test_appends_to_several_plans_have_a_result_each(client: httpx.AsyncClient, plan_id: str) -> None:
    lines = b"".join(
        [
            body(plan_id, payload(plan_id, "a"), payload(plan_id, "b")),
            body("~plancast.probe", payload("~plancast.probe")),
            body("no!plan", payload("plan-1")),
            body(f"{plan_id}-2", payload("another")),
            body(f"{plan_id}-3", payload(f"{plan_id}-3")),
        ]
    )
    answers = (await client.post("/api/log", content=lines, headers=LINES)).json()["appends"]
    assert [answer.get("offsets") for answer in answers] == [[1, 2], None, None, None, [1]]
    codes = [answer["problem"]["code"] for answer in answers[1:4]]
    assert codes == ["forbidden", "invalid_plan_id", "invalid_field"]
    again = (await client.post("/api/log", content=lines, headers=LINES)).json()["appends"]
    assert again[0] == answers[0]
    assert (await client.get(f"/api/plans/{plan_id}/events")).json()["head"] == 2


async def test_usage_in_appends_is_a_metric_of_the_hub(client: httpx.AsyncClient, plan_id: str) -> None:
    used = {"model": plan_id, "input_tokens": 5, "cost": "0.25"}
    message = build(AgentMessage, {"plan_id": plan_id, "agent_name": "A", "content": "hi", "usage": used})
    await client.post("/api/log", content=body(plan_id, message.payload("a.1"), payload(plan_id)), headers=LINES)
    metrics = (await client.get("/metrics")).text
    assert f'plancast_model_input_tokens_total{{model="{plan_id}"}} 5.0' in metrics
    assert f'plancast_model_cost_total{{currency="USD",model="{plan_id}"}} 0.25' in metrics


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"\n",
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b'{"plan_id":"p","producer":"x","seq":1,"count":2}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":1,"count":0}\n',
        b'{"plan_id":"p","producer":"x","seq":1,"count":1000000000000}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":1,"count":1}\n{}',
        b'{"plan_id":"p","producer":"","seq":1,"count":1}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":0,"count":1}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":true,"count":1}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":1,"count":1,"keys":[]}\n{}\n',
        b'{"plan_id":"p","producer":"x","seq":1,"count":1,"keys":[7]}\n{}\n',
        b'{"plan_id":7,"producer":"x","seq":1,"count":1}\n{}\n',
        b"[" * 100_000 + b"\n",
        b'{"plan_id":"p","producer":"x","seq":' + b"9" * 5000 + b',"count":1}\n{}\n',
        b"".join(b'{"plan_id":"p","producer":"x","seq":1,"count":1}\n{}\n' for _ in range(257)),
    ],
)
async def test_malformed_appends_are_refused(client: httpx.AsyncClient, lines: bytes) -> None:
    problem(await client.post("/api/log", content=lines, headers=LINES), 422, "invalid_field")


GOOD = payload("p")


@pytest.mark.parametrize(
    "smuggled",
    [
        GOOD[:-1] + b',"offset":99}',
        GOOD[:-1] + b',"plan_id":"victim"}',
        GOOD[:-1] + b',"type":"snapshot"}',
        GOOD[:-1] + b',"id":"b.2"}',
        GOOD.replace(b'"id"', b'"offset":99,"id"'),
        GOOD.replace(b'"type":"agent_message"', b'"type":"snapshot"'),
        GOOD.replace(b'"type":"agent_message"', b'"type":"going_away"'),
        GOOD.replace(b'{"type":"agent_message","id":"a.1"', b'{"id":"a.1","type":"agent_message"'),
        GOOD.replace(b'"plan_id":"p"', b'"plan_id":"q"'),
        GOOD.replace(b'"message_type"', b'"plan_id":"q","message_type"'),
        GOOD.replace(b'"content":"hello"', b'"content":7'),
        GOOD.replace(b'"content":"hello"', b'"content":"\\ud800"'),
        GOOD.replace(b"hello", b"\xff"),
        GOOD.replace(b"hello", b"a\rb"),
        GOOD.replace(b',"data"', b'\r,"data"'),
        GOOD.replace(b'"id":"a.1"', b'"id":"a\\"1"'),
        GOOD.replace(b'"id":"a.1"', b'"id":""'),
        GOOD.replace(b'"content":"hello"', b'"content":"hello","data":{"x":NaN}'),
        GOOD.replace(b'"content":"hello"', b'"content":"hello","data":{"x":1e999}'),
        GOOD.replace(b"hello", b"x" * 262_144),
        GOOD + b" ",
        GOOD + GOOD,
        b"{}",
        b"null",
        b"",
    ],
)
def test_nothing_is_smuggled_into_an_event(smuggled: bytes) -> None:
    assert smuggled != GOOD
    with pytest.raises(InvalidEvent):
        event_of("p", smuggled)


@pytest.mark.parametrize(
    ("payload", "key"),
    [
        (GOOD[:-1] + b',"id":"a.1"}', "id"),
        (GOOD.replace(b',"data"', b',"data":{"plan_id":"q"},"data"'), "data"),
        (GOOD.replace(b'"plan_id":"p"', b'"plan_id":"q","plan_id":"p"'), "plan_id"),
        (GOOD.replace(b'"plan_id":"p"', b'"plan_id":"q","\\u0070lan_id":"p"'), "plan_id"),
        (GOOD.replace(b'"content":"hello"', b'"content":"hello","data":{"x":{"y":1,"y":1}}'), "y"),
        (GOOD.replace(b'"content":"hello"', b'"content":"hello","data":{"x":[[{"":1,"a":2,"":3}]]}'), ""),
        (GOOD.replace(b'"content":"hello"', b'"content":"hello","a_field_of_newer_code":{"x":1,"x":2}'), "x"),
        (GOOD.replace(b'"content":"hello"', b'"content":"hello","data":{"x":1.0e0,"y":1, "x" :2}'), "x"),
    ],
)
def test_the_same_key_twice_in_one_object_is_refused(payload: bytes, key: str) -> None:
    """H-LOG-2. Clients get these bytes, and some parsers use the first of the two keys."""
    with pytest.raises(InvalidEvent) as refused:
        event_of("p", payload)
    assert refused.value.field == key


@pytest.mark.parametrize(
    "data",
    [b'{"x": [1.0e0, 1e2, "\\u00fc\\/"] , "y":{"x":1}}', b'{"x":' + b"[" * 31 + b"]" * 31 + b"}"],
)
def test_json_of_another_library_is_accepted(data: bytes) -> None:
    said = GOOD.replace(b'"content":"hello"', b'"content":"hello","data":%b' % data)
    assert event_of("p", said) == build(AgentMessage, json.loads(said)["data"])


async def test_events_with_a_key_twice_are_refused_over_http(client: httpx.AsyncClient, plan_id: str) -> None:
    """H-LOG-2"""
    twice = payload(plan_id).replace(b'"plan_id"', b'"plan_id":"another-plan","plan_id"')
    answer = (await client.post("/api/log", content=body(plan_id, twice), headers=LINES)).json()["appends"][0]
    assert (answer["problem"]["code"], answer["problem"]["field"]) == ("invalid_field", "plan_id")
    assert (await client.get(f"/api/plans/{plan_id}/events")).json()["head"] == 0


def test_events_of_the_broadcaster_are_accepted() -> None:
    assert event_of("p", GOOD) == build(AgentMessage, json.loads(GOOD)["data"])
    traced = GOOD.replace(b',"data"', b',"trace":"00-' + b"a" * 32 + b"-" + b"b" * 16 + b'-01","data"')
    assert event_of("p", traced) == event_of("p", GOOD)
    newer = GOOD.replace(b'"content":"hello"', b'"content":"hello","a_field_of_newer_code":{"x":[1]}')
    assert event_of("p", newer) == event_of("p", GOOD)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes_raise_only_invalid_event(noise: bytes) -> None:
    for one in (noise, GOOD[: len(GOOD) // 2] + noise, GOOD.replace(b"hello", noise)):
        try:
            event_of("p", one)
        except InvalidEvent:
            continue
        assert json.loads(one)["data"]["plan_id"] == "p"


async def test_lists_show_what_the_events_contain_and_not_what_a_publisher_claims(
    client: httpx.AsyncClient, plan_id: str
) -> None:
    said = PlanUpdate(plan_id=plan_id, title="Trip", owner=plan_id, status="completed").payload("a.1")
    await client.post("/api/log", content=body(plan_id, said), headers=LINES)
    [plan] = (await client.get("/api/plans", params={"owner": plan_id})).json()["plans"]
    assert (plan["title"], plan["status"], plan["progress"]) == ("Trip", "completed", 100)


def test_a_reserved_label_is_refused() -> None:
    """C-ACL-5"""
    said = PlanUpdate(plan_id="p", labels=["shop", "~plancast.tickets"])
    with pytest.raises(InvalidEvent) as refused:
        event_of("p", said.payload("a.1"))
    assert refused.value.field == "labels"
    others = PlanUpdate(plan_id="p", labels=["plancast", "~shop"])
    assert event_of("p", others.payload("a.1")) == others


async def test_a_checkpoint_has_a_position_a_window_and_one_line(client: httpx.AsyncClient, plan_id: str) -> None:
    answer = (await client.post("/api/log", content=body(plan_id, payload(plan_id)), headers=LINES)).json()
    epoch, snapshot = answer["appends"][0]["epoch"], snapshot_at(plan_id, 1)
    url = f"/api/plans/{plan_id}/checkpoint"
    problem(await client.get(url), 404, "no_checkpoint")
    for said, lines in (
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 1}, b"{"),
        ({"epoch": epoch, "offset": 0, "window": 0, "count": 1}, snapshot_at(plan_id, 0)),
        ({"epoch": epoch, "offset": 1, "window": -1, "count": 1}, snapshot),
        ({"epoch": "a b", "offset": 1, "window": 0, "count": 1}, snapshot),
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 2}, snapshot),
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 2}, b"\n".join([snapshot, snapshot])),
    ):
        content = json.dumps(said).encode() + b"\n" + lines + b"\n"
        assert problem(await client.put(url, content=content, headers=LINES), 422, "invalid_field")["field"] == "body"
    assert (await client.get(url)).status_code == 404


@pytest.mark.parametrize(
    "said",
    [
        b"[]",
        b"null",
        b"{}",
        b"2",
        b"\xff",
        b"[" * 100_000,
        {"plan_id": "another-plan"},
        {"offset": 1},
        {"offset": 3},
        {"offset": "2"},
        {"version": 2},
        {"status": "paused"},
        {"messages": {}},
        {"messages": [{"message_id": 7}]},
        {"title": ["a list"]},
        {"weight": -1},
        {"weight": 10**9},
    ],
)
async def test_a_checkpoint_must_be_a_snapshot_of_the_plan_at_its_position(
    client: httpx.AsyncClient, plan_id: str, said: bytes | dict[str, Any]
) -> None:
    """H-LOG-5. It would replace the events that the log then trims."""
    epoch = await _appended(client, plan_id)
    snapshot = said if isinstance(said, bytes) else changed(snapshot_at(plan_id, 2), **said)
    refused = await keep(client, plan_id, Position(epoch, 2), snapshot)
    assert problem(refused, 422, "invalid_field")["field"] == "body"
    await _is_whole(client, plan_id)


@pytest.mark.parametrize("place", [Position("ffffffff", 2), Position("", 3), Position("", 2**53 - 1)])
async def test_a_checkpoint_at_a_position_that_the_log_does_not_have_is_not_kept(
    client: httpx.AsyncClient, plan_id: str, place: Position
) -> None:
    """H-LOG-5."""
    epoch = await _appended(client, plan_id)
    place = Position(place.epoch or epoch, place.offset)
    answer = await keep(client, plan_id, place, snapshot_at(plan_id, place.offset))
    assert answer.json() == {"kept": False}
    await _is_whole(client, plan_id)


async def test_a_checkpoint_is_stored_re_encoded(client: httpx.AsyncClient, plan_id: str) -> None:
    """The sender's bytes may be ambiguous, so no other client gets them."""
    epoch = await _appended(client, plan_id)
    said = changed(snapshot_at(plan_id, 2), data={"x": 1}).replace(b'"x": 1', b'"x": 1, "x": 2, "y": 1e999')
    assert (await keep(client, plan_id, Position(epoch, 2), said)).json() == {"kept": True}
    line, kept, _ = (await client.get(f"/api/plans/{plan_id}/checkpoint")).content.split(b"\n")
    assert json.loads(line)["offset"] == 2
    assert kept == encode(decode(kept))
    assert kept.count(b'"x"') == 1


async def _appended(client: httpx.AsyncClient, plan_id: str) -> str:
    """Two events; their epoch."""
    lines = body(plan_id, payload(plan_id, "a"), payload(plan_id, "b"))
    epoch: str = (await client.post("/api/log", content=lines, headers=LINES)).json()["appends"][0]["epoch"]
    return epoch


async def keep(client: httpx.AsyncClient, plan_id: str, place: Position, snapshot: bytes) -> httpx.Response:
    said = {"epoch": place.epoch, "offset": place.offset, "window": 0, "count": 1}
    lines = json.dumps(said).encode() + b"\n" + snapshot + b"\n"
    return await client.put(f"/api/plans/{plan_id}/checkpoint", content=lines, headers=LINES)


async def _is_whole(client: httpx.AsyncClient, plan_id: str) -> None:
    """The plan can be read from its first event and folded, and accepts another event."""
    more = body(plan_id, payload(plan_id, "c"), producer="another")
    assert (await client.post("/api/log", content=more, headers=LINES)).json()["appends"][0]["offsets"] == [3]
    page = (await client.get(f"/api/plans/{plan_id}/events")).json()
    assert [event["offset"] for event in page["events"]] == [1, 2, 3]
    snapshot = (await client.get(f"/api/plans/{plan_id}")).raise_for_status().json()
    assert [message["content"] for message in snapshot["messages"]] == ["a", "b", "c"]
    assert (await client.get(f"/api/plans/{plan_id}/checkpoint")).status_code == 404


# -- producers ------------------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[HubServer]:
    """A hub with authentication."""
    with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", auth_secret=SECRET) as hub:
        yield hub


def log_of(hub: HubServer, subject: str, *verbs: str) -> HttpLog:
    claims = {"sub": subject, "exp": 4_000_000_000, "plans": {"plan-*": list(verbs)}}
    return HttpLog(f"{hub.url}?token={token(claims)}")


async def test_a_producer_is_private_to_its_principal(guarded: HubServer, plan_id: str) -> None:
    ada, bob = log_of(guarded, "ada", "publish", "read"), log_of(guarded, "bob", "publish")
    await ada.open()
    await bob.open()
    try:
        one = Producer(plan_id, "producer-1")
        await one.batch("a").to(ada)
        forger = Producer(plan_id, "producer-1")
        forger.seq = 1_000_000
        await forger.batch("forged").to(bob)
        assert list((await one.batch("b").to(ada)).offsets) == [3]  # ada's second append is not taken for a repetition
    finally:
        await ada.close()
        await bob.close()


async def test_the_hub_takes_the_checkpoint_for_a_publisher_that_can_not_read(guarded: HubServer, plan_id: str) -> None:
    silent, reader = log_of(guarded, "ada", "publish"), log_of(guarded, "bob", "read", "publish")
    await silent.open()
    await reader.open()
    try:
        producer = Producer(plan_id, "producer-1")
        due = [(await producer.batch(*["x"] * (CHECKPOINT_EVERY // 2)).to(silent)).checkpoint_due for _ in range(2)]
        assert due == [False, False]
        url, headers = f"/api/plans/{plan_id}/checkpoint", {"Authorization": f"Bearer {token(READER)}"}
        with httpx.Client(base_url=guarded.url, headers=headers) as asking:
            await until(lambda: asking.get(url).status_code == 200)
        kept = await reader.checkpoint(plan_id)
        assert kept is not None
        assert kept.position.offset == CHECKPOINT_EVERY
    finally:
        await silent.close()
        await reader.close()


READER: dict[str, Any] = {"sub": "eve", "exp": 4_000_000_000, "plans": {"plan-*": ["read"]}}
