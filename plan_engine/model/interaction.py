"""What people exchange with a running plan: questions, their answers, and signals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from broadcasters.events import InputKind

__all__ = ["NO_DEFAULT", "Answer", "InputQuestion", "Signal"]

NO_DEFAULT: Final[Any] = object()
_YES: Final = frozenset({"yes", "y", "true", "approve", "approved", "accept", "accepted", "ok"})


@dataclass(frozen=True, slots=True)
class Answer:
    """A person's answer to a question. Truthy when it means yes: True, "yes", "approved", {"approved": True} …

    Attributes:
        value: the answer itself, as JSON.
        by: who answered, if known.
        at: when they answered, as an ISO 8601 timestamp.
    """

    value: Any
    by: str | None = None
    at: str | None = None

    def __bool__(self) -> bool:
        value = self.value
        if isinstance(value, dict):
            fields = cast("dict[str, Any]", value)
            value = fields.get("approved", fields.get("value"))
        return value is True or (isinstance(value, str) and value.strip().lower() in _YES)


@dataclass(frozen=True, slots=True)
class InputQuestion:
    """A question to a person. `expires_in` is in seconds from when it is first asked."""

    kind: InputKind
    prompt: str
    options: Sequence[Any] | None = None
    schema: Mapping[str, Any] | None = None
    expires_in: float | None = None
    default: Any = NO_DEFAULT


@dataclass(frozen=True, slots=True)
class Signal:
    """A recorded request to cancel, pause or resume a plan. `number` orders the signals of all plans."""

    number: int
    name: str
    by: str
