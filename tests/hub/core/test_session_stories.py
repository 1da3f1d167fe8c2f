"""Any frames, any results, in any order: the session never raises, answers each request once, and stays small."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broadcasters.position import Position
from hub.config.limits import SessionLimits
from hub.core.effects import CheckToken, Close, Confirm, Effect, Join, Leave, Send, SendSignal, SubmitAnswer
from hub.core.session_states import Phase, PlanState
from hub.wire.codes import CloseCode, ErrorCode, SubscriptionCode
from hub.wire.server_frames import SERVER_FRAMES
from tests.hub.core.session_kit import (
    NOW,
    ended,
    input_accepted,
    person,
    placed,
    refused,
    request_refused,
    session,
    signal_accepted,
)

LIMITS = SessionLimits(subscriptions=3, pending_requests=2, bad_frames=6, frames_burst=40, idle_seconds=600)
PLANS = ["a", "b", "c", "d"]
KINDS = [
    "subscribe_plan",
    "subscribe_plan",
    "subscribe_plan",
    "unsubscribe_plan",
    "authenticate",
    "plan_input",
    "plan_signal",
    "ping",
]
ANSWERS = {
    "subscription_confirmed", "unsubscription_confirmed", "authenticated", "input_accepted", "signal_accepted", "error",
}  # fmt: skip

plans = st.sampled_from(PLANS)
nths = st.integers(0, 5)
places = st.builds(Position, st.just("e"), st.integers(0, 9))
reasons = st.sampled_from([None, None, "trimmed", "forked", "ahead", "epoch"])
sinces = st.sampled_from([None, None, "now", "start", "snapshot", {"epoch": "e", "offset": 3}, "later"])
everything = {"*": ["read", "input", "signal"]}
rights = st.sampled_from([everything, everything, {"a": ["read"], "b": ["read", "input"]}, {}])
noise = st.sampled_from(["", "{", "[]", '{"type":"ping","x":NaN}', '{"type":"other"}', '"' * 20, "\ud800", "7" * 5000])


class Stories(RuleBasedStateMachine):
    """A session, and a carrier that may take its time with everything except what it must do at once."""

    @initialize(known=st.sampled_from([True, True, False]), first=rights, lasts=st.sampled_from([50, 5000]))
    def begin(self, known: bool, first: dict[str, list[str]], lasts: float) -> None:
        self.now = self.latest = NOW
        self.session = session(person(first, expires_at=NOW + lasts), LIMITS, known=known)
        self.requests = 0
        self.channels: set[str] = set()  # joined, or being joined, and not left
        self.confirmed: set[str] = set()
        self.checking = 0
        self.requested: list[SubmitAnswer | SendSignal] = []
        self.answered: set[str] = set()
        self.closed = False
        self.carry_out(self.session.begin("2026-01-31T12:00:00.000Z", 25))

    # -- what the client does ------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(KINDS), plan_id=plans, since=sinces, named=st.booleans())
    def ask(self, kind: str, plan_id: str, since: Any, named: bool) -> None:
        self.requests += 1
        fields = {"type": kind, "plan_id": plan_id, "since": since, "token": "t", "answer": 1, "signal": "pause"}
        if named or kind == "plan_input":
            fields["request_id"] = str(self.requests)
        self.carry_out(self.session.receive(json.dumps(fields), self.now))
        if self.session.phase is Phase.OPEN:
            assert self.session.principal is not None
            assert not self.session.principal.expired(self.now)

    @rule(text=noise)
    def send_noise(self, text: str) -> None:
        self.carry_out(self.session.receive(text, self.now))

    # -- what the channels do ------------------------------------------------------------------------------------------

    def one_of(self, nth: int) -> str:
        return sorted(self.channels)[nth % len(self.channels)]

    @precondition(lambda self: self.channels)
    @rule(nth=nths, place=places, reason=reasons)
    def place(self, nth: int, place: Position, reason: str | None) -> None:
        plan_id = self.one_of(nth)
        effects = placed(self.session, plan_id, place, 9, reason)
        assert effects
        self.confirmed.add(plan_id)
        self.carry_out(effects)

    @precondition(lambda self: self.channels)
    @rule(nth=nths, retry=st.none() | st.just(2000))
    def refuse(self, nth: int, retry: int | None) -> None:
        plan_id = self.one_of(nth)
        self.end_subscription(plan_id, refused(self.session, plan_id, "no", retry))

    @precondition(lambda self: self.channels)
    @rule(nth=nths, code=st.sampled_from(SubscriptionCode))
    def end(self, nth: int, code: SubscriptionCode) -> None:
        plan_id = self.one_of(nth)
        self.end_subscription(plan_id, ended(self.session, plan_id, code, "over"))

    def end_subscription(self, plan_id: str, effects: list[Effect]) -> None:
        kinds = [json.loads(effect.frame.encode())["type"] for effect in effects if isinstance(effect, Send)]
        assert kinds
        assert kinds.count("subscription_ended") == (plan_id in self.confirmed)
        self.channels.discard(plan_id)
        self.confirmed.discard(plan_id)
        self.carry_out(effects)

    @rule(plan_id=plans)
    def report_late(self, plan_id: str) -> None:
        if plan_id not in self.channels:
            assert placed(self.session, plan_id, Position("e", 1), 1) == []
            assert refused(self.session, plan_id, "no") == ended(self.session, plan_id, 2500, "no") == []

    # -- what the others do --------------------------------------------------------------------------------------------

    @rule(good=rights, lasts=st.sampled_from([-1, 5, 1000]), subject=st.sampled_from(["ann", "ann", "bob"]))
    def accept_token(self, good: dict[str, list[str]], lasts: float, subject: str) -> None:
        checking, self.checking = self.checking, 0
        effects = self.session.authenticated(person(good, subject, self.now + lasts), self.now)
        assert effects == [] or checking
        self.carry_out(effects)

    @rule(code=st.sampled_from([ErrorCode.INVALID_TOKEN, ErrorCode.TOKEN_EXPIRED, ErrorCode.UNAVAILABLE]))
    def refuse_token(self, code: ErrorCode) -> None:
        checking, self.checking = self.checking, 0
        effects = self.session.authentication_failed(code, "no")
        assert effects == [] or checking
        self.carry_out(effects)

    @precondition(lambda self: self.requested)
    @rule(taken=st.booleans(), at=st.integers(0, 1))
    def settle(self, taken: bool, at: int) -> None:
        request = self.requested[at % len(self.requested)]
        if not taken:
            effects = request_refused(self.session, request, ErrorCode.PLAN_ENDED, "it is over")
        elif isinstance(request, SubmitAnswer):
            effects = input_accepted(self.session, request, Position("e", 3))
        else:
            effects = signal_accepted(self.session, request)
        assert len([effect for effect in effects if isinstance(effect, Send)]) == (not self.closed)
        assert request_refused(self.session, request, ErrorCode.INTERNAL, "twice") == []
        self.requested.remove(request)
        self.carry_out(effects)

    @rule(seconds=st.sampled_from([0, 0.1, 1, 1, 2, 5, 5, 10, 700]), back=st.booleans())
    def wait(self, seconds: float, back: bool) -> None:
        due = self.session.due()
        self.now += -seconds if back else seconds
        self.latest = max(self.latest, self.now)  # a session's clock never goes back
        effects = self.session.tick(self.now)
        assert self.latest >= due or effects == []
        self.carry_out(effects)

    @precondition(lambda self: self.requests > 20)
    @rule()
    def drain(self) -> None:
        self.carry_out(self.session.going_away(100))
        assert self.closed

    # -- what must hold ------------------------------------------------------------------------------------------------

    def carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert not self.closed
            match effect:
                case Send(frame):
                    self.read(json.loads(frame.encode()))
                case Join(plan_id):
                    assert plan_id not in self.channels
                    assert self.session.principal is not None
                    assert self.session.principal.may("read", plan_id)
                    self.channels.add(plan_id)
                case Confirm(plan_id):
                    assert plan_id in self.confirmed
                    self.carry_out(placed(self.session, plan_id, Position("e", 5), 9))
                case Leave(plan_id):
                    self.channels.remove(plan_id)
                    self.confirmed.discard(plan_id)
                case CheckToken():
                    self.checking += 1
                    assert self.checking == 1
                case SubmitAnswer() | SendSignal():
                    self.requested.append(effect)
                    assert len(self.requested) <= LIMITS.pending_requests
                case Close(code, reason):
                    assert code in set(CloseCode)
                    assert reason
                    self.closed = True
                    self.channels.clear()
                    self.confirmed.clear()

    def read(self, frame: dict[str, Any]) -> None:
        SERVER_FRAMES[frame["type"]].model_validate(frame)
        if frame["type"] == "subscription_confirmed":
            assert frame["plan_id"] in self.confirmed
        if frame["type"] in {"unsubscription_confirmed", "subscription_ended"}:
            assert frame["plan_id"] not in self.channels
        if frame["type"] in ANSWERS and "request_id" in frame:
            assert frame["request_id"] not in self.answered
            self.answered.add(frame["request_id"])

    @invariant()
    def the_session_knows_what_its_carrier_knows(self) -> None:
        if not hasattr(self, "session"):
            return
        states = self.session.plans
        assert {plan_id for plan_id, state in states.items() if state is PlanState.JOINED} == self.confirmed
        assert set(states) == self.channels
        assert len(states) <= LIMITS.subscriptions
        assert (self.session.phase is Phase.CLOSED) is self.closed
        if states:
            assert self.session.principal is not None
            assert all(self.session.principal.may("read", plan_id) for plan_id in states)
        if self.session.phase is Phase.EXPIRED:
            assert states == {}

    def teardown(self) -> None:
        """Whatever still waits can be answered: nothing was forgotten."""
        if not hasattr(self, "session"):
            return
        while self.requested and not self.closed:
            self.settle(taken=True, at=0)
        for nth in range(len(self.channels)):
            self.place(nth, Position("e", 1), None)
        assert self.channels == self.confirmed


TestStories = Stories.TestCase
TestStories.settings = settings(max_examples=200, stateful_step_count=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
class TestLongStories(Stories.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=2000, stateful_step_count=100)
