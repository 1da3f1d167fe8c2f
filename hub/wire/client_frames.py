"""What a client may say on /ws/streaming. Unknown fields are ignored; a null stands for a field left out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from broadcasters.events import PlanId

__all__ = [
    "CLIENT_FRAMES",
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
"""The greatest whole number that every JSON reader keeps."""

RequestId = Annotated[str, Field(min_length=1, max_length=128)]
Epoch = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9._~-]*$")]
Name = Annotated[str, Field(min_length=1, max_length=256)]
SignalName = Literal["cancel", "pause", "resume"]


class _Frame(BaseModel):
    """One thing a client asks."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class Place(_Frame):
    """A place in a plan's log: everything up to `offset` has been seen."""

    epoch: Epoch
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)]


class SubscribePlan(_Frame):
    """Watch a plan: from now on (no `since`), from its start, from its snapshot, or from a place."""

    type: Literal["subscribe_plan"]
    plan_id: PlanId
    since: Literal["now", "start", "snapshot"] | Place | None = None
    request_id: RequestId | None = None


class UnsubscribePlan(_Frame):
    """Watch a plan no longer."""

    type: Literal["unsubscribe_plan"]
    plan_id: PlanId
    request_id: RequestId | None = None


class Authenticate(_Frame):
    """Who is there: the first frame of a client that could send no header, and later a fresher token."""

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
    """Ask a plan to stop, to pause or to go on."""

    type: Literal["plan_signal"]
    plan_id: PlanId
    signal: SignalName
    request_id: RequestId | None = None


class Ping(_Frame):
    """Is anybody there? For clients that can't see protocol pings."""

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
