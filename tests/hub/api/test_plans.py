"""H-PLN-1, H-PLN-2, H-PLN-6: lists, snapshots and deletion; the hub's own plans are hidden."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.hub.api.test_events import problem
from tests.hub.hubs import Said, say


async def listed(client: httpx.AsyncClient, **params: Any) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        given = {**params, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/api/plans", params=given)).raise_for_status().json()
        found += [plan["plan_id"] for plan in page["plans"]]
        cursor = page["cursor"]
        if cursor is None:
            return found


async def test_plans_are_found_by_owner_label_and_status(client: httpx.AsyncClient, plan_id: str) -> None:
    one, two, three = (f"{plan_id}-{i}" for i in range(3))
    await say(client, one, Said.update(owner=plan_id, labels=["travel"], title="Trip to Rome"))
    await say(client, two, Said.update(owner=plan_id, labels=[plan_id], status="completed"))
    await say(client, three, Said.update(labels=[plan_id]))
    assert await listed(client, owner=plan_id) == [two, one]
    assert await listed(client, label=plan_id) == [three, two]
    assert await listed(client, label=plan_id, status="completed") == [two]
    assert await listed(client, owner=plan_id, limit=1) == [two, one]
    [_, plan] = (await client.get("/api/plans", params={"owner": plan_id})).json()["plans"]
    assert (plan["title"], plan["labels"], plan["status"], plan["offset"]) == (
        "Trip to Rome",
        ["travel"],
        "in_progress",
        1,
    )


async def test_a_cursor_is_opaque_and_only_the_hubs_own_are_accepted(client: httpx.AsyncClient, plan_id: str) -> None:
    for i in range(3):
        await say(client, f"{plan_id}-{i}", Said.update(owner=plan_id))
    page = (await client.get("/api/plans", params={"owner": plan_id, "limit": 1})).json()
    cursor = page["cursor"]
    assert plan_id not in cursor
    changed = cursor[:-2] + ("AA" if cursor[-2:] != "AA" else "BB")
    for foreign in ("1", "12345", "9999999999999:plan-1", "plan", "", "é", "=", changed, cursor[4:], "A" * 512):
        said = problem(await client.get("/api/plans", params={"cursor": foreign}), 422, "invalid_field")
        assert said["field"] == "cursor"


async def test_a_snapshot_is_sent_only_when_it_changed(client: httpx.AsyncClient, plan_id: str) -> None:
    placed = await say(client, plan_id, Said.message("a"))
    url = f"/api/plans/{plan_id}"
    first = await client.get(url)
    tag = first.headers["etag"]
    assert tag == f'"{placed["epoch"]}:1"'
    assert first.json()["messages"][0]["content"] == "a"
    for same in (tag, f"W/{tag}", f'"else", {tag}', "*"):
        unchanged = await client.get(url, headers={"If-None-Match": same})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)
    for other in ('"else"', tag.strip('"'), f'"x{tag[1:]}', ""):
        assert (await client.get(url, headers={"If-None-Match": other})).status_code == 200
    await say(client, plan_id, Said.message("b"))
    assert (await client.get(url, headers={"If-None-Match": tag})).json()["offset"] == 2


async def test_a_plan_without_events_does_not_exist(client: httpx.AsyncClient, plan_id: str) -> None:
    problem(await client.get(f"/api/plans/{plan_id}"), 404, "no_such_plan")
    problem(await client.delete(f"/api/plans/{plan_id}"), 404, "no_such_plan")
    assert plan_id not in await listed(client, limit=500)


async def test_a_deleted_plan_is_gone(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.update(owner=plan_id))
    assert (await client.delete(f"/api/plans/{plan_id}")).status_code == 204
    problem(await client.get(f"/api/plans/{plan_id}"), 404, "no_such_plan")
    assert await listed(client, owner=plan_id) == []


@pytest.mark.parametrize("bad", ["a b", "a{b}", "é", "x" * 129, "a\n", "*", "%", "a;b"])
async def test_an_invalid_plan_id_never_reaches_the_log(client: httpx.AsyncClient, bad: str) -> None:
    path = f"/api/plans/{quote(bad)}"
    for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/stream"), ("GET", "/log")):
        said = problem(await client.request(method, path + rest), 422, "invalid_plan_id")
        assert said["field"] == "plan_id"


async def test_reserved_plans_can_not_be_read_or_changed(client: httpx.AsyncClient, plan_id: str) -> None:
    """C-ACL-5"""
    await client.get("/readyz")  # runs the probe
    assert not [found for found in await listed(client, limit=500) if found.startswith("~plancast.")]
    own = "/api/plans/~plancast.probe"
    hello = {"json": Said.message("hello")}
    for method, path, more in (
        ("GET", own, {}),
        ("DELETE", own, {}),
        ("GET", f"{own}/events", {}),
        ("POST", f"{own}/events", hello),
        ("GET", f"{own}/stream", {}),
        ("GET", f"{own}/log", {}),
        ("GET", f"{own}/checkpoint", {}),
        ("POST", f"{own}/signals", {"json": {"signal": "cancel"}}),
        ("POST", f"{own}/inputs/x", {"json": {"answer": 1}}),
        ("POST", "/api/heads", {"json": {"plans": [plan_id, "~plancast.probe"]}}),
        ("POST", "/api/tail", {"json": {"plans": [plan_id, "~plancast.probe"]}}),
        ("POST", "/api/plans", {"json": {"template": "trip", "plan_id": "~plancast.probe"}}),
    ):
        problem(await client.request(method, path, **more), 403, "forbidden")


async def test_a_snapshot_is_what_the_events_fold_to(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(
        client,
        plan_id,
        Said.update(title="Trip", owner="ada"),
        {"type": "step_update", "data": {"step_id": "one", "status": "completed", "title": "Look"}},
        Said.request("budget"),
    )
    snapshot = json.loads((await client.get(f"/api/plans/{plan_id}")).content)
    assert (snapshot["title"], snapshot["owner"], snapshot["offset"]) == ("Trip", "ada", 3)
    assert snapshot["steps"][0]["status"] == "completed"
    assert snapshot["inputs"][0]["request_id"] == "budget"
