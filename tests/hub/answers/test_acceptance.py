"""H-PLN-5, C-INP-2 to C-INP-5: the first answer wins, on any hub, and later clients learn whose it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from broadcasters.checkpointing import take_checkpoint
from broadcasters.events import timestamp
from broadcasters.log import log_of
from tests.hub.api.test_events import problem
from tests.hub.hubs import Said, say
from tests.hub.tokens import SECRET, token
from tests.servers import RedisServer
from tests.servers.hub import HubServer

PEOPLE = [f"person-{i}" for i in range(12)]


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.slow)])
def two_hubs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[HubServer]]:
    """Two nodes of one hub with authentication."""
    directory: Path = tmp_path_factory.mktemp("answers")
    redis = RedisServer().start() if request.param == "redis" else None
    log = redis.url if redis else f"sqlite:///{directory / 'plans.db'}"
    with HubServer(log, auth_secret=SECRET) as one, HubServer(log, auth_secret=SECRET) as two:
        yield [one, two]
    if redis:
        redis.close()


@pytest_asyncio.fixture
async def people(two_hubs: list[HubServer]) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """People with tokens of their own, each connected to one of the nodes."""
    clients: dict[str, httpx.AsyncClient] = {}
    for at, name in enumerate(PEOPLE):
        verbs = ["read", "input", "publish", "signal"]
        claims = {"sub": name, "exp": 4_000_000_000, "plans": {"plan-*": verbs}}
        headers = {"Authorization": f"Bearer {token(claims)}"}
        clients[name] = httpx.AsyncClient(base_url=two_hubs[at % 2].url, headers=headers, timeout=60)
    yield clients
    for client in clients.values():
        await client.aclose()


async def answer(
    client: httpx.AsyncClient, plan_id: str, value: Any, request_id: str = "budget", key: str | None = None
) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(f"/api/plans/{plan_id}/inputs/{request_id}", json={"answer": value}, headers=headers)


async def responses_in(client: httpx.AsyncClient, plan_id: str) -> list[dict[str, Any]]:
    events = (await client.get(f"/api/plans/{plan_id}/events")).json()["events"]
    return [event["data"] for event in events if event["type"] == "input_response"]


async def test_of_many_answers_at_once_one_wins(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    for round_ in range(4):
        plan = f"{plan_id}-{round_}"
        await say(people["person-0"], plan, Said.request("budget"))
        answers = await asyncio.gather(*[answer(client, plan, {"by": name}) for name, client in people.items()])
        by_status: dict[int, list[str]] = {200: [], 409: []}
        for name, response in zip(people, answers, strict=True):
            by_status[response.status_code].append(name)
        [winner] = by_status[200]
        for name, response in zip(people, answers, strict=True):
            if name != winner:
                said = problem(response, 409, "already_answered")
                assert said["by"] == winner
                assert said["at"]
                assert winner in said["detail"]
        [taken] = await responses_in(people["person-1"], plan)
        assert (taken["by"], taken["answer"]) == (winner, {"by": winner})
        for client in people.values():
            snapshot = (await client.get(f"/api/plans/{plan}")).json()
            assert snapshot["inputs"][0]["by"] == winner


async def test_a_repeated_answer_gets_the_same_response(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    await say(ada, plan_id, Said.request("budget"))
    answers = await asyncio.gather(*[answer(ada, plan_id, {"approved": True}) for _ in range(8)])
    assert {response.status_code for response in answers} == {200}
    assert {response.json()["offset"] for response in answers} == {2}
    await say(ada, plan_id, Said.update(status="completed"))
    assert (await answer(ada, plan_id, {"approved": True})).json()["offset"] == 2
    assert len(await responses_in(ada, plan_id)) == 1
    for other, value in ((ada, {"approved": 1}), (ada, None), (people["person-1"], {"approved": True})):
        assert problem(await answer(other, plan_id, value), 409, "already_answered")["by"] == "person-0"


async def test_an_answer_repeated_with_its_key_gets_the_same_response(
    people: dict[str, httpx.AsyncClient], plan_id: str
) -> None:
    """C-INP-5, H-PLN-5: on another node as well, and even if the value differs."""
    ada = people["person-0"]
    other_node = httpx.AsyncClient(base_url=people["person-1"].base_url, headers=ada.headers, timeout=60)
    await say(ada, plan_id, Said.request("budget"), Said.request("colour"))
    first = await answer(ada, plan_id, {"said_at": 1}, key="key-1")
    async with other_node:
        again = await answer(other_node, plan_id, {"said_at": 2}, key="key-1")
        assert (first.status_code, again.status_code) == (200, 200)
        assert again.json() == first.json()
        for key in ("key-2", None):
            problem(await answer(other_node, plan_id, {"said_at": 2}, key=key), 409, "already_answered")
    problem(await answer(people["person-1"], plan_id, {"said_at": 1}, key="key-1"), 409, "already_answered")
    assert (await answer(ada, plan_id, "red", "colour", key="key-1")).json()["offset"] == 4
    await say(ada, plan_id, Said.update(status="completed"))
    assert (await answer(ada, plan_id, {"said_at": 3}, key="key-1")).json() == first.json()
    assert [response["answer"] for response in await responses_in(ada, plan_id)] == [{"said_at": 1}, "red"]


async def test_of_many_answers_with_one_key_at_once_one_is_kept_and_all_are_accepted(
    people: dict[str, httpx.AsyncClient], plan_id: str
) -> None:
    """C-INP-5"""
    ada = people["person-0"]
    await say(ada, plan_id, Said.request("budget"))
    answers = await asyncio.gather(*[answer(ada, plan_id, number, key="key-1") for number in range(8)])
    assert {response.status_code for response in answers} == {200}
    assert {response.json()["offset"] for response in answers} == {2}
    assert len(await responses_in(ada, plan_id)) == 1


async def test_a_key_outlives_the_hub_and_the_events_that_carried_it(tmp_path: Path, plan_id: str) -> None:
    """C-INP-5"""
    log = f"sqlite:///{tmp_path / 'plans.db'}"
    with HubServer(log) as hub:
        async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
            await say(client, plan_id, Said.request("budget"))
            first = await answer(client, plan_id, {"said_at": 1}, key="key-1")
    assert await _trimmed(log, plan_id)
    with HubServer(log) as hub:
        async with httpx.AsyncClient(base_url=hub.url, timeout=60) as client:
            again = await answer(client, plan_id, {"said_at": 2}, key="key-1")
    assert (again.status_code, again.json()) == (200, first.json())


async def _trimmed(url: str, plan_id: str) -> bool:
    log = log_of(url)
    await log.open()
    try:
        return await take_checkpoint(log, plan_id, window=0)
    finally:
        await log.close()


async def test_an_answer_that_agents_gave_themselves_counts(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    given = {"type": "input_response", "data": {"request_id": "budget", "answer": "no", "by": "the clock"}}
    await say(ada, plan_id, Said.request("budget"), given)
    said = problem(await answer(ada, plan_id, "yes"), 409, "already_answered")
    assert said["by"] == "the clock"
    assert len(await responses_in(ada, plan_id)) == 1


async def test_an_unknown_request_can_not_be_answered(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    problem(await answer(ada, plan_id, 1), 404, "no_such_request")
    await say(ada, plan_id, Said.request("budget"))
    problem(await answer(ada, plan_id, 1, "another"), 404, "no_such_request")
    assert await responses_in(ada, plan_id) == []


async def test_a_plan_that_has_ended_takes_no_answer(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    await say(ada, plan_id, Said.request("budget"), Said.update(status="cancelled"))
    problem(await answer(ada, plan_id, 1), 409, "plan_ended")
    await say(ada, plan_id, Said.update(status="in_progress"))
    assert (await answer(ada, plan_id, 1)).status_code == 200


async def test_an_expired_request_takes_no_answer(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    past, future = (timestamp(datetime.now(UTC) + timedelta(hours=hours)) for hours in (-1, 1))
    await say(ada, plan_id, Said.request("budget", expires_at=past), Said.request("later", expires_at=future))
    assert past in problem(await answer(ada, plan_id, 1), 410, "request_expired")["detail"]
    assert (await answer(ada, plan_id, 1, "later")).status_code == 200


@pytest.mark.parametrize("request_id", ["x" * 256, "späť?/#% {}", "a\nb", "🚂", "answer:budget"])
async def test_a_request_id_may_have_any_characters(
    people: dict[str, httpx.AsyncClient], plan_id: str, request_id: str
) -> None:
    ada = people["person-0"]
    await say(ada, plan_id, Said.request(request_id))
    url = httpx.URL(f"/api/plans/{plan_id}/inputs/")
    if "/" in request_id:  # a URL can't contain it; a frame can
        return
    path = url.raw_path + "".join(f"%{byte:02X}" for byte in request_id.encode()).encode()
    request = ada.build_request("POST", "/", json={"answer": 1})
    request.url = request.url.copy_with(raw_path=path)
    response = await ada.send(request)
    assert response.status_code == 200, response.text


CHOICE = {"kind": "choice", "options": ["red", {"value": 2, "label": "Two"}, None]}
SCHEMA = {"schema": {"type": "object", "required": ["approved"], "properties": {"approved": {"type": "boolean"}}}}


@pytest.mark.parametrize(
    ("asked", "good", "bad", "about"),
    [
        (CHOICE, "red", "blue", "'red', 2"),
        (CHOICE, 2, True, "answer: "),
        (CHOICE, None, 0, "answer: "),
        (SCHEMA, {"approved": False}, {"approved": "no"}, "answer.approved: must be of type boolean"),
        (SCHEMA, {"approved": True}, {}, "answer.approved: "),
        ({}, "x" * 1000, "x" * 262_144, "262,144"),
        ({}, {"a": [1, None, "ü"]}, 2**70, "64 bits"),
    ],
)
async def test_an_answer_must_fit_its_request(
    people: dict[str, httpx.AsyncClient], plan_id: str, asked: dict[str, Any], good: Any, bad: Any, about: str
) -> None:
    ada = people["person-0"]
    await say(ada, plan_id, Said.request("budget", **asked))
    assert about in problem(await answer(ada, plan_id, bad), 422, "invalid_answer")["detail"]
    assert (await answer(ada, plan_id, good)).status_code == 200
    [taken] = await responses_in(ada, plan_id)
    assert taken.get("answer") == good


async def test_a_plan_that_no_engine_runs_takes_no_signal(people: dict[str, httpx.AsyncClient], plan_id: str) -> None:
    ada = people["person-0"]
    response = await ada.post(f"/api/plans/{plan_id}/signals", json={"signal": "cancel"})
    problem(response, 409, "not_supported")
    said = problem(await ada.post(f"/api/plans/{plan_id}/signals", json={"signal": "dance"}), 422, "invalid_field")
    assert said["field"] == "signal"
