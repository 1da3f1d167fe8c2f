"""Frames that a client sends on /ws/streaming. Unknown fields are ignored; null means that the field is not given."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from broadcasters.events import PlanId

__all__ = [
    "CLIENT_FRAMES",
    "MAX_OFFSET",
    "Authenticate",
    "ClientFrame",
    "Ping",
    "Place",
    "PlanInput",
    "PlanSignal",
    "SignalName",
    "SubscribePlan",
    "UnsubscribePlan",
]

MAX_OFFSET: Final = 2**53 - 1
"""The greatest integer that every JSON parser keeps exact."""

RequestId = Annotated[str, Field(min_length=1, max_length=128)]
Epoch = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._~-]*$")]
Name = Annotated[str, Field(min_length=1, max_length=256)]
SignalName = Literal["cancel", "pause", "resume"]


class _Frame(BaseModel):
    """A frame from a client."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Place(_Frame):
    """A position in a plan's log: the client has everything up to `offset`."""

    epoch: Epoch
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)]


class SubscribePlan(_Frame):
    """Subscribe to a plan: from now on (without `since`), from its start, from its snapshot, or from a position."""

    type: Literal["subscribe_plan"]
    plan_id: PlanId
    since: Literal["now", "start", "snapshot"] | Place | None = None
    request_id: RequestId | None = None


class UnsubscribePlan(_Frame):
    """End the subscription to a plan."""

    type: Literal["unsubscribe_plan"]
    plan_id: PlanId
    request_id: RequestId | None = None


class Authenticate(_Frame):
    """Send a token: as the first frame of a client that can't send a header, or later to replace the token."""

    type: Literal["authenticate"]
    token: Annotated[str, Field(min_length=1, max_length=8_192)]
    request_id: RequestId | None = None


class PlanInput(_Frame):
    """A person's answer to an `input_request` of a plan; `request_id` is that request's."""

    type: Literal["plan_input"]
    plan_id: PlanId
    request_id: Name
    answer: Any
    idempotency_key: Name | None = None


class PlanSignal(_Frame):
    """Cancel, pause or resume a plan."""

    type: Literal["plan_signal"]
    plan_id: PlanId
    signal: SignalName
    request_id: RequestId | None = None


class Ping(_Frame):
    """Check the connection, for clients that can't see WebSocket pings."""

    type: Literal["ping"]
    nonce: Annotated[str, Field(max_length=128)] | Annotated[int, Field(ge=-MAX_OFFSET, le=MAX_OFFSET)] | None = None


ClientFrame = SubscribePlan | UnsubscribePlan | Authenticate | PlanInput | PlanSignal | Ping

CLIENT_FRAMES: Final[Mapping[str, type[ClientFrame]]] = MappingProxyType(
    {
        "subscribe_plan": SubscribePlan,
        "unsubscribe_plan": UnsubscribePlan,
        "authenticate": Authenticate,
        "plan_input": PlanInput,
        "plan_signal": PlanSignal,
        "ping": Ping,
    }
)
