"""A process that asks a person is killed at ten moments and started again: asked once, answered once."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from broadcasters import Broadcaster
from broadcasters.checkpointing import snapshot_of
from broadcasters.events import InputRequest, InputResponse, parse
from broadcasters.log import log_of
from broadcasters.log.contract import PlanLog
from hub.answers.acceptance import Answers
from hub.core.connection import RequestRefused
from hub.core.effects import SubmitAnswer
from tests.faults.asking_agent import PLAN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def start(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.faults.asking_agent", url], cwd=ROOT)


async def until_asked(log: PlanLog) -> None:
    async with asyncio.timeout(60):
        while not (await snapshot_of(log, PLAN))[0].inputs:
            await asyncio.sleep(0.01)


async def answer(log: PlanLog) -> None:
    """Two people answer at the same moment."""
    async with Broadcaster(log=log) as b:
        answers = Answers(log, b)
        given = [answers.give(SubmitAnswer(PLAN, "send", "yes", None, by)) for by in ("maria", "jo")]
        outcomes = await asyncio.gather(*given, return_exceptions=True)
    assert sum(isinstance(outcome, RequestRefused) for outcome in outcomes) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_killed_at_ten_moments(tmp_path: Path, seed: int) -> None:
    url = f"sqlite:///{tmp_path / 'plans.db'}"
    dice = random.Random(seed)
    log = log_of(url)
    await log.open()
    answers_at = dice.randrange(10)
    for kill in range(10):
        agent = start(url)
        if kill == answers_at:
            await until_asked(log)
            await answer(log)
        await asyncio.sleep(dice.uniform(0, 0.8))  # a random moment, not a condition to wait for
        agent.kill()
        agent.wait()
    agent = start(url)
    assert await asyncio.to_thread(agent.wait, 60) == 0
    read = [parse(payload) for payload in (await log.read(PLAN, 0)).payloads]
    plan = (await snapshot_of(log, PLAN))[0]
    await log.close()
    assert sum(isinstance(event, InputRequest) for event in read) == 1
    assert sum(isinstance(event, InputResponse) for event in read) == 1
    assert [message.content for message in plan.messages] in (["yes by maria"], ["yes by jo"])
    assert plan.status == "completed"
