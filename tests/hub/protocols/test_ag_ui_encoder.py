"""AG-UI: what a client has is the plan, wherever its run begins and however often it is cut."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

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
from broadcasters.snapshot import Snapshot, encode
from hub.protocols.ag_ui.encoder import AgUiEncoder, run_started
from hub.protocols.ag_ui.messages import ClientHistory, messages_of, request_id_of, state_of
from hub.protocols.segments import Ending, SegmentReader
from hub.wire.frames import snapshot_frame
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.ag_ui import AgUiClient, events_in
from tests.hub.protocols.ag_ui_vectors import FILES, FOLDER, encoded
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read, read_in_pieces, snapshot_of

stories = st.lists(events, min_size=1, max_size=20)
RUN = AgUiEncoder("thread", "run")


def as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def shown(client: AgUiClient) -> Any:
    return arranged([one for one in client.messages if one["id"] != request_id_of(PLAN_ID)]), client.state


def arranged(messages: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The messages with each result after its call. A client that is sent all messages appends those that are new."""
    results = {message["toolCallId"]: message for message in messages if message["role"] == "tool"}
    pairs = [(message, results.get(message["id"])) for message in messages if message["role"] != "tool"]
    return [message for pair in pairs for message in pair if message is not None]


def of_plan(plan: Snapshot, offset: int) -> Any:
    return as_json([*messages_of(plan)]), as_json(state_of(plan, Position(EPOCH, offset)))


def finished(reader: SegmentReader, received: bytes) -> bytes:
    """The run to its end, which a restart makes if the plan does not."""
    return received if reader.over else received + reader.end(Ending("restart"))


def by_id(message: Mapping[str, Any]) -> str:
    return str(message["id"])


def from_agents(messages: Sequence[Any], expected: Sequence[Any]) -> Sequence[Any]:
    """Without the request, which a client gets if it has none, and without old reasoning: a client that is sent no
    reasoning keeps what it has, so it is emptied instead of removed."""
    ids = {message["id"] for message in expected}
    theirs = (message for message in messages if message["id"] != request_id_of(PLAN_ID))
    return [message for message in theirs if message["id"] in ids or message.get("content") != ""]


class TestAnyLog:
    @given(stories, st.data())
    def test_gives_the_client_its_state_however_it_is_cut(
        self, story: Sequence[PlanEvent], data: st.DataObject
    ) -> None:
        reader = SegmentReader(PLAN_ID, RUN)
        client = AgUiClient().take(finished(reader, read_in_pieces(reader, story, data.draw)))
        offset = reader.position.offset
        assert shown(client) == of_plan(folded(story, offset), offset)
        assert client.outcome is not None

    @given(stories, st.data())
    def test_is_joined_where_a_client_was_cut_off(self, story: Sequence[PlanEvent], data: st.DataObject) -> None:
        """P-AGU-3: its run breaks off between any two events; the next run completes what it has."""
        first = read(RUN, story, 0, 0)
        cut = [*events_in(first)]
        client = AgUiClient()
        for event in cut[: data.draw(st.integers(0, len(cut)))]:
            client.take_event(event)
        client.begin()
        had = set(map(by_id, client.messages))
        encoder = AgUiEncoder("thread", "next", ClientHistory(client.posted()))
        head = data.draw(st.integers(1, len(story)))
        reader = SegmentReader(PLAN_ID, encoder, None)
        received = reader.confirmed(Position(EPOCH, head), head, None) + reader.take_snapshot(snapshot_of(story, head))
        if head < len(story):
            received += reader.take(burst_of(story, head + 1, len(story)))
        client.take(finished(reader, received))
        offset = reader.position.offset
        expected, state = of_plan(folded(story, offset), offset)
        assert client.state == state
        messages = from_agents(client.messages, expected)
        assert sorted(messages, key=by_id) == sorted(expected, key=by_id)
        if had <= set(map(by_id, messages_of(folded(story, head)))):  # otherwise it was ahead of the node it joined
            assert arranged(messages) == expected

    @given(stories, st.data())
    def test_continues_after_the_run_that_a_client_has(self, story: Sequence[PlanEvent], data: st.DataObject) -> None:
        """P-AGU-4"""
        upto = data.draw(st.integers(1, len(story)))
        reader = SegmentReader(PLAN_ID, RUN)
        client = AgUiClient().take(finished(reader, read_in_pieces(reader, story[:upto], data.draw)))
        at = Position(client.state["epoch"], client.state["offset"])
        assert at == reader.position
        client.begin()
        encoder = AgUiEncoder("thread", "next", ClientHistory(client.posted(), position=at))
        reader = SegmentReader(PLAN_ID, encoder, at.offset)
        received = finished(reader, read_in_pieces(reader, story, data.draw))
        client.take(received)
        offset = reader.position.offset
        if offset:
            expected, state = of_plan(folded(story, offset), offset)
            assert client.state == state
            messages = from_agents(client.messages, expected)
            assert sorted(messages, key=by_id) == sorted(expected, key=by_id)

    @given(stories, stories, st.data())
    def test_may_be_replaced_by_another(
        self, story: Sequence[PlanEvent], other: Sequence[PlanEvent], data: st.DataObject
    ) -> None:
        """P-AGU-7"""
        reader = SegmentReader(PLAN_ID, RUN)
        received = reader.confirmed(Position(EPOCH, 0), len(story) + 1, None)
        received += reader.take(burst_of(story, 1, len(story)))
        upto = data.draw(st.integers(1, len(other)))
        received += reader.confirmed(Position(EPOCH, upto), upto, "forked")
        received += reader.take_snapshot(snapshot_of(other, upto))
        client = AgUiClient().take(finished(reader, received))
        expected, state = of_plan(folded(other, upto), upto)
        assert client.state == state
        messages = from_agents(client.messages, expected)
        assert sorted(messages, key=by_id) == sorted(expected, key=by_id)


def say(cls: type[PlanEvent], **fields: Any) -> PlanEvent:
    return build(cls, {"plan_id": PLAN_ID, "timestamp": "2026-01-01T00:00:00.000Z", **fields})


def token(text: str, **more: Any) -> PlanEvent:
    return say(
        AgentMessage, agent_name="Writer", content=text, message_id="m", message_type="result", append=True, **more
    )


BEGIN, WAIT = (say(PlanUpdate, status=status) for status in ("in_progress", "waiting"))
STEP, STEP_WAITS, STEP_DONE = (
    say(StepUpdate, step_id="s", status=status) for status in ("in_progress", "waiting", "completed")
)
ASK = say(
    InputRequest, request_id="q", kind="approval", prompt="Send it?", options=["yes", {"value": "no", "label": "No"}]
)
ANSWER = say(InputResponse, request_id="q", answer="yes", by="ann")
ASKED = [BEGIN, STEP, token("one"), STEP_WAITS, ASK, WAIT]
ANSWERED = [*ASKED, ANSWER, STEP, BEGIN, token(" two", final=True), STEP_DONE]


def run(events: Sequence[PlanEvent], encoder: AgUiEncoder = RUN) -> AgUiClient:
    return AgUiClient().take(read(encoder, events))


class TestRuns:
    def test_a_question_is_an_interrupt(self) -> None:
        """P-AGU-4, P-AGU-5: at its end nothing is open, though the step and its message are not finished."""
        client = run(ASKED)
        assert client.outcome is not None
        assert (client.outcome["threadId"], client.outcome["runId"]) == ("thread", "run")
        [interrupt] = client.outcome["outcome"]["interrupts"]
        assert interrupt["metadata"]["plancast"]["kind"] == "approval"
        del interrupt["metadata"]
        schema = {"enum": ["yes", "no"]}
        assert interrupt == {"id": "q", "reason": "confirmation", "message": "Send it?", "responseSchema": schema}
        assert client.opened == ["step s", f"text {PLAN_ID}:3"]
        assert [question["request_id"] for question in client.state["questions"]] == ["q"]

    def test_the_next_run_has_only_what_follows(self) -> None:
        """P-AGU-4, P-AGU-5"""
        client = run(ASKED)
        position = Position(client.state["epoch"], client.state["offset"])
        client.begin()
        encoder = AgUiEncoder("thread", "next", ClientHistory(client.posted(), position=position))
        received = read(encoder, ANSWERED, position.offset)
        client.take(received + encoder.closing(folded(ANSWERED), Position(EPOCH, len(ANSWERED)), Ending("restart")))
        assert b'"one"' not in received
        assert b"MESSAGES_SNAPSHOT" not in received
        assert client.messages[0]["content"] == "one two"
        assert client.opened == ["step s", f"text {PLAN_ID}:3"]
        assert client.state["questions"] == []

    def test_a_history_that_differs_is_replaced(self) -> None:
        """P-AGU-3: messages of other origin stay, in their places."""
        client = run(ASKED)
        position = Position(client.state["epoch"], client.state["offset"])
        client.messages[0]["content"] = "altered"
        client.messages[0:0] = [{"id": "u1", "role": "user", "content": "Go"}]
        client.messages.append({"id": f"{PLAN_ID}:99", "role": "assistant", "content": "unknown to the log"})
        client.begin()
        encoder = AgUiEncoder("thread", "next", ClientHistory(client.posted(), position=position))
        client.take(read(encoder, ANSWERED, position.offset))
        assert [message["content"] for message in client.messages] == ["Go", "one two"]

    def test_a_client_without_the_message_of_the_person_gets_it(self) -> None:
        """P-AGU-3: which it then sends with the others, and which starts nothing again."""
        data = {"template": "t", "request": "Write to Ann"}
        story = [say(PlanUpdate, status="pending", title="A letter", data=data), *ASKED]
        client = AgUiClient().take(read(RUN, story, None))
        request = {"id": f"{PLAN_ID}:0", "role": "user", "content": "Write to Ann"}
        assert client.messages[0] == request
        assert [message["content"] for message in client.messages] == ["Write to Ann", "one"]
        again = ClientHistory(client.posted()).with_plan(folded(story))
        assert [message["content"] for message in again] == ["Write to Ann", "one"]
        assert ClientHistory(client.posted(), position=Position(EPOCH, 7)).has(folded(story), Position(EPOCH, 7))

    def test_a_client_keeps_the_messages_of_its_own_user(self) -> None:
        """P-AGU-3: as many as it has plans of that user."""
        data = {"template": "t", "request": "Write to Ann"}
        plans = [
            folded([say(PlanUpdate, data=data), token(f"{number}")]).model_copy(update={"plan_id": f"p.{number}"})
            for number in range(3)
        ]
        own = {"id": "u", "role": "user", "content": "Go"}
        first, second, third = ([*messages_of(plan)] for plan in plans)
        for posted, texts in (
            ([own], ["Go", "0", "Write to Ann", "1", "Write to Ann", "2"]),
            ([own, *first], ["Go", "0", "Write to Ann", "1", "Write to Ann", "2"]),
            ([*first, own], ["0", "Go", "1", "Write to Ann", "2"]),
            ([*first, own, *second, *third], ["0", "Go", "1", "2"]),
        ):
            messages = ClientHistory(posted, plans[:2]).with_plan(plans[2])
            assert [message["content"] for message in messages] == texts

    def test_the_thread_has_the_messages_of_its_earlier_plans(self) -> None:
        earlier = folded([token("before", final=True)]).model_copy(update={"plan_id": "thread"})
        client = AgUiClient().take(read(AgUiEncoder("thread", "run", ClientHistory(earlier=[earlier])), ASKED, None))
        assert [message["content"] for message in client.messages] == ["before", "one"]

    def test_the_ends_of_a_plan(self) -> None:
        """P-AGU-6"""
        done = say(PlanUpdate, status="completed", data={"sent": True})
        outcome = run([BEGIN, STEP, token("one"), done]).outcome
        assert outcome == {
            "type": "RUN_FINISHED",
            "threadId": "thread",
            "runId": "run",
            "outcome": {"type": "success"},
            "result": {"sent": True},
        }
        cancelled = run([BEGIN, STEP, say(PlanUpdate, status="cancelled")]).outcome
        assert cancelled is not None
        assert cancelled["outcome"] == {"type": "cancelled"}
        failed = run([BEGIN, STEP, say(PlanUpdate, status="error", content="No figures")]).outcome
        assert failed == {"type": "RUN_ERROR", "message": "No figures", "code": "plan_failed"}

    def test_a_restart_is_an_error_that_a_client_can_continue_from(self) -> None:
        """P-AGU-6"""
        reader = SegmentReader(PLAN_ID, RUN)
        received = reader.confirmed(Position(EPOCH, 0), 3, None) + reader.take(burst_of(ASKED, 1, 3))
        client = AgUiClient().take(received + reader.end(Ending("restart")))
        assert client.outcome is not None
        assert client.outcome["code"] == "restart"

    def test_runs_share_what_follows(self) -> None:
        assert AgUiEncoder("a", "1") == AgUiEncoder("b", "2", ClientHistory([{"id": "u"}]))
        assert hash(AgUiEncoder("a", "1")) == hash(AgUiEncoder("b", "2"))


class TestParts:
    def test_thoughts_are_reasoning(self) -> None:
        thought = say(AgentMessage, agent_name="Analyst", content="Hm.", step_id="s")
        [message] = run([BEGIN, thought]).messages
        metadata = {"plancast": {"agent_name": "Analyst", "message_type": "thinking", "step_id": "s"}}
        assert message == {"id": f"{PLAN_ID}:2", "role": "reasoning", "content": "Hm.", "metadata": metadata}

    def test_tools(self) -> None:
        call = {"agent_name": "Analyst", "call_id": "c", "tool_name": "sql"}
        begun = say(ToolCall, **call, phase="started", arguments={"by": "month"})
        [asked, result] = run([BEGIN, begun, say(ToolCall, **call, phase="completed", result=[1, 2])]).messages
        assert asked["toolCalls"][0]["function"] == {"name": "sql", "arguments": '{"by":"month"}'}
        assert (result["id"], result["toolCallId"]) == (f"{PLAN_ID}:2-result", f"{PLAN_ID}:2")
        assert (result["role"], result["content"]) == ("tool", "[1,2]")

    def test_artifacts_are_activities_and_are_replaced(self) -> None:
        versions = [say(Artifact, artifact_id="a", name="n.md", mime_type="text/markdown", data=text) for text in "xy"]
        [activity] = run([BEGIN, *versions]).messages
        assert (activity["activityType"], activity["content"]["data"]) == ("plancast-artifact", "y")

    def test_the_original_frame_is_in_the_metadata(self) -> None:
        """P-AGU-2: of every event but the parts of a message."""
        client = run([BEGIN, STEP, token("one"), token("two"), ANSWER])
        assert [(frame["type"], frame["offset"]) for frame in client.frames] == [
            ("plan_update", 1),
            ("step_update", 2),
            ("input_response", 5),
        ]
        assert client.frames[1]["data"]["step_id"] == "s"

    def test_a_text_that_is_replaced_comes_with_all_messages(self) -> None:
        """P-AGU-7"""
        final = say(AgentMessage, agent_name="Writer", content="Other.", message_id="m", message_type="result")
        client = run([BEGIN, STEP, token("one"), final])
        assert [message["content"] for message in client.messages] == ["Other."]

    def test_a_message_that_was_left_out_is_ended(self) -> None:
        plan = folded([BEGIN, token("one")])
        lighter = plan.model_copy(update={"messages": (), "offset": 3})
        reader = SegmentReader(PLAN_ID, RUN)
        received = reader.confirmed(Position(EPOCH, 0), 3, None) + reader.take(burst_of([BEGIN, token("one")], 1, 2))
        received += reader.take_snapshot(snapshot_frame(PLAN_ID, Position(EPOCH, 3), encode(lighter)))
        assert AgUiClient().take(received).open == set()


def test_a_run_begins_with_its_ids() -> None:
    """P-AGU-1"""
    [started] = events_in(run_started("t", "r"))
    assert started == {"type": "RUN_STARTED", "threadId": "t", "runId": "r", "protocolVersion": "1.0"}


@pytest.mark.parametrize("name", FILES)
def test_the_vectors_are_what_the_encoder_makes(name: str) -> None:
    """`python -m tests.hub.protocols.ag_ui_vectors` writes them."""
    assert (FOLDER / f"{name}.json").read_text() == encoded(name)
