"""Decodes client frames, strictly and within limits: any text yields a frame or raises `BadFrame`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any, Final, cast

from pydantic import ValidationError

from broadcasters.errors import InvalidPlanId, PlancastError
from broadcasters.events import MAX_DEPTH, check_plan_id
from hub.wire.client_frames import CLIENT_FRAMES, ClientFrame
from hub.wire.codes import ErrorCode

__all__ = ["BadFrame", "decode", "fields_of"]


class BadFrame(PlancastError, ValueError):
    """The client's frame is invalid. Its plan_id and request_id, as far as they could be read, are for the error frame."""

    def __init__(
        self, code: ErrorCode, message: str, plan_id: str | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.plan_id = plan_id
        self.request_id = request_id


def decode(text: str) -> ClientFrame:
    """Returns the frame, or raises `BadFrame` and no other exception. The caller must have checked the size."""
    fields = fields_of(text)
    kind = fields.get("type")
    if not isinstance(kind, str):
        raise _bad(fields, ErrorCode.INVALID_FIELD, "type: expected a string")
    model = CLIENT_FRAMES.get(kind)
    if model is None:
        known = ", ".join(CLIENT_FRAMES)
        raise _bad(fields, ErrorCode.UNKNOWN_TYPE, f"unknown frame type {_shown(kind)}; expected one of {known}")
    if "plan_id" in model.model_fields:
        _check_plan_id(fields)
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        field = str(first["loc"][0])
        raise _bad(fields, ErrorCode.INVALID_FIELD, f"{field}: {_CHOICES.get(field, first['msg'])}") from None


_CHOICES: Final = {
    "since": 'expected "now", "start", "snapshot" or {"epoch": a string, "offset": an integer of 0 or more}',
    "nonce": "expected a string of at most 128 characters, or an integer that a double represents exactly",
}
"""Replaces pydantic's messages, which would describe each alternative on its own."""


def fields_of(text: str) -> dict[str, Any]:
    """Returns the JSON object, or raises `BadFrame`. The caller must have checked the size."""
    try:
        fields: Any = _decoder.decode(text)
    except RecursionError:
        raise BadFrame(ErrorCode.BAD_FRAME, f"nested deeper than {MAX_DEPTH}") from None
    except json.JSONDecodeError as error:
        raise BadFrame(ErrorCode.BAD_FRAME, f"not JSON: {error.msg} at character {error.pos}") from None
    except ValueError as error:
        raise BadFrame(ErrorCode.BAD_FRAME, str(error)) from None
    if not isinstance(fields, dict):
        raise BadFrame(ErrorCode.BAD_FRAME, "a frame must be a JSON object")
    if _brackets(text) > MAX_DEPTH and _depth(cast("Any", fields)) > MAX_DEPTH:
        raise BadFrame(ErrorCode.BAD_FRAME, f"nested deeper than {MAX_DEPTH}")
    if _surrogate.search(text) and not _encodable(cast("Any", fields)):
        raise BadFrame(ErrorCode.BAD_FRAME, "a lone surrogate, which can't be encoded as UTF-8")
    return cast("dict[str, Any]", fields)


def _check_plan_id(fields: dict[str, Any]) -> None:
    plan_id = fields.get("plan_id")
    if not isinstance(plan_id, str):
        raise _bad(fields, ErrorCode.INVALID_FIELD, "plan_id: expected a string")
    try:
        check_plan_id(plan_id)
    except InvalidPlanId as error:
        raise _bad(fields, ErrorCode.INVALID_PLAN_ID, error.problem) from None


def _bad(fields: dict[str, Any], code: ErrorCode, message: str) -> BadFrame:
    """Returns the error with the frame's plan_id and request_id, unless they are invalid or too long to send back."""
    plan_id, request_id = fields.get("plan_id"), fields.get("request_id")
    return BadFrame(
        code,
        message,
        plan_id if isinstance(plan_id, str) and len(plan_id) <= 128 else None,
        request_id if isinstance(request_id, str) and len(request_id) <= 256 else None,
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


# -- JSON, more strictly than the standard library decodes it ---------------------------------------------------------

_surrogate: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("duplicate key in an object")
    return fields


def _integer(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= (number := int(digits)) < 2**64:
        raise ValueError("an integer exceeds 64 bits; send it as a string")
    return number


def _real(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("a number exceeds the range of a double; send it as a string")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not valid JSON")


_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_no_duplicates, parse_int=_integer, parse_float=_real, parse_constant=_no_constant
)


def _brackets(text: str) -> int:
    return text.count("[") + text.count("{")


def _depth(value: Any) -> int:
    """Returns the nesting depth. Proceeds level by level, so that no depth exhausts the stack."""
    depth, level = 0, _inner([value])
    while level:
        depth, level = depth + 1, _inner(inner for item in level for inner in item)
    return depth


def _inner(values: Iterable[Any]) -> list[Iterable[Any]]:
    """Returns the children of each value that has children."""
    return [value.values() if isinstance(value, dict) else value for value in values if isinstance(value, dict | list)]


def _encodable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True
