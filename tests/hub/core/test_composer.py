"""C-SUB-9: a front end that knows no places gets the messages that the fold comes to, each once and each whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import parse
from broadcasters.snapshot import empty, fold
from hub.core import composer as composing
from hub.core.composer import Composer
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
    """Streamed messages, several at a time, among everything else. An id that was closed is not used again."""
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
def test_what_it_gets_is_what_the_fold_comes_to_however_it_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
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
def test_who_goes_on_from_its_reach_misses_nothing(payloads: list[bytes], data: st.DataObject) -> None:
    frames = frames_of(payloads)
    cut = data.draw(st.integers(0, len(frames)))
    first = Composer(0)
    first.take(frames[:cut])
    second = Composer(first.reach)
    again = [frame for ready in second.take(frames[second.at :]) for frame in ready.behind(cut)]
    assert again == taken(first, frames[cut:])


@given(stories(), st.integers(1, 7))
def test_what_is_ready_says_what_it_stands_for_and_from_where_on_to_read_again(
    payloads: list[bytes], size: int
) -> None:
    frames, composer = frames_of(payloads), Composer(0)
    while composer.at < len(frames):
        for ready in composer.take(frames[composer.at : composer.at + size]):
            before = Composer(0)
            before.take(frames[: ready.offset])
            assert ready.reach == before.reach
            offsets = [position_of(frame)[2] for frame in ready.frames]
            assert offsets in ([*range(ready.first, ready.offset + 1)], [ready.offset] * len(offsets))


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


def test_what_comes_of_a_message_after_the_end_of_its_plan_is_a_message_of_its_own() -> None:
    payloads = [part(1), update(2, status="completed"), part(3), part(4, final=True)]
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"].get("content") for event in got] == ["1é ", None, "3é 4é "]
    assert not any("append" in event["data"] for event in got)


def test_a_message_begun_anew_replaces_what_was_withheld() -> None:
    payloads = [part(1, content="old"), part(2, content="new", append=False), part(3, content="er", final=True)]
    got = said(taken(Composer(0), frames_of(payloads)))
    assert [event["data"]["content"] for event in got] == ["new", "er"]


def test_a_message_of_nothing_is_no_message_unless_it_carries_data() -> None:
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
def test_what_is_no_part_of_a_message_goes_out_as_it_is(payload: bytes) -> None:
    frames = frames_of([part(1), payload])
    assert taken(Composer(0), frames) == frames[1:]


def test_events_that_are_no_parts_are_not_even_copied() -> None:
    frames = frames_of([step(1), update(2), part(3, append=False)])
    got = taken(Composer(0), frames)
    assert all(one is other for one, other in zip(got, frames, strict=True))
