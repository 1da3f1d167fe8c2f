"""Changes: a reader that applies them has the plan, wherever the events are cut or replaced by a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcasters.changes import (
    ArtifactChange,
    Change,
    InputChange,
    MessageChange,
    PlanChange,
    PlanFields,
    StepChange,
    ToolCallChange,
    advance,
    difference,
)
from broadcasters.events import AgentMessage, PlanEvent, PlanUpdate, build
from broadcasters.fold import fold
from broadcasters.snapshot import Snapshot, empty
from tests.broadcasters.strategies import PLAN_ID, stories


class Mirror:
    """A plan as its changes describe it."""

    def __init__(self) -> None:
        self.parts: dict[str, dict[str, Any]] = {}
        self.texts: dict[str, str] = {}
        self.open: set[str] = set()
        self.plan = PlanFields.of(empty(PLAN_ID))

    def apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            match change:
                case PlanChange(before, after):
                    assert before == self.plan
                    self.plan = after
                case MessageChange(after=after):
                    self._message(change, after.message_id)
                case StepChange(before, after):
                    self._part("steps", before, after, after.step_id)
                case ToolCallChange(before, after):
                    self._part("tool_calls", before, after, after.call_id)
                case InputChange(before, after):
                    self._part("inputs", before, after, after.request_id)
                case ArtifactChange(before, after):
                    self._part("artifacts", before, after, after.artifact_id)

    def _part(self, kind: str, before: Any, after: Any, key: str) -> None:
        known = self.parts.setdefault(kind, {})
        assert known.get(key) == before
        known[key] = after

    def _message(self, change: MessageChange, key: str) -> None:
        assert (change.before is None) == (key not in self.texts)
        assert change.opens == (key not in self.open)
        self.open.add(key)
        if change.text is None:
            self.texts[key] = change.after.content
        else:
            self.texts[key] = self.texts.get(key, "") + change.text
        if change.closes:
            self.open.remove(key)

    def check(self, plan: Snapshot) -> None:
        assert self.plan == PlanFields.of(plan)
        assert self.texts == {message.message_id: message.content for message in plan.messages}
        assert self.open == {message.message_id for message in plan.messages if message.streaming}
        for kind, key in (("steps", "step_id"), ("tool_calls", "call_id"), ("inputs", "request_id")):
            assert self.parts.get(kind, {}) == {getattr(part, key): part for part in getattr(plan, kind)}


def numbered(events: Sequence[PlanEvent | None], first: int) -> list[tuple[int, int, PlanEvent | None]]:
    return [(offset, offset, event) for offset, event in enumerate(events, first)]


@given(stories, st.data())
def test_changes_give_the_plan_wherever_they_are_cut(story: Sequence[PlanEvent | None], data: st.DataObject) -> None:
    mirror, plan = Mirror(), empty(PLAN_ID)
    while plan.offset < len(story):
        upto = data.draw(st.integers(plan.offset + 1, len(story)))
        rest = story[plan.offset : upto]
        if data.draw(st.booleans()):
            plan, reported = advance(plan, numbered(rest, plan.offset + 1))
            for each in reported:
                mirror.apply(each.changes)
        else:
            after = fold(plan, plan.offset + 1, rest)
            mirror.apply(difference(plan, after))
            plan = after
        mirror.check(plan)
    assert plan == fold(empty(PLAN_ID), 1, story)


@given(stories)
def test_events_that_the_plan_contains_change_nothing(story: Sequence[PlanEvent | None]) -> None:
    plan = fold(empty(PLAN_ID), 1, story)
    assert advance(plan, numbered(story, 1)) == (plan, [])


def say(text: str, **fields: Any) -> PlanEvent:
    return build(AgentMessage, {"plan_id": PLAN_ID, "agent_name": "A", "content": text, "message_id": "m", **fields})


def test_merged_parts_are_one_change_with_the_offset_of_the_first() -> None:
    plan, [merged, last] = advance(
        empty(PLAN_ID), [(1, 3, say("one two ", append=True)), (4, 4, say("three", append=True))]
    )
    [first] = merged.changes[:1]
    assert isinstance(first, MessageChange)
    assert (merged.first, merged.last, first.after.offset, first.text) == (1, 3, 1, "one two ")
    assert [change.text for change in last.changes if isinstance(change, MessageChange)] == ["three"]
    assert plan.messages[0].content == "one two three"
    assert plan.offset == 4


def test_the_end_of_a_plan_closes_its_messages_first() -> None:
    end = build(PlanUpdate, {"plan_id": PLAN_ID, "status": "completed"})
    _, [_, ended] = advance(empty(PLAN_ID), numbered([say("half", append=True), end], 1))
    [closed, plan] = ended.changes
    assert isinstance(closed, MessageChange)
    assert (closed.closes, closed.text) == (True, "")
    assert isinstance(plan, PlanChange)
    assert plan.after.status == "completed"


def test_a_replaced_message_has_no_added_text() -> None:
    _, [_, replaced] = advance(empty(PLAN_ID), numbered([say("draft", append=True), say("other", final=True)], 1))
    [change] = replaced.changes
    assert isinstance(change, MessageChange)
    assert (change.text, change.after.content, change.closes) == (None, "other", True)


def test_a_message_that_is_replaced_by_its_beginning() -> None:
    """Text that was added before, in the same events, counts as the message's content."""
    story = [say("a", append=True), say("b", append=True), say("a", append=False)]
    _, [*_, replaced] = advance(empty(PLAN_ID), numbered(story, 1))
    [change] = replaced.changes
    assert isinstance(change, MessageChange)
    assert (change.text, change.after.content) == (None, "a")
