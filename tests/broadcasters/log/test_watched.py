"""`WatchedPlan`: which watchers are called when, for any log."""

from __future__ import annotations

import pytest

from broadcasters.errors import LogUnavailable
from broadcasters.log.watched import WatchedPlan
from tests.contract.clients import RecordingWatcher


def watched() -> tuple[WatchedPlan, list[WatchedPlan]]:
    deserted: list[WatchedPlan] = []
    return WatchedPlan("plan", deserted.append), deserted


async def test_watchers_wait_until_the_plan_stands_and_only_returning_ones_are_resumed() -> None:
    plan, _ = watched()
    first, second = RecordingWatcher(), RecordingWatcher()
    hold = plan.take(first)
    plan.arrived("e", 1, [b"missed"])
    assert not hold.stands.done()
    plan.stand()
    plan.stand()
    await hold.stands
    plan.fall()
    plan.fall()
    plan.take(second)
    plan.stand()
    plan.arrived("e", 2, [b"{}"])
    assert first.words == ["lost", "resumed"]
    assert second.words == []
    assert first.calls == second.calls == [("e", 2, [b"{}"])]


async def test_a_watcher_of_a_standing_plan_need_not_wait() -> None:
    plan, _ = watched()
    plan.stand()
    assert plan.take(RecordingWatcher()).stands.done()


async def test_those_who_wait_get_the_error_and_the_others_stay() -> None:
    plan, deserted = watched()
    staying, waiting = plan.take(RecordingWatcher()), RecordingWatcher()
    plan.stand()
    plan.fall()
    hold = plan.take(waiting)
    plan.fail(LogUnavailable("away"))
    with pytest.raises(LogUnavailable, match="away"):
        await hold.stands
    assert plan.holds == (staying,)
    assert deserted == []


async def test_the_last_one_to_leave_deserts_the_plan_once() -> None:
    plan, deserted = watched()
    one, other = plan.take(RecordingWatcher()), plan.take(RecordingWatcher())
    plan.stand()
    await one.close()
    assert deserted == []
    await other.close()
    await other.close()
    assert deserted == [plan]


async def test_after_the_end_no_watcher_is_called() -> None:
    plan, received = watched()[0], RecordingWatcher()
    plan.take(received)
    plan.stand()
    plan.end(LogUnavailable("closed"))
    plan.arrived("e", 1, [b"{}"])
    plan.deleted()
    assert received.calls == []
    assert received.words == []


async def test_a_watcher_that_raises_is_logged_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    class Clumsy(RecordingWatcher):
        def arrived(self, *_: object) -> None:
            raise RuntimeError("clumsy")

        def deleted(self) -> None:
            raise RuntimeError("clumsy")

    plan, received = watched()[0], RecordingWatcher()
    plan.take(Clumsy())
    plan.take(received)
    plan.stand()
    plan.arrived("e", 1, [b"{}"])
    plan.deleted()
    assert len(received.calls) == 1
    assert received.words == ["deleted"]
    assert caplog.text.count("a watcher of plan raised") == 2
