"""The vectors of LangGraph: logs, what clients receive of them whose connections are cut, and what they have then.

    python -m tests.hub.protocols.langgraph_vectors    # writes tests/vectors/protocols/langgraph/streams.json

Vitest passes the messages to the real hook's `StreamManager`, and compares its messages and interrupts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.position import Position
from hub.protocols.langgraph.encoder import MODES, RunEncoder
from hub.protocols.langgraph.state import interrupts_of, messages_of
from hub.protocols.segments import SegmentReader
from tests.hub.protocols.ag_ui_vectors import REPLACED, WHOLE, WORK, Loose, random_log
from tests.hub.protocols.feeds import EPOCH, burst_of, folded, snapshot_of
from tests.hub.protocols.langgraph_client import LangGraphClient, Received, received_in

__all__ = ["FILE", "content"]

FILE: Final = Path(__file__).parents[2] / "vectors/protocols/langgraph/streams.json"
PLAN: Final = "plan-1"
AT: Final = "2026-01-01T00:00:00.000Z"
MESSAGES: Final = frozenset({"messages"})
HOOK: Final = frozenset({"messages", "values"})
"""The modes that the hook requests."""


def case(name: str, log: Sequence[Loose], random: Random, modes: frozenset[str], cuts: int) -> Mapping[str, Any]:
    """A log as a client receives it whose connection is cut some times, anywhere."""
    events = [build(EVENTS[kind], {"plan_id": PLAN, "timestamp": AT, **data}) for kind, data in log]
    client, received = LangGraphClient(), list[Received]()
    offset = 0
    for cut in [True] * cuts + [False]:
        messages, offset = _stream(events, client, random, modes)
        messages = messages[: random.randint(0, len(messages))] if cut else messages
        client.take(messages)
        received += messages
    plan = folded(events, offset)
    human = "human" if "values" not in modes else ""
    return {
        "name": name,
        "log": [{"type": kind, "data": data} for kind, data in log],
        "stream": [[one.event, one.data, one.id] for one in received],
        "messages": [message for message in messages_of(plan) if message["type"] != human],
        "interrupts": [one["id"] for one in interrupts_of(plan)] if "values" in modes else [],
    }


def _stream(
    events: Sequence[PlanEvent], client: LangGraphClient, random: Random, modes: frozenset[str]
) -> tuple[list[Received], int]:
    """One connection's stream to the end, in pieces; and the offset that it leads to."""
    position, customs, afresh = client.cursor
    at = position.offset
    encoder = replace(RunEncoder("run-1", "thread-1", 0, modes), customs=customs, afresh=afresh)
    base = (folded(events, at), Position(EPOCH, at)) if at else None
    reader = SegmentReader(PLAN, encoder, at, base=base)
    stream = reader.confirmed(Position(EPOCH, at), len(events), None)
    while at < len(events) and not reader.over:
        upto, kind = random.randint(at + 1, len(events)), random.randrange(4)
        if kind == 3:
            stream += reader.take_snapshot(snapshot_of(events, upto))
        else:
            stream += reader.take(burst_of(events, at + 1, upto, merged=kind == 2))
        at = upto
    return [*received_in(stream)], reader.position.offset


def cases() -> Iterator[Mapping[str, Any]]:
    random = Random(1)
    yield case("a question", WORK, random, HOOK, 0)
    yield case("from its start to its end", WHOLE, random, MODES, 0)
    yield case("a text that is replaced, and a plan that fails", REPLACED, random, HOOK, 0)
    for seed in range(8):
        yield case(f"cut twice, {seed}", WHOLE, Random(seed), HOOK, 2)
        yield case(f"any events, cut three times, {seed}", random_log(Random(seed), 14), Random(seed), HOOK, 3)
        yield case(f"without values, {seed}", random_log(Random(99 + seed), 14), Random(seed), MESSAGES, 3)


def content() -> str:
    """The content of the file."""
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in cases())
    return f'{{"about": "Logs as LangGraph\'s clients receive them, cut anywhere.", "cases": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(content())
