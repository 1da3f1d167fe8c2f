"""The vectors of AG-UI: logs, the runs that clients receive of them, and what clients have then.

    python -m tests.hub.protocols.ag_ui_vectors    # writes tests/vectors/protocols/ag_ui/*.json

Vitest sends the runs to the real `HttpAgent`, one after another, and compares its messages and its state.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.position import Position
from hub.protocols.ag_ui.encoder import AgUiEncoder, run_started
from hub.protocols.ag_ui.messages import ClientHistory
from hub.protocols.segments import Ending, SegmentReader
from tests.hub.protocols.ag_ui import AgUiClient, events_in
from tests.hub.protocols.feeds import EPOCH, burst_of, snapshot_of

__all__ = ["FILES", "FOLDER", "encoded"]

FOLDER: Final = Path(__file__).parents[2] / "vectors/protocols/ag_ui"
PLAN: Final = "plan-1"
AT: Final = "2026-01-01T00:00:00.000Z"
Loose = tuple[str, Mapping[str, Any]]


@dataclass
class Recording:
    """A client, and the runs that it received."""

    log: Sequence[Loose]
    client: AgUiClient = field(default_factory=AgUiClient)
    runs: list[Mapping[str, Any]] = field(default_factory=list[Any])

    def events(self, log: Sequence[Loose] | None = None) -> Sequence[PlanEvent]:
        fields = {"plan_id": PLAN, "timestamp": AT}
        return [build(EVENTS[kind], {**fields, **data}) for kind, data in log or self.log]

    def run(
        self, upto: int, *, joins: int | None = 0, resume: bool = False, cut: int | None = None, drain: bool = False
    ) -> None:
        """A run of the log up to an offset; `joins` is where a client begins that does not resume (None: at `upto`)."""
        events, number = self.events(), len(self.runs) + 1
        state = self.client.state
        position = Position(state["epoch"], state["offset"]) if resume else None
        encoder = AgUiEncoder("thread-1", f"run-{number}", ClientHistory(self.client.posted(), position=position))
        reader = SegmentReader(PLAN, encoder, position.offset if position else joins)
        if joins == 0 or resume:
            received = reader.confirmed(Position(EPOCH, 0), upto, None)
            at = 0
        else:
            at = upto if joins is None else joins
            received = reader.confirmed(Position(EPOCH, at), upto, None) + reader.take_snapshot(snapshot_of(events, at))
        for offset in range(at + 1, upto + 1):
            received += reader.take(burst_of(events, offset, offset))
        self.take(reader, received, cut, drain=drain)

    def fork(self, upto: int, other: Sequence[Loose]) -> None:
        """A run in which the log is replaced by another one."""
        reader = SegmentReader(PLAN, AgUiEncoder("thread-1", "run-1"))
        received = reader.confirmed(Position(EPOCH, 0), upto + 1, None) + reader.take(burst_of(self.events(), 1, upto))
        received += reader.confirmed(Position(EPOCH, len(other)), len(other), "forked")
        received += reader.take_snapshot(snapshot_of(self.events(other), len(other)))
        self.take(reader, received, None, drain=not reader.over)

    def take(self, reader: SegmentReader, received: bytes, cut: int | None, *, drain: bool) -> None:
        ending = reader.end(Ending("restart")) if drain and not reader.over else b""
        events = [*events_in(run_started("thread-1", f"run-{len(self.runs) + 1}") + received + ending)][:cut]
        self.client.begin()
        for event in events[1:]:
            self.client.take_event(deepcopy(event))
        self.runs.append({"events": events, "cut": self.client.outcome is None})

    def case(self, name: str, *clauses: str) -> Mapping[str, Any]:
        return {
            "name": name,
            "clauses": clauses,
            "log": [{"type": kind, "data": data} for kind, data in self.log],
            "runs": self.runs,
            "messages": self.client.messages,
            "state": self.client.state,
        }


# -- logs


def part(text: str, message_id: str = "m", **more: Any) -> Loose:
    fields = {"agent_name": "Writer", "message_type": "result", "message_id": message_id, "append": True}
    return "agent_message", {**fields, "content": text, **more}


def step(status: str, step_id: str = "write", **more: Any) -> Loose:
    return "step_update", {"step_id": step_id, "status": status, **more}


def plan(status: str, **more: Any) -> Loose:
    return "plan_update", {"status": status, **more}


CALL: Final = {"agent_name": "Analyst", "call_id": "c", "tool_name": "sql", "step_id": "write"}
ASK: Final = ("input_request", {"request_id": "ok", "kind": "approval", "prompt": "Send it?", "options": ["yes", "no"]})
WORK: Final[Sequence[Loose]] = (
    plan("in_progress", title="A letter", progress=0),
    step("in_progress", title="Write", agent_name="Writer"),
    ("agent_message", {"agent_name": "Analyst", "content": "First the figures.", "step_id": "write"}),
    ("tool_call", {**CALL, "phase": "started", "arguments": {"by": "month"}}),
    ("tool_call", {**CALL, "phase": "completed", "result": "12 rows"}),
    part("Dear "),
    part("Ann, 😀\n\n“yes”", step_id="write"),
    step("waiting"),
    ASK,
    plan("waiting", content="Waiting for Ann"),
)
REST: Final[Sequence[Loose]] = (
    ("input_response", {"request_id": "ok", "answer": "yes", "by": "ann", "at": AT}),
    plan("in_progress"),
    step("in_progress", progress=50),
    part(" yours", final=True),
    ("artifact", {"artifact_id": "a", "name": "letter.md", "mime_type": "text/markdown", "data": "Dear Ann"}),
    ("artifact", {"artifact_id": "a", "name": "letter.md", "mime_type": "text/markdown", "data": "Dear Ann, yours"}),
    step("completed"),
    plan("completed", data={"sent": True}),
)
WHOLE: Final = [*WORK, *REST]
REPLACED: Final[Sequence[Loose]] = (
    *WORK[:7],
    ("agent_message", {"agent_name": "Writer", "message_type": "result", "message_id": "m", "content": "Dear Bob"}),
    step("completed"),
    plan("error", content="Bob is away"),
)


def stories() -> Iterator[Mapping[str, Any]]:
    recording = Recording(WHOLE)
    recording.run(len(WORK))
    recording.run(len(WHOLE), resume=True)
    yield recording.case("a question, its answer in the next run, and the end", "P-AGU-1", "P-AGU-4", "P-AGU-5")
    recording = Recording(WHOLE)
    recording.run(len(WHOLE))
    yield recording.case("everything in one run: a question that was answered does not end it", "P-AGU-2")
    for name, joins in (("a run that begins in the midst of a text", 6), ("a run that begins at the end", None)):
        recording = Recording(WHOLE)
        recording.run(len(WHOLE), joins=joins)
        yield recording.case(name, "P-AGU-3")
    recording = Recording(WHOLE)
    recording.run(7, cut=19)
    recording.run(len(WHOLE), joins=6)
    yield recording.case("a connection that was cut after a text that the next run repeats", "P-AGU-3")
    recording = Recording(WHOLE)
    recording.run(7, drain=True)
    recording.run(len(WHOLE), joins=7)
    yield recording.case("a hub that restarts in the midst of a text", "P-AGU-6")
    recording = Recording(REPLACED)
    recording.run(len(REPLACED))
    yield recording.case("a text that is replaced, and a plan that fails", "P-AGU-6", "P-AGU-7")
    recording = Recording([*WORK[:4], plan("cancelled")])
    recording.run(5)
    yield recording.case("a plan that is cancelled while a step works", "P-AGU-6")
    recording = Recording(WORK)
    recording.fork(7, [WORK[0], step("in_progress", "read"), part("Another", "n")])
    yield recording.case("a log that is replaced while a client follows it", "P-AGU-7")


# -- logs of any events


def random_log(random: Random, count: int) -> Sequence[Loose]:
    return [_any_event(random) for _ in range(count)]


def _any_event(random: Random) -> Loose:
    chosen, one = random.choice, random.random
    match random.randrange(9):
        case 0:
            weights = [5, 3, 1, 1]
            return plan(
                random.choices(["in_progress", "waiting", "completed", "error"], weights)[0], title=f"T{one():.2f}"
            )
        case 1 | 2:
            statuses = ["pending", "in_progress", "waiting", "retrying", "completed", "error", "stalled"]
            return step(chosen(statuses), chosen("xyz"), content=f"{one():.2f}")
        case 3 | 4 | 5:
            thinks = {"message_type": "thinking"} if one() < 0.4 else {}
            more: dict[str, Any] = chosen([{}, {}, {}, {"final": True}, {"append": None}, {"error": "broke off"}])
            return part(chosen(["", "a b", "é\n", "😀"]), chosen("mno"), **{**thinks, **more})
        case 6:
            phase = chosen(["started", "started", "completed", "error"])
            return "tool_call", {**CALL, "call_id": chosen("cd"), "phase": phase, "result": chosen([None, "x", [1]])}
        case 7:
            request = {"request_id": chosen("pq"), "kind": "choice", "prompt": "Which?"}
            if one() < 0.5:
                return "input_request", request
            return "input_response", {"request_id": request["request_id"], "answer": "a", "at": AT}
        case _:
            return "artifact", {"artifact_id": chosen("ab"), "name": "f", "mime_type": "text/plain", "data": one()}


def any_logs() -> Iterator[Mapping[str, Any]]:
    for seed in range(12):
        random = Random(seed)
        recording = Recording(random_log(random, 18))
        recording.run(random.randint(1, 18), cut=random.randint(1, 40))
        recording.run(18, joins=random.choice([None, 9, 15]), drain=True)
        yield recording.case(f"log {seed}")


FILES: Final[Mapping[str, Any]] = {
    "runs": ("Runs of a plan as AG-UI clients receive them.", stories),
    "any_logs": ("Runs of logs with events in any order, cut anywhere and joined again.", any_logs),
}


def encoded(name: str) -> str:
    """The content of a file."""
    about, cases = FILES[name]
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases())
    return f'{{"about": {json.dumps(about)}, "cases": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (FOLDER / f"{name}.json").write_text(encoded(name))
