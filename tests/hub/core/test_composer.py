"""Parts of streamed messages put together: merged neighbours, and whole messages for front ends that need them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import parse
from broadcasters.fold import fold
from broadcasters.snapshot import Snapshot, empty
from hub.core import composer as composing
from hub.core.composer import Composer, Merged, merge
from hub.wire.frames import event_frame, event_prefix, position_of
from tests.hub.core.scripted_log import part, step, update
from tests.hub.core.witness import whole_messages

PREFIX = event_prefix("p", "e")
TEXTS = ("", "a", "Looking… ", "😀", '"\\\n', "x" * 30)


def frames_of(payloads: Sequence[bytes]) -> list[bytes]:
    return [event_frame(PREFIX, offset, payload) for offset, payload in enumerate(payloads, 1)]


def said(frames: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(frame) for frame in frames]


def taken(composer: Composer, frames: Sequence[bytes]) -> list[bytes]:
    return [frame for ready in composer.take(frames) for frame in ready.frames]


def payload_of(number: int, kind: str, message_id: str, text: str) -> bytes:
    match kind:
        case "part":
            return part(number, message_id, content=text)
        case "final":
            return part(number, message_id, content=text, final=True)
        case "error":
            return part(number, message_id, content=text, final=True, error="the agent failed")
        case "message":
            return part(number, f"whole-{number}", content=text, append=False)
        case "end":
            return update(number, status="completed")
        case "update":
            return update(number, status="in_progress", content=text)
        case _:
            return step(number)


@st.composite
def stories(draw: st.DrawFn) -> list[bytes]:
    """Several concurrent streamed messages among other events. The id of a closed message is not used again."""
    payloads: list[bytes] = []
    names = dict.fromkeys("abc", 0)
    kinds = st.sampled_from(["part"] * 6 + ["final", "error", "message", "update", "step", "step", "end"])
    for number, kind in enumerate(draw(st.lists(kinds, max_size=60)), 1):
        slot = draw(st.sampled_from("abc"))
        payloads.append(payload_of(number, kind, f"{slot}{names[slot]}", draw(st.sampled_from(TEXTS))))
        if kind in ("final", "error"):
            names[slot] += 1
        elif kind == "end":
            names = {slot: count + 1 for slot, count in names.items()}
    return payloads


def texts_by_message(events: Sequence[dict[str, Any]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for event in events:
        if event["type"] == "agent_message":
            message_id = event["data"]["message_id"]
            texts[message_id] = texts.get(message_id, "") + event["data"]["content"]
    return texts


@given(stories(), st.lists(st.integers(1, 7), max_size=60))
def test_composed_messages_are_those_of_the_fold_however_the_input_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    composer, frames, got = Composer(0), frames_of(payloads), list[bytes]()
    for size in [*cuts, len(frames)]:
        got += taken(composer, frames[composer.at : composer.at + size])
    folded = fold(empty("p"), 1, [parse(payload) for payload in payloads])
    texts = texts_by_message(said(got))
    for message in folded.messages:
        if not message.streaming and message.message_id not in composer._withheld:
            assert texts.pop(message.message_id, "") == message.content
    assert texts == {}
    expected = whole_messages([json.loads(payload) for payload in payloads])
    assert [frame["offset"] for frame in said(got)] == [offset for offset, _ in expected]
    for frame, (_, event) in zip(said(got), expected, strict=True):
        assert {name: frame[name] for name in event} == event


@given(stories(), st.data())
def test_a_composer_that_continues_from_the_reach_misses_nothing(payloads: list[bytes], data: st.DataObject) -> None:
    frames = frames_of(payloads)
    cut = data.draw(st.integers(0, len(frames)))
    first = Composer(0)
    first.take(frames[:cut])
    second = Composer(first.reach)
    again = [frame for ready in second.take(frames[second.at :]) for frame in ready.behind(cut)]
    assert again == taken(first, frames[cut:])


@given(stories(), st.integers(1, 7))
def test_ready_frames_name_their_events_and_the_reach_after_them(payloads: list[bytes], size: int) -> None:
    frames, composer = frames_of(payloads), Composer(0)
    while composer.at < len(frames):
        for ready in composer.take(frames[composer.at : composer.at + size]):
            before = Composer(0)
            before.take(frames[: ready.offset])
            assert ready.reach == before.reach
            offsets = [position_of(frame)[2] for frame in ready.frames]
            assert offsets in ([*range(ready.first, ready.offset + 1)], [ready.offset] * len(offsets))


def test_parts_with_usage_are_not_merged() -> None:
    """C-EVT-5, C-USE-1"""
    payloads = [part(1), part(2), part(3, usage={"output_tokens": 1}), part(4), part(5)]
    assert [(one.first, one.last) for one in merge(1, payloads)] == [(1, 2), (3, 3), (4, 5)]
    assert merge(1, payloads)[1].payload == payloads[2]


def test_a_whole_message_has_the_usage_of_each_part_once() -> None:
    """C-SUB-9, C-USE-1"""
    payloads = [part(1), part(2, usage={"output_tokens": 1}), part(3), part(4, usage={"output_tokens": 2}), part(5)]
    payloads.append(part(6, final=True))
    [first, second] = said(taken(Composer(0), frames_of(payloads)))
    assert [one["data"]["usage"]["output_tokens"] for one in (first, second)] == [1, 2]
    assert (first["data"]["content"], second["data"]["content"]) == ("1é 2é 3é ", "4é 5é 6é ")
    assert "append" not in first["data"]
    assert second["data"]["append"] is True
    assert (first["offset"], second["offset"]) == (4, 6)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composing, "MESSAGE_BYTES", 40)
    monkeypatch.setattr(composing, "WITHHELD_BYTES", 60)
    monkeypatch.setattr(composing, "WITHHELD_MESSAGES", 2)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("seed", range(20))
def test_withheld_text_is_bounded_and_none_is_lost(seed: int) -> None:
    texts = ["x" * (seed + number % 17) + "é" for number in range(200)]
    payloads = [
        part(number, f"m{number * (seed + 1) % 5}", content=text, final=number > 190)
        for number, text in enumerate(texts, 1)
    ]
    composer, got = Composer(0), list[bytes]()
    for frame in frames_of(payloads):
        got += taken(composer, [frame])
        assert composer._size <= 60
        assert len(composer._withheld) <= 2
        assert len(composer._begun) <= 2
    told = texts_by_message(said(got))
    for message in fold(empty("p"), 1, [parse(payload) for payload in payloads]).messages:
        rest = composer._withheld.get(message.message_id)
        assert told.get(message.message_id, "") + (rest.text if rest else "") == message.content


@pytest.mark.usefixtures("small")
def test_the_pieces_of_a_long_message_are_added_to_its_first() -> None:
    payloads = [part(number, content="x" * 30) for number in range(1, 6)] + [part(6, content="", final=True)]
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"].get("append") for event in got] == [None, True, True]
    assert [len(event["data"]["content"]) for event in got] == [60, 60, 30]
    assert [event["data"].get("final") for event in got] == [None, None, True]


def test_parts_after_the_end_of_the_plan_are_a_message_of_their_own() -> None:
    payloads = [part(1), update(2, status="completed"), part(3), part(4, final=True)]
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"].get("content") for event in got] == ["1é ", None, "3é 4é "]
    assert not any("append" in event["data"] for event in got)


def test_a_message_that_begins_again_replaces_what_was_withheld() -> None:
    payloads = [part(1, content="old"), part(2, content="new", append=False), part(3, content="er", final=True)]
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"]["content"] for event in got] == ["new", "er"]


def test_an_empty_message_is_sent_only_with_data() -> None:
    payloads = [part(1, "a", content=""), part(2, "a", content="", final=True), part(3, "b", content="", data={"n": 1})]
    payloads.append(part(4, "b", content="", final=True))
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"]["data"] for event in got] == [{"n": 1}]


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"agent_message","id":"i","data":{"agent_name":"A","content":"a","append":true}}',
        b'{"type":"agent_message","id":"i","data":{"message_id":7,"content":"a","append":true}}',
        b'{"type":"agent_message","id":"i","data":{"message_id":"m","append":true}}',
        b'{"type":"agent_message","id":"i","data":["\\"append\\":true","append",{"append":true}]}',
        b'{"type":"of_tomorrow","id":"i","data":{"message_id":"m","content":"a","append":true}}',
        b'{"type":"plan_update","id":"i","data":7}',
    ],
)
def test_other_events_are_sent_unchanged(payload: bytes) -> None:
    frames = frames_of([part(1), payload])
    assert taken(Composer(0), frames) == frames[1:]


def test_events_that_are_no_parts_are_not_copied() -> None:
    frames = frames_of([step(1), update(2), part(3, append=False)])
    got = taken(Composer(0), frames)
    assert all(one is other for one, other in zip(got, frames, strict=True))


def parts_of(kinds: list[int]) -> list[bytes]:
    """Parts of two messages, final parts, parts with more than text, and steps."""
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
        # The fold does not support merged events: each is folded as one event at its last offset.
        gap: list[None] = [None] * (one.last - one.first)
        snapshot = fold(snapshot, one.first, [*gap, parse(one.payload)])
    return without_moments(snapshot)


def without_moments(snapshot: Snapshot) -> dict[str, Any]:
    """Without what merging loses: the timestamp and the offset of each part."""
    told: dict[str, Any] = snapshot.model_dump(exclude={"updated_at", "created_at", "offset"})
    for message in told["messages"]:
        del message["offset"]
    return told


@given(st.lists(st.integers(0, 9), max_size=30))
def test_merged_events_fold_to_the_same_snapshot(kinds: list[int]) -> None:
    payloads = parts_of(kinds)
    merged = merge(1, payloads)
    whole = fold(empty("p"), 1, [parse(payload) for payload in payloads])
    assert folded(1, merged) == without_moments(whole)


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 1000))
def test_merging_keeps_every_offset_and_the_order(kinds: list[int], first: int) -> None:
    payloads = parts_of(kinds)
    merged = merge(first, payloads)
    offsets = [offset for one in merged for offset in range(one.first, one.last + 1)]
    assert offsets == list(range(first, first + len(payloads)))
    for one in merged:
        if one.first == one.last:
            assert one.payload == payloads[one.first - first], "an event that isn't merged is unchanged"


@given(st.lists(st.integers(0, 9), max_size=30))
def test_all_neighbouring_parts_of_one_message_are_merged_and_nothing_else(kinds: list[int]) -> None:
    merged = merge(1, parts_of(kinds))
    plain = {0: "a", 1: "a", 2: "b", 3: "b", 8: "a, of a step"}
    runs: list[list[int]] = []
    for offset, kind in enumerate(kinds, 1):
        if kind in plain and offset > 1 and plain.get(kinds[offset - 2]) == plain[kind]:
            runs[-1].append(offset)
        else:
            runs.append([offset])
    assert [list(range(one.first, one.last + 1)) for one in merged] == runs


def test_a_merged_part_has_the_first_timestamp_and_the_last_id() -> None:
    (one,) = merge(7, [part(1), part(2), part(3)])
    told = json.loads(one.payload)
    assert (one.first, one.last) == (7, 9)
    assert told["id"] == "i3"
    assert told["data"]["timestamp"] == json.loads(part(1))["data"]["timestamp"]
    assert told["data"]["content"] == "1é 2é 3é "
    assert one.payload.startswith(b'{"type":"agent_message",'), "its layout is that of an event"


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
def test_invalid_events_are_passed_on_unchanged(payload: bytes) -> None:
    assert merge(1, [part(1), payload, payload, part(2)]) == [
        Merged(1, 1, part(1)),
        Merged(2, 2, payload),
        Merged(3, 3, payload),
        Merged(4, 4, part(2)),
    ]
