"""plancast worker"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from broadcasters.errors import PlancastError
from broadcasters.log import default_url
from hub.commands.opened import log_argument
from hub.values import without_password

if TYPE_CHECKING:
    from plan_engine import Engine, Template

__all__ = ["ABOUT", "EXAMPLES", "arguments", "run"]

ABOUT = """\
Run plans that were started by a hub or by a program. Workers that share the
engine's database share the work, on as many machines as there are; each needs
the modules that its templates are in. End it with SIGTERM: what it was working
on goes on in another worker, or here when it is back."""
EXAMPLES = """\
plancast worker
plancast worker --templates shop.plans --engine-db postgresql://db/plans --log redis://cache"""
BUILT_IN: Final = "plan_engine.templates"


def arguments(parser: argparse.ArgumentParser) -> None:
    log_argument(parser)
    parser.add_argument(
        "--engine-db",
        metavar="URL",
        help="the engine's database: sqlite:///… or postgresql://… (or PLANCAST_ENGINE_DB)",
    )
    parser.add_argument(
        "--templates",
        metavar="MODULE",
        action="append",
        help=f"where templates are, may be said again ({BUILT_IN})",
    )
    parser.add_argument(
        "--lease",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="without a sign of life for so long, a worker is taken for dead (10)",
    )
    parser.add_argument(
        "--plans",
        type=_count,
        default=50,
        metavar="N",
        help="work on so many plans at once, those that only wait not counted (50)",
    )


def run(args: argparse.Namespace) -> int:
    try:
        from plan_engine import Engine
    except ModuleNotFoundError as missing:
        problem = f"a worker needs more than agents do ({missing.name}): pip install 'plancast[engine]'"
        raise PlancastError(problem) from None
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    templates = _templates(args.templates or [BUILT_IN])
    log = args.log or default_url()
    engine = Engine(args.engine_db, log, templates, lease=args.lease, plans_at_once=args.plans)
    asyncio.run(_work(engine, templates, log))
    return 0


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.5 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("0.5 to 3600 seconds")
    return seconds


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def _templates(modules: Sequence[str]) -> list[Template]:
    from plan_engine import templates_in

    found: list[Template] = []
    for name in modules:
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as missing:
            raise PlancastError(f"templates are looked for in {name}, and there is no module {missing.name}") from None
        if not (here := templates_in(module)):
            raise PlancastError(f"there is no template in {name}; one is made with plan_engine.template")
        found += here
    return found


async def _work(engine: Engine, templates: Sequence[Template], log: str) -> None:
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, ending.set)
    async with engine:
        names = ", ".join(template.name for template in templates)
        print(f"Plancast worker {engine.name}", flush=True)
        print(f"templates: {names}\nlog: {without_password(log)}", flush=True)
        await ending.wait()
        print("stopping; what is under way goes on elsewhere", flush=True)
