"""How a log travels over HTTP: a line of JSON that says what comes, then events as they are stored, one a line.

Payloads are neither quoted nor parsed on the way, so they arrive byte for byte and cost next to nothing. Hub and agent
both use these functions; what one writes the other reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from broadcasters.log.contract import Checkpoint, Entry, Head, Page
from broadcasters.position import Lineage, Position

__all__ = [
    "MEDIA_TYPE",
    "TAIL_BEAT_S",
    "AppendAsked",
    "Unreadable",
    "read_appends",
    "read_checkpoint",
    "read_head",
    "read_line",
    "read_page",
    "write_append",
    "write_arrived",
    "write_checkpoint",
    "write_head",
    "write_page",
    "write_said",
    "write_standing",
]

MEDIA_TYPE: Final = "application/x-ndjson"
TAIL_BEAT_S: Final = 10.0
"""An empty line at least this often shows that a tail still stands."""


class Unreadable(ValueError):
    """Not what stands here; the message says what does."""


@dataclass(frozen=True, slots=True)
class AppendAsked:
    """An append as it came over HTTP."""

    plan_id: str
    producer: str
    seq: int
    entries: Sequence[Entry]


def read_line(line: bytes) -> dict[str, Any]:
    """The object that a first line is."""
    try:
        said: Any = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Unreadable("the first line is not a JSON object")
    return cast("dict[str, Any]", said)


# appends


def write_append(plan_id: str, producer: str, seq: int, entries: Sequence[Entry]) -> bytes:
    """One append. Several, one behind the other, make a body."""
    said: dict[str, Any] = {"plan_id": plan_id, "producer": producer, "seq": seq, "count": len(entries)}
    if any(entry.key is not None for entry in entries):
        said["keys"] = [entry.key for entry in entries]
    return _with_lines(said, [entry.payload for entry in entries])


def read_appends(body: bytes, most: int) -> list[AppendAsked]:
    """At most so many. Strict, for it comes from anywhere; but what the payloads are is for the caller to see."""
    lines = body.split(b"\n")
    if lines.pop() or not lines:
        raise Unreadable("a body is lines, each with a line feed at its end")
    asked: list[AppendAsked] = []
    at = 0
    while at < len(lines):
        if len(asked) == most:
            raise Unreadable(f"at most {most} appends at once")
        said = read_line(lines[at])
        payloads = lines[at + 1 : at + 1 + _whole(said, "count", least=1)]
        at += 1 + said["count"]
        if at > len(lines):
            raise Unreadable("count: so many lines don't follow")
        asked.append(_append(said, payloads))
    return asked


def _append(said: Mapping[str, Any], payloads: Sequence[bytes]) -> AppendAsked:
    plan_id, producer, keys = said.get("plan_id"), said.get("producer"), _keys(said.get("keys"), len(payloads))
    if not isinstance(plan_id, str):
        raise Unreadable("plan_id: which plan it is for is needed")
    if not isinstance(producer, str) or not 0 < len(producer) <= 128 or not producer.isprintable():
        raise Unreadable("producer: a name of 1 to 128 printable characters is needed")
    entries = [Entry(*one) for one in zip(payloads, keys, strict=True)]
    return AppendAsked(plan_id, producer, _whole(said, "seq", least=1), entries)


def _keys(said: Any, count: int) -> Sequence[str | None]:
    if said is None:
        return [None] * count
    if not isinstance(said, list) or len(keys := cast("list[object]", said)) != count:
        raise Unreadable("keys: one for each event is needed, or none at all")
    return [_key(key) for key in keys]


def _key(said: object) -> str | None:
    if said is None or (isinstance(said, str) and 0 < len(said) <= 256 and said.isprintable()):
        return said
    raise Unreadable("keys: each is null or has 1 to 256 printable characters")


# pages and heads


def write_head(head: Head) -> dict[str, Any]:
    """Where a plan's log stands, to be put into JSON."""
    lineage = head.lineage
    return {"epoch": lineage.epoch, "ended": lineage.ended, "offset": head.offset, "floor": head.floor}


def read_head(said: Mapping[str, Any]) -> Head:
    try:
        ended = tuple((str(epoch), int(offset)) for epoch, offset in said["ended"])
        return Head(Lineage(str(said["epoch"]), ended), int(said["offset"]), int(said["floor"]))
    except (LookupError, TypeError, ValueError):
        raise Unreadable("not the head of a log") from None


def write_page(page: Page) -> bytes:
    said = {**write_head(page.head), "first": page.first, "count": len(page.payloads)}
    return _with_lines(said, page.payloads)


def read_page(body: bytes) -> Page:
    said, payloads = _parts(body)
    return Page(read_head(said), _whole(said, "first", least=1), payloads)


# checkpoints


def write_checkpoint(checkpoint: Checkpoint, window: int = 0) -> bytes:
    epoch, offset = checkpoint.position
    return _with_lines({"epoch": epoch, "offset": offset, "window": window, "count": 1}, [checkpoint.snapshot])


def read_checkpoint(body: bytes) -> tuple[Checkpoint, int]:
    """A checkpoint, and the window it is to be kept with."""
    said, payloads = _parts(body)
    epoch = said.get("epoch")
    if not isinstance(epoch, str) or len(epoch) > 64 or not epoch.isalnum() or not epoch.isascii():
        raise Unreadable("epoch: that of the checkpoint's place is needed")
    if len(payloads) != 1:
        raise Unreadable("count: one line is needed, with the snapshot")
    place = Position(epoch, _whole(said, "offset", least=1))
    return Checkpoint(place, payloads[0]), _whole(said, "window", least=0)


# tails


def write_standing(heads: Mapping[str, Head]) -> bytes:
    """The first line of a tail: it stands, and where its plans stood just after it did."""
    return _with_lines({"standing": {plan_id: write_head(head) for plan_id, head in heads.items()}}, ())


def write_arrived(plan_id: str, epoch: str, first: int, payloads: Sequence[bytes]) -> bytes:
    return _with_lines({"plan_id": plan_id, "epoch": epoch, "first": first, "count": len(payloads)}, payloads)


def write_said(plan_id: str, word: str) -> bytes:
    """`lost`, `resumed` or `deleted`, as watchers are told."""
    return _with_lines({"plan_id": plan_id, "said": word}, ())


def _with_lines(said: Mapping[str, Any], payloads: Sequence[bytes]) -> bytes:
    return b"\n".join([json.dumps(said, separators=(",", ":")).encode(), *payloads, b""])


def _parts(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    line, _, rest = body.partition(b"\n")
    said = read_line(line)
    payloads = rest.removesuffix(b"\n").split(b"\n") if rest else []
    if said.get("count") != len(payloads):
        raise Unreadable(f"count: {said.get('count')!r:.20} lines are announced, {len(payloads)} came")
    return said, payloads


def _whole(said: Mapping[str, Any], name: str, *, least: int) -> int:
    value = said.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        raise Unreadable(f"{name}: a whole number from {least} on is needed")
    return value
