"""Segments: what a client has received is the plan, wherever it joins and however the log reaches it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.changes import MessageChange, PlanChange
from broadcasters.events import AgentMessage, InputRequest, InputResponse, PlanEvent, PlanUpdate, StepUpdate, build
from broadcasters.position import Position
from broadcasters.snapshot import Snapshot, empty
from hub.protocols.segments import Advance, Encoded, Ending, SegmentReader, open_questions, open_steps, waits
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read, read_in_pieces, snapshot_of

stories = st.lists(events, min_size=1, max_size=20)


@dataclass(frozen=True)
class Lines:
    """An encoder of the tests: a line of JSON for each message and status."""

    ends_restarts: bool = True

    def opening(self, plan: Snapshot, position: Position) -> bytes:
        return line("open", position.offset, state(plan))

    def encode(self, advance: Advance) -> Iterator[Encoded]:
        for event in advance.changes:
            for change in event.changes:
                match change:
                    case MessageChange(after=message, text=text):
                        kind, value = ("set", message.content) if text is None else ("add", text)
                        yield Encoded(event.last, line(kind, message.message_id, value))
                    case PlanChange(after=plan):
                        yield Encoded(event.last, line("status", plan.status))
                    case _:
                        pass

    def rewritten(self, before: Snapshot, after: Snapshot, position: Position) -> bytes | None:  # noqa: ARG002
        return line("open", position.offset, state(after)) if self.ends_restarts else None

    def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:  # noqa: ARG002
        return None if ending.kind == "restart" and not self.ends_restarts else line("close", ending.kind)


def line(*fields: Any) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def state(plan: Snapshot) -> Any:
    return [plan.status, {message.message_id: message.content for message in plan.messages}]


def shown(received: bytes) -> tuple[Any, list[str]]:
    """The state of a client, and the lines that are neither text nor a status."""
    now: Any = None
    others = []
    for text in received.decode().splitlines():
        match json.loads(text):
            case ["open", offset, plan]:
                others.append(f"open {offset}")
                now = plan
            case ["set", key, value]:
                now[1][key] = value
            case ["add", key, value]:
                now[1][key] = now[1].get(key, "") + value
            case ["status", value]:
                now[0] = value
            case ["close", kind]:
                others.append(f"close {kind}")
            case other:
                pytest.fail(f"unexpected: {other}")
    return now, others


def say(cls: type[PlanEvent], **fields: Any) -> PlanEvent:
    return build(cls, {"plan_id": PLAN_ID, **fields})


def message(text: str) -> PlanEvent:
    return say(AgentMessage, agent_name="A", content=text, message_id="m", append=True)


BEGIN, WAIT, END = (say(PlanUpdate, status=status) for status in ("in_progress", "waiting", "completed"))
ASK = say(InputRequest, request_id="q", kind="approval", prompt="Send it?")
ANSWER = say(InputResponse, request_id="q", answer=True)
ASKED = [BEGIN, message("one"), ASK, WAIT]
ANSWERED = [*ASKED, ANSWER, BEGIN, message("two"), END]


@given(stories, st.data())
def test_a_client_ends_in_the_state_of_the_log_however_that_reaches_it(
    story: Sequence[PlanEvent], data: st.DataObject
) -> None:
    reader = SegmentReader(PLAN_ID, Lines())
    received = read_in_pieces(reader, story, data.draw)
    assert shown(received)[0] == state(folded(story, reader.position.offset))
    assert reader.plan == folded(story, reader.position.offset)
    assert reader.over or reader.position.offset == len(story)


@given(stories, st.data())
def test_a_client_that_comes_back_receives_what_follows(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    after = data.draw(st.integers(0, len(story)))
    reader = SegmentReader(PLAN_ID, Lines(), after)
    received = read_in_pieces(reader, story, data.draw)
    if received:
        now, [first, *_] = shown(received)
        assert now == state(folded(story, reader.position.offset))
        assert first.startswith("open")


@given(stories, stories, st.data())
def test_a_client_that_has_a_plan_receives_exactly_what_follows(
    story: Sequence[PlanEvent], other: Sequence[PlanEvent], data: st.DataObject
) -> None:
    """From its position, even if the log was replaced since."""
    after, forked = data.draw(st.integers(1, len(story))), data.draw(st.booleans())
    base = folded(story, after), Position(EPOCH, after)
    reader = SegmentReader(PLAN_ID, Lines(), after, base=base)
    if forked:
        received = reader.confirmed(Position(EPOCH, 0), len(other), "forked")
        received += reader.take_snapshot(snapshot_of(other, len(other)))
    else:
        received = read_in_pieces(reader, story, data.draw, after)
    now, [first, *_] = shown(received)
    assert first == f"open {after}"
    assert now == state(folded(other if forked else story, reader.position.offset))


@given(stories, st.data())
def test_a_client_may_begin_with_a_snapshot(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    head = data.draw(st.integers(1, len(story)))
    reader = SegmentReader(PLAN_ID, Lines(), None)
    reader.confirmed(Position(EPOCH, head), head, None)
    received = reader.take_snapshot(snapshot_of(story, head))
    if head < len(story):
        received += reader.take(burst_of(story, head + 1, len(story)))
    now, [first, *_] = shown(received)
    assert first == f"open {head}"
    assert now == state(folded(story, reader.position.offset))


class TestStops:
    def test_at_an_open_question_when_nothing_works(self) -> None:
        assert shown(read(Lines(), ASKED))[1] == ["open 0", "close stop"]

    def test_at_the_end_of_the_plan(self) -> None:
        now, others = shown(read(Lines(), ANSWERED))
        assert now == ["completed", {"m": "onetwo"}]
        assert others == ["open 0", "close stop"]

    @pytest.mark.parametrize("head", range(4))
    def test_not_before_the_head(self, head: int) -> None:
        """The wait is at the head only when the client has received it."""
        assert shown(read(Lines(), ASKED, 0, head))[1] == ["open 0", "close stop"]

    def test_not_at_a_wait_that_is_over(self) -> None:
        received = read(Lines(), ANSWERED, 0, len(ANSWERED))
        assert shown(received)[1] == ["open 0", "close stop"]
        assert b'"two"' in received

    def test_not_while_another_step_works(self) -> None:
        working = [BEGIN, say(StepUpdate, step_id="s", status="in_progress"), ASK, WAIT]
        assert shown(read(Lines(), working))[1] == ["open 0"]
        done = say(StepUpdate, step_id="s", status="completed")
        assert shown(read(Lines(), [*working, done]))[1] == ["open 0", "close stop"]

    def test_not_without_a_question(self) -> None:
        assert shown(read(Lines(), [BEGIN, WAIT]))[1] == ["open 0"]

    def test_after_an_answer_only_what_follows_it_is_sent(self) -> None:
        received = read(Lines(), ANSWERED, len(ASKED))
        assert shown(received)[1] == ["open 4", "close stop"]
        assert b'"add", "m", "one"' not in received

    def test_not_before_an_answer_that_this_node_has_not_read_yet(self) -> None:
        reader = SegmentReader(PLAN_ID, Lines(), len(ASKED), least=len(ASKED) + 1)
        received = reader.confirmed(Position(EPOCH, 0), len(ASKED), None)
        received += reader.take(burst_of(ANSWERED, 1, len(ASKED)))
        assert not reader.over
        received += reader.take(burst_of(ANSWERED, len(ASKED) + 1, len(ANSWERED)))
        assert shown(received)[1] == ["open 4", "close stop"]

    def test_at_once_for_a_plan_that_has_ended(self) -> None:
        assert shown(read(Lines(), ANSWERED, None))[1] == ["open 8", "close stop"]


class TestEndings:
    def test_a_restart(self) -> None:
        reader = SegmentReader(PLAN_ID, Lines())
        reader.confirmed(Position(EPOCH, 0), 1, None)
        assert shown(reader.end(Ending("restart")))[1] == ["close restart"]
        assert (reader.over, reader.reset) == (True, False)
        assert reader.take(burst_of(ASKED, 1, 4)) == b""

    def test_a_restart_that_the_protocol_has_no_word_for(self) -> None:
        reader = SegmentReader(PLAN_ID, Lines(ends_restarts=False))
        assert reader.end(Ending("restart")) == b""
        assert (reader.over, reader.reset) == (True, True)

    def test_another_history(self) -> None:
        """The log was replaced: a client is given the new state, or is cut off if its protocol can't express that."""
        other = [BEGIN, message("other")]
        for encoder, expected in ((Lines(), ["open 0", "open 2"]), (Lines(ends_restarts=False), ["open 0"])):
            reader = SegmentReader(PLAN_ID, encoder)
            received = reader.confirmed(Position(EPOCH, 0), 2, None) + reader.take(burst_of(ASKED, 1, 2))
            received += reader.confirmed(Position(EPOCH, 2), 2, "forked") + reader.take_snapshot(snapshot_of(other, 2))
            assert shown(received)[1] == expected
            assert reader.reset is (len(expected) == 1)

    @pytest.mark.parametrize(("after", "reset"), [(2, True), (4, False), (5, False)])
    def test_a_client_that_must_continue_exactly_is_cut_off_where_the_log_was_trimmed(
        self, after: int, reset: bool
    ) -> None:
        reader = SegmentReader(PLAN_ID, Lines(), after, exact=True)
        received = reader.confirmed(Position(EPOCH, 4), 8, "trimmed") + reader.take_snapshot(snapshot_of(ANSWERED, 4))
        received += reader.take(burst_of(ANSWERED, 5, 8))
        assert (reader.reset, received == b"") == (reset, reset)

    @pytest.mark.parametrize("exact", [True, False])
    def test_a_client_within_merged_parts(self, exact: bool) -> None:
        """They can't be divided: a client that must continue exactly is cut off."""
        reader = SegmentReader(PLAN_ID, Lines(), 2, exact=exact)
        reader.confirmed(Position(EPOCH, 0), 3, None)
        received = reader.take(burst_of([message("one"), message("two"), message("three")], 1, 3, merged=True))
        assert (reader.reset, received == b"") == (exact, exact)

    def test_a_trimmed_log_begins_with_its_snapshot(self) -> None:
        reader = SegmentReader(PLAN_ID, Lines())
        received = reader.confirmed(Position(EPOCH, 4), 8, "trimmed") + reader.take_snapshot(snapshot_of(ANSWERED, 4))
        received += reader.take(burst_of(ANSWERED, 5, 8))
        assert shown(received)[0] == ["completed", {"m": "onetwo"}]


class TestSharing:
    def test_clients_at_the_same_position_share_the_work(self) -> None:
        """However they came there: one has followed, one began with a snapshot, one came back."""
        encoded: list[Advance] = []

        @dataclass(frozen=True)
        class Counting(Lines):
            def encode(self, advance: Advance) -> Iterator[Encoded]:
                encoded.append(advance)
                return super().encode(advance)

        readers = [SegmentReader(PLAN_ID, Counting(), after) for after in (0, None, 2, 0)]
        for reader in readers:
            reader.confirmed(Position(EPOCH, 0), 2, None)
            if reader is readers[1]:
                reader.take_snapshot(snapshot_of(ANSWERED, 2))
            else:
                reader.take(burst_of(ANSWERED, 1, 2))
        encoded.clear()
        burst = burst_of(ANSWERED, 3, 8)
        results = {reader.take(burst) for reader in readers}
        assert len(results) == len(encoded) == 1
        assert len({id(reader.plan) for reader in readers}) == 1

    def test_other_encoders_do_not_share(self) -> None:
        plan, burst = empty(PLAN_ID), burst_of(ANSWERED, 1, 8)
        readers = [SegmentReader(PLAN_ID, encoder) for encoder in (Lines(), Lines(ends_restarts=False))]
        for reader in readers:
            reader.confirmed(Position(EPOCH, 0), 8, None)
            reader.take(burst)
        assert readers[0].plan is readers[1].plan
        assert readers[0].plan is not plan


def test_the_state_of_a_plan() -> None:
    asked = folded(ASKED)
    assert [question.request_id for question in open_questions(asked)] == ["q"]
    assert waits(asked)
    ended = folded([*ASKED, say(StepUpdate, step_id="s", status="in_progress"), END])
    assert (list(open_questions(ended)), list(open_steps(ended)), waits(ended)) == ([], [], False)
    working = folded([BEGIN, say(StepUpdate, step_id="s", status="waiting")])
    assert [step.step_id for step in open_steps(working)] == ["s"]


def test_a_whole_segment_ends_only_with_the_plan() -> None:
    reader = SegmentReader(PLAN_ID, Lines(), whole=True)
    received = reader.confirmed(Position(EPOCH, 0), len(ASKED), None)
    received += reader.take(burst_of(ASKED, 1, len(ASKED)))
    open_until_then = not reader.over
    received += reader.take(burst_of(ANSWERED, len(ASKED) + 1, len(ANSWERED)))
    assert (open_until_then, reader.over) == (True, True)
    assert shown(received) == (["completed", {"m": "onetwo"}], ["open 0", "close stop"])


class TestChangesThatAProtocolCannotExpress:
    def test_the_client_is_given_the_new_state(self) -> None:
        @dataclass(frozen=True)
        class AddsOnly(Lines):
            def encode(self, advance: Advance) -> Iterator[Encoded] | None:  # type: ignore[override]  # pyright: ignore
                changes = [change for event in advance.changes for change in event.changes]
                replaced = any(isinstance(change, MessageChange) and change.text is None for change in changes)
                return None if replaced else super().encode(advance)

        replaced = say(AgentMessage, agent_name="A", content="other", message_id="m")
        now, others = shown(read(AddsOnly(), [BEGIN, message("one"), replaced, message("!")]))
        assert now == ["in_progress", {"m": "other!"}]
        assert others == ["open 0", "open 3"]


def test_a_stream_that_ends_before_its_beginning_ends_an_empty_plan() -> None:
    """The reader may have folded events already that the client did not receive."""
    closed: list[tuple[int, int]] = []

    class Closing(Lines):
        def closing(self, plan: Snapshot, position: Position, ending: Ending) -> bytes | None:
            closed.append((plan.offset, position.offset))
            return super().closing(plan, position, ending)

    reader = SegmentReader(PLAN_ID, Closing(), 4)
    reader.confirmed(Position(EPOCH, 0), 8, None)
    assert reader.take(burst_of(ANSWERED, 1, 2)) == b""
    assert shown(reader.end(Ending("restart")))[1] == ["close restart"]
    assert closed == [(0, 0)]


def test_a_client_that_left_within_merged_parts_receives_all_of_them() -> None:
    story = [BEGIN, message("one"), message("two"), message("three")]
    reader = SegmentReader(PLAN_ID, Lines(), after=2)
    received = reader.confirmed(Position(EPOCH, 0), len(story), None)
    received += reader.take(burst_of(story, 1, len(story), merged=True))
    assert shown(received)[0] == ["in_progress", {"m": "onetwothree"}]
