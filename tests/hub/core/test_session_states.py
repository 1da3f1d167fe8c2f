"""Every cell of the tables is walked through with a real session: C-STA-1, C-STA-2."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from broadcasters.position import Position
from hub.core.effects import Close, Confirm, Effect, Join, Leave
from hub.core.session import EXPIRY_GRACE, Session
from hub.core.session_states import ALLOWED, PHASES, PLANS, Phase, PlanState, Reaction, Transition, Trigger
from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from tests.hub.core.session_kit import LIMITS, NOW, ended, frame, person, placed, refused, session, shown

POSITION = Position("e", 3)
CONFIRMED = {"type": "subscription_confirmed", "plan_id": "p", "epoch": "e", "offset": 3, "head": 5, "recovered": True}
GONE = {"type": "unsubscription_confirmed", "plan_id": "p", "request_id": "new"}


def error(code: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "plan_id": "p", "request_id": "old"}


def subscription_ended(code: int, reason: str) -> dict[str, Any]:
    return {"type": "subscription_ended", "plan_id": "p", "code": code, "reason": reason}


def in_state(state: PlanState) -> Session:
    """A session that stands so with plan p; while joining, request `old` waits."""
    s = session()
    if state is not PlanState.ABSENT:
        s.receive(frame("subscribe_plan", "p", request_id="old"), NOW)
    if state is PlanState.JOINED:
        placed(s, "p", POSITION, 5)
    assert s.plans == ({} if state is PlanState.ABSENT else {"p": state})
    return s


def happen(s: Session, trigger: Trigger) -> list[Effect]:
    match trigger:
        case Trigger.SUBSCRIBE | Trigger.UNSUBSCRIBE:
            return s.receive(frame(trigger.value, "p", request_id="new"), NOW)
        case Trigger.PLACED:
            return placed(s, "p", POSITION, 5)
        case Trigger.REFUSED:
            return refused(s, "p", "no")
        case Trigger.ENDED:
            return ended(s, "p", SubscriptionCode.PLAN_DELETED, "deleted")
        case Trigger.REVOKED:
            s.receive(frame("authenticate", token="t"), NOW)
            return s.authenticated(person({"other": ["read"]}), NOW)[1:]


REACTIONS: dict[Reaction, list[Any]] = {
    Reaction.NOTHING: [],
    Reaction.JOIN: [Join("p", None)],
    Reaction.WAIT: [],
    Reaction.ASK_POSITION: [Confirm("p")],
    Reaction.CONFIRM: [CONFIRMED | {"request_id": "old"}],
    Reaction.REPORT_POSITION: [CONFIRMED],
    Reaction.CONFIRM_UNSUBSCRIBED: [GONE],
    Reaction.LEAVE: [Leave("p"), GONE],
}
ENDINGS: dict[tuple[Trigger, Reaction], list[Any]] = {
    (Trigger.REFUSED, Reaction.ERRORS): [error("unavailable")],
    (Trigger.REFUSED, Reaction.END): [subscription_ended(2500, "no")],
    (Trigger.ENDED, Reaction.ERRORS): [error("plan_deleted")],
    (Trigger.ENDED, Reaction.END): [subscription_ended(2404, "deleted")],
    (Trigger.REVOKED, Reaction.LEAVE_ERRORS): [Leave("p"), error("forbidden")],
    (Trigger.REVOKED, Reaction.LEAVE_END): [
        Leave("p"),
        subscription_ended(2403, "the new token gives no right to read this plan"),
    ],
}


def test_the_table_of_plans_is_complete() -> None:
    assert set(PLANS) == set(product(PlanState, Trigger))
    assert {reaction for _, reaction in PLANS.values()} == set(Reaction)


@pytest.mark.parametrize(("state", "trigger"), PLANS)
def test_each_cell_of_the_table_of_plans(state: PlanState, trigger: Trigger) -> None:
    s = in_state(state)
    following, reaction = PLANS[state, trigger]
    assert shown(happen(s, trigger)) == (REACTIONS[reaction] if reaction in REACTIONS else ENDINGS[trigger, reaction])
    assert s.plans.get("p", PlanState.ABSENT) is following


def in_phase(phase: Phase, spare: int = 0) -> Session:
    """A session in this phase, with a token being checked unless it is closed; an open one joins a plan, too.

    Its client may send so many frames more."""
    busy = phase in (Phase.OPEN, Phase.CLOSING)
    limits = replace(LIMITS, frames_burst=1 + busy + (spare if phase is not Phase.CLOSING else 0))
    s = session(person(expires_at=NOW + 100), limits, known=phase is not Phase.UNAUTHENTICATED)
    if phase is Phase.EXPIRED:
        s.tick(NOW + 100)
    if phase is Phase.CLOSED:
        s.close(CloseCode.INTERNAL, "over")
    if busy:
        s.receive(frame("subscribe_plan", "joining"), NOW)
    s.receive(frame("authenticate", token="t"), NOW)
    if phase is Phase.CLOSING:
        assert s.receive(frame("ping"), NOW) == []
    assert s.phase is phase
    return s


def turn(s: Session, what: Transition) -> list[Effect]:
    match what:
        case Transition.AUTHENTICATED:
            return s.authenticated(person(), NOW)
        case Transition.TOKEN_REFUSED:
            return s.authentication_failed(ErrorCode.INVALID_TOKEN, "no")
        case Transition.TOKEN_EXPIRED:
            return s.tick(NOW + 100)
        case Transition.TIMED_OUT:
            return s.tick(NOW + 100 + EXPIRY_GRACE)
        case Transition.OVERRUN:
            return s.receive(frame("ping"), NOW)
        case Transition.ANSWERED:
            assert [each["type"] for each in shown(placed(s, "joining", POSITION, 5))] == ["subscription_confirmed"]
            return s.authentication_failed(ErrorCode.UNAVAILABLE, "later")
        case Transition.IDLE:
            s.authenticated(person(), NOW)  # of a token without end
            refused(s, "joining", "no")
            return s.tick(NOW + LIMITS.idle_seconds)


CLOSES = {
    (Phase.UNAUTHENTICATED, Transition.TOKEN_REFUSED): CloseCode.UNAUTHENTICATED,
    (Phase.UNAUTHENTICATED, Transition.TIMED_OUT): CloseCode.UNAUTHENTICATED,
    (Phase.EXPIRED, Transition.TIMED_OUT): CloseCode.TOKEN_EXPIRED,
    (Phase.OPEN, Transition.IDLE): CloseCode.IDLE,
    (Phase.UNAUTHENTICATED, Transition.OVERRUN): CloseCode.TOO_MANY_REQUESTS,
    (Phase.EXPIRED, Transition.OVERRUN): CloseCode.TOO_MANY_REQUESTS,
    (Phase.CLOSING, Transition.TIMED_OUT): CloseCode.TOO_MANY_REQUESTS,
    (Phase.CLOSING, Transition.ANSWERED): CloseCode.TOO_MANY_REQUESTS,
}


@pytest.mark.parametrize(("phase", "what"), PHASES)
def test_each_cell_of_the_table_of_phases(phase: Phase, what: Transition) -> None:
    s = in_phase(phase)
    effects = turn(s, what)
    assert s.phase is PHASES[phase, what]
    closes = [effect.code for effect in effects if isinstance(effect, Close)]
    assert closes == ([CLOSES[phase, what]] if s.phase is Phase.CLOSED else [])


def test_closed_is_final() -> None:
    s = in_phase(Phase.CLOSED)
    assert not any(phase is Phase.CLOSED for phase, _ in PHASES)
    for what in (Transition.AUTHENTICATED, Transition.TOKEN_REFUSED, Transition.TOKEN_EXPIRED, Transition.TIMED_OUT):
        assert turn(s, what) == []
    assert s.phase is Phase.CLOSED


ASKS = {
    "subscribe_plan": frame("subscribe_plan", "p"),
    "unsubscribe_plan": frame("unsubscribe_plan", "p"),
    "authenticate": frame("authenticate", token="t"),
    "plan_input": frame("plan_input", "p", request_id="r", answer=1),
    "plan_signal": frame("plan_signal", "p", signal="pause"),
    "ping": frame("ping"),
}


@pytest.mark.parametrize(("phase", "kind"), list(product(Phase, CLIENT_FRAMES)))
def test_which_frames_each_phase_allows(phase: Phase, kind: str) -> None:
    s = in_phase(phase, spare=1)
    s.authentication_failed(ErrorCode.UNAVAILABLE, "later")
    answer = shown(s.receive(ASKS[kind], NOW))
    codes = {"unauthenticated", "token_expired"} & {each.get("code") for each in answer if isinstance(each, dict)}
    assert (answer != [] and not codes) is (kind in ALLOWED[phase])
    if codes:
        assert codes == {"unauthenticated" if phase is Phase.UNAUTHENTICATED else "token_expired"}
