"""With each framework: a process that was killed and started again continues its plan, and publishes nothing twice."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest

from broadcasters import Broadcaster
from broadcasters.events import AgentMessage, StepUpdate, ToolCall, parse
from broadcasters.snapshot import Snapshot
from tests.plan_engine.adapters.crashing import ADVICE, FRAMEWORKS, LOOKS
from tests.plan_engine.adapters.person import Person

ROOT = Path(__file__).parents[3]
WHOLE = [LOOKS, "".join(ADVICE)]


def advises(plan: Snapshot) -> bool:
    return any(message.content == ADVICE[0] for message in plan.messages)


async def published(broadcaster: Broadcaster, plan_id: str) -> None:
    """Each text, tool call and step is in the log once, and in the plan."""
    plan = await Person(broadcaster, plan_id).sees()
    greeted = [] if all(message.content != "Hello!" for message in plan.messages) else ["Hello!"]
    texts = [message.content for message in plan.messages]
    assert (plan.status, texts) == ("completed", greeted + WHOLE)
    assert [(message.streaming, message.error) for message in plan.messages] == [(False, None)] * len(texts)
    assert [(call.phase, call.result) for call in plan.tool_calls] == [("completed", "12 in May")]
    assert all((step.status, step.attempt) == ("completed", 1) for step in plan.steps)

    async with broadcaster.reading() as log:
        events = [parse(payload) for payload in (await log.read(plan_id, 0)).payloads]
    assert "".join(event.content for event in events if isinstance(event, AgentMessage)) == "".join(texts)
    assert Counter(event.phase for event in events if isinstance(event, ToolCall)) == {"started": 1, "completed": 1}
    steps = Counter((event.step_id, event.status) for event in events if isinstance(event, StepUpdate))
    assert all(times == 1 for times in steps.values())


@pytest.mark.parametrize("name", FRAMEWORKS)
async def test_a_run_whose_process_is_gone_is_continued(
    name: str, log_url: str, broadcaster: Broadcaster, person: Person, tmp_path: Path
) -> None:
    dying = await Broadcaster(log_url).open()
    first = asyncio.create_task(FRAMEWORKS[name](person.plan_id, dying, tmp_path, True))
    await person.until(advises)
    await dying.close()  # as if it were killed: it sends nothing more
    first.cancel()
    await asyncio.wait([first])
    await FRAMEWORKS[name](person.plan_id, broadcaster, tmp_path, False)
    await published(broadcaster, person.plan_id)


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMEWORKS)
async def test_killed_in_the_midst_and_started_again(
    name: str, log_url: str, broadcaster: Broadcaster, person: Person, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.plan_engine.adapters.crashing", name, log_url, person.plan_id]
    agent = await asyncio.create_subprocess_exec(*command, str(tmp_path), "hangs", cwd=ROOT)
    try:
        await person.until(advises)
    finally:
        agent.kill()
        await agent.wait()
    again = await asyncio.create_subprocess_exec(*command, str(tmp_path), "goes-on", cwd=ROOT)
    assert await again.wait() == 0
    await published(broadcaster, person.plan_id)
