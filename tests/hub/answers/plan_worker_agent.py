"""An agent without the engine, as a process of its own: `python -m tests.hub.answers.plan_worker_agent URL PLAN`."""

from __future__ import annotations

import asyncio
import sys

from broadcasters import Broadcaster


async def main(url: str, plan_id: str, lease: float) -> None:
    async with Broadcaster(url) as b, b.working(plan_id, name="Mailer", lease=lease, obeys=["cancel", "pause"]) as work:
        await b.send_step_update(plan_id, "send", "in_progress", title="Send the letters")
        await work.unless_cancelled(asyncio.Event().wait())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
