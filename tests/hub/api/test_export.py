"""H-PLN-10: a plan as a file."""

from __future__ import annotations

import json
from pathlib import Path

import httpx

from broadcasters import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.log.contract import Checkpoint
from broadcasters.snapshot import encode
from hub.api.export import lines_of
from tests.hub.api.test_events import problem
from tests.hub.hubs import Said, say


async def test_the_lines_are_the_events_with_their_positions(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.update(title="Trip to Rome"))
    for first in range(0, 600, 100):
        await say(client, plan_id, *(Said.message(f"Line {at}") for at in range(first, first + 100)))
    response = await client.get(f"/api/plans/{plan_id}/export")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["content-disposition"] == f'attachment; filename="{plan_id}.jsonl"'
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["offset"] for line in lines] == list(range(1, 602))
    assert lines[0]["data"]["title"] == "Trip to Rome"
    assert [line["data"]["content"] for line in lines[1:]] == [f"Line {at}" for at in range(600)]


async def test_a_snapshot_stands_for_trimmed_events(tmp_path: Path) -> None:
    async with Broadcaster(f"sqlite:///{tmp_path / 'plans.db'}") as b, b.reading() as log:
        for at in range(6):
            await b.send_agent_message("p", "Writer", f"Line {at}")
        snapshot, head = await snapshot_of(log, "p")
        await log.keep_checkpoint("p", Checkpoint(head.position, encode(snapshot)), 2)
        lines = [json.loads(line) async for part in lines_of(log, "p") for line in part.splitlines()]
    assert [(line["type"], line["offset"]) for line in lines] == [("snapshot", 6)]
    assert [message["content"] for message in lines[0]["data"]["messages"]] == [f"Line {at}" for at in range(6)]


async def test_the_document_is_that_of_the_command(client: httpx.AsyncClient, plan_id: str) -> None:
    await say(client, plan_id, Said.update(title="Trip to Rome", status="completed"))
    response = await client.get(f"/api/plans/{plan_id}/export", params={"format": "markdown"})
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"
    assert response.text.startswith(f"# Trip to Rome\n\n`{plan_id}` · completed")


async def test_an_unknown_plan_or_format_is_refused(client: httpx.AsyncClient, plan_id: str) -> None:
    problem(await client.get(f"/api/plans/{plan_id}/export"), 404, "no_such_plan")
    refused = problem(await client.get(f"/api/plans/{plan_id}/export", params={"format": "pdf"}), 422, "invalid_field")
    assert refused["field"] == "format"
