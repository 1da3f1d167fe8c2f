"""Streamed text for readers who are far behind: neighbouring parts of one message become one part.

Only runs of parts of the same message, side by side in the log, are merged, so the story stays in order and every step,
input and result stays itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Merged", "merge"]


class Merged(NamedTuple):
    """A payload that stands for the offsets `first` to `last`."""

    first: int
    last: int
    payload: bytes


def merge(first: int, payloads: Sequence[bytes]) -> list[Merged]:
    """The same story in fewer payloads. A merged part has the first part's time and the last part's id."""
    merged: list[Merged] = []
    run: list[dict[str, Any]] = []
    for offset, payload in enumerate(payloads, first):
        part = _part(payload)
        if part is not None and run and _same_message(run[0], part):
            run.append(part)
            merged[-1] = Merged(merged[-1].first, offset, merged[-1].payload)
            continue
        _close(merged, run)
        run = [] if part is None else [part]
        merged.append(Merged(offset, offset, payload))
    _close(merged, run)
    return merged


def _part(payload: bytes) -> dict[str, Any] | None:
    """The event, if it is a part of a streamed message and no more than that."""
    if b'"append":true' not in payload or not payload.startswith(b'{"type":"agent_message"'):
        return None
    try:
        event: dict[str, Any] = json.loads(payload)
        data = event["data"]
        plain = data.get("append") is True and not data.get("final") and "error" not in data and "data" not in data
        return event if plain and isinstance(data["message_id"], str) and isinstance(data["content"], str) else None
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None  # whoever said this, it stands in the log, and its readers get it as it is


def _same_message(one: dict[str, Any], other: dict[str, Any]) -> bool:
    same = ("message_id", "agent_name", "message_type", "step_id")
    return all(one["data"].get(field) == other["data"].get(field) for field in same)


def _close(merged: list[Merged], run: list[dict[str, Any]]) -> None:
    if len(run) < 2:
        return
    content = "".join(part["data"]["content"] for part in run)
    event = run[-1] | {"data": run[0]["data"] | {"content": content}}
    payload = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    merged[-1] = Merged(merged[-1].first, merged[-1].last, payload)
