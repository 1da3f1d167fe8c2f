"""Merged text tells the same story in fewer words."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import parse
from broadcasters.snapshot import Snapshot, empty, fold
from hub.core.history import Merged, merge
from tests.hub.core.scripted_log import part, step


def said(kinds: list[int]) -> list[bytes]:
    """Parts of two messages, ends of them, parts that carry more, and steps."""
    makers: list[Callable[[int], bytes]] = [
        lambda n: part(n, "a"),
        lambda n: part(n, "a"),
        lambda n: part(n, "b"),
        lambda n: part(n, "b"),
        lambda n: part(n, "a", final=True),
        lambda n: part(n, "a", data={"n": n}),
        lambda n: part(n, "b", error="it broke"),
        lambda n: part(n, "a", append=False),
        lambda n: part(n, "a", step_id="s"),
        step,
    ]
    return [makers[kind](number) for number, kind in enumerate(kinds, 1)]


def folded(first: int, merged: list[Merged]) -> dict[str, Any]:
    snapshot: Snapshot = empty("p")
    for one in merged:
        # The fold knows nothing of merged events: whatever they stand for is one event at their last offset.
        gap: list[None] = [None] * (one.last - one.first)
        snapshot = fold(snapshot, one.first, [*gap, parse(one.payload)])
    return without_moments(snapshot)


def without_moments(snapshot: Snapshot) -> dict[str, Any]:
    """Without what a merged part can't say twice: when, and the offset, of each piece of it."""
    told: dict[str, Any] = snapshot.model_dump(exclude={"updated_at", "created_at", "offset"})
    for message in told["messages"]:
        del message["offset"]
    return told


@given(st.lists(st.integers(0, 9), max_size=30))
def test_the_story_stays_the_same(kinds: list[int]) -> None:
    payloads = said(kinds)
    merged = merge(1, payloads)
    whole = fold(empty("p"), 1, [parse(payload) for payload in payloads])
    assert folded(1, merged) == without_moments(whole)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 1000))
def test_every_offset_has_its_place_and_order_is_kept(kinds: list[int], first: int) -> None:
    payloads = said(kinds)
    merged = merge(first, payloads)
    offsets = [offset for one in merged for offset in range(one.first, one.last + 1)]
    assert offsets == list(range(first, first + len(payloads)))
    for one in merged:
        if one.first == one.last:
            assert one.payload == payloads[one.first - first], "what isn't merged is not touched"


@given(st.lists(st.integers(0, 9), max_size=30))
def test_only_neighbours_of_one_message_are_merged_and_all_of_them(kinds: list[int]) -> None:
    merged = merge(1, said(kinds))
    plain = {0: "a", 1: "a", 2: "b", 3: "b", 8: "a, of a step"}
    runs: list[list[int]] = []
    for offset, kind in enumerate(kinds, 1):
        if kind in plain and offset > 1 and plain.get(kinds[offset - 2]) == plain[kind]:
            runs[-1].append(offset)
        else:
            runs.append([offset])
    assert [list(range(one.first, one.last + 1)) for one in merged] == runs


def test_a_merged_part_has_the_first_ones_time_and_the_last_ones_id() -> None:
    (one,) = merge(7, [part(1), part(2), part(3)])
    told = json.loads(one.payload)
    assert (one.first, one.last) == (7, 9)
    assert told["id"] == "i3"
    assert told["data"]["timestamp"] == json.loads(part(1))["data"]["timestamp"]
    assert told["data"]["content"] == "1é 2é 3é "
    assert one.payload.startswith(b'{"type":"agent_message",'), "frames are made from it without parsing"


BROKEN = [
    b'{"type":"agent_message","append":true',
    b'{"type":"agent_message","append":true,"data":"no"}',
    b'{"type":"agent_message","append":true,"data":{"append":true}}',
    b'{"type":"agent_message","append":true,"data":{"append":true,"message_id":"m"}}',
    b'{"type":"agent_message","append":true,"data":{"append":true,"message_id":["m"],"content":"x"}}',
    b'{"type":"agent_message","x":"\xff","append":true}',
    b'{"type":"agent_message","append":true,"x":' + b"[" * 100_000,
    b'{"type":"agent_message","data":{"message_id":"m","content":"whole","x":{"append":true}}}',
    b'{"type":"step_update","data":{"append":true,"message_id":"m","content":"x"}}',
]


@pytest.mark.parametrize("payload", BROKEN, ids=lambda payload: repr(payload[:80]))
def test_what_makes_no_sense_is_passed_on_as_it_is(payload: bytes) -> None:
    assert merge(1, [part(1), payload, payload, part(2)]) == [
        Merged(1, 1, part(1)),
        Merged(2, 2, payload),
        Merged(3, 3, payload),
        Merged(4, 4, part(2)),
    ]
