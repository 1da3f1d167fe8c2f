"""The vectors of the AI SDK: logs, the chunks that the hub sends of them, and what a client makes of those.

`python -m tests.hub.protocols.ai_sdk_vectors` writes them again. frontend/tests/clients/ai_sdk_vectors.test.ts replays
them in the real clients.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from broadcasters.events import EVENTS, PlanEvent, build
from broadcasters.position import Position
from hub.protocols.ai_sdk.encoder import UiMessageEncoder
from hub.protocols.segments import Ending, SegmentReader
from tests.broadcasters.strategies import PLAN_ID, events
from tests.hub.protocols.feeds import EPOCH, burst_of, folded
from tests.hub.protocols.ui_messages import UiMessage, chunks_in

__all__ = ["VECTORS", "case_of", "events_of"]

VECTORS: Final = Path(__file__).parents[2] / "vectors/protocols/ai_sdk"
ENCODER: Final = UiMessageEncoder()


def events_of(case: Mapping[str, Any]) -> Sequence[PlanEvent]:
    return [build(EVENTS[event["type"]], {**event["data"], "plan_id": PLAN_ID}) for event in case["events"]]


def case_of(name: str, story: Sequence[PlanEvent], cut: int | None) -> dict[str, Any]:
    """The case of a log; with `cut`, the client has stopped after that event, and continues there."""
    responses = [_response(story, 0, cut or len(story))]
    if cut is not None:
        responses.append(_response(story, cut, len(story)))
    client = UiMessage()
    for response in responses:
        client = client.continued().apply(response)
    logged = [{"type": event.type, "data": event.model_dump(exclude_none=True, by_alias=True)} for event in story]
    outcome = {"parts": client.parts, "error": client.error}
    return {"name": name, "events": logged, "cut": cut, "responses": responses, **outcome}


def _response(story: Sequence[PlanEvent], after: int, upto: int) -> list[dict[str, Any]]:
    reader = SegmentReader(PLAN_ID, ENCODER, after, exact=True)
    received = reader.confirmed(Position(EPOCH, 0), upto, None) + reader.take(burst_of(story, 1, upto))
    if not reader.over:
        received += ENCODER.closing(folded(story, upto), Position(EPOCH, upto), Ending("stop")) or b""
    return chunks_in(received)


def _generated(count: int) -> Sequence[Mapping[str, Any]]:
    cases: list[Mapping[str, Any]] = []

    @seed(11)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate])
    @given(st.lists(events, min_size=2, max_size=14), st.data())
    def collect(story: Sequence[PlanEvent], data: st.DataObject) -> None:
        cut = data.draw(st.integers(1, len(story) - 1))
        ended = any(folded(story, upto).ended_at is not None for upto in range(1, cut + 1))
        cases.append(case_of(f"generated {len(cases) + 1}", story, None if ended else cut))

    collect()
    return cases


def _write(name: str, cases: Sequence[Mapping[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in cases)
    (VECTORS / f"{name}.json").write_text(f'{{"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    plain = VECTORS / "plain.json"
    known: list[dict[str, Any]] = json.loads(plain.read_text())["cases"]
    _write("plain", [case_of(case["name"], events_of(case), case["cut"]) for case in known])
    _write("generated", _generated(int(sys.argv[1]) if len(sys.argv) > 1 else 40))
