"""What a hub answers when it doesn't do what was asked, and what that means to whoever asked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from broadcasters.errors import InvalidEvent, LogFull, LogMisconfigured, LogUnavailable, PlancastError

__all__ = ["Refusal"]

LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
"""A gateway between may say these as well; whatever was asked is worth another try."""


class Refusal:
    """An answer that is no success: its status, and the problem it tells of, if it does."""

    def __init__(self, status: int, body: bytes | Mapping[str, Any]) -> None:
        self.status = status
        self._problem = _problem(body) if isinstance(body, bytes) else body
        self.code = self._text("code")
        """The hub's word for it; empty when it was not a hub of ours that answered."""
        self.plan_id = self._text("plan_id")

    def error(self, about: str) -> PlancastError:
        """The error that tells whose fault it was; `about` names what was asked for."""
        said = self._text("detail") or self._text("title") or "no reason given"
        text = f"the hub refused {about}: {said} ({self.status}{f' {self.code}' if self.code else ''})"
        if self.status == 422 and (field := self._text("field")):
            return InvalidEvent(field, said.removeprefix(f"{field}: "))
        if self.status == 507:
            return LogFull(text)
        if self.code == "log_misconfigured":
            return LogMisconfigured(text)
        if self.status in LATER:
            return LogUnavailable(text)
        return LogMisconfigured(f"{text}{self._advice()}")

    def _advice(self) -> str:
        if 300 <= self.status < 400:
            return "; the address redirects: name the one it leads to, maybe with https"
        if self.status == 401:
            return "; PLANCAST_TOKEN, or ?token=@/a/file in the address, says who is asking"
        if self.status == 404 and self.code in ("", "http_404"):
            return "; is this the address of a Plancast hub?"
        return ""

    def _text(self, name: str) -> str:
        value = self._problem.get(name)
        return value if isinstance(value, str) else ""


def _problem(body: bytes) -> dict[str, Any]:
    try:
        problem: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", problem) if isinstance(problem, dict) else {}
