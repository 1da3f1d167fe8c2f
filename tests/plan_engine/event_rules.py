"""Rules that the events of every plan must follow: no repetition, no contradiction. `violations(events)` checks them.

Reusable wherever a plan run by the engine can be read from its log: `await events_of(log, plan_id)`, then `violations`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from broadcasters.log.contract import PlanLog

__all__ = ["Event", "events_of", "violations"]

ENDED: Final = frozenset({"completed", "error", "skipped", "cancelled"})
PLAN_ENDED: Final = frozenset({"completed", "error", "cancelled"})
AT_WORK: Final = frozenset({"in_progress", "waiting"})
NEXT: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"pending"}),
    "pending": frozenset({"in_progress", "skipped", "cancelled"}),
    "in_progress": frozenset({"in_progress", "waiting", "retrying", "stalled"}) | ENDED,
    "waiting": frozenset({"in_progress", "retrying", "stalled"}) | ENDED,
    "retrying": frozenset({"in_progress", "retrying", "stalled"}) | ENDED,
    # Its outcome may have been recorded but not reported when the worker died, so it may end from here.
    "stalled": frozenset({"retrying"}) | ENDED,
}
"""The statuses that may follow each status of a step. An ended step has no further ones."""


@dataclass(frozen=True, slots=True)
class Event:
    offset: int
    type: str
    data: Mapping[str, Any]

    @classmethod
    def of(cls, offset: int, payload: bytes) -> Event:
        parsed = json.loads(payload)
        return cls(offset, parsed["type"], parsed["data"])

    def __str__(self) -> str:
        shown = {name: value for name, value in self.data.items() if name not in ("plan_id", "timestamp")}
        return f"#{self.offset} {self.type} {shown}"


async def events_of(log: PlanLog, plan_id: str) -> list[Event]:
    """All events of a plan in the log."""
    events: list[Event] = []
    after = 0
    while True:
        page = await log.read(plan_id, after)
        events += [Event.of(offset, payload) for offset, payload in enumerate(page.payloads, page.first)]
        if not page.payloads or (after := events[-1].offset) >= page.head.offset:
            return events


@dataclass(slots=True)
class _Step:
    status: str = ""
    attempt: int = 1
    needs: Sequence[str] = ()
    words: Counter[str] = field(default_factory=Counter[str])


class _Reader:
    def __init__(self) -> None:
        self.plan_status = ""
        self.progress = 0.0
        self.steps: dict[str, _Step] = {}
        self.open_messages: set[str] = set()
        self.closed_messages: set[str] = set()
        self.open_tools: set[str] = set()
        self.closed_tools: set[str] = set()
        self.asked: set[str] = set()
        self.answered: set[str] = set()
        self.made: dict[str, str] = {}
        self.acknowledged: Counter[str] = Counter()

    def read(self, event: Event) -> Iterator[str]:
        if self.plan_status in PLAN_ENDED and not _by_a_person(event):
            yield "after the end of the plan"
        match event.type:
            case "plan_update":
                yield from self._plan(event.data)
            case "step_update":
                yield from self._step(event.data)
            case "agent_message":
                yield from self._message(event.data)
            case "tool_call":
                yield from self._tool(event.data)
            case "input_request":
                yield from self._once(self.asked, event.data["request_id"], "asked twice")
                yield from self._while_at_work(event.data)
            case "input_response":
                yield from self._once(self.answered, event.data["request_id"], "answered twice")
                if event.data["request_id"] not in self.asked:
                    yield "answered before it was asked"
            case "artifact":
                shown = json.dumps({**event.data, "timestamp": None}, sort_keys=True)
                if self.made.get(event.data["artifact_id"]) == shown:
                    yield "the same artifact twice"
                self.made[event.data["artifact_id"]] = shown
                yield from self._while_at_work(event.data)
            case _:
                yield "an unknown type"

    def end(self) -> Iterator[str]:
        if self.plan_status not in PLAN_ENDED:
            yield f"the plan is left {self.plan_status or 'unbegun'}"
        for step_id, step in self.steps.items():
            if step.status not in ENDED:
                yield f"step {step_id} is left {step.status}"
        if self.open_messages:
            yield f"messages left open: {sorted(self.open_messages)}"
        if self.open_tools:
            yield f"tools left open: {sorted(self.open_tools)}"

    def _plan(self, data: Mapping[str, Any]) -> Iterator[str]:
        status = data["status"]
        if (status == "pending") != (self.plan_status == ""):
            yield f"{status} after {self.plan_status or 'nothing'}"
        self.plan_status = status
        progress = data.get("progress", self.progress)
        if progress < self.progress:
            yield f"progress fell from {self.progress} to {progress}"
        self.progress = progress
        if status == "completed" and progress != 100:
            yield f"completed at {progress} %"
        about = data.get("data") or {}
        if about.get("state") == "acknowledged":
            self.acknowledged[about["signal"]] += 1

    def _step(self, data: Mapping[str, Any]) -> Iterator[str]:
        step = self.steps.setdefault(data["step_id"], _Step())
        before, status = step.status, data["status"]
        if before in ENDED:
            yield f"{status} after {before}"
        elif status not in NEXT[before]:
            yield f"{status} after {before or 'nothing'}"
        yield from self._attempt(step, data)
        if before == status == "in_progress" and not {"progress", "usage"} & data.keys():
            yield "in progress twice"
        if status == "pending":
            step.needs = data.get("needs", ())
        if status == "in_progress" and (early := [n for n in step.needs if self.steps[n].status != "completed"]):
            yield f"begun before {early}"
        step.status = status

    def _attempt(self, step: _Step, data: Mapping[str, Any]) -> Iterator[str]:
        attempt = data.get("attempt", step.attempt)
        allowed = {step.attempt + 1} if data["status"] == "retrying" else {step.attempt}
        if attempt not in allowed:
            yield f"attempt {attempt} after {step.attempt}"
        if attempt > data.get("max_attempts", attempt):
            yield f"attempt {attempt} of {data['max_attempts']}"
        if attempt != step.attempt:
            step.words.clear()
        step.attempt = attempt

    def _message(self, data: Mapping[str, Any]) -> Iterator[str]:
        message_id = data.get("message_id")
        if message_id is None:
            if "step_id" in data:
                yield from self._while_at_work(data)
                words = self.steps[data["step_id"]].words
                words[data["content"]] += 1
                if words[data["content"]] > 1:
                    yield "said twice in one attempt"
            return
        if message_id in self.closed_messages:
            yield "more of a closed message"
        broken_off = bool(data.get("error"))
        if not broken_off:
            yield from self._while_at_work(data)
        self.open_messages.add(message_id)
        if data.get("final"):
            self.open_messages.discard(message_id)
            self.closed_messages.add(message_id)

    def _tool(self, data: Mapping[str, Any]) -> Iterator[str]:
        call_id = data["call_id"]
        if call_id in self.closed_tools:
            yield "more of a tool call that ended"
        if data["phase"] == "started":
            yield from self._once(self.open_tools, call_id, "a tool started twice")
            yield from self._while_at_work(data)
            return
        if call_id not in self.open_tools:
            yield "a tool ended that had not started"
        self.open_tools.discard(call_id)
        self.closed_tools.add(call_id)

    def _while_at_work(self, data: Mapping[str, Any]) -> Iterator[str]:
        status = self.steps[data["step_id"]].status if data.get("step_id") in self.steps else "not told yet"
        if status not in AT_WORK:
            yield f"said while step {data.get('step_id')} is {status}"

    def _once(self, seen: set[str], name: str, problem: str) -> Iterator[str]:
        if name in seen:
            yield problem
        seen.add(name)


def _by_a_person(event: Event) -> bool:
    """A person may send a signal or an answer at the moment the plan ends."""
    return event.type == "input_response" or (event.data.get("data") or {}).get("state") == "requested"


def violations(events: Iterable[Event], *, ended: bool = True) -> list[str]:
    """The rules that these events violate. With `ended=False` the plan may still be running."""
    reader = _Reader()
    found = [f"{event}: {problem}" for event in events for problem in reader.read(event)]
    return [*found, *reader.end()] if ended else found
