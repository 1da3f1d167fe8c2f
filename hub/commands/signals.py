"""`plancast cancel`, `plancast pause` and `plancast resume`"""

from __future__ import annotations

import argparse
import asyncio
from typing import Final

from hub.commands import log_argument
from hub.commands.output import print_json
from hub.commands.plan_access import open_plans
from hub.config.flags import add_flag
from hub.engine_port import SignalName

__all__ = ["SignalCommand"]

EFFECTS: Final = {
    "cancel": """\
Request plans to stop. The engine stops a running plan at once, and never begins
one that has not begun. Any other program stops its plan when it next checks for
signals. The plan's events report when it has stopped.""",
    "pause": """\
Request plans to pause. The steps in progress pause at their next report; no
further step begins until the plan is resumed.""",
    "resume": """\
Request paused plans to continue.""",
}


class SignalCommand:
    """The command that sends one signal to plans."""

    def __init__(self, signal: SignalName) -> None:
        self._signal: SignalName = signal
        self.ABOUT: str = EFFECTS[signal]
        self.EXAMPLES: str = f"plancast {signal} plan-1\nplancast {signal} plan-1 --log http://127.0.0.1:8000"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("plans", metavar="PLAN_ID", nargs="+", help="a plan's id")
        parser.add_argument("--json", action="store_true", help="print one JSON object per plan")
        log_argument(parser)
        add_flag(parser, "engine_db")

    def run(self, args: argparse.Namespace) -> int:
        return asyncio.run(self._run(args))

    async def _run(self, args: argparse.Namespace) -> int:
        async with open_plans(args) as access:
            for plan_id in args.plans:
                await access.signal(plan_id, self._signal)
                if args.json:
                    print_json({"plan_id": plan_id, "signal": self._signal})
                else:
                    print(f"{plan_id}: {self._signal} requested", flush=True)
        return 0
