"""MACAE's page without a hub: what it is shown of a plan, and the frames that its socket sends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broadcasters.errors import InvalidPlanId
from broadcasters.events import (
    AgentMessage,
    InputRequest,
    InputResponse,
    PlanEvent,
    PlanUpdate,
    StepUpdate,
    build,
)
from broadcasters.position import Position
from broadcasters.snapshot import InputState, Snapshot
from hub.dialects.macae.encoder import ANSWERED_HERE, MacaeEncoder
from hub.dialects.macae.places import CUT_SECONDS, GIVEN_SECONDS, KEPT, Places
from hub.dialects.macae.shapes import (
    answer_to,
    found_plan,
    macae_plan,
    messages_of,
    owner_in,
    plan_of,
    question_text,
    result_text,
    session_in,
    status_of,
    team_in,
    thoughts_of,
)
from hub.dialects.macae.teams import team_in_file
from hub.protocols.segments import Ending, SegmentReader
from tests.broadcasters.strategies import PLAN_ID as ANY_PLAN
from tests.broadcasters.strategies import events
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, read_in_pieces, snapshot_of

PLAN = "macae:ada:sid_1"


def say(cls: type[PlanEvent], plan_id: str = PLAN, **fields: Any) -> PlanEvent:
    return build(cls, {"plan_id": plan_id, **fields})


LABELS = ["team:user:ada", "team:team:t1"]
STEPS = [{"agent": "HR", "action": "Prepare the week", "question": ""}, {"agent": "IT", "action": "Set up accounts"}]
BEGIN = [
    say(PlanUpdate, status="in_progress", title="Onboard Jessica", labels=LABELS),
    say(AgentMessage, agent_name="Planner", content="Let me see.", message_type="thinking"),
    say(StepUpdate, step_id="draft", status="completed", data={"facts": "Jessica starts.", "steps": STEPS}),
]
ASK = [
    *BEGIN,
    say(InputRequest, request_id="a", kind="approval", prompt="Shall they?", options=["yes", "no"]),
    say(PlanUpdate, status="waiting"),
]
WORK = [
    *ASK,
    say(InputResponse, request_id="a", answer="yes", by="ada"),
    say(PlanUpdate, status="in_progress"),
    say(AgentMessage, agent_name="HR", content="I ", message_type="result", message_id="m", append=True),
    say(AgentMessage, agent_name="HR", content="plan", message_type="result", message_id="m", append=True, final=True),
]
QUESTION = say(InputRequest, request_id="q", kind="clarification", prompt="By when?", agent_name="IT")
ANSWER = say(InputResponse, request_id="q", answer="Friday", by="ada", idempotency_key=f"{ANSWERED_HERE}1")
END = [
    *WORK,
    QUESTION,
    ANSWER,
    say(AgentMessage, agent_name="IT", content="Done", message_type="result"),
    say(PlanUpdate, status="completed", data={"result": "# All done"}),
]


@dataclass
class Page:
    """What the page shows; it adds everything that it receives. `chat` and `thoughts` begin as the plan had them."""

    chat: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    thoughts: str = ""
    frames: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])

    @classmethod
    def with_plan(cls, plan: Snapshot) -> Page:
        return cls([(one["agent"], one["content"]) for one in messages_of(plan)], thoughts_of(plan))

    def receive(self, encoded: bytes) -> Page:
        for line in encoded.splitlines():
            message = json.loads(line)
            assert set(message) == {"type", "data"}
            kind, data = message["type"], message["data"]
            self.frames.append((kind, data))
            match kind:
                case "agent_message":
                    self.chat.append((data["agent_name"], data["content"]))
                case "agent_message_streaming":
                    self.thoughts += data["content"]
                case "user_clarification_request":
                    self.chat.append(("Group_Chat_Manager", data["data"]["questions"]))
                case "final_result_message":
                    self.chat.append(("Group_Chat_Manager", data["data"]["content"]))
                case "error_message":
                    self.chat.append(("system", data["content"]))
                case _:
                    assert kind == "plan_approval_request"
        return self

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.frames]


def followed(story: Sequence[PlanEvent], got: int, upto: int | None = None) -> Page:
    """A page that got the plan at an offset, and opened its socket when the log had reached `upto`."""
    reader = SegmentReader(story[0].plan_id, MacaeEncoder(), got, whole=True)
    page = Page.with_plan(folded(story, got))
    head = len(story) if upto is None else upto
    page.receive(reader.confirmed(Position(EPOCH, 0), head, None))
    for offset in range(1, len(story) + 1):
        page.receive(reader.take(burst_of(story, offset, offset)))
    return page


# -- the plan as the page gets it


def test_the_status_waits_for_the_approval() -> None:
    """P-MAC-3."""
    found = [status_of(folded(story)) for story in (BEGIN, ASK, WORK, END)]
    assert found == ["in_progress", "in_progress", "approved", "completed"]


@pytest.mark.parametrize(("status", "word"), [("error", "failed"), ("cancelled", "canceled")])
def test_a_plan_that_failed_or_was_cancelled_says_so(status: str, word: str) -> None:
    story = [*WORK, say(PlanUpdate, status=status, content="No more")]
    assert status_of(folded(story)) == word
    assert [one["content"] for one in messages_of(folded(story))] == ["I plan"]  # the socket sends the end


def test_plans_of_other_templates_are_approved_from_the_start() -> None:
    story = [
        say(PlanUpdate, "plan-1", title="Trip"),
        say(StepUpdate, "plan-1", step_id="s", status="pending", title="Go"),
    ]
    plan = macae_plan(folded(story))
    assert status_of(folded(story)) == "approved"
    assert plan is not None
    assert plan["steps"] == [{"agent": "", "action": "Step Go"}]  # the page drops actions of three characters
    assert session_in("plan-1") == "plan-1"


def test_the_steps_are_those_of_the_draft() -> None:
    assert macae_plan(folded(BEGIN)) is None
    plan = macae_plan(folded(ASK))
    assert plan is not None
    assert (plan["id"], plan["team"], plan["facts"]) == ("a", ["HR", "IT"], "Jessica starts.")
    assert [step["action"] for step in plan["steps"]] == ["Prepare the week", "Set up accounts"]
    assert plan["overall_status"] == "in_progress"


def test_a_draft_of_another_shape_is_not_used() -> None:
    story = [*BEGIN[:1], say(StepUpdate, step_id="draft", status="completed", data={"steps": [1]}), *ASK[3:]]
    plan = macae_plan(folded(story))
    assert plan is not None
    assert [step["action"] for step in plan["steps"]] == ["draft"]


def test_messages_are_in_order_with_questions_answers_and_the_result() -> None:
    """P-MAC-4."""
    found = messages_of(folded(END))
    assert [(one["agent"], one["agent_type"], one["content"]) for one in found] == [
        ("HR", "AI_Agent", "I plan"),
        ("Group_Chat_Manager", "AI_Agent", "By when?"),
        ("human", "Human_Agent", "Friday"),
        ("IT", "AI_Agent", "Done"),
        ("Group_Chat_Manager", "AI_Agent", "# All done"),
    ]
    assert thoughts_of(folded(END)) == "Let me see.\n\nI plan\n\nDone\n\n"
    assert [one["content"] for one in messages_of(folded([*WORK, QUESTION]))] == ["I plan"]


def test_the_plan_has_the_fields_that_the_page_reads() -> None:
    plan = found_plan(folded(END), "ada")
    assert {name: plan[name] for name in ("id", "plan_id", "session_id", "initial_goal", "team_id", "approved")} == {
        "id": PLAN,
        "plan_id": PLAN,
        "session_id": "sid_1",
        "initial_goal": "Onboard Jessica",
        "team_id": "t1",
        "approved": True,
    }


@pytest.mark.parametrize(("user", "session"), [("ada", "s"), ("a:b", "x y"), ("Jürgen", "~7E"), ("é/", "1:2")])
def test_ids_name_their_user_and_session(user: str, session: str) -> None:
    """P-MAC-1."""
    plan_id = plan_of(user, session)
    assert (owner_in(plan_id), session_in(plan_id)) == (user, session)


def test_other_ids_have_no_user() -> None:
    assert [owner_in(one) for one in ("plan-1", "macae:ada", "query:ada:s:1")] == [None] * 3
    assert team_in(["x", "team:user:ada"]) == ""
    with pytest.raises(InvalidPlanId):
        plan_of("ada", "")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ({"result": "Yes"}, "Yes"),
        ({"response": "Yes", "n": 1}, "Yes"),
        ({"n": 1}, '```json\n{\n  "n": 1\n}\n```'),
        (None, "The plan is completed."),
    ],
)
def test_results_are_text(result: dict[str, Any] | None, text: str) -> None:
    assert result_text(folded([*BEGIN, say(PlanUpdate, status="completed", data=result)])) == text


def test_the_example_is_a_team() -> None:
    team = team_in_file((Path(__file__).parents[3] / "examples/macae_team.json").read_bytes())
    assert [agent.name for agent in team.agents] == ["HRHelperAgent", "TechnicalSupportAgent"]


# -- what people type


def question(**fields: Any) -> InputState:
    story = [*BEGIN, say(InputRequest, **{"request_id": "q", "kind": "choice", "prompt": "Which?", **fields})]
    return folded(story).inputs[0]


@pytest.mark.parametrize(
    ("fields", "typed", "answer"),
    [
        ({"options": ["Red", "Blue"]}, " red ", "Red"),
        ({"options": [{"value": 7, "label": "Week"}, {"value": 1, "label": "Day"}]}, "week", 7),
        ({"options": [{"value": 7, "label": "Week"}]}, "7", 7),
        ({"options": ["Red"]}, "green", "green"),
        ({"kind": "clarification"}, "12", "12"),
        ({"kind": "clarification", "schema": {"type": "integer"}}, "12", 12),
        ({"kind": "clarification", "schema": {"type": "integer"}}, "a dozen", "a dozen"),
    ],
)
def test_typed_text_becomes_an_answer(fields: dict[str, Any], typed: str, answer: Any) -> None:
    assert answer_to(question(**fields), typed) == answer


def test_options_are_listed_with_the_question() -> None:
    asked = question(options=["Red", {"value": 2, "label": "Blue"}])
    assert question_text(asked) == "Which?\n- Red\n- Blue"


# -- the socket


def test_a_page_that_opens_early_receives_everything_once() -> None:
    """P-MAC-5."""
    page = followed(END, 0)
    assert page.kinds == [
        "agent_message_streaming",
        "plan_approval_request",
        "agent_message_streaming",
        "agent_message_streaming",
        "agent_message",
        "user_clarification_request",
        "agent_message_streaming",
        "agent_message",
        "final_result_message",
    ]
    assert page.thoughts == thoughts_of(folded(END))
    final = page.frames[-1][1]
    assert final["type"] == "final_result_message"
    assert (final["data"]["content"], final["data"]["status"]) == ("# All done", "completed")


@pytest.mark.parametrize(
    ("story", "kinds"),
    [
        (BEGIN, []),
        (ASK, ["plan_approval_request"]),
        (WORK, []),
        ([*WORK, QUESTION], ["user_clarification_request"]),
        ([*WORK, QUESTION, ANSWER], []),
        ([*WORK, say(PlanUpdate, status="cancelled")], ["final_result_message"]),
        ([*WORK, say(PlanUpdate, status="error", content="It broke")], ["error_message"]),
        (END, ["final_result_message"]),
    ],
)
def test_a_page_that_has_the_plan_receives_what_is_open_again(story: Sequence[PlanEvent], kinds: list[str]) -> None:
    """P-MAC-6."""
    assert followed(story, len(story)).kinds == kinds
    late = SegmentReader(PLAN, MacaeEncoder(), None, whole=True)  # without a position
    received = late.confirmed(Position(EPOCH, 0), len(story), None)
    received += late.take_snapshot(snapshot_of(story, len(story)))
    assert Page().receive(received).kinds == kinds


def test_after_a_restart_a_page_receives_what_began_since() -> None:
    """P-MAC-7."""
    new = say(AgentMessage, agent_name="IT", content="New", message_type="result", timestamp="2999-01-01T00:00:00Z")
    story = [*WORK, new]
    reader = SegmentReader(PLAN, MacaeEncoder(unseen=4e9), None, whole=True)
    received = reader.confirmed(Position(EPOCH, 0), len(story), None)
    page = Page().receive(received + reader.take_snapshot(snapshot_of(story, len(story))))
    assert (page.chat, page.thoughts) == ([("IT", "New")], "New\n\n")


def test_an_answer_from_another_client_is_shown() -> None:
    elsewhere = say(InputResponse, request_id="q", answer="Friday", by="bob")
    assert followed([*WORK, QUESTION, elsewhere], len(WORK)).chat[-2:] == [
        ("Group_Chat_Manager", "By when?"),
        ("human", "Friday"),
    ]
    assert followed([*WORK, QUESTION, ANSWER], len(WORK)).chat[-1] == ("Group_Chat_Manager", "By when?")


def test_a_page_that_was_behind_gets_question_and_answer_as_messages() -> None:
    story = [*WORK, QUESTION, ANSWER]
    reader = SegmentReader(PLAN, MacaeEncoder(), len(WORK), whole=True)
    reader.confirmed(Position(EPOCH, 0), len(story), None)
    page = Page().receive(reader.take(burst_of(story, 1, len(story))))
    assert page.chat == [("Group_Chat_Manager", "By when?")]  # its own answer, if the tab gave it
    reader = SegmentReader(PLAN, MacaeEncoder(), len(WORK), whole=True)
    reader.confirmed(Position(EPOCH, 0), len(story), None)
    reader.take(burst_of(WORK, 1, len(WORK)))
    page = Page().receive(reader.take_snapshot(snapshot_of(story, len(story))))
    assert page.chat == [("Group_Chat_Manager", "By when?"), ("human", "Friday")]


def test_a_fork_keeps_what_the_page_has_and_adds_the_new() -> None:
    reader = SegmentReader(PLAN, MacaeEncoder(), 0, whole=True)
    reader.confirmed(Position(EPOCH, 0), 0, None)
    reader.take(burst_of(ASK, 1, len(ASK)))
    reader.confirmed(Position(EPOCH, len(END)), len(END), "forked")
    page = Page().receive(reader.take_snapshot(snapshot_of(END, len(END))))
    assert ("HR", "I plan") in page.chat
    assert page.chat[-1] == ("Group_Chat_Manager", "# All done")
    assert (reader.over, reader.reset) == (True, False)


def test_a_failure_is_shown_and_a_restart_is_not() -> None:
    plan, position = folded(WORK), Position(EPOCH, len(WORK))
    assert MacaeEncoder().closing(plan, position, Ending("restart")) == b""
    closing = MacaeEncoder().closing(plan, position, Ending("failed", "2404", "the plan was deleted"))
    assert Page().receive(closing or b"").chat == [("system", "the plan was deleted")]


# -- any log, cut anywhere


@st.composite
def conversations(draw: st.DrawFn) -> list[PlanEvent]:
    """Plans whose agents speak one after the other and ask now and then."""
    story = [*ASK, *WORK[len(ASK) : len(ASK) + 2]]
    for number in range(draw(st.integers(0, 6))):
        if draw(st.booleans()):
            parts = draw(st.lists(st.text("ab ", min_size=1, max_size=3), min_size=1, max_size=3))
            kind = draw(st.sampled_from(["thinking", "result"]))
            ids: dict[str, Any] = {"agent_name": f"A{number}", "message_type": kind, "message_id": f"m{number}"}
            ids["append"] = True
            story += [say(AgentMessage, content=part, **ids) for part in parts]
            story.append(say(AgentMessage, content="!", final=True, **ids))
        else:
            story.append(say(InputRequest, request_id=f"q{number}", kind="clarification", prompt=f"Why {number}?"))
            story.append(say(InputResponse, request_id=f"q{number}", answer=f"Because {number}", by="bob"))
    ends = [[], [say(PlanUpdate, status="completed", data={"result": "Done"})]]
    return story + draw(st.sampled_from(ends))


@given(conversations(), st.data())
def test_the_page_shows_the_log_wherever_it_got_the_plan(story: list[PlanEvent], data: st.DataObject) -> None:
    """P-MAC-5: nothing is lost or shown twice, however the log reaches the page."""
    got = data.draw(st.integers(0, len(story)))
    plan = folded(story, got)
    page = Page.with_plan(plan)
    reader = SegmentReader(PLAN, MacaeEncoder(), got, whole=True)
    at = 0
    while not reader.over and at < len(story):
        head = data.draw(st.integers(at + 1, len(story)))
        if at == 0:  # a page got the plan before it opened its socket
            page.receive(reader.confirmed(Position(EPOCH, 0), max(got, head), None))
        if at >= max(got, 1) and data.draw(st.booleans()):
            page.receive(reader.take_snapshot(snapshot_of(story, head)))
        else:
            merged = not at < got < head and data.draw(st.booleans())  # merged parts may contain some that it has
            page.receive(reader.take(burst_of(story, at + 1, head, merged=merged)))
        at = head
    whole = Page.with_plan(folded(story))
    if plan.ended_at is not None:  # the page does not open a socket for a completed plan
        return
    assert sorted(page.chat) == sorted(whole.chat)
    assert page.thoughts == whole.thoughts


@given(st.lists(events, min_size=1, max_size=20), st.data())
def test_any_log_gives_valid_frames(story: Sequence[PlanEvent], data: st.DataObject) -> None:
    reader = SegmentReader(ANY_PLAN, MacaeEncoder(), data.draw(st.integers(0, len(story))), whole=True)
    Page().receive(read_in_pieces(reader, story, data.draw))
    plan = folded(story)
    json.dumps([messages_of(plan), macae_plan(plan), found_plan(plan, "ada"), thoughts_of(plan)])


# -- positions


def place(offset: int) -> Position:
    return Position(EPOCH, offset)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_socket_continues_where_the_plan_was_given() -> None:
    """P-MAC-7."""
    places = Places(Clock())
    places.given("ada", PLAN, place(3))
    places.given("ada", PLAN, place(5))
    places.given("bob", PLAN, place(9))
    assert [places.take("ada", PLAN) for _ in range(3)] == [place(3), place(5), None]
    assert places.take("ada", "other") is None


def test_a_page_that_was_cut_continues_there_unless_another_just_got_the_plan() -> None:
    places = Places(Clock())
    places.cut("ada", PLAN, place(7))
    places.given("ada", PLAN, place(9))
    assert [places.take("ada", PLAN) for _ in range(3)] == [place(9), place(7), None]


def test_positions_are_dropped_after_a_while() -> None:
    clock = Clock()
    places = Places(clock)
    places.given("ada", PLAN, place(3))
    places.cut("ada", PLAN, place(4))
    clock.now = GIVEN_SECONDS + 1
    assert places.take("ada", PLAN) == place(4)
    places.cut("ada", PLAN, place(5))
    clock.now += CUT_SECONDS + 1
    assert places.take("ada", PLAN) is None


def test_positions_are_bounded() -> None:
    places = Places(Clock())
    for number in range(KEPT + 1):
        places.given(f"user {number}", PLAN, place(number))
    assert places.take("user 0", PLAN) is None
    assert places.take(f"user {KEPT}", PLAN) == place(KEPT)
