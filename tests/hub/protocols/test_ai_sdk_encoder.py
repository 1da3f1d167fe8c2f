"""The AI SDK's encoder: a client has the state of the log, wherever the log is cut and joined, and nothing twice."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.events import (
    AgentMessage,
    Artifact,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    ToolCall,
    build,
)
from broadcasters.position import Position
from hub.protocols.ai_sdk.encoder import UiMessageEncoder
from hub.protocols.segments import Ending, SegmentReader
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read, read_in_pieces, snapshot_of
from tests.hub.protocols.ui_messages import UiMessage, chunks_in, shown

stories = st.lists(events, min_size=1, max_size=20)
ENCODER = UiMessageEncoder()


def message_of(received: bytes) -> UiMessage:
    return UiMessage().apply(chunks_in(received))


def say(cls: type[PlanEvent], **fields: object) -> PlanEvent:
    return build(cls, {"plan_id": PLAN_ID, **fields})


def text(content: str, message_id: str = "m", **fields: object) -> PlanEvent:
    return say(
        AgentMessage,
        **{"agent_name": "A", "content": content, "message_id": message_id, "message_type": "result", **fields},
    )


def token(content: str, message_id: str = "m", **fields: object) -> PlanEvent:
    return text(content, message_id, append=True, **fields)


def ask(request_id: str = "q", kind: str = "approval") -> PlanEvent:
    return say(InputRequest, request_id=request_id, kind=kind, prompt="Send it?")


def answer(value: object, request_id: str = "q") -> PlanEvent:
    return say(InputResponse, request_id=request_id, answer=value, by="ann")


def tool(phase: str, **fields: object) -> PlanEvent:
    return say(ToolCall, agent_name="A", call_id="c", tool_name="sql", phase=phase, **fields)


BEGIN, WAIT, END = (say(PlanUpdate, status=status) for status in ("in_progress", "waiting", "completed"))


@given(stories, st.data())
def test_a_client_shows_the_log_however_that_reaches_it(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-AIS-3."""
    reader = SegmentReader(PLAN_ID, ENCODER)
    received = read_in_pieces(reader, story, data.draw)
    actual, expected = shown(message_of(received), folded(story, reader.position.offset))
    assert actual == expected


@given(stories, st.data())
def test_a_continuation_adds_only_what_follows(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    """P-AIS-5."""
    cut = data.draw(st.integers(1, len(story)))
    plan = folded(story, cut)
    if plan.ended_at is not None:
        return
    earlier = SegmentReader(PLAN_ID, ENCODER)
    received = earlier.confirmed(Position(EPOCH, 0), len(story), None) + earlier.take(burst_of(story, 1, cut))
    if not earlier.over:
        received += ENCODER.closing(plan, Position(EPOCH, cut), Ending("stop")) or b""
    client = message_of(received).continued()
    known = {name: value for name, value in client.metadata["plancast"].items() if name != "usage"}
    assert known == {"plan_id": PLAN_ID, "epoch": EPOCH, "offset": cut}
    reader = SegmentReader(PLAN_ID, ENCODER, cut, exact=True)
    heads = [st.integers(cut, len(story))]  # the log has what the client has
    further = read_in_pieces(reader, story, lambda strategy: data.draw(heads.pop() if heads else strategy))
    if further and not reader.reset:
        actual, expected = shown(client.apply(chunks_in(further)), folded(story, reader.position.offset))
        assert actual == expected


@given(stories)
def test_nothing_makes_a_client_send_again_by_itself(story: Sequence[PlanEvent]) -> None:
    """P-AIS-6: however many answers it has received."""
    assert not message_of(read(ENCODER, story)).sends_again


@pytest.mark.parametrize("kinds", [("approval", "choice"), ("choice", "approval"), ("approval", "approval")])
def test_a_client_sends_when_all_questions_have_an_answer(kinds: tuple[str, str]) -> None:
    """P-AIS-6: also where some of them were answered elsewhere."""
    story = [BEGIN, ask("q", kinds[0]), ask("r", kinds[1]), WAIT]
    for further in ([], [answer(False, "q")], [answer(False, "r")]):
        client = message_of(read(ENCODER, [*story, *further]))
        assert not client.sends_again
        assert client.with_answers().sends_again


def test_a_client_sends_the_answer_to_a_question_that_was_an_approval_before() -> None:
    client = message_of(read(ENCODER, [BEGIN, ask("q", "approval"), WAIT, ask("q", "clarification")]))
    assert not client.sends_again
    assert client.with_answers().sends_again


class TestMessages:
    def test_streamed_text_is_one_part(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, token("Hel"), token("lo"), token("", final=True)]))
        [part] = [part for part in client.parts if part["type"] == "text"]
        about = {"message_id": "m", "agent_name": "A"}
        assert part == {"type": "text", "text": "Hello", "state": "done", "providerMetadata": {"plancast": about}}

    def test_thinking_is_reasoning(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, text("Hm", message_type="thinking")]))
        assert [part["type"] for part in client.parts] == ["data-plan", "reasoning"]

    def test_a_replaced_message_is_a_part_that_replaces_the_earlier_ones(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, token("Helo"), text("Hello")]))
        assert [part["text"] for part in client.parts if part["type"] == "text"] == ["Helo", "Hello"]
        assert client.parts[-1]["providerMetadata"]["plancast"]["replaces"] is True
        assert client.texts == {"m": ("text", "Hello")}

    def test_an_error_follows_the_text(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, token("Hel"), token("", error="The model failed.")]))
        assert client.data("error") == {"2": {"message_id": "m", "error": "The model failed."}}

    def test_ids_do_not_depend_on_message_ids(self) -> None:
        """P-AIS-2: a finished message in a snapshot may have another one than when it was streamed."""
        starts = [chunk for chunk in chunks_in(read(ENCODER, [BEGIN, text("Hi")])) if chunk["type"] == "text-start"]
        assert [chunk["id"] for chunk in starts] == ["2"]


class TestTools:
    def test_a_call_and_its_result(self) -> None:
        story = [BEGIN, tool("started", arguments={"query": 1}), tool("completed", result=[1, 2])]
        part = message_of(read(ENCODER, story)).parts[-1]
        assert part["input"] == {"query": 1}
        assert (part["state"], part["output"]) == ("output-available", [1, 2])

    @pytest.mark.parametrize(
        ("result", "shown"), [("busy", "busy"), (None, "The tool failed."), ({"a": 1}, '{"a": 1}')]
    )
    def test_a_failure(self, result: object, shown: str) -> None:
        part = message_of(read(ENCODER, [BEGIN, tool("started"), tool("error", result=result)])).parts[-1]
        assert (part["state"], part["errorText"]) == ("output-error", shown)

    def test_a_call_that_the_plan_did_not_end(self) -> None:
        part = message_of(read(ENCODER, [BEGIN, tool("started"), END])).parts[1]
        assert part["state"] == "output-error"

    def test_keys_that_the_parser_of_the_client_refuses_are_left_out(self) -> None:
        story = [BEGIN, tool("completed", result={"a": [{"__proto__": 1, "b": 2}], "constructor": {"prototype": 1}})]
        assert message_of(read(ENCODER, story)).parts[-1]["output"] == {"a": [{"b": 2}]}


class TestQuestions:
    def test_an_approval_ends_the_response(self) -> None:
        """P-AIS-4."""
        received = read(ENCODER, [BEGIN, ask(), WAIT])
        client = message_of(received)
        assert client.finish_reason == "tool-calls"
        assert client.metadata["plancast"]["offset"] == 3
        tool_id = f"{PLAN_ID}:2"
        assert client.tool(tool_id) == {
            "type": "dynamic-tool",
            "toolCallId": tool_id,
            "toolName": "ask_person",
            "state": "approval-requested",
            "input": {"request_id": "q", "kind": "approval", "prompt": "Send it?"},
            "approval": {"id": tool_id},
            "providerExecuted": True,
        }
        assert received.endswith(b"data: [DONE]\n\n")

    @pytest.mark.parametrize("kind", ["choice", "clarification"])
    def test_other_questions_are_tools_that_the_client_executes(self, kind: str) -> None:
        chunks = chunks_in(read(ENCODER, [BEGIN, ask(kind=kind), WAIT]))
        [asked] = [chunk for chunk in chunks if chunk["type"] == "tool-input-available"]
        assert asked["providerExecuted"] is False
        assert not any(chunk["type"] == "tool-approval-request" for chunk in chunks)

    @pytest.mark.parametrize(
        ("value", "state"),
        [
            ({"approved": True}, "output-available"),
            ({"approved": False}, "output-denied"),
            (False, "output-denied"),
            (" No ", "output-denied"),
            ({"value": "no"}, "output-denied"),
            ("Later", "output-available"),
            (None, "output-available"),
        ],
    )
    def test_answers_to_an_approval(self, value: object, state: str) -> None:
        part = message_of(read(ENCODER, [BEGIN, ask(), WAIT, answer(value), END])).tool(f"{PLAN_ID}:2")
        assert part is not None
        assert part["state"] == state

    def test_a_step_boundary_precedes_the_open_questions(self) -> None:
        """P-AIS-6: no tool of the plan decides whether the client's answers are complete."""
        story = [
            BEGIN,
            tool("started"),
            ask("q"),
            ask("r"),
            WAIT,
            answer(True, "q"),
            answer(True, "r"),
            token("x"),
            END,
        ]
        types = [part["type"] for part in message_of(read(ENCODER, story)).parts]
        tools = ["dynamic-tool", "step-start", "dynamic-tool", "dynamic-tool", "text"]
        assert types == ["data-plan", *tools]

    def test_a_question_that_was_open_at_the_end(self) -> None:
        part = message_of(read(ENCODER, [BEGIN, ask(), END])).tool(f"{PLAN_ID}:2")
        assert part is not None
        assert (part["state"], part["errorText"]) == ("output-error", "The plan ended before an answer.")


class TestEndings:
    def test_completed(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, END]))
        assert (client.finish_reason, client.id) == ("stop", f"{PLAN_ID}-answer")

    def test_cancelled(self) -> None:
        chunks = chunks_in(read(ENCODER, [BEGIN, say(PlanUpdate, status="cancelled", content="by ann")]))
        assert [chunk["type"] for chunk in chunks[-2:]] == ["abort", "finish"]
        assert chunks[-2]["reason"] == "by ann"

    def test_failed(self) -> None:
        client = message_of(read(ENCODER, [BEGIN, say(PlanUpdate, status="error", content="No model answers.")]))
        assert (client.finish_reason, client.error) == ("error", "No model answers.")

    def test_a_restart_and_another_history_reset_the_connection(self) -> None:
        """P-AIS-7: the client resumes only after a network error."""
        reader = SegmentReader(PLAN_ID, ENCODER)
        reader.confirmed(Position(EPOCH, 0), 1, None)
        assert reader.end(Ending("restart")) == b""
        assert reader.reset
        reader = SegmentReader(PLAN_ID, ENCODER)
        reader.confirmed(Position(EPOCH, 0), 2, None)
        reader.take(burst_of([BEGIN, token("x")], 1, 2))
        reader.confirmed(Position(EPOCH, 2), 2, "forked")
        reader.take_snapshot(snapshot_of([BEGIN, token("y")], 2))
        assert reader.reset

    def test_a_plan_that_can_not_be_followed(self) -> None:
        reader = SegmentReader(PLAN_ID, ENCODER)
        received = reader.confirmed(Position(EPOCH, 0), 1, None) + reader.end(
            Ending("failed", "4404", "It was deleted.")
        )
        assert message_of(received).error == "It was deleted."


def test_plan_steps_and_artifacts_are_data() -> None:
    """P-AIS-3: each has one part, which is replaced."""
    story = [
        say(PlanUpdate, title="Trip", status="in_progress"),
        say(StepUpdate, step_id="s", title="Look", status="in_progress"),
        say(StepUpdate, step_id="s", status="completed"),
        say(Artifact, artifact_id="a", name="x.md", mime_type="text/markdown", data="# X"),
        say(PlanUpdate, status="completed", data={"sum": 3}),
    ]
    client = message_of(read(ENCODER, story))
    assert client.data("plan") == {
        "plan": {"plan_id": PLAN_ID, "status": "completed", "title": "Trip", "progress": 100.0, "result": {"sum": 3}}
    }
    assert client.data("step") == {
        "s": {"step_id": "s", "title": "Look", "status": "completed", "progress": 100.0, "attempt": 1}
    }
    artifact = {"artifact_id": "a", "name": "x.md", "mime_type": "text/markdown", "data": "# X"}
    assert client.data("artifact") == {"a": artifact}


def test_text_is_not_escaped() -> None:
    assert "😀".encode() in read(ENCODER, [BEGIN, text("😀")])
    assert json.loads(read(ENCODER, [BEGIN, text("\u2028\n")]).split(b"\n\n")[3][6:])["delta"] == "\u2028\n"
