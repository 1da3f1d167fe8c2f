"""A first plan: two simulated agents prepare a shop's autumn campaign.

    python examples/first_plan.py [--speed 2] [--log URL] [--plan-id ID]

This program publishes the plan and starts `plancast tail` to watch it. The tail needs only the plan's id and its log, like
any other viewer; the command it prints shows the same plan from its beginning in another terminal.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from broadcasters import Broadcaster
from broadcasters.log import default_url

ANALYST = "Data Analyst"
ADVISOR = "Business Advisor"
OFFER = {"segment": "came back twice", "customers": 1204, "discount": "10 %"}


class AutumnCampaign:
    """The plan and its two agents."""

    def __init__(self, broadcaster: Broadcaster, plan_id: str, speed: float) -> None:
        self.b = broadcaster
        self.plan_id = plan_id
        self.speed = speed

    async def run(self) -> None:
        b, plan_id = self.b, self.plan_id
        await b.send_plan_update(plan_id, title="Autumn campaign for the shop", owner="maria", labels=["example"])
        for step_id, title, needs in (
            ("figures", "Collect the sales figures", []),
            ("trends", "Find what changed", ["figures"]),
            ("offer", "Draft the offer", ["figures"]),
            ("approval", "Ask Maria", ["trends", "offer"]),
        ):
            await b.send_step_update(plan_id, step_id, "pending", title=title, needs=needs)
        await self.figures()
        await asyncio.gather(self.trends(), self.offer())
        await self.approval()
        await b.send_artifact(plan_id, "offer-1", "autumn-offer.json", "application/json", data=OFFER)
        await b.send_plan_update(plan_id, status="completed", content="The offer goes out on Monday.")

    async def figures(self) -> None:
        b, plan_id = self.b, self.plan_id
        await b.send_step_update(plan_id, "figures", "in_progress", attempt=1, max_attempts=3)
        await b.send_agent_message(plan_id, ANALYST, "I need last autumn beside this summer.", "thinking")
        query = {"from": "2025-09", "to": "2026-08"}
        await b.send_tool_call(plan_id, ANALYST, "call-1", "sales_by_month", arguments=query, step_id="figures")
        await self.pause(1.2)
        await b.send_tool_call(plan_id, ANALYST, "call-1", "sales_by_month", "error", result="the database is busy")
        await b.send_step_update(plan_id, "figures", "retrying", attempt=2, max_attempts=3)
        await self.pause(0.8)
        await b.send_tool_call(plan_id, ANALYST, "call-2", "sales_by_month", arguments=query, step_id="figures")
        for progress in (30, 60, 90):
            await self.pause(0.5)
            await b.send_step_update(plan_id, "figures", "in_progress", progress=progress)
        await b.send_tool_call(
            plan_id, ANALYST, "call-2", "sales_by_month", "completed", result="12 months, 8,310 orders"
        )
        await b.send_step_update(plan_id, "figures", "completed")
        await b.send_plan_update(plan_id, progress=25)

    async def trends(self) -> None:
        await self.b.send_step_update(self.plan_id, "trends", "in_progress", agent_name=ANALYST)
        await self.stream(
            ANALYST,
            "Summer sales are 9 % below last autumn's, but the loss is all in one place: people who bought once. "
            "Those who came back twice or more spend 14 % more than a year ago.",
        )
        await self.b.send_step_update(self.plan_id, "trends", "completed")

    async def offer(self) -> None:
        await self.b.send_step_update(self.plan_id, "offer", "in_progress", agent_name=ADVISOR)
        await self.pause(1.0)
        await self.b.send_agent_message(
            self.plan_id, ADVISOR, "An offer for everyone would cost more than it brings.", "thinking"
        )
        await self.pause(2.5)
        await self.stream(ADVISOR, "I suggest 10 % for the 1,204 customers who came back twice, for two weeks.")
        await self.b.send_step_update(self.plan_id, "offer", "completed")
        await self.b.send_plan_update(self.plan_id, progress=75)

    async def approval(self) -> None:
        b, plan_id = self.b, self.plan_id
        await b.send_step_update(plan_id, "approval", "waiting")
        question = "Send the offer to 1,204 customers on Monday?"
        await b.send_input_request(
            plan_id, "ask-1", "approval", question, options=["yes", "no"], agent_name=ADVISOR, step_id="approval"
        )
        await self.pause(2.0)
        await b.send_input_response(plan_id, "ask-1", "yes", by="maria")
        await b.send_step_update(plan_id, "approval", "completed")

    async def stream(self, agent: str, text: str) -> None:
        """Publish text in small pieces, as a model does."""
        async with self.b.message(self.plan_id, agent, "result") as message:
            for token in text.split(" "):
                await message.write(f"{token} ")
                await self.pause(0.06)

    async def pause(self, seconds: float) -> None:
        if self.speed:
            await asyncio.sleep(seconds / self.speed)


async def work(log: str, plan_id: str, speed: float) -> None:
    async with Broadcaster(log) as broadcaster:
        try:
            await AutumnCampaign(broadcaster, plan_id, speed).run()
        except asyncio.CancelledError:
            await broadcaster.send_plan_update(plan_id, status="cancelled", content="Stopped with Ctrl-C.")
            raise


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Two simulated agents work on a plan; `plancast tail` shows it.")
    parser.add_argument("--speed", type=float, default=1.0, help="1 is human pace, 0 is without pauses")
    parser.add_argument(
        "--log", default=default_url(), help="the log for the plan (default: PLANCAST_LOG, else ~/.plancast/plans.db)"
    )
    parser.add_argument("--plan-id", default=f"first-plan-{time.time():.0f}")
    args = parser.parse_args(argv)

    plancast = Path(sys.executable).with_name("plancast")
    shown = os.path.relpath(plancast)
    where = [] if args.log == default_url() else ["--log", args.log]
    print(
        f"Watch the plan from any terminal, now or later:  {shlex.join([shown, 'tail', args.plan_id, *where])}\n",
        flush=True,
    )
    tail = subprocess.Popen([plancast, "tail", args.plan_id, "--from", "start", *where])
    try:
        asyncio.run(work(args.log, args.plan_id, args.speed))
    except KeyboardInterrupt:
        return tail.wait() or 130
    code = tail.wait()
    print(f"\nThe plan is stored. List all plans:  {shlex.join([shown, 'plans', *where])}")
    return code


if __name__ == "__main__":
    sys.exit(main())
