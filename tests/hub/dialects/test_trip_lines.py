"""The trip by chat from end to end: a real hub with its engine, and clients that share no code with it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack, suppress
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.faults.credentials import ticket, token
from tests.hub.dialects.servers import working_hub
from tests.servers.hub import ROOT, HubServer

DEADLINE_S = 60.0
ASKED = {"message": "plan a 2 day trip to Rome", "pois": [], "requirements": [], "plan": []}
MANY = {"message": "plan a 12 day trip to Tokyo, Kyoto, Rome, Paris, Lisbon and Barcelona"}
MINE = {"trip-*": ["read", "start", "signal"]}
Frame = dict[str, Any]


def chat(server: HubServer, query: str = "", **how: Any) -> connect:
    return connect(server.ws.replace("/ws/streaming", f"/ws/chat{query}"), open_timeout=DEADLINE_S, **how)


async def hear(line: ClientConnection) -> Frame:
    async with asyncio.timeout(DEADLINE_S):
        frame: Frame = json.loads(await line.recv())
    return frame


async def until(line: ClientConnection, *kinds: str) -> list[Frame]:
    """Everything up to the first frame of these kinds."""
    heard = [await hear(line)]
    while heard[-1]["type"] not in kinds:
        heard.append(await hear(line))
    return heard


async def closed(line: ClientConnection) -> int:
    """The close code, after any frames that the hub still sends."""
    async with asyncio.timeout(DEADLINE_S):
        with suppress(ConnectionClosed):
            while True:
                await line.recv()
    assert line.close_code is not None
    return line.close_code


def as_the_original(frames: list[Frame]) -> list[Frame]:
    """What a client that was written to the original format sees: it ignores types and fields it doesn't know."""
    fields = {"done": ("type",), "error": ("type", "message")}
    known = [frame for frame in frames if frame["type"] in ("intents", "pois", "requirements", "plan", "done", "error")]
    return [{name: frame[name] for name in fields.get(frame["type"], ("type", "data"))} for frame in known]


async def asked(server: HubServer, request: Frame) -> list[Frame]:
    async with chat(server) as line:
        await line.send(json.dumps(request))
        return await until(line, "done", "error")


# -- the original format, to the letter


async def test_a_trip_comes_part_by_part(hub: HubServer) -> None:
    frames = await asked(hub, ASKED)
    intents, pois, requirements, plan, done = as_the_original(frames)
    assert [frame["type"] for frame in (intents, pois, requirements, plan)] == [
        "intents",
        "pois",
        "requirements",
        "plan",
    ]
    assert done == {"type": "done"}
    assert intents["data"][0] == {"intent": "poi", "action": "add", "value": "Rome"}
    assert all(set(intent) == {"intent", "action", "value"} for intent in intents["data"])
    assert requirements["data"] == [{"description": "2 days", "priority": "must"}]
    assert {poi["city"] for poi in pois["data"]} == {"Rome"}
    names = sorted(poi["name"] for poi in pois["data"])
    for option in plan["data"]:
        assert [day["day"] for day in option["days"]] == [1, 2]
        assert sorted(stop["name"] for day in option["days"] for stop in day["stops"]) == names
    # the wish list
    assert frames[0]["type"] == "started"
    assert [frame["data"] for frame in frames if frame["type"] == "poi"] == pois["data"]
    percents = [frame["percent"] for frame in frames if frame["type"] == "progress"]
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_change_is_applied_to_the_given_state(hub: HubServer) -> None:
    [_, pois, requirements, plan, _] = as_the_original(await asked(hub, ASKED))
    state = {"pois": pois["data"], "requirements": requirements["data"], "plan": plan["data"]}
    own = {"name": "Aunt Giulia's kitchen", "minutes": 60, "note": "bring flowers"}
    state["pois"] = [*state["pois"], own]
    said = {"message": "replace Colosseum with Orange Garden, and no museums please", **state}
    [_, pois, requirements, plan, _] = as_the_original(await asked(hub, said))
    names = [poi["name"] for poi in pois["data"]]
    assert names[0] == "Orange Garden"
    assert "Colosseum" not in names
    assert "museum" not in [poi.get("category") for poi in pois["data"]]
    assert pois["data"][-1] == own
    assert {"description": "no museums", "priority": "must"} in requirements["data"]
    assert {stop["name"] for day in plan["data"][0]["days"] for stop in day["stops"]} == set(names)


async def test_without_a_change_the_given_state_stays(hub: HubServer) -> None:
    state = {"pois": [{"odd": 1}], "requirements": [{"description": "x", "also": [1.5]}], "plan": [{"p": None}]}
    intents, *rest = as_the_original(await asked(hub, {"message": "thank you, that is lovely", **state}))
    assert intents["data"] == [{"intent": "other", "action": "none", "value": "thank you, that is lovely"}]
    assert rest == [*({"type": name, "data": data} for name, data in state.items()), {"type": "done"}]


async def test_a_plan_that_will_not_do_twice_is_an_error(hub: HubServer) -> None:
    pois = [{"name": f"Place {number}", "minutes": 120} for number in range(12)]
    *_, error = as_the_original(await asked(hub, {"message": "plan all of it in 1 day", "pois": pois}))
    assert error["type"] == "error"
    assert "2 attempts" in error["message"]
    assert "30 hours" in error["message"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{not json", "Invalid JSON"),
        ("[]", "Invalid JSON"),
        ("{}", "Missing required field: message"),
        ('{"pois": []}', "Missing required field: message"),
        ('{"message": "hi", "pois": {}}', "pois: "),
    ],
)
async def test_a_bad_message_is_an_error_and_the_connection_stays_open(hub: HubServer, said: str, message: str) -> None:
    async with chat(hub) as line:
        await line.send(said)
        [error] = as_the_original([await hear(line)])
        assert error["message"].startswith(message)
        await line.send(json.dumps({"message": "hello"}))
        assert (await until(line, "done", "error"))[-1]["type"] == "done"


async def test_an_exception_in_the_work_is_an_error_with_its_details(hub: HubServer) -> None:
    """What the work can't cope with: a number of minutes that is none."""
    pois = [{"name": "A place", "minutes": "soon"}]
    *_, error = as_the_original(await asked(hub, {"message": "plan it", "pois": pois}))
    assert error["type"] == "error"
    assert "ValueError" in error["message"]


async def test_over_http_it_is_one_answer(hub: HubServer) -> None:
    async with httpx.AsyncClient(base_url=hub.url, timeout=DEADLINE_S) as http:
        trip = (await http.post("/chat", json={**ASKED, "plan_id": "trip-once"})).json()
        assert set(trip) == {"intents", "pois", "requirements", "plan", "plan_id"}
        assert (await http.post("/chat", json={**ASKED, "plan_id": "trip-once"})).json() == trip
        frames = as_the_original(await asked(hub, ASKED))
        assert {frame["type"]: frame.get("data") for frame in frames[:-1]} == {
            n: trip[n] for n in trip if n != "plan_id"
        }
        empty = await http.post("/chat", json={"message": "hello", "pois": None, "requirements": None, "plan": None})
        assert empty.json()["pois"] == []
        pois = [{"name": f"Place {number}"} for number in range(20)]
        refused = await http.post("/chat", json={"message": "plan it in 1 day", "pois": pois})
        assert (refused.status_code, refused.json()["code"]) == (422, "plan_failed")
        assert "2 attempts" in refused.json()["detail"]
        for body in ({}, {"message": " "}, {"message": "hi", "plan": 1}, {"message": "hi", "plan_id": "x"}):
            assert (await http.post("/chat", json=body)).status_code == 422


# -- what the original lacked


async def test_a_dropped_line_goes_on_where_it_was(hub: HubServer) -> None:
    async with chat(hub) as line:
        await line.send(json.dumps(ASKED))
        before = await until(line, "poi")
        line.transport.abort()
    resume = {"type": "resume", "plan_id": before[0]["plan_id"], "place": before[-1]["place"]}
    async with chat(hub) as line:
        await line.send(json.dumps(resume))
        after = await until(line, "done", "error")
    async with chat(hub) as line:  # a client that connects late receives everything
        await line.send(json.dumps({"type": "resume", "plan_id": before[0]["plan_id"]}))
        whole = await until(line, "done", "error")
    assert before[1:] + after == whole
    assert after[-1]["type"] == "done"


async def test_a_second_tab_sees_the_same(hub: HubServer) -> None:
    async with chat(hub) as one, chat(hub) as other:
        await one.send(json.dumps(ASKED))
        begun = await until(one, "intents")
        await other.send(json.dumps({"type": "resume", "plan_id": begun[0]["plan_id"]}))
        first, second = await asyncio.gather(until(one, "done", "error"), until(other, "done", "error"))
    assert begun[1:] + first == second


async def test_a_trip_under_way_is_cancelled(hub: HubServer) -> None:
    async with chat(hub) as line:
        await line.send(json.dumps(MANY))
        begun = await until(line, "poi")
        await line.send('{"type": "cancel"}')
        *_, error = await until(line, "done", "error")
        assert (error["code"], error["message"]) == ("cancelled", "Stopped by development")
        assert json.loads(hub.get(f"/api/plans/{begun[0]['plan_id']}")[1])["status"] == "cancelled"
        await line.send(json.dumps({"message": "hello"}))  # and the connection is free again
        assert (await until(line, "done", "error"))[-1]["type"] == "done"


async def test_a_cancel_right_behind_the_request_stops_it(hub: HubServer) -> None:
    async with chat(hub) as line:
        await line.send(json.dumps(MANY))
        await line.send('{"type": "cancel"}')
        *_, error = await until(line, "done", "error")
        assert error["code"] == "cancelled"


async def test_asking_again_under_the_same_plan_id_starts_nothing_new(hub: HubServer) -> None:
    request = {**ASKED, "plan_id": "trip-again"}
    first, second = await asked(hub, request), await asked(hub, request)
    assert first == second


def test_the_example_works(hub: HubServer) -> None:
    words = [sys.executable, "examples/trip_client.py", "plan a 1 day trip to Lisbon", "remove Belem Tower"]
    url = hub.ws.replace("streaming", "chat")
    done = subprocess.run([*words, "--url", url], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("done") == 2
    assert "found Belem Tower, Lisbon" in done.stdout
    assert "Belem Tower" not in done.stdout.rpartition("plan:")[2]


# -- who may, and how much


async def test_it_is_asked_who_you_are(asking: HubServer) -> None:
    async with chat(asking) as line:  # a token may come as the first frame
        await line.send(json.dumps(ASKED))
        assert (await hear(line))["code"] == "unauthenticated"
        await line.send(json.dumps({"type": "authenticate", "token": token(MINE)}))
        assert (await hear(line))["type"] == "authenticated"
        await line.send(json.dumps(ASKED))
        assert (await until(line, "done", "error"))[-1]["type"] == "done"
    async with chat(asking, f"?ticket={ticket(MINE)}") as line:
        await line.send(json.dumps({"message": "hello"}))
        assert (await until(line, "done", "error"))[-1]["type"] == "done"
    async with chat(asking, additional_headers={"Authorization": "Bearer nonsense"}) as line:
        assert await closed(line) == 4501


async def test_rights_count(asking: HubServer) -> None:
    async with chat(asking, additional_headers={"Authorization": f"Bearer {token({'trip-*': ['read']})}"}) as line:
        await line.send(json.dumps(ASKED))
        assert (await hear(line))["code"] == "forbidden"
    async with chat(asking, additional_headers={"Authorization": f"Bearer {token({'trip-a*': ['read']})}"}) as line:
        await line.send(json.dumps({"type": "resume", "plan_id": "trip-b"}))
        assert (await hear(line))["code"] == "forbidden"
    async with httpx.AsyncClient(base_url=asking.url, timeout=DEADLINE_S) as http:
        assert (await http.post("/chat", json=ASKED)).status_code == 401
        told = {"Authorization": f"Bearer {token({'plan-*': ['read', 'start']})}"}
        assert (await http.post("/chat", json=ASKED, headers=told)).status_code == 403


async def test_foreign_pages_and_too_many_lines_are_refused(asking: HubServer) -> None:
    shown = {"Authorization": f"Bearer {token(MINE, subject='eve')}"}
    async with chat(asking, additional_headers=shown, origin="https://evil.example") as line:
        assert await closed(line) == 4504
    async with AsyncExitStack() as lines:
        for _ in range(4):
            await lines.enter_async_context(chat(asking, additional_headers=shown))
        fifth = await chat(asking, additional_headers=shown)
        assert await closed(fifth) == 4429


@pytest.mark.faults
async def test_a_crash_of_the_server_loses_nothing() -> None:
    with working_hub(pace=0.1, lease=1) as server:
        async with chat(server) as line:
            await line.send(json.dumps(ASKED))
            before = await until(line, "poi")
            server.kill()
        await asyncio.to_thread(server.start)
        async with chat(server) as line:
            resume = {"type": "resume", "plan_id": before[0]["plan_id"], "place": before[-1]["place"]}
            await line.send(json.dumps(resume))
            after = await until(line, "done", "error")
    said = as_the_original(before + after)
    assert [frame["type"] for frame in said] == ["intents", "pois", "requirements", "plan", "done"]
