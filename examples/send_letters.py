"""A loop without the engine: it asks first, and people can pause and cancel it. Started again, it goes on where it was.

python examples/send_letters.py [PLAN_ID]     # then: plancast tail letters-1 --from start; plancast pause letters-1
"""

import asyncio
import sys

from plancast import Broadcaster, Usage

AGENT = "Mailer"
CUSTOMERS = ("Ada", "Grace", "Edsger", "Barbara", "Alan")


async def letter_to(customer: str) -> tuple[str, Usage]:
    """Stands in for a call of a model."""
    await asyncio.sleep(0.5)
    return f"Dear {customer}, thank you for coming back.", Usage(model="example", input_tokens=90, output_tokens=9)


async def send_letters(b: Broadcaster, plan_id: str) -> None:
    # A worker of the same name continues the plan of one that was killed.
    async with b.working(plan_id, name=AGENT, lease=10) as work:
        await b.send_plan_update(plan_id, title="Letters to our customers", key="title")
        asked = b.approve(plan_id, f"Write {len(CUSTOMERS)} letters?", key="write", agent_name=AGENT)
        for customer in CUSTOMERS if await work.unless_cancelled(asked) else ():
            await work.checkpoint()  # waits while the plan is paused, and leaves the block when it is cancelled
            text, usage = await letter_to(customer)
            # By its key, the message of a letter is stored once, even if a restarted program sends it again.
            await b.send_agent_message(plan_id, AGENT, text, "result", usage=usage, key=f"letter to {customer}")
        await b.send_plan_update(plan_id, status="completed")


async def main(plan_id: str) -> None:
    async with Broadcaster() as b:
        await send_letters(b, plan_id)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "letters-1"))
