"""A session's subscriptions and its pending answers and signals: requests in, reports in, effects out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from broadcasters.position import Position
from hub.core.effects import Confirm, Effect, Join, Leave, Send, SendSignal, SubmitAnswer, error_about
from hub.core.session_states import PLANS, PlanState, Reaction, Trigger
from hub.core.subscriber import Since
from hub.wire.codes import ErrorCode, SubscriptionCode
from hub.wire.server_frames import (
    Error,
    InputAccepted,
    SignalAccepted,
    SubscriptionConfirmed,
    SubscriptionEnded,
    UnsubscriptionConfirmed,
)

__all__ = ["PendingRequests", "Subscriptions"]

MAX_WAITING: Final = 4
"""How many subscribe requests for one plan may wait for the same join."""

_ERROR_CODES: Final[Mapping[int, ErrorCode]] = MappingProxyType(
    {
        SubscriptionCode.FORBIDDEN: ErrorCode.FORBIDDEN,
        SubscriptionCode.PLAN_DELETED: ErrorCode.PLAN_DELETED,
        SubscriptionCode.CONTINUITY_LOST: ErrorCode.CONTINUITY_LOST,
        SubscriptionCode.TOKEN_EXPIRED: ErrorCode.TOKEN_EXPIRED,
    }
)
"""The error for a request that still waits when the subscription ends with one of these codes."""


class _Subscription:
    """One plan's state, and the ids of the requests that wait for a confirmation."""

    __slots__ = ("state", "waiting")

    def __init__(self) -> None:
        self.state = PlanState.JOINING
        self.waiting: list[str | None] = []


class Subscriptions:
    """The plans that are joined or being joined. Absent plans take no memory.

    Every change of a plan's state is one cell of the table in session_states.py."""

    __slots__ = ("_limit", "_plans")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._plans: dict[str, _Subscription] = {}

    def __len__(self) -> int:
        return len(self._plans)

    def states(self) -> dict[str, PlanState]:
        return {plan_id: plan.state for plan_id, plan in self._plans.items()}

    @property
    def joining(self) -> bool:
        """Whether any plan is being joined."""
        return any(plan.state is PlanState.JOINING for plan in self._plans.values())

    def clear(self) -> None:
        self._plans.clear()

    # -- requests of the client ----------------------------------------------------------------------------------------

    def subscribe(self, plan_id: str, since: Since | None, request_id: str | None) -> list[Effect]:
        plan = self._plans.get(plan_id)
        if plan is None and len(self._plans) >= self._limit:
            message = f"at most {self._limit} plans on one connection; unsubscribe from one first"
            return [_error(ErrorCode.TOO_MANY_SUBSCRIPTIONS, message, plan_id, request_id)]
        if plan is not None and len(plan.waiting) >= MAX_WAITING:
            message = "this plan is already being subscribed; wait for the confirmation"
            return [_error(ErrorCode.TOO_MANY_REQUESTS, message, plan_id, request_id)]
        _, reaction = self._move(plan_id, Trigger.SUBSCRIBE)
        self._plans[plan_id].waiting.append(request_id)
        if reaction is Reaction.JOIN:
            return [Join(plan_id, since)]
        return [Confirm(plan_id)] if reaction is Reaction.ASK_POSITION else []

    def unsubscribe(self, plan_id: str, request_id: str | None) -> list[Effect]:
        _, reaction = self._move(plan_id, Trigger.UNSUBSCRIBE)
        confirmed = Send(UnsubscriptionConfirmed(plan_id=plan_id, request_id=request_id))
        return [Leave(plan_id), confirmed] if reaction is Reaction.LEAVE else [confirmed]

    # -- reports of the channel ----------------------------------------------------------------------------------------

    def placed(self, plan_id: str, position: Position, head: int, reason: str | None = None) -> list[Effect]:
        """The next event follows `position`. `reason` says why that is not where the client asked to start."""
        plan, reaction = self._move(plan_id, Trigger.PLACED)
        if plan is None:
            return []
        waiting, plan.waiting = plan.waiting, []
        if not waiting and reaction is Reaction.REPORT_POSITION:
            waiting = [None]
        return [_confirmed(plan_id, position, head, reason, request_id) for request_id in waiting]

    def refused(
        self,
        plan_id: str,
        message: str,
        retry_after_ms: int | None = None,
        code: ErrorCode = ErrorCode.UNAVAILABLE,
    ) -> list[Effect]:
        """The channel can't serve this client; the subscription, if there was one, has ended."""
        plan, reaction = self._move(plan_id, Trigger.REFUSED)
        if plan is None:
            return []
        if reaction is Reaction.END:
            return _end(plan, plan_id, SubscriptionCode.CONTINUITY_LOST, message)
        return [_error(code, message, plan_id, request_id, retry_after_ms) for request_id in plan.waiting]

    def ended(self, plan_id: str, code: int, reason: str) -> list[Effect]:
        """The channel ended the subscription."""
        plan, _ = self._move(plan_id, Trigger.ENDED)
        return [] if plan is None else _end(plan, plan_id, code, reason)

    def revoke(self, plan_ids: Iterable[str], code: SubscriptionCode, reason: str) -> list[Effect]:
        """Ends the subscriptions to these plans, because the right to read them was lost."""
        effects: list[Effect] = []
        for plan_id in plan_ids:
            plan, _ = self._move(plan_id, Trigger.REVOKED)
            if plan is not None:
                effects += [Leave(plan_id), *_end(plan, plan_id, code, reason)]
        return effects

    def _move(self, plan_id: str, trigger: Trigger) -> tuple[_Subscription | None, Reaction]:
        """Changes the plan's state by the table. Returns the plan as it was before, or None if it was absent."""
        plan = self._plans.get(plan_id)
        state, reaction = PLANS[plan.state if plan else PlanState.ABSENT, trigger]
        if plan is None:
            if state is not PlanState.ABSENT:
                self._plans[plan_id] = _Subscription()
        elif state is PlanState.ABSENT:
            del self._plans[plan_id]
        else:
            plan.state = state
        return plan, reaction


class PendingRequests:
    """The answers and signals that wait for their result. Each is answered once; a result of one that no longer waits is
    ignored."""

    __slots__ = ("_limit", "_pending")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending: set[SubmitAnswer | SendSignal] = set()

    def __len__(self) -> int:
        return len(self._pending)

    def clear(self) -> None:
        self._pending.clear()

    def submit(self, request: SubmitAnswer | SendSignal) -> list[Effect]:
        if len(self._pending) >= self._limit:
            message = f"{len(self._pending)} requests of this connection are pending; wait for an answer"
            return [error_about(request, ErrorCode.TOO_MANY_REQUESTS, message)]
        self._pending.add(request)
        return [request]

    def input_accepted(self, answer: SubmitAnswer, position: Position | None = None) -> list[Effect]:
        """The answer is in the plan's log, at this position."""
        if not self._settle(answer):
            return []
        epoch, offset = position or (None, None)
        return [Send(InputAccepted(plan_id=answer.plan_id, request_id=answer.request_id, epoch=epoch, offset=offset))]

    def signal_accepted(self, signal: SendSignal) -> list[Effect]:
        """The signal reached the engine that runs the plan."""
        if not self._settle(signal):
            return []
        return [Send(SignalAccepted(plan_id=signal.plan_id, signal=signal.signal, request_id=signal.request_id))]

    def refused(
        self,
        request: SubmitAnswer | SendSignal,
        code: ErrorCode,
        message: str,
        retry_after_ms: int | None = None,
        by: str | None = None,
        at: str | None = None,
    ) -> list[Effect]:
        """The answer or the signal was refused. `by` and `at` say who answered before, and when."""
        if not self._settle(request):
            return []
        return [error_about(request, code, message, retry_after_ms=retry_after_ms, by=by, at=at)]

    def _settle(self, request: SubmitAnswer | SendSignal) -> bool:
        """Removes the request. Returns whether it waited."""
        if request not in self._pending:
            return False
        self._pending.remove(request)
        return True


def _end(plan: _Subscription, plan_id: str, code: int, reason: str) -> list[Effect]:
    """Returns an error for each waiting request and, if the subscription was confirmed before, its end."""
    error = _ERROR_CODES.get(code, ErrorCode.UNAVAILABLE)
    effects: list[Effect] = [_error(error, reason, plan_id, request_id) for request_id in plan.waiting]
    if plan.state is PlanState.JOINED:
        effects.append(Send(SubscriptionEnded(plan_id=plan_id, code=code, reason=reason)))
    return effects


def _confirmed(plan_id: str, position: Position, head: int, reason: str | None, request_id: str | None) -> Send:
    return Send(
        SubscriptionConfirmed(
            plan_id=plan_id,
            epoch=position.epoch,
            offset=position.offset,
            head=head,
            recovered=reason is None,
            reason=reason,
            request_id=request_id,
        )
    )


def _error(
    code: ErrorCode, message: str, plan_id: str, request_id: str | None, retry_after_ms: int | None = None
) -> Send:
    return Send(Error.about(code, message, plan_id, request_id, retry_after_ms=retry_after_ms), refuses=code)
