"""The stream of an agent's server: events however they are cut, and what is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan_engine.adapters.relay import server
from plan_engine.adapters.relay.server import AgentServer, ServerFailed, server_events
from tests.plan_engine.adapters.relay.agents import ScriptedAgent, serving

events = st.dictionaries(st.text(max_size=5), st.text(max_size=20) | st.integers(), min_size=1, max_size=3)


async def collected(pieces: list[bytes]) -> list[Any]:
    async def stream() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in server_events(stream())]


@given(st.lists(events, max_size=6), st.sampled_from([b"\n", b"\r\n"]), st.lists(st.integers(0, 400)), st.data())
async def test_events_however_they_are_cut(sent: list[Any], end: bytes, cuts: list[int], data: st.DataObject) -> None:
    lines = b""
    for event in sent:
        ascii_only = data.draw(st.booleans())
        lines += (
            b": comment" + end + b"event: x" + end + b"data: " + json.dumps(event, ensure_ascii=ascii_only).encode()
        )
        lines += end + end
    at = sorted({0, len(lines), *(cut for cut in cuts if cut < len(lines))})
    assert await collected([lines[a:b] for a, b in pairwise(at)]) == sent


async def test_data_on_several_lines_is_joined_and_other_data_ignored() -> None:
    assert await collected([b'data: {"a":\ndata: 1}\n\ndata: [DONE]\n\ndata: nonsense\n\ndata: 7\n\n']) == [{"a": 1}]


async def test_an_event_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_EVENT_BYTES", 1000)
    with pytest.raises(ServerFailed, match="more than 1,000 bytes"):
        await collected([b"data: " + b"x" * 600] * 2)


async def test_a_refusal_has_the_servers_words() -> None:
    async with serving(ScriptedAgent((422, "messages: required"))) as agent, AgentServer(agent.url) as one:
        with pytest.raises(ServerFailed, match="422: messages: required"):
            async with one.run({}):
                pass


async def test_a_server_that_is_not_there() -> None:
    async with AgentServer("http://127.0.0.1:1/run") as one:
        with pytest.raises(ServerFailed, match=r"127\.0\.0\.1:1"):
            async with one.run({}):
                pass
