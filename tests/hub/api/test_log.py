"""H-LOG-1, H-LOG-2, H-LOG-5: nothing gets into the log that isn't what it says, nor under somebody else's name."""

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
from hub.api.payloads import event_of
from tests.contract.saying import Producer
from tests.hub.api.test_events import problem
from tests.hub.hubs import until
from tests.hub.tokens import SECRET, token
from tests.servers.hub import HubServer

LINES = {"Content-Type": "application/x-ndjson"}


def payload(plan_id: str, text: str = "hello", event_id: str = "a.1") -> bytes:
    return build(AgentMessage, {"plan_id": plan_id, "agent_name": "A", "content": text}).payload(event_id)


def body(plan_id: str, *payloads: bytes, producer: str = "producer-1", seq: int = 1) -> bytes:
    return write_append(plan_id, producer, seq, [Entry(one) for one in payloads])


async def test_appends_for_several_plans_have_an_answer_each(client: httpx.AsyncClient, plan_id: str) -> None:
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
async def test_lines_that_make_no_append_are_refused(client: httpx.AsyncClient, lines: bytes) -> None:
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


def test_what_the_broadcaster_writes_is_let_through() -> None:
    assert event_of("p", GOOD) == build(AgentMessage, json.loads(GOOD)["data"])
    traced = GOOD.replace(b',"data"', b',"trace":"00-' + b"a" * 32 + b"-" + b"b" * 16 + b'-01","data"')
    assert event_of("p", traced) == event_of("p", GOOD)
    newer = GOOD.replace(b'"content":"hello"', b'"content":"hello","a_field_of_newer_code":{"x":[1]}')
    assert event_of("p", newer) == event_of("p", GOOD)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_get_further_than_an_error(noise: bytes) -> None:
    for one in (noise, GOOD[: len(GOOD) // 2] + noise, GOOD.replace(b"hello", noise)):
        try:
            event_of("p", one)
        except InvalidEvent:
            continue
        assert json.loads(one)["data"]["plan_id"] == "p"


async def test_lists_show_what_events_say_and_not_what_a_publisher_claims(
    client: httpx.AsyncClient, plan_id: str
) -> None:
    said = PlanUpdate(plan_id=plan_id, title="Trip", owner=plan_id, status="completed").payload("a.1")
    await client.post("/api/log", content=body(plan_id, said), headers=LINES)
    [plan] = (await client.get("/api/plans", params={"owner": plan_id})).json()["plans"]
    assert (plan["title"], plan["status"], plan["progress"]) == ("Trip", "completed", 100)


async def test_a_checkpoint_must_be_json_and_have_a_place(client: httpx.AsyncClient, plan_id: str) -> None:
    answer = (await client.post("/api/log", content=body(plan_id, payload(plan_id)), headers=LINES)).json()
    epoch = answer["appends"][0]["epoch"]
    url = f"/api/plans/{plan_id}/checkpoint"
    problem(await client.get(url), 404, "no_checkpoint")
    for said, snapshot in (
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 1}, b"{"),
        ({"epoch": epoch, "offset": 0, "window": 0, "count": 1}, b"{}"),
        ({"epoch": epoch, "offset": 1, "window": -1, "count": 1}, b"{}"),
        ({"epoch": "a b", "offset": 1, "window": 0, "count": 1}, b"{}"),
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 2}, b"{}"),
        ({"epoch": epoch, "offset": 1, "window": 0, "count": 2}, b"{}\n{}"),
    ):
        content = json.dumps(said).encode() + b"\n" + snapshot + b"\n"
        problem(await client.put(url, content=content, headers=LINES), 422, "invalid_field")
    strange = b'{"epoch":"ffffffff","offset":1,"window":0,"count":1}\n{}\n'
    assert (await client.put(url, content=strange, headers=LINES)).json() == {"kept": False}


# -- whose name it is -----------------------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[HubServer]:
    """A hub that asks who is there."""
    with HubServer(f"sqlite:///{tmp_path / 'plans.db'}", auth_secret=SECRET) as hub:
        yield hub


def log_of(hub: HubServer, subject: str, *verbs: str) -> HttpLog:
    claims = {"sub": subject, "exp": 4_000_000_000, "plans": {"plan-*": list(verbs)}}
    return HttpLog(f"{hub.url}?token={token(claims)}")


async def test_nobody_speaks_under_a_producer_that_is_somebody_elses(guarded: HubServer, plan_id: str) -> None:
    ada, bob = log_of(guarded, "ada", "publish", "read"), log_of(guarded, "bob", "publish")
    await ada.open()
    await bob.open()
    try:
        one = Producer(plan_id, "producer-1")
        await one.batch("a").to(ada)
        forger = Producer(plan_id, "producer-1")
        forger.seq = 1_000_000
        await forger.batch("forged").to(bob)
        assert list((await one.batch("b").to(ada)).offsets) == [3]  # ada's second word is not taken for a late one
    finally:
        await ada.close()
        await bob.close()


async def test_the_hub_takes_the_checkpoint_for_who_may_not_read(guarded: HubServer, plan_id: str) -> None:
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
