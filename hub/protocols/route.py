"""Routes of other protocols: requests carry whole message histories, and errors have the protocol's own shape."""

from __future__ import annotations

from typing import ClassVar, Final

from hub.api.route import ApiRoute
from hub.config.limits import MIB

__all__ = ["STREAM_HEADERS", "ProtocolRoute"]

STREAM_HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store, no-transform",
    "X-Accel-Buffering": "no",
}


class ProtocolRoute(ApiRoute):
    """A route of another protocol. Override `refusal` to give errors the shape that its clients show."""

    body_bytes: ClassVar[int] = 16 * MIB
