"""LangGraph: what a client makes of a run's stream is the plan, wherever it is cut and however the log reaches it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcasters.events import (
    Artifact,
    InputRequest,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
)
from broadcasters.position import Position
from hub.protocols.langgraph.encoder import MODES, RunEncoder, cursor_in, event_id, modes_of
from hub.protocols.langgraph.state import interrupts_of, messages_of, resumption
from hub.protocols.segments import Ending, SegmentReader
from tests.broadcasters.strategies import PLAN_ID
from tests.hub.protocols import langgraph_vectors
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read, read_in_pieces, snapshot_of
from tests.hub.protocols.langgraph_client import LangGraphClient, received_in
from tests.hub.protocols.test_segments import ANSWER, ASK, ASKED, BEGIN, END, WAIT, message, say, stories


def encoder(*modes: str, begin: int = 0, **fields: Any) -> RunEncoder:
    return RunEncoder("r", PLAN_ID, begin, modes_of(modes) or MODES, **fields)


def texts(events: Sequence[PlanEvent], upto: int) -> dict[str, str]:
    return {message["id"]: message["content"] for message in messages_of(folded(events, upto))}


def steps(events: Sequence[PlanEvent], upto: int) -> dict[str, Any]:
    fields = [
        step.model_dump(mode="json", exclude_none=True, exclude={"offset"}) for step in folded(events, upto).steps
    ]
    return {step["step_id"]: step for step in fields}


def client_of(stream: bytes) -> LangGraphClient:
    client = LangGraphClient()
    client.take([*received_in(stream)])
    return client


def events_in(stream: bytes) -> list[str]:
    return [one.event for one in received_in(stream)]


@given(stories, st.data())
def test_a_client_ends_in_the_state_of_the_log(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-LGR-4"""
    reader = SegmentReader(PLAN_ID, encoder())
    client = client_of(read_in_pieces(reader, story, data.draw))
    assert client.texts == texts(story, reader.position.offset)


@given(stories, st.data())
def test_a_client_resumes_exactly_wherever_its_connection_is_cut(
    story: Sequence[PlanEvent], data: st.DataObject
) -> None:
    """P-LGR-5: after any message, in any modes; no text twice, none lost, and no update."""
    modes = encoder(*data.draw(st.sets(st.sampled_from(sorted(MODES))).map(lambda some: some | {"messages"})))
    client = LangGraphClient()
    for last in (False, False, True):
        position, customs, afresh = client.cursor
        base = (folded(story, position.offset), Position(EPOCH, position.offset)) if position.offset else None
        joined = replace(modes, customs=customs, afresh=afresh)
        reader = SegmentReader(PLAN_ID, joined, position.offset, base=base)
        messages = [*received_in(read_in_pieces(reader, story, data.draw, position.offset))]
        client.take(messages if last else messages[: data.draw(st.integers(0, len(messages)))])
    sent = texts(story, reader.position.offset)
    if "values" not in modes.modes:
        sent.pop(f"{PLAN_ID}:0", None)  # the title
    assert client.texts == sent
    if "updates" in modes.modes:
        assert client.steps == steps(story, reader.position.offset)
    offsets = [event["offset"] for event in client.customs]
    if not any("first" in event for event in client.customs):  # parts of a message that were merged may come again
        assert offsets == sorted({*offsets})


@settings(max_examples=40)
@given(stories, st.data())
def test_a_run_that_begins_in_the_midst_sends_earlier_messages_in_values(
    story: Sequence[PlanEvent], data: st.DataObject
) -> None:
    begin = data.draw(st.integers(0, len(story)))
    reader = SegmentReader(PLAN_ID, encoder(begin=begin), begin)
    received = read_in_pieces(reader, story, data.draw)
    client = client_of(received)
    if received:
        assert client.texts == texts(story, reader.position.offset)


@settings(max_examples=40)
@given(stories, st.data())
def test_a_client_whose_position_is_lost_begins_afresh(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """It has something else of each message; it receives a snapshot."""
    head = data.draw(st.integers(1, len(story)))
    client = LangGraphClient()
    client.take([*received_in(read(encoder(), story[:head]))])
    client.chunks = {name: f"{text}…" for name, text in client.chunks.items()}
    reader = SegmentReader(PLAN_ID, encoder(afresh=True), None)
    reader.confirmed(Position(EPOCH, head), head, None)
    received = reader.take_snapshot(snapshot_of(story, head))
    if head < len(story):
        received += reader.take(burst_of(story, head + 1, len(story)))
    client.take([*received_in(received)])
    assert client.texts == texts(story, reader.position.offset)


@settings(max_examples=40)
@given(stories, stories, st.data())
def test_a_client_is_given_another_history(
    one: Sequence[PlanEvent], other: Sequence[PlanEvent], data: st.DataObject
) -> None:
    """Messages with the same position are others."""
    head = data.draw(st.integers(1, len(other)))
    reader = SegmentReader(PLAN_ID, encoder())
    received = reader.confirmed(Position(EPOCH, 0), len(one) + 1, None) + reader.take(burst_of(one, 1, len(one)))
    received += reader.confirmed(Position(EPOCH, head), len(other), "forked")
    received += reader.take_snapshot(snapshot_of(other, head))
    if head < len(other):
        received += reader.take(burst_of(other, head + 1, len(other)))
    assert client_of(received).texts == texts(other, reader.position.offset)


def test_the_vectors_are_what_the_encoder_makes() -> None:
    """`python -m tests.hub.protocols.langgraph_vectors` writes them."""
    assert langgraph_vectors.FILE.read_text() == langgraph_vectors.content()


def test_a_client_that_is_cut_while_a_tool_call_begins_again_loses_the_earlier_result() -> None:
    """P-LGR-5"""
    call = {"call_id": "c", "tool_name": "figures", "agent_name": "A"}
    story = [
        BEGIN,
        say(ToolCall, phase="completed", result=4, **call),
        say(ToolCall, phase="started", arguments={"by": "month"}, **call),
    ]
    received = [*received_in(read(encoder("messages"), story))]
    for cut in range(len(received)):
        client = LangGraphClient()
        client.take(received[:cut])
        position, _, afresh = client.cursor
        base = (folded(story, position.offset), position) if position.offset else None
        reader = SegmentReader(PLAN_ID, encoder("messages", afresh=afresh), position.offset, base=base)
        client.take([*received_in(reader.confirmed(Position(EPOCH, position.offset), 3, None))])
        if position.offset < 3:
            client.take([*received_in(reader.take(burst_of(story, position.offset + 1, 3)))])
        assert list(client.texts) == [f"{PLAN_ID}:2"]


class TestMessages:
    STEP = say(StepUpdate, step_id="s", status="completed")
    STORY = (BEGIN, message("one"), message("two"), STEP, END)

    def test_ids_are_positions_and_rise(self) -> None:
        """P-LGR-4"""
        ids = [*dict.fromkeys(one.id for one in received_in(read(encoder(), self.STORY)) if one.id)]
        assert ids == sorted(ids)
        assert ids[-1] == event_id(Position(EPOCH, 5))
        assert [one.removesuffix(f"-{EPOCH}") for one in ids] == ["0", "1", "1.1", "2", "2.1", "3", "3.1", "4", "5"]

    def test_one_message_for_each_event_in_each_mode(self) -> None:
        assert events_in(read(encoder("custom"), self.STORY)) == ["metadata", *["custom"] * 5]
        assert events_in(read(encoder("messages-tuple"), self.STORY)) == ["metadata", *["messages"] * 2]
        assert events_in(read(encoder("updates"), self.STORY)) == ["metadata", "updates"]

    def test_values_are_sent_for_what_is_not_text(self) -> None:
        received = read(encoder("values"), self.STORY)
        assert events_in(received) == ["metadata", *["values"] * 4]
        assert client_of(received).values["plan"]["status"] == "completed"

    def test_values_are_sent_once_a_burst(self) -> None:
        reader = SegmentReader(PLAN_ID, encoder("values"))
        received = reader.confirmed(Position(EPOCH, 0), 5, None) + reader.take(burst_of(self.STORY, 1, 5))
        assert events_in(received) == ["metadata", "values", "values"]

    def test_the_messages_of_earlier_plans_come_first(self) -> None:
        received = read(encoder("values", earlier=b'{"id":"a","content":"before"}'), self.STORY)
        assert list(client_of(received).texts) == ["a", f"{PLAN_ID}:2"]

    def test_the_original_frame_is_in_custom(self) -> None:
        custom = client_of(read(encoder("custom"), self.STORY)).customs[1]
        assert custom == {**custom, "type": "agent_message", "offset": 2, "epoch": EPOCH}
        assert custom["data"]["content"] == "one"

    def test_a_tool_call_is_a_message_and_its_result_another(self) -> None:
        call = {"call_id": "c", "tool_name": "figures", "agent_name": "A"}
        story = [
            BEGIN,
            say(ToolCall, phase="started", arguments={"by": "region"}, **call),
            say(ToolCall, phase="completed", result=[4], **call),
        ]
        [ai, tool] = client_of(read(encoder(), story)).values["messages"]
        assert ai["tool_calls"] == [
            {"type": "tool_call", "id": f"{PLAN_ID}:2", "name": "figures", "args": {"by": "region"}}
        ]
        assert (tool["tool_call_id"], tool["content"], tool["status"]) == (f"{PLAN_ID}:2", "[4]", "success")

    def test_an_artifact_is_in_the_values(self) -> None:
        artifact = say(Artifact, artifact_id="a", name="a.md", mime_type="text/markdown", data="x")
        [shown] = client_of(read(encoder("values"), [BEGIN, artifact])).values["plan"]["artifacts"]
        assert shown["data"] == "x"


class TestEndings:
    def test_a_question_is_an_interrupt(self) -> None:
        """P-LGR-7"""
        received = read(encoder(), ASKED)
        assert events_in(received)[-2:] == ["updates", "values"]
        [interrupt] = client_of(received).values["__interrupt__"]
        assert interrupt["id"] == "q"
        assert interrupt["value"]["prompt"] == "Send it?"
        assert interrupt["value"]["action_requests"][0]["description"] == "Send it?"

    def test_an_answered_question_is_not(self) -> None:
        assert "__interrupt__" not in client_of(read(encoder(), [*ASKED, ANSWER, BEGIN, END])).values

    def test_the_run_after_an_answer_has_only_what_follows(self) -> None:
        received = read(encoder(begin=len(ASKED)), [*ASKED, ANSWER, BEGIN, message(" two"), END], len(ASKED))
        client = client_of(received)
        assert client.chunks == {}  # the message began in the run before: it is in the values
        assert client.texts == {f"{PLAN_ID}:2": "one two"}

    def test_a_failed_plan(self) -> None:
        failed = say(PlanUpdate, status="error", content="no figures")
        assert client_of(read(encoder(), [BEGIN, failed])).error == {"error": "PlanError", "message": "no figures"}

    def test_a_cancelled_plan_just_ends(self) -> None:
        client = client_of(read(encoder(), [BEGIN, say(PlanUpdate, status="cancelled")]))
        assert (client.error, client.values["plan"]["status"]) == (None, "cancelled")

    @pytest.mark.parametrize("kind", ["restart", "failed"])
    def test_a_stream_that_ends_early(self, kind: Any) -> None:
        """P-LGR-6: it is cut, so that the client resumes, even if the run ends meanwhile; or it ends with an error."""
        reader = SegmentReader(PLAN_ID, encoder())
        reader.confirmed(Position(EPOCH, 0), 1, None)
        assert events_in(reader.end(Ending(kind, "2404", "deleted"))) == (["error"] if kind == "failed" else [])
        assert reader.reset is (kind == "restart")


def test_ids_of_other_streams_are_none() -> None:
    for text in ("-1", "", "1.5-x", "7-k3f9-1", "7 "):
        assert cursor_in(text) is None
    assert cursor_in("7-k3f9") == (Position("k3f9", 7), 7, False)
    assert cursor_in("7.1-k3f9") == (Position("k3f9", 7), 8, False)
    assert cursor_in("7.0-k3f9") == (Position("k3f9", 7), 7, True)
    assert cursor_in("7") == (Position("", 7), 7, False)


def test_interrupts_of_a_plan_that_works_or_has_ended() -> None:
    step = say(StepUpdate, step_id="s", status="in_progress")
    assert list(interrupts_of(folded([BEGIN, step, ASK, WAIT]))) == []
    assert list(interrupts_of(folded([*ASKED, END]))) == []


class TestResumption:
    @staticmethod
    def answered(value: Any, **question: Any) -> Any:
        fields = {"request_id": "q", "kind": "approval", "prompt": "?", **question}
        return resumption(folded([BEGIN, say(InputRequest, **fields)]).inputs[0], value)

    @pytest.mark.parametrize(
        ("value", "answer"),
        [
            ("yes", "yes"),
            (True, True),
            ({"decisions": [{"type": "approve"}]}, "yes"),
            ({"decisions": [{"type": "reject", "message": "no"}]}, "no"),
            ([{"type": "accept", "args": None}], "yes"),
            ([{"type": "ignore"}], "no"),
            ({"decisions": [{"type": "edit"}]}, {"decisions": [{"type": "edit"}]}),
            ({"approved": True}, {"approved": True}),
        ],
    )
    def test_an_approval(self, value: Any, answer: Any) -> None:
        assert self.answered(value, options=["yes", "no"]) == answer

    def test_an_approval_without_options_or_with_labels(self) -> None:
        assert self.answered([{"type": "accept"}]) is True
        options = [{"value": "go", "label": "Go!"}, {"value": "stop", "label": "Stop!"}]
        assert self.answered([{"type": "ignore"}], options=options) == "stop"

    def test_other_questions_take_the_value(self) -> None:
        assert self.answered([{"type": "accept"}], kind="clarification") == [{"type": "accept"}]
