"""LangGraph's newer protocol: what a client makes of a thread's events is the plan, on however many streams it gets them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import langchain_protocol as protocol
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, StepUpdate, ToolCall
from broadcasters.position import Position
from hub.core.burst import Burst
from hub.protocols.langgraph.event_frames import ThreadPosition, seq_of, thread_position_of
from hub.protocols.langgraph.events import EventEncoder, channels_of
from hub.protocols.langgraph.state import text_message
from hub.protocols.langgraph.thread_events import EventReader
from hub.protocols.segments import Ending
from tests.broadcasters.strategies import PLAN_ID
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read_in_pieces, snapshot_of
from tests.hub.protocols.langgraph_threads import Event, ThreadClient, events_in
from tests.hub.protocols.test_segments import ANSWER, ANSWERED, ASKED, BEGIN, END, message, say, stories

ALL = channels_of(["values", "updates", "messages", "tools", "lifecycle", "input", "custom"])
few = settings(max_examples=25)


def reader_of(*channels: str, since: int = 0, newest: bool = True, number: int = 1) -> EventReader:
    encoder = EventEncoder(PLAN_ID, number, channels_of(channels) or ALL, since=since)
    return EventReader(PLAN_ID, encoder, newest=newest)


def read(
    reader: EventReader, story: Sequence[PlanEvent], cuts: Sequence[int] = (), head: int | None = None
) -> list[Event]:
    """What a client receives of a log, in bursts that end at these offsets."""
    received = reader.confirmed(Position(EPOCH, 0), len(story) if head is None else head, None)
    first = 1
    for last in [*cuts, len(story)]:
        received += reader.take(burst_of(story, first, last)) if first <= last else b""
        first = last + 1
    return [*events_in(received)]


def cuts_in(story: Sequence[PlanEvent], draw: Any) -> list[int]:
    return sorted(draw(st.sets(st.integers(1, len(story)))))


def client_of(*streams: Sequence[Event]) -> ThreadClient:
    client = ThreadClient()
    for events in streams:
        client.take(events)
    return client


def texts(story: Sequence[PlanEvent], upto: int) -> dict[str, str]:
    return {f"{PLAN_ID}:{one.offset}": one.content for one in folded(story, upto).messages}


def assert_state(client: ThreadClient, story: Sequence[PlanEvent], upto: int) -> None:
    """The client has the plan as it is at this offset."""
    plan = folded(story, upto)
    assert client.texts == texts(story, upto)
    assert client.ignored == []
    assert {name: step["status"] for name, step in client.updates.items()} == {
        one.step_id: one.status for one in plan.steps
    }
    assert client.values["plan"]["status"] == plan.status
    assert {one["id"]: one["content"] for one in client.values["messages"] if one["type"] == "ai"}.items() >= {
        shown["id"]: shown["content"]
        for shown in (text_message(PLAN_ID, one) for one in plan.messages if not one.streaming)
    }.items()
    assert sorted(client.answered) == sorted(one.request_id for one in plan.inputs if one.answered_at is not None)


# -- the state


@few
@given(stories, st.data())
def test_a_client_ends_in_the_state_of_the_log(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-LGR-13: cut anywhere, merged, or with a snapshot in place of events."""
    reader = reader_of()
    client = client_of([*events_in(read_in_pieces(reader, story, data.draw))])
    plan = folded(story, reader.position.offset)
    assert client.texts == texts(story, reader.position.offset)
    assert client.ignored == []
    assert set(client.tools) == {f"{PLAN_ID}:{one.offset}" for one in plan.tool_calls}


@few
@given(stories, st.data())
def test_a_client_resumes_exactly_after_any_event(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-LGR-14: with `since`, three streams, no event twice, none lost."""
    client, received = ThreadClient(), list[Event]()
    for last in (False, False, True):
        stream = read(reader_of(since=client.seq), story, cuts_in(story, data.draw))
        taken = stream if last else stream[: data.draw(st.integers(0, len(stream)))]
        client.take(taken)
        received += taken
    ends = folded(story).offset
    assert_state(client, story, ends)
    ids = [event["event_id"] for event in received if "event_id" in event]
    assert len(ids) == len({*ids})
    assert [one["offset"] for one in client.customs] == [*range(1, ends + 1)]


@few
@given(stories, st.data())
def test_a_client_that_replays_the_thread_has_nothing_twice(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-LGR-13: as `threads.stream` for JavaScript does after a cut, without `since`."""
    client = ThreadClient()
    for last in (False, False, True):
        upto = len(story) if last else data.draw(st.integers(1, len(story)))
        stream = read(reader_of(), story[:upto], cuts_in(story[:upto], data.draw))
        client.take(stream if last else stream[: data.draw(st.integers(0, len(stream)))])
    assert_state(client, story, len(story))
    assert [one["offset"] for one in client.customs] == [*range(1, len(story) + 1)]


@few
@given(stories, st.sets(st.sampled_from(sorted(ALL)), min_size=1), st.data())
def test_an_event_is_the_same_in_every_stream(
    story: Sequence[PlanEvent], channels: set[str], data: st.DataObject
) -> None:
    """P-LGR-13: with other channels, and in other bursts."""
    whole, some = (
        {event["event_id"]: event for event in read(reader, story, cuts_in(story, data.draw)) if "event_id" in event}
        for reader in (reader_of(), reader_of(*channels))
    )
    logged = {name: event for name, event in whole.items() if event["method"].partition(".")[0] in channels}
    assert {name: some[name] for name in some if not _is_report(some[name])} == {
        name: logged[name] for name in logged if not _is_report(logged[name])
    }


def _is_report(event: Event) -> bool:
    """Whether it is about the state of the plan where the client received it."""
    return event["method"] in ("lifecycle", "input.requested")


@few
@given(stories, st.data())
def test_a_client_replays_a_log_that_was_trimmed(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-LGR-15: it has a part of the messages."""
    had = data.draw(st.integers(1, len(story)))
    upto = data.draw(st.integers(had, len(story)))
    client = client_of(read(reader_of(), story[:had]))
    since = client.seq if data.draw(st.booleans()) else 0
    reader = reader_of(since=since)
    received = reader.confirmed(Position(EPOCH, 0), len(story), "trimmed")
    received += reader.take_snapshot(snapshot_of(story, upto))
    if upto < len(story):
        received += reader.take(burst_of(story, upto + 1, len(story)))
    client.take([*events_in(received)])
    ended = {f"{PLAN_ID}:{one.offset}" for one in folded(story, had).messages if not one.streaming}
    assert set(client.ignored) <= ended  # they were replaced in the part that is lost: the values have them
    expected = texts(story, len(story))
    assert {name for name, text in expected.items() if client.texts.get(name) != text} <= ended
    assert client.values["plan"]["status"] == folded(story).status


@few
@given(stories, stories, st.data())
def test_a_client_is_given_another_history(
    one: Sequence[PlanEvent], other: Sequence[PlanEvent], data: st.DataObject
) -> None:
    """P-LGR-15: the events at the same positions are others, and so are their ids."""
    head = data.draw(st.integers(1, len(other)))
    reader = reader_of()
    received = reader.confirmed(Position(EPOCH, 0), len(one) + 1, None) + reader.take(burst_of(one, 1, len(one)))
    events = [*events_in(received)]
    received = reader.confirmed(Position("m8d2", head), len(other), "forked")
    received += reader.take_snapshot(snapshot_of(other, head).replace(EPOCH.encode(), b"m8d2", 1))
    if head < len(other):
        burst = burst_of(other, head + 1, len(other))
        frames = [frame.replace(EPOCH.encode(), b"m8d2", 1) for frame in burst.frames]
        received += reader.take(Burst(frames, burst.first, burst.last))
    client = client_of(events, [*events_in(received)])
    if not reader.ended or not folded(one).ended_at:
        assert texts(other, len(other)).items() <= client.texts.items()
        assert client.values["plan"]["status"] == folded(other).status


def test_events_have_the_form_of_the_protocol() -> None:
    """P-LGR-12"""
    call = {"call_id": "c", "tool_name": "figures", "agent_name": "A"}
    started, done = (
        say(ToolCall, phase="started", arguments={"by": "region"}, **call),
        say(ToolCall, phase="completed", result=[4], **call),
    )
    story = [
        BEGIN,
        say(StepUpdate, step_id="s", status="completed"),
        started,
        done,
        *ASKED,
        ANSWER,
        message("two"),
        END,
    ]
    types = {
        "values": protocol.ValuesEvent,
        "updates": protocol.UpdatesEvent,
        "messages": protocol.MessagesEvent,
        "tools": protocol.ToolsEvent,
        "lifecycle": protocol.LifecycleEvent,
        "custom": protocol.CustomEvent,
        "input.requested": protocol.InputEvent,
    }
    seen = read(reader_of(), story, range(1, len(story)), head=0)
    for event in seen:
        if (shape := types.get(event["method"])) is not None:
            assert TypeAdapter(shape).validate_python(event)
    assert {event["method"] for event in seen} == {*types, "input.answered"}
    assert [event["seq"] for event in seen] == sorted({event["seq"] for event in seen})


class TestStates:
    """P-LGR-16"""

    def test_a_question_at_the_head_interrupts_the_run(self) -> None:
        client = client_of(read(reader_of(), ASKED))
        assert (client.states, client.questions) == (["running", "interrupted"], ["q"])

    def test_an_answered_question_does_not_when_the_thread_is_replayed(self) -> None:
        """P-LGR-13"""
        client = client_of(read(reader_of(), ANSWERED, range(1, len(ANSWERED))))
        assert (client.states, client.questions, client.answered) == (["running", *["completed"] * 2], [], ["q"])

    def test_a_client_that_was_there_gets_each_state_once(self) -> None:
        """P-LGR-14"""
        events = read(reader_of(), ANSWERED, range(1, len(ANSWERED)), head=0)
        client = client_of(events)
        assert client.states == ["running", "interrupted", "running", *["completed"] * 2]
        runs = [event["event_id"].split(":")[1] for event in events if event["method"] == "lifecycle"]
        assert [*map(runs.index, runs)] == [0, 0, 2, 0, 2], "the end is that of both runs"
        assert read(reader_of(since=client.seq), ANSWERED) == []

    @pytest.mark.parametrize(
        ("status", "state"), [("completed", "completed"), ("error", "failed"), ("cancelled", "interrupted")]
    )
    def test_ends(self, status: Any, state: str) -> None:
        reader = reader_of()
        events = read(reader, [BEGIN, say(PlanUpdate, status=status, content="no figures")])
        assert client_of(events).states == ["running", state]
        assert events[-1]["params"]["data"].get("error") == ("no figures" if status == "error" else None)
        assert reader.ended

    def test_an_earlier_plan_of_the_thread_has_no_state(self) -> None:
        """P-LGR-13"""
        for story in (ANSWERED, ASKED):
            reader = reader_of(newest=False)
            client = client_of(read(reader, story))
            assert (client.states, client.values, len(client.customs)) == ([], None, len(story))
            assert reader.ended, "the next plan follows, even if this one has not ended"

    def test_a_plan_that_has_not_begun_has_no_state(self) -> None:
        assert [*events_in(reader_of().confirmed(Position(EPOCH, 0), 0, None))] == []

    @pytest.mark.parametrize("kind", ["restart", "failed"])
    def test_a_stream_that_ends_early(self, kind: Any) -> None:
        """P-LGR-15"""
        reader = reader_of()
        reader.confirmed(Position(EPOCH, 0), 1, None)
        client = client_of([*events_in(reader.end(Ending(kind, "2404", "the plan was deleted")))])
        assert client.error == ("the plan was deleted" if kind == "failed" else None)
        assert (reader.reset, reader.ended) == (kind == "restart", False)


class TestSequenceNumbers:
    """P-LGR-14"""

    @given(st.integers(1, 8191), st.integers(0, 2**31 - 1))
    def test_they_name_a_position_and_fit_into_a_double(self, number: int, offset: int) -> None:
        place = ThreadPosition(number, offset)
        assert thread_position_of(seq_of(place, 0)) == thread_position_of(seq_of(place)) == place
        assert seq_of(place) < 2**53

    def test_a_client_that_is_cut_among_too_many_events_of_one_offset_loses_none(self) -> None:
        messages = [
            say(AgentMessage, agent_name="A", content="x", message_id=f"m{at}", append=True) for at in range(300)
        ]
        story = [*messages, END]
        whole = read(reader_of("messages"), story)
        assert len(whole) == 300 * 5
        for cut in (len(whole) - 1, len(whole) - 230, len(whole) - 500):
            client = client_of(whole[:cut])
            client.take(read(reader_of("messages", since=client.seq), story))
            assert client.texts == texts(story, len(story))
            assert not client.streaming


def test_channels_that_have_no_events_are_no_error() -> None:
    assert channels_of(["checkpoints", "tasks", "debug", "custom:plancast", "custom:other"]) == {"custom"}
