"""The format of a log over HTTP: a line of JSON that describes what follows, then events as stored, one a line.

Payloads are neither quoted nor parsed, so they arrive byte for byte at little cost. Hub and agent both use these
functions: each `read_…` reads what `write_…` wrote.
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
    "AppendRequest",
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
    "write_standing",
    "write_tail_state",
]

MEDIA_TYPE: Final = "application/x-ndjson"
TAIL_BEAT_S: Final = 10.0
"""Longest time, in seconds, between two lines of a tail; an empty one shows that it still works."""


class Unreadable(ValueError):
    """Bytes in another format than expected. The message names the expected one."""


@dataclass(frozen=True, slots=True)
class AppendRequest:
    """An append that was received over HTTP."""

    plan_id: str
    producer: str
    seq: int
    entries: Sequence[Entry]


def read_line(line: bytes) -> dict[str, Any]:
    """The JSON object of a first line."""
    try:
        members: Any = json.loads(line)
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise Unreadable("the first line must be a JSON object")
    return cast("dict[str, Any]", members)


# appends


def write_append(plan_id: str, producer: str, seq: int, entries: Sequence[Entry]) -> bytes:
    """One append. A body is one or more of them."""
    members: dict[str, Any] = {"plan_id": plan_id, "producer": producer, "seq": seq, "count": len(entries)}
    if any(entry.key is not None for entry in entries):
        members["keys"] = [entry.key for entry in entries]
    return _with_lines(members, [entry.payload for entry in entries])


def read_appends(body: bytes, most: int) -> list[AppendRequest]:
    """At most `most` appends. All is checked, except that payloads are events."""
    lines = body.split(b"\n")
    if lines.pop() or not lines:
        raise Unreadable("each line must end with a line feed")
    asked: list[AppendRequest] = []
    at = 0
    while at < len(lines):
        if len(asked) == most:
            raise Unreadable(f"expected at most {most} appends")
        members = read_line(lines[at])
        payloads = lines[at + 1 : at + 1 + _whole(members, "count", least=1)]
        at += 1 + members["count"]
        if at > len(lines):
            raise Unreadable("count: fewer lines follow")
        asked.append(_append(members, payloads))
    return asked


def _append(members: Mapping[str, Any], payloads: Sequence[bytes]) -> AppendRequest:
    plan_id, producer, keys = members.get("plan_id"), members.get("producer"), _keys(members.get("keys"), len(payloads))
    if not isinstance(plan_id, str):
        raise Unreadable("plan_id: expected a string")
    if not isinstance(producer, str) or not 0 < len(producer) <= 128 or not producer.isprintable():
        raise Unreadable("producer: expected 1 to 128 printable characters")
    entries = [Entry(*one) for one in zip(payloads, keys, strict=True)]
    return AppendRequest(plan_id, producer, _whole(members, "seq", least=1), entries)


def _keys(members: Any, count: int) -> Sequence[str | None]:
    if members is None:
        return [None] * count
    if not isinstance(members, list) or len(keys := cast("list[object]", members)) != count:
        raise Unreadable("keys: expected one for each event, or no keys")
    return [_key(key) for key in keys]


def _key(members: object) -> str | None:
    if members is None or (isinstance(members, str) and 0 < len(members) <= 256 and members.isprintable()):
        return members
    raise Unreadable("keys: expected null or 1 to 256 printable characters for each")


# pages and heads


def write_head(head: Head) -> dict[str, Any]:
    """A head as JSON members."""
    lineage = head.lineage
    return {"epoch": lineage.epoch, "ended": lineage.ended, "offset": head.offset, "floor": head.floor}


def read_head(members: Mapping[str, Any]) -> Head:
    try:
        ended = tuple((str(epoch), int(offset)) for epoch, offset in members["ended"])
        return Head(Lineage(str(members["epoch"]), ended), int(members["offset"]), int(members["floor"]))
    except (LookupError, TypeError, ValueError):
        raise Unreadable("expected the members epoch, ended, offset and floor of a head") from None


def write_page(page: Page) -> bytes:
    members = {**write_head(page.head), "first": page.first, "count": len(page.payloads)}
    return _with_lines(members, page.payloads)


def read_page(body: bytes) -> Page:
    members, payloads = _parts(body)
    return Page(read_head(members), _whole(members, "first", least=1), payloads)


# checkpoints


def write_checkpoint(checkpoint: Checkpoint, window: int = 0) -> bytes:
    epoch, offset = checkpoint.position
    return _with_lines({"epoch": epoch, "offset": offset, "window": window, "count": 1}, [checkpoint.snapshot])


def read_checkpoint(body: bytes) -> tuple[Checkpoint, int]:
    """A checkpoint, and the window to keep it with."""
    members, payloads = _parts(body)
    epoch = members.get("epoch")
    if not isinstance(epoch, str) or len(epoch) > 64 or not epoch.isalnum() or not epoch.isascii():
        raise Unreadable("epoch: expected up to 64 letters and digits")
    if len(payloads) != 1:
        raise Unreadable("count: expected one line, with the snapshot")
    position = Position(epoch, _whole(members, "offset", least=1))
    return Checkpoint(position, payloads[0]), _whole(members, "window", least=0)


# tails


def write_standing(heads: Mapping[str, Head]) -> bytes:
    """The first line of a tail, which confirms it: the heads of its plans, read just after it stood."""
    return _with_lines({"standing": {plan_id: write_head(head) for plan_id, head in heads.items()}}, ())


def write_arrived(plan_id: str, epoch: str, first: int, payloads: Sequence[bytes]) -> bytes:
    return _with_lines({"plan_id": plan_id, "epoch": epoch, "first": first, "count": len(payloads)}, payloads)


def write_tail_state(plan_id: str, state: str) -> bytes:
    """`lost`, `resumed` or `deleted`, as watchers are called."""
    return _with_lines({"plan_id": plan_id, "said": state}, ())


def _with_lines(members: Mapping[str, Any], payloads: Sequence[bytes]) -> bytes:
    return b"\n".join([json.dumps(members, separators=(",", ":")).encode(), *payloads, b""])


def _parts(body: bytes) -> tuple[dict[str, Any], list[bytes]]:
    line, _, rest = body.partition(b"\n")
    members = read_line(line)
    payloads = rest.removesuffix(b"\n").split(b"\n") if rest else []
    if members.get("count") != len(payloads):
        raise Unreadable(f"count: {members.get('count')!r:.20} lines announced; got {len(payloads)}")
    return members, payloads


def _whole(members: Mapping[str, Any], name: str, *, least: int) -> int:
    value = members.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**53:
        raise Unreadable(f"{name}: expected an integer of at least {least}")
    return value
