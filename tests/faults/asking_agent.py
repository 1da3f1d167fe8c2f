"""An agent without the engine that asks a person, as a process of its own: `python -m tests.faults.asking_agent URL`."""

from __future__ import annotations

import asyncio
import sys

from broadcasters import Broadcaster

PLAN = "plan-1"


async def main(url: str) -> None:
    async with Broadcaster(url) as b:
        await b.send_plan_update(PLAN, title="Send the offer", key="title")
        await b.send_step_update(PLAN, "send", "in_progress", key="begin")
        approval = await b.approve(PLAN, "Send it?", key="send", step_id="send")
        await b.send_agent_message(PLAN, "Mailer", f"{approval.value} by {approval.by}", "result", key="sent")
        await b.send_plan_update(PLAN, status="completed", key="end")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
