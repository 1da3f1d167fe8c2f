"""Every cell of the tables is walked through with a real session: C-STA-1, C-STA-2."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from broadcasters.position import Position
from hub.core.effects import Close, Confirm, Effect, Join, Leave
from hub.core.session import EXPIRY_GRACE, Session
from hub.core.session_states import ALLOWED, PHASES, PLANS, Deed, Happening, Phase, PlanState, Turn
from hub.wire.client_frames import CLIENT_FRAMES
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from tests.hub.core.session_kit import LIMITS, NOW, frame, person, session, shown

PLACE = Position("e", 3)
CONFIRMED = {"type": "subscription_confirmed", "plan_id": "p", "epoch": "e", "offset": 3, "head": 5, "recovered": True}
GONE = {"type": "unsubscription_confirmed", "plan_id": "p", "request_id": "new"}


def error(code: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "plan_id": "p", "request_id": "old"}


def ended(code: int, reason: str) -> dict[str, Any]:
    return {"type": "subscription_ended", "plan_id": "p", "code": code, "reason": reason}


def in_state(state: PlanState) -> Session:
    """A session that stands so with plan p; while joining, request `old` waits."""
    s = session()
    if state is not PlanState.ABSENT:
        s.receive(frame("subscribe_plan", "p", request_id="old"), NOW)
    if state is PlanState.JOINED:
        s.placed("p", PLACE, 5)
    assert s.plans == ({} if state is PlanState.ABSENT else {"p": state})
    return s


def happen(s: Session, happening: Happening) -> list[Effect]:
    match happening:
        case Happening.SUBSCRIBE | Happening.UNSUBSCRIBE:
            return s.receive(frame(happening.value, "p", request_id="new"), NOW)
        case Happening.PLACED:
            return s.placed("p", PLACE, 5)
        case Happening.REFUSED:
            return s.refused("p", "no")
        case Happening.ENDED:
            return s.ended("p", SubscriptionCode.PLAN_DELETED, "deleted")
        case Happening.REVOKED:
            s.receive(frame("authenticate", token="t"), NOW)
            return s.authenticated(person({"other": ["read"]}), NOW)[1:]


DEEDS: dict[Deed, list[Any]] = {
    Deed.NOTHING: [],
    Deed.JOIN: [Join("p", None)],
    Deed.WAIT: [],
    Deed.ASK_PLACE: [Confirm("p")],
    Deed.CONFIRM: [CONFIRMED | {"request_id": "old"}],
    Deed.TELL_PLACE: [CONFIRMED],
    Deed.FAREWELL: [GONE],
    Deed.LEAVE: [Leave("p"), GONE],
}
ENDINGS: dict[tuple[Happening, Deed], list[Any]] = {
    (Happening.REFUSED, Deed.ERRORS): [error("unavailable")],
    (Happening.REFUSED, Deed.END): [ended(2500, "no")],
    (Happening.ENDED, Deed.ERRORS): [error("plan_deleted")],
    (Happening.ENDED, Deed.END): [ended(2404, "deleted")],
    (Happening.REVOKED, Deed.LEAVE_ERRORS): [Leave("p"), error("forbidden")],
    (Happening.REVOKED, Deed.LEAVE_END): [Leave("p"), ended(2403, "the new token gives no right to read this plan")],
}


def test_the_table_of_plans_is_complete() -> None:
    assert set(PLANS) == set(product(PlanState, Happening))
    assert {deed for _, deed in PLANS.values()} == set(Deed)


@pytest.mark.parametrize(("state", "happening"), PLANS)
def test_each_cell_of_the_table_of_plans(state: PlanState, happening: Happening) -> None:
    s = in_state(state)
    following, deed = PLANS[state, happening]
    assert shown(happen(s, happening)) == (DEEDS[deed] if deed in DEEDS else ENDINGS[happening, deed])
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


def turn(s: Session, what: Turn) -> list[Effect]:
    match what:
        case Turn.AUTHENTICATED:
            return s.authenticated(person(), NOW)
        case Turn.TOKEN_REFUSED:
            return s.authentication_failed(ErrorCode.INVALID_TOKEN, "no")
        case Turn.TOKEN_EXPIRED:
            return s.tick(NOW + 100)
        case Turn.TOO_LATE:
            return s.tick(NOW + 100 + EXPIRY_GRACE)
        case Turn.OVERRUN:
            return s.receive(frame("ping"), NOW)
        case Turn.ANSWERED:
            assert [each["type"] for each in shown(s.placed("joining", PLACE, 5))] == ["subscription_confirmed"]
            return s.authentication_failed(ErrorCode.UNAVAILABLE, "later")
        case Turn.IDLE:
            s.authenticated(person(), NOW)  # of a token without end
            s.refused("joining", "no")
            return s.tick(NOW + LIMITS.idle_seconds)


CLOSES = {
    (Phase.UNAUTHENTICATED, Turn.TOKEN_REFUSED): CloseCode.UNAUTHENTICATED,
    (Phase.UNAUTHENTICATED, Turn.TOO_LATE): CloseCode.UNAUTHENTICATED,
    (Phase.EXPIRED, Turn.TOO_LATE): CloseCode.TOKEN_EXPIRED,
    (Phase.OPEN, Turn.IDLE): CloseCode.IDLE,
    (Phase.UNAUTHENTICATED, Turn.OVERRUN): CloseCode.TOO_MANY_REQUESTS,
    (Phase.EXPIRED, Turn.OVERRUN): CloseCode.TOO_MANY_REQUESTS,
    (Phase.CLOSING, Turn.TOO_LATE): CloseCode.TOO_MANY_REQUESTS,
    (Phase.CLOSING, Turn.ANSWERED): CloseCode.TOO_MANY_REQUESTS,
}


@pytest.mark.parametrize(("phase", "what"), PHASES)
def test_each_cell_of_the_table_of_phases(phase: Phase, what: Turn) -> None:
    s = in_phase(phase)
    effects = turn(s, what)
    assert s.phase is PHASES[phase, what]
    closes = [effect.code for effect in effects if isinstance(effect, Close)]
    assert closes == ([CLOSES[phase, what]] if s.phase is Phase.CLOSED else [])


def test_closed_is_the_end() -> None:
    s = in_phase(Phase.CLOSED)
    assert not any(phase is Phase.CLOSED for phase, _ in PHASES)
    for what in (Turn.AUTHENTICATED, Turn.TOKEN_REFUSED, Turn.TOKEN_EXPIRED, Turn.TOO_LATE):
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
def test_who_may_say_what(phase: Phase, kind: str) -> None:
    s = in_phase(phase, spare=1)
    s.authentication_failed(ErrorCode.UNAVAILABLE, "later")
    answer = shown(s.receive(ASKS[kind], NOW))
    refused = {"unauthenticated", "token_expired"} & {each.get("code") for each in answer if isinstance(each, dict)}
    assert (answer != [] and not refused) is (kind in ALLOWED[phase])
    if refused:
        assert refused == {"unauthenticated" if phase is Phase.UNAUTHENTICATED else "token_expired"}
