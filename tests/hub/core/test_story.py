"""Whatever happens, in any order: every subscriber gets all events, in order and without duplicates, or is notified that
it does not.

A state machine makes every possible fault happen (see world.py): arrivals late, twice, out of order or never; lost
watches; a log that is slow, silent or down, that restarts, forks, vanishes, is trimmed; deleted plans; clients that join
at every kind of position, fill up, drain, leave meanwhile, reconnect. Each client checks what it gets as it gets it
(witness.py); `settle` lets everything arrive or be given up, and then every client must be at the head.

The everyday run is deterministic; `make faults` runs 1,000 random sequences, PLANCAST_STORIES sets another number.
"""

from __future__ import annotations

import logging
import os
import time
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from hub.core.subscriber import Since
from tests.hub.core.world import World

STORIES = int(os.environ.get("PLANCAST_STORIES", "1000"))
STEPS_A_STORY = 100
EVERYDAY = settings(
    max_examples=130,
    stateful_step_count=STEPS_A_STORY,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)

plans = st.sampled_from((0, 0, 0, 1))
anyone = st.integers(0, 5)
rooms = st.sampled_from((0, 0, 0, 1, 2, 5))
moods = st.sampled_from(
    ("",) * 6 + ("leaves at an event", "leaves when placed", "drains at once", "comes back", "comes back", "full")
)
sinces: st.SearchStrategy[Since | None] = st.sampled_from((None, "now", "start", "snapshot"))
ways = st.sampled_from(("all", "all", "all", "next", "any", "twice", "drop"))
seconds = st.sampled_from((0.1, 0.3, 1.0, 4.0, 6.0))


class Story(RuleBasedStateMachine):
    """The world, driven by hypothesis."""

    steps: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        Story.steps -= 1  # the invariant is checked before the first step as well

    @invariant()
    def everything_holds(self) -> None:
        self.world.check()
        Story.steps += 1

    def teardown(self) -> None:
        self.world.settle(dropped=False)
        self.world.close()

    # -- appends and arrivals

    @rule(plan=plans, kind=st.integers(0, 5), count=st.sampled_from((1, 1, 1, 2, 3, 6, 20)))
    def say(self, plan: int, kind: int, count: int) -> None:
        self.world.say(plan, kind, count)

    @rule(plan=plans, kind=st.integers(0, 5), count=st.integers(1, 4), which=anyone, how=ways)
    def say_and_hear(self, plan: int, kind: int, count: int, which: int, how: str) -> None:
        self.world.say(plan, kind, count)
        self.world.hear(which, 0, how)

    @rule(which=anyone, at=st.integers(0, 4), how=ways)
    def hear(self, which: int, at: int, how: str) -> None:
        self.world.hear(which, at, how)

    @rule(which=anyone, plan=plans, kind=st.integers(0, 5), count=st.sampled_from((5, 7, 9, 14)))
    def leave_behind(self, which: int, plan: int, kind: int, count: int) -> None:
        """A client is full while many events are appended."""
        self.world.fill(which)
        self.world.say(plan, kind, count)
        for watch in range(2):
            self.world.hear(watch, 0, "all")

    @rule(which=anyone, resumes=st.booleans())
    def tail(self, which: int, resumes: bool) -> None:
        (self.world.resume_tail if resumes else self.world.lose_tail)(which)

    # -- clients

    @rule(plan=plans, since=sinces, room=rooms, mood=moods)
    def join(self, plan: int, since: Since | None, room: int, mood: str) -> None:
        self.world.join(plan, since, room, mood)

    @rule(plan=plans, epoch=st.integers(0, 4), offset=st.integers(0, 40), room=rooms, mood=moods)
    def join_at(self, plan: int, epoch: int, offset: int, room: int, mood: str) -> None:
        self.world.join_at(plan, epoch, offset, room, mood)

    @rule(which=anyone, room=rooms)
    def rejoin(self, which: int, room: int) -> None:
        self.world.rejoin(which, room)

    @rule(which=anyone)
    def leave(self, which: int) -> None:
        self.world.leave(which)

    @rule(which=anyone)
    def fill(self, which: int) -> None:
        self.world.fill(which)

    @rule(which=anyone, room=rooms)
    def drain(self, which: int, room: int) -> None:
        self.world.drain(which, room)

    # -- the log

    @rule(kind=st.sampled_from(("fine", "fine", "down", "hanging")), slowness=st.integers(0, 4))
    def weather(self, kind: str, slowness: int) -> None:
        self.world.weather(kind, slowness)

    @rule(count=st.integers(1, 3), broken=st.booleans())
    def release(self, count: int, broken: bool) -> None:
        self.world.release(count, broken)

    @rule(plan=plans, window=st.integers(0, 7))
    def trim(self, plan: int, window: int) -> None:
        self.world.trim(plan, window)

    @rule(plan=plans, lost=st.integers(0, 6))
    def fork(self, plan: int, lost: int) -> None:
        self.world.fork(plan, lost)

    @rule(plan=plans, what=st.sampled_from(("restart", "delete", "vanish")))
    def upset(self, plan: int, what: str) -> None:
        match what:
            case "restart":
                self.world.restart(plan)
            case "delete":
                self.world.delete(plan)
            case _:
                self.world.vanish(plan)

    # -- time

    @rule(count=st.integers(0, 7))
    def turn(self, count: int) -> None:
        self.world.turn(count)

    @rule(count=st.integers(1, 3))
    def turn_a_little(self, count: int) -> None:
        self.world.turn(count)

    @rule(seconds=seconds)
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(dropped=st.booleans())
    def settle(self, dropped: bool) -> None:
        self.world.settle(dropped)


def run(how: settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "hub.core")
    began = time.process_time()
    run_state_machine_as_test(Story, settings=how)
    print(f"{Story.steps:,} steps in {time.process_time() - began:.1f} s of CPU")


def test_every_client_gets_all_events_or_is_notified_of_a_break(caplog: pytest.LogCaptureFixture) -> None:
    run(EVERYDAY, caplog)
    assert Story.steps >= 10_000


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_stories(caplog: pytest.LogCaptureFixture) -> None:
    run(settings(EVERYDAY, max_examples=STORIES, derandomize=False), caplog)
