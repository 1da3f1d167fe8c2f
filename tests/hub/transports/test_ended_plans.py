"""Whether a plan has ended is answered truly, however long the log is away."""

from __future__ import annotations

import asyncio

from broadcasters.events import PlanStatus, PlanUpdate, build
from hub.core.counts import HubCounts
from hub.transports.ended_plans import Endings
from tests.hub.core.scripted_log import ScriptedLog, step
from tests.hub.core.virtual_time import in_virtual_time, turns


def status(word: PlanStatus) -> bytes:
    return build(PlanUpdate, {"plan_id": "p", "status": word}).payload("i")


@in_virtual_time
async def test_a_plan_that_has_ended_is_known_to_have_ended() -> None:
    log = ScriptedLog()
    log.say(step(1), status("completed"))
    assert await Endings(log, HubCounts()).over("p", 2)


@in_virtual_time
async def test_a_plan_that_goes_on_is_known_to_go_on() -> None:
    log = ScriptedLog()
    log.say(status("completed"), status("in_progress"))
    assert not await Endings(log, HubCounts()).over("p", 2)


@in_virtual_time
async def test_while_the_log_is_away_the_answer_is_waited_for() -> None:
    log, counts = ScriptedLog(), HubCounts()
    log.say(step(1), status("completed"))
    log.down = True
    asking = asyncio.create_task(Endings(log, counts).over("p", 2))
    await asyncio.sleep(60)
    assert not asking.done()
    assert 20 < counts.log_errors["LogUnavailable"] < 120  # with growing pauses
    log.down = False
    assert await asking


@in_virtual_time
async def test_many_who_ask_while_the_log_is_away_ask_it_once() -> None:
    log, counts = ScriptedLog(), HubCounts()
    log.say(status("completed"))
    log.down = True
    endings = Endings(log, counts)
    asking = [asyncio.create_task(endings.over("p", 1)) for _ in range(50)]
    await asyncio.sleep(60)
    assert counts.log_errors["LogUnavailable"] < 120
    asking.pop(0).cancel()  # whoever asked first leaves; the others go on
    log.down = False
    assert await asyncio.gather(*asking) == [True] * 49
    assert log.count("checkpoint", "p") < 130


@in_virtual_time
async def test_what_is_known_is_not_asked_again() -> None:
    log = ScriptedLog()
    log.say(status("completed"))
    endings = Endings(log, HubCounts())
    assert await endings.over("p", 1)
    before = len(log.asked)
    assert await endings.over("p", 1)
    await turns()
    assert len(log.asked) == before
