"""Signals: people's requests to cancel, pause or resume a plan, as events, and the reader that finds them in the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, cast, get_args

from broadcasters.errors import InvalidEvent, LogUnavailable
from broadcasters.event_bytes import is_type
from broadcasters.events import AgentMessage, SignalName, build, parse
from broadcasters.log.contract import PlanLog
from broadcasters.log.follow import Broken, Received, follow
from broadcasters.position import Position
from broadcasters.snapshot import decode

__all__ = ["REQUESTS", "PlanReader", "SignalRequest", "acknowledgement", "request_in", "requested"]

REQUESTS: Final[Mapping[SignalName, str]] = MappingProxyType(
    {
        "cancel": "Please stop this plan",
        "pause": "Please pause this plan",
        "resume": "Please resume this plan",
    }
)
_ACKNOWLEDGED: Final = {
    "cancel": "Stopping, as {} requested",
    "pause": "Paused by {}",
    "resume": "Resumed by {}",
}


@dataclass(frozen=True, slots=True)
class SignalRequest:
    """A person's request to a plan.

    Attributes:
        name: `cancel`, `pause` or `resume`.
        by: Who requests it.
        at: When, as an RFC 3339 time.
        offset: Its offset in the plan's log.
    """

    name: SignalName
    by: str
    at: str
    offset: int


def requested(plan_id: str, signal: SignalName, by: str) -> AgentMessage:
    """The event of a request. A message: the plan's status changes only when the plan obeys."""
    fields = {
        "plan_id": plan_id,
        "agent_name": by,
        "content": REQUESTS[signal],
        "message_type": "action",
        "data": {"signal": signal, "state": "requested", "by": by},
    }
    return build(AgentMessage, fields)


def acknowledgement(signal: SignalName, by: str) -> tuple[str, dict[str, Any]]:
    """The content and the data of the plan update that acknowledges a request."""
    return _ACKNOWLEDGED[signal].format(by), {"signal": signal, "state": "acknowledged", "by": by}


def request_in(data: Mapping[str, Any] | None, agent_name: str, at: str, offset: int) -> SignalRequest | None:
    """The request that a message with this data is; None for any other message."""
    signal = (data or {}).get("signal")
    if data is None or data.get("state") != "requested" or signal not in get_args(SignalName):
        return None
    by = data.get("by")
    return SignalRequest(cast("SignalName", signal), by if isinstance(by, str) else agent_name, at, offset)


def _request_of(item: Received) -> SignalRequest | None:
    if not is_type(item.payload, AgentMessage.type) or b'"signal"' not in item.payload:
        return None
    with suppress(InvalidEvent):
        event = parse(item.payload)
        if isinstance(event, AgentMessage):
            return request_in(event.data, event.agent_name, event.timestamp, item.position.offset)
    return None


class PlanReader:
    """Follows a plan for as long as it takes, and reports each request. Call `turn` again after it returns.

    Args:
        following: Gives the log to follow, such as `Broadcaster.following`.
        plan_id: The plan.
        after: Where to begin.
        request: Called with each request.
        received: Called with each event.
    """

    def __init__(
        self,
        following: Callable[[], AbstractAsyncContextManager[PlanLog]],
        plan_id: str,
        after: Position,
        request: Callable[[SignalRequest], None],
        received: Callable[[Received], None] | None = None,
    ) -> None:
        self._following, self._plan_id, self._after = following, plan_id, after
        self._request, self._received = request, received

    async def turn(self) -> None:
        """Follow the plan until the log is unavailable or closed for a moment."""
        with suppress(LogUnavailable):
            async with self._following() as log, aclosing(follow(log, self._plan_id, self._after)) as items:
                async for item in items:
                    self._take(item)

    def _take(self, item: object) -> None:
        match item:
            case Received(position):
                self._after = position
                if (request := _request_of(item)) is not None:
                    self._request(request)
                if self._received is not None:
                    self._received(item)
            case Broken():
                self._take_checkpoint(item)
            case _:
                pass

    def _take_checkpoint(self, broken: Broken) -> None:
        """Requests that were trimmed before they were read are messages of the checkpoint."""
        seen, kept = self._after.offset, broken.checkpoint
        self._after = kept.position if kept else Position(broken.head.lineage.epoch, broken.head.floor)
        if broken.reason != "trimmed" or kept is None:
            return
        for message in decode(kept.snapshot).messages:
            request = request_in(message.data, message.agent_name, message.at, message.offset)
            if request is not None and request.offset > seen:
                self._request(request)
