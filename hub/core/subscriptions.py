"""How one session stands with its plans. Every move is one cell of the table in session_states.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from broadcasters.position import Position
from hub.core.effects import Confirm, Effect, Join, Leave, Send
from hub.core.session_states import PLANS, Deed, Happening, PlanState
from hub.core.subscriber import Since
from hub.wire.codes import ErrorCode, SubscriptionCode
from hub.wire.server_frames import Error, SubscriptionConfirmed, SubscriptionEnded, UnsubscriptionConfirmed

__all__ = ["Subscriptions"]

WAITING: Final = 4
"""So many subscribe frames of one plan may wait for one join."""

_ENDINGS: Final[Mapping[int, ErrorCode]] = MappingProxyType(
    {
        SubscriptionCode.FORBIDDEN: ErrorCode.FORBIDDEN,
        SubscriptionCode.PLAN_DELETED: ErrorCode.PLAN_DELETED,
        SubscriptionCode.CONTINUITY_LOST: ErrorCode.CONTINUITY_LOST,
        SubscriptionCode.TOKEN_EXPIRED: ErrorCode.TOKEN_EXPIRED,
    }
)
"""What a request that still waits is told when the subscription ends for this reason."""


class _Plan:
    """A plan asked for, and the requests that wait for its confirmation."""

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state = PlanState.JOINING
        self.waiting: list[str | None] = []


class Subscriptions:
    """The plans that are joined or being joined. Absent ones take no memory."""

    __slots__ = ("_most", "_plans")

    def __init__(self, most: int) -> None:
        self._most = most
        self._plans: dict[str, _Plan] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def states(self) -> dict[str, PlanState]:
        return {plan_id: plan.state for plan_id, plan in self._plans.items()}

    @property
    def joining(self) -> bool:
        """Whether a plan is being joined."""
        return any(plan.state is PlanState.JOINING for plan in self._plans.values())

    def clear(self) -> None:
        self._plans.clear()

    # -- what the client asks -----------------------------------------------------------------------------------------

    def subscribe(self, plan_id: str, since: Since | None, request_id: str | None) -> list[Effect]:
        plan = self._plans.get(plan_id)
        if plan is None and len(self._plans) >= self._most:
            message = f"at most {self._most} plans on one connection; unsubscribe from one first"
            return [_error(ErrorCode.TOO_MANY_SUBSCRIPTIONS, message, plan_id, request_id)]
        if plan is not None and len(plan.waiting) >= WAITING:
            message = "this subscription is under way already; wait for its confirmation"
            return [_error(ErrorCode.TOO_MANY_REQUESTS, message, plan_id, request_id)]
        _, deed = self._move(plan_id, Happening.SUBSCRIBE)
        self._plans[plan_id].waiting.append(request_id)
        if deed is Deed.JOIN:
            return [Join(plan_id, since)]
        return [Confirm(plan_id)] if deed is Deed.ASK_PLACE else []

    def unsubscribe(self, plan_id: str, request_id: str | None) -> list[Effect]:
        _, deed = self._move(plan_id, Happening.UNSUBSCRIBE)
        farewell = Send(UnsubscriptionConfirmed(plan_id=plan_id, request_id=request_id).encode())
        return [Leave(plan_id), farewell] if deed is Deed.LEAVE else [farewell]

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def placed(self, plan_id: str, place: Position, head: int, reason: str | None) -> list[Effect]:
        plan, deed = self._move(plan_id, Happening.PLACED)
        if plan is None:
            return []
        waiting, plan.waiting = plan.waiting, []
        if not waiting and deed is Deed.TELL_PLACE:
            waiting = [None]
        return [_confirmed(plan_id, place, head, reason, request_id) for request_id in waiting]

    def refused(self, plan_id: str, code: ErrorCode, message: str, retry_after_ms: int | None) -> list[Effect]:
        plan, deed = self._move(plan_id, Happening.REFUSED)
        if plan is None:
            return []
        if deed is Deed.END:
            return _end(plan, plan_id, SubscriptionCode.CONTINUITY_LOST, message)
        return [_error(code, message, plan_id, waits, retry_after_ms) for waits in plan.waiting]

    def ended(self, plan_id: str, code: int, reason: str) -> list[Effect]:
        plan, _ = self._move(plan_id, Happening.ENDED)
        return [] if plan is None else _end(plan, plan_id, code, reason)

    def revoke(self, plan_ids: Iterable[str], code: SubscriptionCode, reason: str) -> list[Effect]:
        """The right to read these plans is gone."""
        effects: list[Effect] = []
        for plan_id in plan_ids:
            plan, _ = self._move(plan_id, Happening.REVOKED)
            if plan is not None:
                effects += [Leave(plan_id), *_end(plan, plan_id, code, reason)]
        return effects

    def _move(self, plan_id: str, happening: Happening) -> tuple[_Plan | None, Deed]:
        """Change the plan's state by the table. Gives the plan as it was known, or None when it wasn't."""
        plan = self._plans.get(plan_id)
        state, deed = PLANS[plan.state if plan else PlanState.ABSENT, happening]
        if plan is None:
            if state is not PlanState.ABSENT:
                self._plans[plan_id] = _Plan()
        elif state is PlanState.ABSENT:
            del self._plans[plan_id]
        else:
            plan.state = state
        return plan, deed


def _end(plan: _Plan, plan_id: str, code: int, reason: str) -> list[Effect]:
    """Errors for requests that wait; and, if it was confirmed before, the subscription's end."""
    error = _ENDINGS.get(code, ErrorCode.UNAVAILABLE)
    effects: list[Effect] = [_error(error, reason, plan_id, request_id) for request_id in plan.waiting]
    if plan.state is PlanState.JOINED:
        effects.append(Send(SubscriptionEnded(plan_id=plan_id, code=code, reason=reason).encode()))
    return effects


def _confirmed(plan_id: str, place: Position, head: int, reason: str | None, request_id: str | None) -> Send:
    frame = SubscriptionConfirmed(
        plan_id=plan_id,
        epoch=place.epoch,
        offset=place.offset,
        head=head,
        recovered=reason is None,
        reason=reason,
        request_id=request_id,
    )
    return Send(frame.encode())


def _error(
    code: ErrorCode, message: str, plan_id: str, request_id: str | None, retry_after_ms: int | None = None
) -> Send:
    error = Error.about(code, message, plan_id, request_id, retry_after_ms=retry_after_ms)
    return Send(error.encode(), refuses=code)
