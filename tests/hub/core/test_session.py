"""The session opens no socket, so neither do its tests. Clauses: C-CON, C-SUB, C-UNS, C-AUT, C-INP, C-SIG, C-LIM."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from broadcasters.position import Position
from hub.config.limits import SessionLimits
from hub.core.effects import CheckToken, Close, Confirm, Effect, Join, Leave, SendSignal, SubmitAnswer
from hub.core.session import CLOSING_SECONDS, EXPIRY_GRACE, Session
from hub.core.session_states import Phase, PlanState
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from tests.hub.core.session_kit import (
    LIMITS,
    NOW,
    ended,
    frame,
    frames,
    input_accepted,
    person,
    placed,
    refused,
    request_refused,
    session,
    shown,
    signal_accepted,
)

PLACE = Position("e", 3)


def confirmed(plan_id: str = "p", offset: int = 3, **more: Any) -> dict[str, Any]:
    confirmation = {"type": "subscription_confirmed", "plan_id": plan_id, "epoch": "e", "offset": offset}
    return confirmation | {"head": 5, "recovered": True} | more


def error(code: str, **more: Any) -> dict[str, Any]:
    return {"type": "error", "code": code} | more


def close_code(effects: list[Effect]) -> int | None:
    """The code of the close that ends these effects, if one does."""
    last = effects[-1] if effects else None
    return last.code if isinstance(last, Close) else None


# -- the connection ---------------------------------------------------------------------------------------------------


def test_connected_comes_first() -> None:
    """C-CON-1"""
    told = frames(session().begin("2026-01-31T12:00:00.000Z", 25))
    assert told == [
        {
            "type": "connected",
            "connection_id": "c-1",
            "protocol": 1,
            "heartbeat_s": 25,
            "server_time": "2026-01-31T12:00:00.000Z",
        }
    ]


def test_connected_has_the_expiry_of_the_token_of_the_handshake() -> None:
    """C-CON-1"""
    [told] = frames(session(person(expires_at=NOW + 60)).begin("t", 25))
    assert told["expires_at"] == "1970-01-12T13:47:40.000Z"


def test_a_binary_frame_ends_the_connection() -> None:
    """C-FRM-5"""
    assert session().receive(b'{"type":"ping"}', NOW) == [Close(1003, "frames are text, not binary")]


@pytest.mark.parametrize(("text", "fits"), [("x" * 70_000, False), ("ä" * 40_000, False), ("ä" * 32_000, True)])
def test_a_frame_has_a_size_limit_in_bytes(text: str, fits: bool) -> None:
    """C-LIM-1"""
    code = close_code(session().receive(text, NOW))
    assert code == (None if fits else CloseCode.TOO_LARGE)


def test_ping() -> None:
    """C-PNG-1"""
    s = session()
    assert shown(s.receive(frame("ping"), NOW)) == [{"type": "pong"}]
    assert shown(s.receive(frame("ping", nonce="n"), NOW)) == [{"type": "pong", "nonce": "n"}]
    assert shown(s.receive(frame("ping", nonce=0), NOW)) == [{"type": "pong", "nonce": 0}]


def test_going_away_says_when_to_reconnect_and_then_closes() -> None:
    """C-CLS-2"""
    s = session()
    said, close = shown(s.going_away(1234))
    assert said == {"type": "going_away", "reconnect_after_ms": 1234}
    assert isinstance(close, Close)
    assert close.code == 1012
    assert s.going_away(1) == s.receive(frame("ping"), NOW) == s.close(CloseCode.INTERNAL, "again") == []


def test_after_a_close_nothing_happens() -> None:
    """C-CLS-1"""
    s = session(person(expires_at=NOW + 1))
    s.receive(frame("subscribe_plan", "p"), NOW)
    [answer] = s.receive(frame("plan_input", "p", request_id="r", answer=1), NOW)
    assert isinstance(answer, SubmitAnswer)
    s.receive(frame("authenticate", token="t"), NOW)
    assert s.close(CloseCode.SLOW_CONSUMER, "slow") == [Close(4408, "slow")]
    assert placed(s, "p", PLACE, 5) == refused(s, "p", "no") == ended(s, "p", 2500, "no") == []
    assert input_accepted(s, answer) == s.authenticated(person(), NOW) == s.tick(NOW + 10_000) == []
    assert (s.due(), s.plans) == (math.inf, {})


def test_a_reason_is_cut_to_fit_into_a_close_frame() -> None:
    """C-CLS-1"""
    assert session().close(CloseCode.INTERNAL, "ä" * 500) == [Close(1011, "ä" * 61)]


# -- subscribing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("since", [None, "now", "start", "snapshot"])
def test_subscribing_joins_and_is_confirmed_once_placed(since: str | None) -> None:
    """C-SUB-1, C-SUB-2"""
    s = session()
    assert s.receive(frame("subscribe_plan", "p", since=since, request_id="r"), NOW) == [Join("p", since)]  # type: ignore[arg-type]
    assert s.plans == {"p": PlanState.JOINING}
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed(request_id="r")]
    assert s.plans == {"p": PlanState.JOINED}


def test_subscribing_from_a_position() -> None:
    """C-SUB-3"""
    asked = frame("subscribe_plan", "p", since={"epoch": "e", "offset": 3})
    assert session().receive(asked, NOW) == [Join("p", PLACE)]


@pytest.mark.parametrize("reason", ["trimmed", "forked", "ahead", "epoch"])
def test_a_loss_of_continuity_is_reported(reason: str) -> None:
    """C-SUB-5"""
    s = session()
    s.receive(frame("subscribe_plan", "p", since={"epoch": "old", "offset": 9}), NOW)
    assert shown(placed(s, "p", PLACE, 5, reason)) == [confirmed(recovered=False, reason=reason)]
    assert shown(placed(s, "p", Position("e", 9), 9, reason)) == [
        confirmed(offset=9, head=9, recovered=False, reason=reason)
    ]


def test_subscribing_twice_while_joining_joins_once_and_confirms_twice() -> None:
    """C-SUB-6"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    assert s.receive(frame("subscribe_plan", "p", request_id="two", since="start"), NOW) == []
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed(), confirmed(request_id="two")]


def test_subscribing_again_is_confirmed_with_the_current_position_and_changes_nothing() -> None:
    """C-SUB-6"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    placed(s, "p", PLACE, 5)
    assert s.receive(frame("subscribe_plan", "p", request_id="again", since="start"), NOW) == [Confirm("p")]
    assert shown(placed(s, "p", Position("e", 4), 5)) == [confirmed(offset=4, request_id="again")]
    assert s.plans == {"p": PlanState.JOINED}


def test_requests_waiting_for_one_join_are_limited() -> None:
    """C-SUB-6"""
    s = session()
    for _ in range(4):
        s.receive(frame("subscribe_plan", "p"), NOW)
    refusal = shown(s.receive(frame("subscribe_plan", "p", request_id="5"), NOW))
    assert refusal == [error("too_many_requests", plan_id="p", request_id="5")]
    assert len(placed(s, "p", PLACE, 5)) == 4


def test_plans_are_independent() -> None:
    """C-SUB-1"""
    s = session()
    for plan_id in "abc":
        assert s.receive(frame("subscribe_plan", plan_id), NOW) == [Join(plan_id, None)]
    assert shown(placed(s, "b", PLACE, 5)) == [confirmed("b")]
    assert shown(refused(s, "a", "no", 2000)) == [error("unavailable", plan_id="a", retry_after_ms=2000)]
    assert s.plans == {"b": PlanState.JOINED, "c": PlanState.JOINING}


def test_a_refused_subscription_may_be_requested_again() -> None:
    """C-SUB-8"""
    s = session()
    s.receive(frame("subscribe_plan", "p", request_id="1"), NOW)
    refusal = error("unavailable", plan_id="p", request_id="1", retry_after_ms=2000)
    assert shown(refused(s, "p", "no", 2000)) == [refusal]
    assert s.receive(frame("subscribe_plan", "p", request_id="2"), NOW) == [Join("p", None)]
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed(request_id="2")]


def test_more_plans_than_allowed() -> None:
    """C-LIM-2"""
    s = session()
    for n in range(LIMITS.subscriptions):
        s.receive(frame("subscribe_plan", f"p{n}"), NOW)
    refusal = error("too_many_subscriptions", plan_id="more", request_id="r")
    assert shown(s.receive(frame("subscribe_plan", "more", request_id="r"), NOW)) == [refusal]
    assert s.receive(frame("subscribe_plan", "p0"), NOW) == []
    s.receive(frame("unsubscribe_plan", "p0"), NOW)
    assert s.receive(frame("subscribe_plan", "more"), NOW) == [Join("more", None)]


def test_a_forbidden_plan_is_refused_whether_it_exists_or_not() -> None:
    """C-ACL-1"""
    s = session(person({"mine*": ["read"]}))
    refusal = error("forbidden", plan_id="yours", request_id="r")
    assert shown(s.receive(frame("subscribe_plan", "yours", request_id="r"), NOW)) == [refusal]
    assert s.receive(frame("subscribe_plan", "mine-1"), NOW) == [Join("mine-1", None)]
    assert s.plans == {"mine-1": PlanState.JOINING}


# -- unsubscribing ----------------------------------------------------------------------------------------------------


def gone(**more: Any) -> dict[str, Any]:
    return {"type": "unsubscription_confirmed", "plan_id": "p"} | more


def test_unsubscribing_leaves_first_and_is_confirmed() -> None:
    """C-UNS-1"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    placed(s, "p", PLACE, 5)
    assert shown(s.receive(frame("unsubscribe_plan", "p", request_id="r"), NOW)) == [Leave("p"), gone(request_id="r")]
    assert s.plans == {}


def test_unsubscribing_without_a_subscription_is_confirmed_too() -> None:
    """C-UNS-2"""
    assert shown(session(person({})).receive(frame("unsubscribe_plan", "p"), NOW)) == [gone()]


def test_unsubscribing_cancels_a_join() -> None:
    """C-UNS-3"""
    s = session()
    s.receive(frame("subscribe_plan", "p", request_id="never"), NOW)
    assert shown(s.receive(frame("unsubscribe_plan", "p"), NOW)) == [Leave("p"), gone()]
    assert placed(s, "p", PLACE, 5) == refused(s, "p", "no") == ended(s, "p", 2500, "no") == []


def test_a_plan_that_was_left_can_be_joined_again() -> None:
    """C-UNS-3"""
    s = session()
    for kind in ("subscribe_plan", "unsubscribe_plan"):
        s.receive(frame(kind, "p", request_id="old"), NOW)
    assert s.receive(frame("subscribe_plan", "p", since="start", request_id="new"), NOW) == [Join("p", "start")]
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed(request_id="new")]


# -- what ends a subscription -----------------------------------------------------------------------------------------


def test_a_subscription_that_ends_has_a_reason() -> None:
    """C-END-1"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    placed(s, "p", PLACE, 5)
    s.receive(frame("subscribe_plan", "p", request_id="waits"), NOW)
    assert shown(ended(s, "p", SubscriptionCode.PLAN_DELETED, "the plan was deleted")) == [
        error("plan_deleted", plan_id="p", request_id="waits"),
        {"type": "subscription_ended", "plan_id": "p", "code": 2404, "reason": "the plan was deleted"},
    ]
    assert s.receive(frame("subscribe_plan", "p"), NOW) == [Join("p", None)]


@pytest.mark.parametrize("code", [*SubscriptionCode, 2999])
def test_requests_are_answered_when_their_join_ends_for_any_reason(code: int) -> None:
    """C-SUB-8"""
    s = session()
    s.receive(frame("subscribe_plan", "p", request_id="r"), NOW)
    [answer] = shown(ended(s, "p", code, "because"))
    assert (answer["type"], answer["request_id"]) == ("error", "r")
    assert s.plans == {}


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_an_unauthenticated_client_may_only_authenticate_and_ping() -> None:
    """C-AUT-1"""
    s = session(known=False)
    refusal = error("unauthenticated", plan_id="p", request_id="r")
    assert shown(s.receive(frame("subscribe_plan", "p", request_id="r"), NOW)) == [refusal]
    assert shown(s.receive(frame("plan_input", "p", request_id="r", answer=1), NOW)) == [refusal]
    assert shown(s.receive(frame("ping"), NOW)) == [{"type": "pong"}]
    assert s.receive(frame("authenticate", token="t"), NOW) == [CheckToken("t")]


def test_a_good_token_opens_the_session() -> None:
    """C-AUT-2"""
    s = session(known=False)
    s.receive(frame("authenticate", token="t", request_id="r"), NOW)
    told = {"type": "authenticated", "expires_at": "1970-01-12T13:47:40.000Z", "request_id": "r"}
    assert shown(s.authenticated(person(expires_at=NOW + 60), NOW)) == [told]
    assert s.receive(frame("subscribe_plan", "p"), NOW) == [Join("p", None)]


@pytest.mark.parametrize(
    ("code", "close"),
    [(ErrorCode.INVALID_TOKEN, CloseCode.UNAUTHENTICATED), (ErrorCode.TOKEN_EXPIRED, CloseCode.TOKEN_EXPIRED)],
)
def test_a_bad_first_token_ends_the_connection(code: ErrorCode, close: CloseCode) -> None:
    """C-AUT-3"""
    s = session(known=False)
    s.receive(frame("authenticate", token="t", request_id="r"), NOW)
    effects = s.authentication_failed(code, "no")
    assert shown(effects[:1]) == [error(code, request_id="r")]
    assert close_code(effects) == close


def test_a_token_that_expired_while_it_was_checked() -> None:
    """C-AUT-3"""
    s = session(known=False)
    s.receive(frame("authenticate", token="t"), NOW)
    assert close_code(s.authenticated(person(expires_at=NOW), NOW)) == CloseCode.TOKEN_EXPIRED


def test_a_token_that_could_not_be_checked_may_be_sent_again() -> None:
    """C-AUT-4"""
    s = session(known=False)
    s.receive(frame("authenticate", token="t"), NOW)
    assert shown(s.authentication_failed(ErrorCode.UNAVAILABLE, "later")) == [error("unavailable")]
    assert s.receive(frame("authenticate", token="t"), NOW) == [CheckToken("t")]


def test_one_token_at_a_time() -> None:
    """C-AUT-4"""
    s = session(known=False)
    s.receive(frame("authenticate", token="t"), NOW)
    refusal = error("too_many_requests", request_id="2")
    assert shown(s.receive(frame("authenticate", token="t2", request_id="2"), NOW)) == [refusal]
    assert shown(s.authenticated(person(), NOW)) == [{"type": "authenticated"}]
    assert s.authenticated(person(), NOW) == s.authentication_failed(ErrorCode.INVALID_TOKEN, "no") == []


def test_a_bad_token_does_not_harm_a_session_that_has_a_good_one() -> None:
    """C-AUT-5"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    s.receive(frame("authenticate", token="t"), NOW)
    assert shown(s.authentication_failed(ErrorCode.INVALID_TOKEN, "no")) == [error("invalid_token")]
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed()]


def test_another_subject_can_not_take_over_a_session() -> None:
    """C-AUT-6"""
    s = session(person(subject="ann"))
    s.receive(frame("authenticate", token="t"), NOW)
    assert shown(s.authenticated(person(subject="bob"), NOW)) == [error("forbidden")]
    assert s.principal == person(subject="ann")


def test_no_token_in_time() -> None:
    """C-AUT-7"""
    s = session(known=False)
    assert s.due() == NOW + LIMITS.unauthenticated_seconds
    s.receive(frame("ping"), NOW + 4)  # doesn't buy time
    assert s.tick(s.due() - 0.1) == []
    assert close_code(s.tick(s.due())) == CloseCode.UNAUTHENTICATED


def test_rights_are_checked_again_with_a_new_token() -> None:
    """C-ACL-2"""
    s = session()
    for plan_id in ("kept", "lost", "joining"):
        s.receive(frame("subscribe_plan", plan_id, request_id=plan_id), NOW)
    for plan_id in ("kept", "lost"):
        placed(s, plan_id, PLACE, 5)
    s.receive(frame("authenticate", token="t"), NOW)
    reason = "the new token gives no right to read this plan"
    assert shown(s.authenticated(person({"kept": ["read"]}), NOW)) == [
        {"type": "authenticated"},
        Leave("lost"),
        {"type": "subscription_ended", "plan_id": "lost", "code": 2403, "reason": reason},
        Leave("joining"),
        error("forbidden", plan_id="joining", request_id="joining"),
    ]
    assert s.plans == {"kept": PlanState.JOINED}


def test_when_the_token_expires_so_do_its_subscriptions() -> None:
    """C-AUT-8"""
    s = session(person(expires_at=NOW + 60))
    s.receive(frame("subscribe_plan", "p"), NOW)
    placed(s, "p", PLACE, 5)
    s.receive(frame("subscribe_plan", "joining", request_id="r"), NOW)
    assert s.due() == NOW + 60
    assert s.tick(NOW + 59.9) == []
    assert shown(s.tick(NOW + 60)) == [
        error("token_expired"),
        Leave("p"),
        {"type": "subscription_ended", "plan_id": "p", "code": 2501, "reason": "the token expired"},
        Leave("joining"),
        error("token_expired", plan_id="joining", request_id="r"),
    ]
    assert shown(s.receive(frame("subscribe_plan", "p"), NOW + 61)) == [error("token_expired", plan_id="p")]


def test_an_expired_session_continues_with_a_new_token() -> None:
    """C-AUT-8"""
    s = session(person(expires_at=NOW + 60))
    s.tick(NOW + 60)
    s.receive(frame("authenticate", token="t"), NOW + 61)
    s.authenticated(person(expires_at=NOW + 600), NOW + 61)
    assert s.phase is Phase.OPEN
    assert s.receive(frame("subscribe_plan", "p"), NOW + 62) == [Join("p", None)]
    assert s.tick(NOW + 60 + EXPIRY_GRACE) == []


def test_an_expired_session_is_closed_after_a_while() -> None:
    """C-AUT-8"""
    s = session(person(expires_at=NOW + 60))
    s.tick(NOW + 60)
    s.receive(frame("authenticate", token="t"), NOW + 80)
    s.authentication_failed(ErrorCode.INVALID_TOKEN, "not ours")
    assert s.due() == NOW + 60 + EXPIRY_GRACE, "a bad token buys no time"
    assert close_code(s.tick(s.due())) == CloseCode.TOKEN_EXPIRED


def test_expiry_is_noticed_by_a_frame_before_the_clock() -> None:
    """C-AUT-8"""
    s = session(person(expires_at=NOW + 60))
    told = shown(s.receive(frame("subscribe_plan", "p"), NOW + 60))
    assert told == [error("token_expired"), error("token_expired", plan_id="p")]


# -- answers and signals ----------------------------------------------------------------------------------------------


def test_an_answer_is_submitted_with_its_author() -> None:
    """C-INP-1"""
    s = session()
    [answer] = s.receive(frame("plan_input", "p", request_id="r", answer={"ok": True}, idempotency_key="k"), NOW)
    assert isinstance(answer, SubmitAnswer)
    got = (answer.plan_id, answer.request_id, answer.answer, answer.idempotency_key, answer.by)
    assert got == ("p", "r", {"ok": True}, "k", "ann")
    told = {"type": "input_accepted", "plan_id": "p", "request_id": "r", "epoch": "e", "offset": 3}
    assert shown(input_accepted(s, answer, PLACE)) == [told]
    assert input_accepted(s, answer, PLACE) == request_refused(s, answer, ErrorCode.INTERNAL, "no") == []


def test_who_answered_first_is_named() -> None:
    """C-INP-3"""
    s = session()
    [answer] = s.receive(frame("plan_input", "p", request_id="r", answer=1), NOW)
    assert isinstance(answer, SubmitAnswer)
    refusal = request_refused(
        s, answer, ErrorCode.ALREADY_ANSWERED, "bob was first", by="bob", at="2026-01-31T12:00:00.000Z"
    )
    told = error("already_answered", plan_id="p", request_id="r", by="bob", at="2026-01-31T12:00:00.000Z")
    assert shown(refusal) == [told]


def test_a_signal_is_sent_on() -> None:
    """C-SIG-1"""
    s = session()
    [signal] = s.receive(frame("plan_signal", "p", signal="cancel", request_id="r"), NOW)
    assert isinstance(signal, SendSignal)
    assert (signal.plan_id, signal.signal, signal.request_id, signal.by) == ("p", "cancel", "r", "ann")
    told = {"type": "signal_accepted", "plan_id": "p", "signal": "cancel", "request_id": "r"}
    assert shown(signal_accepted(s, signal)) == [told]
    assert signal_accepted(s, signal) == []


def test_a_repeated_request_is_answered_twice() -> None:
    """C-INP-1"""
    s = session()
    asked = [s.receive(frame("plan_input", "p", request_id="r", answer=1), NOW)[0] for _ in range(2)]
    for answer in asked:
        assert isinstance(answer, SubmitAnswer)
        assert len(input_accepted(s, answer)) == 1


def test_pending_requests_are_limited() -> None:
    """C-LIM-3"""
    s = session()
    [first] = s.receive(frame("plan_input", "p", request_id="1", answer=1), NOW)
    s.receive(frame("plan_signal", "p", signal="pause"), NOW)
    refusal = error("too_many_requests", plan_id="p", request_id="3")
    assert shown(s.receive(frame("plan_input", "p", request_id="3", answer=1), NOW)) == [refusal]
    assert isinstance(first, SubmitAnswer)
    request_refused(s, first, ErrorCode.UNAVAILABLE, "later", 500)
    assert isinstance(s.receive(frame("plan_input", "p", request_id="3", answer=1), NOW)[0], SubmitAnswer)


@pytest.mark.parametrize(("verb", "kind"), [("input", "plan_input"), ("signal", "plan_signal")])
def test_answering_and_signalling_need_rights_of_their_own(verb: str, kind: str) -> None:
    """C-ACL-1"""
    asked = frame(kind, "p", request_id="r", answer=1, signal="pause")
    refusal = [error("forbidden", plan_id="p", request_id="r")]
    assert shown(session(person({"p": ["read", "publish", "start"]})).receive(asked, NOW)) == refusal
    assert len(session(person({"p": [verb]})).receive(asked, NOW)) == 1


# -- limits -----------------------------------------------------------------------------------------------------------


def test_too_many_frames_a_second() -> None:
    """C-LIM-4"""
    s = session(limits=SessionLimits(frames_per_second=2, frames_burst=3))
    for _ in range(3):
        assert shown(s.receive(frame("ping"), NOW)) == [{"type": "pong"}]
    assert shown(s.receive(frame("ping"), NOW + 0.5)) == [{"type": "pong"}]
    assert close_code(s.receive(frame("ping"), NOW + 0.5)) == CloseCode.TOO_MANY_REQUESTS


def test_a_client_that_exceeds_a_limit_is_answered_first_and_then_closed() -> None:
    """C-LIM-4: plans that are being joined, requests and a token; what else it says is not looked at."""
    s = session(limits=SessionLimits(frames_per_second=1, frames_burst=4))
    s.receive(frame("subscribe_plan", "p", request_id="1"), NOW)
    [signal] = s.receive(frame("plan_signal", "p", signal="pause", request_id="2"), NOW)
    s.receive(frame("authenticate", token="t", request_id="3"), NOW)
    s.receive(frame("subscribe_plan", "q", request_id="4"), NOW)
    assert s.receive(frame("ping"), NOW) == s.receive(frame("ping"), NOW + 5) == []
    assert (s.phase, s.due()) == (Phase.CLOSING, NOW + CLOSING_SECONDS)
    assert isinstance(signal, SendSignal)
    assert shown(placed(s, "p", PLACE, 5)) == [confirmed(request_id="1")]
    assert shown(signal_accepted(s, signal))[0]["request_id"] == "2"
    assert shown(s.authenticated(person(), NOW))[0]["request_id"] == "3"
    *answers, close = shown(placed(s, "q", PLACE, 5))
    assert answers == [confirmed("q", request_id="4")]
    assert close == Close(4429, "too many frames a second")


def test_a_client_that_exceeds_a_limit_is_closed_after_a_while_whatever_is_pending() -> None:
    """C-LIM-4"""
    s = session(limits=SessionLimits(frames_per_second=1, frames_burst=1))
    s.receive(frame("subscribe_plan", "p"), NOW)
    assert s.receive(frame("ping"), NOW) == []
    assert s.tick(s.due() - 0.1) == []
    assert s.tick(s.due()) == [Close(4429, "too many frames a second")]


def test_too_many_bytes_a_second() -> None:
    """C-LIM-4"""
    s = session(limits=SessionLimits(bytes_per_second=10, bytes_burst=30))
    assert close_code(s.receive(frame("ping"), NOW)) is None
    assert close_code(s.receive(frame("ping"), NOW)) == CloseCode.TOO_MANY_REQUESTS


def test_an_unauthenticated_client_may_send_a_token_and_little_more() -> None:
    """C-LIM-5"""
    s = session(known=False, limits=SessionLimits(unauthenticated_bytes=100))
    s.receive(frame("authenticate", token="t"), NOW)
    assert close_code(s.receive(frame("ping", nonce="n" * 80), NOW + 1)) == CloseCode.TOO_MANY_REQUESTS
    s = session(known=False, limits=SessionLimits(unauthenticated_bytes=100))
    s.receive(frame("authenticate", token="t"), NOW)
    s.authenticated(person(), NOW)
    assert close_code(s.receive(frame("ping", nonce="n" * 80), NOW + 1)) is None


def test_a_clock_that_goes_back_does_not_set_the_session_back() -> None:
    s = session(person(expires_at=NOW + 60), limits=SessionLimits(frames_per_second=1, frames_burst=1))
    assert close_code(s.receive(frame("ping"), NOW + 60)) is None
    assert close_code(s.receive(frame("ping"), NOW - 1000)) == CloseCode.TOO_MANY_REQUESTS


def test_invalid_frames_are_answered_and_too_many_in_a_row_close_the_session() -> None:
    """C-BAD-6"""
    s = session()
    for bad in ("{", '{"type":7}'):
        assert shown(s.receive(bad, NOW))[0]["type"] == "error"
    s.receive(frame("ping"), NOW)
    for bad in ("[]", frame("subscribe_plan", "a b")):
        assert close_code(s.receive(bad, NOW)) is None
    effects = s.receive("{", NOW)
    assert [told["code"] for told in frames(effects)] == ["bad_frame"]
    assert close_code(effects) == CloseCode.PROTOCOL_ERROR


def test_unknown_types_are_answered_and_never_close_the_session() -> None:
    """C-FRM-3"""
    s = session()
    for _ in range(20):
        told = shown(s.receive(frame("watch_all", "p", request_id="r"), NOW))
        assert told == [error("unknown_type", plan_id="p", request_id="r")]


def test_an_idle_connection_is_closed() -> None:
    """C-LIM-6"""
    s = session()
    s.receive(frame("ping"), NOW + 10)
    assert s.due() == NOW + 10 + LIMITS.idle_seconds
    assert s.tick(s.due() - 1) == []
    assert close_code(s.tick(s.due())) == CloseCode.IDLE


def test_a_subscription_or_a_pending_request_keeps_a_connection_open() -> None:
    """C-LIM-6"""
    s = session()
    s.receive(frame("subscribe_plan", "p"), NOW)
    assert s.due() == math.inf
    s.receive(frame("unsubscribe_plan", "p"), NOW)
    assert s.due() == NOW + LIMITS.idle_seconds
    s.receive(frame("plan_signal", "p", signal="pause"), NOW)
    assert s.tick(NOW + 10_000) == []


# -- requests without frames ------------------------------------------------------------------------------------------


REQUESTS: dict[str, tuple[Callable[[Session], list[Effect]], str]] = {
    "subscribe": (
        lambda s: s.subscribe("p", Position("e", 3), "r"),
        frame("subscribe_plan", "p", since={"epoch": "e", "offset": 3}, request_id="r"),
    ),
    "unsubscribe": (lambda s: s.unsubscribe("p", "r"), frame("unsubscribe_plan", "p", request_id="r")),
    "answer": (
        lambda s: s.answer("p", "r", {"ok": True}, "k"),
        frame("plan_input", "p", request_id="r", answer={"ok": True}, idempotency_key="k"),
    ),
    "signal": (lambda s: s.signal("p", "pause", "r"), frame("plan_signal", "p", signal="pause", request_id="r")),
}


def plain(effects: list[Effect]) -> list[Any]:
    """The effects as data, also those that are equal only to themselves."""
    return [asdict(one) if isinstance(one, SubmitAnswer | SendSignal) else one for one in shown(effects)]


def expired() -> Session:
    s = session(person(expires_at=NOW + 1))
    s.tick(NOW + 1)
    return s


def full() -> Session:
    s = session()
    for n in range(LIMITS.subscriptions):
        s.receive(frame("subscribe_plan", f"p{n}"), NOW)
    for n in range(LIMITS.pending_requests):
        s.receive(frame("plan_signal", "p", signal="pause", request_id=str(n)), NOW)
    return s


def closed() -> Session:
    s = session()
    s.close(CloseCode.INTERNAL, "over")
    return s


@pytest.mark.parametrize("request_of", REQUESTS)
@pytest.mark.parametrize(
    "make",
    [session, lambda: session(known=False), lambda: session(person({})), expired, full, closed],
    ids=["allowed", "unauthenticated", "no rights", "expired", "full", "closed"],
)
def test_a_request_without_a_frame_has_the_effects_of_its_frame(request_of: str, make: Callable[[], Session]) -> None:
    """C-ACL-1, C-AUT-1, C-AUT-8, C-LIM-2, C-LIM-3: phases, rights and limits are the same."""
    call, text = REQUESTS[request_of]
    one, two = make(), make()
    effects = plain(call(one))
    assert effects == plain(two.receive(text, NOW))
    assert one.plans == two.plans


@pytest.mark.parametrize("plan_id", ["", "a b", "x" * 129])
def test_a_request_without_a_frame_needs_a_valid_plan_id(plan_id: str) -> None:
    s = session()
    refusal = [error("invalid_plan_id", plan_id=plan_id, request_id="r")]
    assert shown(s.subscribe(plan_id, "start", "r")) == refusal
    assert shown(s.unsubscribe(plan_id, "r")) == refusal
    assert shown(s.answer(plan_id, "r", 1, None)) == refusal
    assert shown(s.signal(plan_id, "cancel", "r")) == refusal
    assert s.plans == {}


@pytest.mark.parametrize("offset", [-1, 2**53])
def test_a_request_without_a_frame_needs_a_valid_offset(offset: int) -> None:
    refusal = [error("invalid_field", plan_id="p", request_id="r")]
    assert shown(session().subscribe("p", Position("e", offset), "r")) == refusal
